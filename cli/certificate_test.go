package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/cli/internal/config"
	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/ca"
	"github.com/airlock-run/airlock/internal/errors"
)

// installed is an installation in this process that is closed again, by a configuration that change has changed.
func installed(t testing.TB, dir string, change func(*installationConfig)) (*installation, error) {
	t.Helper()
	cfg := installationConfig{Config: config.Default(), getenv: func(string) string { return "" }, log: slog.New(slog.DiscardHandler)}
	cfg.State, cfg.Listen, cfg.Isolation = dir, "127.0.0.1:0", executor.IsolationNone
	change(&cfg)
	i, err := install(context.Background(), cfg)
	if err == nil {
		err = i.Close()
	}
	return i, err
}

// refused checks that an installation is refused in words.
func refused(t testing.TB, err error, says string) {
	t.Helper()
	if !errors.Has(err, errors.Usage) && !errors.Has(err, errors.Conflict) || !strings.Contains(errors.For(err, "").Message, says) {
		t.Errorf("the error is %v, want one that says %q", err, says)
	}
}

// Clients that trust a server's own authority go on trusting it after a start, as long as the server keeps its names.
func TestOwnCertificate(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	names := func(url string) []byte {
		i, err := installed(t, dir, func(c *installationConfig) { c.URL = url })
		if err != nil {
			t.Fatal(err)
		}
		leaf := i.server.TLSConfig.Certificates[0].Leaf
		authority, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(authority)
		for _, name := range []string{strings.TrimPrefix(url, "https://"), "127.0.0.1", "localhost"} {
			if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
				t.Errorf("by the name %s: %v", name, err)
			}
		}
		return authority
	}
	first, again, other := names("https://a.example"), names("https://a.example"), names("https://b.example")
	if !bytes.Equal(first, again) || bytes.Equal(first, other) {
		t.Errorf("the authority is kept: %v; for other names it is another: %v", bytes.Equal(first, again), !bytes.Equal(first, other))
	}
	if err := os.Chmod(filepath.Join(dir, "server.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := installed(t, dir, func(*installationConfig) {})
	refused(t, err, "chmod go=")
}

// issue writes a certificate and its key where a configuration names them, and returns its authority.
func issue(t testing.TB, certFile, keyFile string) (authority []byte) {
	t.Helper()
	authority, c, err := ca.Issue(ca.Request{Name: "test", Hosts: []string{"127.0.0.1"}, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, keyFile: {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return authority
}

// A configured certificate that is replaced is used from the next connection on; one that cannot be used is not.
func TestConfiguredCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	_, err := installed(t, stateDir(t), func(c *installationConfig) { c.TLS = config.TLS{Certificate: cert, Key: key} })
	refused(t, err, "The certificate (tls.certificate) cannot be read")
	first := issue(t, cert, key)
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = installed(t, stateDir(t), func(c *installationConfig) { c.TLS = config.TLS{Certificate: cert, Key: key} })
	refused(t, err, "chmod go=")
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	state := stateDir(t)
	p := serve(t, state, "--state", state, "--config", writeConfig(t, fmt.Sprintf("tls:\n  certificate: %s\n  key: %s\n", cert, key)))
	connect := func(authority []byte) error {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(authority)
		conn, err := tls.Dial("tcp", strings.TrimPrefix(p.ready, "https://"), &tls.Config{RootCAs: roots})
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	if err := connect(first); err != nil {
		t.Errorf("with the first certificate: %v", err)
	}
	second := issue(t, cert, key)
	if err := connect(second); err != nil {
		t.Errorf("with the second certificate: %v", err)
	}
	if err := os.WriteFile(cert, []byte("half a certifi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := connect(second); err != nil {
		t.Errorf("with a damaged file: %v", err)
	}
	if !strings.Contains(p.log.String(), "the new certificate cannot be used") {
		t.Error("the log does not say that the certificate cannot be used")
	}
	if _, err := os.Stat(filepath.Join(p.dir, "ca.pem")); !os.IsNotExist(err) {
		t.Errorf("the server has made an authority of its own (%v)", err)
	}
}

// The master key can lie elsewhere; another one than the state was made with is refused before it is used.
func TestMasterKey(t *testing.T) {
	t.Parallel()
	dir, file := stateDir(t), filepath.Join(t.TempDir(), "private", "key")
	with := func(value string, change func(*config.MasterKey)) error {
		_, err := installed(t, dir, func(c *installationConfig) {
			c.getenv = func(name string) string { return map[string]string{"KEY": value}[name] }
			change(&c.MasterKey)
		})
		return err
	}
	environment := func(k *config.MasterKey) { k.Environment = "KEY" }
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32))
	refused(t, with("", environment), "variable KEY. The master key must be 32 random bytes in base64")
	if err := with(key, environment); err != nil {
		t.Fatal(err)
	}
	if err := with(key, environment); err != nil {
		t.Errorf("the same key again: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "key")); !os.IsNotExist(err) {
		t.Errorf("there is a key in the state directory (%v)", err)
	}
	refused(t, with(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), 32)), environment), "is not the one that the state")
	refused(t, with("", func(k *config.MasterKey) { k.File = file }), "Without the right key what was sealed with it is lost")

	dir = stateDir(t)
	for range 2 {
		if err := with("", func(k *config.MasterKey) { k.File = file }); err != nil {
			t.Errorf("in a file: %v", err)
		}
	}
	refused(t, with("", func(*config.MasterKey) {}), "Without the right key what was sealed with it is lost")
}

// A restore that was interrupted is not taken for a state.
func TestInterruptedRestore(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	if err := os.MkdirAll(filepath.Join(dir, "restoring"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := installed(t, dir, func(*installationConfig) {})
	refused(t, err, "A restore into "+dir+" has not come to its end")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the server has left something there: %v %v", entries, err)
	}
}
