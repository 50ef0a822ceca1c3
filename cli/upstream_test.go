package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/ca"
	"github.com/airlock-run/airlock/sessions/simcloud"
)

// wire stands between a server and a vCenter, keeps by what the server is known there, and says it in each answer.
type wire struct {
	addr      string
	authority []byte // PEM

	mu  sync.Mutex
	ids map[string]string
}

var (
	inHeader    = regexp.MustCompile(`<vcSessionCookie[^>]*>([^<]*)<`)
	inAssertion = regexp.MustCompile(`<saml2:Assertion [^>]*\bID="([^"]+)"`)
)

// listenIn puts a wire in front of a vCenter.
func listenIn(t testing.TB, cloud *simcloud.Cloud) *wire {
	t.Helper()
	vc := cloud.VCenter()
	w := &wire{ids: map[string]string{}}
	var certificate tls.Certificate
	var err error
	if w.authority, certificate, err = ca.Issue(ca.Request{Name: "a wire", Hosts: []string{vc.FQDN}, Lifetime: time.Hour}); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: cloud.Dial, TLSClientConfig: &tls.Config{RootCAs: roots(vc.CA)}}
	srv := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Transport: transport,
		ErrorLog:  log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			body, _ := io.ReadAll(r.In.Body)
			w.keep(r.In, body)
			r.Out.Body = io.NopCloser(bytes.NewReader(body))
			r.Out.URL.Scheme, r.Out.URL.Host = "https", vc.FQDN
		},
		ModifyResponse: func(r *http.Response) error {
			for _, c := range r.Request.Cookies() {
				r.Header.Add("Set-Cookie", c.String())
			}
			r.Header.Set("vmware-api-session-id", r.Request.Header.Get("vmware-api-session-id"))
			return nil
		},
	})
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	srv.StartTLS()
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close(); transport.CloseIdleConnections() })
	w.addr = srv.Listener.Addr().String()
	return w
}

func (w *wire) keep(r *http.Request, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range r.Cookies() {
		w.ids["the session in the cookie "+c.Name+" for "+r.URL.Path] = c.Value
	}
	if id := r.Header.Get("vmware-api-session-id"); id != "" {
		w.ids["the REST session"] = id
	}
	if basic, found := strings.CutPrefix(r.Header.Get("Authorization"), "Basic "); found {
		w.ids["the login to REST"] = basic
	}
	for what, form := range map[string]*regexp.Regexp{"the session in the SOAP header": inHeader, "the SSO assertion": inAssertion} {
		if m := form.FindSubmatch(body); m != nil {
			w.ids[what] = string(m[1])
		}
	}
}

// sessions are the ids by which the server is known to the vCenter.
func (w *wire) sessions() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.ids)
}

func roots(authority []byte) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	return pool
}

// direct is a client of a vCenter, past Airlock, with a session's id.
func direct(t testing.TB, cloud *simcloud.Cloud, id string) *vim25.Client {
	t.Helper()
	vc := cloud.VCenter()
	u, err := url.Parse(vc.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := soap.NewClient(u, false)
	t.Cleanup(s.CloseIdleConnections)
	tr := s.DefaultTransport()
	tr.TLSClientConfig.RootCAs, tr.Proxy, tr.DialContext, tr.DialTLSContext = roots(vc.CA), nil, cloud.Dial, nil
	s.Jar.SetCookies(u, []*http.Cookie{{Name: soap.SessionCookieName, Value: id, Path: "/", Secure: true}})
	c, err := vim25.NewClient(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// opensNothing checks that a session's key, which vCenter puts into ids and the audit shows, is no session: where each of
// the server's own ids opens one, it does not.
func opensNothing(t *testing.T, cloud *simcloud.Cloud, key string, ids map[string]string) {
	t.Helper()
	for what, id := range ids {
		if strings.Contains(id, key) || strings.Contains(key, id) {
			t.Errorf("the session's key %s is in %s, %s", key, what, id)
		}
	}
	bySOAP := func(id string) error {
		_, err := object.NewRootFolder(direct(t, cloud, id)).Children(t.Context())
		return err
	}
	byREST := func(id string) error {
		c := rest.NewClient(direct(t, cloud, ""))
		c.SessionID(id)
		_, err := tags.NewManager(c).ListTags(t.Context())
		return err
	}
	if err := bySOAP(ids[soapSession]); err != nil {
		t.Errorf("the server's own session: %v", err)
	}
	if err := byREST(ids["the REST session"]); err != nil {
		t.Errorf("the server's own REST session: %v", err)
	}
	if err := bySOAP(key); !fault.Is(err, &types.NotAuthenticated{}) {
		t.Errorf("the session's key as a cookie: %v", err)
	}
	if err := byREST(key); !rest.IsStatusError(err, http.StatusUnauthorized) {
		t.Errorf("the session's key as a REST session: %v", err)
	}
	if err := session.NewManager(direct(t, cloud, "")).CloneSession(t.Context(), key); !fault.Is(err, &types.InvalidLogin{}) {
		t.Errorf("the session's key as a ticket: %v", err)
	}
}

// serveKeyed is an SSH server with SFTP that takes one key. Each command ends well and says nothing.
func serveKeyed(t testing.TB, user ssh.PublicKey) (addr string) {
	t.Helper()
	host, _ := newSSHKey(t)
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), user.Marshal()) {
			return nil, errors.New("not the key")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			all.Go(func() {
				defer stop()
				defer c.Close()
				if _, channels, requests, err := ssh.NewServerConn(c, config); err == nil {
					go ssh.DiscardRequests(requests) // ends with the connection
					serveChannels(channels)
				}
			})
		}
	})
	t.Cleanup(func() { end(); _ = l.Close(); all.Wait() })
	return l.Addr().String()
}

func serveChannels(channels <-chan ssh.NewChannel) {
	var all sync.WaitGroup
	defer all.Wait()
	files := sftp.InMemHandler()
	_ = files.FileCmd.Filecmd(sftp.NewRequest("Mkdir", "/tmp")) // in memory, where it cannot fail
	for c := range channels {
		if c.ChannelType() != "session" {
			_ = c.Reject(ssh.Prohibited, "sessions only")
			continue
		}
		ch, requests, err := c.Accept()
		if err != nil {
			return
		}
		all.Go(func() {
			for r := range requests {
				_ = r.Reply(r.Type == "exec" || r.Type == "subsystem", nil)
				switch r.Type {
				case "exec":
					_, _ = ch.SendRequest("exit-status", false, make([]byte, 4))
					_ = ch.Close()
				case "subsystem":
					all.Go(func() { _ = sftp.NewRequestServer(ch, files).Serve(); _ = ch.Close() })
				}
			}
		})
	}
}
