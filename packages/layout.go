package packages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/durable"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages/internal/nupkg"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// Layout returns the directory in which the files of the package with the digest lie, read-only: files with mode 0444,
// binaries and directories with 0555.
//
// Modes do not keep out a script that runs as the same user, so what it changed is found before the next execution: at
// the first Layout of this Repository, and whenever something in the directory was touched since, every byte is compared
// with the .nupkg, whose digest is checked too, and what differs is laid out again.
func (r *Repository) Layout(ctx context.Context, digest string) (string, error) {
	if !digestForm.MatchString(digest) {
		return "", errors.Newf(errors.ResourceNotFound, "There is no package with the digest %.100q.", digest)
	}
	p, err := r.index.PackageByDigest(ctx, digest)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(r.layout, digest)
	stamp, err := nupkg.Stamp(dir)
	if sound, ok := r.sound.Load(digest); ok && err == nil && sound == stamp {
		return dir, nil
	}
	f, err := r.open(digest)
	if err != nil {
		return "", err
	}
	defer f.Close()
	archive, err := openSound(ctx, f, p)
	if err != nil {
		return "", err
	}
	if archive.Verify(ctx, dir, programs(p.Manifest)) == nil {
		r.sound.Store(digest, stamp) // taken before: what changed meanwhile has another
		return dir, nil
	}
	return dir, r.layOutAgain(ctx, archive, p)
}

// openSound opens the content of a package whose digest is right.
func openSound(ctx context.Context, f *os.File, p domain.Package) (*nupkg.Archive, error) {
	h := sha256.New()
	if _, err := io.Copy(h, &source{ctx: ctx, r: f}); err != nil {
		return nil, unavailable(err)
	}
	if hex.EncodeToString(h.Sum(nil)) != p.Digest {
		return nil, damaged(errors.New("the digest of the content is another"), p)
	}
	archive, err := openContent(f)
	if err != nil {
		return nil, damaged(err, p)
	}
	return archive, nil
}

func openContent(f *os.File) (*nupkg.Archive, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return nupkg.Open(f, info.Size())
}

func damaged(err error, p domain.Package) error {
	return errors.Because(err, errors.ServiceUnavailable, "The content of the package %s is damaged in the repository. Push the same package again.", p.Ref())
}

func (r *Repository) layOutAgain(ctx context.Context, archive *nupkg.Archive, p domain.Package) error {
	laid, err := r.prepareLayout(ctx, archive, p.Manifest)
	if err != nil {
		return err
	}
	defer func() { _ = removeTree(laid) }()
	r.placing.Lock()
	defer r.placing.Unlock()
	if err := r.placeLayout(ctx, archive, p, laid); err != nil {
		return unavailable(err)
	}
	return nil
}

// prepareLayout unpacks a package into a directory that is not in its place yet, and checks its binaries there.
func (r *Repository) prepareLayout(ctx context.Context, archive *nupkg.Archive, m manifest.Manifest) (dir string, err error) {
	dir, err = os.MkdirTemp(r.layout, temporary)
	if err != nil {
		return "", unavailable(err)
	}
	if err = archive.LayOut(ctx, dir, programs(m)); err != nil {
		var disk *fs.PathError // what is wrong with the package itself comes as other errors
		if errors.As(err, &disk) || ctx.Err() != nil {
			err = unavailable(err)
		} else {
			err = invalid(err)
		}
	} else if m.Runtime == manifest.Go {
		if err = checkBinaries(m, os.DirFS(dir)); err != nil {
			err = invalid(err)
		}
	}
	if err != nil {
		_ = removeTree(dir)
		return "", err
	}
	return dir, nil
}

// placeLayout moves a prepared layout into its place, unless a sound one is there.
func (r *Repository) placeLayout(ctx context.Context, archive *nupkg.Archive, p domain.Package, laid string) error {
	dir := filepath.Join(r.layout, p.Digest)
	if archive.Verify(ctx, dir, programs(p.Manifest)) == nil {
		return nil
	}
	if err := ctx.Err(); err != nil { // then nothing is known of the one that is there, which executions may be using
		return err
	}
	if err := removeTree(dir); err != nil {
		return err
	}
	if err := os.Rename(laid, dir); err != nil {
		return err
	}
	return durable.SyncDir(r.layout)
}
