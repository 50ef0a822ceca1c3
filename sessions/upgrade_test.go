package sessions_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"github.com/airlock-run/airlock/internal/ca"
)

// withStream puts a server before the fixture's vCenter that has a WebSocket below /api/stats, which tells under which
// session it was asked for and then echoes.
func (f *fixture) withStream(t *testing.T) {
	t.Helper()
	authority, certificate, err := ca.Issue(ca.Request{Name: "a test", Hosts: []string{f.up.VCenter}, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	behind := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.up.RootCAs, ServerName: f.up.VCenter}}
	addr := f.up.Addr
	mux := http.NewServeMux()
	stream := websocket.Handler(func(c *websocket.Conn) {
		_, _ = fmt.Fprintln(c, c.Request().Header.Get("vmware-api-session-id"))
		_, _ = io.Copy(c, c)
	})
	mux.Handle("/api/stats/stream", stream)
	var asked atomic.Bool
	mux.Handle("/api/stats/dropped", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // what was there is gone at the first
		if asked.Swap(true) {
			stream.ServeHTTP(w, r)
			return
		}
		f.cloud.EndSessions()
		w.WriteHeader(http.StatusUnauthorized)
	}))
	mux.Handle("/api/stats/plain", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "upgrade %q connection %q", r.Header.Get("Upgrade"), r.Header.Get("Connection"))
	}))
	mux.Handle("/", &httputil.ReverseProxy{Transport: behind, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = "https", addr
	}})
	srv := httptest.NewUnstartedServer(mux)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	srv.StartTLS()
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close(); behind.CloseIdleConnections() })
	f.up.Addr, f.up.RootCAs = srv.Listener.Addr().String(), poolOf(authority)
}

func (s *script) webSocket(t *testing.T, path, token string) (*websocket.Conn, error) {
	t.Helper()
	config, err := websocket.NewConfig("wss://"+s.VCenter.Host+path, "https://"+s.VCenter.Host)
	if err != nil {
		t.Fatal(err)
	}
	config.Header.Set("vmware-api-session-id", token)
	conn, err := tls.Dial("tcp", s.VCenter.Addr, &tls.Config{RootCAs: poolOf(s.CA), ServerName: s.VCenter.Host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return websocket.NewClient(config, conn)
}

// A WebSocket passes where policy opens its path, in Airlock's session, as many as are allowed, and ends with the grant.
func TestWebSockets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withStream(t)
	g, end := f.open(t, "one")
	s := &script{Grant: g}
	token := g.Token.Reveal()
	for what, ask := range map[string][2]string{
		"without the token":    {"/api/stats/stream", "wrong"},
		"closed path":          {"/api/appliance/local-accounts", token},
		"path that is no vAPI": {"/folder/stream", token},
	} {
		if _, err := s.webSocket(t, ask[0], ask[1]); err == nil {
			t.Errorf("%s: it was upgraded", what)
		}
	}
	for what, headers := range map[string][]string{
		"another protocol": {"GET", "h2c"}, "another method": {"POST", "websocket"},
	} {
		_, body := s.ask(t, headers[0], "/api/stats/plain", "", "Vmware-Api-Session-Id", token, "Connection", "Upgrade", "Upgrade", headers[1])
		if strings.Contains(body, headers[1]) {
			t.Errorf("%s: vCenter was asked for %s", what, body)
		}
	}
	var open []*websocket.Conn
	for range 16 {
		c, err := s.webSocket(t, "/api/stats/stream", token)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	if _, err := s.webSocket(t, "/api/stats/stream", token); err == nil {
		t.Error("the 17th was upgraded")
	}
	first := open[0]
	line := make([]byte, 100)
	n, err := first.Read(line)
	if id := strings.TrimSpace(string(line[:n])); err != nil || id == "" || id == token {
		t.Errorf("the stream was asked for in the session %q, %v; want Airlock's own", id, err)
	}
	if _, err := io.WriteString(first, "hello"); err != nil {
		t.Fatal(err)
	}
	if n, err = first.Read(line); err != nil || string(line[:n]) != "hello" {
		t.Errorf("%q, %v came back", line[:n], err)
	}
	end()
	for _, c := range open {
		_, _ = io.Copy(io.Discard, c)
	}
	f.nothingLeft(t)
}

// A WebSocket is asked for once more where the vCenter has dropped the session.
func TestWebSocketAfterTheSessionWasDropped(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.withStream(t)
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	if _, err := s.webSocket(t, "/api/stats/dropped", g.Token.Reveal()); err != nil {
		t.Errorf("after the session was dropped: %v; want a WebSocket", err)
	}
}
