// Package workdir makes and removes the private work directories of executions.
//
// What a script leaves in its directory is the script's: links to anywhere, directories without permissions, trees
// thousands of levels deep, something mounted. Removal stays inside (os.Root), follows no link and enters no mount.
package workdir

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/internal/errors"
)

// Dirs is a directory that holds work directories, and nothing else but what is about them and has a name that begins
// with the directory's and goes on with a dot.
type Dirs struct {
	path  string
	root  *os.Root
	moved atomic.Int64 // directories, for their names
}

// Open opens the directory, and makes it (0700) where it is missing.
func Open(path string) (*Dirs, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &Dirs{path: path, root: root}, nil
}

// Close closes the directory.
func (d *Dirs) Close() error { return d.root.Close() }

// Path is where the work directory of an execution is.
func (d *Dirs) Path(id string) string { return filepath.Join(d.path, id) }

// Make makes the empty work directory of an execution, with what a sandbox expects in it.
func (d *Dirs) Make(id string) error {
	for _, dir := range []string{id, filepath.Join(id, sandbox.Home), filepath.Join(id, sandbox.Tmp)} {
		if err := d.root.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// Left lists the executions of which something is there.
func (d *Dirs) Left() ([]string, error) {
	names, err := readNames(d.root, ".", -1)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var ids []string
	for _, name := range names {
		id, _, _ := strings.Cut(name, ".")
		if id != "" && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// removed is what the name of a directory ends in that holds what is being removed.
const removed = ".removed"

// Remove removes the work directory of an execution with all that is in it. Where there is none it is content.
//
// Each directory is moved to the top before it is emptied. So a deep tree takes no more descriptors than another one,
// and what is mounted in it, which cannot be moved, is an error.
func (d *Dirs) Remove(id string) error {
	top := id + removed
	if err := d.root.Mkdir(top, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := d.discard(id, top); err != nil {
		return err
	}
	if err := d.empty(top, func(name string) error { return d.removeFlat(filepath.Join(top, name), top) }); err != nil {
		return err
	}
	return d.root.Remove(top)
}

// removeFlat removes a directory after moving those in it to top.
func (d *Dirs) removeFlat(dir, top string) error {
	if err := d.empty(dir, func(name string) error { return d.discard(filepath.Join(dir, name), top) }); err != nil {
		return err
	}
	return d.root.Remove(dir)
}

// discard moves a directory to top, and removes anything else.
func (d *Dirs) discard(path, top string) error {
	info, err := d.root.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return d.root.Remove(path)
	}
	if err := d.root.Chmod(path, 0o700); err != nil { // to move it takes the right to write to it
		return err
	}
	for { // a name may be taken since an earlier try
		err := d.root.Rename(path, filepath.Join(top, strconv.FormatInt(d.moved.Add(1), 10)))
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
}

// empty calls remove with the names in a directory until there are none.
func (d *Dirs) empty(dir string, remove func(name string) error) error {
	for {
		names, err := readNames(d.root, dir, 1024)
		if err != nil || len(names) == 0 {
			return err
		}
		for _, name := range names {
			if err := remove(name); err != nil {
				return err
			}
		}
	}
}

// readNames reads the names in a directory: some, or all where most is negative.
func readNames(root *os.Root, dir string, most int) ([]string, error) {
	f, err := root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(most)
	if err == io.EOF {
		err = nil
	}
	return names, err
}
