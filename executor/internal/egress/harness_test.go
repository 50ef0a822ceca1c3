package egress_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/airlock-run/airlock/executor/internal/egress"
	"github.com/airlock-run/airlock/internal/domain"
)

// zone is a DNS server that answers from a table. Each answer is given once, the last one again and again, so that a
// name can change its mind.
type zone struct {
	mu      sync.Mutex
	names   map[string][]string // answers by name, addresses with spaces between them
	queries map[string]int      // for addresses of IPv4
}

func (z *zone) answer(name string) []netip.Addr {
	z.mu.Lock()
	defer z.mu.Unlock()
	answers := z.names[name]
	if len(answers) == 0 {
		return nil
	}
	n := min(z.queries[name], len(answers)-1)
	var all []netip.Addr
	for _, s := range strings.Fields(answers[n]) {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

// set makes the zone's names.
func (z *zone) set(names map[string][]string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.names = names
}

// asked is how often addresses of the name were asked for, of any name where it is "".
func (z *zone) asked(name string) (n int) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for asked, times := range z.queries {
		if name == "" || asked == name {
			n += times
		}
	}
	return n
}

// serveDNS starts a server for the zone and returns a resolver that asks nobody else.
func serveDNS(t testing.TB, z *zone) *net.Resolver {
	z.queries = map[string]int{}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply, err := z.reply(buf[:n]); err == nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (z *zone) reply(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil, fmt.Errorf("bad query: %w", err)
	}
	q := m.Questions[0]
	name := strings.TrimSuffix(strings.ToLower(q.Name.String()), ".")
	all := z.answer(name)
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	if len(all) == 0 {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, ip := range all {
		h := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}
		if q.Type == dnsmessage.TypeA && ip.Is4() {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: ip.As4()}})
		} else if q.Type == dnsmessage.TypeAAAA && ip.Is6() {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}})
		}
	}
	if q.Type == dnsmessage.TypeA {
		z.mu.Lock()
		z.queries[name]++
		z.mu.Unlock()
	}
	return m.Pack()
}

// fixture is a running proxy.
type fixture struct {
	t    testing.TB
	addr string
	zone *zone
	end  context.CancelFunc
	done chan struct{} // closed when Serve has returned

	mu     sync.Mutex
	dialed []string
	events []string
	heard  chan string // every event, as it comes
}

// start starts a proxy. Connections to the outside go to the server at outside, where that is not "".
func start(t testing.TB, policy, outside string, edit ...func(*egress.Config)) *fixture {
	t.Helper()
	p, err := domain.ParseEgress(policy)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, zone: new(zone), done: make(chan struct{}), heard: make(chan string, 10_000)}
	c := egress.Config{Cloud: "sddc1", Policy: p, Log: slog.New(slog.DiscardHandler), Resolver: serveDNS(t, f.zone)}
	c.Audit = func(action, target, result, detail string) {
		event := strings.TrimSpace(fmt.Sprintf("%s %s %s %s", action, target, result, detail))
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, event)
		f.heard <- event
	}
	c.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		f.mu.Lock()
		f.dialed = append(f.dialed, to.String())
		f.mu.Unlock()
		if outside == "" {
			return new(net.Dialer).DialContext(ctx, "tcp", to.String())
		}
		return new(net.Dialer).DialContext(ctx, "tcp", outside)
	}
	idle := egress.IdleTime
	for _, e := range edit {
		e(&c)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = l.Addr().String()
	ctx, end := context.WithCancel(context.Background())
	f.end = end
	go func() { defer close(f.done); egress.ServeIdle(ctx, l, c, idle) }()
	t.Cleanup(f.stop)
	return f
}

// stop ends the proxy and waits for it.
func (f *fixture) stop() {
	f.end()
	select {
	case <-f.done:
	case <-time.After(30 * time.Second):
		f.t.Fatal("the proxy does not end")
	}
}

// event waits for an event that begins so.
func (f *fixture) event(prefix string) string {
	f.t.Helper()
	for timeout := time.After(30 * time.Second); ; {
		select {
		case e := <-f.heard:
			if strings.HasPrefix(e, prefix) {
				return e
			}
		case <-timeout:
			f.t.Fatalf("no event %s among %q", prefix, f.events)
		}
	}
}

func (f *fixture) dials() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.dialed)
}

// client is one that uses the proxy as scripts do.
func (f *fixture) client(trust *httptest.Server) *http.Client {
	proxy := &url.URL{Scheme: "http", Host: f.addr}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{}}
	if trust != nil {
		transport.TLSClientConfig.RootCAs = trust.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		transport.TLSClientConfig.ServerName = "example.com" // httptest's certificate is for that
	}
	f.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// raw sends bytes and returns the status line and the body of the answer.
func (f *fixture) raw(request string) (status, body string) {
	f.t.Helper()
	conn, r := f.send(request)
	defer conn.Close()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		f.t.Fatalf("%q: %v", request, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Status, ""
	}
	b, _ := io.ReadAll(resp.Body) // a request that is too large is not read to its end: the connection is reset
	return resp.Status, string(b)
}

func (f *fixture) send(request string) (net.Conn, *bufio.Reader) {
	f.t.Helper()
	conn, err := net.Dial("tcp", f.addr)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(30 * time.Second))
	}
	if err == nil {
		_, err = io.WriteString(conn, request)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

func connect(to string) string {
	return "CONNECT " + to + " HTTP/1.1\r\nHost: x\r\n\r\n"
}

// echo is a server that sends back what it gets.
func echo(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	t.Cleanup(func() { l.Close(); conns.Wait() })
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { defer conn.Close(); _, _ = io.Copy(conn, conn) })
		}
	})
	return l.Addr().String()
}
