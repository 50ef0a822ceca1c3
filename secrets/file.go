package secrets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/durable"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/sdk/secret"
)

// File keeps secrets in a directory, one file for each package and private cloud. A file holds the names plainly and
// the values sealed, each for its cloud, package and name, and a keyed digest over all, so that none of them can be
// swapped, removed or put back unnoticed. (An older file as a whole can be put back, as from a copy.)
//
// Its methods are safe for concurrent use; one process at a time may use the directory.
type File struct {
	dir   string
	key   seal.Key
	locks locks // by path
}

// OpenFile opens the store in dir, which it makes where it is missing. The directory must be closed to all but the
// user who runs Airlock. The key must be for this purpose only.
func OpenFile(dir string, key seal.Key) (*File, error) {
	err := durable.PrivateDir(dir)
	if err == nil {
		err = durable.RemoveTemporary(dir)
	}
	if err != nil {
		return nil, errors.Because(err, errors.SecretStoreFailed, "The store of persistent secrets cannot be used: %v.", err)
	}
	return &File{dir: filepath.Clean(dir), key: key}, nil
}

// fileFormat is the version of the form in which a file is written. Files of version 1, in which a secret has neither
// Version nor Changed, are read too.
const fileFormat = 2

// maxFile bounds the size of a file that is read: all values at their limit, sealed and in base64, with names.
const maxFile = MaxNames*(MaxValue*4/3+512) + 4096

// content is what a file holds.
type content struct {
	Version int     `json:"version"`
	Cloud   string  `json:"cloud"`   // domain.CloudID.Key
	Package string  `json:"package"` // in lower case
	Secrets []entry `json:"secrets"`
	Digest  []byte  `json:"digest"`
}

// entry is one secret.
type entry struct {
	Name    string    `json:"name"`              // in the case in which it was stored first
	Version string    `json:"version,omitempty"` // the package's, that wrote it
	Changed time.Time `json:"changed,omitzero"`
	Sealed  []byte    `json:"sealed"`
	value   secret.Text
}

// empty is the content of a package that has no secrets yet.
func empty(cloud domain.CloudID, pkg string) (content, error) {
	o, err := ownerOf(cloud, pkg)
	return content{Version: fileFormat, Cloud: o.key, Package: o.pkg}, err
}

// path is where the content's file lies: readable by its package, unique by a hash of cloud and package.
func (f *File) path(c content) string {
	return filepath.Join(f.dir, fmt.Sprintf("%s.%x.json", c.Package, sha256.Sum256(seal.Associated(c.Cloud, c.Package))))
}

// Read returns the secrets of a package in a private cloud, under their names as they were first stored. A package
// without secrets is no error. The error says what is wrong with the file.
func (f *File) Read(ctx context.Context, cloud domain.CloudID, pkg string) (map[string]secret.Text, error) {
	c, err := f.read(ctx, cloud, pkg)
	if err != nil {
		return nil, err
	}
	values := make(map[string]secret.Text, len(c.Secrets))
	for _, e := range c.Secrets {
		values[e.Name] = e.value
	}
	return values, nil
}

// List says which secrets a package has in a private cloud, in the order of their names.
func (f *File) List(ctx context.Context, cloud domain.CloudID, pkg string) ([]domain.PersistentSecret, error) {
	c, err := f.read(ctx, cloud, pkg)
	if err != nil {
		return nil, err
	}
	infos := make([]domain.PersistentSecret, 0, len(c.Secrets))
	for _, e := range c.Secrets {
		infos = append(infos, domain.PersistentSecret{Name: e.Name, Version: e.Version, Changed: e.Changed})
	}
	return sorted(infos), nil
}

func (f *File) read(ctx context.Context, cloud domain.CloudID, pkg string) (content, error) {
	c, err := empty(cloud, pkg)
	if err != nil {
		return c, err
	}
	path := f.path(c)
	lock := f.locks.of(path)
	lock.RLock()
	defer lock.RUnlock()
	if c, err = f.load(ctx, path, c); err != nil {
		return c, f.failed(err, "The persistent secrets of the package %s cannot be read", pkg)
	}
	return c, nil
}

// Write changes secrets of a package in a private cloud, for a version of it ("" where none is known): all that is named
// in changes, or after an error nothing. nil and the empty secret delete. The same changes again lead to the same
// secrets.
//
// Only an error while the directory is flushed leaves it open whether a crash keeps the old or the new secrets; the
// same Write again settles it.
func (f *File) Write(ctx context.Context, cloud domain.CloudID, pkg, version string, changes map[string]*secret.Text) error {
	c, err := empty(cloud, pkg)
	if err != nil {
		return err
	}
	names, err := check(changes)
	if err != nil || len(names) == 0 {
		return err
	}
	path := f.path(c)
	lock := f.locks.of(path)
	lock.Lock()
	defer lock.Unlock()
	if c, err = f.load(ctx, path, c); err == nil {
		err = f.change(&c, names, version, changes)
	}
	if err == nil {
		err = f.save(path, c)
	}
	if err != nil {
		return f.failed(err, "The persistent secrets of the package %s cannot be stored, and are as they were", pkg)
	}
	return nil
}

// RemoveCloud removes all secrets of a private cloud, those of every package, damaged ones too. After an error some may
// be removed; the same call again removes the rest.
func (f *File) RemoveCloud(ctx context.Context, cloud domain.CloudID) error {
	paths, err := filepath.Glob(filepath.Join(f.dir, "*.json"))
	for _, path := range paths {
		pkg := strings.TrimSuffix(filepath.Base(path), ".json")
		pkg = strings.TrimSuffix(pkg, filepath.Ext(pkg))
		if f.path(content{Cloud: cloud.Key(), Package: pkg}) != path {
			continue // another's
		}
		if err = errors.Join(err, ctx.Err()); err == nil {
			err = f.remove(path)
		}
	}
	if err == nil {
		err = durable.SyncDir(f.dir)
	}
	if err != nil {
		return f.failed(err, "The persistent secrets of the private cloud %s cannot be removed", cloud.Name)
	}
	return nil
}

func (f *File) remove(path string) error {
	lock := f.locks.of(path)
	lock.Lock()
	defer lock.Unlock()
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// change brings the changes into c.
func (f *File) change(c *content, names []string, version string, changes map[string]*secret.Text) error {
	for _, name := range names {
		i := slices.IndexFunc(c.Secrets, func(e entry) bool { return strings.EqualFold(e.Name, name) })
		value := changes[name]
		if value == nil || value.IsEmpty() {
			if i >= 0 {
				c.Secrets = slices.Delete(c.Secrets, i, i+1)
			}
			continue
		}
		if i < 0 {
			c.Secrets = append(c.Secrets, entry{Name: name})
			i = len(c.Secrets) - 1
		}
		e := &c.Secrets[i]
		sealed, err := f.key.Seal([]byte(value.Reveal()), c.associated(e.Name))
		if err != nil {
			return err
		}
		e.Sealed, e.Version, e.Changed = sealed, version, time.Now().UTC().Truncate(time.Second)
	}
	return bounded(len(c.Secrets))
}

// load reads the file at path; where there is none, the content is c, which is empty.
func (f *File) load(ctx context.Context, path string, c content) (content, error) {
	if err := ctx.Err(); err != nil {
		return content{}, err
	}
	data, err := durable.ReadPrivate(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return content{}, err
	}
	var got content
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil || got.Version < 1 || got.Version > fileFormat || got.Cloud != c.Cloud || got.Package != c.Package {
		return content{}, fmt.Errorf("%s: %w", path, seal.ErrDamaged)
	}
	for i := range got.Secrets {
		e := &got.Secrets[i]
		plain, err := f.key.Open(e.Sealed, got.associated(e.Name))
		if err != nil {
			return content{}, fmt.Errorf("%s: %w", path, err)
		}
		e.value = secret.New(string(plain))
	}
	if !bytes.Equal(got.Digest, f.key.Digest(got.digested())) {
		return content{}, fmt.Errorf("%s: %w", path, seal.ErrDamaged)
	}
	return got, nil
}

// save writes c to path; without secrets there is no file.
func (f *File) save(path string, c content) error {
	if len(c.Secrets) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return durable.SyncDir(f.dir)
	}
	c.Version = fileFormat
	c.Digest = f.key.Digest(c.digested())
	data, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(data, '\n'))
}

// associated is what the value of a secret is sealed for.
func (c content) associated(name string) []byte {
	return seal.Associated("persistent secret", c.Cloud, c.Package, strings.ToLower(name))
}

// digested is what the file's digest is over.
func (c content) digested() []byte {
	parts := []string{"persistent secrets", c.Cloud, c.Package}
	for _, e := range c.Secrets {
		parts = append(parts, e.Name, string(e.Sealed))
		if c.Version > 1 {
			parts = append(parts, e.Version, e.Changed.Format(time.RFC3339))
		}
	}
	if c.Version > 1 {
		parts[0] = "persistent secrets 2"
	}
	return seal.Associated(parts...)
}

// failed is a SecretStoreFailed whose sentence says what failed, why, and what to do; it names files, but only the log
// learns where they are. A context's error stays as it is.
func (f *File) failed(cause error, what, of string) error {
	var todo string
	switch {
	case errors.Is(cause, context.Canceled), errors.Is(cause, context.DeadlineExceeded):
		return cause
	case errors.Is(cause, syscall.ENOSPC), errors.Is(cause, syscall.EDQUOT):
		todo = " Make room on that disk and try again."
	case errors.Is(cause, seal.ErrWrongKey):
		todo = " Start Airlock with the key file that it had before."
	case errors.Is(cause, seal.ErrDamaged):
		todo = " Put the file back from a copy, or remove it to lose these secrets."
	}
	why := strings.ReplaceAll(cause.Error(), f.dir+string(filepath.Separator), "")
	return errors.Because(cause, errors.SecretStoreFailed, what+": %s.%s", of, why, todo)
}
