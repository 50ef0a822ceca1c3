package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

type cmdletProperties struct {
	Description string `json:"description"`
	Timeout     string `json:"timeout"`
	Audience    string `json:"audience"`
	Parameters  []struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Type        string `json:"type"`
		Visibility  string `json:"visibility"`
		Optional    string `json:"optional"`
	} `json:"parameters"`
}

func (a *app) scriptCmdletCommand() *cobra.Command {
	return group("script-cmdlet", "Cmdlets of a script package", a.scriptCmdletList(), a.scriptCmdletShow())
}

func (a *app) scriptCmdletList() *cobra.Command {
	var cloud cloudFlags
	cmd := &cobra.Command{Use: "list", Short: "List the cmdlets of a script package", Args: cobra.NoArgs}
	addCloudFlags(cmd, &cloud)
	pkg := cmd.Flags().StringP("script-package", "p", "", "script package, Name@Version or Name@1.*")
	_ = cmd.MarkFlagRequired("script-package")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.open(cloud)
		if err != nil {
			return err
		}
		if path, err = packagePath(path, *pkg); err != nil {
			return err
		}
		return a.printList(ctx, c, path+"/scriptCmdlets", []string{"NAME", "TIMEOUT", "DESCRIPTION"}, func(r resource) ([]string, error) {
			var p cmdletProperties
			err := json.Unmarshal(r.Properties, &p)
			return []string{r.Name, p.Timeout, p.Description}, err
		})
	})
	return cmd
}

func (a *app) scriptCmdletShow() *cobra.Command {
	var cloud cloudFlags
	cmd := &cobra.Command{Use: "show", Short: "Show a cmdlet and its parameters", Args: cobra.NoArgs}
	addCloudFlags(cmd, &cloud)
	pkg := cmd.Flags().StringP("script-package", "p", "", "script package, Name@Version or Name@1.*")
	name := cmd.Flags().StringP("name", "n", "", "cmdlet")
	_ = cmd.MarkFlagRequired("script-package")
	_ = cmd.MarkFlagRequired("name")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.open(cloud)
		if err != nil {
			return err
		}
		if path, err = packagePath(path, *pkg); err != nil {
			return err
		}
		if !domain.ValidName(*name) {
			return errors.Newf(errors.Usage, "--name must be the name of a cmdlet, not %.140q.", *name)
		}
		var r resource
		if _, err := c.do(ctx, http.MethodGet, path+"/scriptCmdlets/"+*name, nil, &r); err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(r)
		}
		var p cmdletProperties
		if err := json.Unmarshal(r.Properties, &p); err != nil {
			return err
		}
		if err := a.printPairs("name", r.Name, "description", p.Description, "timeout", p.Timeout, "audience", p.Audience, "id", r.ID); err != nil {
			return err
		}
		if len(p.Parameters) == 0 {
			return nil
		}
		fmt.Fprintln(a.stdout)
		var rows [][]string
		for _, q := range p.Parameters {
			rows = append(rows, []string{q.Name, q.Type, q.Optional, q.Visibility, q.Description})
		}
		return a.printTable([]string{"PARAMETER", "TYPE", "OPTIONAL", "VISIBILITY", "DESCRIPTION"}, rows)
	})
	return cmd
}
