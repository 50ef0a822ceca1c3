package sandbox

import (
	"fmt"
	"net/netip"
	"strings"
)

// names are the hosts that a room knows, and their addresses: an IPv4 address is its own, a name gets one of
// 198.18.0.0/15, which belongs to nobody (RFC 2544).
type names struct {
	aliases map[string]string // in lower case, as all names here
	hosts   []string
	address map[string]netip.Addr
	next    netip.Addr
}

func newNames(aliases map[string]string) *names {
	n := &names{aliases: map[string]string{}, address: map[string]netip.Addr{}, next: netip.AddrFrom4([4]byte{198, 18, 0, 1})}
	for alias, host := range aliases {
		n.aliases[strings.ToLower(alias)] = strings.ToLower(host)
	}
	return n
}

// of is the address of a host.
func (n *names) of(host string) (netip.Addr, error) {
	host = strings.ToLower(host)
	if real, ok := n.aliases[host]; ok && real != "" {
		host = real
	}
	if a, ok := n.address[host]; ok {
		return a, nil
	}
	a, err := netip.ParseAddr(host)
	switch {
	case err == nil && !a.Is4():
		return a, fmt.Errorf("a room has IPv4 addresses only, not %s", host)
	case err != nil && !hostName(host):
		return a, fmt.Errorf("%q is no host name", host)
	case err != nil:
		a, n.next = n.next, n.next.Next()
	}
	n.hosts = append(n.hosts, host)
	n.address[host] = a
	return a, nil
}

// hostName says whether a name can stand in /etc/hosts.
func hostName(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-._") == ""
}

// file is /etc/hosts: hosts(5).
func (n *names) file() string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n")
	for _, host := range n.hosts {
		a := n.address[host]
		all := []string{a.String()}
		if host != a.String() {
			all = append(all, host)
		}
		for alias, real := range n.aliases {
			if real == host && alias != host && hostName(alias) {
				all = append(all, alias)
			}
		}
		if len(all) > 1 {
			fmt.Fprintln(&b, strings.Join(all, " "))
		}
	}
	return b.String()
}
