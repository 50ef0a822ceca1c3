// Package cli is Airlock's command line: the client commands, one file each, and the wiring that joins the parts of
// the product into a server (wiring.go), which serve and demo run.
//
// A command prints its result on standard output (a table, or JSON with --output json), progress and errors on
// standard error, and ends with an exit code by kind of error (internal/errors has the table).
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/errors"
)

// Main runs the command line of this process and returns its exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}, os.Args[1:])
}

// app is what the commands have of the world.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string

	output string // table or json
}

func run(ctx context.Context, a *app, args []string) int {
	err := a.command().execute(ctx, joinPairs(args))
	if err == nil {
		return 0
	}
	e := errors.For(err, "(this command)")
	switch {
	case e.Code == errors.InternalError && ctx.Err() != nil:
		fmt.Fprintln(a.stderr, "airlock: interrupted")
		return int(errors.ExitTimeout)
	case e.Code == errors.InternalError:
		fmt.Fprintf(a.stderr, "airlock: %v\n", err)
	default:
		fmt.Fprintf(a.stderr, "airlock: %s\n", e.Message)
	}
	return int(e.Code.Exit())
}

type root struct{ *cobra.Command }

// execute runs the command. What cobra itself complains about is a usage error.
func (r root) execute(ctx context.Context, args []string) error {
	r.SetArgs(args)
	cmd, err := r.ExecuteContextC(ctx)
	if _, ours := errors.AsType[*commandError](err); err == nil || ours {
		return err
	}
	if !strings.HasSuffix(err.Error(), ".") {
		err = fmt.Errorf("%w; `%s --help` shows how it is used", err, cmd.CommandPath())
	}
	return errors.Newf(errors.Usage, "%s.", strings.TrimSuffix(err.Error(), "."))
}

// commandError marks an error as one of a command that ran, whatever its kind.
type commandError struct{ error }

func (e *commandError) Unwrap() error { return e.error }

// does makes the RunE of a command.
func does(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := f(cmd.Context(), args); err != nil {
			return &commandError{err}
		}
		return nil
	}
}

func (a *app) command() root {
	cmd := &cobra.Command{
		Use:   "airlock",
		Short: "Run vetted cmdlets against vSphere private clouds, one at a time, without handing out a credential",
		Long: `Airlock runs vetted, privileged cmdlets against vSphere private clouds: one at a time, and without handing
out a credential. It implements the "Run Command" API of Azure VMware Solution.

New here? "airlock demo" shows the main job on a simulated private cloud and ends by itself.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.output != "table" && a.output != "json" {
				return fmt.Errorf("--output is table or json, not %q", a.output)
			}
			return nil
		},
	}
	cmd.SetOut(a.stdout)
	cmd.SetErr(a.stderr)
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.PersistentFlags().StringVarP(&a.output, "output", "o", "table", "form of the result: table or json")
	cmd.AddCommand(
		a.demoCommand(), a.serveCommand(), a.loginCommand(), a.logoutCommand(),
		a.scriptPackageCommand(), a.scriptCmdletCommand(), a.scriptExecutionCommand(),
		a.privateCloudCommand(), a.secretsCommand(), a.packageCommand(), a.doctorCommand(), a.roleCommand(), a.backupCommand(), a.restoreCommand(),
		a.servicePrincipalCommand(), a.tokenCommand(),
	)
	return root{cmd}
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return fmt.Errorf("%s needs one of its commands; `%s --help` lists them", cmd.CommandPath(), cmd.CommandPath())
	}}
	cmd.AddCommand(commands...)
	return cmd
}

// terminal says whether w is one, so that somebody watches.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}
