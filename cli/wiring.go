package cli

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/ca"
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

// installation is one Airlock for development: its parts joined, with simulated private clouds. Everything that it
// keeps lies in one directory of its own:
//
//	airlock.db   state                     packages/  packages by digest
//	key          the master key            secrets/   persistent secrets
//	token        the bearer token          work/      work directories of executions
//	ca.pem       authority of the server   audit.log  audit events, a JSON line each
//	dev.env      how to talk to the server, there as long as it is ready
type installation struct {
	dir      string
	endpoint string
	token    secret.Text
	clouds   simulated

	store    *store.Store
	packages *packages.Repository
	secrets  *secrets.File
	executor *executor.Executor
	server   *http.Server
	listener net.Listener
	audit    *os.File
	log      *slog.Logger
}

type installationConfig struct {
	dir       string
	listen    string        // host:port
	clouds    int           // simulated private clouds
	egress    domain.Egress // of each of them
	isolation executor.Isolation
	log       *slog.Logger
}

// install joins the parts. Nothing runs until Run; Close gives back what was taken.
func install(ctx context.Context, cfg installationConfig) (*installation, error) {
	i := &installation{dir: cfg.dir, log: cfg.log}
	if err := i.open(ctx, cfg); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

func (i *installation) open(ctx context.Context, cfg installationConfig) (err error) {
	if err := checkIsolation(ctx, cfg.isolation); err != nil {
		return err
	}
	if err := durable.PrivateDir(i.dir); err != nil {
		return errors.Because(err, errors.Usage, "The state directory cannot be used: %v.", err)
	}
	key, err := seal.LoadOrCreate(i.path("key"))
	if err != nil {
		return err
	}
	if i.store, err = store.Open(ctx, store.Config{Path: i.path("airlock.db"), Key: key.Derive("output"), Logger: i.log}); err != nil {
		return err
	}
	// From here on the directory is this process's.
	if err := errors.Join(i.removeEnv(), durable.RemoveTemporary(i.dir)); err != nil {
		return err
	}
	if i.packages, err = packages.Open(i.path("packages"), i.store); err != nil {
		return err
	}
	if i.secrets, err = secrets.OpenFile(i.path("secrets"), key.Derive("persistent secrets")); err != nil {
		return err
	}
	if i.audit, err = os.OpenFile(i.path("audit.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	if i.clouds, err = simulate(ctx, cfg.clouds, cfg.egress, i.store); err != nil {
		return err
	}
	if i.token, err = loadToken(i.path("token")); err != nil {
		return err
	}
	if err := i.listen(cfg.listen); err != nil {
		return err
	}
	events := audit.Log{Logger: slog.New(slog.NewJSONHandler(i.audit, nil))}
	parameters := key.Derive("secure parameters")
	i.executor = executor.New(executor.Config{
		Store: i.store, Packages: i.packages, Secrets: i.secrets, Sessions: sessions.New(i.clouds, events, i.log),
		Key: parameters, Audit: events, Dir: i.path("work"), Node: "dev", Logger: i.log,
		Isolation: cfg.isolation, Own: []netip.AddrPort{i.listener.Addr().(*net.TCPAddr).AddrPort()},
	})
	api := server.New(server.Config{
		Store: i.store, Packages: i.packages, Sealer: sealer{parameters, key.Derive("body digests")},
		URL: i.endpoint, Identities: i.store, TokenKey: key.Derive("signing keys"),
		Authenticator: server.NewStaticToken(i.token), Audit: events, Logger: i.log,
		Now: time.Now, NewID: func() string { return uuid.Must(uuid.NewV7()).String() }, Dev: true,
	})
	i.server = api.HTTPServer()
	return i.certify(cfg.listen)
}

// checkIsolation refuses to go without an isolation that was asked for.
func checkIsolation(ctx context.Context, chosen executor.Isolation) error {
	if chosen == executor.IsolationNone {
		return nil
	}
	if missing := missingForIsolation(ctx); missing != "" {
		return errors.Newf(errors.Usage, "This machine cannot isolate scripts, for it lacks %s: `airlock doctor` says how to get that. With --isolation none they run as ordinary processes of this user, which is for packages that you trust with all that it can reach.", missing)
	}
	return nil
}

// missingForIsolation names what the machine lacks to isolate scripts, "" where it lacks nothing.
func missingForIsolation(ctx context.Context) string {
	var names []string
	for _, f := range executor.Features(ctx) {
		if f.Needed && !f.Found {
			names = append(names, f.Name)
		}
	}
	const most = 3 // without the first of them there are none of the others
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}

func (i *installation) path(name string) string { return filepath.Join(i.dir, name) }

// listen opens the server's port.
func (i *installation) listen(address string) (err error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return errors.Newf(errors.Usage, "--listen is host:port, not %q.", address)
	}
	if i.listener, err = net.Listen("tcp", address); err != nil {
		return errors.Because(err, errors.Usage, "The server cannot listen on %s (%v): choose another address with --listen.", address, err)
	}
	i.endpoint = "https://" + i.listener.Addr().String()
	return nil
}

// certify gives the server a certificate of an authority made now.
func (i *installation) certify(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	authority, certificate, err := ca.Issue(ca.Request{
		Name: "Airlock development authority", Hosts: []string{host, "localhost", "127.0.0.1", "::1"}, Lifetime: 365 * 24 * time.Hour,
	})
	if err != nil {
		return err
	}
	i.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	return durable.WriteFile(i.path("ca.pem"), authority)
}

// loadToken reads the bearer token, which is made at the first start. Only its owner may read the file.
func loadToken(path string) (secret.Text, error) {
	data, err := durable.ReadPrivate(path, 1<<10)
	if errors.Is(err, os.ErrNotExist) {
		data = []byte(rand.Text() + rand.Text()) // 256 bits
		err = durable.CreateFile(path, data)
	}
	if err != nil {
		return secret.Text{}, errors.Because(err, errors.Usage, "The token file cannot be used: %v.", err)
	}
	return secret.New(string(data)), nil
}

// Run serves until ctx ends; then it ends what runs, answers who waits, and returns when nothing runs any more.
// It says on ready when requests are taken.
func (i *installation) Run(ctx context.Context, ready func() error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return i.executor.Run(ctx) })
	group.Go(func() error { return i.expire(ctx) })
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
	if err := i.writeEnv(); err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	err := group.Wait()
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

// writeEnv writes dev.env, which a shell can source.
func (i *installation) writeEnv() error {
	return durable.WriteFile(i.path("dev.env"), fmt.Appendf(nil, `export AIRLOCK_ENDPOINT='%s'
export AIRLOCK_TOKEN='%s'
export AIRLOCK_CA='%s'
export AIRLOCK_PRIVATE_CLOUD='%s'
`, i.endpoint, i.token.Reveal(), i.path("ca.pem"), i.clouds.first()))
}

// removeEnv removes dev.env, also one that a crash has left.
func (i *installation) removeEnv() error {
	if err := os.Remove(i.path("dev.env")); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// sealer keeps secure parameters and the digests of bodies under keys of their own.
type sealer struct{ parameters, bodies seal.Key }

func (s sealer) SealValues(executionID string, values domain.SecureValues) ([]byte, error) {
	return seal.SealValues(s.parameters, executionID, values)
}

func (s sealer) Digest(b []byte) []byte { return s.bodies.Digest(b) }
