package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/cli/internal/config"
	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/errors"
)

func (a *app) demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job on a simulated private cloud; ends by itself",
		Long: `Show the main job: a simulated private cloud, a package, and its whole life through the ARM API over TLS. Each step
says what it shows and checks it; the exit code is 0 only if all of it was so.`,
		Args: cobra.NoArgs,
	}
	keep := cmd.Flags().Bool("keep", false, "leave the server up afterwards, and print how to talk to it")
	pkg := cmd.Flags().String("package", "", "the example as a .nupkg or directory (default: built from the source of examples/inventory)")
	cmd.RunE = does(func(ctx context.Context, _ []string) error { return a.demo(ctx, *pkg, *keep) })
	return cmd
}

// demo starts an installation in a temporary directory and is its client.
func (a *app) demo(ctx context.Context, pkg string, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "airlock-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeState(dir)) }()
	logFile, err := os.Create(filepath.Join(dir, "airlock.log"))
	if err != nil {
		return err
	}
	defer logFile.Close()

	t := &transcript{w: a.stdout}
	t.title("Airlock demo: a simulated private cloud, a package, and its whole life through the ARM API")
	t.step("A simulated private cloud and a server")
	cfg := installationConfig{Config: config.Default(), clouds: 1, getenv: a.getenv, log: slog.New(slog.NewTextHandler(logFile, nil))}
	cfg.State, cfg.Listen = dir, "127.0.0.1:0"
	if missing := missingForIsolation(ctx); missing != "" {
		cfg.Isolation = executor.IsolationNone
		t.detail("scripts are NOT isolated: this machine lacks %s (`airlock doctor` says more)", missing)
	} else {
		t.detail("scripts run in a sandbox: they reach their private cloud through Airlock, and nothing else")
	}
	i, err := install(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close()) }()

	group, running := errgroup.WithContext(ctx)
	running, stop := context.WithCancel(running)
	ready := make(chan struct{})
	group.Go(func() error { return i.Run(running, func() error { close(ready); return nil }) })
	defer func() { stop(); err = errors.Join(err, group.Wait()) }()
	select {
	case <-ready:
	case <-running.Done():
		return running.Err()
	}
	d := &demo{transcript: t, i: i, cloud: i.clouds.first().String()}
	if d.c, err = i.client(); err != nil {
		return err
	}
	if err := d.run(running, pkg); err != nil {
		if log, readErr := os.ReadFile(logFile.Name()); readErr == nil {
			_, _ = a.stderr.Write(log)
		}
		return err
	}
	if !keep {
		return nil
	}
	t.say("The server stays up. In another shell:")
	t.say("  source %s", i.path("dev.env"))
	t.say("  airlock script-execution create --script-cmdlet-id Airlock.Examples.Inventory@1.*/Get-Inventory")
	t.say("End it with Ctrl-C; its state goes with it.")
	<-running.Done()
	return nil
}

// client is a client of the installation that trusts nothing but its authority.
func (i *installation) client() (*client, error) {
	pem, err := os.ReadFile(i.path("ca.pem"))
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	config.RootCAs.AppendCertsFromPEM(pem)
	return newClient(i.endpoint, i.token.Reveal(), config), nil
}

// removeState removes a state directory, read-only package files included.
func removeState(dir string) error {
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(dir))
}

// examplePackage finds the source of an example: beside this file, where `go run` compiled it from, or in the directory
// that the command runs in.
func examplePackage(name string) (string, error) {
	_, file, _, _ := runtime.Caller(0)
	for _, root := range []string{filepath.Dir(filepath.Dir(file)), "."} {
		dir := filepath.Join(root, "examples", name)
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir, nil
		}
	}
	return "", errors.Newf(errors.Usage, "The source of examples/%s is not here: run the demo in a checkout of Airlock, or give a packed example with --package.", name)
}

// transcript prints what a newcomer reads.
type transcript struct {
	w     io.Writer
	steps int
}

func (t *transcript) say(format string, args ...any) {
	fmt.Fprintf(t.w, format+"\n", args...)
}

func (t *transcript) title(text string) { t.say("%s", text) }

func (t *transcript) step(text string) {
	t.steps++
	t.say("\n%d. %s", t.steps, text)
}

func (t *transcript) detail(format string, args ...any) { t.say("   "+format, args...) }

// check says what was to be so, and is an error where it was not.
func (t *transcript) check(ok bool, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if !ok {
		t.detail("✗ %s", what)
		return errors.Newf(errors.InternalError, "The demo expected something else: %s.", what)
	}
	t.detail("✓ %s", what)
	return nil
}

func millis(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
