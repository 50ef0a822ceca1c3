package workdir_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/executor/internal/workdir"
)

// As root no permission holds anything up, so the test binary runs the tests again as somebody else.
func TestMain(m *testing.M) {
	if os.Getuid() != 0 || os.Getenv("AIRLOCK_TEST_AS_NOBODY") != "" {
		os.Exit(m.Run())
	}
	code := m.Run()
	base, err := os.MkdirTemp("", "nobody")
	if err == nil {
		err = os.Chmod(base, 0o777)
	}
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(base)
	binary := filepath.Join(base, "test")
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil || os.WriteFile(binary, data, 0o755) != nil {
		panic("the test binary cannot be copied")
	}
	again := exec.Command(binary, "-test.v")
	again.Dir, again.Stdout, again.Stderr = base, os.Stdout, os.Stderr
	again.Env = []string{"AIRLOCK_TEST_AS_NOBODY=1", "TMPDIR=" + base}
	again.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if err := again.Run(); err != nil {
		fmt.Println("as nobody:", err)
		code = 1
	}
	os.RemoveAll(base)
	os.Exit(code)
}

func open(t *testing.T) (*workdir.Dirs, string) {
	t.Helper()
	base := filepath.Join(t.TempDir(), "work")
	d, err := workdir.Open(base)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, base
}

func TestMakeIsPrivateAndEmpty(t *testing.T) {
	d, base := open(t)
	if err := d.Make("x"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{base, d.Path("x"), filepath.Join(d.Path("x"), "home"), filepath.Join(d.Path("x"), "tmp")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
	if err := d.Make("x"); err == nil {
		t.Error("a work directory was made a second time over the first")
	}
}

func TestRemoveStaysInside(t *testing.T) {
	d, _ := open(t)
	outside := t.TempDir()
	kept := filepath.Join(outside, "kept")
	if err := os.WriteFile(kept, []byte("kept"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := d.Make("x"); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(d.Path("x"), "home")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.Symlink(outside, filepath.Join(home, "dir")))
	check(os.Symlink(kept, filepath.Join(home, "file")))
	check(os.Link(kept, filepath.Join(home, "hard")))
	check(os.Symlink("loop", filepath.Join(home, "loop")))
	check(unix.Mkfifo(filepath.Join(home, "fifo"), 0))
	check(os.WriteFile(filepath.Join(home, "no"), nil, 0))
	check(os.MkdirAll(filepath.Join(home, "a", "b", "c"), 0o700))
	check(os.Symlink(outside, filepath.Join(home, "a", "b", "out")))
	for _, locked := range []string{"a/b/c", "a/b", "a", "."} {
		check(os.Chmod(filepath.Join(home, locked), 0))
	}
	check(os.Chmod(d.Path("x"), 0o100))
	check(d.Remove("x"))
	if left, err := d.Left(); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	info, err := os.Stat(kept)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file outside: %v, %v", info, err)
	}
	if info, err := os.Stat(outside); err != nil || info.Mode().Perm()&0o700 != 0o700 {
		t.Errorf("the directory outside: %v, %v", info, err)
	}
}

func TestRemoveLinkInPlaceOfTheDirectory(t *testing.T) {
	d, _ := open(t)
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "kept"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, d.Path("x")); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove("x"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(outside, "kept")); err != nil {
		t.Error(err)
	}
	if left, err := d.Left(); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A tree deeper than any path may be long, and than there may be descriptors.
func TestRemoveDeepTree(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 100, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	d, _ := open(t)
	if err := d.Make("x"); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Open(filepath.Join(d.Path("x"), "home"), unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		if err := unix.Mkdirat(at, "deep", 0o700); err != nil {
			t.Fatal(err)
		}
		below, err := unix.Openat(at, "deep", unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(at)
		at = below
	}
	if err := unix.Fchmod(at, 0); err != nil {
		t.Fatal(err)
	}
	unix.Close(at)
	if err := d.Remove("x"); err != nil {
		t.Fatal(err)
	}
	if left, err := d.Left(); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// Where a directory from elsewhere is mounted in a work directory, nothing of it is removed.
func TestRemoveEntersNoMount(t *testing.T) {
	d, _ := open(t)
	if err := d.Make("x"); err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	kept := filepath.Join(outside, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(d.Path("x"), "home")
	if err := unix.Mount(outside, at, "", unix.MS_BIND, ""); err != nil {
		t.Skip("this takes the right to mount:", err)
	}
	err := d.Remove("x")
	mounts, _ := filepath.Glob(filepath.Join(filepath.Dir(d.Path("x")), "x.removed", "*", "home"))
	for _, m := range append(mounts, at) {
		_ = unix.Unmount(m, unix.MNT_DETACH)
	}
	if err == nil {
		t.Error("a mount was removed")
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
	if err := d.Remove("x"); err != nil {
		t.Error("once it is not mounted any more:", err)
	}
	if left, err := d.Left(); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestLeft(t *testing.T) {
	d, base := open(t)
	if err := d.Make("one"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one.processes", "two.processes"} {
		if err := os.WriteFile(filepath.Join(base, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left, err := d.Left()
	if err != nil || len(left) != 2 {
		t.Fatalf("left: %v, %v", left, err)
	}
	if err := d.Remove("nothing"); err != nil {
		t.Error(err)
	}
}
