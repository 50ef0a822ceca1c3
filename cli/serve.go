package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/cli/internal/config"
	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// serveFlags are what serve is told on the command line.
type serveFlags struct {
	dev               bool
	config            string
	state, listen     string
	clouds            int
	egress, isolation string
	push              []string
}

// ofDev are the flags that only --dev has.
var ofDev = []string{"clouds", "egress", "isolation"}

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a server",
		Long: `Run a server. With --config FILE it is what that YAML file says; docs/airlock.example.yaml has every key with its default.

With --dev it has simulated private clouds, a certificate of its own and one bearer token; once it is ready it writes dev.env
into its state directory, for the other commands:

  airlock serve --dev &
  source ~/.local/state/airlock/dev.env
  airlock script-package list

Scripts run in a sandbox, in which they reach their private cloud through Airlock and nothing else. With --dev, --egress opens
more: "internet" is every public address, "host:port,host:port" exactly these. On a machine that cannot isolate scripts the
server does not start; "airlock doctor" says why.`,
		Args: cobra.NoArgs,
	}
	var f serveFlags
	flags := cmd.Flags()
	flags.BoolVar(&f.dev, "dev", false, "for development: simulated private clouds, one token")
	flags.StringVar(&f.config, "config", "", "YAML file with the server's configuration")
	flags.StringVar(&f.state, "state", "", "directory for everything that is kept (default with --dev: $XDG_STATE_HOME/airlock)")
	flags.StringVar(&f.listen, "listen", "", "address of the API, host:port (default with --dev: 127.0.0.1:8443)")
	flags.IntVar(&f.clouds, "clouds", 1, "with --dev: simulated private clouds, 1 to 50")
	flags.StringVar(&f.egress, "egress", "none", "with --dev: what scripts reach beside their private cloud, which is none, internet, or a list of host:port")
	flags.StringVar(&f.isolation, "isolation", string(executor.IsolationSandbox), "with --dev: sandbox, or none: scripts run as ordinary processes, for packages that you trust")
	flags.StringArrayVar(&f.push, "package", nil, ".nupkg or directory of a package to push at start; can be repeated")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		cfg, err := a.serveConfig(f)
		if err != nil {
			return err
		}
		for _, name := range ofDev {
			if !f.dev && flags.Changed(name) {
				return errors.Newf(errors.Usage, "--%s is for --dev only; the configuration says it for a server, or a private cloud's own settings do.", name)
			}
		}
		return a.serve(ctx, cfg, f.push)
	})
	return cmd
}

// serveConfig makes the configuration of what the flags say.
func (a *app) serveConfig(f serveFlags) (cfg installationConfig, err error) {
	switch {
	case f.dev && f.config != "":
		return cfg, errors.Newf(errors.Usage, "--dev and --config exclude each other: one is for development, the other for real private clouds.")
	case f.config != "":
		cfg.Config, err = config.Load(f.config)
	case f.dev:
		cfg, err = a.devConfig(f)
	default:
		return cfg, errors.Newf(errors.Usage, "Say what to run: `airlock serve --config FILE`, or `airlock serve --dev` to try it.")
	}
	if err != nil {
		return cfg, err
	}
	if f.state != "" {
		if cfg.State, err = filepath.Abs(f.state); err != nil {
			return cfg, err
		}
	}
	if f.listen != "" {
		cfg.Listen = f.listen
	}
	if host, port, err := net.SplitHostPort(cfg.Listen); err == nil && f.dev && everywhere(host) {
		cfg.URL = "https://localhost:" + port
	}
	if err := cfg.Check(); err != nil {
		return cfg, err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		return cfg, err
	}
	cfg.getenv, cfg.log = a.getenv, slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}))
	return cfg, nil
}

// everywhere says whether a host to listen on is every address of the machine.
func everywhere(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// devConfig is that of serve --dev.
func (a *app) devConfig(f serveFlags) (cfg installationConfig, err error) {
	if f.clouds < 1 || f.clouds > 50 {
		return cfg, errors.Newf(errors.Usage, "--clouds is between 1 and 50, not %d.", f.clouds)
	}
	cfg = installationConfig{Config: config.Default(), clouds: f.clouds}
	if cfg.egress, err = domain.ParseEgress(f.egress); err != nil {
		return cfg, errors.Newf(errors.Usage, "--egress cannot be used: %v.", err)
	}
	cfg.Isolation = executor.Isolation(f.isolation)
	if cfg.Isolation != executor.IsolationSandbox && cfg.Isolation != executor.IsolationNone {
		return cfg, errors.Newf(errors.Usage, "--isolation is sandbox or none, not %q.", f.isolation)
	}
	if cfg.Isolation == executor.IsolationNone && !cfg.egress.None() {
		return cfg, errors.Newf(errors.Usage, "--egress %s needs --isolation sandbox: without a sandbox scripts have the network of this machine.", cfg.egress)
	}
	cfg.State, err = a.stateDir("")
	return cfg, err
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
	if err := noCoreDumps(); err != nil {
		return err
	}
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
	return i.Run(ctx, func() error { return a.printReady(i) })
}

// printReady says that the server takes requests, and how.
func (a *app) printReady(i *installation) (err error) {
	if i.cfg.Isolation == executor.IsolationNone {
		fmt.Fprintln(a.stdout, "scripts are not isolated: run only packages that you trust")
	}
	if i.cfg.dev() {
		_, err = fmt.Fprintf(a.stdout, `ready at %[1]s with %[2]d simulated private clouds; for the other commands:
  source %[3]s
and with it, for az (REQUESTS_CA_BUNDLE=$AIRLOCK_CA):
  az cloud register -n airlock --endpoint-resource-manager %[1]s/ --endpoint-active-directory %[1]s/adfs --endpoint-active-directory-resource-id %[1]s/ --endpoint-management %[1]s/ --endpoint-active-directory-graph-resource-id %[1]s/
  az cloud set -n airlock
  az login --service-principal -u $AIRLOCK_CLIENT_ID -p $AIRLOCK_CLIENT_SECRET --tenant adfs
`, i.endpoint, len(i.clouds), i.path("dev.env"))
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "ready at %s\n", i.endpoint)
	if _, missing := os.Stat(i.path("provider.env")); err == nil && missing == nil {
		_, err = fmt.Fprintf(a.stdout, "the first provider's client id and secret are in %s: give roles to those who are to have them, then remove it\n", i.path("provider.env"))
	}
	return err
}

// noCoreDumps sees to it that no memory of the server or of a script, in which there are secrets, ever lies on the disk
// (setrlimit(2); what they start inherits it).
func noCoreDumps() error {
	return syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
}
