package packages

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages/internal/gosource"
	"github.com/airlock-run/airlock/packages/internal/powershell"
	"github.com/airlock-run/airlock/packages/internal/review"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// Check reviews the package at path as a push does, without a repository and without running any of it: a .nupkg, or the
// directory of a PowerShell module, of the Go source of a package, or of one that is built. previous, if it is not "", is
// the path of the version before, whose interface is compared.
//
// What cannot be read as a package is errors.InvalidPackage.
func Check(ctx context.Context, path, previous string) ([]domain.ReviewFinding, error) {
	subject, err := readSubject(ctx, path)
	if err != nil {
		return nil, err
	}
	var known review.Known
	if previous != "" {
		before, err := readSubject(ctx, previous)
		if err != nil {
			return nil, err
		}
		known.Previous = &before.Manifest
	}
	return review.Check(subject, known), nil
}

// WriteSARIF writes findings as a log in SARIF 2.1.0.
func WriteSARIF(w io.Writer, findings []domain.ReviewFinding) error {
	return review.WriteSARIF(w, findings)
}

// look reviews a package that is being pushed.
func (r *Repository) look(ctx context.Context, p domain.Package, subject review.Subject) ([]domain.ReviewFinding, error) {
	var known review.Known
	before, err := r.before(ctx, p)
	if err != nil {
		return nil, err
	}
	if before != nil {
		known.Previous = &before.Manifest
	}
	management, err := r.versions(ctx, review.Management)
	if err != nil {
		return nil, err
	}
	for _, h := range management { // the highest first
		if h.version.ring == general && h.Review.State != domain.Rejected {
			known.Management = h.Version
			break
		}
	}
	return review.Check(subject, known), nil
}

// before is the version that p comes after for those who use its ring: the highest one with lower numbers that may be run, of
// a ring that they see. It is nil if there is none.
func (r *Repository) before(ctx context.Context, p domain.Package) (*domain.Package, error) {
	v, err := parseVersion(p.Version)
	if err != nil {
		return nil, err
	}
	versions, err := r.versions(ctx, p.Name)
	if err != nil {
		return nil, err
	}
	for _, h := range versions {
		runs := h.Review.State == domain.Approved || h.Review.State == domain.Deprecated
		if runs && h.version.compare(v) < 0 && h.version.numbers != v.numbers && h.version.ring.rank() <= v.ring.rank() {
			return &h.Package, nil
		}
	}
	return nil, nil
}

// readSubject reads the package at path, whatever it is.
func readSubject(ctx context.Context, path string) (s review.Subject, err error) {
	info, err := os.Stat(path)
	if err == nil {
		if info.IsDir() {
			s, err = readDirectory(ctx, path)
		} else {
			s, err = readArchive(path)
		}
	}
	if err != nil && ctx.Err() != nil {
		return s, ctx.Err()
	}
	if err != nil {
		return s, errors.Because(err, errors.InvalidPackage, "%s cannot be checked: %v.", path, err)
	}
	return s, nil
}

func readArchive(path string) (review.Subject, error) {
	f, err := os.Open(path)
	if err != nil {
		return review.Subject{}, err
	}
	defer f.Close()
	archive, err := openContent(f)
	if err != nil {
		return review.Subject{}, err
	}
	return subjectOf(archive)
}

func readDirectory(ctx context.Context, dir string) (review.Subject, error) {
	data, err := os.ReadFile(filepath.Join(dir, manifest.File))
	if err == nil {
		m, err := manifest.Parse(data)
		return review.Subject{Manifest: m, Spec: domain.Spec{ProjectURL: m.ProjectURI}, Declared: data}, err
	}
	if name, err := moduleName(dir); err != nil || name != "" {
		if err != nil {
			return review.Subject{}, err
		}
		return moduleIn(dir, name)
	}
	m, err := gosource.Read(ctx, dir, hostPlatform())
	return review.Subject{Manifest: m, Spec: domain.Spec{ProjectURL: m.ProjectURI}}, err
}

func moduleIn(dir, name string) (review.Subject, error) {
	root, err := os.OpenRoot(dir) // links do not lead out of it
	if err != nil {
		return review.Subject{}, err
	}
	defer root.Close()
	m, err := powershell.Read(root.FS(), name)
	if err != nil {
		return review.Subject{}, err
	}
	s := review.Subject{Manifest: m.Package(), Module: m}
	if m.Manifest != nil {
		s.Spec = m.Manifest.Spec()
	}
	return s, nil
}

// moduleName is the name of the PowerShell module in a directory: that of its manifest, or without one of its .psm1; "" if it
// holds none.
func moduleName(dir string) (string, error) {
	for _, ext := range []string{".psd1", ".psm1"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return "", err
		}
		var names []string
		for _, e := range entries {
			if strings.EqualFold(filepath.Ext(e.Name()), ext) {
				names = append(names, strings.TrimSuffix(e.Name(), filepath.Ext(e.Name())))
			}
		}
		for _, name := range names {
			if abs, err := filepath.Abs(dir); err == nil && strings.EqualFold(name, filepath.Base(abs)) {
				return name, nil
			}
		}
		if len(names) == 1 {
			return names[0], nil
		}
		if len(names) > 1 {
			return "", errors.New("it holds several " + ext + " files, and none has the directory's name")
		}
	}
	return "", nil
}
