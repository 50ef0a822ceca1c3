package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/packages"
)

// asAirlock makes the test's own program be airlock.
const asAirlock = "AIRLOCK_TEST_AS_AIRLOCK"

// patience bounds what should take seconds at most, on a machine that is busy.
const patience = 3 * time.Minute

func TestMain(m *testing.M) {
	if os.Getenv(asAirlock) != "" {
		os.Exit(Main())
	}
	testscript.Main(packed{m}, map[string]func(){"airlock": func() { os.Exit(Main()) }})
}

// packed removes the packages that the tests have packed.
type packed struct{ m *testing.M }

func (p packed) Run() int {
	defer func() { _ = os.RemoveAll(packedDir) }()
	return p.m.Run()
}

var packedDir string

// nupkgs packs the example packages once for all tests: the .nupkg by the name of the folder in examples.
var nupkgs = sync.OnceValues(func() (map[string]string, error) {
	var err error
	if packedDir, err = os.MkdirTemp("", "airlock-packed-"); err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, name := range []string{"inventory", "torture"} {
		p, err := packages.Pack(context.Background(), filepath.Join("..", "examples", name), packedDir, packages.PackOptions{})
		if err != nil {
			return nil, err
		}
		files[name] = p.Path
	}
	return files, nil
})

func nupkg(t testing.TB, name string) string {
	t.Helper()
	files, err := nupkgs()
	if err != nil {
		t.Fatal(err)
	}
	return files[name]
}

// slow says whether the slow attacks are wanted (.ci/test --slow).
func slow() bool { return os.Getenv("AIRLOCK_SLOW") != "" }

// process is an `airlock serve` of its own.
type process struct {
	*client
	cmd   *exec.Cmd
	dir   string // of its state
	ready string // where it said to be ready
	log   *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// isolation is what this machine can do for scripts.
var isolation = sync.OnceValue(func() executor.Isolation {
	if missingForIsolation(context.Background()) != "" {
		return executor.IsolationNone
	}
	return executor.IsolationSandbox
})

// notIsolated is for the tests whose scripts write into a journal; isolated_test.go has what they show in rooms.
const notIsolated = "--isolation=none"

// serveDev starts a server with its state in dir and returns when it is ready. Scripts are isolated where they can be.
func serveDev(t testing.TB, dir string, args ...string) *process {
	t.Helper()
	p := serve(t, dir, append([]string{"--dev", "--state", dir, "--listen", "127.0.0.1:0", "--isolation", string(isolation())}, args...)...)
	p.client = clientOf(t, environmentFile(t, filepath.Join(dir, "dev.env")))
	return p
}

// serveConfig starts a server by a configuration, to which listen and isolation are added, and returns when it is ready.
// Its client has no token.
func serveConfig(t testing.TB, yaml string, args ...string) *process {
	t.Helper()
	dir := stateDir(t)
	p := serve(t, dir, append([]string{"--config", writeConfig(t, yaml), "--state", dir}, args...)...)
	p.client = clientOf(t, map[string]string{"AIRLOCK_ENDPOINT": p.ready, "AIRLOCK_CA": filepath.Join(dir, "ca.pem")})
	return p
}

func writeConfig(t testing.TB, yaml string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "airlock.yaml")
	yaml = fmt.Sprintf("listen: 127.0.0.1:0\nisolation: %s\n%s", isolation(), yaml)
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func serve(t testing.TB, dir string, args ...string) *process {
	t.Helper()
	p := &process{dir: dir, log: new(lockedBuffer)}
	p.cmd = exec.Command(os.Args[0], append([]string{"serve"}, args...)...)
	p.cmd.Env = append(os.Environ(), asAirlock+"=1")
	p.cmd.Stderr = p.log
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.stop(t)
		}
		if t.Failed() {
			t.Logf("the server's log:\n%s", p.log)
		}
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if words, ready := strings.CutPrefix(lines.Text(), "ready at "); ready {
			p.ready, _, _ = strings.Cut(words, " ")
			return p
		}
	}
	t.Fatalf("the server did not become ready: %v\n%s", p.cmd.Wait(), p.log)
	return nil
}

// environmentFile reads a file that a shell can source.
func environmentFile(t testing.TB, path string) map[string]string {
	t.Helper()
	env, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{}
	for line := range strings.Lines(string(env)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		vars[name] = strings.Trim(value, "'")
	}
	return vars
}

func clientOf(t testing.TB, vars map[string]string) *client {
	t.Helper()
	roots, err := authorities(vars["AIRLOCK_CA"])
	if err != nil {
		t.Fatal(err)
	}
	return newClient(vars["AIRLOCK_ENDPOINT"], vars["AIRLOCK_TOKEN"], &tls.Config{RootCAs: roots})
}

// kill9 ends the server as a crash would.
func (p *process) kill9() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// stop ends the server as an operator does.
func (p *process) stop(t testing.TB) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the server ended badly: %v\n%s", err, p.log)
		}
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		t.Errorf("the server does not end: %v\n%s", <-ended, p.log)
	}
}

func cloudPath(n int) string { return simulatedID(fmt.Sprintf("sddc%d", n)).String() }

// torture is a body that runs a cmdlet of examples/torture with plain parameters NAME=VALUE.
func torture(cloud int, cmdlet string, parameters ...string) executionBody {
	var body executionBody
	body.Properties.ScriptCmdletID = cloudPath(cloud) + "/scriptPackages/Airlock.Examples.Torture@1.*/scriptCmdlets/" + cmdlet
	body.Properties.Timeout = "PT5M"
	for _, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		body.Properties.Parameters = append(body.Properties.Parameters, parameter{Name: name, Type: "Value", Value: &value})
	}
	return body
}

func (p *process) put(t testing.TB, cloud int, name string, body executionBody) {
	t.Helper()
	if _, err := p.do(t.Context(), http.MethodPut, cloudPath(cloud)+"/scriptExecutions/"+name, body, nil); err != nil {
		t.Fatalf("PUT %s: %v", name, err)
	}
}

// ended waits for the end of an execution and returns it with all that it wrote.
func (p *process) ended(t testing.TB, cloud int, name string) execution {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var x execution
	path := cloudPath(cloud) + "/scriptExecutions/" + name
	if err := p.follow(ctx, path, true, func(r record) error { x.records = append(x.records, r); return nil }); err != nil {
		t.Fatalf("following %s: %v", name, err)
	}
	var r resource
	if _, err := p.do(ctx, http.MethodGet, path, nil, &r); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(r.Properties, &x.executionProperties); err != nil {
		t.Fatal(err)
	}
	return x
}

// raw is an answer as it is on the wire.
func (p *process) raw(t testing.TB, method, path string) []byte {
	t.Helper()
	address, err := p.address(path)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	resp, err := p.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// journal is a named pipe that scripts append to, so that the test learns of each line as it is written.
type journal struct {
	path  string
	lines chan line
}

type line struct {
	what, name string
	at         int64 // nanoseconds since 1970, by the script
}

func newJournal(t testing.TB) *journal {
	t.Helper()
	j := &journal{path: filepath.Join(t.TempDir(), "journal"), lines: make(chan line, 10_000)}
	if err := syscall.Mkfifo(j.path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(j.path, os.O_RDWR, 0) // also for writing, so that it stays open between scripts
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(f); s.Scan(); {
			var l line
			if _, err := fmt.Sscan(s.Text(), &l.what, &l.name, &l.at); err == nil {
				j.lines <- l
			}
		}
	}()
	t.Cleanup(func() { f.Close(); <-read })
	return j
}

func (j *journal) next(t testing.TB) line {
	t.Helper()
	select {
	case l := <-j.lines:
		return l
	case <-time.After(patience):
		t.Fatal("no script wrote into the journal")
		return line{}
	}
}

// scriptsOf lists the processes that execute one of the server's packages, in whatever room they are.
func scriptsOf(t testing.TB, dir string) (found []string) {
	t.Helper()
	type file struct{ dev, ino uint64 }
	programs := map[file]bool{}
	err := filepath.WalkDir(filepath.Join(dir, "packages"), func(path string, entry fs.DirEntry, err error) error {
		var st syscall.Stat_t
		if err == nil && entry.Type().IsRegular() && syscall.Stat(path, &st) == nil {
			programs[file{st.Dev, st.Ino}] = true
		}
		return nil // what goes away meanwhile is no program
	})
	if err != nil || len(programs) == 0 {
		t.Fatalf("%v: the server has no packages", err)
	}
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		var st syscall.Stat_t
		if syscall.Stat(link, &st) == nil && programs[file{st.Dev, st.Ino}] {
			found = append(found, filepath.Dir(link))
		}
	}
	return found
}

// started waits until an execution of Write-Log has said in its output that it runs.
func (p *process) started(t testing.TB, cloud int, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen := errors.New("it has started")
	err := p.follow(ctx, cloudPath(cloud)+"/scriptExecutions/"+name, true, func(r record) error {
		if strings.HasPrefix(r.Text, "start ") {
			return seen
		}
		return nil
	})
	if err != seen {
		t.Fatalf("%s has not said that it runs: %v", name, err)
	}
}

// notes are what an execution of Write-Log has written of its start and end into its output.
func (x execution) notes() (lines []line) {
	for _, r := range x.records {
		var l line
		if _, err := fmt.Sscan(r.Text, &l.what, &l.name, &l.at); err == nil {
			lines = append(lines, l)
		}
	}
	return lines
}

// stateDir is a directory for a server's state, which the server makes itself.
func stateDir(t testing.TB) string { return filepath.Join(t.TempDir(), "state") }
