package sessions_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/ssoadmin"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions"
)

// clouds are those of a test of Open alone.
type clouds struct {
	up  sessions.Upstream
	err error
}

func (c clouds) Upstream(context.Context, domain.CloudID) (sessions.Upstream, error) {
	return c.up, c.err
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	password := known(secret.New("secret word"))
	up := sessions.Upstream{VCenter: "vc.example.org", Addr: "192.0.2.1:443", User: "scripting@vsphere.local", Password: password}
	keyless := up
	keyless.SSH = []sessions.SSHHost{{Name: "esx01.example.org", Addr: "192.0.2.2:22", User: "root", Password: password}}
	nameless := up
	nameless.User = ""
	x := domain.Execution{ID: "one", Cloud: domain.CloudID{Subscription: "s", ResourceGroup: "g", Name: "sddc1"}}
	var opened []net.Listener
	keep := func(host string, port int) (net.Listener, error) {
		l, err := loopback(host, port)
		opened = append(opened, l)
		return l, err
	}
	withHost := up
	withHost.SSH = []sessions.SSHHost{keyless.SSH[0]}
	withHost.SSH[0].HostKey = hostKey(t)
	for what, test := range map[string]struct {
		clouds clouds
		listen domain.Listen
		code   errors.Code
		says   string
	}{
		"unknown cloud": {clouds{err: errors.New("no row")}, loopback, errors.SessionFailed, "how to reach the private cloud sddc1"},
		"own error":     {clouds{err: errors.Newf(errors.ResourceNotFound, "Gone.")}, loopback, errors.ResourceNotFound, "Gone."},
		"no user":       {clouds{up: nameless}, loopback, errors.SessionFailed, `vCenter "vc.example.org" is registered without`},
		"no host key":   {clouds{up: keyless}, loopback, errors.SessionFailed, `"esx01.example.org" is registered without`},
		"no listener": {clouds{up: withHost}, func(host string, port int) (net.Listener, error) {
			if port == 22 {
				return nil, errors.New("no ports")
			}
			return keep(host, port)
		}, errors.SessionFailed, "connection to esx01.example.org, port 22"},
	} {
		e := &events{}
		_, err := sessions.New(test.clouds, slog.New(slog.DiscardHandler)).Open(t.Context(), x, test.listen, e)
		if errors.CodeOf(err) != test.code || !strings.Contains(errors.For(err, "").Message, test.says) {
			t.Errorf("%s: %v; want %s that says %q", what, err, test.code, test.says)
		}
		if len(e.all) > 0 {
			t.Errorf("%s: events %v of a grant that was not opened", what, e.all)
		}
	}
	if len(opened) != 1 {
		t.Fatalf("%d listeners; want the one before the failure", len(opened))
	}
	if _, err := opened[0].Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener of a failed Open is open: %v", err)
	}
}

func TestGrantSaysWhatItIs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "0192")
	if g.User != "execution-0192" || g.VCenter.Host != "vc.sddc1.airlock.test" || g.VCenter.Addr == f.up.Addr {
		t.Errorf("grant = %+v", g)
	}
	for i, e := range g.SSH {
		if e.Host != f.up.SSH[i].Name || e.Addr == f.up.SSH[i].Addr || !strings.HasPrefix(e.HostKey, "ssh-ed25519 ") {
			t.Errorf("endpoint = %+v", e)
		}
	}
	if shown := fmt.Sprintf("%+v", g); strings.Contains(shown, g.Token.Reveal()) || strings.Contains(shown, "PRIVATE KEY") {
		t.Error("a printed grant shows its token or key")
	}
}

// Everything at once, held open in the middle of work, is gone with the context: soon, and without a trace.
func TestNothingIsLeft(t *testing.T) {
	f := newFixture(t)
	before := runtime.NumGoroutine()
	g, end := f.open(t, "one")
	s := &script{Grant: g}
	vc := s.vim(t)
	if _, err := ssoadmin.NewClient(t.Context(), vc); err != nil {
		t.Fatal(err)
	}
	if _, err := tags.NewManager(s.rest(t)).ListTags(t.Context()); err != nil {
		t.Fatal(err)
	}
	var held sync.WaitGroup
	var inputs []io.Closer
	held.Go(func() { // a long poll
		_, _ = methods.WaitForUpdatesEx(context.Background(), vc, &types.WaitForUpdatesEx{This: vc.ServiceContent.PropertyCollector})
	})
	for _, host := range []string{"esx01", "VC"} { // commands that wait for input which does not come
		session, err := s.ssh(t, host).NewSession()
		if err != nil {
			t.Fatal(err)
		}
		in, out := io.Pipe()
		inputs = append(inputs, out)
		session.Stdin = in
		if err := session.Start("cat"); err != nil {
			t.Fatal(err)
		}
		held.Go(func() { _ = session.Wait() })
	}
	idle, err := net.Dial("tcp", g.VCenter.Addr) // a connection that says nothing
	if err != nil {
		t.Fatal(err)
	}
	silent, err := net.Dial("tcp", s.endpoint(t, "esx02").Addr)
	if err != nil {
		t.Fatal(err)
	}

	begin := time.Now()
	end()
	t.Logf("the grant ended in %s", time.Since(begin))
	f.nothingLeft(t)
	for _, in := range inputs {
		_ = in.Close()
	}
	held.Wait()
	vc.CloseIdleConnections()
	_, _ = silent.Close(), idle.Close()
	waitUntil(t, func() bool { return runtime.NumGoroutine() <= before })
	for _, addr := range []string{g.VCenter.Addr, g.SSH[0].Addr} {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			t.Errorf("%s still listens", addr)
		}
	}
}

// waitUntil yields until what is so, or fails with all goroutines. The end of a goroutine is no event to wait for.
func waitUntil(t *testing.T, what func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !what(); runtime.Gosched() {
		if time.Now().After(deadline) {
			all := make([]byte, 1<<20)
			t.Fatalf("goroutines are left:\n%s", all[:runtime.Stack(all, true)])
		}
	}
}

func TestOneLoginForAll(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	var clients []*vim25.Client
	for range 8 {
		clients = append(clients, s.vim(t))
	}
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			for range 5 {
				if _, err := methods.GetCurrentTime(t.Context(), c); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := f.cloud.Open().Sessions; n != 1 {
		t.Errorf("%d sessions of vCenter; want one", n)
	}
}

// What keeps Airlock from vCenter reaches the script as a sentence that names it; a refused password is tried once.
func TestVCenterLoginFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := f.up
	nowhere, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nowhere.Close()
	for what, test := range map[string]struct {
		change func(*sessions.Upstream)
		says   string
		tries  int
	}{
		"password":  {func(u *sessions.Upstream) { u.Password = known(secret.New("wrong")) }, "The vCenter vc.sddc1.airlock.test refused Airlock's own login", 1},
		"address":   {func(u *sessions.Upstream) { u.Addr = nowhere.Addr().String() }, "The vCenter vc.sddc1.airlock.test cannot be reached", 2},
		"authority": {func(u *sessions.Upstream) { u.RootCAs = nil }, "The vCenter vc.sddc1.airlock.test cannot be reached", 2},
	} {
		f.up, f.events = good, &events{}
		test.change(&f.up)
		g, end := f.open(t, "one")
		s := &script{Grant: g}
		c := s.soapClient(t)
		c.Namespace, c.Version = "urn:vim25", "8.0.2.0"
		for range 2 {
			if _, err := methods.GetCurrentTime(t.Context(), c); !fault.Is(err, &types.SystemError{}) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: SOAP: %v; want a fault SystemError that says %q", what, err, test.says)
			}
		}
		status, body := s.ask(t, "GET", "/api/vcenter/vm", "", "Vmware-Api-Session-Id", g.Token.Reveal())
		if status != 503 || !strings.Contains(body, test.says) {
			t.Errorf("%s: REST: %d %s; want 503 that says %q", what, status, body, test.says)
		}
		if n := f.events.count("vcenter/login", "SessionFailed"); n != test.tries {
			t.Errorf("%s: %d failed logins are audited; want %d", what, n, test.tries)
		}
		end()
	}
}

// A vCenter that takes connections and says nothing does not hold up the end of a grant.
func TestSilentVCenter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	reached := make(chan struct{})
	var conns sync.WaitGroup
	defer conns.Wait()
	conns.Go(func() {
		c, err := silent.Accept()
		if err != nil {
			return
		}
		close(reached)
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	})
	f.up.Addr = silent.Addr().String()
	g, end := f.open(t, "one")
	s := &script{Grant: g}
	failed := make(chan error, 1)
	c := s.soapClient(t)
	go func() { _, err := methods.GetCurrentTime(context.Background(), c); failed <- err }()
	wait(t, reached, "the broker's call")
	end()
	if err := wait(t, failed, "the end of the call"); err == nil {
		t.Error("a call was answered by nobody")
	}
}
