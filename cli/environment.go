package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/durable"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/server"
)

// The ids of the service principals that an installation makes for itself.
const (
	developerID = "00000000-0000-0000-0000-0000000dec0d"
	providerID  = "00000000-0000-0000-0000-0000000ca71e"
)

// enrolled is how long the secret of such a principal is good: until the next start of a development server, and for a
// provider until it has made principals for those who are to work with the server.
const enrolled = 90 * 24 * time.Hour

// developer and provider are their principals.
var (
	developer = domain.Client{ID: developerID}.Principal()
	provider  = domain.Client{ID: providerID}.Principal()
)

// environment is what a shell can source to talk to the server as a service principal with a new secret.
func (i *installation) environment(ctx context.Context, id, name string) ([]byte, error) {
	value, err := server.Enroll(ctx, i.store, id, name, enrolled, time.Now())
	if err != nil {
		return nil, err
	}
	b := fmt.Appendf(nil, "export AIRLOCK_ENDPOINT='%s'\n", i.endpoint)
	if i.cfg.TLS.Certificate == "" {
		b = fmt.Appendf(b, "export AIRLOCK_CA='%s'\n", i.path("ca.pem"))
	}
	return fmt.Appendf(b, "export AIRLOCK_CLIENT_ID='%s'\nexport AIRLOCK_CLIENT_SECRET='%s'\n", id, value.Reveal()), nil
}

// writeEnv writes dev.env. The service principal in it is Owner of everything; the bearer token is a Provider's.
func (i *installation) writeEnv(ctx context.Context) error {
	b, err := i.environment(ctx, developerID, "developer")
	if err != nil {
		return err
	}
	if err := server.Assign(ctx, i.store, server.RoleOwner, domain.Everywhere, developer, time.Now()); err != nil {
		return err
	}
	return durable.WriteFile(i.path("dev.env"), fmt.Appendf(b, "export AIRLOCK_TOKEN='%s'\nexport AIRLOCK_PRIVATE_CLOUD='%s'\n",
		i.token.Reveal(), i.clouds.first()))
}

// enrollProvider writes provider.env at the first start of a server that has nobody with the role Provider, so that there
// is somebody who can give roles to others.
func (i *installation) enrollProvider(ctx context.Context) error {
	if len(i.cfg.Providers) > 0 {
		return nil
	}
	if has, err := server.HasProvider(ctx, i.store); err != nil || has {
		return err
	}
	b, err := i.environment(ctx, providerID, "provider")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(i.path("provider.env"), b); err != nil {
		return err
	}
	return server.Assign(ctx, i.store, server.RoleProvider, domain.Everywhere, provider, time.Now())
}

// removeEnv removes dev.env, also one that a crash has left.
func (i *installation) removeEnv() error {
	if err := os.Remove(i.path("dev.env")); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
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
