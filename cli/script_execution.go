package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

func (a *app) scriptExecutionCommand() *cobra.Command {
	return group("script-execution", "Run cmdlets and look at their results",
		a.executionCreate(), a.executionList(), a.executionShow(), a.executionWait(), a.executionLogs(), a.executionAudit(),
		a.executionCancel(), a.executionDelete())
}

// executionBody is what a PUT of an execution carries.
type executionBody struct {
	Properties struct {
		ScriptCmdletID   string      `json:"scriptCmdletId"`
		Timeout          string      `json:"timeout,omitempty"`
		Retention        string      `json:"retention,omitempty"`
		Parameters       []parameter `json:"parameters,omitempty"`
		HiddenParameters []parameter `json:"hiddenParameters,omitempty"`
	} `json:"properties"`
}

func (a *app) executionCreate() *cobra.Command {
	var cloud cloudFlags
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Run a cmdlet, follow its streams and wait for its end",
		Example: `  airlock script-execution create --script-cmdlet-id Airlock.Examples.Inventory@1.*/Get-Inventory
  airlock script-execution create -n user-1 --script-cmdlet-id Airlock.Examples.Inventory@1.*/Set-ServiceAccount \
      --parameter name=Name type=Value value=backup --timeout PT5M`,
		Args: cobra.NoArgs,
	}
	addCloudFlags(cmd, &cloud)
	var body executionBody
	var words, hidden []string
	props, flags := &body.Properties, cmd.Flags()
	name := flags.StringP("name", "n", "", "name of the execution (default: one is made)")
	flags.StringVar(&props.ScriptCmdletID, "script-cmdlet-id", "", "resource id of the cmdlet, or Package@Version/Cmdlet")
	flags.StringVar(&props.Timeout, "timeout", "", "ISO 8601 duration, at most PT60M (default: the cmdlet's)")
	flags.StringVar(&props.Retention, "retention", "", "ISO 8601 duration for which the record is kept (default: P60D)")
	flags.StringArrayVarP(&words, "parameter", "p", nil, "name=X type=Value value=Y, type=SecureValue secureValue=Y, or type=Credential username=U password=P; a value @FILE is read from the file, @- from standard input")
	flags.StringArrayVar(&hidden, "hidden-parameter", nil, "as --parameter, for parameters that are never shown")
	flags.String("failure-reason", "", "taken as az has it, and ignored")
	flags.StringSlice("out", nil, "taken as az has it, and ignored")
	flags.StringArray("named-outputs", nil, "taken as az has it, and ignored")
	noWait := flags.Bool("no-wait", false, "do not wait for the end")
	_ = cmd.MarkFlagRequired("script-cmdlet-id")

	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.open(cloud)
		if err != nil {
			return err
		}
		if props.Parameters, err = a.parameters(words); err != nil {
			return err
		}
		if props.HiddenParameters, err = a.parameters(hidden); err != nil {
			return err
		}
		if !strings.HasPrefix(props.ScriptCmdletID, "/") {
			pkg, cmdlet, ok := strings.Cut(props.ScriptCmdletID, "/")
			if !ok {
				return errors.Newf(errors.Usage, "--script-cmdlet-id is a resource id or Package@Version/Cmdlet, not %q.", props.ScriptCmdletID)
			}
			props.ScriptCmdletID = path + "/scriptPackages/" + pkg + "/scriptCmdlets/" + cmdlet
		}
		if *name == "" {
			*name = "run-" + uuid.NewString()[:8]
		}
		if path, err = executionPath(path, *name); err != nil {
			return err
		}
		var r resource
		if _, err := c.do(ctx, http.MethodPut, path, body, &r); err != nil {
			return err
		}
		if *noWait {
			return a.printExecution(r)
		}
		var p executionProperties
		if err := json.Unmarshal(r.Properties, &p); err != nil {
			return err
		}
		if p.StatusMessage != "" && terminal(a.stderr) {
			fmt.Fprintln(a.stderr, p.StatusMessage)
		}
		return a.finish(ctx, c, path, true)
	})
	return cmd
}

func (a *app) parameters(words []string) ([]parameter, error) {
	var all []parameter
	for _, word := range words {
		ps, err := parseParameter(word, a.stdin)
		if err != nil {
			return nil, errors.Newf(errors.Usage, "%v.", err)
		}
		all = append(all, ps...)
	}
	return all, nil
}

// finish waits for the end of an execution, shows its streams on the way where the output is for people, and prints
// the resource. An execution that did not succeed is an error with its own exit code.
func (a *app) finish(ctx context.Context, c *client, path string, streams bool) error {
	var err error
	if streams && a.output == "table" {
		err = c.watch(ctx, path, 0, true, a.statusLine(), a.printRecord)
	} else {
		err = c.ended(ctx, path, a.statusLine())
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		name := path[strings.LastIndex(path, "/")+1:]
		return errors.Newf(errors.ScriptCanceled, "Interrupted; the execution %s goes on: `airlock script-execution wait -n %s` waits for its end, cancel in place of wait ends it.", name, name)
	}
	if err != nil {
		return err
	}
	var r resource
	if _, err := c.do(ctx, http.MethodGet, path, nil, &r); err != nil {
		return err
	}
	if err := a.printExecution(r); err != nil {
		return err
	}
	var p executionProperties
	if err := json.Unmarshal(r.Properties, &p); err != nil {
		return err
	}
	switch p.ProvisioningState {
	case "Succeeded":
		return nil
	case "Canceled":
		return errors.Newf(errors.ScriptCanceled, "The execution %s was canceled.", r.Name)
	}
	code := errors.Code(p.FailureCode)
	if !code.Known() {
		code = errors.ScriptFailed
	}
	return errors.Newf(code, "The execution %s has failed: %s", r.Name, visible(p.FailureReason, " ", " "))
}

func (a *app) executionList() *cobra.Command {
	var cloud cloudFlags
	cmd := &cobra.Command{Use: "list", Short: "List executions in the order of their submission", Args: cobra.NoArgs}
	addCloudFlags(cmd, &cloud)
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.open(cloud)
		if err != nil {
			return err
		}
		return a.printList(ctx, c, path+"/scriptExecutions", []string{"NAME", "CMDLET", "STATE", "SUBMITTED", "TOOK"}, func(r resource) ([]string, error) {
			var p executionProperties
			err := json.Unmarshal(r.Properties, &p)
			return []string{r.Name, p.cmdlet(), p.ProvisioningState, p.SubmittedAt.Local().Format(time.DateTime), p.took()}, err
		})
	})
	return cmd
}

// onExecution makes a command about one execution.
func (a *app) onExecution(cmd *cobra.Command, f func(ctx context.Context, c *client, path string) error) *cobra.Command {
	var cloud cloudFlags
	cmd.Args = cobra.NoArgs
	addCloudFlags(cmd, &cloud)
	name := cmd.Flags().StringP("name", "n", "", "execution")
	_ = cmd.MarkFlagRequired("name")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.open(cloud)
		if err != nil {
			return err
		}
		if path, err = executionPath(path, *name); err != nil {
			return err
		}
		return f(ctx, c, path)
	})
	return cmd
}

// executionPath is the path of an execution of the private cloud.
func executionPath(cloud, name string) (string, error) {
	if !domain.ValidName(name) {
		return "", errors.Newf(errors.Usage, "--name must be at most 128 letters, digits, '-', '.' or '_', not %.140q.", name)
	}
	return cloud + "/scriptExecutions/" + name, nil
}

func (a *app) executionShow() *cobra.Command {
	return a.onExecution(&cobra.Command{Use: "show", Short: "Show an execution"},
		func(ctx context.Context, c *client, path string) error {
			var r resource
			if _, err := c.do(ctx, http.MethodGet, path, nil, &r); err != nil {
				return err
			}
			return a.printExecution(r)
		})
}

func (a *app) executionWait() *cobra.Command {
	cmd := &cobra.Command{Use: "wait", Short: "Wait for the end of an execution; the exit code says how it ended"}
	limit := cmd.Flags().Int("timeout", 3600, "seconds to wait at most")
	return a.onExecution(cmd, func(ctx context.Context, c *client, path string) error {
		ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(*limit)*time.Second,
			errors.Newf(errors.ScriptTimedOut, "The execution has not ended within %d seconds; it goes on.", *limit))
		defer cancel()
		return a.finish(ctx, c, path, false)
	})
}

func (a *app) executionLogs() *cobra.Command {
	cmd := &cobra.Command{Use: "logs", Aliases: []string{"get-execution-log"}, Short: "Print the streams of an execution in the order they were written"}
	follow := cmd.Flags().BoolP("follow", "f", false, "go on until the execution ends")
	only := cmd.Flags().StringSlice("stream", nil, "only these streams: Output, Information, Warning, Error")
	return a.onExecution(cmd, func(ctx context.Context, c *client, path string) error {
		for _, s := range *only {
			if !streamNamed(s) {
				return errors.Newf(errors.Usage, "There is no stream %q: the streams are Output, Information, Warning and Error.", s)
			}
		}
		line := &statusLine{}
		if *follow {
			line = a.statusLine()
		}
		return c.watch(ctx, path, 0, *follow, line, func(r record) error {
			for _, s := range *only {
				if strings.EqualFold(s, r.Stream) {
					return a.printRecord(r)
				}
			}
			if len(*only) == 0 {
				return a.printRecord(r)
			}
			return nil
		})
	})
}

func (a *app) executionCancel() *cobra.Command {
	return a.onExecution(&cobra.Command{Use: "cancel", Short: "End an execution and keep its record"},
		func(ctx context.Context, c *client, path string) error {
			if _, err := c.do(ctx, http.MethodPost, path+"/cancel", nil, nil); err != nil {
				return err
			}
			if err := c.ended(ctx, path, a.statusLine()); err != nil {
				return err
			}
			var r resource
			if _, err := c.do(ctx, http.MethodGet, path, nil, &r); err != nil {
				return err
			}
			return a.printExecution(r)
		})
}

func (a *app) executionDelete() *cobra.Command {
	cmd := &cobra.Command{Use: "delete", Short: "End an execution if it runs, and remove its record"}
	noWait := cmd.Flags().Bool("no-wait", false, "do not wait until the record is gone")
	cmd.Flags().BoolP("yes", "y", false, "taken as az has it; no question is asked")
	return a.onExecution(cmd, func(ctx context.Context, c *client, path string) error {
		header, err := c.do(ctx, http.MethodDelete, path, nil, nil)
		if err != nil || *noWait {
			return err
		}
		operation := cmp.Or(header.Get("Azure-AsyncOperation"), header.Get("Location"))
		for operation != "" {
			var status struct {
				Status string `json:"status"`
			}
			if err := c.poll(ctx, operation, &status); err != nil {
				return err
			}
			if status.Status == "Succeeded" || status.Status == "Failed" || status.Status == "Canceled" {
				break
			}
		}
		return nil
	})
}
