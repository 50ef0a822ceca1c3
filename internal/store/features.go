package store

import (
	"context"
	"database/sql"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// SetFeature registers a feature of Microsoft.AVS for a subscription, or takes that back.
func (s *Store) SetFeature(ctx context.Context, subscription, name string, registered bool) error {
	state := domain.Unregistered
	if registered {
		state = domain.Registered
	}
	return s.write(ctx, func(t *tx) error {
		now := s.now()
		_, err := t.exec(`INSERT INTO features (subscription_key, name_key, name, state, changed) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (subscription_key, name_key) DO UPDATE SET state = excluded.state, changed = excluded.changed
			WHERE features.state <> excluded.state`,
			strings.ToLower(subscription), strings.ToLower(name), name, state, asMicros{&now})
		return err
	})
}

// Feature reads the state of a feature for a subscription.
func (s *Store) Feature(ctx context.Context, subscription, name string) (domain.FeatureState, error) {
	return read(ctx, s, func(v view) (state domain.FeatureState, err error) {
		err = v.row(`SELECT state FROM features WHERE subscription_key = $1 AND name_key = $2`,
			strings.ToLower(subscription), strings.ToLower(name)).Scan(&state)
		if errors.Is(err, sql.ErrNoRows) {
			return domain.NotRegistered, nil
		}
		return state, err
	})
}
