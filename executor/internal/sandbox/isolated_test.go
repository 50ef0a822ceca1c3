package sandbox_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/executor/internal/sandboxtest"
)

var isolated = sandboxtest.Suite{Name: "isolated", Runtime: libraries(), Open: func() (sandbox.Sandbox, error) {
	return sandbox.NewIsolated(sandbox.Limits{})
}}

// libraries are what a dynamic executable, such as a test binary with the race detector, needs.
func libraries() (paths []string) {
	for _, path := range []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64"} {
		if _, err := os.Lstat(path); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

func TestMain(m *testing.M) {
	if os.Args[0] == victimName {
		beVictim()
		return
	}
	sandboxtest.Main(m, none, isolated)
}

func TestIsolated(t *testing.T) { sandboxtest.Run(t, isolated) }

// ordinary is the user, nobody's, that tests run as again.
const ordinary = 65534

// TestAsOrdinaryUser runs the tests of the isolated sandbox as somebody else than root.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this is one already")
	}
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	again := exec.Command("/proc/self/exe", "-test.run=^TestIsolated", "-test.count=1", "-test.v")
	dir, err := os.MkdirTemp("/tmp", "airlock-ordinary-") // TMPDIR may be root's alone
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program, err := os.ReadFile(attackProgram(t))
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(dir, "attack"), program, 0o755), os.Chown(dir, ordinary, ordinary))
	}
	if err != nil {
		t.Fatal(err)
	}
	again.Env = append(os.Environ(), "HOME=/nonexistent", "TMPDIR="+dir, "AIRLOCK_TEST_ATTACK="+filepath.Join(dir, "attack"))
	again.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinary, Gid: ordinary}}
	out, err := again.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestIsolated") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestIsolatedProbe sees that the probe finds what the tests before it have used.
func TestIsolatedProbe(t *testing.T) {
	for _, f := range sandbox.Probe(t.Context()) {
		if f.Needed && !f.Found {
			t.Errorf("%s was not found (%s)", f.Name, f.Lost)
		}
		if f.Lost == "" || f.Fix == "" {
			t.Errorf("%s does not say what is lost without it, or how to get it", f.Name)
		}
	}
}

// TestIsolatedStill sees that a room's programs can be stopped for a measurement, whatever they do, and go on after it.
func TestIsolatedStill(t *testing.T) {
	exe := attackProgram(t)
	s := wild(t)
	defer s.Close()
	r := openRoom(t, s, exe)
	said, end, err := tryUntil(r, exe, world{Attack: "rampage", Amount: 1}, func() {
		for range 3 {
			if sandbox.Stopped(r) {
				t.Error("it is stopped before")
			}
			let := sandbox.Still(r)
			for !sandbox.Stopped(r) { // it may be in the kernel for longer than Still waits
				if t.Context().Err() != nil {
					t.Fatal("it does not stop")
				}
			}
			let()
			for sandbox.Stopped(r) {
				if t.Context().Err() != nil {
					t.Fatal("it does not go on")
				}
			}
		}
	})
	if err != nil || said != "succeeded" || end.How != "signal: killed" {
		t.Errorf("%v, it says %q and %+v", err, said, end)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	if l, err := (sandbox.Limits{}).Complete(); err != nil || l != sandbox.DefaultLimits {
		t.Errorf("%+v, %v", l, err)
	}
	if l, err := sandbox.LeastLimits.Complete(); err != nil || l != sandbox.LeastLimits {
		t.Errorf("%+v, %v", l, err)
	}
	for name, l := range map[string]sandbox.Limits{
		"memory": {Memory: 1}, "threads": {Threads: -1}, "files": {Files: 31}, "work directory": {WorkDirectory: -5},
	} {
		if _, err := sandbox.NewIsolated(l); err == nil || !strings.Contains(err.Error(), "the limit "+name+" is ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestIsolatedLeast sees that a program runs within the least bounds.
func TestIsolatedLeast(t *testing.T) {
	exe := attackProgram(t)
	s, err := sandbox.NewIsolated(sandbox.LeastLimits)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if said, end := tryAttack(t, openRoom(t, s, exe), exe, world{Attack: "fork"}, false); !strings.Contains(said, eperm) || end.Limit != "" {
		t.Errorf("it says %q and %+v", said, end)
	}
}
