package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// states of an execution that an executor holds: the unique index allows one such row per private cloud. Deleting is
// one of them because an execution that does not run is removed at once.
const runningStates = `('Running', 'Cancelling', 'Deleting')`

// updateLane brings the lane in line with its executions; waiting says how many more of them wait now.
func updateLane(t *tx, cloud string, waiting int) error {
	_, err := t.exec(`UPDATE lanes SET queued = queued + $2,
			head = (SELECT x.submitted FROM executions x WHERE x.cloud = $1 AND x.state = 'Pending' ORDER BY x.lane_seq LIMIT 1),
			running = (SELECT x.id FROM executions x WHERE x.cloud = $1 AND x.state IN `+runningStates+`)
		WHERE cloud = $1`, cloud, waiting)
	return err
}

// Claim takes executions, at most as many as most says: each is the first of a private cloud where nothing runs, those
// that have waited longest come first. They are Running from then on, with a fence of their own. node says in the
// database who took them.
func (s *Store) Claim(ctx context.Context, node string, most int) ([]domain.Claim, error) {
	const claimable = `FROM lanes WHERE running IS NULL AND head IS NOT NULL AND paused = 0`
	any, err := read(ctx, s, func(v view) (any bool, err error) {
		return any, v.row(`SELECT EXISTS (SELECT 1 ` + claimable + `)`).Scan(&any)
	})
	if err != nil || !any { // an executor that polls does not trouble the writer
		return nil, err
	}
	s.claimed.Store(true)
	var claims []domain.Claim
	err = s.write(ctx, func(t *tx) error {
		claims = nil
		clouds, err := list(t.view, scanText, `SELECT cloud `+claimable+` ORDER BY head LIMIT $1`, max(most, 0))
		if err != nil {
			return err
		}
		for _, cloud := range clouds {
			c, err := claim(t, cloud, node)
			if err != nil {
				return err
			}
			claims = append(claims, c)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claims, nil
}

// claim takes the first execution of a lane.
func claim(t *tx, cloud, node string) (c domain.Claim, err error) {
	err = t.row(`UPDATE lanes SET fence = fence + 1 WHERE cloud = $1 AND running IS NULL RETURNING fence`, cloud).Scan(&c.Fence)
	if err != nil {
		return c, err
	}
	var id string
	err = t.row(`UPDATE executions SET state = 'Running', fence = $2, node = $3 WHERE state = 'Pending' AND
			id = (SELECT x.id FROM executions x WHERE x.cloud = $1 AND x.state = 'Pending' ORDER BY x.lane_seq LIMIT 1)
		RETURNING id`, cloud, c.Fence, node).Scan(&id)
	if err != nil {
		return c, err
	}
	if err := updateLane(t, cloud, -1); err != nil {
		return c, err
	}
	t.changed = append(t.changed, id)
	if c.Execution, err = executionByID(t.view, id); err != nil {
		return c, err
	}
	c.Cloud, err = cloudByID(t.view, c.Execution.Cloud)
	return c, err
}

// holding is what a write under a fence needs to know.
type holding struct {
	id     string
	cloud  string // key
	state  domain.State
	sealed bool // it has secure values, or an intent
}

// held checks that the execution runs under the fence.
func held(v view, id string, fence int64) (holding, error) {
	h := holding{id: id}
	err := v.row(`SELECT cloud, state, sealed IS NOT NULL OR intent IS NOT NULL FROM executions WHERE id = $1 AND fence = $2 AND state IN `+runningStates, id, fence).
		Scan(&h.cloud, &h.state, &h.sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return h, errors.Newf(errors.ExecutorLost, "The executor does not hold the script execution %s any more; nothing was changed.", id)
	}
	return h, err
}

// Start notes that the cmdlet starts now.
func (s *Store) Start(ctx context.Context, id string, fence int64) error {
	return s.write(ctx, func(t *tx) error {
		if _, err := held(t.view, id, fence); err != nil {
			return err
		}
		now := s.now()
		t.changed = append(t.changed, id)
		_, err := t.exec(`UPDATE executions SET started = coalesce(started, $2) WHERE id = $1`, id, asMicros{&now})
		return err
	})
}

// Seal stores what is to change in the secret store, encrypted by the caller. From then on the execution is one that
// has ended well: Recover gives it back to be rolled forward. One that was asked to end before is ScriptCanceled.
func (s *Store) Seal(ctx context.Context, id string, fence int64, intent []byte) error {
	if len(intent) == 0 {
		return errors.New("store: an empty intent cannot be sealed")
	}
	return s.write(ctx, func(t *tx) error {
		h, err := held(t.view, id, fence)
		if err != nil {
			return err
		}
		if h.state != domain.Running {
			return errors.Newf(errors.ScriptCanceled, "The script execution was canceled before its secrets were kept; none was changed.")
		}
		_, err = t.exec(`UPDATE executions SET intent = $2 WHERE id = $1`, id, intent)
		return err
	})
}

// Finish ends an execution: its state is final, secure values, the intent and its progress are removed, its mark is taken from the
// private cloud, its operation has ended and its lane is free. One that is Deleting is removed with its output.
// Outcome.Warning takes the place of an earlier one, unless it is "".
func (s *Store) Finish(ctx context.Context, id string, fence int64, o domain.Outcome) error {
	if !o.State.Final() {
		return fmt.Errorf("store: %s is no final state", o.State)
	}
	return s.write(ctx, func(t *tx) error {
		h, err := held(t.view, id, fence)
		if err != nil {
			return err
		}
		return finish(t, h, o, s.now())
	})
}

func finish(t *tx, h holding, o domain.Outcome, now time.Time) error {
	if err := unmark(t, h.id); err != nil {
		return err
	}
	if h.state == domain.Deleting {
		return remove(t, h, now)
	}
	if err := end(t, h, o, now); err != nil {
		return err
	}
	t.work = true
	return updateLane(t, h.cloud, 0)
}

// end makes the execution final and leaves its lane to the caller.
func end(t *tx, h holding, o domain.Outcome, now time.Time) error {
	var f domain.Failure
	if o.State == domain.Failed && o.Failure != nil {
		f = *o.Failure
	}
	var outputs any
	if o.State == domain.Succeeded && len(o.NamedOutputs) > 0 {
		outputs = asJSON{o.NamedOutputs}
	}
	_, err := t.exec(`UPDATE executions SET state = $2, failure_code = $3, failure_message = $4,
			warning = CASE WHEN $5 = '' THEN warning ELSE $5 END, named_outputs = $6, finished = $7,
			expires = $7 + CASE WHEN retention > 0 THEN retention ELSE $8 END, sealed = NULL, intent = NULL, progress = NULL
		WHERE id = $1`, h.id, o.State, f.Code, f.Message, o.Warning, outputs, now.UnixMicro(), defaultRetention.Microseconds())
	if err != nil {
		return err
	}
	t.changed, t.ended, t.tidy = append(t.changed, h.id), append(t.ended, h.id), t.tidy || h.sealed
	return endOperation(t, h.id, o.State, f, now)
}
