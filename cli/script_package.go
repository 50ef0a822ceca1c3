package cli

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

type packageProperties struct {
	Description string `json:"description"`
	Version     string `json:"version"`
	Company     string `json:"company"`
	URI         string `json:"uri"`
}

func (a *app) scriptPackageCommand() *cobra.Command {
	return group("script-package", "Script packages that a private cloud can run",
		a.scriptPackageList(), a.scriptPackageShow())
}

// addCloudFlags adds az's -g and -c.
func addCloudFlags(cmd *cobra.Command, f *cloudFlags) {
	cmd.Flags().StringVarP(&f.group, "resource-group", "g", "", "resource group (default: that of AIRLOCK_PRIVATE_CLOUD)")
	cmd.Flags().StringVarP(&f.cloud, "private-cloud", "c", "", "private cloud, by name or by whole resource id (default: AIRLOCK_PRIVATE_CLOUD)")
}

// open makes the client and the path of the private cloud that a command is about.
func (a *app) open(f cloudFlags) (*client, string, error) {
	path, err := f.path(a.getenv)
	if err != nil {
		return nil, "", err
	}
	c, err := a.client()
	return c, path, err
}

func (a *app) scriptPackageList() *cobra.Command {
	var cloud cloudFlags
	cmd := &cobra.Command{Use: "list", Short: "List script packages", Args: cobra.NoArgs}
	addCloudFlags(cmd, &cloud)
	all := cmd.Flags().Bool("all-versions", false, "every version, not only the highest")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.open(cloud)
		if err != nil {
			return err
		}
		path += "/scriptPackages"
		if *all {
			path += "?allVersions=true"
		}
		return a.printList(ctx, c, path, []string{"NAME", "COMPANY", "DESCRIPTION"}, func(r resource) ([]string, error) {
			var p packageProperties
			err := json.Unmarshal(r.Properties, &p)
			return []string{r.Name, p.Company, p.Description}, err
		})
	})
	return cmd
}

func (a *app) scriptPackageShow() *cobra.Command {
	var cloud cloudFlags
	cmd := &cobra.Command{Use: "show", Short: "Show a script package; Name@1.* shows the version that it resolves to", Args: cobra.NoArgs}
	addCloudFlags(cmd, &cloud)
	name := cmd.Flags().StringP("name", "n", "", "script package, Name@Version")
	_ = cmd.MarkFlagRequired("name")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.open(cloud)
		if err != nil {
			return err
		}
		if path, err = packagePath(path, *name); err != nil {
			return err
		}
		var r resource
		if _, err := c.do(ctx, http.MethodGet, path, nil, &r); err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(r)
		}
		var p packageProperties
		if err := json.Unmarshal(r.Properties, &p); err != nil {
			return err
		}
		return a.printPairs("name", r.Name, "version", p.Version, "description", p.Description, "company", p.Company, "uri", p.URI, "id", r.ID)
	})
	return cmd
}

// packagePath is the path of a script package of the private cloud.
func packagePath(cloud, ref string) (string, error) {
	if !domain.ValidPackageRef(ref) {
		return "", errors.Newf(errors.Usage, "The script package must be Name@1.2.3 or Name@1.*, not %.140q.", ref)
	}
	return cloud + "/scriptPackages/" + ref, nil
}
