package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/cli/internal/backup"
	"github.com/airlock-run/airlock/cli/internal/config"
	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/durable"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/packages"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/secrets"
	"github.com/airlock-run/airlock/server"
	"github.com/airlock-run/airlock/sessions"
)

// installation is one Airlock: its parts joined, by a configuration, or for development with simulated private clouds.
// Everything that it keeps lies in one directory of its own, but for what the configuration puts elsewhere:
//
//	airlock.db   state                     packages/  packages by digest
//	key          the master key            secrets/   persistent secrets
//	key.sealed   the data key              work/      work directories of executions
//	key.check    by which that is known    keys/      keys of executions that have not ended
//	server.pem   certificate and key       audit.log  audit events, a JSON line each
//	ca.pem       authority of the server   token      for development: the bearer token
//	dev.env      for development: how to talk to the server, there as long as it is ready
//	provider.env how to talk to the server as the first provider, written at the first start
type installation struct {
	cfg      installationConfig
	dir      string
	endpoint string
	token    secret.Text
	clouds   simulated

	powershell string // path of pwsh, "" for none

	store    *store.Store
	keys     *seal.Keys
	packages *packages.Repository
	secrets  secretStore
	executor *executor.Executor
	server   *http.Server
	listener net.Listener
	audit    *os.File
	log      *slog.Logger
}

type installationConfig struct {
	config.Config
	clouds int           // simulated private clouds; with at least one it is for development
	egress domain.Egress // of each of them
	getenv func(string) string
	log    *slog.Logger
}

func (c installationConfig) dev() bool { return c.clouds > 0 }

// install joins the parts. Nothing runs until Run; Close gives back what was taken.
func install(ctx context.Context, cfg installationConfig) (*installation, error) {
	i := &installation{cfg: cfg, dir: cfg.State, log: cfg.log}
	if err := i.open(ctx); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

func (i *installation) open(ctx context.Context) (err error) {
	if err := checkIsolation(ctx, i.cfg.Isolation); err != nil {
		return err
	}
	if err := i.openDir(); err != nil {
		return err
	}
	key, err := i.loadKey(ctx)
	if err != nil {
		return err
	}
	if i.keys, err = seal.OpenKeys(i.path("keys"), key.Derive("keys of executions")); err != nil {
		return err
	}
	if err := i.openStore(ctx, key); err != nil {
		return err
	}
	// From here on the directory is this process's.
	if err := errors.Join(i.removeEnv(), durable.RemoveTemporary(i.dir), i.keys.Sweep(i.unended(ctx))); err != nil {
		return err
	}
	if i.packages, err = packages.Open(i.path("packages"), i.store); err != nil {
		return err
	}
	if i.secrets, err = i.openSecrets(key); err != nil {
		return err
	}
	if err := i.openAudit(); err != nil {
		return err
	}
	if i.clouds, err = simulate(ctx, i.cfg.clouds, i.cfg.egress, i.store); err != nil {
		return err
	}
	if i.cfg.dev() {
		if i.token, err = loadToken(i.path("token")); err != nil {
			return err
		}
	} else if _, err := i.store.DeleteClient(ctx, developerID, ""); err != nil { // of a state that was for development before
		return err
	}
	if err := i.listen(); err != nil {
		return err
	}
	if err := i.join(key); err != nil {
		return err
	}
	return i.certify()
}

// openDir takes the state directory.
func (i *installation) openDir() error {
	if err := durable.PrivateDir(i.dir); err != nil {
		return errors.Because(err, errors.Usage, "The state directory cannot be used: %v.", err)
	}
	if _, err := os.Lstat(i.path(backup.Restoring)); !errors.Is(err, os.ErrNotExist) {
		return errors.Because(err, errors.Conflict, "A restore into %s has not come to its end: wait for it, or empty the directory and restore again.", i.dir)
	}
	return nil
}

// loadKey opens the data key with the master key, and holds it to key.check, so that a wrong one is told before anything
// is sealed with it.
func (i *installation) loadKey(ctx context.Context) (seal.Key, error) {
	_, err := os.Lstat(i.path("airlock.db"))
	fresh := errors.Is(err, os.ErrNotExist)
	return seal.DataKey(ctx, i.path("key.sealed"), master(i.cfg.MasterKey, i.dir, i.cfg.getenv), fresh, i.checkKey)
}

// master is where the configuration says that the master key is.
func master(c config.MasterKey, state string, getenv func(string) string) seal.Master {
	if c.Environment == "" && len(c.Command) == 0 {
		return seal.Master{File: cmp.Or(c.File, filepath.Join(state, "key"))}
	}
	return seal.Master{Environment: c.Environment, Command: c.Command, Getenv: getenv}
}

func (i *installation) checkKey(key seal.Key) error {
	is := fmt.Appendf(nil, "%x\n", key.Digest([]byte("the master key of this state")))
	err := durable.CreateFile(i.path("key.check"), is)
	if errors.Is(err, os.ErrExist) {
		var was []byte
		if was, err = durable.ReadPrivate(i.path("key.check"), 1<<10); err == nil && !bytes.Equal(was, is) {
			return errors.Newf(errors.Usage, "The master key is not the one that the state in %s was made with, or key.sealed is missing there: start Airlock with the files that it had before.", i.dir)
		}
	}
	return err
}

// openStore opens the database, which keeps other servers from the state.
func (i *installation) openStore(ctx context.Context, key seal.Key) (err error) {
	i.store, err = store.Open(ctx, store.Config{Path: i.path("airlock.db"), Key: key.Derive("output"), Logger: i.log, Ended: i.forget})
	return err
}

// secretStore keeps persistent secrets.
type secretStore interface {
	executor.Secrets
	server.Secrets
}

func (i *installation) openSecrets(key seal.Key) (secretStore, error) {
	if address := i.cfg.Secrets.KeyVault; address != "" {
		return secrets.OpenKeyVault(address)
	}
	return i.openSecretFiles(key)
}

func (i *installation) openSecretFiles(key seal.Key) (*secrets.File, error) {
	return secrets.OpenFile(i.path("secrets"), key.Derive("persistent secrets"))
}

func (i *installation) openAudit() (err error) {
	path := cmp.Or(i.cfg.Audit.File, i.path("audit.log"))
	if i.audit, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return errors.Because(err, errors.Usage, "The audit file cannot be used: %v.", err)
	}
	return nil
}

// join makes executor and server.
func (i *installation) join(key seal.Key) error {
	events := audit.Log{Logger: slog.New(slog.NewJSONHandler(i.audit, nil))}
	clouds := registered{i.store, i.secrets, i.clouds, i.cfg.getenv, own{i.dir, i.cfg.TLS, i.cfg.MasterKey}}
	broker := sessions.New(clouds, i.log)
	if file := i.cfg.Sessions.Policy; file != "" {
		if err := broker.ExtendPolicy(file); err != nil {
			return err
		}
	}
	limits := i.cfg.Limits
	i.powershell = executor.FindPowerShell(i.cfg.PowerShell, i.cfg.getenv)
	i.executor = executor.New(executor.Config{
		Store: i.store, Packages: i.packages, Secrets: i.secrets, Sessions: broker,
		Keys: i.keys, Audit: events, Dir: i.path("work"), Node: i.node(), Logger: i.log,
		PowerShell: i.powershell, Isolation: i.cfg.Isolation, Own: []netip.AddrPort{i.listener.Addr().(*net.TCPAddr).AddrPort()},
		Limits: executor.Limits{
			Memory: int64(limits.Memory), Threads: limits.Threads, Files: limits.OpenFiles, WorkDirectory: int64(limits.WorkDirectory),
		},
		MaxRunning: i.cfg.Executor.Concurrency, MaxOutput: int64(limits.Output),
	})
	issuers, err := i.issuers()
	if err != nil {
		return err
	}
	c := server.Config{
		Store: i.store, Packages: i.packages, Feed: i.packages.Feed(), Repository: i.packages, Sealer: sealer{i.keys, i.forget, key.Derive("body digests")},
		URL: i.endpoint, Identities: i.store, TokenKey: key.Derive("signing keys"), Issuers: issuers,
		Providers: i.providers(), Audit: events, Logger: i.log, Now: time.Now, NewID: func() string { return uuid.Must(uuid.NewV7()).String() },
		Secrets: i.secrets, Check: clouds.check,
	}
	if i.cfg.dev() {
		c.Authenticator = server.NewStaticToken(i.token)
	}
	i.server = server.New(c).HTTPServer()
	return nil
}

// issuers are those of the configuration, with their authorities.
func (i *installation) issuers() (all []server.Issuer, err error) {
	for _, given := range i.cfg.Issuers {
		issuer := given.Issuer()
		if given.CA != "" {
			if issuer.Roots, err = authorities(given.CA); err != nil {
				return nil, errors.Because(err, errors.Usage, "The authorities of the issuer %s cannot be used: %v.", given.Name, err)
			}
		}
		all = append(all, issuer)
	}
	return all, server.CheckIssuers(i.endpoint, all)
}

// providers are those who are Provider by configuration: for development, the developer.
func (i *installation) providers() []domain.Principal {
	if i.cfg.dev() {
		return []domain.Principal{server.Developer}
	}
	all := make([]domain.Principal, len(i.cfg.Providers))
	for n, p := range i.cfg.Providers {
		all[n] = domain.Principal{ID: p.ID, Type: p.Type}
	}
	return all
}

// node is the name of this server in executions and audit.
func (i *installation) node() string {
	host, _ := os.Hostname()
	return cmp.Or(i.cfg.Executor.Node, host, "airlock")
}

func (i *installation) path(name string) string { return filepath.Join(i.dir, name) }

// listen opens the server's port.
func (i *installation) listen() (err error) {
	if i.listener, err = net.Listen("tcp", i.cfg.Listen); err != nil {
		return errors.Because(err, errors.Usage, "The server cannot listen on %s (%v): choose another address with --listen.", i.cfg.Listen, err)
	}
	i.endpoint = cmp.Or(i.cfg.URL, "https://"+i.listener.Addr().String())
	return nil
}

// Run serves until ctx ends; then it ends what runs, answers who waits, and returns when nothing runs any more.
// It says on ready when requests are taken.
func (i *installation) Run(ctx context.Context, ready func() error) error {
	asked := ctx
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return i.executor.Run(ctx) })
	group.Go(func() error { return i.expire(ctx) })
	group.Go(func() error {
		i.lookAtPowerShell(ctx)
		return nil
	})
	group.Go(func() error {
		if err := i.server.ServeTLS(i.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if i.server.Shutdown(bounded) != nil {
			return i.server.Close()
		}
		return nil
	})
	introduce := i.enrollProvider
	if i.cfg.dev() {
		introduce = i.writeEnv
	}
	group.Go(func() error {
		if err := introduce(ctx); err != nil {
			return err
		}
		return ready()
	})
	err := group.Wait()
	if asked.Err() != nil && errors.Is(err, asked.Err()) { // of a recovery that was under way
		err = nil
	}
	return errors.Join(err, i.removeEnv())
}

// expire removes records that are past their retention.
func (i *installation) expire(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if n, err := i.store.Expire(ctx, 100); err != nil && ctx.Err() == nil {
			i.log.Error("records past their retention were not removed", "error", err)
		} else if n > 0 {
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Close gives back what the installation has taken. Run must have returned.
func (i *installation) Close() error {
	var errs []error
	if i.listener != nil {
		if err := i.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	errs = append(errs, i.clouds.Close())
	if i.audit != nil {
		errs = append(errs, i.audit.Close())
	}
	if i.store != nil {
		errs = append(errs, i.store.Close())
	}
	return errors.Join(errs...)
}

// forget destroys the key of an execution that has ended. What fails is done at the next start.
func (i *installation) forget(id string) {
	if err := i.keys.Destroy(id); err != nil {
		i.log.Error("the key of an execution that has ended is left", "execution", id, "error", err)
	}
}

// unended says of an execution whether it has not come to its end.
func (i *installation) unended(ctx context.Context) func(id string) (bool, error) {
	return func(id string) (bool, error) {
		x, err := i.store.ExecutionByID(ctx, id)
		if errors.Has(err, errors.ResourceNotFound) {
			return false, nil
		}
		return !x.State.Final(), err
	}
}

// sealer keeps secure parameters under a key of their execution's, and the digests of bodies under one of their own.
type sealer struct {
	keys   *seal.Keys
	forget func(id string)
	bodies seal.Key
}

func (s sealer) SealValues(executionID string, values domain.SecureValues) ([]byte, error) {
	key, err := s.keys.Make(executionID)
	if err != nil {
		return nil, err
	}
	return seal.SealValues(key, executionID, values)
}

func (s sealer) Discard(executionID string) { s.forget(executionID) }

func (s sealer) Digest(b []byte) []byte { return s.bodies.Digest(b) }
