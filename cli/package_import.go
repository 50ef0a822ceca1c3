package cli

import (
	"context"
	"os"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages"
	"github.com/airlock-run/airlock/sdk/secret"
)

// importFrom imports packages of a feed, and all that they depend on.
func (a *app) importFrom(ctx context.Context, c *client, feed string, names []string) error {
	if len(names) == 0 {
		return errors.Newf(errors.Usage, "Name what is wanted of the feed; what it depends on comes with it.")
	}
	from := packages.Source{Index: feed, User: a.getenv("AIRLOCK_FEED_USER"), Password: secret.New(a.getenv("AIRLOCK_FEED_TOKEN"))}
	if file := a.getenv("AIRLOCK_FEED_CA"); file != "" {
		var err error
		if from.Roots, err = authorities(file); err != nil {
			return errors.Because(err, errors.Usage, "AIRLOCK_FEED_CA cannot be used: %v.", err)
		}
	}
	dir, err := os.MkdirTemp("", "airlock-import-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	files, err := packages.Fetch(ctx, from, names, dir, a.progress)
	if err != nil {
		return err
	}
	return a.importAll(ctx, c, files)
}
