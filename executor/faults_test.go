package executor_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// faulty is a store, a secret store and a broker of which single calls can be made to fail.
type faulty struct {
	executor.Store
	executor.Secrets
	executor.Sessions
	finish, append    atomic.Int32 // calls that are still to fail
	read, write, open error
	seal              func() // called before Seal
	hang              bool   // sessions are not opened until their context ends
}

var errFull = errors.Newf(errors.ServiceUnavailable, "The disk is full; make space.")

func (f *faulty) Finish(ctx context.Context, id string, fence int64, o domain.Outcome) error {
	if f.finish.Add(-1) >= 0 {
		return errFull
	}
	return f.Store.Finish(ctx, id, fence, o)
}

func (f *faulty) Append(ctx context.Context, id string, fence int64, recs []domain.Record) error {
	if f.append.Add(-1) >= 0 {
		return errFull
	}
	return f.Store.Append(ctx, id, fence, recs)
}

func (f *faulty) Seal(ctx context.Context, id string, fence int64, intent []byte) error {
	if f.seal != nil {
		f.seal()
	}
	return f.Store.Seal(ctx, id, fence, intent)
}

func (f *faulty) Read(ctx context.Context, cloud domain.CloudID, pkg string) (map[string]secret.Text, error) {
	if f.read != nil {
		return nil, f.read
	}
	return f.Secrets.Read(ctx, cloud, pkg)
}

func (f *faulty) Write(ctx context.Context, cloud domain.CloudID, pkg string, changes map[string]*secret.Text) error {
	if f.write != nil {
		return f.write
	}
	return f.Secrets.Write(ctx, cloud, pkg, changes)
}

func (f *faulty) Open(ctx context.Context, x domain.Execution, listen domain.Listen) (domain.Grant, error) {
	if f.hang {
		<-ctx.Done()
		return domain.Grant{}, ctx.Err()
	}
	if f.open != nil {
		return domain.Grant{}, f.open
	}
	return f.Sessions.Open(ctx, x, listen)
}

// newFaulty starts an executor on parts that fail as set says.
func newFaulty(t *testing.T, set func(*faulty)) *bench {
	t.Helper()
	h := newHome(t)
	f := &faulty{Store: h.store, Secrets: h.secrets, Sessions: h.config.Sessions}
	set(f)
	h.config.Store, h.config.Secrets, h.config.Sessions = f, f, f
	return h.start(t, func(e *executor.Executor) { e.SetBounds(500*time.Millisecond, 100*time.Millisecond, time.Millisecond) })
}

func TestPartsFail(t *testing.T) {
	t.Parallel()
	plain := errors.New("dial tcp 192.0.2.1: refused")
	for name, c := range map[string]struct {
		set  func(*faulty)
		code errors.Code
		says string
	}{
		"secrets cannot be read":     {func(f *faulty) { f.read = plain }, errors.SecretStoreFailed, "could not be read, so the script was not started"},
		"secrets cannot be written":  {func(f *faulty) { f.write = plain }, errors.SecretStoreFailed, "ended well, but its persistent secrets could not be stored"},
		"the store of secrets knows": {func(f *faulty) { f.write = errors.Newf(errors.SecretStoreFailed, "Too long.") }, errors.SecretStoreFailed, "Too long."},
		"sessions fail":              {func(f *faulty) { f.open = plain }, errors.SessionFailed, "could not be opened"},
		"sessions hang":              {func(f *faulty) { f.hang = true }, errors.PreparationTimedOut, "500ms"},
		"output cannot be stored":    {func(f *faulty) { f.append.Store(1) }, errors.ServiceUnavailable, "The disk is full"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newFaulty(t, c.set)
			cmdlet := "Set-Secrets"
			if strings.HasPrefix(name, "output") {
				cmdlet = "Write-All"
			}
			x := b.run(execution(1, "x", cmdlet, "Value", "some-value"))
			wantFailed(t, x, c.code)
			if !strings.Contains(x.Failure.Message, c.says) || strings.Contains(x.Failure.Message, "192.0.2.1") {
				t.Errorf("it says %q", x.Failure.Message)
			}
			if got := b.kept(t, 1); len(got) != 0 {
				t.Errorf("kept: %v", got)
			}
			if strings.HasPrefix(name, "s") && !strings.Contains(name, "written") && !x.Started.IsZero() {
				t.Error("the script was started")
			}
			b.wantNothingLeft(t)
		})
	}
}

// The end of an execution is written when the store is to be had again.
func TestEndIsWrittenLater(t *testing.T) {
	t.Parallel()
	b := newFaulty(t, func(f *faulty) { f.finish.Store(3) })
	wantSucceeded(t, b.run(execution(1, "x", "Test-Nothing")))
}

// A cancel that comes before the secrets are kept is heard.
func TestCancelAtTheEnd(t *testing.T) {
	t.Parallel()
	var b *bench
	cancel := func() {
		if _, err := b.store.Cancel(context.Background(), cloud(1), "x"); err != nil {
			t.Error(err)
		}
	}
	b = newFaulty(t, func(f *faulty) { f.seal = cancel })
	x := b.run(execution(1, "x", "Set-Secrets", "Value", "some-value"))
	if x.State != domain.Canceled || len(b.kept(t, 1)) != 0 {
		t.Errorf("it is %s, and kept %v", x.State, b.kept(t, 1))
	}
}
