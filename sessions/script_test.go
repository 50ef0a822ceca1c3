package sessions_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/domain"
)

// script is a script's side of a grant: unchanged clients that hold nothing but what the grant has.
type script struct {
	domain.Grant
	received bytesSeen // over TLS, decrypted
	keepsNot bool      // received, for speed
}

// soapClient is govmomi's client as an SDK makes it: it dials the grant's address for the vCenter's name, trusts the
// grant's authority and no other, and carries the token where the session's cookie would be. It does not log in.
func (s *script) soapClient(t testing.TB) *soap.Client {
	t.Helper()
	u := &url.URL{Scheme: "https", Host: s.VCenter.Host, Path: vim25.Path}
	c := soap.NewClient(u, false)
	s.dial(t, c)
	c.Jar.SetCookies(u, []*http.Cookie{{Name: soap.SessionCookieName, Value: s.Token.Reveal(), Path: "/", Secure: true}})
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// dial makes a client reach the grant's hosts, and no others.
func (s *script) dial(t testing.TB, c *soap.Client) {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.CA) {
		t.Fatal("the grant's CA is not PEM")
	}
	tr := c.DefaultTransport()
	tr.Proxy, tr.DialContext = nil, nil
	tr.DialTLSContext = func(ctx context.Context, _, addr string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(addr)
		granted := append([]domain.Endpoint{s.VCenter}, s.Hosts...)
		i := slices.IndexFunc(granted, func(e domain.Endpoint) bool { return addr == e.Host+":443" })
		if i < 0 {
			return nil, &net.AddrError{Err: "not a host of the grant", Addr: addr}
		}
		d := tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: host}}
		conn, err := d.DialContext(ctx, "tcp", granted[i].Addr)
		if err != nil {
			return nil, err
		}
		if s.keepsNot {
			return conn, nil
		}
		return seen{conn, &s.received}, nil
	}
}

// vim is a client of the SOAP API.
func (s *script) vim(t testing.TB) *vim25.Client {
	t.Helper()
	c, err := vim25.NewClient(t.Context(), s.soapClient(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rest is a client of the REST API: the token is its session id.
func (s *script) rest(t testing.TB) *rest.Client {
	t.Helper()
	c := rest.NewClient(&vim25.Client{Client: s.soapClient(t)})
	c.SessionID(s.Token.Reveal())
	return c
}

// endpoint is the SSH endpoint of a host.
func (s *script) endpoint(t testing.TB, host string) domain.SSHEndpoint {
	t.Helper()
	for _, e := range s.SSH {
		if e.Host == host || strings.HasPrefix(e.Host, host+".") {
			return e
		}
	}
	t.Fatalf("the grant has no host %s", host)
	panic("not reached")
}

// sshConfig logs in as the grant says.
func (s *script) sshConfig(t testing.TB, host string) *ssh.ClientConfig {
	t.Helper()
	signer, err := ssh.ParsePrivateKey([]byte(s.Key.Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s.endpoint(t, host).HostKey))
	if err != nil {
		t.Fatal(err)
	}
	return &ssh.ClientConfig{User: s.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(key)}
}

// ssh connects to a host.
func (s *script) ssh(t testing.TB, host string) *ssh.Client {
	t.Helper()
	c, err := ssh.Dial("tcp", s.endpoint(t, host).Addr, s.sshConfig(t, host))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
