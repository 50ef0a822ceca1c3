// Package ca makes the certificate authority of one execution: it signs one server certificate for the names that the
// session broker plays and is then forgotten, so that nobody can sign another one. A script trusts this authority and
// no other, so it cannot be led to a server that is not the broker.
package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// The certificates outlive every execution (an hour at most), and allow for a clock that is somewhat off.
const (
	lifetime = 24 * time.Hour
	skew     = time.Hour
)

// Issue makes an authority (ECDSA P-256) and a server certificate for the names and addresses. It returns the
// authority's certificate as PEM.
func Issue(names []string, ips []net.IP) ([]byte, tls.Certificate, error) {
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "Airlock execution authority"},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("authority key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("authority: %w", err)
	}
	if authority, err = x509.ParseCertificate(der); err != nil { // now with its key id, which the leaf refers to
		return nil, tls.Certificate{}, fmt.Errorf("authority: %w", err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		// Unlike the authority's, or OpenSSL takes the certificate for self-signed and refuses it.
		Subject:     pkix.Name{CommonName: "Airlock execution endpoint"},
		NotBefore:   authority.NotBefore,
		NotAfter:    authority.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    names,
		IPAddresses: ips,
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("endpoint key: %w", err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, authority, leafKey.Public(), authorityKey)
	if err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("endpoint certificate: %w", err)
	}
	pemBytes := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return pemBytes, tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: leafKey}, nil
}
