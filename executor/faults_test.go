package executor_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/internal/audit"
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
	rewrite           atomic.Int32
	deaf              atomic.Int32  // reads of the execution that are still to fail
	loses             string        // output with this text cannot be stored, unless it is ""
	finishing         chan struct{} // told of a Finish that fails, unless it is nil
	finishErr         error         // with what Finish fails; errFull when nil
	read, write, open error
	begin             error  // of Start
	seal              func() // called before Seal
	hang              bool   // sessions are not opened until their context ends
}

var errFull = errors.Newf(errors.ServiceUnavailable, "The disk is full; make space.")

func (f *faulty) Finish(ctx context.Context, id string, fence int64, o domain.Outcome) error {
	if f.finish.Add(-1) >= 0 {
		select {
		case f.finishing <- struct{}{}:
		default:
		}
		return cmp.Or(f.finishErr, error(errFull))
	}
	return f.Store.Finish(ctx, id, fence, o)
}

func (f *faulty) ExecutionByID(ctx context.Context, id string) (domain.Execution, error) {
	if f.deaf.Add(-1) >= 0 {
		return domain.Execution{}, errFull
	}
	return f.Store.ExecutionByID(ctx, id)
}

func (f *faulty) Start(ctx context.Context, id string, fence int64) error {
	if f.begin != nil {
		return f.begin
	}
	return f.Store.Start(ctx, id, fence)
}

func (f *faulty) Rewrite(ctx context.Context, id string, fence int64, rewrite func([]domain.Record) ([]domain.Record, bool)) error {
	if f.rewrite.Add(-1) >= 0 {
		return errFull
	}
	return f.Store.Rewrite(ctx, id, fence, rewrite)
}

func (f *faulty) Append(ctx context.Context, id string, fence int64, recs []domain.Record) error {
	if f.append.Add(-1) >= 0 {
		return errFull
	}
	if f.loses != "" && slices.ContainsFunc(recs, func(r domain.Record) bool { return strings.Contains(r.Text, f.loses) }) {
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

func (f *faulty) Write(ctx context.Context, cloud domain.CloudID, pkg, version string, changes map[string]*secret.Text) error {
	if f.write != nil {
		return f.write
	}
	return f.Secrets.Write(ctx, cloud, pkg, version, changes)
}

func (f *faulty) Open(ctx context.Context, x domain.Execution, listen domain.Listen, record audit.Writer) (domain.Grant, error) {
	if f.hang {
		<-ctx.Done()
		return domain.Grant{}, ctx.Err()
	}
	if f.open != nil {
		return domain.Grant{}, f.open
	}
	return f.Sessions.Open(ctx, x, listen, record)
}

// newFaulty starts an executor on parts that fail as set says.
func newFaulty(t *testing.T, set func(*faulty)) *bench {
	t.Helper()
	h := newHome(t)
	f := &faulty{Store: h.store, Secrets: h.secrets, Sessions: h.config.Sessions}
	set(f)
	h.config.Store, h.config.Secrets, h.config.Sessions = f, f, f
	preparation := time.Duration(0)
	if f.hang {
		preparation = 500 * time.Millisecond
	}
	return h.start(t, func(e *executor.Executor) { e.SetBounds(preparation, 100*time.Millisecond, time.Millisecond) })
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
		"the start is not stored":    {func(f *faulty) { f.begin = plain }, errors.InternalError, "the server's log says more under the id 0"},
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
			if !strings.Contains(string(b.log.text()), "192.0.2.1") && strings.Contains(c.says, "log says more") {
				t.Error("the log does not say why")
			}
			if strings.HasPrefix(name, "s") && !strings.Contains(name, "written") && !x.Started.IsZero() {
				t.Error("the script was started")
			}
			b.wantNothingLeft(t)
		})
	}
}

// The end of an execution is written when the store is to be had again, whatever was wrong with it.
func TestEndIsWrittenLater(t *testing.T) {
	t.Parallel()
	for _, err := range []error{errFull, errors.New("disk I/O error")} {
		b := newFaulty(t, func(f *faulty) {
			f.finish.Store(3)
			f.finishErr = err
		})
		wantSucceeded(t, b.run(execution(1, "x", "Test-Nothing")))
	}
}

// A late secret is taken out of the output before the execution reads finished, also where the store fails.
func TestLateSecretIsTakenOutLater(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*faulty){
		"the rewrite fails": func(f *faulty) { f.rewrite.Store(3) },
		"output is lost":    func(f *faulty) { f.loses = secret.Redacted },
	} {
		b := newFaulty(t, set)
		x := b.run(execution(1, "late", "Set-Late", "Half", late[:14], "Rest", late[14:]))
		if !x.State.Final() {
			t.Fatal(name, x.State)
		}
		b.wantStreamsClean(t, x.ID, map[string]string{"late secret": late})
	}
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

// A cancel is heard also where the executor cannot read of it at first.
func TestCancelIsHeardLater(t *testing.T) {
	t.Parallel()
	var f *faulty
	b := newFaulty(t, func(made *faulty) { f = made })
	x := b.submit(execution(1, "x", "Wait-Forever"))
	b.hears(t, x.ID, "ready")
	f.deaf.Store(3)
	if _, err := b.store.Cancel(context.Background(), x.Cloud, x.Name); err != nil {
		t.Fatal(err)
	}
	if x = b.until(t, x.ID, final); x.State != domain.Canceled {
		t.Errorf("it is %s", x.State)
	}
}

// setsMany is a runtime whose script sets more secrets than it may, and goes on when it is told to end.
type setsMany struct {
	runtime.Runtime
	changes, short int
}

func (s *setsMany) Run(_ context.Context, _ runtime.Prepared, stop <-chan struct{}, h runtime.Host) runtime.End {
	value := secret.New("abc")
	for i := range 3000 {
		h.SetSecret(fmt.Sprint("name-", i), &value)
		h.SetSecret(fmt.Sprint("not valid ", i), &value)
		h.SetSecret(fmt.Sprint("deleted-", i), nil)
	}
	<-stop
	s.changes, s.short = executor.Remembered(h)
	return runtime.End{}
}

// What a script can have us remember is bounded.
func TestTooManySecrets(t *testing.T) {
	t.Parallel()
	many := &setsMany{}
	b := newHome(t).start(t, func(e *executor.Executor) {
		e.WrapRuntime(func(r runtime.Runtime) runtime.Runtime {
			many.Runtime = r
			return many
		})
	})
	x := b.run(execution(1, "x", "Test-Nothing"))
	wantFailed(t, x, errors.SecretNameInvalid) // the first that was wrong
	if strings.Contains(x.Warning, "not valid") || !strings.Contains(x.Warning, "name-0, name-1") {
		t.Errorf("the warning: %q", x.Warning)
	}
	if many.changes != 1024 || many.short > 1024 {
		t.Errorf("%d changes and %d names of short ones are remembered", many.changes, many.short)
	}
}

// When the server dies between the secrets and the final state, the restart finds out what has been kept. It does not
// wait for the secret store for ever.
func TestRollForwardWhereSecretsAreKept(t *testing.T) {
	t.Parallel()
	for kept, want := range map[bool]domain.State{true: domain.Succeeded, false: domain.Failed} {
		h := newHome(t)
		plain := errors.New("no answer")
		f := &faulty{Store: h.store, Secrets: h.secrets, Sessions: h.config.Sessions, finishing: make(chan struct{}, 1)}
		f.finish.Store(1 << 30)
		if !kept {
			f.write = plain
		}
		h.config.Store, h.config.Secrets = f, f
		b := h.start(t)
		x := b.submit(execution(1, "x", "Set-Secrets", "Value", "some-value"))
		<-f.finishing
		b.stop()
		h.close(t)
		h, err := openHome(h.dir, packageDir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.close(t) })
		h.config.Secrets = &faulty{Secrets: h.secrets, write: plain}
		h.start(t, func(e *executor.Executor) { e.SetForward(time.Millisecond) })
		x = h.until(t, x.ID, final)
		if x.State != want || len(h.kept(t, 1)) == 1 != kept {
			t.Errorf("it is %s with %+v, and kept %v", x.State, x.Failure, h.kept(t, 1))
		}
	}
}
