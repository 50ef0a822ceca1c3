package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages"
)

func (a *app) packagePush() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "push DIR|FILE",
		Short: "Push a version of a package, for its review",
		Long: `Push a version of a package: a .nupkg, or a directory, which is packed first as pack does, for Linux on this machine's
processor. It runs once somebody else has approved it; one with the label -dev is not reviewed, and runs where a private cloud
takes such code. The same again is a success; other content needs a higher version.`,
		Args: cobra.ExactArgs(1),
	}
	platforms := cmd.Flags().StringSlice("platform", nil, "of a directory with source: platforms to build for, such as linux/amd64,linux/arm64")
	cmd.RunE = does(func(ctx context.Context, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		path, done, err := a.packed(ctx, args[0], *platforms)
		if err != nil {
			return err
		}
		defer done()
		r, err := c.upload(ctx, publishing, path, a.progress)
		if err != nil {
			return err
		}
		return a.printVersion(r)
	})
	return cmd
}

// packed is the .nupkg at path, or of the directory there, which is away again once it is done.
func (a *app) packed(ctx context.Context, path string, platforms []string) (nupkg string, done func(), err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", nil, errors.Because(err, errors.Usage, "The package cannot be read: %v.", err)
	}
	if !info.IsDir() {
		if len(platforms) > 0 {
			return "", nil, errors.Newf(errors.Usage, "%s is packed already: leave --platform out.", path)
		}
		return path, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "airlock-push-")
	if err != nil {
		return "", nil, err
	}
	done = func() { _ = os.RemoveAll(dir) }
	p, err := packages.Pack(ctx, path, dir, packages.PackOptions{Platforms: platforms, Progress: a.progress})
	if err != nil {
		done()
		return "", nil, err
	}
	return p.Path, done, nil
}

func (a *app) packagePromote() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "promote NAME@VERSION",
		Short: "Push the same files again without the label of their version",
		Long: `Push the files of a version with a label again, under its numbers without the label: 1.2.0-preview becomes 1.2.0. Only the
version differs. The review sees what is promoted, and is spared nothing.`,
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = does(func(ctx context.Context, args []string) error {
		return a.onVersion(ctx, args[0], http.MethodPost, "/promote", nil)
	})
	return cmd
}

func (a *app) packageImport() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import DIR|FILE|FEED [NAME…]",
		Short: "Bring in libraries that packages depend on",
		Long: `Bring in libraries: packages without cmdlets of their own, which others depend on, such as PowerCLI's. DIR holds their
.nupkg files, as Save-PSResource -AsNupkg leaves them. FEED is the https:// address of the service index of a NuGet feed, version
3, of which each NAME is fetched with all that it depends on: Name, Name@1.2.3, Name@1.* or Name@[1.0,2.0). Its credential is
AIRLOCK_FEED_TOKEN, with AIRLOCK_FEED_USER where a user is wanted; AIRLOCK_FEED_CA is a PEM file where its authority is none of the
system's.

A library is approved together with the first version that needs it, by somebody other than who imported it. What is there
already is a success.`,
		Args: cobra.MinimumNArgs(1),
	}
	cmd.RunE = does(func(ctx context.Context, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		if strings.Contains(args[0], "://") {
			return a.importFrom(ctx, c, args[0], args[1:])
		}
		if len(args) > 1 {
			return errors.Newf(errors.Usage, "Names are for feeds; of %s all libraries are imported.", args[0])
		}
		files, err := libraries(args[0])
		if err != nil {
			return err
		}
		return a.importAll(ctx, c, files)
	})
	return cmd
}

// libraries are the .nupkg files at path.
func libraries(path string) (files []string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, errors.Because(err, errors.Usage, "The libraries cannot be read: %v.", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, errors.Because(err, errors.Usage, "The libraries cannot be read: %v.", err)
	}
	for _, e := range entries {
		if e.Type().IsRegular() && strings.EqualFold(filepath.Ext(e.Name()), ".nupkg") {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, errors.Newf(errors.Usage, "There is no .nupkg file in %s.", path)
	}
	return files, nil
}

// importAll imports each file, also where another one is refused, and says at the end which were.
func (a *app) importAll(ctx context.Context, c *client, files []string) error {
	var imported []resource
	var refused []string
	code := errors.InvalidPackage
	for _, file := range files {
		r, err := c.upload(ctx, importing, file, a.progress)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Has(err, errors.ServerUnreachable), errors.Has(err, errors.AuthenticationFailed), errors.Has(err, errors.AuthorizationFailed):
			return err // as the next ones would be
		case err != nil:
			code = errors.CodeOf(err)
			refused = append(refused, fmt.Sprintf("%s: %s", filepath.Base(file), errors.For(err, "(this command)").Message))
		default:
			imported = append(imported, r)
		}
	}
	if err := a.printVersions(imported); err != nil || len(refused) == 0 {
		return err
	}
	return errors.Newf(code, "%d of %d libraries were refused. %s", len(refused), len(files), strings.Join(slices.Compact(refused), " "))
}

// printVersion shows what was pushed, and what is to be done next.
func (a *app) printVersion(r resource) error {
	if a.output == "json" {
		return a.printJSON(r)
	}
	var p versionProperties
	if err := json.Unmarshal(r.Properties, &p); err != nil {
		return err
	}
	return a.printPairs("package", r.Name, "ring", p.Ring, "state", p.State, "promotes", p.Promotes, "sha256", p.SHA256,
		"findings", p.FindingCount.String(), "next", p.next(r.Name))
}
