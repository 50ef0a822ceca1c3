package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/cli/internal/config"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/secrets"
)

func (a *app) secretsCommand() *cobra.Command {
	return group("secrets", "Persistent secrets of packages, and the master key",
		a.secretsList(), a.secretsDelete(), a.secretsRotateKey(), a.secretsMigrate())
}

func (a *app) secretsList() *cobra.Command {
	var cloud cloudFlags
	cmd := &cobra.Command{
		Use:   "list PACKAGE",
		Short: "List the names of a package's persistent secrets",
		Long:  "List the names of a package's persistent secrets in a private cloud, which of its versions wrote each, and when. Nobody is told the values.",
		Args:  cobra.ExactArgs(1),
	}
	addCloudFlags(cmd, &cloud)
	cmd.RunE = does(func(ctx context.Context, args []string) error {
		c, path, err := a.open(cloud)
		if err != nil {
			return err
		}
		return a.printList(ctx, c, path+"/persistentSecrets/"+url.PathEscape(args[0]), []string{"NAME", "VERSION", "CHANGED"}, func(r resource) ([]string, error) {
			var p struct{ PackageVersion, Changed string }
			err := json.Unmarshal(r.Properties, &p)
			return []string{r.Name, p.PackageVersion, p.Changed}, err
		})
	})
	return cmd
}

func (a *app) secretsDelete() *cobra.Command {
	var cloud cloudFlags
	cmd := &cobra.Command{
		Use:   "delete PACKAGE NAME",
		Short: "Delete a persistent secret of a package",
		Long:  "Delete a persistent secret of a package in a private cloud. An execution that runs has read it already, and may write it again.",
		Args:  cobra.ExactArgs(2),
	}
	addCloudFlags(cmd, &cloud)
	cmd.RunE = does(func(ctx context.Context, args []string) error {
		c, path, err := a.open(cloud)
		if err != nil {
			return err
		}
		_, err = c.do(ctx, http.MethodDelete, path+"/persistentSecrets/"+url.PathEscape(args[0])+"/"+url.PathEscape(args[1]), nil, nil)
		return err
	})
	return cmd
}

func (a *app) secretsRotateKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate-key",
		Short: "Replace the master key of a server on this machine",
		Long: `Replace the master key. It opens one file, key.sealed, which holds the key of everything else; that file alone is sealed
anew, in one step, so the server can run meanwhile and nothing is lost. The old master key opens nothing any more.

A key in a file is made new, and takes the old one's place. For a key elsewhere (masterKey.environment or masterKey.command)
make the new one there, name it with --to-environment or --to-command, and change the configuration before the next start.
The same moves the key from one place to another. Run it as the user that the server runs as.`,
		Args: cobra.NoArgs,
	}
	state := addStateFlags(cmd)
	var to config.MasterKey
	cmd.Flags().StringVar(&to.File, "to-file", "", "move to the key in this file, which must be there unless it is the one in use")
	cmd.Flags().StringVar(&to.Environment, "to-environment", "", "move to the key in this environment variable, in base64")
	cmd.Flags().StringArrayVar(&to.Command, "to-command", nil, "move to the key that this program prints, in base64; repeated for each of its arguments")
	cmd.MarkFlagsMutuallyExclusive("to-file", "to-environment", "to-command")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		dir, err := state.dir(a)
		if err != nil {
			return err
		}
		var in config.MasterKey
		if state.config != "" {
			c, err := config.Load(state.config)
			if err != nil {
				return err
			}
			in = c.MasterKey
		}
		from, target := master(in, dir, a.getenv), master(to, dir, a.getenv)
		if moved := to.File != "" || to.Environment != "" || len(to.Command) > 0; !moved {
			if from.File == "" {
				return errors.Newf(errors.Usage, "The master key is in %s, where Airlock cannot change it: make a new one beside it and name that with --to-environment or --to-command.", from)
			}
			target = from
		}
		if target.File != "" {
			if target.File, err = filepath.Abs(target.File); err != nil {
				return err
			}
		}
		if err := seal.Rotate(ctx, filepath.Join(dir, "key.sealed"), from, target); err != nil {
			return err
		}
		if target.File == from.File && from.File != "" {
			_, err = fmt.Fprintf(a.stdout, "the master key in %s is a new one; copies of the old one open nothing any more\n", from)
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "the master key is now the one in %s: say so in the configuration before the next start; the old one in %s opens nothing any more\n", target, from)
		return err
	})
	return cmd
}

func (a *app) secretsMigrate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Copy all persistent secrets of a server on this machine to an Azure Key Vault",
		Long: `Copy all persistent secrets, those of packages and those of private clouds, from the files of a server on this machine to
an Azure Key Vault, and read them there. The server must not run. The files stay: once the server has run with the vault
(secrets.keyVault in its configuration), remove the directory "secrets" of its state.

A secret that the vault has already with the same value is left alone, so that what was cut short can be run again; one
with another value is refused. Airlock comes to the vault as azidentity's DefaultAzureCredential finds a login: by
AZURE_CLIENT_ID and its kin, a managed identity, or az. Run it as the user that the server runs as.`,
		Args: cobra.NoArgs,
	}
	state := addStateFlags(cmd)
	from := cmd.Flags().String("from", "", "where the secrets are: file")
	to := cmd.Flags().String("to", "", "where they are to be: keyvault")
	address := cmd.Flags().String("keyvault", "", "address of the vault, https://NAME.vault.azure.net (default: secrets.keyVault of --config)")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		if *from != "file" || *to != "keyvault" {
			return errors.Newf(errors.Usage, "Secrets can be migrated with --from file --to keyvault, in no other way.")
		}
		return a.migrateSecrets(ctx, state, *address)
	})
	return cmd
}

func (a *app) migrateSecrets(ctx context.Context, state *stateFlags, address string) (err error) {
	cfg := installationConfig{Config: config.Default(), getenv: a.getenv, log: slog.New(slog.DiscardHandler)}
	if state.config != "" {
		if cfg.Config, err = config.Load(state.config); err != nil {
			return err
		}
	}
	if address = cmp.Or(address, cfg.Secrets.KeyVault); address == "" {
		return errors.Newf(errors.Usage, "Which key vault? Give its address with --keyvault, or name the configuration that has it with --config.")
	}
	vault, err := secrets.OpenKeyVault(address)
	if err != nil {
		return err
	}
	if cfg.State, err = state.dir(a); err != nil {
		return err
	}
	i := &installation{cfg: cfg, dir: cfg.State, log: cfg.log}
	if _, err := os.Lstat(i.path("airlock.db")); err != nil {
		return errors.Because(err, errors.Usage, "%s is not the state directory of a server; name the right one with --state or --config.", i.dir)
	}
	if err := i.openDir(); err != nil {
		return err
	}
	key, err := i.loadKey(ctx)
	if err != nil {
		return err
	}
	if err := i.openStore(ctx, key); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.store.Close()) }()
	files, err := i.openSecretFiles(key)
	if err != nil {
		return err
	}
	return secrets.Migrate(ctx, files, vault, func(cloud domain.CloudID, pkg string, n int) {
		fmt.Fprintf(a.stdout, "%d of %s in %s\n", n, pkg, cloud)
	})
}
