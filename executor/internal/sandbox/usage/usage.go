// Package usage measures how much of a disk the files of a hostile process take: those in its directories, and those
// that it has deleted and still holds.
package usage

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// MaxDepth is how deep directories may be nested. The measure holds a descriptor a level.
const MaxDepth = 256

// perFile is what an entry counts at least, in bytes: an empty file takes an inode.
const perFile = 4096

// ErrHidden is the error of directories that cannot be measured: nested too deep, or made unreadable again and again.
var ErrHidden = errors.New("a directory hides from the measure")

// measure is one measurement.
type measure struct {
	total int64
	limit int64
	seen  map[inode]bool // files with several names, or none
}

type inode struct{ dev, ino uint64 }

// Of measures directories, and what processes hold of deleted files on the same file systems, in bytes of blocks. It
// stops as soon as the sum is above limit. It follows no link, and leaves out what goes away meanwhile. Deleted files
// that are mapped into memory and no longer open are found by root only (proc_pid_map_files(5)).
func Of(limit int64, dirs []string, pids []int) (int64, error) {
	m := &measure{limit: limit, seen: map[inode]bool{}}
	devs := map[uint64]bool{}
	for _, dir := range dirs {
		fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
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
		for _, held := range []string{"fd", "map_files"} {
			m.held(filepath.Join("/proc", strconv.Itoa(pid), held), devs)
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
			if errors.Is(err, unix.EACCES) {
				return ErrHidden
			}
			if err != nil {
				continue
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

// held measures the deleted files that a directory of /proc leads to.
func (m *measure) held(path string, devs map[uint64]bool) {
	dir, err := os.Open(path)
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		var s unix.Stat_t
		if err := unix.Stat(filepath.Join(path, name), &s); err == nil && s.Nlink == 0 && devs[s.Dev] {
			m.add(&s)
		}
	}
}
