package sandbox_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor/internal/sandbox"
)

// count is what a process has of the machine.
type count struct{ children, descriptors, mounts, groups, goroutines, files int }

// leaves begins the names of this process's rooms.
func leaves() string { return fmt.Sprintf("leaves%d-", os.Getpid()) }

func counted(t *testing.T, dir string) (c count) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		data, _ := os.ReadFile(task)
		c.children += len(bytes.Fields(data))
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	c.descriptors, c.mounts, c.goroutines, c.files = len(fds), bytes.Count(mounts, []byte("\n")), runtime.NumGoroutine(), len(files)
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), "airlock-"+leaves()) {
			c.groups++
		}
		return nil
	})
	return c
}

// TestIsolatedLeavesNothing runs scripts that ignore signals, fork, and fill memory, disk, threads and descriptors,
// kills them, and counts what there was before the first of them and is after the last. AIRLOCK_ROOMS=500 makes it 500.
func TestIsolatedLeavesNothing(t *testing.T) {
	exe := attackProgram(t)
	runs := 20
	if os.Getenv("AIRLOCK_ROOMS") == "500" {
		runs = 500
	}
	dir := t.TempDir()
	rage := func(runs int) (took []time.Duration) {
		s, err := sandbox.NewIsolated(sandbox.Limits{Memory: 128 << 20, Threads: 128, Files: 256, WorkDirectory: 256 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for i := range runs {
			took = append(took, rampage(t, s, filepath.Join(dir, fmt.Sprint(leaves(), i)), exe))
		}
		return took
	}
	rage(1) // what Go itself takes once is there
	before := counted(t, dir)
	took := rage(runs)
	slices.Sort(took)
	t.Logf("from the kill until all was gone: half of them within %v, all within %v", took[len(took)/2], took[len(took)-1])
	if took[len(took)/2] > time.Second {
		t.Error("that is more than a second")
	}
	if after := counted(t, dir); after != before {
		t.Errorf("before %+v, after %d runs %+v", before, runs, after)
	}
}

// rampage runs a script that goes wild in a room of its own, kills it, and says how long it took until all of it was
// gone.
func rampage(t *testing.T, s sandbox.Sandbox, dir, exe string) time.Duration {
	t.Helper()
	for _, name := range []string{sandbox.Home, sandbox.Tmp} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	r, err := s.Open(t.Context(), sandbox.Place{Dir: dir, Package: filepath.Dir(exe)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Listen("vc.example.test", 443); err != nil {
		t.Fatal(err)
	}
	var began time.Time
	said, end := tryAttackUntil(t, r, exe, world{Attack: "rampage", Amount: 64}, func() { began = time.Now() })
	if said != "succeeded" || end.How != "signal: killed" {
		t.Fatalf("it says %q and %+v", said, end)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	return took
}
