package vcproxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25"
	vimsoap "github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions/internal/lazy"
	"github.com/airlock-run/airlock/sessions/internal/policy"
)

func testConfig() Config {
	return Config{
		Host: "vc.example.com", Addr: "192.0.2.1:443", TLS: &tls.Config{ServerName: "vc.example.com"}, User: "scripting@vsphere.local",
		Password:   func(context.Context) (secret.Text, error) { return secret.New("x"), nil },
		ScriptUser: "execution-one", Token: secret.New("token"),
		Policy: policy.Shipped(), Audit: func(audit.Event) {}, Log: slog.New(slog.DiscardHandler),
	}
}

// A vCenter that does not answer, whether nobody takes the connection or nobody speaks, is an error that names it, in
// bounded time.
func TestVCenterIsGone(t *testing.T) {
	t.Parallel()
	for what, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
		"no connection": func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() },
		"silence":       func(context.Context, string, string) (net.Conn, error) { c, _ := net.Pipe(); return c, nil },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				p := newProxy(ctx, testConfig())
				p.logins.transport.DialContext = dial
				for path, status := range map[string]int{"/sdk": 500, "/api/vcenter/vm": 503, "/folder/x": 503} {
					w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", path, nil)
					if path == "/sdk" {
						r = httptest.NewRequestWithContext(ctx, "POST", path, strings.NewReader(`<Envelope><Body><CurrentTime/></Body></Envelope>`))
						r.Header.Set("Content-Type", "text/xml")
					}
					r.Header.Set("Cookie", "vmware_soap_session=token; vmware-api-session-id=token")
					begin := time.Now()
					p.ServeHTTP(w, r)
					if took := time.Since(begin); took > loginTime || w.Code != status || !strings.Contains(w.Body.String(), "The vCenter vc.example.com cannot be reached") {
						t.Errorf("%s: after %s: %d %s", path, took, w.Code, w.Body)
					}
				}
				cancel()
				p.logins.end()
				time.Sleep(2 * loginGrace) // of the bubble: for what ends with the logins
			})
		})
	}
}

// mute is a vCenter that never answers.
type mute struct{}

func (mute) RoundTrip(ctx context.Context, _, _ vimsoap.HasFault) error {
	<-ctx.Done()
	return ctx.Err()
}

// A vCenter that does not answer a logout holds up the end for a moment only.
func TestLogoutIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLogins(t.Context(), testConfig())
		client := &vim25.Client{RoundTripper: mute{}}
		client.ServiceContent.SessionManager = &types.ManagedObjectReference{Type: "SessionManager", Value: "SessionManager"}
		l.vim = lazy.New(t.Context(), 0, func(context.Context) (*vimLogin, error) {
			return &vimLogin{client: client, manager: session.NewManager(client)}, nil
		})
		if _, err := l.vim.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		l.end()
		if took := time.Since(begin); took != logoutTime {
			t.Errorf("the end took %s; want %s", took, logoutTime)
		}
	})
}

// A vCenter whose machine is gone acknowledges nothing: the kernel ends the connection.
func TestConnectionsToTheDeadEnd(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	config := testConfig()
	config.Addr = l.Addr().String()
	c, err := newLogins(t.Context(), config).transport.DialContext(t.Context(), "tcp", "vc.example.com:443")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var after, probing int
	if err := raw.Control(func(fd uintptr) {
		after, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		probing, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
	}); err != nil {
		t.Fatal(err)
	}
	if after != int(unheard.Milliseconds()) || probing != 1 {
		t.Errorf("the connection ends after %d ms without an acknowledgement, probing %d", after, probing)
	}
}
