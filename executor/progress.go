package executor

import (
	"strings"
	"sync"
	"time"

	"github.com/airlock-run/airlock/executor/internal/panics"
)

// Progress is stored when the script first says it, and then at most once in progressPace. Of what is said in between
// the last counts.
const progressPace = time.Second

// Bounds in bytes on what is shown of one progress, and on what is kept of it until then.
const (
	maxProgress     = 200
	maxSaidProgress = 4 << 10
)

// progress is how far a script says it is. It is for those who watch: it costs the script nothing, however often it
// says so, and is in no log.
type progress struct {
	put   func(said string)
	fresh chan struct{} // has one element where there is something to store
	over  chan struct{} // closed to end the goroutine
	done  chan struct{} // closed by it

	mu   sync.Mutex
	said string
}

// newProgress gives to put what is to be stored, until end.
func newProgress(put func(said string)) *progress {
	p := &progress{put: put, fresh: make(chan struct{}, 1), over: make(chan struct{}), done: make(chan struct{})}
	go p.run()
	return p
}

// say takes what the script says.
func (p *progress) say(text string) {
	text = strings.Clone(text[:min(len(text), maxSaidProgress)])
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = text
	p.wake()
}

// again has what was said last stored once more, if there is something.
func (p *progress) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.said != "" {
		p.wake()
	}
}

func (p *progress) wake() {
	select {
	case p.fresh <- struct{}{}:
	default:
	}
}

func (p *progress) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said
}

func (p *progress) run() {
	defer close(p.done)
	for {
		select {
		case <-p.over:
			return
		case <-p.fresh:
		}
		p.put(p.last())
		select {
		case <-p.over:
			return
		case <-time.After(progressPace):
		}
	}
}

// end drops what is not stored yet: with the execution its progress goes.
func (p *progress) end() {
	close(p.over)
	<-p.done
}

// storeProgress stores how far the script is. What goes wrong with it does not end the execution.
func (j *job) storeProgress(said string) {
	err := panics.Catch(func() error {
		return j.cfg.Store.SetProgress(j.base, j.Execution.ID, j.Fence, j.sentence(said, maxProgress))
	})
	if err != nil {
		j.log.WarnContext(j.base, "how far the script is cannot be shown", "error", j.loggable(err))
	}
}
