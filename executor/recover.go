package executor

import (
	"context"
	"fmt"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/store"
)

// recover puts in order what an earlier process left when it died: its processes are killed and its work directories
// removed, then the executions that were running are ended. It returns those whose cmdlet had ended well, so that what
// is to be kept was sealed: they are to be rolled forward.
func (e *Executor) recover(ctx context.Context) (rest []store.Lost, err error) {
	left, err := e.dirs.Left()
	if err != nil {
		return nil, err
	}
	for _, id := range left {
		if err := e.sandbox.Recover(e.dirs.Path(id)); err != nil {
			return nil, fmt.Errorf("end what an earlier process left of execution %s: %w", id, err)
		}
		if err := e.dirs.Remove(id); err != nil {
			e.cfg.Logger.ErrorContext(ctx, "a work directory is left", "execution", id, "error", err)
		}
	}
	lost, err := e.cfg.Store.Recover(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range lost {
		if l.Intent == nil {
			code := errors.ExecutorLost
			if l.Claim.Execution.State != domain.Running { // somebody had asked it to end
				code = errors.ScriptCanceled
			}
			e.audit(ctx, l.Claim, "executions/end", string(code), "found after a restart")
		} else {
			rest = append(rest, l)
		}
	}
	return rest, nil
}

// rollForward keeps what an execution has sealed, and ends it. A store that is not to be had is asked again, the secret
// store for bounds.forward; the private cloud waits so long. What ctx cuts short is left for the next start.
func (e *Executor) rollForward(ctx context.Context, l store.Lost) {
	x := l.Claim.Execution
	log := e.cfg.Logger.With("execution", x.ID)
	in, err := e.openIntent(x.ID, l.Intent)
	o := domain.Outcome{State: domain.Succeeded, Warning: in.Warning, NamedOutputs: in.NamedOutputs}
	refused := func(err error) {
		log.WarnContext(ctx, "what an execution left cannot be stored", "error", err)
	}
	if err == nil {
		bounded, cancel := context.WithTimeout(ctx, e.bounds.forward)
		err = e.persist(bounded, func() error { return e.keep(ctx, x, in.changes()) }, always, refused)
		cancel()
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		log.ErrorContext(ctx, "an execution cannot be rolled forward", "error", err)
		o = domain.Outcome{State: domain.Failed, Failure: failureOf(err, x.ID)}
	}
	finish := func() error { return e.cfg.Store.Finish(ctx, x.ID, l.Claim.Fence, o) }
	if err := e.persist(ctx, finish, stillHeld, refused); err != nil {
		return
	}
	e.audit(ctx, l.Claim, "executions/end", result(o), "rolled forward after a restart")
}

func always(error) bool { return true }
