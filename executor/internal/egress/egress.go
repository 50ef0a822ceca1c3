// Package egress is the forwarding proxy through which a script reaches what the egress policy of its private cloud
// opens, and nothing else. It runs on Airlock's side and listens inside the sandbox, so that it is the script's only
// way out: CONNECT for TLS and everything else, the absolute form for plain http (RFC 9110, sections 7.1 and 9.3.6).
//
// A name is resolved once, by the proxy; what it resolves to is checked, and that address is dialled: a name that
// changes its mind leads nowhere (DNS rebinding). Policy none has a proxy too, for a refusal that names the host and
// the setting says more than a connection that fails.
package egress

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/airlock-run/airlock/internal/domain"
)

// Where a script finds the proxy inside its sandbox.
const (
	Host = "egress.airlock"
	Port = 3128
)

// Bounds of one execution's proxy.
const (
	MaxConnections = 64        // to the outside at once; one more is refused
	maxAccepted    = 128       // connections of the script; more wait
	maxHeader      = 32 << 10  // bytes of a request's header
	maxAnswer      = 256 << 10 // bytes of an answer's header
	headerTime     = 10 * time.Second
	dialTime       = 15 * time.Second // for name and connection
	IdleTime       = 5 * time.Minute  // without a byte in either direction, then the connection is closed
)

// ok is the result of an audit event that tells no failure.
const ok = "ok"

// Config is what the proxy of one execution has to know.
type Config struct {
	Cloud  string // name of the private cloud, for messages
	Policy domain.Egress
	Own    []netip.AddrPort // where Airlock itself listens; an unspecified address stands for all of the machine's
	Audit  func(action, target, result, detail string)
	Log    *slog.Logger

	Resolver *net.Resolver                                           // Go's own when nil
	Dial     func(context.Context, netip.AddrPort) (net.Conn, error) // of the machine when nil
}

type proxy struct {
	ctx     context.Context // of the proxy's life
	c       Config
	machine func(netip.Addr) bool // whether an address is one of this machine's
	forward *httputil.ReverseProxy
	slots   chan struct{}  // one element a connection to the outside
	conns   sync.WaitGroup // of the script
}

// Serve answers on l until ctx ends. When it returns, all connections are closed.
func Serve(ctx context.Context, l net.Listener, c Config) { serve(ctx, l, c, IdleTime) }

func serve(ctx context.Context, l net.Listener, c Config, idle time.Duration) {
	if c.Resolver == nil {
		c.Resolver = &net.Resolver{PreferGo: true} // the C library reads 0x7f.1 as an address
	}
	if c.Dial == nil {
		c.Dial = dialMachine
	}
	p := &proxy{ctx: ctx, c: c, machine: machineHas, slots: make(chan struct{}, MaxConnections)}
	errorLog := slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug)
	p.forward = &httputil.ReverseProxy{
		Rewrite: rewrite, ErrorHandler: p.broken, ErrorLog: errorLog,
		Transport: &http.Transport{
			DialContext: dialled, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxAnswer,
		},
	}
	srv := &http.Server{
		Handler:           p,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: headerTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          errorLog,

		DisableGeneralOptionsHandler: true,
		ConnState: func(_ net.Conn, s http.ConnState) { // a connection that is taken over is waited for by tunnel
			switch s {
			case http.StateNew:
				p.conns.Add(1)
			case http.StateClosed:
				p.conns.Done()
			}
		},
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	_ = srv.Serve(&idleListener{netutil.LimitListener(l, maxAccepted), idle}) // until ctx ends, or somebody closes l
	<-ctx.Done()
	p.conns.Wait()
}

// ServeHTTP takes one request of the script.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d, err := target(r)
	if err != nil {
		p.c.Audit("egress/refused", "", "request", "")
		p.answer(w, r, &refusal{http.StatusBadRequest, "request", fmt.Sprintf("This is Airlock's forwarding proxy, and it cannot read where the request leads: %v.", err)})
		return
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	default:
		p.c.Audit("egress/refused", d.String(), "connections", "")
		p.answer(w, r, &refusal{http.StatusServiceUnavailable, "connections", fmt.Sprintf("Airlock does not connect to %s: the script has %d connections open, which is the most at once; close some first.", d, MaxConnections)})
		return
	}
	up, err := p.dial(r.Context(), d)
	if err != nil {
		p.failed(w, r, d, err)
		return
	}
	defer up.Close()
	if r.Method == http.MethodConnect {
		p.tunnel(w, up)
		return
	}
	r.URL.Host = d.String()
	p.forward.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), connection{}, up)))
}

// connection is under what the context of a plain request has its connection to the destination.
type connection struct{}

func dialled(ctx context.Context, _, _ string) (net.Conn, error) {
	return ctx.Value(connection{}).(*outside), nil
}

// rewrite makes the request that goes out: to the host that was checked, whatever the header Host says (RFC 9112,
// section 3.2.2), and without an upgrade, for which CONNECT is there.
func rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	r.Out.Host = r.In.URL.Host
	if host, port, err := net.SplitHostPort(r.In.URL.Host); err == nil && port == "80" {
		r.Out.Host = host
		if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
			r.Out.Host = "[" + host + "]"
		}
	}
	r.Out.Header.Del("Connection")
	r.Out.Header.Del("Upgrade")
}

// tunnel carries bytes both ways between the script and the destination, until the destination has said its last or
// either side breaks off.
func (p *proxy) tunnel(w http.ResponseWriter, up *outside) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the script has gone
	}
	defer p.conns.Done()
	defer up.Close() // before the script's connection counts as ended
	defer conn.Close()
	// Not the request's context: net/http ends that when the script closes its half.
	stop := context.AfterFunc(p.ctx, func() { conn.Close(); up.Close() })
	defer stop()
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connected by Airlock\r\n\r\n"); err != nil {
		return
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		if _, err := io.Copy(up, buffered); err != nil {
			up.Close()
		} else {
			_ = up.CloseWrite()
		}
	})
	_, _ = io.Copy(conn, up)
	conn.Close()
	sending.Wait()
}
