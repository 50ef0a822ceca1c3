package cli

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a server",
		Long: `Run a server. With --dev it has simulated private clouds, a certificate authority made at start and one bearer
token; once it is ready it writes dev.env into its state directory, for the other commands:

  airlock serve --dev &
  source ~/.local/state/airlock/dev.env
  airlock script-package list

Scripts run in a sandbox, in which they reach their private cloud through Airlock and nothing else. --egress opens more:
"internet" is every public address, "host:port,host:port" exactly these. On a machine that cannot isolate scripts the
server does not start; "airlock doctor" says why.`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	dev := flags.Bool("dev", false, "for development: simulated private clouds, one token")
	dir := flags.String("state", "", "directory for everything that is kept (default: $XDG_STATE_HOME/airlock)")
	listen := flags.String("listen", "127.0.0.1:8443", "address of the API, host:port")
	clouds := flags.Int("clouds", 1, "simulated private clouds, 1 to 50")
	egress := flags.String("egress", "none", "what scripts reach beside their private cloud: none, internet, or a list of host:port")
	isolation := flags.String("isolation", string(executor.IsolationSandbox), "sandbox, or none: scripts run as ordinary processes, for packages that you trust")
	push := flags.StringArray("package", nil, ".nupkg or directory of a package to push at start; can be repeated")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		if !*dev {
			return errors.Newf(errors.Usage, "Only `airlock serve --dev` is there so far: real identities and private clouds are still to come.")
		}
		if *clouds < 1 || *clouds > 50 {
			return errors.Newf(errors.Usage, "--clouds is between 1 and 50, not %d.", *clouds)
		}
		policy, err := domain.ParseEgress(*egress)
		if err != nil {
			return errors.Newf(errors.Usage, "--egress cannot be used: %v.", err)
		}
		chosen := executor.Isolation(*isolation)
		if chosen != executor.IsolationSandbox && chosen != executor.IsolationNone {
			return errors.Newf(errors.Usage, "--isolation is sandbox or none, not %q.", *isolation)
		}
		if chosen == executor.IsolationNone && !policy.None() {
			return errors.Newf(errors.Usage, "--egress %s needs --isolation sandbox: without a sandbox scripts have the network of this machine.", policy)
		}
		state, err := a.stateDir(*dir)
		if err != nil {
			return err
		}
		return a.serve(ctx, installationConfig{
			dir: state, listen: *listen, clouds: *clouds, egress: policy, isolation: chosen, log: slog.New(slog.NewTextHandler(a.stderr, nil)),
		}, *push)
	})
	return cmd
}

// stateDir is the state directory that was chosen, or the usual one.
func (a *app) stateDir(chosen string) (string, error) {
	if chosen == "" {
		chosen = filepath.Join(a.stateHome(), "airlock")
	}
	return filepath.Abs(chosen)
}

// stateHome is where programs keep their state (XDG Base Directory Specification).
func (a *app) stateHome() string {
	if dir := a.getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(a.getenv("HOME"), ".local", "state")
}

func (a *app) serve(ctx context.Context, cfg installationConfig, push []string) (err error) {
	i, err := install(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	for _, path := range push {
		p, err := i.packages.PushPath(ctx, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "pushed %s (sha256 %s)\n", p.Ref(), p.Digest)
	}
	return i.Run(ctx, func() error {
		if cfg.isolation == executor.IsolationNone {
			fmt.Fprintln(a.stdout, "scripts are not isolated: run only packages that you trust")
		}
		_, err := fmt.Fprintf(a.stdout, "ready at %s with %d simulated private clouds; for the other commands:\n  source %s\n",
			i.endpoint, len(i.clouds), i.path("dev.env"))
		return err
	})
}
