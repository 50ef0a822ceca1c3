package sandbox_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor/internal/loader"
	"github.com/airlock-run/airlock/executor/internal/sandbox"
)

// denials keeps what a room reports.
type denials struct {
	mu  sync.Mutex
	all []sandbox.Denial
}

func (d *denials) add(one sandbox.Denial) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, one)
}

func (d *denials) calls() (calls []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range d.all {
		if !slices.Contains(calls, one.Call) {
			calls = append(calls, one.Call)
		}
	}
	return calls
}

const pythonScript = `
import ctypes, os, sqlite3, ssl, subprocess, sys, threading
print("ssl", ssl.create_default_context() is not None, sqlite3.connect(":memory:").execute("select 1").fetchone())
done = []
def work(i):
    path = os.path.join(os.environ["HOME"], str(i))
    with open(path, "w") as f: f.write(path)
    with open(path) as f: done.append(f.read() == path)
threads = [threading.Thread(target=work, args=(i,)) for i in range(50)]
for t in threads: t.start()
for t in threads: t.join()
print("threads", sum(done))
for what in (lambda: subprocess.run(["/bin/true"]), os.fork, lambda: os.execv("/bin/true", ["true"])):
    try:
        what()
        print("a child was started")
    except OSError as e:
        print("refused", e.errno)
sys.stdout.flush()
os._exit(0)
`

const nodeScript = `
const { Worker, isMainThread, parentPort } = require("worker_threads");
if (isMainThread) {
  let left = 4, sum = 0;
  for (let i = 0; i < 4; i++) new Worker("require('worker_threads').parentPort.postMessage(1)", { eval: true, execArgv: [], env: {} })
    .on("message", n => { sum += n; })
    .on("exit", () => {
      if (--left > 0) return;
      console.log("workers", sum);
      const r = require("child_process").spawnSync("/bin/true");
      console.log("refused", r.error && r.error.code);
      process.exit(0);
    });
}
`

// TestIsolatedRuntimes runs other runtimes than Go's, which have threads of their own, and sees that children are
// refused to them, and reported. They find the machine's libraries that they need, one by one, and no other.
func TestIsolatedRuntimes(t *testing.T) {
	t.Parallel()
	t.Run("python", func(t *testing.T) {
		exe, library, _ := strings.Cut(program(t, "python3", "-c",
			"import os, ssl, sqlite3, sys, sysconfig; print(os.path.realpath(sys.executable)); print(sysconfig.get_path('stdlib'))"), "\n")
		testRuntime(t, exe, library, "sitecustomize.py", pythonScript,
			[]string{"PYTHONPATH=/package", "PYTHONDONTWRITEBYTECODE=1"}, []string{"ssl True (1,)", "threads 50", "refused 1", "refused 1", "refused 1"})
	})
	t.Run("node", func(t *testing.T) {
		exe := program(t, "node", "-p", "process.execPath")
		testRuntime(t, exe, "", "script.js", nodeScript,
			[]string{"NODE_OPTIONS=--require=/package/script.js"}, []string{"workers 4", "refused EPERM"})
	})
}

// program asks a program where it is; a machine without it skips the test.
func program(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Skipf("there is no %s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

func testRuntime(t *testing.T, exe, tree, file, script string, env, want []string) {
	t.Helper()
	dir, pkg := t.TempDir(), t.TempDir()
	for _, name := range []string{sandbox.Home, sandbox.Tmp} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(pkg, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pkg, file), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	needed, err := loader.New(exe)
	if err != nil {
		t.Fatal(err)
	}
	needed.AddProgram(exe)
	if tree != "" {
		needed.AddTree(tree)
	}
	if search := needed.Search(); len(search) > 0 {
		env = append(env, "LD_LIBRARY_PATH="+strings.Join(search, ":"))
	}
	s, err := sandbox.NewIsolated(sandbox.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var denied denials
	r, err := s.Open(t.Context(), sandbox.Place{Dir: dir, Package: pkg, Runtime: needed.Paths(), Denied: denied.add})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p, err := r.Start(sandbox.Command{Path: exe, Env: env, Stdout: in, Stderr: in})
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := out.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said = append(said, lines.Text())
	}
	if end := p.Wait(); !slices.Equal(said, want) || end.How != "exit code 0" {
		t.Errorf("it says %q and %+v, not %q", said, end, want)
	}
	if calls := denied.calls(); len(calls) == 0 {
		t.Error("no denial was reported")
	} else {
		t.Log("reported:", denied.all)
	}
}

// TestIsolatedGoroutines runs a Go program with many goroutines.
func TestIsolatedGoroutines(t *testing.T) {
	exe := attackProgram(t)
	s, err := sandbox.NewIsolated(sandbox.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := openRoom(t, s, exe)
	if said, end := tryAttack(t, r, exe, world{Attack: "2000 goroutines"}, false); said != "succeeded" || end.How != "exit code 0" {
		t.Errorf("it says %q and %+v", said, end)
	}
}
