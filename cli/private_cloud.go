package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

type cloudProperties struct {
	ProvisioningState string `json:"provisioningState"`
	Endpoints         struct {
		VCSA string `json:"vcsa"`
	} `json:"endpoints"`
	Airlock *struct { // for whoever may change it
		Connection *domain.Connection `json:"connection"`
		Egress     string             `json:"egress"`
		Dev        bool               `json:"dev"`
		Paused     bool               `json:"paused"`
	} `json:"airlock"`
}

func (a *app) privateCloudCommand() *cobra.Command {
	return group("private-cloud", "Private clouds",
		a.privateCloudAdd(), a.privateCloudUpdate(), a.privateCloudList(), a.privateCloudShow(), a.privateCloudRemove(),
		a.privateCloudCheck(), a.privateCloudSetSecret())
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
		return a.printList(ctx, c, prefix+"providers/Microsoft.AVS/privateClouds", []string{"NAME", "STATE", "ID"}, func(r resource) ([]string, error) {
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
	pairs := []string{"name", r.Name, "state", p.ProvisioningState, "vcenter", p.Endpoints.VCSA}
	if own := p.Airlock; own != nil {
		pairs = append(pairs, "egress", own.Egress, "dev", marked(own.Dev), "paused", marked(own.Paused))
		if c := own.Connection; c != nil {
			pairs = append(pairs, "user", c.User, "password", c.Password.String(), "ssh hosts", fmt.Sprint(len(c.Hosts)))
		}
	}
	return a.printPairs(append(pairs, "id", r.ID)...)
}

func marked(yes bool) string {
	if yes {
		return "yes"
	}
	return ""
}

func (a *app) privateCloudRemove() *cobra.Command {
	var cloud cloudFlags
	cmd := &cobra.Command{
		Use:   "remove",
		Short: "Remove a private cloud from Airlock, with its records and secrets",
		Long: `Remove a private cloud from Airlock, with the records and output of its executions and with all secrets that are kept for
it, those of packages too. The private cloud itself is not touched. It is refused while an execution runs or waits.`,
		Args: cobra.NoArgs,
	}
	addNameFlags(cmd, &cloud)
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.open(cloud)
		if err != nil {
			return err
		}
		var r resource
		if _, err := c.do(ctx, http.MethodGet, path, nil, &r); err != nil {
			return err
		}
		const goes = "the records and output of its executions, the credentials that Airlock keeps for it, and the persistent secrets of all packages there"
		if !*yes {
			if err := a.confirm(fmt.Sprintf("Remove the private cloud %s from Airlock, with %s?", r.Name, goes)); err != nil {
				return err
			}
		}
		if _, err := c.do(ctx, http.MethodDelete, path, nil, nil); err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "removed %s, with %s\n", r.Name, goes)
		return err
	})
	return cmd
}

// confirm asks a question. Where nobody is there to answer, the answer is no.
func (a *app) confirm(question string) error {
	if f, ok := a.stdin.(*os.File); !ok || !isatty.IsTerminal(f.Fd()) {
		return errors.Newf(errors.Usage, "This needs a yes to %q, and standard input is no terminal: give --yes.", question)
	}
	fmt.Fprint(a.stderr, question+" [y/N] ")
	answer, _ := bufio.NewReader(a.stdin).ReadString('\n') // without an answer it is no
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.Newf(errors.Usage, "Nothing was removed.")
}

func (a *app) privateCloudCheck() *cobra.Command {
	var cloud cloudFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Test the logins of a private cloud, and say what fails",
		Long: `Test the logins of a private cloud: the vCenter's connection, certificate, login, privileges of the account, REST API, SSO
administration and inventory, and the SSH login of each host. It takes 50 s at most; the exit code is 6 where something fails.`,
		Args: cobra.NoArgs,
	}
	addNameFlags(cmd, &cloud)
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.open(cloud)
		if err != nil {
			return err
		}
		report, err := c.check(ctx, path)
		if err != nil {
			return err
		}
		if a.output == "json" {
			if err := a.printJSON(report); err != nil {
				return err
			}
		} else {
			a.printFindings(report)
		}
		return failures(report)
	})
	return cmd
}

func (c *client) check(ctx context.Context, path string) (report domain.Report, err error) {
	_, err = c.do(ctx, http.MethodPost, path+"/check", nil, &report)
	return report, err
}

func (a *app) printFindings(report domain.Report) {
	for _, f := range report.Findings {
		mark := "ok    "
		if !f.OK {
			mark = "FAILED"
		}
		fmt.Fprintf(a.stdout, "%s  %s: %s\n", mark, visible(f.Subject, " ", " "), visible(f.Message, " ", " "))
	}
}

// failures is the error of a check that found something wrong.
func failures(report domain.Report) error {
	failed := 0
	for _, f := range report.Findings {
		if !f.OK {
			failed++
		}
	}
	if failed == 0 {
		return nil
	}
	return errors.Newf(errors.SessionFailed, "%d of the %d tests failed: see to what they say, and test again with `airlock private-cloud check`.", failed, len(report.Findings))
}

func (a *app) privateCloudSetSecret() *cobra.Command {
	var cloud cloudFlags
	cmd := &cobra.Command{
		Use:   "set-secret NAME",
		Short: "Keep a credential of a private cloud in the secret store, read from a file or standard input",
		Long: `Keep a credential of a private cloud in the secret store. --password-secret NAME and its like refer to it. It cannot be read
back. The value is read from standard input, or with --file from a file of this machine; a newline at its end is left out.`,
		Args: cobra.ExactArgs(1),
	}
	addNameFlags(cmd, &cloud)
	file := cmd.Flags().String("file", "", "file with the value")
	remove := cmd.Flags().Bool("remove", false, "remove it")
	cmd.RunE = does(func(ctx context.Context, args []string) error {
		c, path, err := a.open(cloud)
		if err != nil {
			return err
		}
		path += "/secrets/" + args[0]
		if *remove {
			_, err := c.do(ctx, http.MethodDelete, path, nil, nil)
			return err
		}
		value, err := a.credential(*file)
		if err != nil {
			return err
		}
		body := map[string]any{"properties": map[string]string{"value": value}}
		_, err = c.do(ctx, http.MethodPut, path, body, nil)
		return err
	})
	return cmd
}

// credential reads a value that may not stand on a command line.
func (a *app) credential(file string) (string, error) {
	var data []byte
	var err error
	if file != "" {
		data, err = os.ReadFile(file)
	} else if f, ok := a.stdin.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		return "", errors.Newf(errors.Usage, "A value that is typed here would show: give it by --file, or by standard input from another program.")
	} else {
		data, err = io.ReadAll(io.LimitReader(a.stdin, 1<<20))
	}
	if err != nil {
		return "", errors.Because(err, errors.Usage, "The value cannot be read: %v.", err)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}
