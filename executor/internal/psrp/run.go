package psrp

import (
	"context"
	"sync"

	"github.com/google/uuid"
)

// State is how a pipeline ended ([MS-PSRP] 2.2.3.5).
type State string

// The states in which a pipeline ends. Completed does not mean that no error was written.
const (
	Stopped   State = "Stopped"
	Completed State = "Completed"
	Failed    State = "Failed"
)

var terminal = map[string]State{"3": Stopped, "4": Completed, "5": Failed}

// End is what has become of a pipeline.
type End struct {
	State   State
	Failure *Failure // why it failed or stopped, where PowerShell says
	// Exit is the argument of exit, nil where none was called. A pipeline that exits is Completed.
	Exit *int
}

// run is the pipeline that runs.
type run struct {
	id    uuid.UUID
	write func(Record)
	lost  func(error)
	join  joiner
	end   End
	done  chan struct{} // closed when end is whole
	calls chan hostCall

	mu   sync.Mutex // held while something of it is taken
	sent bool       // the server may have all of it
	over bool       // Run has returned
}

// maxCalls is how many host calls wait for their answer. The client has no host, and PowerShell makes none.
const maxCalls = 16

// Run runs a pipeline and gives what it writes to write, in order, from another goroutine but never after Run has
// returned. When stop is closed, PowerShell is asked to end it: it then runs what stands in finally, but does not
// interrupt every call.
//
// A script that writes to standard output past PowerShell can forge all of this for its own pipeline, its end included.
// It gains nothing by that: it could have written the same, or ended, and the process is killed after the last pipeline.
//
// The error is ErrEnded or that of ctx, after which the client is of no more use.
func (c *Client) Run(ctx context.Context, p Pipeline, stop <-chan struct{}, write func(Record)) (End, error) {
	r := &run{id: uuid.New(), write: write, lost: c.lost, done: make(chan struct{}), calls: make(chan hostCall, maxCalls)}
	c.mu.Lock()
	c.run = r
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.run = nil
		c.mu.Unlock()
		r.set(&r.over)
	}()
	if err := c.send(ctx, line{verb: command, id: r.id}); err != nil {
		return End{}, err
	}
	parts := c.fragments(createPipeline, r.id, p.message())
	for i, f := range parts {
		if i == len(parts)-1 {
			r.set(&r.sent)
		}
		if err := c.send(ctx, line{verb: data, id: r.id, data: f}); err != nil {
			return End{}, err
		}
	}
	if err := c.follow(ctx, r, stop); err != nil {
		return End{}, err
	}
	return r.end, c.send(ctx, line{verb: closing, id: r.id})
}

func (r *run) set(flag *bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*flag = true
}

// follow waits for the end of a pipeline, and in the meantime says what it has to be told.
func (c *Client) follow(ctx context.Context, r *run, stop <-chan struct{}) error {
	for {
		select {
		case <-r.done:
			return nil
		case <-stop:
			if stop = nil; isDone(r.done) {
				return nil
			}
			// Its acknowledgement may come long after the end, and answers have to be given in the meantime.
			if err := c.write(line{verb: signal, id: r.id}); err != nil {
				return err
			}
		case call := <-r.calls:
			if err := c.notImplemented(ctx, r.id, call); err != nil {
				return err
			}
		case <-c.ended:
			if isDone(r.done) { // the last that it said
				return nil
			}
			return c.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take takes what was said of the pipeline. Nothing counts that was said before all of it was sent, or after its end.
func (r *run) take(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.join.add(b, func(b []byte) {
		if !r.counts() {
			return
		}
		m, err := decodeMessage(b)
		switch {
		case err != nil:
			r.lose(m.kind, err)
		case m.pipeline == r.id:
			r.handle(m)
		}
	}, r.lose)
}

func (r *run) counts() bool { return r.sent && !r.over && !isDone(r.done) }

// lose takes that a message cannot be read. One that says how the pipeline ended is its last all the same.
func (r *run) lose(k kind, why error) {
	if !r.counts() {
		return
	}
	r.lost(why)
	if k == pipelineState {
		r.finish(Failed, &Failure{Message: "PowerShell said how the command ended, and it cannot be read: " + why.Error()})
	}
}

func (r *run) finish(s State, why *Failure) {
	r.end.State, r.end.Failure = s, why
	close(r.done)
}

// handle takes a message of the pipeline.
func (r *run) handle(m message) {
	if rec, is := record(m); is {
		r.write(rec)
		return
	}
	switch m.kind {
	case pipelineState:
		state, ends := terminal[m.value.Get("PipelineState").Str()]
		if !ends {
			return
		}
		var why *Failure
		if reason := m.value.Get("ExceptionAsErrorRecord"); !reason.IsNull() {
			f := failure(reason)
			why = &f
		}
		r.finish(state, why)
	case pipelineHostCall:
		r.call(m.value)
	}
}
