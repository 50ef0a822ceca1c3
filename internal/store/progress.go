package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
)

// SetProgress keeps how far an execution says that it is, until it says something else or ends; "" for nothing.
func (s *Store) SetProgress(ctx context.Context, id string, fence int64, text string) error {
	return s.write(ctx, func(t *tx) error {
		if _, err := held(t.view, id, fence); err != nil {
			return err
		}
		had, err := s.progress(t.view, id)
		if err != nil || had.Text == text {
			return err
		}
		var sealed []byte
		if text != "" {
			if sealed, err = s.key.Seal([]byte(text), progressOf(id)); err != nil {
				return err
			}
		}
		t.changed = append(t.changed, id)
		_, err = t.exec(`UPDATE executions SET progress = $2, progress_seq = progress_seq + 1 WHERE id = $1`, id, sealed)
		return err
	})
}

func progressOf(id string) []byte { return seal.Associated("progress", id) }

// Progress reads how far an execution says that it is.
func (s *Store) Progress(ctx context.Context, id string) (domain.Progress, error) {
	return read(ctx, s, func(v view) (domain.Progress, error) { return s.progress(v, id) })
}

func (s *Store) progress(v view, id string) (p domain.Progress, err error) {
	var sealed []byte
	err = v.row(`SELECT progress, progress_seq FROM executions WHERE id = $1`, id).Scan(&sealed, &p.Seq)
	if errors.Is(err, sql.ErrNoRows) {
		_, err = executionByID(v, id)
	}
	if err != nil || sealed == nil {
		return domain.Progress{Seq: p.Seq}, err
	}
	text, err := s.key.Open(sealed, progressOf(id))
	if err != nil {
		return p, fmt.Errorf("store: the progress of %s: %w", id, err)
	}
	p.Text = string(text)
	return p, nil
}
