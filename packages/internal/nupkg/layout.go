package nupkg

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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

// Verify says how dir differs from what LayOut made of the archive, by names, sizes, modes and times: it reads no
// content, so that it costs little at each execution.
func (a *Archive) Verify(dir string, executable func(name string) bool) error {
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
		return nil
	})
	if err != nil {
		return err
	}
	for name := range missing {
		return fmt.Errorf("%s is missing", name)
	}
	return nil
}
