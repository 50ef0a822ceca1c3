package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/packages"
	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/secrets"
	"github.com/airlock-run/airlock/server"
)

const (
	subscription = "11111111-2222-3333-4444-555555555555"
	group        = "Group-1"
	token        = "a-token-of-the-tests"
	cloudPath    = "/subscriptions/" + subscription + "/resourceGroups/" + group + "/providers/Microsoft.AVS/privateClouds/Cloud-1"
	version      = "2025-09-01"
)

var cloudID = domain.CloudID{Subscription: subscription, ResourceGroup: group, Name: "Cloud-1"}

// env is the API over TLS on a real store. Only the packages and what runs scripts are the test's own.
type env struct {
	t       testing.TB
	store   *store.Store
	secrets *secrets.File
	server  *server.Server
	https   *httptest.Server
	audit   *events
	log     *lockedBuffer

	credential azcore.TokenCredential // of the SDK
}

func start(t testing.TB, change ...func(*server.Config)) *env {
	t.Helper()
	e := &env{t: t, audit: &events{}, log: &lockedBuffer{}, credential: developer{}}
	var err error
	if e.store, err = store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "state.db"), Key: seal.NewKey()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.store.Close() })
	for _, name := range []string{"Cloud-1", "Cloud-2"} {
		err := e.store.PutPrivateCloud(t.Context(), domain.PrivateCloud{
			ID:       domain.CloudID{Subscription: subscription, ResourceGroup: group, Name: name},
			Location: "westeurope", SKU: "av36", NetworkBlock: "10.0.0.0/22", ClusterSize: 3, State: domain.CloudSucceeded, VCenter: "vc.example",
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	key := seal.NewKey()
	if e.secrets, err = secrets.OpenFile(filepath.Join(t.TempDir(), "secrets"), key.Derive("secrets")); err != nil {
		t.Fatal(err)
	}
	repository, err := packages.Open(filepath.Join(t.TempDir(), "packages"), e.store)
	if err != nil {
		t.Fatal(err)
	}
	config := server.Config{
		Store: e.store, Packages: catalogue{inventory("1.0.0"), inventory("1.2.0")}, Sealer: sealer{key.Derive("values"), key.Derive("bodies")},
		Secrets: e.secrets, Feed: noFeed{}, Repository: repository,
		Authenticator: server.NewStaticToken(secret.New(token)), Providers: []domain.Principal{server.Developer}, Audit: e.audit,
		Logger: slog.New(slog.NewTextHandler(e.log, nil)),
		Now:    time.Now, NewID: func() string { return uuid.Must(uuid.NewV7()).String() },
	}
	e.https = httptest.NewUnstartedServer(nil)
	config.URL, config.Identities, config.TokenKey = "https://"+e.https.Listener.Addr().String(), e.store, key.Derive("signing keys")
	for _, c := range change {
		c(&config)
	}
	e.server = server.New(config)
	e.https.Config = e.server.HTTPServer()
	e.https.EnableHTTP2 = true
	e.https.StartTLS()
	t.Cleanup(func() {
		e.server.Release()
		e.https.Close()
	})
	return e
}

// challenge is what whoever is not let in is told about tokens.
func (e *env) challenge(authority string) string {
	return `Bearer authorization_uri="` + authority + `", resource_metadata="` + e.https.URL + `/.well-known/oauth-protected-resource"`
}

type sealer struct{ values, bodies seal.Key }

func (s sealer) Discard(string) {}

func (s sealer) SealValues(id string, v domain.SecureValues) ([]byte, error) {
	return seal.SealValues(s.values, id, v)
}
func (s sealer) Digest(b []byte) []byte { return s.bodies.Digest(b) }

// catalogue is a package repository in memory. Patterns end in "*"; the last version that fits wins.
type catalogue []domain.Package

func (c catalogue) List(_ context.Context, _ domain.PrivateCloud, all bool) ([]domain.Package, error) {
	if !all {
		return c[len(c)-1:], nil
	}
	return c, nil
}

func (c catalogue) Resolve(_ context.Context, _ domain.PrivateCloud, ref string) (domain.Package, error) {
	prefix, pattern := strings.CutSuffix(strings.ToLower(ref), "*")
	for i := len(c) - 1; i >= 0; i-- {
		have := strings.ToLower(c[i].Ref())
		if have == prefix || pattern && strings.HasPrefix(have, prefix) {
			return c[i], nil
		}
	}
	return domain.Package{}, errors.Newf(errors.ResourceNotFound, "There is no package %s.", ref)
}

// noFeed is one of no packages.
type noFeed struct{}

func (noFeed) Read(http.ResponseWriter, *http.Request, string, string) error {
	return errors.Newf(errors.ResourceNotFound, "There is nothing.")
}

func (noFeed) Push(*http.Request, domain.Principal) (domain.Package, error) {
	return domain.Package{}, errors.Newf(errors.InvalidRequestContent, "That is no package.")
}

func (noFeed) Import(*http.Request, domain.Principal) (domain.Package, error) {
	return domain.Package{}, errors.Newf(errors.InvalidRequestContent, "That is no library.")
}

func inventory(version string) domain.Package {
	return domain.Package{
		Name: "Example.Inventory", Version: version, Digest: strings.Repeat("ab", 32), Pushed: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Manifest: manifest.Manifest{
			ManifestVersion: 1, Name: "Example.Inventory", Version: version, Description: "Looks at things", Company: "Example Ltd",
			ProjectURI: "https://example.com", Runtime: manifest.Go,
			Cmdlets: []manifest.Cmdlet{
				{Name: "Get-Inventory", Description: "Lists things", Parameters: []manifest.Parameter{
					{Name: "ClusterName", Type: manifest.String, Required: true, Description: "which one"},
					{Name: "Limit", Type: manifest.Int}, {Name: "Ratio", Type: manifest.Float}, {Name: "Deep", Type: manifest.Bool},
					{Name: "Token", Type: manifest.SecureString}, {Name: "Login", Type: manifest.Credential},
				}},
				{Name: "Invoke-Failure", Description: "Fails", TimeoutSeconds: 60},
				{Name: "Start-Sleep", Description: "Waits for its end"},
				{Name: "Update-Inventory", Description: "Is nobody's to run by hand", AutomationOnly: true},
			},
		},
	}
}

// run is one execution in the hands of the test's executor.
type run struct {
	*env
	domain.Claim
	seq int64
}

func (r *run) write(stream domain.Stream, lines ...string) {
	r.t.Helper()
	var records []domain.Record
	for _, line := range lines {
		r.seq++
		records = append(records, domain.Record{Seq: r.seq, Time: time.Now(), Stream: stream, Text: line})
	}
	if err := r.store.Append(context.Background(), r.Execution.ID, r.Fence, records); err != nil {
		r.t.Error(err)
	}
}

// ended waits until the execution is asked to end.
func (r *run) ended(ctx context.Context) {
	changed, stop := r.store.Watch(r.Execution.ID)
	defer stop()
	for {
		x, err := r.store.ExecutionByID(context.Background(), r.Execution.ID)
		if err != nil || x.State != domain.Running {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// execute runs what is submitted by script, as an executor does, until the test ends.
func (e *env) execute(script func(context.Context, *run) domain.Outcome) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for ctx.Err() == nil {
			claims, err := e.store.Claim(ctx, "test", 10)
			if err != nil && ctx.Err() == nil {
				e.t.Error(err)
			}
			for _, c := range claims {
				all.Go(func() {
					r := &run{env: e, Claim: c}
					if err := e.store.Start(context.Background(), c.Execution.ID, c.Fence); err != nil {
						e.t.Error(err)
					}
					if err := e.store.Finish(context.Background(), c.Execution.ID, c.Fence, script(ctx, r)); err != nil {
						e.t.Error(err)
					}
				})
			}
			if len(claims) == 0 {
				select {
				case <-e.store.Work():
				case <-ctx.Done():
				}
			}
		}
	})
	e.t.Cleanup(func() { cancel(); all.Wait() })
}

// byName plays the three cmdlets.
func byName(ctx context.Context, r *run) domain.Outcome {
	switch r.Execution.Cmdlet {
	case "Get-Inventory":
		r.write(domain.Output, "host-1", "host-2")
		return domain.Outcome{State: domain.Succeeded, Warning: "A remark.", NamedOutputs: map[string]string{"hosts": "2"}}
	case "Invoke-Failure":
		for _, stream := range domain.Streams {
			r.write(stream, "on "+stream.String())
		}
		return domain.Outcome{State: domain.Failed, Failure: &domain.Failure{Code: errors.ScriptFailed, Message: "It fails, as it says. Run another."}}
	}
	r.write(domain.Output, "sleeping")
	r.ended(ctx)
	return domain.Outcome{State: domain.Canceled}
}

// reply is an answer that has been read.
type reply struct {
	*http.Response
	body []byte
}

// do sends a request to path, with the query that it has, as a developer does. A header that is "" is taken away.
func (e *env) do(method, path, body string, headers ...string) reply {
	e.t.Helper()
	if !strings.Contains(path, "?") {
		path += "?"
	}
	req, err := http.NewRequestWithContext(context.Background(), method, e.https.URL+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	if !strings.Contains(path, "api-version") {
		req.URL.RawQuery += "&api-version=" + version
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(headers); i += 2 {
		if req.Header.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
	}
	resp, err := e.https.Client().Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return reply{resp, data}
}

// want checks the status and, where there is one, the code of an answer.
func (r reply) want(t testing.TB, status int, code errors.Code) reply {
	t.Helper()
	if r.StatusCode != status || r.Header.Get("x-ms-error-code") != string(code) {
		t.Fatalf("%s %s answered %d %s, want %d %s: %s", r.Request.Method, r.Request.URL, r.StatusCode, r.Header.Get("x-ms-error-code"), status, code, r.body)
	}
	return r
}

type errorReply struct {
	Error struct{ Code, Message, Target string }
}

func decode[T any](t testing.TB, r reply) (v T) {
	t.Helper()
	if err := json.Unmarshal(r.body, &v); err != nil {
		t.Fatalf("%v in %s", err, r.body)
	}
	return v
}

// put is the body of a PUT: the cmdlet's package and name, then further properties as JSON.
func put(cmdlet, more string) string {
	if more != "" {
		more = "," + more
	}
	return `{"properties":{"scriptCmdletId":"` + cloudPath + `/scriptPackages/Example.Inventory@1.*/scriptCmdlets/` + cmdlet + `"` + more + `}}`
}

type executionReply struct {
	ID, Name, Type string
	SystemData     *struct{ CreatedAt time.Time }
	Properties     struct {
		ScriptCmdletID, Timeout, Retention, ProvisioningState, FailureReason, FailureCode, StatusMessage, ResolvedCmdletID string

		SubmittedAt, StartedAt, FinishedAt    *time.Time
		Parameters                            []map[string]any
		HiddenParameters                      any
		NamedOutputs                          map[string]string
		Output, Information, Warnings, Errors []string
	}
}

// finished waits for the end of an execution by its operation's status, as clients do.
func (e *env) finished(put reply) map[string]any {
	e.t.Helper()
	address := put.Header.Get("Azure-AsyncOperation")
	path, ok := strings.CutPrefix(address, e.https.URL)
	if !ok {
		e.t.Fatalf("Azure-AsyncOperation is %q", address)
	}
	for {
		status := decode[map[string]any](e.t, e.do("GET", path, "").want(e.t, 200, ""))
		if status["endTime"] != nil {
			return status
		}
	}
}

type events struct {
	mu  sync.Mutex
	all []audit.Event
}

func (e *events) Write(_ context.Context, event audit.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
}

func (e *events) list() []audit.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]audit.Event(nil), e.all...)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
