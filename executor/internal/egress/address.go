package egress

import "net/netip"

// kind is what sort of address one is.
type kind string

const (
	public      kind = "public"
	unspecified kind = "unspecified"
	loopback    kind = "loopback"
	linkLocal   kind = "link-local"
	multicast   kind = "multicast"
	metadata    kind = "metadata service"
	private     kind = "private"
	reserved    kind = "reserved"
)

// local says whether an address of the kind means the machine that it is dialled from, or its own link, so that no
// name should lead there.
func (k kind) local() bool {
	return k == unspecified || k == loopback || k == linkLocal || k == multicast || k == metadata
}

// kinds are the ranges that are not public, the first that holds an address says what it is. The source are IANA's
// registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890), and what clouds use as addresses of their
// metadata services: most are link-local or private, these are those that would be public.
var kinds = []struct {
	in netip.Prefix
	is kind
}{
	{netip.MustParsePrefix("168.63.129.16/32"), metadata}, // Azure
	{netip.MustParsePrefix("0.0.0.0/8"), unspecified},     // Linux takes 0.0.0.0 for loopback
	{netip.MustParsePrefix("10.0.0.0/8"), private},
	{netip.MustParsePrefix("100.64.0.0/10"), private}, // carrier-grade NAT
	{netip.MustParsePrefix("127.0.0.0/8"), loopback},
	{netip.MustParsePrefix("169.254.0.0/16"), linkLocal},
	{netip.MustParsePrefix("172.16.0.0/12"), private},
	{netip.MustParsePrefix("192.0.0.0/24"), reserved}, // protocol assignments; a metadata service too
	{netip.MustParsePrefix("192.0.2.0/24"), reserved},
	{netip.MustParsePrefix("192.88.99.0/24"), reserved}, // 6to4 relays
	{netip.MustParsePrefix("192.168.0.0/16"), private},
	{netip.MustParsePrefix("198.18.0.0/15"), reserved}, // benchmarks
	{netip.MustParsePrefix("198.51.100.0/24"), reserved},
	{netip.MustParsePrefix("203.0.113.0/24"), reserved},
	{netip.MustParsePrefix("224.0.0.0/4"), multicast},
	{netip.MustParsePrefix("240.0.0.0/4"), reserved}, // broadcast included

	{netip.MustParsePrefix("::/128"), unspecified},
	{netip.MustParsePrefix("::1/128"), loopback},
	{netip.MustParsePrefix("fc00::/7"), private}, // unique local
	{netip.MustParsePrefix("fe80::/10"), linkLocal},
	{netip.MustParsePrefix("fec0::/10"), private}, // site-local
	{netip.MustParsePrefix("ff00::/8"), multicast},
	{netip.MustParsePrefix("2001::/23"), reserved}, // protocol assignments, Teredo and ORCHID included
	{netip.MustParsePrefix("2001:db8::/32"), reserved},
	{netip.MustParsePrefix("2002::/16"), reserved}, // 6to4: an IPv4 address is inside
	{netip.MustParsePrefix("3fff::/20"), reserved},
	{netip.MustParsePrefix("2000::/3"), public},
	{netip.MustParsePrefix("::/0"), reserved}, // not given out, or IPv4 addresses in disguise
}

// nat64 is the prefix under which a translator reaches IPv4 (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// kindOf says of what kind an address is.
func kindOf(ip netip.Addr) kind {
	ip = ip.Unmap()
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	for _, k := range kinds {
		if k.in.Contains(ip.WithZone("")) {
			return k.is
		}
	}
	return public
}
