package issuer

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Wrong secrets are counted in buckets that fill again with time. One of a source address, and one of a source and a
// client together: who has emptied either waits. One of a client alone: while strangers keep it empty, a guess for that
// client costs its source threefold, so that many sources do not make many guesses. A right secret costs nothing: a
// client elsewhere notices none of this.
var (
	perSource = allowance{60, time.Second}
	perPair   = allowance{10, 10 * time.Second}
	perClient = allowance{30, 2 * time.Second}
)

const underAttack = 3

// allowance is a bucket's size, and the time in which it gets one more.
type allowance struct {
	burst float64
	every time.Duration
}

// mostBuckets bounds the memory: some 3 MB. The bucket that was used the longest time ago goes first.
const mostBuckets = 10_000

// guesses slows down who guesses secrets.
type guesses struct {
	mu      sync.Mutex
	buckets map[bucketKey]*list.Element
	recent  *list.List // of *bucket, the last used first
}

type bucketKey struct {
	of     *allowance
	source netip.Prefix
	client string
}

type bucket struct {
	key  bucketKey
	left float64
	at   time.Time
}

func newGuesses() *guesses {
	return &guesses{buckets: map[bucketKey]*list.Element{}, recent: list.New()}
}

// sourceOf is what counts as one source: an address, of IPv6 the network that one customer has.
func sourceOf(remote string) netip.Prefix {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	address = address.Unmap().WithZone("")
	bits := 32
	if address.Is6() {
		bits = 64
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// try asks right, unless there were too many wrong secrets: then it says how long to wait. It asks one at a time, so that
// many guesses at once are no more than one after the other, and many that are right never wait.
func (g *guesses) try(source netip.Prefix, client string, now time.Time, right func() bool) (wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ofSource := g.bucket(bucketKey{&perSource, source, ""}, now)
	ofPair := g.bucket(bucketKey{&perPair, source, client}, now)
	if wait = max(ofSource.wait(), ofPair.wait()); wait > 0 || right() {
		return wait
	}
	ofSource.left--
	if ofClient := g.bucket(bucketKey{&perClient, netip.Prefix{}, client}, now); ofClient.left >= 1 {
		ofClient.left--
		ofPair.left--
	} else {
		ofPair.left -= underAttack
	}
	return 0
}

// bucket is the one with the key, as full as it is by now.
func (g *guesses) bucket(key bucketKey, now time.Time) *bucket {
	if e, there := g.buckets[key]; there {
		g.recent.MoveToFront(e)
		b := e.Value.(*bucket)
		if passed := now.Sub(b.at); passed > 0 {
			b.left = min(b.left+float64(passed)/float64(key.of.every), key.of.burst)
			b.at = now
		}
		return b
	}
	if g.recent.Len() >= mostBuckets {
		oldest := g.recent.Back()
		delete(g.buckets, oldest.Value.(*bucket).key)
		g.recent.Remove(oldest)
	}
	b := &bucket{key, key.of.burst, now}
	g.buckets[key] = g.recent.PushFront(b)
	return b
}

// wait is the time until the bucket has one, 0 where it has.
func (b *bucket) wait() time.Duration {
	if b.left >= 1 {
		return 0
	}
	return time.Duration((1 - b.left) * float64(b.key.of.every))
}
