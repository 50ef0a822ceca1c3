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
	"github.com/airlock-run/airlock/packages/internal/review"
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

// PushPath pushes, for whoever starts the server and answers for it, the .nupkg at path, or packs the directory at path as
// Pack does, for the platform that this program runs on, and pushes that. What is pushed so is approved at once, unless it
// is of the dev ring, or somebody has decided about it before.
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
	p, err := r.Push(ctx, f, domain.Principal{})
	if err != nil || p.Review.State != domain.Submitted || isDev(p) {
		return p, err
	}
	return r.approve(ctx, p, domain.Principal{}, p.Errors())
}

// Push takes a .nupkg of whom by names: checks it, keeps it, lays it out and enters it into the index as Submitted, in this
// order, each step flushed to the disk. The same bytes again are a success and change nothing; other bytes for a version
// that is there are errors.Conflict. What is wrong with the package, or of the dev ring with what it depends on, is
// errors.InvalidPackage, and leaves nothing behind.
//
// A version without a label promotes the one with the same numbers and a label: where there are versions of the preview ring
// that nobody has rejected, its files are those of one of them, but for version fields.
func (r *Repository) Push(ctx context.Context, nupkgFile io.Reader, by domain.Principal) (domain.Package, error) {
	return r.push(ctx, nupkgFile, by, describe)
}

// push takes a .nupkg that describe tells about.
func (r *Repository) push(ctx context.Context, nupkgFile io.Reader, by domain.Principal, describe func(*nupkg.Archive) (domain.Package, review.Subject, error)) (domain.Package, error) {
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
	p, subject, err := describe(archive)
	if err != nil {
		return domain.Package{}, invalid(err)
	}
	p.Digest, p.Size, p.Pushed, p.PushedBy, p.Review.State = digest, size, time.Now().UTC(), by, domain.Submitted
	laid, err := r.prepareLayout(ctx, archive, p.Manifest)
	if err != nil {
		return domain.Package{}, err
	}
	defer func() { _ = removeTree(laid) }() // after the rename there is nothing left to remove

	siblings, there, err := r.siblings(ctx, p)
	if err == nil && !there {
		err = r.judge(ctx, &p, archive, subject, siblings)
	}
	if err != nil {
		return domain.Package{}, err
	}
	r.placing.Lock()
	defer r.placing.Unlock()
	if now, there, err := r.siblings(ctx, p); err != nil {
		return domain.Package{}, err
	} else if !there && len(now) != len(siblings) {
		return domain.Package{}, errors.Newf(errors.Conflict, "Another version with the numbers of %s was pushed at the same time. Push it again.", p.Ref())
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

// siblings are the other versions with the numbers of p, whatever their labels, the highest first; there says that p is
// there itself. With other content it is a Conflict, and so is a library under the name of a package, whose versions have
// a review each.
func (r *Repository) siblings(ctx context.Context, p domain.Package) (siblings []held, there bool, err error) {
	v, err := parseVersion(p.Version)
	if err != nil {
		return nil, false, err
	}
	versions, err := r.versions(ctx, p.Name)
	if err != nil {
		return nil, false, err
	}
	for _, h := range versions {
		switch {
		case p.Library && !h.Library && h.Review.State != domain.Rejected && h.Digest != p.Digest:
			return nil, false, errors.Newf(errors.Conflict, "%s is a script package, so that no library can have its name: push its versions instead of importing them.", h.Name)
		case h.version.numbers != v.numbers:
		case h.version.compare(v) != 0:
			siblings = append(siblings, h)
		case h.Digest == p.Digest:
			there = true
		default:
			return nil, false, errors.Newf(errors.Conflict, "%s is there already, with other content. A version never changes: push the new content under a higher version.", h.Ref())
		}
	}
	return siblings, there, nil
}

// judge finds out what is to be known of a new version among those that there are.
func (r *Repository) judge(ctx context.Context, p *domain.Package, archive *nupkg.Archive, subject review.Subject, siblings []held) (err error) {
	if p.Promotes, err = r.promotes(ctx, *p, archive, siblings); err != nil {
		return err
	}
	if !p.Library {
		if p.Findings, err = r.look(ctx, *p, subject); err != nil {
			return err
		}
	}
	if !isDev(*p) {
		return nil
	}
	needed, err := r.lock(ctx, *p)
	p.Lock = pins(needed)
	var c contradiction
	if errors.As(err, &c) {
		return invalid(err)
	}
	return err
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

// describe reads what a package says of itself: its manifest, with which its nuspec must agree. The subject is for its review.
func describe(archive *nupkg.Archive) (domain.Package, review.Subject, error) {
	s, err := subjectOf(archive)
	if err != nil {
		return domain.Package{}, s, err
	}
	if s.Module != nil {
		if err := checkModule(s); err != nil {
			return domain.Package{}, s, err
		}
	}
	p, err := described(archive, s.Manifest)
	if err != nil {
		return p, s, err
	}
	if _, ok := s.Manifest.Binaries[hostPlatform()]; !ok && s.Module == nil {
		return p, s, fmt.Errorf("it has no binary for %s, where executions run", hostPlatform())
	}
	return p, s, nil
}

// subjectOf reads the package in an archive: with an airlock.json, or a PowerShell module.
func subjectOf(archive *nupkg.Archive) (s review.Subject, err error) {
	s.Declared, err = archive.ReadFile(manifest.File, maxManifest)
	switch {
	case err == nil:
		s.Manifest, err = manifest.Parse(s.Declared)
	case errors.Is(err, fs.ErrNotExist):
		s, err = readModule(archive)
	}
	if errors.Is(err, errNoModule) {
		err = fmt.Errorf("there is neither an %s at the archive's root, which airlock package pack makes, nor the manifest of a PowerShell module, %s.psd1", manifest.File, archive.Nuspec.ID)
	}
	s.Spec = domain.Spec{ProjectURL: archive.Nuspec.ProjectURL, Dependencies: archive.Nuspec.Dependencies}
	return s, err
}

// described is the package with the manifest, with which its nuspec must agree.
func described(archive *nupkg.Archive, m manifest.Manifest) (domain.Package, error) {
	spec := archive.Nuspec
	if strings.EqualFold(m.Name, domain.OwnSecrets) {
		return domain.Package{}, fmt.Errorf("no package can be called %s, because Airlock keeps secrets of its own under that name; take another one", m.Name)
	}
	v, err := parseVersion(m.Version)
	if err != nil {
		return domain.Package{}, fmt.Errorf("%s: %w", m.Source(), err)
	}
	if spec.ID != m.Name {
		return domain.Package{}, fmt.Errorf("its nuspec names it %.200q, its %s %q", spec.ID, m.Source(), m.Name)
	}
	if other, err := parseVersion(spec.Version); err != nil || other.String() != v.String() {
		return domain.Package{}, fmt.Errorf("its nuspec has the version %.100q, its %s %q", spec.Version, m.Source(), m.Version)
	}
	for _, d := range spec.Dependencies {
		if _, err := parseRange(d.Range); err != nil {
			return domain.Package{}, fmt.Errorf("its nuspec depends on %s: %w", d.ID, err)
		}
	}
	return domain.Package{Name: m.Name, Version: v.String(), Manifest: m, Spec: domain.Spec{
		Authors: spec.Authors, Description: spec.Description, ProjectURL: spec.ProjectURL, Tags: spec.Tags, Dependencies: spec.Dependencies,
	}}, nil
}

// open opens the .nupkg with the digest.
func (r *Repository) open(digest string) (*os.File, error) {
	f, err := os.Open(r.contentPath(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Because(err, errors.ServiceUnavailable, "The content of the package is gone from the repository. Push the same package again.")
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return f, nil
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
