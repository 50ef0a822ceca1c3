// Package runtimetest is what every runtime has to pass: it runs the cmdlets of Cmdlets through the runtime, in a real
// room. For Go the package that provides them is made of the command script, for PowerShell it is the module Torture, in
// place of which the command pwshdouble has them too.
package runtimetest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/secret"
)

// Import paths of programs for Main to build.
const (
	ScriptPath = "github.com/airlock-run/airlock/executor/internal/runtimetest/script"    // of Go's package with Cmdlets
	DoublePath = "github.com/airlock-run/airlock/executor/internal/powershell/pwshdouble" // of pwsh
	BadPath    = "github.com/airlock-run/airlock/executor/internal/powershell/badpwsh"    // one that does not work, by its name
)

// Main is the TestMain of a package that needs programs: they are built into the directory that use gets, each by the last
// part of its import path.
func Main(m *testing.M, use func(dir string), programs ...string) {
	dir, err := os.MkdirTemp("", "airlock-script")
	if err == nil {
		err = os.Chmod(dir, 0o755) // a room's user reads it
	}
	if err == nil {
		build := exec.Command("go", append([]string{"build", "-o", dir + "/"}, programs...)...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the programs of the tests cannot be built:", err)
		os.Exit(1)
	}
	use(dir)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// Suite is what is tested.
type Suite struct {
	Runtime  runtime.Runtime
	Package  string // directory of the package with Cmdlets
	Manifest manifest.Manifest
}

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	t.Run("streams and named outputs", s.streams)
	t.Run("the script is told all", s.told)
	t.Run("standard output and error", s.plain)
	t.Run("changes of secrets", s.secrets)
	t.Run("failure", s.failure)
	t.Run("hard ends", s.hard)
	t.Run("asked to end", s.asked)
	t.Run("killed", s.killed)
	t.Run("stopped before it starts", s.notStarted)
	t.Run("children", s.children)
	t.Run("many lines in order", s.lines)
}

// Host records what a runtime reports.
type Host struct {
	StartErr error // what Started answers

	mu       sync.Mutex
	starts   int
	records  []domain.Record
	changes  map[string]*secret.Text
	progress []string
	written  chan string // every text, as it comes
}

// NewHost returns a host.
func NewHost() *Host {
	return &Host{changes: map[string]*secret.Text{}, written: make(chan string, 1<<16)}
}

// Started implements runtime.Host.
func (h *Host) Started() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.starts++
	return h.StartErr
}

// Write implements runtime.Host.
func (h *Host) Write(s domain.Stream, text []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.records = append(h.records, domain.Record{Stream: s, Text: string(text)})
	select {
	case h.written <- string(text):
	default:
	}
}

// SetSecret implements runtime.Host.
func (h *Host) SetSecret(name string, v *secret.Text) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes[name] = v
}

// Progress implements runtime.Host.
func (h *Host) Progress(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.progress = append(h.progress, text)
}

// Changes are the changes of secrets that were told.
func (h *Host) Changes() map[string]*secret.Text {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.changes)
}

// Starts is how often the cmdlet was reported as started.
func (h *Host) Starts() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.starts
}

// Texts are the texts of a stream.
func (h *Host) Texts(s domain.Stream) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var texts []string
	for _, r := range h.records {
		if r.Stream == s {
			texts = append(texts, r.Text)
		}
	}
	return texts
}

// until waits until the script has written text.
func (h *Host) until(t *testing.T, text string) {
	t.Helper()
	for timeout := time.After(30 * time.Second); ; {
		select {
		case got := <-h.written:
			if got == text {
				return
			}
		case <-timeout:
			t.Fatalf("the script did not write %q", text)
		}
	}
}

// run is a run of a cmdlet that can be waited for.
type run struct {
	host *Host
	stop chan struct{}
	kill context.CancelFunc
	end  chan runtime.End
}

// Wait waits for the end.
func (r *run) wait(t *testing.T) runtime.End {
	t.Helper()
	select {
	case end := <-r.end:
		return end
	case <-time.After(30 * time.Second):
		t.Fatal("the runtime did not come back")
		return runtime.End{}
	}
}

func (s Suite) start(t *testing.T, cmdlet string, parameters map[string]string, edit ...func(*runtime.Prepared, *Host)) *run {
	t.Helper()
	none, err := sandbox.NewNone()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "0193")
	for _, name := range []string{sandbox.Home, sandbox.Tmp} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c, ok := s.Manifest.Cmdlet(cmdlet)
	if !ok {
		t.Fatal("no cmdlet", cmdlet)
	}
	p := runtime.Prepared{Manifest: s.Manifest, Cmdlet: c, Package: s.Package}
	p.Execution = domain.Execution{ID: "0193", Name: "x", Cmdlet: cmdlet, Timeout: time.Hour, Package: domain.PackageRef{Name: s.Manifest.Name}}
	for name, value := range parameters {
		p.Execution.Parameters = append(p.Execution.Parameters, domain.Parameter{Name: name, Type: manifest.String, Value: value})
	}
	r := &run{host: NewHost(), stop: make(chan struct{}), end: make(chan runtime.End, 1)}
	for _, e := range edit {
		e(&p, r.host)
	}
	place := sandbox.Place{Dir: dir, Package: s.Package}
	if err := s.Runtime.Furnish(p, &place); err != nil {
		t.Fatal(err)
	}
	room, err := none.Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	p.Room = room
	ctx, kill := context.WithCancel(context.Background())
	r.kill = kill
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.end <- s.Runtime.Run(ctx, p, r.stop, r.host)
	}()
	t.Cleanup(func() {
		kill()
		<-done
		if err := room.Close(); err != nil {
			t.Error(err)
		}
		if err := none.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// Do runs a cmdlet to its end.
func (s Suite) Do(t *testing.T, cmdlet string, parameters map[string]string) (runtime.End, *Host) {
	t.Helper()
	r := s.start(t, cmdlet, parameters)
	return r.wait(t), r.host
}

// WantFailure checks that an end is ScriptFailed with a message that has the words.
func WantFailure(t *testing.T, end runtime.End, words ...string) {
	t.Helper()
	if !errors.Has(end.Err, errors.ScriptFailed) {
		t.Fatalf("it ended with %v", end.Err)
	}
	for _, w := range words {
		if message := errors.For(end.Err, "").Message; !strings.Contains(message, w) {
			t.Errorf("the message %q does not say %q", message, w)
		}
	}
}

func wantWell(t *testing.T, end runtime.End) {
	t.Helper()
	if end.Err != nil {
		t.Fatalf("it failed: %v", end.Err)
	}
}

func (s Suite) streams(t *testing.T) {
	end, h := s.Do(t, "Write-All", nil)
	wantWell(t, end)
	want := []domain.Record{
		{Stream: domain.Output, Text: "stream 1"}, {Stream: domain.Information, Text: "stream 2"},
		{Stream: domain.Warning, Text: "stream 3"}, {Stream: domain.Error, Text: "stream 4"},
		{Stream: domain.Output}, {Stream: domain.Output, Text: "last"},
	}
	if !slices.Equal(h.records, want) {
		t.Errorf("records: %+v", h.records)
	}
	if want := []string{"copying | 3 of 7", ""}; !slices.Equal(h.progress, want) {
		t.Errorf("progress: %q", h.progress)
	}
	if len(end.NamedOutputs) != 2 || end.NamedOutputs["two"] != "zwei" {
		t.Errorf("named outputs: %v", end.NamedOutputs)
	}
	if h.starts != 1 {
		t.Errorf("the cmdlet was reported as started %d times", h.starts)
	}
}

// Told is what Write-Start says that a script was told, as JSON. A runtime's own tests look for what only it tells.
func (s Suite) Told(t *testing.T) string {
	t.Helper()
	r := s.start(t, "Write-Start", map[string]string{"Plain": "text"}, func(p *runtime.Prepared, _ *Host) {
		p.Execution.Hidden = []domain.Parameter{
			{Name: "Password", Type: manifest.SecureString, Secure: true},
			{Name: "Login", Type: manifest.Credential, Secure: true},
		}
		p.Secure = domain.SecureValues{"password": {Password: secret.New("pw-1")}, "login": {Username: "joe", Password: secret.New("pw-2")}}
		p.Secrets = map[string]secret.Text{"kept": secret.New("pw-3")}
		p.Cloud = domain.PrivateCloud{ID: domain.CloudID{Subscription: "s", ResourceGroup: "g", Name: "c"}, VCenter: "vc.test", DNSSuffix: "test", AadAuthority: "https://login.test"}
		p.Grant = domain.Grant{CA: []byte("ca"), User: "execution-x", Token: secret.New("token"), Key: secret.New("key"),
			VCenter: domain.Endpoint{Host: "vc.test", Addr: "127.0.0.1:1"}, Hosts: []domain.Endpoint{{Host: "esx.test", Addr: "127.0.0.1:3"}},
			SSH: []domain.SSHEndpoint{{Endpoint: domain.Endpoint{Host: "VC", Addr: "127.0.0.1:2"}, HostKey: "ssh-ed25519 x"}}}
	})
	wantWell(t, r.wait(t))
	texts := r.host.Texts(domain.Output)
	if len(texts) != 1 {
		t.Fatalf("output: %q, errors: %q", texts, r.host.Texts(domain.Error))
	}
	return texts[0]
}

func (s Suite) told(t *testing.T) {
	var got struct {
		VCAddress, SddcDNSSuffix, SddcResourceID, AadAuthority string

		Parameters      map[string]struct{ Type, Value, Username string }
		Secrets, Secure map[string]string
	}
	if err := json.Unmarshal([]byte(s.Told(t)), &got); err != nil {
		t.Fatal(err)
	}
	said := fmt.Sprint(got)
	want := "{vc.test test /subscriptions/s/resourceGroups/g/providers/Microsoft.AVS/privateClouds/c https://login.test" +
		" map[Login:{Credential  joe} Password:{SecureString  } Plain:{String text }] map[kept:pw-3]" +
		" map[Login:pw-2 Password:pw-1 Plain:]}"
	if said != want {
		t.Errorf("the script was told\n%s, not\n%s", said, want)
	}
}

func (s Suite) plain(t *testing.T) {
	end, h := s.Do(t, "Write-Plain", nil)
	wantWell(t, end)
	texts := h.Texts(domain.Output)
	last := len(texts) - 1
	if last < 5 || texts[0] != "one" || texts[1] != "two" || texts[2] != "" || texts[last] != "unfinished" {
		t.Fatalf("%d records of output", len(texts))
	}
	for _, text := range texts[3:last] {
		if len(text) > domain.MaxRecord {
			t.Errorf("a record has %d bytes", len(text))
		}
	}
	if long := strings.Join(texts[3:last], ""); long != strings.Repeat("ä", 1<<20) {
		t.Errorf("a long line became %d records of %d bytes together", last-3, len(long))
	}
	if got := h.Texts(domain.Error); !slices.Equal(got, []string{"an error"}) {
		t.Errorf("errors: %q", got)
	}
}

func (s Suite) secrets(t *testing.T) {
	r := s.start(t, "Set-Secrets", map[string]string{"Value": "hunter22"}, func(p *runtime.Prepared, _ *Host) {
		p.Secrets = map[string]secret.Text{"removed": secret.New("old"), "untouched": secret.New("kept")}
	})
	h := r.host
	wantWell(t, r.wait(t))
	set, removed := h.changes["made-by-script"], h.changes["removed"]
	if len(h.changes) != 2 || set == nil || set.Reveal() != "hunter22" || removed != nil {
		t.Errorf("changes: %v", h.changes)
	}
}

func (s Suite) failure(t *testing.T) {
	end, h := s.Do(t, "Stop-Failing", nil)
	WantFailure(t, end, "The disk is too small")
	if got := h.Texts(domain.Error); !slices.Equal(got, []string{"about to fail"}) {
		t.Errorf("errors: %q", got)
	}
}

func (s Suite) hard(t *testing.T) {
	end, h := s.Do(t, "Stop-Hard", nil)
	WantFailure(t, end, "exit code 3")
	if got := h.Texts(domain.Output); !slices.Equal(got, []string{"before the end"}) {
		t.Errorf("output: %q", got)
	}
	end, _ = s.Do(t, "Stop-Killed", nil)
	WantFailure(t, end, "signal: killed")
}

func (s Suite) asked(t *testing.T) {
	r := s.start(t, "Wait-Cancel", nil)
	r.host.until(t, "ready")
	close(r.stop)
	r.wait(t)
	if got := r.host.Texts(domain.Output); len(got) != 2 || !strings.HasPrefix(got[1], "asked: ") {
		t.Errorf("output: %q", got)
	}
}

func (s Suite) killed(t *testing.T) {
	for _, cmdlet := range []string{"Wait-Forever", "Write-Flood"} {
		r := s.start(t, cmdlet, nil)
		select {
		case <-r.host.written:
		case end := <-r.end:
			t.Fatalf("%s ended with %v", cmdlet, end.Err)
		}
		close(r.stop)
		r.kill()
		r.wait(t)
	}
}

func (s Suite) notStarted(t *testing.T) {
	r := s.start(t, "Write-All", nil, func(_ *runtime.Prepared, h *Host) {
		h.StartErr = errors.Newf(errors.ScriptFailed, "It is not to start.")
	})
	WantFailure(t, r.wait(t), "It is not to start.")
	if len(r.host.records) != 0 {
		t.Errorf("it ran all the same: %+v", r.host.records)
	}
}

// What a script leaves behind, holding its descriptors open, does not hold up the end.
func (s Suite) children(t *testing.T) {
	end, h := s.Do(t, "Start-Children", nil)
	wantWell(t, end)
	for _, text := range h.Texts(domain.Information) {
		_, pid, _ := strings.Cut(text, " ")
		if n, err := strconv.Atoi(pid); err != nil || alive(n) {
			t.Errorf("%s: a child is left", text)
		}
	}
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func (s Suite) lines(t *testing.T) {
	const count = 20_000
	end, h := s.Do(t, "Write-Lines", map[string]string{"Count": strconv.Itoa(count)})
	wantWell(t, end)
	for _, stream := range domain.Streams {
		texts := h.Texts(stream)
		if len(texts) != count/4 {
			t.Fatalf("%s has %d lines", stream, len(texts))
		}
		for i, text := range texts {
			if want := fmt.Sprintf("line %d of stream %d", i, stream); text != want {
				t.Fatalf("%s: line %d is %q", stream, i, text)
			}
		}
	}
}
