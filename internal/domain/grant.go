package domain

import (
	"net"

	"github.com/airlock-run/airlock/sdk/secret"
)

// Listen opens the listener on which sessions answers for a host of the private cloud. The executor decides where it
// is: a loopback port without a sandbox, the real name and port inside one. The host of the vCenter's SSH server is
// the name "VC".
type Listen func(host string, port int) (net.Listener, error)

// Grant is what an execution holds in place of credentials: capabilities that reach vCenter and hosts through the
// session broker only, that say which execution uses them, and that end with the context they were opened with.
type Grant struct {
	CA    []byte      // PEM, the certificate authority of this execution's endpoints
	User  string      // who the execution is to vCenter and SSH endpoints
	Token secret.Text // stands where a vCenter session id or a password would
	Key   secret.Text // SSH private key of this execution, OpenSSH PEM

	VCenter Endpoint
	Hosts   []Endpoint    // ESXi hosts, HTTPS: to and from them go the files of leases (HttpNfcLease), whose URLs name them
	SSH     []SSHEndpoint // one a host, and "VC" for the vCenter itself

	// Done is closed when the context has ended and no session, listener or goroutine of the grant is left.
	Done <-chan struct{}
}

// Endpoint is a server that the broker plays: its real name, and the address to dial for it.
type Endpoint struct {
	Host string
	Addr string
}

// SSHEndpoint is an SSH and SFTP server that the broker plays.
type SSHEndpoint struct {
	Endpoint
	HostKey string // in the form of authorized_keys
}
