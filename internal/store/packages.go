package store

import (
	"context"
	"database/sql"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

const packageColumns = `name, version, digest, size, pushed, pushed_by, promotes, library, spec, manifest, findings,
	state, decided_by, decided, reason, acknowledged, lock`

func scanPackage(r scanner) (p domain.Package, err error) {
	err = r.Scan(&p.Name, &p.Version, &p.Digest, &p.Size, asMicros{&p.Pushed}, asJSON{&p.PushedBy}, &p.Promotes, &p.Library, asJSON{&p.Spec},
		asJSON{&p.Manifest}, asJSON{&p.Findings}, &p.Review.State, asJSON{&p.Review.By}, asMicros{&p.Review.Time}, &p.Review.Reason,
		asJSON{&p.Review.Acknowledged}, asJSON{&p.Lock})
	return p, err
}

func packageByVersion(v view, name, version string) (domain.Package, error) {
	return scanPackage(v.row(`SELECT `+packageColumns+` FROM packages WHERE name_key = $1 AND version_key = $2`, strings.ToLower(name), strings.ToLower(version)))
}

func packageByDigest(v view, digest string) (domain.Package, error) {
	p, err := scanPackage(v.row(`SELECT `+packageColumns+` FROM packages WHERE digest = $1 ORDER BY name_key, version_key LIMIT 1`, strings.ToLower(digest)))
	if errors.Is(err, sql.ErrNoRows) {
		return p, errors.Newf(errors.ResourceNotFound, "There is no package with the digest %s; push it first.", digest)
	}
	return p, err
}

// PutPackage stores a version of a package. The same version with the same digest again changes nothing; with
// another digest it is a Conflict. The name keeps the case of its first version.
func (s *Store) PutPackage(ctx context.Context, p domain.Package) error {
	return s.write(ctx, func(t *tx) error {
		name, version := strings.ToLower(p.Name), strings.ToLower(p.Version)
		n, err := t.exec(`INSERT INTO packages (name_key, version_key, `+packageColumns+`)
			VALUES ($1, $2, coalesce((SELECT min(name) FROM packages WHERE name_key = $1), $3), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
				$14, $15, $16, $17, $18, $19)
			ON CONFLICT (name_key, version_key) DO NOTHING`,
			name, version, p.Name, p.Version, p.Digest, p.Size, asMicros{&p.Pushed}, asJSON{p.PushedBy}, p.Promotes, p.Library, asJSON{p.Spec},
			asJSON{p.Manifest}, asJSON{p.Findings}, p.Review.State, asJSON{p.Review.By}, asMicros{&p.Review.Time}, p.Review.Reason,
			asJSON{p.Review.Acknowledged}, asJSON{p.Lock})
		if err != nil || n > 0 {
			return err
		}
		have, err := packageByVersion(t.view, name, version)
		if err == nil && have.Digest != p.Digest {
			return errors.Newf(errors.Conflict, "The package %s is there already with other content; a version never changes, push the new content as another version.", have.Ref())
		}
		return err
	})
}

// Packages lists the versions of a package, of all where name is "", by name; the order of versions is not theirs by
// precedence.
func (s *Store) Packages(ctx context.Context, name string) ([]domain.Package, error) {
	return read(ctx, s, func(v view) ([]domain.Package, error) {
		if name == "" {
			return list(v, scanPackage, `SELECT `+packageColumns+` FROM packages ORDER BY name_key, version_key`)
		}
		return list(v, scanPackage, `SELECT `+packageColumns+` FROM packages WHERE name_key = $1 ORDER BY version_key`, strings.ToLower(name))
	})
}

// PackageByDigest reads the version with the digest.
func (s *Store) PackageByDigest(ctx context.Context, digest string) (domain.Package, error) {
	return read(ctx, s, func(v view) (domain.Package, error) { return packageByDigest(v, digest) })
}
