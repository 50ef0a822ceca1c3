package executor_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// written tells of writes. While it is down it refuses what has to do with one private cloud.
type written struct {
	executor.Secrets
	cloud domain.CloudID
	down  atomic.Bool
	some  chan struct{}
}

func (w *written) Write(ctx context.Context, cloud domain.CloudID, pkg, version string, changes map[string]*secret.Text) error {
	defer func() {
		select {
		case w.some <- struct{}{}:
		default:
		}
	}()
	if w.down.Load() && cloud == w.cloud {
		return errors.New("the secret store is down")
	}
	return w.Secrets.Write(ctx, cloud, pkg, version, changes)
}

func (w *written) Read(ctx context.Context, cloud domain.CloudID, pkg string) (map[string]secret.Text, error) {
	if w.down.Load() && cloud == w.cloud {
		return nil, errors.New("the secret store is down")
	}
	return w.Secrets.Read(ctx, cloud, pkg)
}

// Secrets that were kept before a crash, and the state after it, agree also where the secret store is down at the start.
func TestRollForwardWaitsForTheSecretStore(t *testing.T) {
	t.Parallel()
	first := newHome(t)
	before := &written{Secrets: first.secrets, some: make(chan struct{}, 1)}
	f := &faulty{Store: first.store, Secrets: before, Sessions: first.config.Sessions}
	f.finish.Store(1 << 30)
	first.config.Store, first.config.Secrets = f, f
	b := first.start(t)
	x := b.submit(execution(1, "x", "Set-Secrets", "Value", "some-value"))
	<-before.some
	b.stop() // its end is not stored
	first.close(t)

	second, err := openHome(first.dir, packageDir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { second.close(t) })
	after := &written{Secrets: second.secrets, cloud: x.Cloud, some: make(chan struct{}, 1)}
	after.down.Store(true)
	second.config.Secrets = after
	b = second.start(t, func(e *executor.Executor) { e.SetBounds(0, 0, time.Millisecond) })
	<-after.some
	wantSucceeded(t, b.run(execution(2, "y", "Test-Nothing"))) // another private cloud is not held up
	if got, err := second.store.ExecutionByID(t.Context(), x.ID); err != nil || got.State != domain.Running {
		t.Fatalf("while the secret store is down it is %s with %+v, %v", got.State, got.Failure, err)
	}
	after.down.Store(false)
	wantSucceeded(t, b.until(t, x.ID, final))
	if len(b.kept(t, 1)) == 0 {
		t.Error("nothing was kept")
	}
}
