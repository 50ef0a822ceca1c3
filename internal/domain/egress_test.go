package domain_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
)

func TestEgress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"none": "none", " internet ": "internet", "Example.COM.:443": "example.com:443",
		"a:1, b:2,a:1,A.:1": "a:1,b:2", "[::1]:80,[::FFFF:10.0.0.1]:8080,10.0.0.2:1": "[::1]:80,10.0.0.1:8080,10.0.0.2:1",
		"my_host.x-n--y.example:65535": "my_host.x-n--y.example:65535",
	} {
		e, err := domain.ParseEgress(in)
		if err != nil || e.String() != want {
			t.Errorf("%q reads %q, %v", in, e, err)
		}
		if again, err := domain.ParseEgress(e.String()); err != nil || !slices.Equal(again.To, e.To) || again.Internet != e.Internet {
			t.Errorf("%q does not come back: %+v, %v", e, again, err)
		}
	}
	if zero := (domain.Egress{}); zero.String() != "none" {
		t.Errorf("the zero value is %s", zero)
	}
	var many []string
	for n := range domain.MaxDestinations + 1 {
		many = append(many, fmt.Sprintf("h%d:1", n))
	}
	for _, bad := range []string{
		"", ",", "a", "a:", ":1", "a:0", "a:65536", "a:+1", "a:-1", "a:1x", "a:1,", "none,a:1", "internet,a:1", "None", "*:1", "*.a:1",
		"a b:1", "a..b:1", ".a:1", "a..:1", "-a:1", "a-:1", "a/b:1", "u@a:1", "http://a:1", "::1:80", "[a]:1", "[10.0.0.1]:1", "[fe80::1%eth0]:1",
		"2130706433:1", "0177.0.0.1:1", "0x7f.1:1", "127.1:1", "1.2.3.4.:1", "1.2.3.4.5:1", "0x7f000001:1", "a.0x:1", "10.0.0.256:1", "a:1\n,b:1x", "ü:1", "a%2e:1", "a\x00:1",
		strings.Repeat("a", 64) + ":1", strings.Repeat("a.", 127) + "a:1", strings.Join(many, ","),
	} {
		if e, err := domain.ParseEgress(bad); err == nil {
			t.Errorf("%q was read as %s", bad, e)
		}
	}
}

// What is read is printed in one form only, and that form reads the same.
func FuzzParseDestination(f *testing.F) {
	for _, s := range []string{"a:1", "A.:1", "[::1]:443", "[::ffff:1.2.3.4]:80", "0x7f.1:1", "10.0.0.1:01", "[fe80::1%25x]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := domain.ParseDestination(s)
		if err != nil {
			return
		}
		again, err := domain.ParseDestination(d.String())
		if err != nil || again != d || strings.ToLower(d.Host) != d.Host || strings.HasSuffix(d.Host, ".") || d.Port == 0 {
			t.Fatalf("%q reads %+v, which reads %+v, %v", s, d, again, err)
		}
		if ip, ok := d.Addr(); ok && (ip.Is4In6() || ip.Zone() != "" || ip.String() != d.Host) {
			t.Fatalf("%q reads the address %s", s, ip)
		}
	})
}
