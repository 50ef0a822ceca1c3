package executor

import (
	"context"
	"fmt"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/store"
)

// recover puts in order what an earlier process left when it died: its processes are killed and its work directories
// removed, then the executions that were running are ended. Those whose cmdlet had ended well, so that what is to be
// kept was sealed, are rolled forward.
func (e *Executor) recover(ctx context.Context) error {
	left, err := e.dirs.Left()
	if err != nil {
		return err
	}
	for _, id := range left {
		if err := e.sandbox.Recover(e.dirs.Path(id)); err != nil {
			return fmt.Errorf("end what an earlier process left of execution %s: %w", id, err)
		}
		if err := e.dirs.Remove(id); err != nil {
			e.cfg.Logger.ErrorContext(ctx, "a work directory is left", "execution", id, "error", err)
		}
	}
	lost, err := e.cfg.Store.Recover(ctx)
	if err != nil {
		return err
	}
	for _, l := range lost {
		if l.Intent == nil {
			code := errors.ExecutorLost
			if l.Claim.Execution.State != domain.Running { // somebody had asked it to end
				code = errors.ScriptCanceled
			}
			e.audit(ctx, l.Claim, "executions/end", string(code), "found after a restart")
			continue
		}
		if err := e.rollForward(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// rollForward keeps what an execution has sealed, and ends it.
func (e *Executor) rollForward(ctx context.Context, l store.Lost) error {
	x := l.Claim.Execution
	in, err := e.openIntent(x.ID, l.Intent)
	o := domain.Outcome{State: domain.Succeeded, Warning: in.Warning, NamedOutputs: in.NamedOutputs}
	if err == nil {
		err = e.keep(ctx, x, in.changes())
	}
	if err != nil {
		e.cfg.Logger.ErrorContext(ctx, "an execution cannot be rolled forward", "execution", x.ID, "error", err)
		o = domain.Outcome{State: domain.Failed, Failure: failureOf(err, x.ID)}
	}
	if err := e.cfg.Store.Finish(ctx, x.ID, l.Claim.Fence, o); err != nil {
		return fmt.Errorf("end execution %s: %w", x.ID, err)
	}
	e.audit(ctx, l.Claim, "executions/end", result(o), "rolled forward after a restart")
	return nil
}
