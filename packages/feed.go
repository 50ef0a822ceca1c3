package packages

import (
	"io"

	"github.com/airlock-run/airlock/packages/internal/feed"
)

// Feed is a NuGet feed of a repository: a repository for Publish-, Find- and Install-PSResource and for dotnet.
type Feed = feed.Feed

// Feed makes the feed of the repository.
func (r *Repository) Feed() *Feed { return feed.New(r) }

// Content opens the .nupkg of a version, by its digest.
func (r *Repository) Content(digest string) (io.ReadSeekCloser, error) { return r.open(digest) }
