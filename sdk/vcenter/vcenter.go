// Package vcenter gives a cmdlet govmomi clients of its private cloud's vCenter, already logged in.
//
// A client trusts the execution's own certificate authority, dials the session broker under the names of the vCenter and the hosts, and
// carries the execution's token where a session id would stand. There is nothing to log in to and nothing to log out
// of: the session ends with the execution. A cmdlet that does not import this package does not link govmomi.
package vcenter

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/ssoadmin"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"

	"github.com/airlock-run/airlock/sdk"
	"github.com/airlock-run/airlock/sdk/wire"
)

// Client returns a client of the vSphere API (SOAP).
func Client(ctx context.Context, x *sdk.Execution) (*govmomi.Client, error) {
	c, err := vim(ctx, x)
	if err != nil {
		return nil, err
	}
	return &govmomi.Client{Client: c, SessionManager: session.NewManager(c)}, nil
}

// REST returns a client of the vSphere Automation API: tags, content libraries and the like.
func REST(ctx context.Context, x *sdk.Execution) (*rest.Client, error) {
	c, err := vim(ctx, x)
	if err != nil {
		return nil, err
	}
	r := rest.NewClient(c)
	r.SessionID(x.Grant().Token.Reveal()) // goes as the header vmware-api-session-id
	return r, nil
}

// SSOAdmin returns a client of the administration of vCenter Single Sign-On: users and groups.
func SSOAdmin(ctx context.Context, x *sdk.Execution) (*ssoadmin.Client, error) {
	c, err := vim(ctx, x)
	if err != nil {
		return nil, err
	}
	admin, err := ssoadmin.NewClient(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("SSO administration of %s: %w", x.Grant().VCenter.Host, err)
	}
	return admin, nil
}

func vim(ctx context.Context, x *sdk.Execution) (*vim25.Client, error) {
	g := x.Grant()
	if g.VCenter.Host == "" {
		return nil, errors.New("the execution was granted no vCenter")
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM([]byte(g.CA)) {
		return nil, errors.New("the grant has no certificate authority that can be read")
	}
	u := &url.URL{Scheme: "https", Host: g.VCenter.Host, Path: vim25.Path}
	sc := soap.NewClient(u, false)
	sc.UserAgent = "airlock-go/1"
	transport := sc.DefaultTransport()
	transport.Proxy = nil // the broker is reached directly
	transport.DialTLSContext = dial(g, authorities)
	sc.Jar.SetCookies(u, []*http.Cookie{{Name: soap.SessionCookieName, Value: g.Token.Reveal(), Path: "/", Secure: true}})
	c, err := vim25.NewClient(ctx, sc)
	if err != nil {
		return nil, fmt.Errorf("vCenter %s: %w", g.VCenter.Host, err)
	}
	return c, nil
}

// dial connects to the granted addresses for the names of the vCenter and the hosts, and to nothing else.
func dial(g wire.Grant, authorities *x509.CertPool) func(ctx context.Context, network, addr string) (net.Conn, error) {
	granted := append([]wire.Endpoint{g.VCenter}, g.Hosts...)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		i := slices.IndexFunc(granted, func(e wire.Endpoint) bool { return strings.EqualFold(addr, net.JoinHostPort(e.Host, "443")) })
		if i < 0 {
			return nil, fmt.Errorf("%s is no server that the execution was granted", addr)
		}
		d := tls.Dialer{Config: &tls.Config{RootCAs: authorities, ServerName: granted[i].Host, MinVersion: tls.VersionTLS12}}
		return d.DialContext(ctx, network, granted[i].Addr)
	}
}
