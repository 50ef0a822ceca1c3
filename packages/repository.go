package packages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/durable"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages/internal/nupkg"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// Repository holds packages in a directory: content/DIGEST.nupkg, and layout/DIGEST/ with the package's files. The
// index says which name and version a digest has. Methods are safe for concurrent use; one process at a time may use
// the directory.
type Repository struct {
	content, layout string
	index           Index
	placing         sync.Mutex // held while something is moved into content or layout
	sound           sync.Map   // nupkg.Stamp of layouts that were found as they should be, by digest
}

// temporary begins the names of what is not in its place yet.
const temporary = ".tmp-"

// Open opens the repository in dir, which it makes where it is missing, and removes what a crash left half done. The
// directory must be closed to all but the user who runs Airlock.
func Open(dir string, index Index) (*Repository, error) {
	r := &Repository{content: filepath.Join(dir, "content"), layout: filepath.Join(dir, "layout"), index: index}
	for _, path := range []string{dir, r.content, r.layout} {
		if err := durable.PrivateDir(path); err != nil {
			return nil, errors.Because(err, errors.Usage, "The directory of the package repository cannot be used: %v.", err)
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, unavailable(err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), temporary) {
				continue
			}
			if err := removeTree(filepath.Join(path, e.Name())); err != nil {
				return nil, unavailable(err)
			}
		}
	}
	return r, nil
}

// PushPath pushes the .nupkg at path, or packs the directory at path as Pack does, for the platform that this program
// runs on, and pushes that.
func (r *Repository) PushPath(ctx context.Context, path string) (domain.Package, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		dir, err := os.MkdirTemp("", "airlock-push-")
		if err != nil {
			return domain.Package{}, unavailable(err)
		}
		defer os.RemoveAll(dir)
		packed, err := Pack(ctx, path, dir, PackOptions{})
		if err != nil {
			return domain.Package{}, err
		}
		path = packed.Path
	}
	f, err := os.Open(path)
	if err != nil {
		return domain.Package{}, invalid(err)
	}
	defer f.Close()
	return r.Push(ctx, f)
}

// Push takes a .nupkg: checks it, keeps it, lays it out and enters it into the index, in this order, each step flushed
// to the disk. The same bytes again are a success; other bytes for a version that is there are errors.Conflict. What
// is wrong with the package is errors.InvalidPackage, and leaves nothing behind.
func (r *Repository) Push(ctx context.Context, nupkgFile io.Reader) (domain.Package, error) {
	f, err := os.CreateTemp(r.content, temporary+"*")
	if err != nil {
		return domain.Package{}, unavailable(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	digest, size, err := receive(ctx, f, nupkgFile)
	if err != nil {
		return domain.Package{}, err
	}
	archive, err := nupkg.Open(f, size)
	if err != nil {
		return domain.Package{}, invalid(err)
	}
	p, err := describe(archive)
	if err != nil {
		return domain.Package{}, invalid(err)
	}
	if _, ok := p.Manifest.Binaries[hostPlatform()]; !ok {
		return domain.Package{}, invalid(fmt.Errorf("it has no binary for %s, where executions run", hostPlatform()))
	}
	p.Digest, p.Size, p.Pushed, p.Review.State = digest, size, time.Now().UTC(), domain.Approved
	laid, err := r.prepareLayout(ctx, archive, p.Manifest)
	if err != nil {
		return domain.Package{}, err
	}
	defer func() { _ = removeTree(laid) }() // after the rename there is nothing left to remove

	r.placing.Lock()
	defer r.placing.Unlock()
	if err := r.vacant(ctx, p); err != nil {
		return domain.Package{}, err
	}
	if err := os.Rename(f.Name(), r.contentPath(digest)); err != nil {
		return domain.Package{}, unavailable(err)
	}
	if err := durable.SyncDir(r.content); err != nil {
		return domain.Package{}, unavailable(err)
	}
	if err := r.placeLayout(ctx, archive, p, laid); err != nil {
		return domain.Package{}, unavailable(err)
	}
	if err := r.index.PutPackage(ctx, p); err != nil {
		return domain.Package{}, err
	}
	return r.index.PackageByDigest(ctx, digest) // with the name in the case of the first push
}

// receive copies a package into f, flushes it, and returns its digest and size.
func receive(ctx context.Context, f *os.File, from io.Reader) (digest string, size int64, err error) {
	h, in := sha256.New(), &source{ctx: ctx, r: io.LimitReader(from, nupkg.MaxSize+1)}
	size, err = io.Copy(io.MultiWriter(f, h), in)
	switch {
	case ctx.Err() != nil:
		return "", 0, ctx.Err()
	case in.err != nil:
		return "", 0, errors.Because(in.err, errors.InvalidPackage, "The package did not arrive to its end. Push it again.")
	case size > nupkg.MaxSize:
		return "", 0, errors.Newf(errors.RequestEntityTooLarge, "The package has more than %d bytes, which is the most that is allowed.", nupkg.MaxSize)
	case err == nil:
		err = f.Sync()
	}
	if err != nil {
		return "", 0, unavailable(err)
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// source ends with its context, and keeps the error of reading apart from those of writing.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// maxManifest bounds airlock.json.
const maxManifest = 4 << 20

// describe reads what a package says of itself: its manifest, with which its nuspec must agree.
func describe(archive *nupkg.Archive) (domain.Package, error) {
	data, err := archive.ReadFile(manifest.File, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return domain.Package{}, fmt.Errorf("there is no %s at the archive's root; make the package with airlock package pack", manifest.File)
	}
	if err != nil {
		return domain.Package{}, err
	}
	m, err := manifest.Parse(data)
	if err != nil {
		return domain.Package{}, err
	}
	if strings.EqualFold(m.Name, domain.OwnSecrets) {
		return domain.Package{}, fmt.Errorf("no package can be called %s, because Airlock keeps secrets of its own under that name; take another one", m.Name)
	}
	v, err := parseVersion(m.Version)
	if err != nil {
		return domain.Package{}, fmt.Errorf("%s: %w", manifest.File, err)
	}
	if archive.Nuspec.ID != m.Name {
		return domain.Package{}, fmt.Errorf("its nuspec names it %.200q, its %s %q", archive.Nuspec.ID, manifest.File, m.Name)
	}
	if spec, err := parseVersion(archive.Nuspec.Version); err != nil || spec.String() != v.String() {
		return domain.Package{}, fmt.Errorf("its nuspec has the version %.100q, its %s %q", archive.Nuspec.Version, manifest.File, m.Version)
	}
	return domain.Package{Name: m.Name, Version: v.String(), Manifest: m}, nil
}

// vacant says whether the version can be entered: it is not there, or is the same.
func (r *Repository) vacant(ctx context.Context, p domain.Package) error {
	there, err := r.index.Packages(ctx, p.Name)
	if err != nil {
		return err
	}
	for _, other := range there {
		if other.Version == p.Version && other.Digest != p.Digest {
			return errors.Newf(errors.Conflict, "%s is there already, with other content. A version never changes: push the new content under a higher version.", other.Ref())
		}
	}
	return nil
}

var digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (r *Repository) contentPath(digest string) string {
	return filepath.Join(r.content, digest+".nupkg")
}

// removeTree removes a tree whose directories may be read-only.
func removeTree(path string) error {
	_ = filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if e != nil && e.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path)
}

// programs says which files of a package are its binaries.
func programs(m manifest.Manifest) func(name string) bool {
	paths := make(map[string]bool, len(m.Binaries))
	for _, path := range m.Binaries {
		paths[path] = true
	}
	return func(name string) bool { return paths[name] }
}
