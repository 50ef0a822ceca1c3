package usage_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/executor/internal/sandbox/usage"
)

const unlimited = 1 << 60

func write(t *testing.T, path string, size int) *os.File {
	t.Helper()
	f, err := os.Create(path)
	if err == nil {
		_, err = f.Write(make([]byte, size))
	}
	if err == nil {
		err = f.Sync() // blocks are given when they are written
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestOf(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	const mib = 1 << 20
	of := func(pids ...int) int64 {
		t.Helper()
		n, err := usage.Of(unlimited, []string{dir}, pids, nil)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	empty := of()
	grown := func(what string, from, by int64) int64 {
		t.Helper()
		now := of(os.Getpid())
		if d := now - from; d < by || d > by+64<<10 {
			t.Errorf("%s: grown by %d, not %d", what, d, by)
		}
		return now
	}
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	f := write(t, filepath.Join(dir, "a", "b", "file"), mib)
	now := grown("a file", empty, mib)
	if err := os.Link(f.Name(), filepath.Join(dir, "again")); err != nil {
		t.Fatal(err)
	}
	now = grown("another name of it", now, 0)
	write(t, filepath.Join(other, "outside"), 4*mib)
	if err := os.Symlink(other, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	now = grown("a link to what is outside", now, 0)
	if err := os.Truncate(write(t, filepath.Join(dir, "sparse"), 1).Name(), 1<<40); err != nil {
		t.Fatal(err)
	}
	now = grown("a file with a hole", now, 0)
	for i := range 100 {
		write(t, filepath.Join(dir, fmt.Sprint("empty", i)), 0)
	}
	now = grown("empty files", now, 100*4096)
	gone := write(t, filepath.Join(dir, "gone"), mib)
	if err := os.Remove(gone.Name()); err != nil {
		t.Fatal(err)
	}
	grown("a deleted file that is open", now, mib)
	if n := of(); n > now+64<<10 {
		t.Errorf("of nobody's deleted files: %d", n-now)
	}
}

func TestOfStopsAtTheLimit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 1000 {
		write(t, filepath.Join(dir, fmt.Sprint(i)), 0)
	}
	n, err := usage.Of(10*4096, []string{dir}, nil, nil)
	if err != nil || n <= 10*4096 || n > 400*4096 {
		t.Errorf("%d, %v", n, err)
	}
}

func TestOfStops(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), 0)
	stop := make(chan struct{})
	close(stop)
	if _, err := usage.Of(unlimited, []string{dir}, nil, stop); !errors.Is(err, usage.ErrStopped) {
		t.Error(err)
	}
}

// Descriptors that a process sends to itself are in no table of its. (Not beside the tests that measure this process.)
func TestOfFindsWhatFlies(t *testing.T) {
	dir := t.TempDir()
	if _, err := usage.Of(unlimited, []string{dir}, []int{os.Getpid()}, nil); err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	defer unix.Close(pair[0])
	f := write(t, filepath.Join(dir, "file"), 0)
	if err := unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(int(f.Fd())), nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := usage.Of(unlimited, []string{dir}, []int{os.Getpid()}, nil); !errors.Is(err, usage.ErrHidden) {
		t.Error(err)
	}
}

func TestOfFindsWhatHides(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := dir + strings.Repeat("/d", usage.MaxDepth+1)
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := usage.Of(unlimited, []string{dir}, nil, nil); !errors.Is(err, usage.ErrHidden) {
		t.Errorf("too deep: %v", err)
	}
	dir = t.TempDir()
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(closed, "file"), 1<<20)
	for _, mode := range []os.FileMode{0, 0o400, 0o100} {
		if err := os.Chmod(closed, mode); err != nil {
			t.Fatal(err)
		}
		if n, err := usage.Of(unlimited, []string{dir}, nil, nil); err != nil || n < 1<<20 {
			t.Errorf("behind the mode %o: %d, %v", mode, n, err)
		}
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := usage.Of(unlimited, []string{filepath.Join(dir, "missing")}, nil, nil); err == nil {
		t.Error("a directory that is not there was measured")
	}
}
