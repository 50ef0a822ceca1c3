package executor_test

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/ca"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// isolatedHome is a home whose executor isolates scripts; a machine that cannot do so skips the test.
func isolatedHome(t *testing.T) *home {
	t.Helper()
	for _, f := range executor.Features(t.Context()) {
		if f.Needed && !f.Found {
			t.Skipf("this machine lacks %s: %s", f.Name, f.Fix)
		}
	}
	h := newHome(t)
	h.config.Isolation = executor.IsolationSandbox
	return h
}

// setEgress registers a private cloud with an egress policy.
func (h *home) setEgress(t *testing.T, n int, policy string) {
	t.Helper()
	e, err := domain.ParseEgress(policy)
	if err == nil {
		err = h.store.PutPrivateCloud(t.Context(), domain.PrivateCloud{ID: cloud(n), State: domain.CloudSucceeded, VCenter: "vc.example.test", Egress: e})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// outside starts a server on this machine, and returns two addresses of it: loopback, and one of an interface where
// there is one.
func outside(t *testing.T) (loopback, other string) {
	t.Helper()
	l, err := net.Listen("tcp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "outside") })}}
	s.Start()
	t.Cleanup(s.Close)
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip := netip.MustParsePrefix(a.String()).Addr(); ip.Is4() && !ip.IsLoopback() {
			other = netip.AddrPortFrom(ip, port).String()
		}
	}
	return fmt.Sprint("127.0.0.1:", port), other
}

// What a script in the sandbox reaches: its private cloud by its real names, through the broker, whatever the policy;
// beside it exactly what the policy opens, through the proxy.
func TestWhatAScriptReaches(t *testing.T) {
	t.Parallel()
	h := isolatedHome(t)
	pkg := h.pushTorture(t)
	loopback, other := outside(t)
	if other == "" {
		other = loopback
	}
	own := netip.MustParseAddrPort(echo(t))
	h.config.Own = []netip.AddrPort{own}
	policies := []string{"none", "internet", other + "," + own.String()}
	b := h.start(t)
	for n, policy := range policies {
		h.setEgress(t, n, policy)
		get := "https://vc.example.test/,https://vc/,http://" + other + "/"
		if policy != "internet" { // else the names would be looked up
			get += ",http://nowhere.example.test/,https://nowhere.example.test/"
		}
		x, _, err := h.store.Submit(t.Context(), tortured(pkg, n, "Test-Network",
			"Dial", "vc.example.test:443,vc:443,VC:22,vc.example.test:80,"+loopback+","+other+",10.1.2.3:443,nowhere.example.test:443",
			"Get", get, "Tunnel", strings.Join([]string{loopback, other, own.String(), "10.0.0.1:443"}, ",")))
		if err != nil {
			t.Fatal(err)
		}
		x = b.until(t, x.ID, final)
		wantSucceeded(t, x)
		said := map[string]string{}
		for _, r := range b.records(t, x.ID) {
			if what, result, ok := strings.Cut(r.Text, ": "); ok {
				said[what] = result
			}
		}
		for what, want := range map[string]string{
			"dial vc.example.test:443": "connected", "dial vc:443": "connected", "dial VC:22": "connected",
			"dial vc.example.test:80": "refused", "dial " + loopback: "refused", "dial " + other: "refused", "dial 10.1.2.3:443": "refused",
			"dial nowhere.example.test:443": "no such host",
			"get https://vc.example.test/":  "40", "get https://vc/": "40", // the broker's refusal, over TLS that the script trusts
		} {
			if !strings.Contains(said[what], want) {
				t.Errorf("%s, %s: %q, want %q", policy, what, said[what], want)
			}
		}
		wantEgress(t, policy, said, loopback, other, own.String())
		if got := b.trail.actionsOf(x.ID, "egress/refused"); len(got) < 3 {
			t.Errorf("%s: the audit has %q", policy, got)
		}
	}
	b.wantNothingLeft(t)
}

// wantEgress checks what the proxy said under a policy.
func wantEgress(t *testing.T, policy string, said map[string]string, loopback, other, own string) {
	t.Helper()
	want := map[string]string{}
	switch policy {
	case "none":
		for _, to := range []string{loopback, other, own, "10.0.0.1:443"} {
			want["tunnel "+to] = "HTTP/1.1 403 Airlock does not connect to " + to + ": the setting egress of the private cloud cloud0 is none; ask the provider to add " + to + "."
		}
		want["get https://nowhere.example.test/"] = "Airlock does not connect to nowhere.example.test:443: the setting egress of the private cloud cloud0 is none"
		want["get http://nowhere.example.test/"] = "403 Airlock does not connect to nowhere.example.test:80: the setting egress of the private cloud cloud0 is none"
	case "internet":
		for _, to := range []string{loopback, other, "10.0.0.1:443"} {
			want["tunnel "+to] = "the setting egress of the private cloud cloud1 is internet, which leads to public addresses only"
		}
		want["tunnel "+own] = "Airlock itself listens there"
	default:
		want["tunnel "+other] = "200 Connected by Airlock"
		want["tunnel "+own] = "Airlock itself listens there"
		want["tunnel 10.0.0.1:443"] = "the setting egress of the private cloud cloud2 does not list it"
		want["get http://nowhere.example.test/"] = "403 Airlock does not connect to nowhere.example.test:80: the setting egress of the private cloud cloud2 does not list it"
		want["get https://nowhere.example.test/"] = "the setting egress of the private cloud cloud2 does not list it"
		if other != loopback { // clients go to loopback addresses without a proxy
			want["tunnel "+loopback] = "the setting egress of the private cloud cloud2 does not list it"
			want["get http://"+other+"/"] = "200 outside"
		}
	}
	for what, text := range want {
		if !strings.Contains(said[what], text) {
			t.Errorf("%s, %s: %q, want %q", policy, what, said[what], text)
		}
	}
}

// echo is a listener of this machine, for an address of Airlock's own.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// actionsOf are the targets of an execution's events of one action.
func (t *trail) actionsOf(id, action string) (targets []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.events {
		if e.Execution == id && e.Action == action {
			targets = append(targets, e.Target)
		}
	}
	return targets
}

// A script that reaches other servers than Airlock's trusts the machine's authorities beside that of the execution.
func TestAuthorities(t *testing.T) {
	t.Parallel()
	own, _, err := ca.Issue(ca.Request{Name: "of an execution", Hosts: []string{"vc"}, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	all, found := executor.WithRoots(own)
	if !found {
		t.Skip("this machine has no authorities of the public web")
	}
	count := func(pem []byte) int {
		return strings.Count(string(pem), "-----BEGIN CERTIFICATE-----\n")
	}
	if n := count(all); n < count(own)+10 || !strings.HasPrefix(string(all), string(own)) {
		t.Errorf("%d certificates", n)
	}
	if pool := x509.NewCertPool(); !pool.AppendCertsFromPEM(all) {
		t.Error("they cannot be read")
	}
}

// A process that a script tries to start is refused, and everybody who should know learns of it.
func TestProcessesAreDenied(t *testing.T) {
	t.Parallel()
	h := isolatedHome(t)
	pkg := h.pushTorture(t)
	b := h.start(t)
	x := b.run(tortured(pkg, 1, "Start-Children", "Count", "1"))
	wantFailed(t, x, errors.ScriptFailed)
	if !strings.Contains(x.Failure.Message, "operation not permitted") {
		t.Errorf("the script says %q", x.Failure.Message)
	}
	records := b.records(t, x.ID)
	at := slices.IndexFunc(records, func(r domain.Record) bool {
		return r.Stream == domain.Error && strings.HasPrefix(r.Text, "Airlock: the script tried to start a process") && !strings.Contains(r.Text, "\n")
	})
	if at < 0 {
		t.Errorf("no line says so: %+v", records)
	}
	if got := b.trail.actionsOf(x.ID, "sandbox/refused"); len(got) == 0 {
		t.Error("no event says so")
	}
}

func TestBoundsOfTheRoom(t *testing.T) {
	t.Parallel()
	h := isolatedHome(t)
	h.config.Limits = executor.Limits{Memory: 256 << 20, WorkDirectory: 64 << 20}
	pkg := h.pushTorture(t)
	b := h.start(t)
	wantSucceeded(t, b.run(tortured(pkg, 1, "Use-Memory", "Megabytes", "32")))
	wantSucceeded(t, b.run(tortured(pkg, 1, "Write-Files", "Megabytes", "16")))
	x := b.run(tortured(pkg, 1, "Use-Memory", "Megabytes", "1024"))
	wantFailed(t, x, errors.OutOfMemory)
	if !strings.Contains(x.Failure.Message, "256 MiB") {
		t.Errorf("it says %q", x.Failure.Message)
	}
	x = b.run(tortured(pkg, 1, "Write-Files", "Megabytes", "4096"))
	wantFailed(t, x, errors.WorkDirectoryFull)
	if !strings.Contains(x.Failure.Message, "64 MiB") {
		t.Errorf("it says %q", x.Failure.Message)
	}
	b.wantNothingLeft(t)
}

func TestBoundsThatAreNone(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]executor.Config{
		"files":              {Limits: executor.Limits{Files: 1}},
		"memory":             {Limits: executor.Limits{Memory: -1}},
		"executions at once": {MaxRunning: -1},
		"bytes of output":    {MaxOutput: -1},
	} {
		config.Dir = t.TempDir()
		if err := executor.New(config).Run(t.Context()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
