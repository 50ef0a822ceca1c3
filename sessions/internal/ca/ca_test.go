package ca

import (
	"bytes"
	"crypto/x509"
	"net"
	"testing"
)

func TestIssue(t *testing.T) {
	t.Parallel()
	authority, certificate, err := Issue([]string{"vc.example.org", "vc"}, []net.IP{net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := Issue([]string{"vc.example.org"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(leaf.RawSubject, leaf.RawIssuer) || len(leaf.AuthorityKeyId) == 0 {
		t.Error("the certificate looks self-signed, which OpenSSL refuses")
	}
	for name, trusted := range map[string]bool{"vc.example.org": true, "vc": true, "127.0.0.1": true, "esx01.example.org": false, "": false} {
		for _, a := range []struct {
			pem  []byte
			same bool
		}{{authority, true}, {other, false}} {
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(a.pem)
			_, err := leaf.Verify(x509.VerifyOptions{Roots: pool})
			if err == nil {
				err = leaf.VerifyHostname(name)
			}
			if want := trusted && a.same; (err == nil) != want {
				t.Errorf("%q by its own authority %v: %v; want trusted %v", name, a.same, err, want)
			}
		}
	}
}
