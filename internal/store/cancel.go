package store

import (
	"context"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// Cancel asks an execution to end and keeps its record. One that waits is Canceled at once, one that runs is
// Cancelling until its executor has ended it, others stay as they are.
func (s *Store) Cancel(ctx context.Context, cloud domain.CloudID, name string) (x domain.Execution, err error) {
	err = s.write(ctx, func(t *tx) error {
		if x, err = executionByName(t.view, cloud, name); err != nil {
			return err
		}
		switch x.State {
		case domain.Pending:
			h := holding{id: x.ID, cloud: cloud.Key(), sealed: x.Sealed != nil}
			if err := end(t, h, domain.Outcome{State: domain.Canceled}, s.now()); err != nil {
				return err
			}
			if err := updateLane(t, h.cloud, -1); err != nil {
				return err
			}
		case domain.Running:
			if err := setState(t, x.ID, domain.Cancelling); err != nil {
				return err
			}
		default:
			return nil
		}
		x, err = executionByID(t.view, x.ID)
		return err
	})
	return x, err
}

// setState passes a request on to the executor.
func setState(t *tx, id string, state domain.State) error {
	t.changed = append(t.changed, id)
	_, err := t.exec(`UPDATE executions SET state = $2 WHERE id = $1 AND state IN ('Running', 'Cancelling')`, id, state)
	return err
}

// Delete ends an execution and removes its record and output; opID is the operation that tells when. One that runs is
// Deleting until its executor has ended it, others are gone when Delete returns. From then on their name is free, and
// their operations are kept for 24 hours. existed is false, and nothing changes, where there is no such execution.
func (s *Store) Delete(ctx context.Context, cloud domain.CloudID, name, opID string) (op domain.Operation, existed bool, err error) {
	err = s.write(ctx, func(t *tx) error {
		op, existed = domain.Operation{}, false
		x, err := executionByName(t.view, cloud, name)
		if errors.Has(err, errors.ResourceNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		now := s.now()
		if err := addOperation(t, opID, x, now); err != nil {
			return err
		}
		switch x.State {
		case domain.Running, domain.Cancelling:
			err = setState(t, x.ID, domain.Deleting)
		case domain.Deleting:
		default:
			err = remove(t, holding{id: x.ID, cloud: cloud.Key(), state: x.State}, now)
		}
		if err != nil {
			return err
		}
		existed = true
		op, err = operationByID(t.view, opID)
		return err
	})
	return op, existed, err
}

// remove takes the record away, ends its operations and frees its lane. Output and audit cannot be reached any more; the tidier
// overwrites it, in small steps so that large ones hold nobody up.
func remove(t *tx, h holding, now time.Time) error {
	_, err := t.exec(`INSERT INTO removed (execution) SELECT id FROM executions WHERE id = $1 AND (records > 0 OR audited > 0)`, h.id)
	if err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM executions WHERE id = $1`, h.id); err != nil {
		return err
	}
	if err := endOperationsOfRemoved(t, h.id, now); err != nil {
		return err
	}
	waiting := 0
	if h.state == domain.Pending {
		waiting = -1
	}
	t.changed, t.ended, t.work, t.tidy = append(t.changed, h.id), append(t.ended, h.id), true, true
	return updateLane(t, h.cloud, waiting)
}
