package vcproxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/ca"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions/internal/policy"
	"github.com/airlock-run/airlock/sessions/simcloud"
)

// While a script thinks, the proxy calls the sessions that it made, each in its own way, and no other.
func TestSessionsAreKept(t *testing.T) {
	t.Parallel()
	cloud, err := simcloud.Start(t.Context(), simcloud.Config{Name: "sddc1"})
	if err != nil {
		t.Fatal(err)
	}
	defer cloud.Close()
	vc := cloud.VCenter()
	soapCalls, restCalls := make(chan struct{}, 1), make(chan struct{}, 1)
	authority, addr := listenIn(t, vc, func(r *http.Request, body string) {
		told := soapCalls
		switch {
		case strings.Contains(body, "<CurrentTime"):
		case strings.Contains(r.URL.RawQuery, "action=get"):
			told = restCalls
		default:
			return
		}
		select {
		case told <- struct{}{}:
		default:
		}
	})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	ctx, cancel := context.WithCancel(t.Context())
	scriptCA, certificate, err := ca.Issue(ca.Request{Name: "a test", Hosts: []string{vc.FQDN}, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		Serve(ctx, l, Config{
			Host: vc.FQDN, Addr: addr, TLS: &tls.Config{RootCAs: pool}, User: vc.User,
			Password: func(context.Context) (secret.Text, error) { return vc.Password, nil },
			Token:    secret.New("token"), Certificate: certificate, KeepAlive: 5 * time.Millisecond, Policy: policy.Shipped(),
			Audit: func(audit.Event) {}, Log: slog.New(slog.DiscardHandler),
		})
	}()
	defer func() { cancel(); <-done }()

	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(scriptCA)
	client := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust, ServerName: vc.FQDN}}
	defer client.CloseIdleConnections()
	use := func(header, value string) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+l.Addr().String()+"/folder/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(header, value)
		res, err := client.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	use("Cookie", "vmware_soap_session=token")
	<-soapCalls
	select {
	case <-restCalls:
		t.Error("a REST session was called that nobody had asked for")
	default:
	}
	use("vmware-api-session-id", "token")
	<-restCalls
	if n := cloud.Open().Sessions; n != 2 {
		t.Errorf("%d sessions; want one for SOAP and one for REST", n)
	}
}

// listenIn puts a server in front of a vCenter that tells what is asked.
func listenIn(t *testing.T, vc simcloud.VCenter, tell func(*http.Request, string)) (authority []byte, addr string) {
	t.Helper()
	authority, certificate, err := ca.Issue(ca.Request{Name: "a test", Hosts: []string{vc.FQDN}, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(vc.CA)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: vc.FQDN}}
	srv := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Transport: transport,
		ErrorLog:  log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			body, _ := io.ReadAll(r.In.Body)
			r.Out.Body = io.NopCloser(bytes.NewReader(body))
			r.Out.URL.Scheme, r.Out.URL.Host = "https", vc.Addr
			tell(r.In, string(body))
		},
	})
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	srv.StartTLS()
	t.Cleanup(func() { srv.Close(); transport.CloseIdleConnections() })
	return authority, srv.Listener.Addr().String()
}
