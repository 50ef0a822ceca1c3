package cli

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/airlock-run/airlock/internal/ca"
	"github.com/airlock-run/airlock/internal/durable"
	"github.com/airlock-run/airlock/internal/errors"
)

// certify gives the server its certificate: the configured one, which is read again when the file changes, so that a new
// one needs no start, or one of an authority of its own.
func (i *installation) certify() error {
	i.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if files := i.cfg.TLS; files.Certificate != "" {
		c := &certificate{certFile: files.Certificate, keyFile: files.Key, failed: func(err error) {
			i.log.Error("the new certificate cannot be used, and the one before goes on", "error", err)
		}}
		i.server.TLSConfig.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil }
		return c.load()
	}
	authority, own, err := i.ownCertificate()
	if err != nil {
		return err
	}
	i.server.TLSConfig.Certificates = []tls.Certificate{own}
	return durable.WriteFile(i.path("ca.pem"), authority)
}

// A certificate of the server's own is good for two years, and renewed at the first start in the last 30 days.
const (
	ownLifetime = 2 * 365 * 24 * time.Hour
	ownRenewal  = 30 * 24 * time.Hour
)

// ownCertificate is the certificate in server.pem, made anew where there is none, where the server has other names, or
// where it is about to expire.
func (i *installation) ownCertificate() (authority []byte, own tls.Certificate, err error) {
	hosts, err := i.hosts()
	if err != nil {
		return nil, own, err
	}
	path := i.path("server.pem")
	data, err := durable.ReadPrivate(path, 64<<10)
	if err == nil {
		if authority, own, err = parseOwn(data); err == nil && covers(own.Leaf, hosts) && time.Until(own.Leaf.NotAfter) > ownRenewal {
			return authority, own, nil
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, own, errors.Because(err, errors.Usage, "The server's certificate cannot be used: %v.", err)
	}
	if authority, own, err = ca.Issue(ca.Request{Name: "Airlock's own authority", Hosts: hosts, Lifetime: ownLifetime}); err != nil {
		return nil, own, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		return nil, own, err
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	return authority, own, durable.WriteFile(path, slices.Concat(authority, certificate, private))
}

// parseOwn takes server.pem apart: the authority, the server's certificate, its key.
func parseOwn(data []byte) (authority []byte, own tls.Certificate, err error) {
	first, rest := pem.Decode(data)
	if first == nil {
		return nil, own, errors.New("no PEM")
	}
	own, err = tls.X509KeyPair(rest, rest)
	return pem.EncodeToMemory(first), own, err
}

// hosts are the names by which clients may call the server.
func (i *installation) hosts() ([]string, error) {
	u, err := url.Parse(i.endpoint)
	if err != nil {
		return nil, err
	}
	hosts := []string{u.Hostname()}
	listen, _, err := net.SplitHostPort(i.cfg.Listen)
	for _, host := range []string{listen, "localhost", "127.0.0.1", "::1"} {
		if !everywhere(host) && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts, err
}

func covers(leaf *x509.Certificate, hosts []string) bool {
	return !slices.ContainsFunc(hosts, func(host string) bool { return leaf.VerifyHostname(host) != nil })
}

// certificate is one that lies in files which somebody may replace.
type certificate struct {
	certFile, keyFile string
	failed            func(error)

	mu     sync.Mutex
	latest *tls.Certificate
	data   []byte // that it was made of
}

// current is the certificate as it lies in the files, or where that cannot be used the one before.
func (c *certificate) current() *tls.Certificate {
	if err := c.load(); err != nil {
		c.failed(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest
}

func (c *certificate) load() error {
	public, err := os.ReadFile(c.certFile)
	if err != nil {
		return errors.Because(err, errors.Usage, "The certificate (tls.certificate) cannot be read: %v.", err)
	}
	private, err := durable.ReadPrivate(c.keyFile, 64<<10)
	if err != nil {
		return errors.Because(err, errors.Usage, "The key of the certificate (tls.key) cannot be used: %v.", err)
	}
	data := slices.Concat(public, private)
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes.Equal(data, c.data) {
		return nil
	}
	latest, err := tls.X509KeyPair(public, private)
	if err != nil {
		return errors.Because(err, errors.Usage, "The certificate %s and the key %s cannot be used together: %v.", c.certFile, c.keyFile, err)
	}
	c.latest, c.data = &latest, data
	return nil
}
