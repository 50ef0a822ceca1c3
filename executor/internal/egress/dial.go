package egress

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// dial connects to a destination that the policy opens. Every connection, and every one that is refused, is audited.
func (p *proxy) dial(ctx context.Context, d domain.Destination) (*outside, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	addresses, err := p.resolve(ctx, d)
	if no, refused := errors.AsType[*refusal](err); refused {
		p.c.Audit("egress/refused", d.String(), no.rule, "")
		return nil, err
	}
	var conn net.Conn
	for _, ip := range addresses {
		if conn, err = p.c.Dial(ctx, netip.AddrPortFrom(ip, d.Port)); err == nil {
			break
		}
	}
	if err != nil {
		p.c.Audit("egress/connect", d.String(), "unreachable", "")
		return nil, err
	}
	to := conn.RemoteAddr().String()
	p.c.Audit("egress/connect", d.String(), ok, to)
	return &outside{Conn: conn, closed: func(sent, received int64) {
		p.c.Audit("egress/close", d.String(), ok, fmt.Sprintf("%s, %d bytes sent, %d bytes received", to, sent, received))
	}}, nil
}

// dialMachine connects to an address, which no resolver sees any more.
func dialMachine(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTime / 3} // the next address may answer
	return dialer.DialContext(ctx, "tcp", to.String())
}

// resolve returns the addresses of a destination that may be dialled, at least one.
func (p *proxy) resolve(ctx context.Context, d domain.Destination) ([]netip.Addr, error) {
	if !p.c.Policy.Internet && !slices.Contains(p.c.Policy.To, d) {
		setting := "does not list it"
		if p.c.Policy.None() {
			setting = "is none"
		}
		return nil, p.refuse("policy", d, fmt.Sprintf("the setting egress of the private cloud %s %s; ask the provider to add %s", p.c.Cloud, setting, d))
	}
	ip, literal := d.Addr()
	if literal {
		if no := p.check(ip, d, true); no != nil {
			return nil, no
		}
		return []netip.Addr{ip}, nil
	}
	// The final dot leaves out search domains: the name is the one that the policy was asked about.
	found, err := p.c.Resolver.LookupNetIP(ctx, "ip", d.Host+".")
	if err != nil {
		return nil, err
	}
	var may []netip.Addr
	var last error
	for _, ip := range found {
		if no := p.check(ip.Unmap(), d, false); no != nil {
			last = no
			continue
		}
		may = append(may, ip.Unmap())
	}
	if len(may) == 0 {
		return nil, last
	}
	return may, nil
}

// check says why an address of the destination may not be dialled, nil where it may. literal says that the
// destination was named by that address.
func (p *proxy) check(ip netip.Addr, d domain.Destination, literal bool) error {
	k := kindOf(ip)
	machine := p.machine(ip)
	switch {
	case p.own(netip.AddrPortFrom(ip, d.Port), machine):
		return p.refuse("airlock", d, fmt.Sprintf("Airlock itself listens there, which no setting egress of the private cloud %s opens", p.c.Cloud))
	case p.c.Policy.Internet && (k != public || machine):
		if machine {
			k = loopback
		}
		return p.refuse("address", d, fmt.Sprintf("its address is of the kind %s, and the setting egress of the private cloud %s is internet, which leads to public addresses only; ask the provider for a list that names what is needed", k, p.c.Cloud))
	case k == unspecified || !literal && k.local():
		return p.refuse("address", d, fmt.Sprintf("its address is of the kind %s, to which a name in the setting egress of the private cloud %s does not lead; ask the provider to list the address itself", k, p.c.Cloud))
	}
	return nil
}

// own says whether Airlock listens there.
func (p *proxy) own(to netip.AddrPort, machine bool) bool {
	for _, at := range p.c.Own {
		if at.Port() == to.Port() && (at.Addr().Unmap() == to.Addr() || at.Addr().IsUnspecified() && machine) {
			return true
		}
	}
	return false
}

// machineHas says whether an address leads to this machine. Where that cannot be found out, it does.
func machineHas(ip netip.Addr) bool {
	if k := kindOf(ip); k == loopback || k == unspecified {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	return err != nil || slices.ContainsFunc(addrs, func(a net.Addr) bool {
		n, isNet := a.(*net.IPNet)
		if !isNet {
			return false
		}
		of, valid := netip.AddrFromSlice(n.IP)
		return valid && of.Unmap() == ip
	})
}

// refusal is the answer to a request that leads nowhere.
type refusal struct {
	status  int
	rule    string // for the audit
	message string // one sentence for the script's author, in ASCII
}

func (r *refusal) Error() string { return r.message }

func (p *proxy) refuse(rule string, d domain.Destination, why string) *refusal {
	return &refusal{http.StatusForbidden, rule, fmt.Sprintf("Airlock does not connect to %s: %s.", d, why)}
}

// outside is a connection to a destination. It counts what passes, and says so once when it is closed.
type outside struct {
	net.Conn
	sent, received atomic.Int64
	once           sync.Once
	closed         func(sent, received int64)
}

func (o *outside) Read(b []byte) (int, error) {
	n, err := o.Conn.Read(b)
	o.received.Add(int64(n))
	return n, err
}

func (o *outside) Write(b []byte) (int, error) {
	n, err := o.Conn.Write(b)
	o.sent.Add(int64(n))
	return n, err
}

// CloseWrite says to the destination that nothing more comes.
func (o *outside) CloseWrite() error {
	if c, ok := o.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return o.Close()
}

func (o *outside) Close() error {
	err := o.Conn.Close()
	o.once.Do(func() { o.closed(o.sent.Load(), o.received.Load()) })
	return err
}

// idleListener closes connections through which nothing has passed for a while.
type idleListener struct {
	net.Listener
	idle time.Duration
}

func (l *idleListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &idleConn{conn, l.idle, time.AfterFunc(l.idle, func() { _ = conn.Close() })}, nil
}

// idleConn is a connection of the script: all that goes to the outside and comes from there passes it.
type idleConn struct {
	net.Conn
	idle  time.Duration
	timer *time.Timer
}

func (c *idleConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil {
		c.timer.Reset(c.idle)
	}
	return n, err
}

func (c *idleConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err == nil {
		c.timer.Reset(c.idle)
	}
	return n, err
}

func (c *idleConn) Close() error {
	c.timer.Stop()
	return c.Conn.Close()
}
