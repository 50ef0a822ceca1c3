// Package usage measures how much of a disk the files of a hostile process take: those in its directories, and those
// that it has deleted and still holds.
package usage

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// MaxDepth is how deep directories may be nested: the measure holds a descriptor a level. MaxEntries is how many names
// there may be in them, so that to measure them, and to remove them, takes seconds at most.
const (
	MaxDepth   = 256
	MaxEntries = 200_000
)

// perFile is what an entry counts at least, in bytes: an empty file takes an inode.
const perFile = 4096

// ErrHidden is the error of files that cannot be measured: nested too deep, too many, in directories that are made
// unreadable again and again, or on their way through a socket (unix(7), SCM_RIGHTS), where nobody sees them.
var ErrHidden = errors.New("files hide from the measure")

// ErrStopped is the error of a measurement that nobody waits for any more.
var ErrStopped = errors.New("the measurement was stopped")

// measure is one measurement.
type measure struct {
	stop    <-chan struct{}
	total   int64
	limit   int64
	entries int            // names
	seen    map[inode]bool // files with several names, or none
}

type inode struct{ dev, ino uint64 }

// Of measures directories, and what processes hold of deleted files on the same file systems, in bytes of blocks. It
// stops as soon as the sum is above limit. It follows no link, and leaves out what goes away meanwhile: who moves files
// about while they are measured can escape it, so every now and then the processes have to be stopped for it. Deleted
// files that are mapped into memory and no longer open are found by root only (proc_pid_map_files(5)). Closing stop ends
// it.
func Of(limit int64, dirs []string, pids []int, stop <-chan struct{}) (int64, error) {
	m := &measure{stop: stop, limit: limit, seen: map[inode]bool{}}
	devs := map[uint64]bool{}
	for _, dir := range dirs {
		fd, err := openDirectory(unix.AT_FDCWD, dir)
		switch {
		case errors.Is(err, unix.EACCES):
			return 0, ErrHidden
		case err != nil:
			return 0, &os.PathError{Op: "open", Path: dir, Err: err}
		}
		var s unix.Stat_t
		if err := unix.Fstat(fd, &s); err == nil {
			devs[s.Dev] = true
		}
		if err := m.directory(fd, 0); err != nil {
			return m.total, err
		}
	}
	for _, pid := range pids {
		if err := m.process(pid, devs); err != nil {
			return m.total, err
		}
	}
	return m.total, nil
}

// add counts a file once.
func (m *measure) add(s *unix.Stat_t) {
	if s.Nlink != 1 && s.Mode&unix.S_IFMT != unix.S_IFDIR {
		id := inode{s.Dev, s.Ino}
		if m.seen[id] {
			return
		}
		m.seen[id] = true
	}
	m.total += max(s.Blocks*512, perFile)
}

// directory measures what is in a directory, and closes it.
func (m *measure) directory(fd, depth int) error {
	dir := os.NewFile(uintptr(fd), "directory")
	defer dir.Close()
	if depth > MaxDepth {
		return ErrHidden
	}
	for m.total <= m.limit {
		names, err := dir.Readdirnames(256)
		if err != nil {
			return nil // its end
		}
		if m.entries += len(names); m.entries > MaxEntries {
			return ErrHidden
		}
		select {
		case <-m.stop:
			return ErrStopped
		default:
		}
		for _, name := range names {
			var s unix.Stat_t
			err := unix.Fstatat(fd, name, &s, unix.AT_SYMLINK_NOFOLLOW)
			if err == unix.EACCES { // it can be listed, and not entered
				_ = unix.Fchmod(fd, 0o700)
				err = unix.Fstatat(fd, name, &s, unix.AT_SYMLINK_NOFOLLOW)
			}
			if errors.Is(err, unix.EACCES) {
				return ErrHidden
			}
			if err != nil {
				continue
			}
			m.add(&s)
			if s.Mode&unix.S_IFMT != unix.S_IFDIR {
				continue
			}
			below, err := openDirectory(fd, name)
			switch {
			case errors.Is(err, unix.EACCES):
				return ErrHidden
			case err == unix.ENOENT, err == unix.ENOTDIR, err == unix.ELOOP: // it has gone
				continue
			case err != nil:
				return &os.PathError{Op: "open", Path: name, Err: err}
			}
			if err := m.directory(below, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// openDirectory opens a directory, also one that its owner has closed to himself.
func openDirectory(fd int, name string) (below int, err error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	for range 3 {
		if below, err = unix.Openat(fd, name, flags, 0); err != unix.EACCES {
			break
		}
		_ = unix.Fchmodat(fd, name, 0o700, unix.AT_SYMLINK_NOFOLLOW)
	}
	return below, err
}

// process measures the deleted files that a process holds. The threads of one share its descriptors and memory, so
// that any of them that lives will do: the first one may have ended, and then has nothing.
func (m *measure) process(pid int, devs map[uint64]bool) error {
	tid, ok := Thread(pid)
	if !ok {
		return nil
	}
	at := filepath.Join("/proc", strconv.Itoa(tid))
	_ = m.held(filepath.Join(at, "map_files"), devs, func(string) {})
	hides := false
	err := m.held(filepath.Join(at, "fd"), devs, func(socket string) { hides = hides || inFlight(filepath.Join(at, "fdinfo", socket)) })
	if err != nil { // it is ending, or unreadable
		stat, gone := os.ReadFile(filepath.Join(at, "stat"))
		hides = hides || gone == nil && !ending(stat)
	}
	if hides {
		return ErrHidden
	}
	return nil
}

// Thread returns a thread of a process that is not about to end.
func Thread(pid int) (tid int, ok bool) {
	tasks := filepath.Join("/proc", strconv.Itoa(pid), "task")
	entries, _ := os.ReadDir(tasks)
	for _, e := range entries {
		stat, err := os.ReadFile(filepath.Join(tasks, e.Name(), "stat"))
		if err != nil || ending(stat) {
			continue
		}
		if tid, err = strconv.Atoi(e.Name()); err == nil {
			return tid, true
		}
	}
	return 0, false
}

// ending says whether a thread has ended, or is ending and has given its memory and files back (PF_EXITING):
// proc_pid_stat(5), where what follows the name begins with the state, and the seventh field from there is the flags.
func ending(stat []byte) bool {
	const exiting = 4
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 7 {
		return true
	}
	flags, err := strconv.ParseUint(string(fields[6]), 10, 64)
	return err != nil || fields[0][0] == 'Z' || fields[0][0] == 'X' || flags&exiting != 0
}

// held measures the deleted files that a directory of /proc leads to, and calls socket with the names of sockets.
func (m *measure) held(path string, devs map[uint64]bool, socket func(name string)) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	for _, name := range names {
		var s unix.Stat_t
		if err := unix.Stat(filepath.Join(path, name), &s); err != nil {
			continue
		}
		if s.Nlink == 0 && devs[s.Dev] {
			m.add(&s)
		}
		if s.Mode&unix.S_IFMT == unix.S_IFSOCK {
			socket(name)
		}
	}
	return err
}

// inFlight says whether a Unix socket has descriptors that were sent and not received: scm_fds, since Linux 5.12.
func inFlight(fdinfo string) bool {
	data, _ := os.ReadFile(fdinfo)
	for line := range bytes.Lines(data) {
		if n, ok := bytes.CutPrefix(line, []byte("scm_fds:")); ok && string(bytes.TrimSpace(n)) != "0" {
			return true
		}
	}
	return false
}
