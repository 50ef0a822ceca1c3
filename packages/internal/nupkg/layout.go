package nupkg

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// laidOut is the time that all laid-out files bear: what was changed later bears another.
var laidOut = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Modes of what is laid out.
const (
	fileMode       fs.FileMode = 0o444
	executableMode fs.FileMode = 0o555
	folderMode     fs.FileMode = 0o555
)

// LayOut unpacks the payload into the empty directory dir, read-only and flushed to the disk. executable says which
// files are programs. What it wrote before an error stays for the caller to remove.
func (a *Archive) LayOut(ctx context.Context, dir string, executable func(name string) bool) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	folders := map[string]bool{}
	for _, f := range a.files {
		mode := fileMode
		if executable(f.Name) {
			mode = executableMode
		}
		for folder := filepath.Dir(f.Name); folder != "."; folder = filepath.Dir(folder) {
			folders[folder] = true
		}
		if err := root.MkdirAll(filepath.Dir(f.Name), 0o700); err != nil {
			return err
		}
		if err := unpack(ctx, root, f, mode); err != nil {
			return fmt.Errorf("the entry %q: %w", f.Name, err)
		}
	}
	folders["."] = true
	for folder := range folders {
		if err := closeFolder(root, folder); err != nil {
			return err
		}
	}
	return nil
}

// closeFolder makes a folder read-only and flushes it.
func closeFolder(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return errors.Join(d.Chmod(folderMode), d.Sync())
}

func unpack(ctx context.Context, root *os.Root, f *zip.File, mode fs.FileMode) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := root.OpenFile(f.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer w.Close() // a second Close does nothing
	if _, err := io.Copy(w, reader{ctx, r}); err != nil {
		return err
	}
	if err := errors.Join(w.Chmod(mode), w.Sync(), w.Close()); err != nil {
		return err
	}
	return root.Chtimes(f.Name, laidOut, laidOut)
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// Verify says how dir differs from what LayOut made of the archive, by names, modes, times and content.
func (a *Archive) Verify(ctx context.Context, dir string, executable func(name string) bool) error {
	missing := make(map[string]*zip.File, len(a.files))
	for _, f := range a.files {
		missing[f.Name] = f
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.IsDir() {
			if info.Mode().Perm() != folderMode {
				return fmt.Errorf("%s has the mode %v", path, info.Mode())
			}
			return nil
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f, ok := missing[name]
		if !ok {
			return fmt.Errorf("%s is not of the package", path)
		}
		delete(missing, name)
		want := fileMode
		if executable(name) {
			want = executableMode
		}
		if info.Mode() != want || uint64(info.Size()) != f.UncompressedSize64 || !info.ModTime().Equal(laidOut) {
			return fmt.Errorf("%s was changed", path)
		}
		return same(ctx, f, path)
	})
	if err != nil {
		return err
	}
	for name := range missing {
		return fmt.Errorf("%s is missing", name)
	}
	return nil
}

// same says whether the file at path has the content of f.
func same(ctx context.Context, f *zip.File, path string) error {
	entry, err := f.Open()
	if err != nil {
		return err
	}
	defer entry.Close()
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	want, got := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errWant := io.ReadFull(reader{ctx, entry}, want)
		m, errGot := io.ReadFull(file, got)
		switch {
		case !bytes.Equal(want[:n], got[:m]):
			return fmt.Errorf("%s was changed", path)
		case errWant == nil && errGot == nil:
		case errWant == errGot: // both are at their end
			return nil
		default:
			return errors.Join(errWant, errGot)
		}
	}
}

// Stamp is a digest of all that the file system says of a directory's files without reading them. While it stays the
// same, so did they: every change sets the time ctim of inode(7), which unlike the time of modification cannot be set
// back without setting the system's clock.
func Stamp(dir string) (stamp [sha256.Size]byte, err error) {
	h := sha256.New()
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		s, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return fmt.Errorf("the system says too little about %s", path)
		}
		fmt.Fprintf(h, "%q %v %d %d %d %d %d\n", path, info.Mode(), s.Uid, s.Dev, s.Ino, s.Size, s.Ctim.Nano())
		return nil
	})
	return [sha256.Size]byte(h.Sum(nil)), err
}
