package domain

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Egress is the egress policy of a private cloud: what its scripts reach beside the private cloud itself. The zero
// value is none: nothing. Nobody reaches Airlock itself, whatever the policy says.
type Egress struct {
	Internet bool          // all that is publicly routed, and no address of another kind
	To       []Destination // exactly these; empty where Internet is set
}

// MaxDestinations bounds the list of a policy.
const MaxDestinations = 100

const (
	egressNone     = "none"
	egressInternet = "internet"
)

// ParseEgress reads a policy: none, internet, or destinations with commas between them.
func ParseEgress(s string) (Egress, error) {
	switch strings.TrimSpace(s) {
	case egressNone:
		return Egress{}, nil
	case egressInternet:
		return Egress{Internet: true}, nil
	}
	var e Egress
	for part := range strings.SplitSeq(s, ",") {
		d, err := ParseDestination(strings.TrimSpace(part))
		if err != nil {
			return Egress{}, fmt.Errorf("an egress policy is none, internet, or a list of host:port with commas between them: %w", err)
		}
		if !slices.Contains(e.To, d) {
			e.To = append(e.To, d)
		}
	}
	if len(e.To) > MaxDestinations {
		return Egress{}, fmt.Errorf("an egress policy has at most %d destinations, this one has %d", MaxDestinations, len(e.To))
	}
	return e, nil
}

// None says whether the policy opens nothing.
func (e Egress) None() bool { return !e.Internet && len(e.To) == 0 }

// String is the form that ParseEgress reads.
func (e Egress) String() string {
	switch {
	case e.Internet:
		return egressInternet
	case e.None():
		return egressNone
	}
	var parts []string
	for _, d := range e.To {
		parts = append(parts, d.String())
	}
	return strings.Join(parts, ",")
}

// Destination is a host and a port of TCP, in the one form in which it is compared: a name in lower case without the
// final dot, or an address as netip prints it, an IPv4 address never mapped into IPv6.
type Destination struct {
	Host string
	Port uint16
}

// labelForm is a label of a host name (RFC 1123, section 2.1, with the underscore that is met in practice).
var labelForm = regexp.MustCompile(`^[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?$`)

// numberForm is a last label that some resolvers read as a part of an IPv4 address (inet_aton(3); the URL standard,
// "ends in a number"): 2130706433, 0177.0.0.1, 0x7f.1.
var numberForm = regexp.MustCompile(`^([0-9]+|0x[0-9a-f]*)$`)

// ParseDestination reads host:port, where an IPv6 address stands in brackets.
func ParseDestination(s string) (Destination, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.HasPrefix(s, "[") != strings.Contains(host, ":") {
		return Destination{}, fmt.Errorf("%.300q is not host:port", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return Destination{}, fmt.Errorf("%.300q has no port between 1 and 65535", s)
	}
	if host, err = canonicalHost(host); err != nil {
		return Destination{}, err
	}
	return Destination{host, uint16(n)}, nil
}

func canonicalHost(s string) (string, error) {
	if ip, err := netip.ParseAddr(s); err == nil {
		if ip.Zone() != "" {
			return "", fmt.Errorf("the address %.300q has a zone, which means something on one machine only", s)
		}
		return ip.Unmap().String(), nil
	}
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	labels := strings.Split(name, ".")
	if len(name) > 253 || slices.ContainsFunc(labels, func(l string) bool { return !labelForm.MatchString(l) }) {
		return "", fmt.Errorf("%.300q is not a host name: it has letters, digits and '-' in parts with dots between them", s)
	}
	if numberForm.MatchString(labels[len(labels)-1]) {
		return "", fmt.Errorf("%.300q is neither a host name nor an IPv4 address of four decimal numbers", s)
	}
	return name, nil
}

// Addr is the host where that is an address.
func (d Destination) Addr() (ip netip.Addr, ok bool) {
	ip, err := netip.ParseAddr(d.Host)
	return ip, err == nil
}

// String is the form that ParseDestination reads.
func (d Destination) String() string { return net.JoinHostPort(d.Host, strconv.Itoa(int(d.Port))) }
