package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/airlock-run/airlock/internal/durable"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/store"
)

// tries is how often Write begins anew because secrets or keys have changed. They change when an execution with secrets
// comes or ends.
const tries = 50

// errChanged: secrets or keys have changed between the two looks.
var errChanged = errors.New("the secrets or keys have changed")

// Write writes a backup of the state directory dir into a new file, mode 0600, which is there whole or not at all. A
// server may be using the directory. Beside the file it needs room for a copy of database and secrets.
func Write(ctx context.Context, dir, file string) (Manifest, error) {
	if err := durable.CheckPrivateDir(dir); err != nil {
		return Manifest{}, errors.Because(err, errors.Usage, "The state directory cannot be used: %v.", err)
	}
	if _, err := os.Lstat(file); err == nil {
		return Manifest{}, there(file)
	}
	staged, err := os.MkdirTemp(filepath.Dir(file), ".airlock-backup-")
	if err != nil {
		return Manifest{}, unwritten(err, file)
	}
	defer os.RemoveAll(staged)
	w := writer{ctx: ctx, dir: dir, staged: staged}
	if err := w.stage(); err != nil {
		return Manifest{}, unwritten(err, file)
	}
	err = durable.CreateFrom(file, w.write)
	if errors.Is(err, fs.ErrExist) {
		return Manifest{}, there(file)
	}
	return w.manifest, unwritten(err, file)
}

func there(file string) error {
	return errors.Newf(errors.Conflict, "%s is there already; name a file that is not.", file)
}

// unwritten says why there is no backup: an error of the disk has no sentence yet.
func unwritten(err error, file string) error {
	var disk *fs.PathError
	if errors.CodeOf(err) == errors.InternalError && errors.As(err, &disk) {
		return errors.Because(err, errors.Usage, "The backup %s was not written: %v.", file, err)
	}
	return err
}

type writer struct {
	ctx         context.Context
	dir, staged string
	manifest    Manifest
	paths       []string // of the manifest's files, where they are read from
}

// stage copies what changes to where it does not, and then describes all files.
func (w *writer) stage() error {
	err := errChanged
	for range tries {
		if err = w.stageState(); !errors.Is(err, errChanged) {
			break
		}
	}
	if errors.Is(err, errChanged) {
		return errors.Because(err, errors.ServiceUnavailable, "No backup was made, because secrets changed again and again while they were copied; try again when fewer executions come and end.")
	}
	if err != nil {
		return err
	}
	if err := w.stageKeys(); err != nil {
		return err
	}
	schema, err := store.Check(w.ctx, filepath.Join(w.staged, database))
	if err != nil {
		return err
	}
	w.manifest = Manifest{Format: format, Version: version(), Created: time.Now().UTC(), Schema: schema}
	return w.describe()
}

// stageState copies secrets, keys of executions and database so that they agree, or says errChanged: see the package's
// comment.
func (w *writer) stageState() error {
	before := map[string]string{}
	for _, dir := range []string{secretsDir, keysDir} {
		to := filepath.Join(w.staged, dir)
		if err := errors.Join(os.RemoveAll(to), os.Mkdir(to, 0o700)); err != nil {
			return err
		}
		seen, err := look(w.dir, dir)
		if err != nil {
			return err
		}
		before[dir] = seen.stamp
		for _, name := range seen.names {
			err := copyFile(filepath.Join(w.dir, dir, name), filepath.Join(to, name))
			if errors.Is(err, fs.ErrNotExist) {
				return errChanged
			}
			if err != nil {
				return err
			}
		}
	}
	return store.Snapshot(w.ctx, filepath.Join(w.dir, database), filepath.Join(w.staged, database), func() error {
		for dir, stamp := range before {
			after, err := look(w.dir, dir)
			if err == nil && after.stamp != stamp {
				err = errChanged
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// stageKeys copies the single files, of which master key and data key fit together: a rotation waits meanwhile.
func (w *writer) stageKeys() error {
	unlock, err := durable.LockDir(w.dir)
	if err != nil {
		return err
	}
	defer unlock()
	for _, name := range single {
		err := copyFile(filepath.Join(w.dir, name), filepath.Join(w.staged, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// looked is what a look at a directory of the state sees. Two looks see the same only if nothing was put there, replaced
// or removed between them: each of it gives the directory another time, and a file that is replaced another inode.
type looked struct {
	names []string
	stamp string
}

func look(state, name string) (l looked, err error) {
	dir := filepath.Join(state, name)
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return looked{}, nil // nothing was ever stored there
	}
	if err != nil {
		return l, err
	}
	var stamp strings.Builder
	fmt.Fprintln(&stamp, info.ModTime().UnixNano())
	entries, err := os.ReadDir(dir)
	if err != nil {
		return l, err
	}
	for _, e := range entries {
		if !allowed(name+"/"+e.Name(), 0) {
			continue // one that is being written
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return l, errChanged
		}
		if err != nil {
			return l, err
		}
		inode := uint64(0)
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			inode = st.Ino
		}
		fmt.Fprintln(&stamp, e.Name(), inode, info.Size(), info.ModTime().UnixNano())
		l.names = append(l.names, e.Name())
	}
	l.stamp = stamp.String()
	return l, nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// describe enters all files into the manifest. Packages are looked for after the database was copied: whatever that
// names was there before, and packages do not change.
func (w *writer) describe() error {
	if err := w.add(database, filepath.Join(w.staged, database)); err != nil {
		return err
	}
	for _, name := range single {
		if err := w.add(name, filepath.Join(w.staged, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for dir, root := range map[string]string{secretsDir: w.staged, keysDir: w.staged, contentDir: w.dir} {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			name := dir + "/" + e.Name()
			if !allowed(name, 0) {
				continue // one that is being written
			}
			if err := w.add(name, filepath.Join(root, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *writer) add(name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	digest := sha256.New()
	size, err := io.Copy(digest, withContext(w.ctx, f))
	if err != nil {
		return err
	}
	w.manifest.Files = append(w.manifest.Files, File{name, size, hex.EncodeToString(digest.Sum(nil))})
	w.paths = append(w.paths, path)
	return nil
}

// write writes the archive.
func (w *writer) write(to io.Writer) error {
	manifest, err := json.Marshal(w.manifest)
	if err != nil {
		return err
	}
	zip := gzip.NewWriter(to)
	archive := tar.NewWriter(zip)
	if err := archive.WriteHeader(header(manifestName, int64(len(manifest)))); err != nil {
		return err
	}
	if _, err := archive.Write(manifest); err != nil {
		return err
	}
	for i, f := range w.manifest.Files {
		if err := w.copy(archive, f, w.paths[i]); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), zip.Close())
}

func (w *writer) copy(archive *tar.Writer, f File, path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := archive.WriteHeader(header(f.Name, f.Size)); err != nil {
		return err
	}
	digest := sha256.New()
	if _, err := io.Copy(io.MultiWriter(archive, digest), withContext(w.ctx, in)); err != nil {
		return err
	}
	if hex.EncodeToString(digest.Sum(nil)) != f.SHA256 {
		return errors.Newf(errors.ServiceUnavailable, "No backup was made, because %s changed while it was read; try again.", path)
	}
	return nil
}

func header(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600}
}

// version is that of this program, as the Go tool has stamped it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}

// withContext is a reader that ends with ctx.
func withContext(ctx context.Context, r io.Reader) io.Reader { return contextReader{ctx, r} }

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
