// Package sshproxy is the SSH and SFTP server of one host as one execution sees it: it takes the execution's key, and
// passes exec, shell and sftp on over a connection of Airlock's own, made at first use and shared by all channels.
//
// What leads elsewhere is refused: port forwarding, agent and X11 forwarding, other subsystems. See RFC 4254.
package sshproxy

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/net/netutil"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions/internal/lazy"
	"github.com/airlock-run/airlock/sessions/internal/wide"
)

// Bounds of one host and execution. ESXi and OpenSSH allow ten sessions a connection (sshd_config, MaxSessions).
const (
	maxChannels   = 10
	maxWaiting    = 10 // for one of those channels to close
	maxConns      = 32 // more wait
	handshakeTime = 30 * time.Second
	acceptPause   = 50 * time.Millisecond  // after a failure to accept, such as for want of descriptors
	slotTime      = 500 * time.Millisecond // for a channel that the script has just closed
)

// ok is the result of an audit event that tells no failure.
const ok = "ok"

// Host says where a host is and how to log in to it: with a password or a key, whichever is not nil. Both are read at
// each login.
type Host struct {
	Name     string // FQDN, or "VC"
	Addr     string // host:port to dial
	User     string
	Password func(context.Context) (secret.Text, error)
	Signer   func(context.Context) (ssh.Signer, error)
	HostKey  ssh.PublicKey // pinned; nil to ask Learn

	// Learn keeps the key that the host has shown, and returns the one that is kept.
	Learn func(context.Context, ssh.PublicKey) (ssh.PublicKey, error)
}

// Config says which host is played, and to whom the proxy listens.
type Config struct {
	Host

	ScriptUser string        // the execution's
	ScriptKey  ssh.PublicKey // the execution's
	Signer     ssh.Signer    // host key of the proxy

	Audit func(audit.Event) // gets what happened; who did it, and when, is added
	Log   *slog.Logger
}

type proxy struct {
	c        Config
	server   *ssh.ServerConfig
	upstream *lazy.Value[*upstream]
	slots    chan struct{} // one element an open channel
	sessions chan struct{} // one element an open or waiting channel
}

func newProxy(c Config) *proxy {
	return &proxy{c: c, slots: make(chan struct{}, maxChannels), sessions: make(chan struct{}, maxChannels+maxWaiting)}
}

// Serve answers on l until ctx ends. When it returns all connections are closed, Airlock's own among them.
func Serve(ctx context.Context, l net.Listener, c Config) {
	p := newProxy(c)
	p.upstream = lazy.New(ctx, 0, p.login)
	p.server = &ssh.ServerConfig{ServerVersion: "SSH-2.0-Airlock", PublicKeyCallback: p.admit}
	p.server.AddHostKey(c.Signer)
	l = netutil.LimitListener(l, maxConns)
	var conns sync.WaitGroup
	conns.Go(func() { // cuts what waits for the host
		<-ctx.Done()
		_ = l.Close()
		if u, made := p.upstream.Made(); made {
			u.close()
		}
	})
	p.accept(ctx, l, &conns)
	conns.Wait()
}

// accept serves connections until l is closed.
func (p *proxy) accept(ctx context.Context, l net.Listener, conns *sync.WaitGroup) {
	for {
		conn, err := l.Accept()
		if err == nil {
			conns.Go(func() { p.serve(ctx, conn) })
			continue
		}
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		p.c.Log.WarnContext(ctx, "SSH accept", slog.String("host", p.c.Name), slog.Any("error", err))
		select {
		case <-time.After(acceptPause):
		case <-ctx.Done():
		}
	}
}

func (p *proxy) admit(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	if meta.User() != p.c.ScriptUser || !bytes.Equal(key.Marshal(), p.c.ScriptKey.Marshal()) {
		return nil, fmt.Errorf("not the user and key of the execution")
	}
	return nil, nil
}

// serve answers one connection until it or ctx ends.
func (p *proxy) serve(ctx context.Context, conn net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	fast := wide.Conn(conn)
	defer fast.Close()
	_ = conn.SetDeadline(time.Now().Add(handshakeTime))
	sc, channels, requests, err := ssh.NewServerConn(fast, p.server)
	if err != nil {
		if ctx.Err() == nil {
			p.c.Audit(audit.Event{Action: "ssh/refused", Target: p.c.Name, Result: "no-session"})
			p.c.Log.DebugContext(ctx, "SSH handshake", slog.String("host", p.c.Name), slog.Any("error", err))
		}
		return
	}
	_ = conn.SetDeadline(time.Time{})
	var work sync.WaitGroup
	work.Go(func() { p.global(requests) })
	p.open(ctx, channels, &work)
	_ = sc.Close()
	work.Wait()
}

// open begins the sessions of a connection until it ends. Refusals are sent from here, so that a script that opens
// channels and reads no answers holds up itself and gathers nothing.
func (p *proxy) open(ctx context.Context, channels <-chan ssh.NewChannel, work *sync.WaitGroup) {
	for nc := range channels {
		if nc.ChannelType() != "session" {
			p.c.Audit(audit.Event{Action: "ssh/refused", Target: p.c.Name, Result: label(nc.ChannelType())})
			_ = nc.Reject(ssh.Prohibited, fmt.Sprintf("Airlock does not open %.40q to scripts: exec, shell and sftp only", nc.ChannelType()))
			continue
		}
		select {
		case p.sessions <- struct{}{}:
			work.Go(func() {
				defer func() { <-p.sessions }()
				p.session(ctx, nc)
			})
		default:
			p.refuseChannel(nc)
		}
	}
}

func (p *proxy) refuseChannel(nc ssh.NewChannel) {
	p.c.Audit(audit.Event{Action: "ssh/refused", Target: p.c.Name, Result: "channels"})
	_ = nc.Reject(ssh.ResourceShortage, fmt.Sprintf("Airlock opens at most %d channels to %s at once: close one first", maxChannels, p.c.Name))
}

// label is what the audit keeps of a name that the script chose.
func label(name string) string { return strings.ToValidUTF8(fmt.Sprintf("%.40s", name), "") }

// global refuses what a client asks of a connection as a whole, such as listening on the host (tcpip-forward).
func (p *proxy) global(requests <-chan *ssh.Request) {
	for r := range requests {
		switch r.Type {
		case "tcpip-forward", "streamlocal-forward@openssh.com":
			p.c.Audit(audit.Event{Action: "ssh/refused", Target: p.c.Name, Result: r.Type})
		}
		if r.WantReply {
			_ = r.Reply(false, nil)
		}
	}
}
