package packages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages/internal/nupkg"
	"github.com/airlock-run/airlock/packages/internal/review"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// Import takes the .nupkg of a library in whose name by is: a package without cmdlets of its own, which others depend on.
// It is Submitted like one that is pushed, and approved together with the first version whose lock needs it. The same bytes
// again are a success; the errors are those of Push.
func (r *Repository) Import(ctx context.Context, nupkgFile io.Reader, by domain.Principal) (domain.Package, error) {
	return r.push(ctx, nupkgFile, by, describeLibrary)
}

// describeLibrary reads what a library says of itself: its nuspec.
func describeLibrary(archive *nupkg.Archive) (domain.Package, review.Subject, error) {
	if _, err := archive.ReadFile(manifest.File, maxManifest); !errors.Is(err, fs.ErrNotExist) {
		return domain.Package{}, review.Subject{}, fmt.Errorf("it has an %s, so that it is no library: push it", manifest.File)
	}
	spec := archive.Nuspec
	p, err := described(archive, manifest.Manifest{
		ManifestVersion: manifest.Version, Name: spec.ID, Version: spec.Version, Description: spec.Description, Company: spec.Owners, ProjectURI: spec.ProjectURL,
	})
	p.Library = true
	return p, review.Subject{}, err
}
