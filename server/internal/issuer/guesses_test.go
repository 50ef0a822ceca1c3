package issuer

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func source(n int) netip.Prefix {
	return sourceOf(fmt.Sprintf("10.%d.%d.%d:1234", n>>16, n>>8&0xff, n&0xff))
}

func wrong() bool { return false }

// tries says how many wrong secrets a source can try for a client before it has to wait.
func (g *guesses) tries(from netip.Prefix, client string, at time.Time) (n int) {
	for ; ; n++ {
		if g.try(from, client, at, wrong) > 0 {
			return n
		}
	}
}

func TestGuessingIsSlow(t *testing.T) {
	t.Parallel()
	g := newGuesses()
	if n := g.tries(source(1), "c", now); n != 10 {
		t.Errorf("%d guesses for one client", n)
	}
	if wait := g.try(source(1), "c", now, wrong); wait != 10*time.Second {
		t.Errorf("the next one is possible after %v", wait)
	}
	if n := g.tries(source(1), "c", now.Add(10*time.Second)); n != 1 {
		t.Errorf("%d guesses after 10 s", n)
	}
	if n := g.tries(source(1), "d", now); n != 10 {
		t.Errorf("%d guesses for another client", n)
	}
	all := 0
	for c := range 100 {
		all += g.tries(source(2), fmt.Sprint("c", c), now)
	}
	if all != 60 {
		t.Errorf("%d guesses for many clients from one source", all)
	}
}

// While many guess for a client, each of them has fewer guesses; who has the right secret, elsewhere, notices nothing.
func TestNobodyIsLockedOutByStrangers(t *testing.T) {
	t.Parallel()
	g := newGuesses()
	for n := range 3 {
		if n := g.tries(source(n), "c", now); n != 10 {
			t.Errorf("%d guesses of an early one", n)
		}
	}
	for n := range 100 {
		if n := g.tries(source(100+n), "c", now); n != 4 {
			t.Errorf("%d guesses of a late one", n)
		}
	}
	for range 1000 {
		if g.try(source(1000), "c", now, func() bool { return true }) > 0 {
			t.Fatal("the right secret has to wait")
		}
	}
	if n := g.tries(source(1001), "d", now); n != 10 {
		t.Errorf("%d guesses for a client that nobody attacks", n)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	g := newGuesses()
	g.tries(source(0), "first", now)
	for n := range 3 * mostBuckets {
		g.try(source(n+1), fmt.Sprint(n), now, wrong)
		if n%1000 == 0 && g.tries(source(0), "first", now) != 0 { // who goes on is not forgotten
			t.Fatal("the buckets in use went")
		}
	}
	if len(g.buckets) != mostBuckets || g.recent.Len() != mostBuckets {
		t.Errorf("%d buckets", len(g.buckets))
	}
}

func TestSourceOf(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"192.0.2.7:99": "192.0.2.7/32", "[::ffff:192.0.2.7]:99": "192.0.2.7/32", "[2001:db8:1:2:3::4]:99": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:99": "fe80::/64", "": "invalid Prefix", "pipe": "invalid Prefix",
	} {
		if got := sourceOf(remote).String(); got != want {
			t.Errorf("%q is of %s, want %s", remote, got, want)
		}
	}
}
