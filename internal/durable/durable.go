// Package durable writes files that survive a crash, and keeps what is private to its owner.
//
// A file is written beside its place under a temporary name, flushed to the disk, moved into its place, and then the
// directory is flushed too (rename(2) replaces in one step; fsync(2) says why the directory needs its own). At any
// moment a reader finds the whole old file or the whole new one.
package durable

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// temporary begins the name of a file that is being written. One that is found later was left by a crash.
const temporary = ".tmp-"

// WriteFile puts data at path in place of what is there, readable by its owner only. After an error what was there
// before is still there, unless only the last flush of the directory failed.
func WriteFile(path string, data []byte) error {
	return put(path, whole(data), os.Rename)
}

// CreateFile is WriteFile for a path where nothing may be yet: where something is, the error is fs.ErrExist. Of
// several that create the same file at once, one succeeds.
func CreateFile(path string, data []byte) error {
	return put(path, whole(data), os.Link)
}

// CreateFrom is CreateFile for what write writes, which need not fit into memory. Where write fails, there is no file.
func CreateFrom(path string, write func(io.Writer) error) error {
	return put(path, write, os.Link)
}

func whole(data []byte) func(io.Writer) error {
	return func(w io.Writer) error { _, err := w.Write(data); return err }
}

func put(path string, write func(io.Writer) error, place func(from, to string) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, temporary+"*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after a rename there is nothing left to remove
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = place(f.Name(), path)
	}
	if err != nil {
		return err
	}
	return SyncDir(dir)
}

// SyncDir flushes a directory: names that were made, moved or removed in it stay so after a crash.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// PrivateDir makes the directory with mode 0700 where it is missing, and checks it as checkPrivate does.
func PrivateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return CheckPrivateDir(dir)
}

// CheckPrivateDir says what is wrong with a directory that only its owner, this process's user, may touch. Where there
// is none, the error is fs.ErrNotExist.
func CheckPrivateDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	return checkPrivate(dir, info)
}

// RemoveTemporary removes what a crash left half-written in the directory. Nobody may be writing in it meanwhile.
func RemoveTemporary(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), temporary) && e.Type().IsRegular() {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// ReadPrivate reads a file of at most max bytes that only its owner, this process's user, may touch. It follows no
// symbolic link in the last part of the path.
func ReadPrivate(path string, max int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Size() > max:
		return nil, fmt.Errorf("%s has %d bytes; at most %d are allowed", path, info.Size(), max)
	}
	if err := checkPrivate(path, info); err != nil {
		return nil, err
	}
	data := make([]byte, info.Size())
	if _, err := f.ReadAt(data, 0); err != nil && info.Size() > 0 {
		return nil, err
	}
	return data, nil
}

// checkPrivate says what is wrong with the owner or the mode of something that only this process's user may touch.
func checkPrivate(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s is open to others than its owner (mode %04o); run: chmod go= %s", path, mode, path)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to the user %d, but Airlock runs as %d; change the owner, or start Airlock as that user", path, stat.Uid, os.Geteuid())
	}
	return nil
}

// LockDir keeps all others that call it for the directory waiting, in this process and in others, until unlock is called
// or the process ends (flock(2)).
func LockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for err = syscall.EINTR; err == syscall.EINTR; {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}
