package executor_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/executor/internal/goruntime"
	"github.com/airlock-run/airlock/executor/internal/runtimetest"
	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/secrets"
	"github.com/airlock-run/airlock/sessions"
)

// The test binary is also a server that is killed.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == serverName {
		serve()
		return
	}
	runtimetest.Main(m, func(dir string) { packageDir = dir }, runtimetest.ScriptPath, runtimetest.DoublePath, runtimetest.BadPath)
}

var packageDir string // of the script's package, beside which the double of pwsh lies

const digest = "0123456789abcdef"

// laidOut is a package repository that has one package, laid out.
type laidOut string

func (l laidOut) Layout(context.Context, string) (string, error) { return string(l), nil }

// upstream names a private cloud that nobody is at: the broker logs in at first use only.
type upstream struct{}

func (upstream) Upstream(context.Context, domain.CloudID) (sessions.Upstream, error) {
	password := func(context.Context) (secret.Text, error) { return secret.New("administrator's"), nil }
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		return sessions.Upstream{}, err
	}
	key, err := ssh.NewPublicKey(public)
	return sessions.Upstream{VCenter: "vc.example.test", Addr: "127.0.0.1:1", User: "administrator", Password: password,
		SSH: []sessions.SSHHost{{Name: "VC", Addr: "127.0.0.1:1", User: "root", Password: password, HostKey: key}}}, err
}

// trail keeps audit events.
type trail struct {
	mu     sync.Mutex
	events []audit.Event
}

func (t *trail) Write(_ context.Context, e audit.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, e)
}

func (t *trail) of(id string) (actions []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.events {
		if e.Execution == id && e.Actor == "executor/test" {
			actions = append(actions, e.Action+" "+e.Result)
		}
	}
	return actions
}

// home is an Airlock without its API: store, secret store, broker and executor on a directory.
type home struct {
	dir     string
	store   *store.Store
	secrets *secrets.File
	key     seal.Key
	keys    *seal.Keys
	trail   *trail
	config  executor.Config
	log     *logs
	closed  bool
}

type logs struct {
	mu  sync.Mutex
	all []byte
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, b...)
	return len(b), nil
}

func (l *logs) text() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

func openHome(dir, pkg string) (*home, error) {
	h := &home{dir: dir, trail: &trail{}, log: &logs{}}
	var err error
	if h.key, err = seal.LoadOrCreate(filepath.Join(dir, "keys", "key")); err != nil {
		return nil, err
	}
	if h.secrets, err = secrets.OpenFile(filepath.Join(dir, "secrets"), h.key.Derive("secrets")); err != nil {
		return nil, err
	}
	if h.keys, err = seal.OpenKeys(filepath.Join(dir, "executions"), h.key); err != nil {
		return nil, err
	}
	ended := func(id string) { _ = h.keys.Destroy(id) }
	if h.store, err = store.Open(context.Background(), store.Config{Path: filepath.Join(dir, "state.db"), Key: h.key.Derive("output"), Ended: ended}); err != nil {
		return nil, err
	}
	h.config = executor.Config{
		Store: h.store, Packages: laidOut(pkg), Secrets: h.secrets, Keys: h.keys, Audit: h.trail, Node: "test",
		Sessions: sessions.New(upstream{}, slog.New(slog.DiscardHandler)),
		Dir:      filepath.Join(dir, "executor"), Logger: slog.New(slog.NewJSONHandler(h.log, nil)),
		Isolation: executor.IsolationNone, // the scripts of these tests write where the test reads
	}
	return h, h.store.PutPackage(context.Background(), domain.Package{
		Name: "Torture", Version: "1.0.0", Digest: digest, Pushed: time.Now(), Review: domain.Review{State: domain.Approved}, Manifest: manifest.Manifest{
			ManifestVersion: 1, Name: "Torture", Version: "1.0.0", Runtime: manifest.Go, Cmdlets: runtimetest.Cmdlets(),
			Binaries: map[string]string{goruntime.Platform: runtimetest.ScriptName},
		},
	})
}

// bench is a home with a running executor, for a test.
type bench struct {
	*home
	t    *testing.T
	end  context.CancelFunc
	done chan error
}

// newHome opens a home for a test.
func newHome(t *testing.T) *home {
	t.Helper()
	h, err := openHome(t.TempDir(), packageDir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.close(t) })
	return h
}

// close closes the store.
func (h *home) close(t *testing.T) {
	t.Helper()
	if h.closed {
		return
	}
	h.closed = true
	if err := h.store.Close(); err != nil {
		t.Error(err)
	}
}

// start starts an executor, which ends with the test.
func (h *home) start(t *testing.T, edit ...func(*executor.Executor)) *bench {
	t.Helper()
	e := executor.New(h.config)
	for _, f := range edit {
		f(e)
	}
	ctx, end := context.WithCancel(context.Background())
	b := &bench{home: h, t: t, end: end, done: make(chan error, 1)}
	go func() { b.done <- e.Run(ctx) }()
	t.Cleanup(func() {
		b.stop()
		if t.Failed() {
			t.Logf("the executor's log:\n%s", h.log.text())
		}
	})
	return b
}

// stop stops the executor and waits for it.
func (b *bench) stop() {
	b.t.Helper()
	b.end()
	select {
	case err := <-b.done:
		if err != nil {
			b.t.Error("the executor:", err)
		}
		b.done <- nil
	case <-time.After(60 * time.Second):
		b.t.Fatal("the executor does not end")
	}
}

func cloud(n int) domain.CloudID {
	return domain.CloudID{Subscription: "00000000-0000-0000-0000-000000000000", ResourceGroup: "group", Name: fmt.Sprintf("cloud%d", n)}
}

// addCloud registers a private cloud.
func (h *home) addCloud(n int) error {
	return h.store.PutPrivateCloud(context.Background(), domain.PrivateCloud{ID: cloud(n), VCenter: "vc.example.test"})
}

// execution is one of the script's cmdlets, for Submit.
func execution(n int, name, cmdlet string, parameters ...string) domain.Execution {
	x := domain.Execution{
		ID: uuid.Must(uuid.NewV7()).String(), Cloud: cloud(n), Name: name, Cmdlet: cmdlet,
		Package: domain.PackageRef{Name: "Torture", Version: "1.0.0", Digest: digest},
		Timeout: time.Minute, BodyDigest: []byte(name), Submitted: time.Now(),
	}
	for i := 0; i+1 < len(parameters); i += 2 {
		x.Parameters = append(x.Parameters, domain.Parameter{Name: parameters[i], Type: manifest.String, Value: parameters[i+1]})
	}
	return x
}

// secure gives an execution a secure parameter.
func (h *home) secure(x *domain.Execution, name, value string) error {
	x.Parameters = append(x.Parameters, domain.Parameter{Name: name, Type: manifest.SecureString, Secure: true})
	key, err := h.keys.Make(x.ID)
	if err != nil {
		return err
	}
	x.Sealed, err = seal.SealValues(key, x.ID, domain.SecureValues{"secret": {Password: secret.New(value)}})
	return err
}

// submit submits an execution.
func (b *bench) submit(x domain.Execution) domain.Execution {
	b.t.Helper()
	if err := b.addCloud(cloudNumber(x.Cloud)); err != nil {
		b.t.Fatal(err)
	}
	stored, created, err := b.store.Submit(context.Background(), x)
	if err != nil || !created {
		b.t.Fatal("submit:", created, err)
	}
	return stored
}

func cloudNumber(id domain.CloudID) (n int) {
	_, _ = fmt.Sscanf(id.Name, "cloud%d", &n)
	return n
}

// until waits until the execution is as the condition says.
func (h *home) until(t *testing.T, id string, condition func(domain.Execution) bool) domain.Execution {
	t.Helper()
	changed, stop := h.store.Watch(id)
	defer stop()
	for timeout := time.After(60 * time.Second); ; {
		x, err := h.store.ExecutionByID(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		if condition(x) {
			return x
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("the execution stays %s", x.State)
		}
	}
}

func final(x domain.Execution) bool { return x.State.Final() }

// run submits an execution and waits for its end.
func (b *bench) run(x domain.Execution) domain.Execution {
	b.t.Helper()
	return b.until(b.t, b.submit(x).ID, final)
}

// hears waits until an execution has written a text.
func (h *home) hears(t *testing.T, id, text string) {
	t.Helper()
	h.until(t, id, func(domain.Execution) bool {
		for _, r := range h.records(t, id) {
			if r.Text == text {
				return true
			}
		}
		return false
	})
}

// records reads all output.
func (h *home) records(t *testing.T, id string) (all []domain.Record) {
	t.Helper()
	for after := int64(0); ; {
		page, err := h.store.Records(context.Background(), id, after, 1000, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		all, after = append(all, page...), page[len(page)-1].Seq
	}
}

// wantFailed checks an execution that should have failed.
func wantFailed(t *testing.T, x domain.Execution, code errors.Code) {
	t.Helper()
	if x.State != domain.Failed || x.Failure == nil || x.Failure.Code != code {
		t.Fatalf("%s is %s with %+v, not Failed with %s", x.Name, x.State, x.Failure, code)
	}
	if len(x.NamedOutputs) > 0 {
		t.Errorf("a failed execution has named outputs %v", x.NamedOutputs)
	}
}

func wantSucceeded(t *testing.T, x domain.Execution) {
	t.Helper()
	if x.State != domain.Succeeded {
		t.Fatalf("%s is %s with %+v", x.Name, x.State, x.Failure)
	}
}

// wantNothingLeft checks that no work directory and no record of processes is there.
func (h *home) wantNothingLeft(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(h.config.Dir, "work"))
	if err != nil || len(entries) > 0 {
		t.Errorf("in the executor's directory there is still %v (%v)", entries, err)
	}
}

// kept reads the package's persistent secrets.
func (h *home) kept(t *testing.T, n int) map[string]string {
	t.Helper()
	values, err := h.secrets.Read(context.Background(), cloud(n), "Torture")
	if err != nil {
		t.Fatal(err)
	}
	plain := map[string]string{}
	for name, v := range values {
		plain[name] = v.Reveal()
	}
	return plain
}

// running says whether a process runs.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
