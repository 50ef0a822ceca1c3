package cli

import (
	"context"
	"crypto/x509"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions"
	"github.com/airlock-run/airlock/sessions/simcloud"
)

// simulated are the simulated private clouds of a development server: sddc1, sddc2, … of one resource group.
type simulated []*simcloud.Cloud

func simulatedID(name string) domain.CloudID {
	return domain.CloudID{Subscription: "00000000-0000-0000-0000-00000000a111", ResourceGroup: "airlock-dev", Name: name}
}

// simulate starts n private clouds and enters them into the store, with an egress policy.
func simulate(ctx context.Context, n int, egress domain.Egress, s *store.Store) (simulated, error) {
	clouds := make(simulated, n)
	var group errgroup.Group
	for k := range clouds {
		group.Go(func() (err error) {
			name := fmt.Sprintf("sddc%d", k+1)
			if clouds[k], err = simcloud.Start(ctx, simcloud.Config{Name: name}); err != nil {
				return err
			}
			had, err := s.PrivateCloud(ctx, simulatedID(name))
			if had.Connection != nil || err != nil && !errors.Has(err, errors.ResourceNotFound) {
				return err // somebody has registered a real one under this name, and keeps it
			}
			return s.PutPrivateCloud(ctx, domain.PrivateCloud{
				Paused: had.Paused,
				ID:     simulatedID(name), Location: "simulated", SKU: "av36", NetworkBlock: fmt.Sprintf("10.%d.0.0/22", k+1), ClusterSize: 3,
				VCenter: clouds[k].VCenter().FQDN, DNSSuffix: clouds[k].DNSSuffix(),
				AadAuthority: "https://login.microsoftonline.com/", Egress: egress, Dev: true,
			})
		})
	}
	err := group.Wait()
	return clouds, err
}

func (s simulated) first() domain.CloudID { return simulatedID(s[0].Name()) }

// Upstream implements sessions.Clouds.
func (s simulated) Upstream(_ context.Context, id domain.CloudID) (sessions.Upstream, error) {
	for _, c := range s {
		if simulatedID(c.Name()).Key() != id.Key() {
			continue
		}
		vc := c.VCenter()
		up := sessions.Upstream{VCenter: vc.FQDN, Addr: vc.Addr, RootCAs: x509.NewCertPool(), User: vc.User, Password: known(vc.Password)}
		up.RootCAs.AppendCertsFromPEM(vc.CA)
		for _, h := range c.SSH() {
			up.SSH = append(up.SSH, sessions.SSHHost{Name: h.Name, Addr: h.Addr, User: h.User, Password: known(h.Password), HostKey: h.HostKey})
		}
		return up, nil
	}
	return sessions.Upstream{}, errors.Newf(errors.SessionFailed, "The private cloud %s is registered without a connection, and this server does not simulate it: complete its registration, or start the server with more --clouds.", id.Name)
}

func known(password secret.Text) func(context.Context) (secret.Text, error) {
	return func(context.Context) (secret.Text, error) { return password, nil }
}

// Close ends the private clouds.
func (s simulated) Close() error {
	var errs []error
	for _, c := range s {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}
