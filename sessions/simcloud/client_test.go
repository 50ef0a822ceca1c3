package simcloud_test

import (
	"context"
	"crypto/x509"
	"net/url"
	"testing"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"

	"github.com/airlock-run/airlock/sessions/simcloud"
)

// start makes a private cloud that ends with the test.
func start(t testing.TB) *simcloud.Cloud {
	t.Helper()
	c, err := simcloud.Start(t.Context(), simcloud.Config{Name: "sddc1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// stranger is a govmomi client that has not logged in. It dials the private cloud's names and trusts its CA only.
func stranger(t testing.TB, c *simcloud.Cloud) *govmomi.Client {
	t.Helper()
	u, err := url.Parse(c.VCenter().URL)
	if err != nil {
		t.Fatal(err)
	}
	s := soap.NewClient(u, false)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(c.VCenter().CA) {
		t.Fatal("the CA is not PEM")
	}
	tr := s.DefaultTransport()
	tr.TLSClientConfig.RootCAs = pool
	tr.Proxy, tr.DialContext, tr.DialTLSContext = nil, c.Dial, nil
	t.Cleanup(s.CloseIdleConnections)
	vc, err := vim25.NewClient(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return &govmomi.Client{Client: vc, SessionManager: session.NewManager(vc)}
}

// login is a govmomi client that is logged in as scripting.
func login(t testing.TB, c *simcloud.Cloud) *govmomi.Client {
	t.Helper()
	vc := stranger(t, c)
	if err := vc.Login(t.Context(), credentials(c)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = vc.Logout(context.Background()) })
	return vc
}

func credentials(c *simcloud.Cloud) *url.Userinfo {
	return url.UserPassword(c.VCenter().User, c.VCenter().Password.Reveal())
}
