package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages"
)

func (a *app) packageCommand() *cobra.Command {
	return group("package", "Versions of packages, for those who make, push and review them",
		a.packageCheck(), a.packagePack(), a.packagePush(), a.packageList(), a.packageReview(), a.packagePromote(), a.packageDeprecate(), a.packageImport())
}

func (a *app) packagePack() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pack DIR",
		Short: "Make a .nupkg of the Go source of a package, or of a PowerShell module",
		Long: `Make a .nupkg of the Go source of a package, or of a PowerShell module. Of Go source the declarations are read, nothing
of it is run, and a static binary is built for each platform. A module is packed as it is, and so is a directory that holds
an airlock.json; what the module requires (RequiredModules) is what the package depends on. The same files give the same
package.`,
		Args: cobra.ExactArgs(1),
	}
	out := cmd.Flags().String("out", ".", "directory for the .nupkg")
	platforms := cmd.Flags().StringSlice("platform", nil, "platforms to build for, such as linux/amd64,linux/arm64 (default: Linux on this machine's processor)")
	cmd.RunE = does(func(ctx context.Context, args []string) error {
		if err := os.MkdirAll(*out, 0o755); err != nil {
			return errors.Because(err, errors.Usage, "--out: %v.", err)
		}
		packed, err := packages.Pack(ctx, args[0], *out, packages.PackOptions{Platforms: *platforms, Progress: a.progress})
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(map[string]string{"name": packed.Manifest.Name, "version": packed.Manifest.Version, "path": packed.Path, "sha256": packed.Digest})
		}
		return a.printPairs("package", packed.Manifest.Name+"@"+packed.Manifest.Version, "path", packed.Path, "sha256", packed.Digest)
	})
	return cmd
}

// progress says on a terminal what begins.
func (a *app) progress(what string) {
	if terminal(a.stderr) {
		fmt.Fprintln(a.stderr, what)
	}
}
