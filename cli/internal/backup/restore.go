package backup

import (
	"archive/tar"
	"bufio"
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

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/internal/durable"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/store"
)

// Restoring is the directory, in a state directory, in which a restore unpacks. It is there until the last file is in
// its place: a server must not use a state directory that has it.
const Restoring = "restoring"

// Restore puts a backup into the state directory dir, which must be empty or missing. All of it is unpacked and checked
// before the first file is in its place, and after an error nothing of it is left. A backup of a newer schema is a
// Conflict.
func Restore(ctx context.Context, file, dir string) (m Manifest, err error) {
	in, err := os.Open(file)
	if err != nil {
		return m, errors.Because(err, errors.Usage, "The backup cannot be read: %v.", err)
	}
	defer in.Close()
	made, err := claim(dir)
	if err != nil {
		return m, err
	}
	defer func() {
		if err != nil && made {
			_ = os.Remove(dir)
		}
	}()
	staged := filepath.Join(dir, Restoring)
	defer func() { err = errors.Join(err, os.RemoveAll(staged)) }()
	r := restorer{ctx: ctx, dir: staged}
	if err := r.unpack(in); err != nil {
		return m, unusable(err, file)
	}
	if err := place(r.manifest, staged, dir); err != nil {
		return m, errors.Because(err, errors.Usage, "The backup was not restored into %s: %v.", dir, err)
	}
	return r.manifest, nil
}

// claim takes an empty directory, or makes it.
func claim(dir string) (made bool, err error) {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		made = true
	}
	if err := durable.PrivateDir(dir); err != nil {
		return false, errors.Because(err, errors.Usage, "The state directory cannot be used: %v.", err)
	}
	if err := os.Mkdir(filepath.Join(dir, Restoring), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return made, errors.Because(err, errors.Usage, "The state directory cannot be used: %v.", err)
	} else if err != nil {
		return false, notEmpty(dir)
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 1 {
		err = notEmpty(dir)
	}
	if err != nil {
		return false, errors.Join(err, os.Remove(filepath.Join(dir, Restoring)))
	}
	return made, nil
}

func notEmpty(dir string) error {
	return errors.Newf(errors.Conflict, "The state directory %s is not empty, and a backup is restored into an empty one only: name another, or move away what is there.", dir)
}

// unusable says what is wrong with a backup in a sentence.
func unusable(err error, file string) error {
	var disk *fs.PathError
	switch {
	case errors.CodeOf(err) != errors.InternalError, errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &disk), errors.Is(err, unix.ENOSPC):
		return errors.Because(err, errors.Usage, "The backup %s was not restored: %v.", file, err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.Because(err, errors.Usage, "The backup %s is damaged: it ends early. Nothing was restored.", file)
	}
	return errors.Because(err, errors.Usage, "The backup %s is damaged, or not one of Airlock's: %v. Nothing was restored.", file, err)
}

// restorer unpacks into a directory of its own.
type restorer struct {
	ctx      context.Context
	dir      string
	manifest Manifest
}

// unpack unpacks and checks the whole backup.
func (r *restorer) unpack(in io.Reader) error {
	raw := bufio.NewReader(withContext(r.ctx, in))
	zip, err := gzip.NewReader(raw)
	if err != nil {
		return err
	}
	zip.Multistream(false) // what follows the archive is not part of it
	archive := tar.NewReader(zip)
	if r.manifest, err = readManifest(archive); err != nil {
		return err
	}
	if err := r.room(); err != nil {
		return err
	}
	for _, f := range r.manifest.Files {
		if err := r.file(archive, f); err != nil {
			return err
		}
	}
	if _, err := archive.Next(); err != io.EOF {
		return orElse(err, "it has more files than its manifest names")
	}
	// To the end, where gzip's checksum is: the archive's last block, and no more than the padding of a tar.
	if n, err := io.Copy(io.Discard, io.LimitReader(zip, 1<<20)); err != nil || n == 1<<20 {
		return orElse(err, "something follows its last file")
	}
	if _, err := raw.ReadByte(); err != io.EOF {
		return orElse(err, "something follows its end")
	}
	schema, err := store.Check(r.ctx, filepath.Join(r.dir, database))
	if err == nil && schema != r.manifest.Schema {
		err = fmt.Errorf("its database has schema %d, its manifest says %d", schema, r.manifest.Schema)
	}
	return err
}

func orElse(err error, text string) error {
	if err != nil && err != io.EOF {
		return err
	}
	return errors.New(text)
}

// readManifest reads the first entry, and checks all that can be checked before the others are read.
func readManifest(archive *tar.Reader) (m Manifest, err error) {
	h, err := archive.Next()
	if err != nil {
		return m, err
	}
	if h.Name != manifestName || h.Typeflag != tar.TypeReg || h.Size > maxManifest {
		return m, fmt.Errorf("it does not begin with %s", manifestName)
	}
	data, err := io.ReadAll(archive)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil { // what a newer format adds is not known here
		return m, fmt.Errorf("%s is not JSON of its form: %w", manifestName, err)
	}
	knows, err := store.Schema()
	if err != nil {
		return m, err
	}
	if m.Format > format || m.Schema > knows {
		return m, errors.Newf(errors.Conflict, "The backup was written by a newer Airlock (%.40q: format %d, schema %d), and this one knows up to format %d and schema %d: restore it with the version that wrote it, or a newer one. Nothing was restored.", m.Version, m.Format, m.Schema, format, knows)
	}
	names := map[string]bool{}
	for _, f := range m.Files {
		if !allowed(f.Name, f.Size) || names[f.Name] {
			return m, fmt.Errorf("its manifest names a file that no backup has, %.200q of %d bytes", f.Name, f.Size)
		}
		names[f.Name] = true
	}
	if m.Format != format || !names[database] {
		return m, fmt.Errorf("its manifest names no %s", database)
	}
	return m, nil
}

// room says whether the disk has room for what the manifest names. Sizes are held to the manifest as they are read, so
// that no archive unpacks to more than this.
func (r *restorer) room() error {
	var st unix.Statfs_t
	if err := unix.Statfs(r.dir, &st); err != nil {
		return &fs.PathError{Op: "statfs", Path: r.dir, Err: err}
	}
	free, need := st.Bavail*uint64(st.Bsize), uint64(0)
	for _, f := range r.manifest.Files {
		if need += uint64(f.Size); need > free {
			return errors.Newf(errors.Usage, "The backup does not fit on the disk of %s, which has %d bytes free: make room, or name another state directory. Nothing was restored.", filepath.Dir(r.dir), free)
		}
	}
	return nil
}

// file unpacks the next entry, which has to be f.
func (r *restorer) file(archive *tar.Reader, f File) (err error) {
	h, err := archive.Next()
	if err == io.EOF {
		return fmt.Errorf("it has no %s, which its manifest names", f.Name)
	}
	if err != nil {
		return err
	}
	if h.Name != f.Name || h.Size != f.Size || h.Typeflag != tar.TypeReg {
		return fmt.Errorf("it has %.200q where its manifest names %s of %d bytes", h.Name, f.Name, f.Size)
	}
	path := filepath.Join(r.dir, f.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	digest := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, digest), archive); err != nil {
		return err
	}
	if hex.EncodeToString(digest.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%s is not what was backed up", f.Name)
	}
	return out.Sync()
}

// place moves what was unpacked into its place, in any order: as long as Restoring is there, no server takes the
// directory for a state. It replaces nothing: a server that has looked before Restoring was there may have begun one.
// Where it fails, what it has placed is removed again.
func place(m Manifest, staged, dir string) (err error) {
	entries, err := os.ReadDir(staged)
	if err != nil {
		return err
	}
	for _, d := range []string{secretsDir, keysDir, filepath.Dir(contentDir), contentDir} {
		if err := durable.SyncDir(filepath.Join(staged, d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	var placed []string
	defer func() {
		for _, path := range placed {
			if err != nil {
				_ = os.RemoveAll(path)
			}
		}
	}()
	for _, e := range entries {
		to := filepath.Join(dir, e.Name())
		if err := unix.Renameat2(unix.AT_FDCWD, filepath.Join(staged, e.Name()), unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != nil {
			return &fs.PathError{Op: "rename", Path: to, Err: err}
		}
		placed = append(placed, to)
	}
	if err := durable.SyncDir(dir); err != nil {
		return err
	}
	if err := os.Remove(staged); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}
