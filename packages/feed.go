package packages

import (
	"io"

	"github.com/airlock-run/airlock/packages/internal/feed"
)

// Feed is a NuGet feed of a repository: a repository for Publish-, Find- and Install-PSResource and for dotnet.
type Feed = feed.Feed

// Feed makes the feed of the repository.
func (r *Repository) Feed() *Feed { return feed.New(feedContent{r}) }

// feedContent is the repository with what only the feed needs of it.
type feedContent struct{ *Repository }

func (c feedContent) Content(digest string) (io.ReadSeekCloser, error) { return c.open(digest) }
