package sdk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/sdk/wire"
)

// hosts are the SSH servers of a grant with the connections that were made to them.
type hosts struct {
	user  string
	key   SecureString
	all   []*host
	ended context.Context
	end   context.CancelFunc
	wg    sync.WaitGroup // of connections that are open
}

type host struct {
	wire.SSHEndpoint
	turn chan struct{} // holds one token: a lock that a context can interrupt
	ssh  *ssh.Client   // nil if there is none, or none that still lives
	sftp *sftp.Client
}

func newHosts(g wire.Grant) *hosts {
	h := &hosts{user: g.User, key: g.Key}
	h.ended, h.end = context.WithCancel(context.Background())
	for _, e := range g.SSH {
		h.all = append(h.all, &host{SSHEndpoint: e, turn: make(chan struct{}, 1)})
	}
	return h
}

// Hosts are the names of the SSH servers: the hosts' FQDNs, and VC for the vCenter itself.
func (x *Execution) Hosts() []string {
	names := make([]string, len(x.hosts.all))
	for i, h := range x.hosts.all {
		names[i] = h.Host
	}
	return names
}

// SSH returns a connection to a host, which is named by its FQDN, by its first label where that is unambiguous, or VC
// for the vCenter itself. The connection is made at first use, shared by all who ask for the host, and closed when the
// cmdlet has ended; ctx bounds the waiting for it. A host takes ten channels at a time.
func (x *Execution) SSH(ctx context.Context, host string) (*ssh.Client, error) {
	ctx, h, done, err := x.hosts.use(ctx, host)
	if err != nil {
		return nil, err
	}
	defer done()
	return x.hosts.connect(ctx, h)
}

// SFTP returns an SFTP client of a host, over the connection that SSH returns and with the same life.
func (x *Execution) SFTP(ctx context.Context, host string) (*sftp.Client, error) {
	ctx, h, done, err := x.hosts.use(ctx, host)
	if err != nil {
		return nil, err
	}
	defer done()
	if h.sftp != nil {
		return h.sftp, nil
	}
	conn, err := x.hosts.connect(ctx, h)
	if err != nil {
		return nil, err
	}
	// Opening the subsystem waits for the server: the connection is given up where it takes longer than ctx.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	client, err := sftp.NewClient(conn)
	if !stop() {
		h.ssh, err = nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("SFTP to %s: %w", h.Host, err)
	}
	h.sftp = client
	x.hosts.watch(h, client.Wait, func() {
		if h.sftp == client {
			h.sftp = nil
		}
	})
	return client, nil
}

// use locks a host until done is called. The context that it returns ends with the cmdlet too.
func (hs *hosts) use(ctx context.Context, name string) (_ context.Context, h *host, done func(), err error) {
	if h, err = hs.find(name); err != nil {
		return nil, nil, nil, err
	}
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, nil, ctx.Err()
	}
	if hs.ended.Err() != nil {
		h.unlock()
		return nil, nil, nil, errEnded
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(hs.ended, cancel)
	return ctx, h, func() { stop(); cancel(); h.unlock() }, nil
}

func (h *host) unlock() { <-h.turn }

// find finds a host by its name or by the first label of it. Case does not matter.
func (hs *hosts) find(name string) (*host, error) {
	var short []*host
	for _, h := range hs.all {
		if strings.EqualFold(h.Host, name) {
			return h, nil
		}
		if label, _, _ := strings.Cut(h.Host, "."); strings.EqualFold(label, name) {
			short = append(short, h)
		}
	}
	switch len(short) {
	case 1:
		return short[0], nil
	case 0:
		return nil, fmt.Errorf("the private cloud has no host %s; Hosts lists those that it has", name)
	}
	return nil, fmt.Errorf("the name %s fits %s and %s; use the full name", name, short[0].Host, short[1].Host)
}

// connect returns h's connection, which it makes if there is none. The caller holds h's lock.
func (hs *hosts) connect(ctx context.Context, h *host) (*ssh.Client, error) {
	if h.ssh != nil {
		return h.ssh, nil
	}
	client, err := dialSSH(ctx, h.SSHEndpoint, hs.user, hs.key)
	if err != nil {
		return nil, fmt.Errorf("SSH to %s: %w", h.Host, err)
	}
	h.ssh = client
	hs.watch(h, client.Wait, func() {
		if h.ssh == client {
			h.ssh, h.sftp = nil, nil
		}
	})
	return client, nil
}

// watch forgets what has ended, so that the next use makes it anew.
func (hs *hosts) watch(h *host, wait func() error, forget func()) {
	hs.wg.Go(func() {
		_ = wait()
		h.turn <- struct{}{}
		forget()
		h.unlock()
	})
}

// close closes all connections and waits for what served them.
func (hs *hosts) close() {
	hs.end()
	for _, h := range hs.all {
		h.turn <- struct{}{}
		if h.ssh != nil {
			h.ssh.Close()
		}
		h.unlock()
	}
	hs.wg.Wait()
}

// dialSSH connects to where the grant says that the host is, and accepts no key but the grant's.
func dialSSH(ctx context.Context, e wire.SSHEndpoint, user string, key SecureString) (*ssh.Client, error) {
	hostKey, _, _, _, err := ssh.ParseAuthorizedKey([]byte(e.HostKey))
	if err != nil {
		return nil, errors.New("the grant has no host key that can be read")
	}
	signer, err := ssh.ParsePrivateKey([]byte(key.Reveal()))
	if err != nil {
		return nil, errors.New("the grant has no SSH key that can be read")
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", e.Addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c, channels, requests, err := ssh.NewClientConn(conn, e.Host, &ssh.ClientConfig{
		User:            user,
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: ssh.FixedHostKey(hostKey),
	})
	if !stop() && err == nil {
		c.Close()
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}
