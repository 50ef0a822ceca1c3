// Package sessions is the session broker: it lets a script use Airlock's administrator logins to a private cloud
// without holding one.
//
// For each execution the broker plays the vCenter and the SSH servers of the hosts, behind listeners that the executor
// opens. An execution gets a grant: a certificate authority by which it knows the broker, and a token and an SSH key
// by which the broker knows the execution. These open nothing but the broker's own endpoints, and end with the
// execution. The real passwords and session ids stay on the broker's side of the connection.
//
//   - vCenter (SOAP, REST, SSO administration, datastore files): internal/vcproxy. A client carries the token where it
//     would carry a session id, and does not log in.
//   - Files of leases (HttpNfcLease), over HTTPS to each host that a lease names: internal/vcproxy too.
//   - SSH and SFTP of each host, and of the vCenter under the name "VC": internal/sshproxy. A client logs in as the
//     grant's user with the grant's key, and checks the host key that the grant names.
//
// Each login is made at first use, once for an execution. Every opening, login, refused call, and every command, shell
// and SFTP session is an audit event that names the execution. Of a command line the first word is kept, for the
// rest may hold secrets.
//
// What root on a host can read there, a script with SSH can read too: the broker keeps Airlock's logins away from
// scripts, not the host's secrets.
package sessions

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"

	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions/internal/vcproxy"
)

// Clouds knows how to reach private clouds. Its errors reach the user if they are of internal/errors.
type Clouds interface {
	Upstream(ctx context.Context, id domain.CloudID) (Upstream, error)
}

// Upstream is how to reach one private cloud with Airlock's own administrator login. Passwords and keys are read anew
// at each login, so that a rotated one is found.
type Upstream struct {
	VCenter    string         // FQDN, the name in the vCenter's certificate
	Addr       string         // host:port to dial for it
	RootCAs    *x509.CertPool // who may have signed the certificate; nil for the system's authorities
	Thumbprint string         // of the one certificate that is taken, as domain.FormatThumbprint has it; "" to go by RootCAs
	User       string         // with the SSO domain: scripting@vsphere.local
	Password   func(context.Context) (secret.Text, error)
	Hosts      []domain.Endpoint // ESXi hosts, and where to dial for their HTTPS
	SSH        []SSHHost
}

// SSHHost is an SSH server of the private cloud, with a password or a key.
type SSHHost struct {
	Name     string // FQDN of an ESXi host, or "VC" for the vCenter itself
	Addr     string // host:port to dial
	User     string
	Password func(context.Context) (secret.Text, error)
	Signer   func(context.Context) (ssh.Signer, error)

	// HostKey is pinned: a host that shows another one is not entered. Where it is nil, Learn is asked to keep the key
	// that the host has shown, and returns the one that is kept, which is an earlier one where there is one.
	HostKey ssh.PublicKey
	Learn   func(context.Context, ssh.PublicKey) (ssh.PublicKey, error)
}

// tls is how the vCenter's certificate is verified.
func (u Upstream) tls() *tls.Config {
	c := &tls.Config{RootCAs: u.RootCAs, ServerName: u.VCenter, MinVersion: tls.VersionTLS12}
	if u.Thumbprint != "" {
		c.InsecureSkipVerify = true // in favour of the one certificate that is known
		c.VerifyConnection = func(s tls.ConnectionState) error {
			if shown := domain.FormatThumbprint(sha256.Sum256(s.PeerCertificates[0].Raw)); shown != u.Thumbprint {
				return vcproxy.OtherThumbprint(shown)
			}
			return nil
		}
	}
	return c
}

// check finds what a registration of a private cloud lacks.
func (u Upstream) check() error {
	if u.VCenter == "" || u.Addr == "" || u.User == "" || u.Password == nil {
		return errors.Newf(errors.SessionFailed,
			"The private cloud's vCenter %q is registered without a name, an address, a user or a password; ask the provider to complete it.", u.VCenter)
	}
	for _, h := range u.SSH {
		if h.Name == "" || h.Addr == "" || h.User == "" || (h.Password == nil) == (h.Signer == nil) || h.HostKey == nil && h.Learn == nil {
			return errors.Newf(errors.SessionFailed,
				"The host %q is registered without a name, an address, a user, a password or key, or an SSH host key; ask the provider to complete it.", h.Name)
		}
	}
	return nil
}
