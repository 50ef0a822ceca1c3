package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

type cloudProperties struct {
	ProvisioningState string `json:"provisioningState"`
	Endpoints         struct {
		VCSA string `json:"vcsa"`
	} `json:"endpoints"`
}

func (a *app) privateCloudCommand() *cobra.Command {
	return group("private-cloud", "Private clouds", a.privateCloudList(), a.privateCloudShow(), a.privateCloudUpdate())
}

// addNameFlags adds az's -g and -n, as the commands about private clouds themselves have them.
func addNameFlags(cmd *cobra.Command, f *cloudFlags) {
	cmd.Flags().StringVarP(&f.group, "resource-group", "g", "", "resource group (default: that of AIRLOCK_PRIVATE_CLOUD)")
	cmd.Flags().StringVarP(&f.cloud, "name", "n", "", "private cloud, by name or by whole resource id (default: AIRLOCK_PRIVATE_CLOUD)")
}

func (a *app) privateCloudList() *cobra.Command {
	var cloud cloudFlags
	cmd := &cobra.Command{Use: "list", Short: "List the private clouds of a subscription, or of one resource group", Args: cobra.NoArgs}
	cmd.Flags().StringVarP(&cloud.group, "resource-group", "g", "", "only this resource group")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.open(cloud)
		if err != nil {
			return err
		}
		scope := strings.SplitAfterN(path, "/", 6) // "/", "subscriptions/", "S/", "resourceGroups/", "G/", the rest
		prefix := strings.Join(scope[:3], "")
		if cloud.group != "" {
			prefix = strings.Join(scope[:5], "")
		}
		list, err := c.list(ctx, prefix+"providers/Microsoft.AVS/privateClouds")
		if err != nil {
			return err
		}
		return a.printResources(list, []string{"NAME", "STATE", "ID"}, func(r resource) ([]string, error) {
			var p cloudProperties
			err := json.Unmarshal(r.Properties, &p)
			return []string{r.Name, p.ProvisioningState, r.ID}, err
		})
	})
	return cmd
}

func (a *app) privateCloudShow() *cobra.Command {
	var cloud cloudFlags
	cmd := &cobra.Command{Use: "show", Short: "Show a private cloud", Args: cobra.NoArgs}
	addNameFlags(cmd, &cloud)
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.open(cloud)
		if err != nil {
			return err
		}
		return a.showCloud(ctx, c, path)
	})
	return cmd
}

func (a *app) showCloud(ctx context.Context, c *client, path string) error {
	var r resource
	if _, err := c.do(ctx, http.MethodGet, path, nil, &r); err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(r)
	}
	var p cloudProperties
	if err := json.Unmarshal(r.Properties, &p); err != nil {
		return err
	}
	return a.printPairs("name", r.Name, "state", p.ProvisioningState, "vcenter", p.Endpoints.VCSA, "id", r.ID)
}

func (a *app) privateCloudUpdate() *cobra.Command {
	var cloud cloudFlags
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Set the state of a simulated private cloud (of `serve --dev` only)",
		Long:  "Set the state of a simulated private cloud. While it is Updating, executions that are claimed fail with PrivateCloudUpdating.",
		Args:  cobra.NoArgs,
	}
	addNameFlags(cmd, &cloud)
	state := cmd.Flags().String("state", "", "Updating or Succeeded")
	_ = cmd.MarkFlagRequired("state")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.open(cloud)
		if err != nil {
			return err
		}
		if _, err := c.do(ctx, http.MethodPost, path+"/setState", map[string]string{"state": *state}, nil); err != nil {
			return err
		}
		return a.showCloud(ctx, c, path)
	})
	return cmd
}
