package store

import (
	"context"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// Lost is an execution that was running when an earlier process ended.
type Lost struct {
	Claim  domain.Claim // as it was found
	Intent []byte       // nil: the execution has been ended; else the caller rolls it forward and finishes it, under Claim.Fence
}

// Recover ends what an earlier process left running: Failed with ExecutorLost, Canceled what was Cancelling, removed
// what was Deleting. Those whose intent is sealed stay as they are for the caller to roll forward. It returns all of
// them, so that their processes and directories can be cleaned up. Call it before the first Claim.
func (s *Store) Recover(ctx context.Context) ([]Lost, error) {
	if s.claimed.Load() {
		return nil, errors.New("store: Recover after Claim would end what runs")
	}
	var all []Lost
	err := s.write(ctx, func(t *tx) (err error) {
		all, err = list(t.view, func(r scanner) (l Lost, err error) {
			l.Claim.Execution, err = scanExecutionAnd(r, &l.Claim.Fence, &l.Intent)
			return l, err
		}, `SELECT `+executionColumns+`, x.fence, x.intent`+fromExecutions+`WHERE x.state IN `+runningStates+` ORDER BY x.cloud`)
		if err != nil {
			return err
		}
		for i := range all {
			if err := s.recover(t, &all[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (s *Store) recover(t *tx, l *Lost) (err error) {
	x := l.Claim.Execution
	if l.Claim.Cloud, err = cloudByID(t.view, x.Cloud); err != nil || l.Intent != nil {
		return err
	}
	o := domain.Outcome{State: domain.Failed, Failure: &domain.Failure{Code: errors.ExecutorLost,
		Message: "Airlock stopped while the script was running, and a script is never run twice; look at what it has done, then run it again under another name if need be."}}
	if x.State == domain.Cancelling {
		o = domain.Outcome{State: domain.Canceled}
	}
	return finish(t, holding{id: x.ID, cloud: x.Cloud.Key(), state: x.State, sealed: x.Sealed != nil}, o, s.now())
}
