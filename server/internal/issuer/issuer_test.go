package issuer_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/server/internal/issuer"
)

const url = "https://airlock.example"

// keeper counts and keeps the signing keys.
type keeper struct {
	*store.Store
	mu   sync.Mutex
	made []domain.SigningKey
}

func (k *keeper) AddSigningKey(ctx context.Context, s domain.SigningKey) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.made = append(k.made, s)
	return k.Store.AddSigningKey(ctx, s)
}

func TestKeysRotate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := func() time.Time { return now }
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "state.db"), Key: seal.NewKey(), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	kept, key, log := &keeper{Store: s}, seal.NewKey(), &bytes.Buffer{}
	begin := func(key seal.Key) *issuer.Issuer {
		return issuer.New(issuer.Config{URL: url, Store: kept, Key: key, Now: clock, NewID: uuid.NewString, Logger: slog.New(slog.NewTextHandler(log, nil))})
	}
	i := begin(key)
	kids := func() string {
		t.Helper()
		keys, err := i.Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, k := range keys {
			if _, public := k.Key.(*ecdsa.PublicKey); !public || k.Use != "sig" || k.Algorithm != string(jose.ES256) {
				t.Errorf("the key is %+v", k)
			}
			all = append(all, k.KeyID)
		}
		return strings.Join(all, " ")
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { _, _ = i.Keys(t.Context()) })
	}
	all.Wait()
	first := kids()
	if len(kept.made) != 1 || first != kept.made[0].ID {
		t.Fatalf("keys %s of %d", first, len(kept.made))
	}
	i = begin(key) // a new start
	if kids() != first {
		t.Error("a new start makes a new key")
	}
	now = now.Add(30*24*time.Hour - time.Second)
	if kids() != first {
		t.Error("a key signs for less than 30 days")
	}
	now = now.Add(time.Second)
	second := strings.Fields(kids())[0]
	if kids() != second+" "+first {
		t.Errorf("after 30 days the keys are %s", kids())
	}
	i = begin(key)
	if kids() != second+" "+first {
		t.Errorf("after a new start the keys are %s", kids())
	}
	now = now.Add(time.Hour + time.Minute)
	if kids() != second {
		t.Errorf("when the last token of the first key has expired the keys are %s", kids())
	}
	// With another key of the installation nothing of the old tokens is valid, and new ones are given.
	i = begin(seal.NewKey())
	if k := kids(); strings.Contains(k, second) || k == "" || !strings.Contains(log.String(), "cannot be used") {
		t.Errorf("with another key the keys are %s, the log says %s", k, log)
	}
	for _, k := range kept.made {
		if _, err := key.Open(k.Sealed, seal.Associated("signing key", "another")); err == nil {
			t.Error("a key opens in another's place")
		}
	}
}
