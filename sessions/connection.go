package sessions

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// Registry is what a connection refers to: credentials, and the host keys of first logins.
type Registry interface {
	// Credential reads what the reference names, now. Its errors are sentences for whoever registered the private cloud.
	Credential(ctx context.Context, cloud domain.CloudID, r domain.Reference) (secret.Text, error)

	HostKeys(ctx context.Context, cloud domain.CloudID) (byHost map[string]string, err error)

	// LearnHostKey keeps the key of a host, unless there is one already, and returns the one that is kept.
	LearnHostKey(ctx context.Context, cloud domain.CloudID, host, key string) (kept string, err error)
}

// NewUpstream makes of a private cloud's connection, which must not be nil, how to reach it.
func NewUpstream(ctx context.Context, c domain.PrivateCloud, r Registry) (Upstream, error) {
	conn := c.Connection
	up := Upstream{VCenter: c.VCenter, Addr: conn.Address, Thumbprint: conn.Thumbprint, User: conn.User}
	up.Password = func(ctx context.Context) (secret.Text, error) { return r.Credential(ctx, c.ID, conn.Password) }
	if up.Addr == "" {
		up.Addr = net.JoinHostPort(c.VCenter, "443")
	}
	if conn.CA != "" {
		up.RootCAs = x509.NewCertPool()
		up.RootCAs.AppendCertsFromPEM([]byte(conn.CA))
	}
	learned, err := r.HostKeys(ctx, c.ID)
	if err != nil {
		return Upstream{}, err
	}
	for _, h := range conn.Hosts {
		host := newSSHHost(c, h, r)
		if key := learned[h.Name]; h.HostKey == "" {
			h.HostKey = key
		}
		if h.HostKey != "" {
			if host.HostKey, err = parseHostKey(h.HostKey); err != nil {
				return Upstream{}, fmt.Errorf("host key of %s: %w", h.Name, err)
			}
		}
		up.SSH = append(up.SSH, host)
		if h.Name != domain.VCenterSSH && !strings.EqualFold(h.Name, c.VCenter) {
			up.Hosts = append(up.Hosts, domain.Endpoint{Host: h.Name, Addr: httpsOf(h)})
		}
	}
	return up, nil
}

// httpsOf is where to dial for the HTTPS of a host: where its SSH is, unless that has a port of its own and so may be
// anything in between.
func httpsOf(h domain.SSHHost) string {
	host, port, err := net.SplitHostPort(h.Address)
	if err != nil || port != "22" {
		host = h.Name
	}
	return net.JoinHostPort(host, "443")
}

func newSSHHost(c domain.PrivateCloud, h domain.SSHHost, r Registry) SSHHost {
	host := SSHHost{Name: h.Name, Addr: h.Address, User: h.User}
	if host.Addr == "" {
		name := h.Name
		if name == domain.VCenterSSH {
			name = c.VCenter
		}
		host.Addr = net.JoinHostPort(name, "22")
	}
	if h.Key != nil {
		host.Signer = func(ctx context.Context) (ssh.Signer, error) { return signer(ctx, c.ID, *h.Key, r) }
	} else if h.Password != nil {
		host.Password = func(ctx context.Context) (secret.Text, error) { return r.Credential(ctx, c.ID, *h.Password) }
	}
	host.Learn = func(ctx context.Context, key ssh.PublicKey) (ssh.PublicKey, error) {
		kept, err := r.LearnHostKey(ctx, c.ID, h.Name, domain.FormatHostKey(key))
		if err != nil {
			return nil, err
		}
		return parseHostKey(kept)
	}
	return host
}

func signer(ctx context.Context, cloud domain.CloudID, ref domain.Reference, r Registry) (ssh.Signer, error) {
	text, err := r.Credential(ctx, cloud, ref)
	if err != nil {
		return nil, err
	}
	s, err := ssh.ParsePrivateKey([]byte(text.Reveal()))
	if locked := (*ssh.PassphraseMissingError)(nil); errors.As(err, &locked) {
		return nil, errors.Newf(errors.SessionFailed, "The private key in %s has a passphrase, which nobody is there to type: store it without one.", ref)
	}
	if err != nil { // without the cause, which could quote the key
		return nil, errors.Newf(errors.SessionFailed, "What is in %s is no private key for SSH in PEM form (-----BEGIN OPENSSH PRIVATE KEY-----).", ref)
	}
	return s, nil
}

func parseHostKey(s string) (ssh.PublicKey, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s))
	return key, err
}
