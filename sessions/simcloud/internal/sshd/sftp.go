package sshd

import (
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/pkg/sftp"
)

// The methods below are pkg/sftp's handlers (SFTP version 3, draft-ietf-secsh-filexfer-02) on a tree.

// Fileread opens a file for reading.
func (t tree) Fileread(r *sftp.Request) (io.ReaderAt, error) { return t.open(r.Filepath) }

// Filewrite opens a file for writing.
func (t tree) Filewrite(r *sftp.Request) (io.WriterAt, error) { return t.OpenFile(r) }

// OpenFile opens a file for what the request's flags say.
func (t tree) OpenFile(r *sftp.Request) (sftp.WriterAtReaderAt, error) {
	p := r.Pflags()
	flags := os.O_WRONLY
	if p.Read {
		flags = os.O_RDWR
	}
	for _, f := range []struct {
		set  bool
		flag int
	}{{p.Creat, os.O_CREATE}, {p.Trunc, os.O_TRUNC}, {p.Excl, os.O_EXCL}, {p.Append, os.O_APPEND}} {
		if f.set {
			flags |= f.flag
		}
	}
	file, err := t.root.OpenFile(local(r.Filepath), flags, 0o644)
	if err != nil {
		return nil, err
	}
	if p.Append {
		return appending{file}, nil
	}
	return file, nil
}

// appending writes at the end, whatever offset the client names.
type appending struct{ *os.File }

func (a appending) WriteAt(p []byte, _ int64) (int, error) { return a.Write(p) }

// Filecmd changes names and attributes.
func (t tree) Filecmd(r *sftp.Request) error {
	name := local(r.Filepath)
	switch r.Method {
	case "Setstat":
		return t.setstat(name, r)
	case "Rename":
		if _, err := t.root.Lstat(local(r.Target)); err == nil {
			return fs.ErrExist
		}
		return t.root.Rename(name, local(r.Target))
	case "Rmdir", "Remove":
		info, err := t.root.Lstat(name)
		if err != nil {
			return err
		}
		if info.IsDir() != (r.Method == "Rmdir") {
			return fs.ErrInvalid
		}
		return t.root.Remove(name)
	case "Mkdir":
		return t.root.Mkdir(name, 0o755)
	case "Link":
		return t.root.Link(name, local(r.Target))
	case "Symlink": // Target is the link's own path; a link that leads out of the tree can be made, not followed
		return t.root.Symlink(r.Filepath, local(r.Target))
	}
	return sftp.ErrSSHFxOpUnsupported
}

// PosixRename renames and replaces what is there, as posix-rename@openssh.com says.
func (t tree) PosixRename(r *sftp.Request) error {
	return t.root.Rename(local(r.Filepath), local(r.Target))
}

func (t tree) setstat(name string, r *sftp.Request) error {
	set, to := r.AttrFlags(), r.Attributes()
	if set.Size {
		f, err := t.root.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		err = f.Truncate(int64(to.Size))
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return err
		}
	}
	if set.Permissions {
		if err := t.root.Chmod(name, to.FileMode().Perm()); err != nil {
			return err
		}
	}
	if set.Acmodtime {
		return t.root.Chtimes(name, to.AccessTime(), to.ModTime())
	}
	return nil // owners are not simulated
}

// Filelist lists a directory or looks at one file.
func (t tree) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	info, err := t.root.Stat(local(r.Filepath))
	if err != nil || r.Method != "List" {
		return lister{info}, err
	}
	if !info.IsDir() {
		return nil, syscall.ENOTDIR
	}
	infos, err := t.list(r.Filepath)
	return lister(infos), err
}

// Lstat looks at a file and does not follow a link.
func (t tree) Lstat(r *sftp.Request) (sftp.ListerAt, error) {
	info, err := t.root.Lstat(local(r.Filepath))
	return lister{info}, err
}

// Readlink reads a link.
func (t tree) Readlink(name string) (string, error) { return t.root.Readlink(local(name)) }

type lister []fs.FileInfo

func (l lister) ListAt(to []fs.FileInfo, from int64) (int, error) {
	if from >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(to, l[from:])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}
