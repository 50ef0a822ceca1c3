package sessions_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions"
	"github.com/airlock-run/airlock/sessions/simcloud"
)

// patience is how long a test waits for what should come at once, on a machine that others use too.
const patience = 20 * time.Second

// fixture is a simulated private cloud and a broker that knows how to reach it.
type fixture struct {
	cloud  *simcloud.Cloud
	up     sessions.Upstream
	broker *sessions.Broker
	events *events
	listen domain.Listen
}

// Upstream implements sessions.Clouds.
func (f *fixture) Upstream(context.Context, domain.CloudID) (sessions.Upstream, error) {
	return f.up, nil
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	cloud, err := simcloud.Start(t.Context(), simcloud.Config{Name: "sddc1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &fixture{cloud: cloud, up: upstream(cloud), events: &events{}, listen: loopback}
	f.broker = sessions.New(f, slog.New(slog.DiscardHandler))
	return f
}

// upstream is what the wiring makes of a simulated private cloud.
func upstream(c *simcloud.Cloud) sessions.Upstream {
	vc := c.VCenter()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(vc.CA)
	up := sessions.Upstream{VCenter: vc.FQDN, Addr: vc.Addr, RootCAs: pool, User: vc.User, Password: known(vc.Password)}
	for _, e := range c.SSH() {
		up.SSH = append(up.SSH, sessions.SSHHost{Name: e.Name, Addr: e.Addr, User: e.User, Password: known(e.Password), HostKey: e.HostKey})
	}
	return up
}

func known(s secret.Text) func(context.Context) (secret.Text, error) {
	return func(context.Context) (secret.Text, error) { return s, nil }
}

// loopback is the executor's part: a loopback port for each host.
func loopback(string, int) (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// open opens a grant that ends with the test, or with the returned function, which waits until nothing is left.
func (f *fixture) open(t testing.TB, id string) (domain.Grant, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	x := domain.Execution{ID: id, Cloud: domain.CloudID{Subscription: "s", ResourceGroup: "g", Name: "sddc1"}}
	g, err := f.broker.Open(ctx, x, f.listen, f.events)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		cancel()
		wait(t, g.Done, "the end of the grant")
	})
	t.Cleanup(end)
	return g, end
}

// nothingLeft checks that the private cloud has no session of the broker's any more. It logged out; that its SSH
// connections are closed takes the hosts a moment to see.
func (f *fixture) nothingLeft(t testing.TB) {
	t.Helper()
	if n := f.cloud.Open().Sessions; n != 0 {
		t.Errorf("%d sessions of vCenter are left after the grant's end", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := f.cloud.WaitIdle(ctx); err != nil {
		t.Errorf("%+v are left open after the grant's end: %v", f.cloud.Open(), err)
	}
}

func wait[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %s for %s", patience, what)
		panic("not reached")
	}
}

// events keeps what is audited.
type events struct {
	mu  sync.Mutex
	all []audit.Event
}

func (e *events) Write(_ context.Context, ev audit.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

// list is what there is now.
func (e *events) list() []audit.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

// has says whether there is an event with action, result, and target, host, method and detail that contain the words.
func (e *events) has(action, result string, words ...string) bool {
	return e.count(action, result, words...) > 0
}

func (e *events) count(action, result string, words ...string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, ev := range e.all {
		hit := ev.Action == action && ev.Result == result
		for _, w := range words {
			hit = hit && strings.Contains(ev.Target+" "+ev.Host+" "+ev.Method+" "+ev.Detail, w)
		}
		if hit {
			n++
		}
	}
	return n
}

// bytesSeen keeps all that a script received, decrypted.
type bytesSeen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// seen is a connection whose reads are kept.
type seen struct {
	net.Conn
	to *bytesSeen
}

func (c seen) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	_, _ = c.to.Write(p[:n])
	return n, err
}

func (b *bytesSeen) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *bytesSeen) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// refusals are the rules that have refused calls, in their order.
func (e *events) refusals() (rules []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.all {
		if ev.Action == "vcenter/refused" {
			rules = append(rules, ev.Result)
		}
	}
	return rules
}
