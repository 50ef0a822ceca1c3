package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// operationsOutlive is how long operations are kept after the record of their execution went.
const operationsOutlive = 24 * time.Hour

// Operation reads an operation; one that is not there, or not any more, is ResourceNotFound. Until it has ended, its
// state is that of the execution.
func (s *Store) Operation(ctx context.Context, id string) (domain.Operation, error) {
	return read(ctx, s, func(v view) (domain.Operation, error) { return operationByID(v, id) })
}

func operationByID(v view, id string) (o domain.Operation, err error) {
	var f domain.Failure
	err = v.row(`SELECT o.id, o.subscription, o.resource_group, o.cloud, o.execution, o.name, coalesce(o.state, x.state),
			o.failure_code, o.failure_message, o.started, o.finished
		FROM operations o LEFT JOIN executions x ON x.id = o.execution WHERE o.id = $1`, id).
		Scan(&o.ID, &o.Cloud.Subscription, &o.Cloud.ResourceGroup, &o.Cloud.Name, &o.Execution, &o.Name, &o.State,
			&f.Code, &f.Message, asMicros{&o.Started}, asMicros{&o.Finished})
	if errors.Is(err, sql.ErrNoRows) {
		return o, errors.Newf(errors.ResourceNotFound, "There is no operation %s; operations are kept for 24 hours after their script execution was deleted.", id)
	}
	if f.Code != "" {
		o.Failure = &f
	}
	return o, err
}

// addOperation begins an operation about the execution.
func addOperation(t *tx, id string, x domain.Execution, started time.Time) error {
	_, err := t.exec(`INSERT INTO operations (id, execution, subscription, resource_group, cloud, name, started)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		id, x.ID, x.Cloud.Subscription, x.Cloud.ResourceGroup, x.Cloud.Name, x.Name, asMicros{&started})
	return err
}

// endOperation ends the operation of the execution's PUT. Those of a DELETE end when the record goes.
func endOperation(t *tx, id string, state domain.State, f domain.Failure, now time.Time) error {
	_, err := t.exec(`UPDATE operations SET state = $1, failure_code = $2, failure_message = $3, finished = $4
		WHERE id = $5 AND finished IS NULL`, state, f.Code, f.Message, asMicros{&now}, id)
	return err
}

// endOperationsOfRemoved ends all that is about an execution whose record goes: the PUT was canceled, unless it had
// ended, and the DELETE has succeeded.
func endOperationsOfRemoved(t *tx, id string, now time.Time) error {
	_, err := t.exec(`UPDATE operations SET expires = $1, finished = coalesce(finished, $2),
			state = coalesce(state, CASE WHEN id = execution THEN 'Canceled' ELSE 'Succeeded' END)
		WHERE execution = $3`, now.Add(operationsOutlive).UnixMicro(), asMicros{&now}, id)
	return err
}
