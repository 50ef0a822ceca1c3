// Package vcproxy is the vCenter that one execution sees: an HTTPS reverse proxy that holds Airlock's own sessions
// and takes the execution's token in their place.
//
// The token stands where a session id would: in the cookie vmware_soap_session, in the header or cookie
// vmware-api-session-id, in the SOAP header vcSessionCookie. It is exchanged in these places only, never by a general
// replacement, or a script could store its token in vCenter and read the session back. A client that logs in, with the
// execution's user and token, is answered here (scriptlogin.go, sts.go), and so is Logout. What scripts may ask at all is
// for package policy to decide (judge.go). Answers lose what would tell a session.
//
// The files of leases go to and from hosts, which are played beside the vCenter (host.go, leases.go).
//
// Airlock's own sessions are made at first use (login.go), and once more where the vCenter has dropped one (again.go).
package vcproxy

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/semaphore"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions/internal/policy"
)

// Bounds of one execution's vCenter. What is beyond the first and the last waits.
const (
	maxConns  = 256
	maxHeader = 64 << 10 // bytes of a request's header
	maxBodies = 32 << 20 // bytes of all requests under way that are kept to be judged or sent again, and as many of answers that are changed
)

// ok is the result of an audit event that tells no failure.
const ok = "ok"

// Config says which vCenter is played, how to log in to it, and to whom the proxy listens.
type Config struct {
	Host     string      // FQDN
	Addr     string      // host:port to dial
	TLS      *tls.Config // how its certificate is verified
	User     string
	Password func(context.Context) (secret.Text, error) // read at each login
	Hosts    []Host

	ScriptUser  string          // of the execution
	Token       secret.Text     // of the execution
	Certificate tls.Certificate // of the proxy
	KeepAlive   time.Duration   // how often to call the sessions that were made

	Policy *policy.Policy // what scripts may ask

	Audit func(audit.Event) // gets what happened; who did it, and when, is added
	Log   *slog.Logger
}

type proxy struct {
	c         Config
	logins    *logins
	assertion secret.Text // id of the assertion by which the execution can log in
	leases    leases
	bodies    *semaphore.Weighted // bytes of requests in memory
	answers   *semaphore.Weighted // bytes of answers in memory
	upgrades  *semaphore.Weighted // WebSockets
	conns     sync.WaitGroup      // connections, those that were taken over among them
	alone     *semaphore.Weighted // of calls that are judged by roles and permissions, one at a time
	forward   *httputil.ReverseProxy
}

func newProxy(ctx context.Context, c Config) *proxy {
	p := &proxy{
		c: c, logins: newLogins(ctx, c), bodies: semaphore.NewWeighted(maxBodies), answers: semaphore.NewWeighted(maxBodies),
		alone: semaphore.NewWeighted(1), upgrades: semaphore.NewWeighted(maxUpgrades),
	}
	p.assertion = secret.New("_" + rand.Text() + rand.Text()) // an XML id begins with no digit
	p.forward = &httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		Transport:      again{p},
		ModifyResponse: p.answer,
		ErrorHandler:   p.unreachable,
		BufferPool:     &buffers,
		ErrorLog:       slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
	return p
}

// Serve answers on l, and for the hosts on theirs, until ctx ends. When it returns all connections are cut and Airlock's
// sessions are logged out.
func Serve(ctx context.Context, l net.Listener, c Config) {
	p := newProxy(ctx, c)
	p.conns.Go(func() { p.keepAlive(ctx) })
	for _, h := range c.Hosts {
		p.conns.Go(func() { p.serve(ctx, netutil.LimitListener(h.Listener, maxHostConns), p.host(h)) })
	}
	p.serve(ctx, netutil.LimitListener(l, maxConns), p)
	p.conns.Wait()
	p.logins.end()
}

func (p *proxy) serve(ctx context.Context, l net.Listener, h http.Handler) {
	srv := &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(p.c.Log.Handler(), slog.LevelDebug),
		ConnState: func(_ net.Conn, s http.ConnState) { // each ends in one of the last two
			switch s {
			case http.StateNew:
				p.conns.Add(1)
			case http.StateClosed, http.StateHijacked:
				p.conns.Done()
			}
		},
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	_ = srv.Serve(tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{p.c.Certificate},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"},
	})) // returns when srv is closed, or the listener by whoever opened it
	<-ctx.Done()
	_ = srv.Close() // also where stop came before the function ran
}

func (p *proxy) keepAlive(ctx context.Context) {
	tick := time.NewTicker(p.c.KeepAlive)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.logins.keep(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// buffers are those of httputil's copying.
var buffers bufferPool

type bufferPool struct{ sync.Pool }

func (b *bufferPool) Get() []byte {
	if p, taken := b.Pool.Get().(*[]byte); taken {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *bufferPool) Put(p []byte) { b.Pool.Put(&p) }
