package sshd

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"
)

// tree is the host's file system. Paths are the host's: "/" is the root of the tree, relative ones begin there too.
type tree struct{ root *os.Root }

// local turns a path of the host into one that os.Root takes.
func local(name string) string {
	if p := path.Clean("/" + name); p != "/" {
		return p[1:]
	}
	return "."
}

func (t tree) open(name string) (*os.File, error) {
	f, err := t.root.Open(local(name))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = &fs.PathError{Op: "read", Path: name, Err: syscall.EISDIR}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// list gives the entries of a directory by name, or the file itself.
func (t tree) list(name string) ([]fs.FileInfo, error) {
	info, err := t.root.Stat(local(name))
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []fs.FileInfo{info}, nil
	}
	d, err := t.root.Open(local(name))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	infos, err := d.Readdir(-1)
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return cmp.Compare(a.Name(), b.Name()) })
	return infos, err
}

// reason puts a failure in the words of a Unix tool. What os.Root refuses is outside of the host.
func reason(err error) string {
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		switch errno {
		case syscall.ENOENT:
			return "No such file or directory"
		case syscall.EISDIR:
			return "Is a directory"
		case syscall.ENOTDIR:
			return "Not a directory"
		}
	}
	return "Permission denied"
}
