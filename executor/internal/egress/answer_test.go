package egress

import (
	"bufio"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
)

// What is read of a request is one destination in its one form, and never anything that stands after an @.
func FuzzTarget(f *testing.F) {
	for _, line := range []string{
		"CONNECT a:1", "CONNECT u@a:1", "CONNECT [::1]:1", "CONNECT a:1/b", "GET http://a/", "GET http://a:1/?x#y", "GET http://u:p@a/", "GET //a/", "GET http://a\\@b/", "GET http://0x7f.1/", "OPTIONS *",
	} {
		f.Add(line + " HTTP/1.1\r\nHost: h\r\n\r\n")
	}
	f.Fuzz(func(t *testing.T, request string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request)))
		if err != nil {
			return
		}
		d, err := target(r)
		if err != nil {
			return
		}
		if again, err := domain.ParseDestination(d.String()); err != nil || again != d {
			t.Fatalf("%q leads to %v, which reads %v, %v", request, d, again, err)
		}
		if r.URL.User != nil || r.Method == "CONNECT" && r.URL.Path != "" || r.Method != "CONNECT" && r.URL.Scheme != "http" {
			t.Fatalf("%q leads to %v", request, d)
		}
		first, _, _ := strings.Cut(request, "\n")
		if ip, literal := d.Addr(); !literal && !strings.Contains(strings.ToLower(first), d.Host) || literal && !ip.IsValid() {
			t.Fatalf("%q leads to %v", request, d)
		}
	})
}

func TestKinds(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]kind{
		"1.1.1.1": public, "9.255.255.255": public, "11.0.0.0": public, "100.63.255.255": public, "100.128.0.0": public, "172.15.255.255": public, "172.32.0.0": public,
		"192.167.255.255": public, "192.169.0.0": public, "169.253.255.255": public, "169.255.0.0": public, "198.17.255.255": public, "198.20.0.0": public, "223.255.255.255": public,
		"2606:4700::1": public, "2001:200::1": public, "2a00::1": public, "64:ff9b::101:101": public, "::ffff:1.1.1.1": public,
		"fe80::1%eth0": linkLocal, "4000::": reserved, "1fff::": reserved, "64:ff9b::1:0:0:1": reserved, "::ffff:10.0.0.1": private,
	} {
		if got := kindOf(netip.MustParseAddr(s)); got != want {
			t.Errorf("%s is %s, want %s", s, got, want)
		}
	}
}

// A machine may have a public address: with the policy internet it is as far away as loopback.
func TestTheMachineIsNotTheInternet(t *testing.T) {
	t.Parallel()
	const at = "93.184.215.14:22"
	d, err := domain.ParseDestination(at)
	if err != nil {
		t.Fatal(err)
	}
	to := netip.MustParseAddrPort(at)
	for _, machine := range []bool{true, false} {
		p := &proxy{c: Config{Policy: domain.Egress{Internet: true}}, machine: func(netip.Addr) bool { return machine }}
		if no := p.check(to.Addr(), d, true); (no != nil) != machine {
			t.Errorf("of this machine %v: %v", machine, no)
		}
		p.c.Own = []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), 22)}
		p.c.Policy = domain.Egress{To: []domain.Destination{d}}
		if no := p.check(to.Addr(), d, true); (no != nil) != machine {
			t.Errorf("a list, of this machine %v: %v", machine, no)
		}
	}
}
