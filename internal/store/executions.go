package store

import (
	"bytes"
	"context"
	"database/sql"
	"strconv"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

const executionColumns = `x.id, c.subscription, c.resource_group, c.name, x.name, x.cmdlet_id, x.package_name,
	x.package_version, x.package_digest, x.package_lock, x.cmdlet, x.parameters, x.hidden, x.sealed, x.body_digest, x.timeout, x.retention,
	x.state, x.failure_code, x.failure_message, x.warning, x.submitted, x.started, x.finished, x.named_outputs`

const fromExecutions = ` FROM executions x JOIN private_clouds c ON c.key = x.cloud `

func scanExecution(r scanner) (domain.Execution, error) { return scanExecutionAnd(r) }

// scanExecutionAnd reads executionColumns and what a query has after them.
func scanExecutionAnd(r scanner, more ...any) (x domain.Execution, err error) {
	var f domain.Failure
	var timeout, retention int64
	err = r.Scan(append([]any{&x.ID, &x.Cloud.Subscription, &x.Cloud.ResourceGroup, &x.Cloud.Name, &x.Name, &x.CmdletID,
		&x.Package.Name, &x.Package.Version, &x.Package.Digest, asJSON{&x.Lock}, &x.Cmdlet, asJSON{&x.Parameters}, asJSON{&x.Hidden},
		&x.Sealed, &x.BodyDigest, &timeout, &retention, &x.State, &f.Code, &f.Message, &x.Warning,
		asMicros{&x.Submitted}, asMicros{&x.Started}, asMicros{&x.Finished}, asJSON{&x.NamedOutputs}}, more...)...)
	x.Timeout, x.Retention = time.Duration(timeout)*time.Microsecond, time.Duration(retention)*time.Microsecond
	if f.Code != "" {
		x.Failure = &f
	}
	return x, err
}

func executionByID(v view, id string) (domain.Execution, error) {
	x, err := scanExecution(v.row(`SELECT `+executionColumns+fromExecutions+`WHERE x.id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return x, errors.Newf(errors.ResourceNotFound, "There is no script execution with the id %s; it may have been deleted.", id)
	}
	return x, err
}

func executionByName(v view, cloud domain.CloudID, name string) (domain.Execution, error) {
	x, err := scanExecution(v.row(`SELECT `+executionColumns+fromExecutions+`WHERE x.cloud = $1 AND x.name_key = $2`,
		cloud.Key(), strings.ToLower(name)))
	if errors.Is(err, sql.ErrNoRows) {
		return x, errors.Newf(errors.ResourceNotFound, "The private cloud %s has no script execution %s; list its script executions to see their names.", cloud.Name, name)
	}
	return x, err
}

// Submit accepts an execution: it is Pending, last in its private cloud's queue, and has an operation under its own
// id. The caller gives ID and Submitted. A name that is taken is answered with the execution that has it and false
// where BodyDigest is the same, else it is a Conflict. The bound of the queue is TooManyRequests.
func (s *Store) Submit(ctx context.Context, x domain.Execution) (stored domain.Execution, created bool, err error) {
	err = s.write(ctx, func(t *tx) error {
		stored, created = domain.Execution{}, false
		had, err := executionByName(t.view, x.Cloud, x.Name)
		switch {
		case err == nil && had.State == domain.Deleting:
			return errors.Newf(errors.Conflict, "The script execution %s is being deleted; try again once that has ended, or take another name.", had.Name)
		case err == nil && !bytes.Equal(had.BodyDigest, x.BodyDigest):
			return errors.Newf(errors.Conflict, "The private cloud %s has another script execution %s; a script execution cannot be changed, take another name or delete it first.", had.Cloud.Name, had.Name)
		case err == nil:
			stored = had
			return nil
		case !errors.Has(err, errors.ResourceNotFound):
			return err
		}
		if err := s.enqueue(t, x); err != nil {
			return err
		}
		t.changed, t.work, created = append(t.changed, x.ID), true, true
		stored, err = executionByID(t.view, x.ID)
		if err != nil {
			return err
		}
		return addOperation(t, x.ID, stored, x.Submitted)
	})
	if err != nil {
		return domain.Execution{}, false, err
	}
	return stored, created, nil
}

// enqueue gives the execution the next place in its lane.
func (s *Store) enqueue(t *tx, x domain.Execution) error {
	var seq int64
	err := t.row(`UPDATE lanes SET last_seq = last_seq + 1 WHERE cloud = $1 AND queued < $2 RETURNING last_seq`,
		x.Cloud.Key(), s.maxQueued).Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		cloud, err := cloudByID(t.view, x.Cloud)
		if err != nil {
			return err
		}
		return errors.Newf(errors.TooManyRequests, "The private cloud %s has %d script executions waiting, the most that it may have; try again when some have ended, or delete some.", cloud.ID.Name, s.maxQueued)
	}
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO executions (id, cloud, lane_seq, name, name_key, cmdlet_id, package_name, package_version,
			package_digest, package_lock, cmdlet, parameters, hidden, sealed, body_digest, timeout, retention, state, warning, submitted)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 'Pending', $18, $19)`,
		x.ID, x.Cloud.Key(), seq, x.Name, strings.ToLower(x.Name), x.CmdletID, x.Package.Name, x.Package.Version,
		x.Package.Digest, asJSON{x.Lock}, x.Cmdlet, asJSON{x.Parameters}, asJSON{x.Hidden}, x.Sealed, x.BodyDigest,
		x.Timeout.Microseconds(), x.Retention.Microseconds(), x.Warning, asMicros{&x.Submitted})
	if err != nil {
		return err
	}
	return updateLane(t, x.Cloud.Key(), +1)
}

// Execution reads an execution by its ARM name; one that is not there is ResourceNotFound.
func (s *Store) Execution(ctx context.Context, cloud domain.CloudID, name string) (domain.Execution, error) {
	return read(ctx, s, func(v view) (domain.Execution, error) { return executionByName(v, cloud, name) })
}

// ExecutionByID reads an execution; one that is not there is ResourceNotFound.
func (s *Store) ExecutionByID(ctx context.Context, id string) (domain.Execution, error) {
	return read(ctx, s, func(v view) (domain.Execution, error) { return executionByID(v, id) })
}

// Executions lists at most limit executions of a private cloud in the order of their submission. after is "" or what
// next was; next is "" at the end. What is submitted or deleted meanwhile makes no other appear twice or be left out.
func (s *Store) Executions(ctx context.Context, cloud domain.CloudID, after string, limit int) (page []domain.Execution, next string, err error) {
	var seq int64
	if after != "" {
		if seq, err = strconv.ParseInt(after, 36, 64); err != nil {
			return nil, "", errors.Because(err, errors.InvalidRequest, "The list cannot go on from %q; begin it anew.", after)
		}
	}
	limit = max(limit, 1)
	type place struct {
		domain.Execution
		seq int64
	}
	found, err := read(ctx, s, func(v view) ([]place, error) {
		return list(v, func(r scanner) (p place, err error) {
			p.Execution, err = scanExecutionAnd(r, &p.seq)
			return p, err
		}, `SELECT `+executionColumns+`, x.lane_seq`+fromExecutions+
			`WHERE x.cloud = $1 AND x.lane_seq > $2 ORDER BY x.lane_seq LIMIT $3`, cloud.Key(), seq, limit+1)
	})
	for i, p := range found {
		if i == limit {
			next = strconv.FormatInt(found[i-1].seq, 36)
			break
		}
		page = append(page, p.Execution)
	}
	return page, next, err
}

// Position says what a waiting execution waits for. For one that does not wait it is zero.
func (s *Store) Position(ctx context.Context, id string) (domain.Position, error) {
	return read(ctx, s, func(v view) (p domain.Position, err error) {
		err = v.row(`SELECT coalesce(r.name, ''), CASE WHEN r.id IS NULL THEN 0 ELSE 1 END +
				(SELECT count(*) FROM executions b WHERE b.cloud = x.cloud AND b.state = 'Pending' AND b.lane_seq < x.lane_seq), l.paused
			FROM executions x JOIN lanes l ON l.cloud = x.cloud LEFT JOIN executions r ON r.id = l.running
			WHERE x.id = $1 AND x.state = 'Pending'`, id).Scan(&p.Running, &p.Ahead, &p.Paused)
		if errors.Is(err, sql.ErrNoRows) {
			_, err = executionByID(v, id)
		}
		return p, err
	})
}
