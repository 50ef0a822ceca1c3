package egress_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor/internal/egress"
	"github.com/airlock-run/airlock/internal/domain"
)

func hello(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "hello %s%s from %s", r.URL.Path, r.URL.RawQuery, r.Host)
}

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestInternet(t *testing.T) {
	t.Parallel()
	secure, plain := httptest.NewTLSServer(http.HandlerFunc(hello)), httptest.NewServer(http.HandlerFunc(hello))
	defer secure.Close()
	defer plain.Close()
	f := start(t, "internet", secure.Listener.Addr().String())
	f.zone.set(map[string][]string{"mirror.test": {"2606:4700::1111 10.1.2.3 93.184.215.14"}})
	script := f.client(secure)
	if code, body := get(t, script, "https://mirror.test/x?a=b;c"); code != 200 || body != "hello /xa=b;c from mirror.test" {
		t.Errorf("%d %s", code, body)
	}
	if got := f.dials(); len(got) != 1 || got[0] != "93.184.215.14:443" && got[0] != "[2606:4700::1111]:443" {
		t.Errorf("it dialled %v", got)
	}
	f.event("egress/connect mirror.test:443 ok 127.0.0.1:")
	script.CloseIdleConnections()
	if e := f.event("egress/close mirror.test:443 ok "); strings.Contains(e, " 0 bytes") {
		t.Errorf("nothing was counted: %s", e)
	}

	f = start(t, "internet", plain.Listener.Addr().String())
	f.zone.set(map[string][]string{"mirror.test": {"93.184.215.14"}})
	for url, host := range map[string]string{
		"http://mirror.test/x?a=b;c": "mirror.test", "http://MIRROR.test.:8080/x?a=b;c": "mirror.test:8080",
		"http://1.2.3.4/x?a=b;c": "1.2.3.4", "http://[2606:4700::1]/x?a=b;c": "[2606:4700::1]",
	} {
		if code, body := get(t, f.client(nil), url); code != 200 || body != "hello /xa=b;c from "+host {
			t.Errorf("%s: %d %s", url, code, body)
		}
	}
	if code, body := get(t, f.client(nil), "http://missing.test/"); code != 502 || !strings.Contains(body, "missing.test:80") || !strings.Contains(body, "no such host") {
		t.Errorf("%d %s", code, body)
	}
	f.event("egress/connect missing.test:80 unreachable")
}

// What a request says of itself leads nowhere but to the host that was checked.
func TestHostHeaderIsNotBelieved(t *testing.T) {
	t.Parallel()
	seen := make(chan *http.Request, 1)
	plain := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r }))
	defer plain.Close()
	f := start(t, "mirror.test:80", plain.Listener.Addr().String())
	f.zone.set(map[string][]string{"mirror.test": {"93.184.215.14"}})
	status, _ := f.raw("GET http://mirror.test/ HTTP/1.1\r\nHost: internal.test\r\nConnection: upgrade, X-Drop\r\nUpgrade: websocket\r\nX-Drop: 1\r\nProxy-Authorization: Basic eDp5\r\n\r\n")
	r := <-seen
	if status != "200 OK" || r.Host != "mirror.test" {
		t.Errorf("%s, the server saw the host %s", status, r.Host)
	}
	for _, h := range []string{"Upgrade", "X-Drop", "Proxy-Authorization", "X-Forwarded-For", "Forwarded", "Via"} {
		if v := r.Header.Get(h); v != "" {
			t.Errorf("%s: %s reached the server", h, v)
		}
	}
}

func TestNone(t *testing.T) {
	t.Parallel()
	f := start(t, "none", "")
	const want = "Airlock does not connect to mirror.test:443: the setting egress of the private cloud sddc1 is none; ask the provider to add mirror.test:443."
	if _, got := get(t, f.client(nil), "https://mirror.test/"); !strings.Contains(got, want) {
		t.Errorf("a script's client says %s", got)
	}
	if code, got := get(t, f.client(nil), "http://mirror.test/"); code != 403 || got != strings.ReplaceAll(want, ":443", ":80")+"\n" {
		t.Errorf("%d %s", code, got)
	}
	f.event("egress/refused mirror.test:443 policy")
	if n := f.zone.asked(""); n > 0 {
		t.Errorf("%d names were looked up", n)
	}
	if got := f.dials(); len(got) > 0 {
		t.Errorf("it dialled %v", got)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(hello))
	defer server.Close()
	addr := server.Listener.Addr().String()
	f := start(t, "mirror.test:80,proxy.test:3128,loops.test:80,meta.test:80,link.test:80,"+addr, "")
	f.zone.set(map[string][]string{
		"loops.test": {"127.0.0.1 ::1"}, "meta.test": {"168.63.129.16"}, "link.test": {"169.254.169.254 fe80::1"},
	})
	if code, body := get(t, f.client(nil), "http://"+addr+"/x"); code != 200 || body != "hello /x from "+addr {
		t.Errorf("an address that is listed: %d %s", code, body)
	}
	_, port, _ := net.SplitHostPort(addr)
	for to, rule := range map[string]string{
		"mirror.test:81": "policy", "mirror.test:443": "policy", "other.test:80": "policy", "x.mirror.test:80": "policy", "test:80": "policy",
		"127.0.0.2:" + port: "policy", "localhost:" + port: "policy",
		"loops.test:80": "address", "meta.test:80": "address", "link.test:80": "address",
	} {
		status, body := f.raw(connect(to))
		if !strings.HasPrefix(status, "403 Airlock does not connect to "+to+": ") || !strings.Contains(status, "egress") || !strings.Contains(status, "sddc1") || body != status[4:]+"\n" {
			t.Errorf("%s: %s / %s", to, status, body)
		}
		f.event("egress/refused " + to + " " + rule)
	}
	if got := f.dials(); !slices.Equal(got, []string{addr}) {
		t.Errorf("it dialled %v", got)
	}
}

// A name that is listed may lead into a private network: it is what the provider has named.
func TestListLeadsToPrivateNetworks(t *testing.T) {
	t.Parallel()
	f := start(t, "mirror.test:443", echo(t))
	f.zone.set(map[string][]string{"mirror.test": {"10.1.2.3"}})
	if status, _ := f.raw(connect("Mirror.TEST.:443")); status != "200 Connected by Airlock" {
		t.Error(status)
	}
	if got := f.dials(); !slices.Equal(got, []string{"10.1.2.3:443"}) {
		t.Errorf("it dialled %v", got)
	}
}

func TestAirlockItself(t *testing.T) {
	t.Parallel()
	at := netip.MustParseAddrPort(echo(t))
	everywhere := netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port())
	for _, own := range []netip.AddrPort{at, everywhere, netip.AddrPortFrom(netip.AddrFrom16(at.Addr().As16()), at.Port())} {
		f := start(t, at.String()+",1.2.3.4:"+fmt.Sprint(at.Port()), at.String(), func(c *egress.Config) { c.Own = []netip.AddrPort{own} })
		if status, _ := f.raw(connect(at.String())); !strings.HasPrefix(status, "403 ") || !strings.Contains(status, "Airlock itself listens there") {
			t.Errorf("at %s: %s", own, status)
		}
		f.event("egress/refused " + at.String() + " airlock")
		if status, _ := f.raw(connect(fmt.Sprint("1.2.3.4:", at.Port()))); !strings.HasPrefix(status, "200 ") {
			t.Errorf("another machine's port: %s", status)
		}
	}
}

// A name that says something else when it is asked again gains nothing: it is asked once.
func TestRebinding(t *testing.T) {
	t.Parallel()
	f := start(t, "internet", echo(t))
	f.zone.set(map[string][]string{"rebind.test": {"93.184.215.14", "127.0.0.1"}})
	if status, _ := f.raw(connect("rebind.test:443")); !strings.HasPrefix(status, "200 ") {
		t.Fatal(status)
	}
	if got := f.dials(); !slices.Equal(got, []string{"93.184.215.14:443"}) || f.zone.asked("rebind.test") != 1 {
		t.Errorf("it dialled %v after %d questions", got, f.zone.asked("rebind.test"))
	}
	if status, _ := f.raw(connect("rebind.test:443")); !strings.Contains(status, "loopback") {
		t.Errorf("the second answer: %s", status)
	}
}

// Whatever a hostile script asks for with the policy internet, no address is dialled but public ones.
func TestHostile(t *testing.T) {
	t.Parallel()
	f := start(t, "internet", echo(t))
	f.zone.set(map[string][]string{
		"localhost": {"127.0.0.1"}, "private.test": {"10.0.0.1 172.16.0.1 192.168.0.1 100.64.0.1 fd00::1"}, "loop.test": {"127.0.0.1 ::1 0.0.0.0 ::"},
		"mapped.test": {"::ffff:127.0.0.1"}, "nat64.test": {"64:ff9b::a00:1"}, "both.test": {"127.0.0.1 93.184.215.14"}, "good.test": {"93.184.215.14"},
	})
	machine := "127.0.0.1"
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if ip := netip.MustParsePrefix(a.String()).Addr(); ip.Is4() && !ip.IsLoopback() {
				machine = ip.String()
			}
		}
	}
	for to, want := range map[string]string{
		"127.0.0.1:443": "loopback", "127.9.9.9:443": "loopback", "localhost:443": "loopback", "LOCALHOST.:443": "loopback", "[::1]:443": "loopback",
		"[::ffff:127.0.0.1]:443": "loopback", "[::ffff:7f00:1]:443": "loopback", "[0:0:0:0:0:0:0:1]:443": "loopback", machine + ":443": "loopback",
		"0.0.0.0:443": "loopback", "[::]:443": "loopback", "0.1.2.3:443": "loopback",
		"10.0.0.1:443": "private", "172.31.255.255:443": "private", "192.168.1.1:443": "private", "100.100.100.200:80": "private", "[fd00:ec2::254]:80": "private", "[fec0::1]:80": "private",
		"169.254.169.254:80": "link-local", "[fe80::1]:80": "link-local", "[::ffff:a9fe:a9fe]:80": "link-local", "168.63.129.16:80": "metadata service",
		"224.0.0.1:80": "multicast", "[ff02::1]:80": "multicast", "255.255.255.255:80": "reserved", "192.0.0.192:80": "reserved", "198.18.0.1:80": "reserved", "240.0.0.1:1": "reserved",
		"[64:ff9b::7f00:1]:80": "loopback", "[64:ff9b::a9fe:a9fe]:80": "link-local", "[64:ff9b:1::1]:80": "reserved", "[2002:7f00:1::]:80": "reserved", "[2001:0:1::]:80": "reserved",
		"[::127.0.0.1]:80": "reserved", "[::ffff:0:7f00:1]:80": "reserved",
		"private.test:443": "private", "loop.test:443": "loopback", "mapped.test:80": "loopback", "nat64.test:80": "private",

		"2130706433:443": "neither", "0177.0.0.1:443": "neither", "0x7f.0.0.1:443": "neither", "0x7f000001:443": "neither", "127.1:443": "neither", "127.0.0.1.:443": "neither", "0:443": "neither",
		"[fe80::1%25eth0]:80": "zone", "good.test@127.0.0.1:443": "user", "127.0.0.1@good.test:443": "user", "user:pw@good.test:443": "user",
		"good.test:443/127.0.0.1": "host:port", "good.test:443?x": "host:port", "good.test:443#@127.0.0.1": "400 ", "good.test": "host:port", "good.test:": "port", "good.test:0": "port", "good.test:65979": "port", ":443": "not a host name", "[good.test]:443": "400 ",
		"good.test..:443": "not a host name", "good..test:443": "not a host name", "*:443": "not a host name", "good.test,127.0.0.1:443": "not a host name",
		"missing.test:443": "no such host", "good.test:443": "Connected", "GOOD.test.:443": "Connected", "both.test:443": "Connected",
	} {
		status, _ := f.raw(connect(to))
		if !strings.Contains(status, want) || strings.HasPrefix(status, "200 ") != (want == "Connected") {
			t.Errorf("%s: %s, want %q", to, status, want)
		}
	}
	for _, line := range []string{
		"CONNECT /good.test:443", "CONNECT http://good.test:443", "CONNECT http://good.test:443/", "GET /", "GET *", "OPTIONS *", "GET //good.test/", "GET good.test:443",
		"GET http:good.test", "GET http:///x", "GET http://user@good.test/", "GET http://good.test@127.0.0.1/", "GET http://127.0.0.1:80@good.test/",
		"GET https://good.test/", "GET ftp://good.test/", "GET file:///etc/passwd", "GET gopher://good.test/", "GET http://[::1]good.test/", "GET http://good.test:/", "GET http://good.test:x/", "GET http://good%2etest/", "GET http://127.0.0.1%00.good.test/", "GET http://good.test\\@127.0.0.1/", "GET http://0x7f.1/", "GET http://[fe80::1%25lo]/",
	} {
		status, _ := f.raw(line + " HTTP/1.1\r\nHost: good.test\r\n\r\n")
		if !strings.HasPrefix(status, "400 ") {
			t.Errorf("%s: %s", line, status)
		}
	}
	for _, bad := range []string{
		"CONNECT good.test:443\r\n\r\n", "CONNECT good.test:443 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET http://good.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "\x16\x03\x01\x00\x05hello\r\n\r\n",
		"GET http://good.test/ HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 40<<10) + "\r\n\r\n",
	} {
		if status, _ := f.raw(bad); !strings.HasPrefix(status, "4") {
			t.Errorf("%.60q: %s", bad, status)
		}
	}
	for _, got := range f.dials() {
		if got != "93.184.215.14:443" {
			t.Errorf("it dialled %s", got)
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	f := start(t, "internet", echo(t))
	var conns []net.Conn
	for range egress.MaxConnections {
		conn, r := f.send(connect("1.2.3.4:443"))
		defer conn.Close()
		if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatal(line, err)
		}
		conns = append(conns, conn)
	}
	if status, _ := f.raw(connect("1.2.3.4:443")); !strings.HasPrefix(status, "503 Airlock does not connect to 1.2.3.4:443: the script has 64 connections open") {
		t.Error(status)
	}
	conns[0].Close()
	f.event("egress/close 1.2.3.4:443")
	for {
		status, _ := f.raw(connect("1.2.3.4:443"))
		if strings.HasPrefix(status, "200 ") {
			break // the place is free a moment after the event
		}
		if !strings.HasPrefix(status, "503 ") {
			t.Fatal(status)
		}
	}
}

// What a script sends before it closes its half arrives, and so does the answer.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	f := start(t, "internet", echo(t))
	conn, r := f.send(connect("1.2.3.4:7") + "early ")
	defer conn.Close()
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatal(line, err)
	}
	if _, err := io.WriteString(conn, "late"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(r)
	if err != nil || string(all) != "\r\nearly late" {
		t.Errorf("%q, %v", all, err)
	}
	if e := f.event("egress/close"); !strings.HasSuffix(e, "10 bytes sent, 10 bytes received") {
		t.Error(e)
	}
}

func TestEnd(t *testing.T) {
	t.Parallel()
	reached, gone := make(chan struct{}, 1), make(chan struct{}, 1)
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		reached <- struct{}{}
		<-r.Context().Done()
		gone <- struct{}{}
	}))
	defer slow.Close()
	f := start(t, "internet", slow.Listener.Addr().String())
	tunnel, r := f.send(connect("1.2.3.4:443"))
	defer tunnel.Close()
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatal(line, err)
	}
	plain, _ := f.send("GET http://1.2.3.4/ HTTP/1.1\r\nHost: x\r\n\r\n")
	defer plain.Close()
	<-reached
	half, _ := f.send("GET http://1.2.")
	defer half.Close()
	f.stop()
	<-gone // before slow is closed
	for name, conn := range map[string]net.Conn{"tunnel": tunnel, "plain": plain, "half a request": half} {
		if _, err := io.ReadAll(conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s is still open", name)
		}
	}
	if n := strings.Count(strings.Join(f.events, "\n"), "egress/close"); n != 2 {
		t.Errorf("%d of 2 ends when Serve returned: %q", n, f.events)
	}
	if conn, err := net.Dial("tcp", f.addr); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
}

func TestIdle(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	done, closed := make(chan struct{}), make(chan string, 1)
	server := echo(t)
	c := egress.Config{
		Cloud: "sddc1", Policy: domain.Egress{To: []domain.Destination{must(domain.ParseDestination(server))}}, Log: slog.New(slog.DiscardHandler),
		Audit: func(action, _, _, _ string) {
			if action == "egress/close" {
				closed <- action
			}
		},
	}
	go func() { defer close(done); egress.ServeIdle(ctx, l, c, 50*time.Millisecond) }()
	defer func() { end(); <-done }()
	f := &fixture{t: t, addr: l.Addr().String()}
	conn, r := f.send(connect(server))
	defer conn.Close()
	if rest, err := io.ReadAll(r); err != nil || !strings.HasPrefix(string(rest), "HTTP/1.1 200") {
		t.Errorf("%q, %v", rest, err)
	}
	<-closed
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
