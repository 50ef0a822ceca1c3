package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor/internal/sandbox"
)

// count is what a process has of the machine: scripts are those of its rooms that run, in whatever namespace.
type count struct{ children, scripts, descriptors, mounts, groups, files int }

// leaves begins the names of this process's rooms.
func leaves() string { return fmt.Sprintf("leaves%d-", os.Getpid()) }

func counted(t *testing.T, dir, exe string) (c count) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		data, _ := os.ReadFile(task)
		c.children += len(bytes.Fields(data))
	}
	script, err := os.Stat(exe)
	if err != nil {
		t.Fatal(err)
	}
	programs, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range programs {
		if info, err := os.Stat(program); err == nil && os.SameFile(info, script) {
			c.scripts++
		}
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
	c.descriptors, c.mounts, c.files = len(fds), bytes.Count(mounts, []byte("\n")), len(files)
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), "airlock-"+leaves()) {
			c.groups++
		}
		return nil
	})
	return c
}

// roomsAtATime is how many rooms TestIsolatedLeavesNothing has open at once, so that it keeps a small machine busy.
const roomsAtATime = 4

// rooms is how many rooms TestIsolatedLeavesNothing opens: AIRLOCK_ROOMS=500 makes it 500.
func rooms(t *testing.T) int {
	given := os.Getenv("AIRLOCK_ROOMS")
	if given == "" {
		return 20
	}
	n, err := strconv.Atoi(given)
	if err != nil || n < 1 {
		t.Fatalf("AIRLOCK_ROOMS is %q, not a number of rooms", given)
	}
	return n
}

// TestIsolatedLeavesNothing runs scripts that ignore signals, fork, and fill memory, disk, threads and descriptors,
// kills them, and counts what there was before the first of them and is after the last.
func TestIsolatedLeavesNothing(t *testing.T) {
	exe := ownProgram(t)
	runs := rooms(t)
	dir := t.TempDir()
	goroutines := runtime.NumGoroutine()
	rage := func(runs int) {
		s := wild(t)
		defer s.Close()
		turns := make(chan int)
		var all sync.WaitGroup
		for range roomsAtATime {
			all.Go(func() {
				for i := range turns {
					if err := rampage(t, s, filepath.Join(dir, fmt.Sprint(leaves(), i)), exe, func() {}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for i := range runs {
			turns <- i
		}
		close(turns)
		all.Wait()
	}
	rage(1) // what Go itself takes once is there
	before := counted(t, dir, exe)
	rage(runs)
	if after := counted(t, dir, exe); after != before || after.scripts > 0 {
		t.Errorf("before %+v, after %d runs %+v", before, runs, after)
	} else {
		t.Logf("before and after %d runs: %+v", runs, after)
	}
	// A goroutine that has said that it is done is still counted until it has gone.
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > goroutines; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("before %d goroutines, after %d runs %d", goroutines, runs, runtime.NumGoroutine())
		}
	}
}

// wild makes a sandbox whose bounds let a script go wild, and a test be short.
func wild(t testing.TB) sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.NewIsolated(sandbox.Limits{Memory: 128 << 20, Threads: 128, Files: 256, WorkDirectory: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ownProgram is the hostile script as a file of this test's own: who executes it, runs in one of its rooms.
func ownProgram(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(attackProgram(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "attack")
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// rampage runs a script that goes wild in a room of its own, and kills it; kill is called just before.
func rampage(t testing.TB, s sandbox.Sandbox, dir, exe string, kill func()) (err error) {
	for _, name := range []string{sandbox.Home, sandbox.Tmp} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return err
		}
	}
	r, err := s.Open(t.Context(), sandbox.Place{Dir: dir, Package: filepath.Dir(exe)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close(), os.RemoveAll(dir)) }()
	if _, err := r.Listen("vc.example.test", 443); err != nil {
		return err
	}
	said, end, err := tryUntil(r, exe, world{Attack: "rampage", Amount: 64}, kill)
	if err == nil && (said != "succeeded" || end.How != "signal: killed") {
		err = fmt.Errorf("it says %q and %+v", said, end)
	}
	return err
}

// BenchmarkKill says how long it takes from the kill of a script that has gone wild until nothing of it is left. The
// figures are the median and the longest, in milliseconds.
func BenchmarkKill(b *testing.B) {
	exe, dir, s := ownProgram(b), b.TempDir(), wild(b)
	defer s.Close()
	var took []time.Duration
	for i := range b.N {
		var began time.Time
		if err := rampage(b, s, filepath.Join(dir, fmt.Sprint(i)), exe, func() { began = time.Now() }); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2])/1e6, "gone-ms")
	b.ReportMetric(float64(took[len(took)-1])/1e6, "longest-ms")
	b.ReportMetric(0, "ns/op")
}
