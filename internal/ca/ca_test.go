package ca_test

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/ca"
)

func TestOnlyTheHostsOfTheRequestAreTrusted(t *testing.T) {
	t.Parallel()
	pem, cert, err := ca.Issue(ca.Request{Name: "an authority", Hosts: []string{"vc.example", "127.0.0.1"}, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	otherPEM, _, err := ca.Issue(ca.Request{Name: "an authority", Hosts: []string{"vc.example"}, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, host string
		authority  []byte
		ok         bool
	}{
		{"by name", "vc.example", pem, true},
		{"by address", "127.0.0.1", pem, true},
		{"another name", "esx.example", pem, false},
		{"another authority", "vc.example", otherPEM, false},
	} {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(c.authority)
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if conn, err := l.Accept(); err == nil {
				_ = conn.(*tls.Conn).HandshakeContext(t.Context())
				conn.Close()
			}
		}()
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, ServerName: c.host})
		if err == nil {
			conn.Close()
		}
		<-ended
		l.Close()
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
