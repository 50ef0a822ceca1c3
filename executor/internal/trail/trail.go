// Package trail takes the audit events of one execution on their way: to the store, where the execution's audit is read,
// and to the log of the whole installation. Each is redacted with the execution's secrets and bounded in length, in
// the order in which it came. Whoever writes an event never waits for a disk.
//
// How many are kept is bounded (bounds.go): what comes past the bounds is counted by what it was, and the counts are
// events of their own at the end. So a script can flood its audit, but nothing that it does stays out of it.
package trail

import (
	"context"
	"sync"
	"time"

	"github.com/airlock-run/airlock/executor/internal/pace"
	"github.com/airlock-run/airlock/executor/internal/panics"
	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/redact"
)

// Events go to the store when there are BatchEvents of them, or when the first is BatchAge old: so much a crash can take.
const (
	BatchEvents = 256
	BatchAge    = 100 * time.Millisecond
)

// Store is what the package needs of internal/store.
type Store interface {
	AppendAudit(ctx context.Context, id string, fence int64, events []audit.Event) error
	RewriteAudit(ctx context.Context, id string, fence, last int64, rewrite func([]audit.Event) (changed bool)) error
}

// Config says whose events go where.
type Config struct {
	Store     Store
	Execution string // id
	Fence     int64
	Secrets   *redact.Set  // may grow while events are written
	Log       audit.Writer // gets each event that is kept, too
	Failed    func(error)  // told once that the store takes no events; must not wait
}

// Recorder implements audit.Writer for one execution.
type Recorder struct {
	cfg  Config
	ctx  context.Context
	pace *pace.Pace
	done chan struct{} // the writing goroutine has ended

	mu     sync.Mutex
	queue  queue
	bounds bounds
	closed bool

	// Of the writing goroutine, then of Close.
	seq      int64
	unstored []audit.Event
	known    int // how many secrets there were when the first of unstored was redacted
	failed   sync.Once

	storedWith int   // known of what was stored last
	stale      int64 // seq of the last event that was stored with fewer
}

// New returns a Recorder that stores what is written to it until Close.
func New(ctx context.Context, cfg Config) *Recorder {
	r := &Recorder{
		cfg: cfg, ctx: ctx, pace: pace.New(BatchAge), done: make(chan struct{}), bounds: newBounds(),
	}
	go r.run()
	return r
}

// Write implements audit.Writer. What comes after Close, of a part that did not end in time, goes to the log alone.
func (r *Recorder) Write(_ context.Context, e audit.Event) {
	e.Execution = r.cfg.Execution
	size := bound(&e)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		r.hide(&e)
		r.cfg.Log.Write(r.ctx, e)
		return
	}
	kept, remark := r.bounds.take(e, size, &r.queue)
	if remark != nil {
		r.queue.add(*remark, 0)
	}
	if !kept {
		return
	}
	r.queue.add(e, size)
	if len(r.queue.events) >= BatchEvents {
		r.pace.Now()
	} else {
		r.pace.Some()
	}
}

// run stores batches until the Recorder is closed.
func (r *Recorder) run() {
	defer close(r.done)
	defer panics.To(r.fail)
	for {
		r.pace.Wait()
		r.mu.Lock()
		batch, closed := r.queue.take(), r.closed
		r.mu.Unlock()
		r.accept(batch)
		if closed {
			return
		}
		if err := r.store(); err != nil {
			r.fail(err)
		}
	}
}

// accept makes a batch ready to be stored, and writes it to the log.
func (r *Recorder) accept(batch []audit.Event) {
	if len(r.unstored) == 0 {
		r.known = r.cfg.Secrets.Len()
	}
	for _, e := range batch {
		r.seq++
		e.Seq = r.seq
		r.hide(&e)
		r.unstored = append(r.unstored, e)
		if err := panics.Catch(func() error { r.cfg.Log.Write(r.ctx, e); return nil }); err != nil {
			r.fail(err)
		}
	}
}

// store stores what there is. What it cannot store stays for the next time.
func (r *Recorder) store() error {
	for len(r.unstored) > 0 {
		n := min(len(r.unstored), BatchEvents)
		if err := r.cfg.Store.AppendAudit(r.ctx, r.cfg.Execution, r.cfg.Fence, r.unstored[:n]); err != nil {
			return err
		}
		if r.known > r.storedWith {
			r.storedWith, r.stale = r.known, r.unstored[0].Seq-1
		}
		r.unstored = r.unstored[n:]
	}
	r.unstored = nil
	return nil
}

func (r *Recorder) fail(err error) { r.failed.Do(func() { r.cfg.Failed(err) }) }

// Close stores what is left, with the counts of what was not kept, and takes out of what is stored the secrets that
// became known later. After an error of the store it can be called again, to go on.
func (r *Recorder) Close() error {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		for _, e := range r.bounds.summaries() {
			r.queue.add(e, 0)
		}
	}
	r.mu.Unlock()
	r.pace.Now()
	<-r.done
	r.mu.Lock()
	batch := r.queue.take() // none, unless the goroutine has met a mistake of ours
	r.mu.Unlock()
	r.accept(batch)
	if err := r.store(); err != nil {
		return err
	}
	return r.rewrite()
}

// rewrite redacts once more what was stored before the last secret was known.
func (r *Recorder) rewrite() error {
	known := r.cfg.Secrets.Len()
	if known > r.storedWith {
		r.stale, r.storedWith = r.seq, known
	}
	if r.stale == 0 {
		return nil
	}
	err := r.cfg.Store.RewriteAudit(r.ctx, r.cfg.Execution, r.cfg.Fence, r.stale, func(events []audit.Event) (changed bool) {
		for i := range events {
			changed = r.hide(&events[i]) || changed
		}
		return changed
	})
	if err == nil {
		r.stale = 0
	}
	return err
}
