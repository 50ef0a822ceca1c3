package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/airlock-run/airlock/internal/errors"
)

// statements prepares each statement once.
type statements struct {
	db interface {
		PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	}
	prepared sync.Map // *sql.Stmt by query
}

func (s *statements) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if st, ok := s.prepared.Load(query); ok {
		return st.(*sql.Stmt), nil
	}
	st, err := s.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("%w in %q", err, query)
	}
	if other, ok := s.prepared.LoadOrStore(query, st); ok {
		return other.(*sql.Stmt), st.Close()
	}
	return st, nil
}

// close is for statements of a single connection, which does not close them itself and stays open with them.
func (s *statements) close() (err error) {
	s.prepared.Range(func(_, st any) bool {
		err = errors.Join(err, st.(*sql.Stmt).Close())
		return true
	})
	return err
}

// view is the database as one call sees it: committed state for readers, the transaction so far inside a write.
type view struct {
	ctx context.Context
	*statements
}

func (v view) exec(query string, args ...any) (changed int64, err error) {
	st, err := v.stmt(v.ctx, query)
	if err != nil {
		return 0, err
	}
	r, err := st.ExecContext(v.ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (v view) rows(query string, args ...any) (*sql.Rows, error) {
	st, err := v.stmt(v.ctx, query)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(v.ctx, args...)
}

// scanner is a row that can be read.
type scanner interface{ Scan(dest ...any) error }

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

func (v view) row(query string, args ...any) scanner {
	st, err := v.stmt(v.ctx, query)
	if err != nil {
		return failedRow{err}
	}
	return st.QueryRowContext(v.ctx, args...)
}

// list reads all rows of a query.
func list[T any](v view, scan func(scanner) (T, error), query string, args ...any) (all []T, err error) {
	rows, err := v.rows(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

func scanText(r scanner) (s string, err error) { return s, r.Scan(&s) }

// read runs f over committed state.
func read[T any](ctx context.Context, s *Store, f func(view) (T, error)) (T, error) {
	result, err := f(view{ctx, s.reader})
	return result, explain(err, s.path)
}

// asJSON keeps a value in a text column. NULL leaves the value as it is.
type asJSON struct{ to any }

// Value implements driver.Valuer.
func (j asJSON) Value() (driver.Value, error) {
	b, err := json.Marshal(j.to)
	return string(b), err
}

// Scan implements sql.Scanner.
func (j asJSON) Scan(from any) error {
	switch from := from.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(from), j.to)
	}
	return fmt.Errorf("a column with JSON holds a %T", from)
}

// asMicros keeps a time as microseconds since 1970, the zero time as NULL.
type asMicros struct{ to *time.Time }

// Value implements driver.Valuer.
func (m asMicros) Value() (driver.Value, error) {
	if m.to.IsZero() {
		return nil, nil
	}
	return m.to.UnixMicro(), nil
}

// Scan implements sql.Scanner.
func (m asMicros) Scan(from any) error {
	switch from := from.(type) {
	case nil:
		*m.to = time.Time{}
	case int64:
		*m.to = time.UnixMicro(from).UTC()
	default:
		return fmt.Errorf("a column with a time holds a %T", from)
	}
	return nil
}
