// Package workdir makes and removes the private work directories of executions.
//
// What a script leaves in its directory is the script's: links to anywhere, directories without permissions, trees
// thousands of levels deep. Removal stays inside (os.Root) and follows no link.
package workdir

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/airlock-run/airlock/executor/internal/sandbox"
)

// Dirs is a directory that holds work directories, and nothing else but files about them whose names begin with the
// directory's and go on with a dot.
type Dirs struct {
	path string
	root *os.Root
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
	return &Dirs{path, root}, nil
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
	names, err := readNames(d.root)
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

// Remove removes the work directory of an execution with all that is in it. Where there is none it is content.
func (d *Dirs) Remove(id string) error {
	err := d.root.RemoveAll(id)
	if err == nil {
		return nil
	}
	if unlocked := unlock(d.root, id); unlocked != nil {
		return fmt.Errorf("%w; %w", err, unlocked)
	}
	return d.root.RemoveAll(id)
}

// unlock gives the owner back the permissions on the directory name in root and on those below it. Each directory is
// opened as a root of its own, so that neither the depth of the tree nor a link in it matters.
func unlock(root *os.Root, name string) error {
	info, err := root.Lstat(name)
	if err != nil || !info.IsDir() {
		return err
	}
	if err := root.Chmod(name, 0o700); err != nil {
		return err
	}
	dir, err := root.OpenRoot(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := readNames(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := unlock(dir, name); err != nil {
			return err
		}
	}
	return nil
}

func readNames(root *os.Root) ([]string, error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err == io.EOF {
		err = nil
	}
	return names, err
}
