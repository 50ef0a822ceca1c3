// Package ca makes a certificate authority that signs one server certificate and is then forgotten, so that nobody
// can sign another one. Whoever trusts such an authority and no other cannot be led to another server. The session
// broker has one for each execution, a simulated private cloud one for its vCenter, and a development server one for
// itself.
package ca

import (
	"crypto"
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

// skew allows for a clock that is somewhat off.
const skew = time.Hour

// Request says what to sign.
type Request struct {
	Name     string        // of the authority, for people
	Hosts    []string      // names and IP addresses of the server, at least one
	Lifetime time.Duration // of both certificates
}

// Issue makes an authority (ECDSA P-256) and a server certificate for the hosts. It returns the authority's
// certificate as PEM.
func Issue(r Request) (authority []byte, server tls.Certificate, err error) {
	root := template(1, r.Name, r.Lifetime)
	root.KeyUsage, root.IsCA, root.BasicConstraintsValid, root.MaxPathLenZero = x509.KeyUsageCertSign, true, true, true
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("authority key: %w", err)
	}
	// Parsed again by sign, it has its key id, which the server's certificate refers to.
	if root, err = sign(root, root, rootKey.Public(), rootKey); err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("authority: %w", err)
	}

	// The subject is unlike the authority's, or OpenSSL takes the certificate for self-signed and refuses it.
	leaf := template(2, r.Hosts[0], r.Lifetime)
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range r.Hosts {
		if ip := net.ParseIP(h); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, h)
		}
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("server key: %w", err)
	}
	if leaf, err = sign(leaf, root, leafKey.Public(), rootKey); err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("server certificate: %w", err)
	}
	authority = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
	return authority, tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: leafKey, Leaf: leaf}, nil
}

func template(serial int64, name string, lifetime time.Duration) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-skew),
		NotAfter:     now.Add(lifetime),
	}
}

func sign(c, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
