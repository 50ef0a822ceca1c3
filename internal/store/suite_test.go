package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// engine is a database that has to pass the suite. open is called again for the same place to start anew on the same
// state; cfg.Path is filled in by it.
type engine struct {
	name string
	make func(t testing.TB) (open func(Config) (*Store, error))
}

var engines = []engine{{"sqlite", func(t testing.TB) func(Config) (*Store, error) {
	path := filepath.Join(t.TempDir(), "state.db")
	return func(cfg Config) (*Store, error) {
		cfg.Path, cfg.Key = path, testKey
		return Open(t.Context(), cfg)
	}
}}}

var testKey = seal.NewKey()

func TestMain(m *testing.M) {
	if role := os.Getenv("AIRLOCK_STORE_TEST_CHILD"); role != "" {
		children[role]()
		return
	}
	os.Exit(m.Run())
}

// clock is a time that only tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

var morning = time.Date(2026, 3, 4, 5, 6, 7, 123456000, time.UTC)

// fixture is a store with what most tests need around it.
type fixture struct {
	*Store
	t     testing.TB
	clock *clock
	open  func(Config) (*Store, error)
	cfg   Config
}

// each runs a test on every engine.
func each(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			test(t, newFixture(t, e, Config{}))
		})
	}
}

func newFixture(t testing.TB, e engine, cfg Config) *fixture {
	f := &fixture{t: t, clock: &clock{morning}, open: e.make(t), cfg: cfg}
	if f.cfg.Now == nil {
		f.cfg.Now = f.clock.now
	}
	f.reopen()
	t.Cleanup(func() { ok(t, f.Close()) })
	return f
}

// reopen is a new start on the same state.
func (f *fixture) reopen() {
	f.t.Helper()
	if f.Store != nil {
		ok(f.t, f.Close())
	}
	var err error
	f.Store, err = f.open(f.cfg)
	ok(f.t, err)
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must is for calls that return a value: must(t)(s.Claim(…)).
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

func want(t testing.TB, err error, code errors.Code) {
	t.Helper()
	if !errors.Has(err, code) {
		t.Fatalf("error is %v, want one with the code %s", err, code)
	}
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

func cloudID(n int) domain.CloudID {
	return domain.CloudID{Subscription: "Sub-1", ResourceGroup: "Group", Name: fmt.Sprintf("Cloud-%d", n)}
}

func cloud(n int) domain.PrivateCloud {
	return domain.PrivateCloud{ID: cloudID(n), Location: "westeurope", SKU: "av36", NetworkBlock: "10.0.0.0/22", ClusterSize: 3,
		State: domain.CloudSucceeded, VCenter: "vc.example", DNSSuffix: "example", AadAuthority: "https://login.example"}
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// execution is one that is ready to be submitted.
func execution(cloud domain.CloudID, name string) domain.Execution {
	return domain.Execution{
		ID: newID(), Cloud: cloud, Name: name, CmdletID: "/some/Id", Cmdlet: "Get-Inventory",
		Package:    domain.PackageRef{Name: "Inventory", Version: "1.0.0", Digest: "ab"},
		Parameters: []domain.Parameter{{Name: "Password", Type: manifest.SecureString, Secure: true}, {Name: "Count", Type: manifest.Int, Value: "3"}},
		Hidden:     []domain.Parameter{{Name: "Trace", Type: manifest.Bool, Value: "true"}},
		Sealed:     []byte("sealed values"), BodyDigest: []byte("body of " + name),
		Timeout: 30 * time.Minute, Retention: 48 * time.Hour, Warning: "a remark", Submitted: morning,
	}
}

func (f *fixture) putCloud(n int) domain.CloudID {
	f.t.Helper()
	ok(f.t, f.PutPrivateCloud(f.t.Context(), cloud(n)))
	return cloudID(n)
}

// setState sets a private cloud's state by hand.
func (f *fixture) setState(n int, state domain.CloudState) {
	f.t.Helper()
	c := cloud(n)
	c.State = state
	ok(f.t, f.PutPrivateCloud(f.t.Context(), c))
}

func (f *fixture) submit(cloud domain.CloudID, name string) domain.Execution {
	f.t.Helper()
	x, created, err := f.Submit(f.t.Context(), execution(cloud, name))
	ok(f.t, err)
	if !created {
		f.t.Fatalf("%s was not created", name)
	}
	return x
}

// claimOne claims what must be the only execution to claim.
func (f *fixture) claimOne() domain.Claim {
	f.t.Helper()
	claims := must[[]domain.Claim](f.t)(f.Claim(f.t.Context(), "node", 10))
	if len(claims) != 1 {
		f.t.Fatalf("%d claims, want one", len(claims))
	}
	return claims[0]
}

// running is an execution that has been claimed.
func (f *fixture) running(cloud domain.CloudID, name string) domain.Claim {
	f.t.Helper()
	x := f.submit(cloud, name)
	c := f.claimOne()
	same(f.t, "claimed", c.Execution.ID, x.ID)
	return c
}

func (f *fixture) finish(c domain.Claim, o domain.Outcome) {
	f.t.Helper()
	ok(f.t, f.Finish(f.t.Context(), c.Execution.ID, c.Fence, o))
}

func (f *fixture) state(id string) domain.State {
	f.t.Helper()
	return must[domain.Execution](f.t)(f.ExecutionByID(f.t.Context(), id)).State
}

// gone checks that nothing of the execution can be read any more.
func (f *fixture) gone(x domain.Execution) {
	f.t.Helper()
	ctx := f.t.Context()
	_, err := f.ExecutionByID(ctx, x.ID)
	want(f.t, err, errors.ResourceNotFound)
	_, err = f.Execution(ctx, x.Cloud, x.Name)
	want(f.t, err, errors.ResourceNotFound)
	_, err = f.Records(ctx, x.ID, 0, 10, 1000)
	want(f.t, err, errors.ResourceNotFound)
	_, err = f.Audit(ctx, x.ID, 0, 10)
	want(f.t, err, errors.ResourceNotFound)
	_, _, err = f.Tail(ctx, x.ID, domain.Output, 10, 1000)
	want(f.t, err, errors.ResourceNotFound)
}

func (f *fixture) operation(id string) domain.Operation {
	f.t.Helper()
	return must[domain.Operation](f.t)(f.Operation(f.t.Context(), id))
}

// woken checks that the channel has been rung, which a committed write has done before it returned.
func woken(t testing.TB, bell <-chan struct{}, want bool) {
	t.Helper()
	select {
	case <-bell:
		if !want {
			t.Fatal("woken without a reason")
		}
	default:
		if want {
			t.Fatal("not woken")
		}
	}
}
