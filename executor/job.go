package executor

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/airlock-run/airlock/executor/internal/panics"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/executor/internal/stream"
	"github.com/airlock-run/airlock/executor/internal/trail"
	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/redact"
	"github.com/airlock-run/airlock/sdk/secret"
)

// job is one execution on its way. Two contexts say how far it may go: stopping ends, with the reason as its cause,
// when the execution has to come to an end; killed ends when the grace after that is over, and with it all that runs.
type job struct {
	*Executor
	domain.Claim
	log  *slog.Logger
	base context.Context // does not end with the server: what is begun is written down

	stopping context.Context
	stop     context.CancelCauseFunc // the first cause counts
	killed   context.Context
	kill     context.CancelFunc
	started  chan struct{} // closed when the cmdlet starts

	secrets  *redact.Set
	output   *stream.Writer
	trail    *trail.Recorder
	progress *progress
	held     map[string]secret.Text // the persistent secrets as they were read

	mu      sync.Mutex
	changes map[string]change // of persistent secrets, by name in lower case
	short   map[string]bool   // names of secret values that are too short to be redacted

	room     sandbox.Room
	grant    domain.Grant
	endGrant context.CancelFunc

	egressDone <-chan struct{} // closed when nothing is left of the way out; nil where none was opened
}

// execute carries out an execution that was claimed, to its final state.
func (e *Executor) execute(ctx context.Context, c domain.Claim) {
	j := &job{
		Executor: e, Claim: c, log: e.cfg.Logger.With("execution", c.Execution.ID), base: context.WithoutCancel(ctx),
		started: make(chan struct{}), secrets: redact.NewSet(), changes: map[string]change{}, short: map[string]bool{},
	}
	defer panics.To(func(err error) {
		j.log.ErrorContext(j.base, "the execution was not ended as it should be", "error", j.loggable(err))
	})
	j.stopping, j.stop = context.WithCancelCause(j.base)
	defer j.stop(nil)
	j.killed, j.kill = context.WithCancel(j.base)
	defer j.kill()
	j.output = stream.New(j.base, stream.Config{
		Store: e.cfg.Store, Execution: c.Execution.ID, Fence: c.Fence, Secrets: j.secrets,
		MaxBytes: e.cfg.MaxOutput, Now: e.cfg.Now, Failed: j.stop,
	})
	j.trail = trail.New(j.base, trail.Config{
		Store: e.cfg.Store, Execution: c.Execution.ID, Fence: c.Fence, Secrets: j.secrets, Log: e.cfg.Audit, Failed: j.stop,
	})

	j.progress = newProgress(j.storeProgress)

	over := make(chan struct{})
	var guard sync.WaitGroup
	guard.Go(func() {
		defer panics.To(func(err error) { // then nobody else would end it
			j.stop(err)
			j.kill()
		})
		j.guard(ctx, over)
	})
	end := j.run()
	cause := context.Cause(j.stopping) // what comes from now on comes too late
	close(over)
	guard.Wait()
	j.progress.end()

	j.teardown()
	o := j.conclude(ctx, end, cause)
	j.finish(ctx, o)
	j.audit(j.base, c, "executions/end", result(o), "")
}

// run prepares the execution and runs its cmdlet.
func (j *job) run() (end runtime.End) {
	defer panics.To(func(err error) { end = runtime.End{Err: err} })
	j.audit(j.base, j.Claim, "executions/claim", "ok", "")
	p, err := j.prepare()
	if err != nil {
		return runtime.End{Err: err}
	}
	return j.runtimes[p.Manifest.Runtime].Run(j.killed, p, j.stopping.Done(), j)
}

// guard ends the execution when its time is over, when somebody cancels or deletes it, and when the server stops (ctx).
// When it has to end for whatever reason, guard kills it after the grace. It returns when the execution is over.
func (j *job) guard(ctx context.Context, over <-chan struct{}) {
	changed, unwatch := j.cfg.Store.Watch(j.Execution.ID)
	defer unwatch()
	timer := time.NewTimer(j.bounds.preparation)
	defer timer.Stop()
	late := errors.Newf(errors.PreparationTimedOut, "The preparation of the execution, up to the script's first message, took longer than %v; check that the private cloud can be reached, and submit it again under another name.", j.bounds.preparation)
	started := j.started
	again := j.checkAsked()
	for {
		select {
		case <-over:
			return
		case <-changed:
			again = j.checkAsked()
		case <-again:
			again = j.checkAsked()
		case <-started:
			started = nil
			timer.Reset(j.Execution.Timeout)
			late = errors.Newf(errors.ScriptTimedOut, "The script ran longer than its timeout of %v and was ended; submit it again under another name with a longer timeout, at most one hour.", j.Execution.Timeout)
		case <-timer.C:
			j.stop(late)
		case <-ctx.Done():
			j.stop(errors.Newf(errors.ExecutorLost, "The server was stopped while the execution ran; submit it again under another name."))
		case <-j.stopping.Done():
			j.log.InfoContext(j.base, "the execution is asked to end", "cause", j.loggable(context.Cause(j.stopping)))
			timer.Reset(j.bounds.grace)
			select {
			case <-over:
			case <-timer.C:
				j.kill()
			}
			return
		}
	}
}

// checkAsked looks whether somebody has cancelled or deleted the execution. Where it cannot tell, again says when to
// look again.
func (j *job) checkAsked() (again <-chan time.Time) {
	x, err := j.cfg.Store.ExecutionByID(j.base, j.Execution.ID)
	switch {
	case err != nil:
		j.log.WarnContext(j.base, "the execution's state cannot be read", "error", err)
		return time.After(j.bounds.retry)
	case x.State == domain.Cancelling || x.State == domain.Deleting:
		j.stop(errors.Newf(errors.ScriptCanceled, "The execution was canceled."))
	}
	return nil
}

// teardown ends all that the execution has: first its processes, then its sessions and listeners, then its files.
func (j *job) teardown() {
	for _, part := range []struct {
		name string
		end  func() error
	}{{"processes", j.closeRoom}, {"connections", j.closeEgress}, {"sessions", j.closeGrant}, {"work directory", func() error { return j.dirs.Remove(j.Execution.ID) }}} {
		if err := panics.Catch(part.end); err != nil {
			j.log.ErrorContext(j.base, "something of the execution is left", "part", part.name, "error", err)
		}
	}
}

func (j *job) closeRoom() error {
	if j.room == nil {
		return nil
	}
	return j.room.Close()
}

func (j *job) closeEgress() error {
	j.kill()
	if j.egressDone == nil {
		return nil
	}
	return j.await(j.egressDone)
}

func (j *job) closeGrant() error {
	j.kill()
	if j.endGrant == nil {
		return nil
	}
	j.endGrant()
	return j.await(j.grant.Done)
}

// await waits for the end of what the execution has, which is bounded so that its private cloud is not held up for ever.
func (j *job) await(done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-time.After(j.bounds.grantEnd):
		return fmt.Errorf("not ended within %v", j.bounds.grantEnd)
	}
}

// finish writes the final state: without it the private cloud would be held up. The next start ends what is Running
// when the server stops.
func (j *job) finish(ctx context.Context, o domain.Outcome) {
	_ = j.persist(ctx, func() error { return j.cfg.Store.Finish(j.base, j.Execution.ID, j.Fence, o) },
		stillHeld)
}

// stillHeld says of an error of Finish whether another try can do better.
func stillHeld(err error) bool { return !errors.Has(err, errors.ExecutorLost) }

func (j *job) persist(ctx context.Context, write func() error, passes func(error) bool) error {
	return j.Executor.persist(ctx, write, passes, func(err error) {
		j.log.ErrorContext(j.base, "the end of the execution cannot be stored", "error", j.loggable(err))
	})
}

// persist writes what a store has to have. After an error that passes it tries again, until ctx ends; each is told.
func (e *Executor) persist(ctx context.Context, write func() error, passes func(error) bool, tell func(error)) error {
	for {
		err := panics.Catch(write)
		if err == nil {
			return nil
		}
		tell(err)
		if !passes(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(e.bounds.retry):
		}
	}
}

func (e *Executor) audit(ctx context.Context, c domain.Claim, action, result, detail string) {
	e.cfg.Audit.Write(ctx, audit.Event{
		Time: e.cfg.Now(), Execution: c.Execution.ID, Cloud: c.Execution.Cloud.String(), Actor: "executor/" + e.cfg.Node,
		Action: action, Target: c.Execution.Name, Result: result, Detail: detail,
	})
}
