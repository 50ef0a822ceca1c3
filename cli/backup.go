package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/cli/internal/backup"
	"github.com/airlock-run/airlock/cli/internal/config"
)

func (a *app) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write the state of a server into one file, also while the server runs",
		Long: `Write the state of a server into one new file, also while the server runs: database, packages, persistent secrets, and the
master key where it lies in the state directory. Whoever has the file has what is in it, so it is closed to others (mode 0600);
keep it so. The audit log is not in it. Run it as the user that the server runs as.`,
		Args: cobra.ExactArgs(1),
	}
	state := addStateFlags(cmd)
	cmd.RunE = does(func(ctx context.Context, args []string) error {
		dir, err := state.dir(a)
		if err != nil {
			return err
		}
		m, err := backup.Write(ctx, dir, args[0])
		if err != nil {
			return err
		}
		if !m.Has("key") {
			fmt.Fprintln(a.stderr, "airlock: the master key is not in the state directory, so it is not in the backup: without it the secrets are lost")
		}
		return a.printBackup(args[0], m)
	})
	return cmd
}

func (a *app) restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Restore a backup into an empty state directory",
		Long: `Restore a backup into a state directory that is empty or missing. The whole backup is checked before anything is in its
place, and after an error nothing of it is left. A backup that a newer version wrote is refused. At the next start, what was
running when the backup was made is Failed (ExecutorLost), and what waited runs. Do not let both run, the old server and the
restored one. Run it as the user that the server runs as.`,
		Args: cobra.ExactArgs(1),
	}
	state := addStateFlags(cmd)
	cmd.RunE = does(func(ctx context.Context, args []string) error {
		dir, err := state.dir(a)
		if err != nil {
			return err
		}
		m, err := backup.Restore(ctx, args[0], dir)
		if err != nil {
			return err
		}
		if !m.Has("key") {
			fmt.Fprintln(a.stderr, "airlock: the master key is not in the backup: put it where the configuration's masterKey says before the server starts")
		}
		return a.printBackup(dir, m)
	})
	return cmd
}

// stateFlags say which state directory is meant.
type stateFlags struct{ config, state string }

func addStateFlags(cmd *cobra.Command) *stateFlags {
	f := &stateFlags{}
	cmd.Flags().StringVar(&f.config, "config", "", "configuration of the server, which names its state directory")
	cmd.Flags().StringVar(&f.state, "state", "", "state directory of the server (default: that of --config, else $XDG_STATE_HOME/airlock)")
	return f
}

func (f *stateFlags) dir(a *app) (string, error) {
	if f.state == "" && f.config != "" {
		c, err := config.Load(f.config)
		return c.State, err
	}
	return a.stateDir(f.state)
}

func (a *app) printBackup(where string, m backup.Manifest) error {
	abs, err := filepath.Abs(where)
	if err != nil {
		return err
	}
	packages, secrets := 0, 0
	for _, f := range m.Files {
		switch {
		case strings.HasPrefix(f.Name, "packages/"):
			packages++
		case strings.HasPrefix(f.Name, "secrets/"):
			secrets++
		}
	}
	if a.output == "json" {
		return a.printJSON(struct {
			Path string `json:"path"`
			backup.Manifest
		}{abs, m})
	}
	return a.printPairs("path", abs, "created", m.Created.Format("2006-01-02 15:04:05 UTC"), "bytes", fmt.Sprint(m.Size()),
		"schema", fmt.Sprint(m.Schema), "packages", fmt.Sprint(packages), "files of secrets", fmt.Sprint(secrets))
}
