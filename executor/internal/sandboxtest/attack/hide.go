package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// These take what they take where it is not looked for.
var _ = register(map[string]func(target) error{
	"fill the disk behind a closed home": func(t target) error {
		if err := os.Chmod(home(), 0o300); err != nil {
			return err
		}
		return fill(t, keep)
	},
	"fill the disk by files in flight":        fillInFlight,
	"fill the disk behind a dead thread":      func(t target) error { return behindDeadThread(func() error { return fill(t, deleted) }) },
	"take shared memory behind a dead thread": func(t target) error { return behindDeadThread(func() error { return take(t, unix.MAP_SHARED) }) },
	"take shared memory and let go of it":     letGo,
	"make a thread with descriptors of its own": func(target) error {
		if r := forkBy(unix.SYS_CLONE, unix.CLONE_VM|unix.CLONE_FS|unix.CLONE_SIGHAND|unix.CLONE_THREAD, 0); r < 0 {
			return unix.Errno(-r)
		}
		return nil
	},
	"take descriptors of its own": func(target) error { return unix.CloseRange(1<<30, 1<<30, unix.CLOSE_RANGE_UNSHARE) },
	"make Landlock rules": func(target) error {
		return call(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	},
	"queue work on files": func(target) error {
		var queue uintptr
		return call(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&queue)))
	},
	"filter its own system calls by prctl": func(target) error {
		err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, 0, 0, 0)
		if err == unix.EFAULT { // it would be taken
			err = nil
		}
		return err
	},
	"be unreadable":    func(target) error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) },
	"bound its parent": func(target) error { var l unix.Rlimit; return unix.Prlimit(os.Getppid(), unix.RLIMIT_NOFILE, nil, &l) },
})

func init() {
	runtime.LockOSThread() // main to the first thread, which behindDeadThread ends
}

// behindDeadThread does something when the process's first thread has ended, of which /proc tells nothing any more.
func behindDeadThread(do func() error) error {
	go func() {
		for { // proc_pid_stat(5): the state is behind the name
			stat, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/stat", os.Getpid()))
			if err != nil || strings.Contains(string(stat), ") Z ") {
				break
			}
			time.Sleep(time.Millisecond)
		}
		fmt.Println("blocked:", do())
		os.Exit(1)
	}()
	_, _, errno := unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
	return errno
}

// fillInFlight sends deleted files to itself and closes them, so that only a socket has them.
func fillInFlight(t target) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	b := make([]byte, 1<<20)
	for range t.Amount {
		f, err := os.Create(filepath.Join(home(), "flies"))
		if err != nil {
			return err
		}
		if _, err := f.Write(b); err != nil {
			return err
		}
		if err := unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(int(f.Fd())), nil, 0); err != nil {
			return err
		}
		os.Remove(f.Name())
		f.Close()
	}
	return linger()
}

// letGo takes shared memory that is in no page table any more.
func letGo(t target) error {
	for range t.Amount {
		b, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
		if err != nil {
			return err
		}
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		if err := unix.Madvise(b, unix.MADV_DONTNEED); err != nil {
			return err
		}
	}
	return linger()
}
