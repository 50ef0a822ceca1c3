package packages

import (
	"io"
	"io/fs"
	"os"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages/internal/feed"
)

// Feed is a NuGet feed of a repository: a repository for Publish-, Find- and Install-PSResource and for dotnet.
type Feed = feed.Feed

// Feed makes the feed of the repository.
func (r *Repository) Feed() *Feed { return feed.New(feedContent{r}) }

// feedContent is the repository with what only the feed needs of it.
type feedContent struct{ *Repository }

func (c feedContent) Content(digest string) (io.ReadSeekCloser, error) {
	f, err := os.Open(c.contentPath(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Because(err, errors.ServiceUnavailable, "The content of the package is gone from the repository. Push the same package again.")
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return f, nil
}
