package sdk

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sdk/wire"
)

// sshServer is a real SSH server with exec (which answers with the command) and SFTP on a file system in memory.
type sshServer struct {
	net.Listener
	hostKey ssh.Signer
	allowed ssh.PublicKey
	logins  atomic.Int32
	wg      sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

func newKey(t *testing.T) (ssh.Signer, secret.Text) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return signer, secret.New(string(pem.EncodeToMemory(block)))
}

func newSSHServer(t *testing.T, allowed ssh.PublicKey) *sshServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sshServer{Listener: l, allowed: allowed}
	s.hostKey, _ = newKey(t)
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.wg.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); s.cut(); s.wg.Wait() })
	return s
}

// cut ends all connections.
func (s *sshServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
}

func (s *sshServer) serve(c net.Conn) {
	defer c.Close()
	config := &ssh.ServerConfig{PublicKeyCallback: func(m ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if m.User() != "execution" || string(key.Marshal()) != string(s.allowed.Marshal()) {
			return nil, errors.New("refused")
		}
		return nil, nil
	}}
	config.AddHostKey(s.hostKey)
	_, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	s.logins.Add(1)
	s.wg.Go(func() { ssh.DiscardRequests(requests) })
	files := sftp.InMemHandler()
	for ch := range channels {
		channel, requests, err := ch.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			defer channel.Close()
			for r := range requests {
				_ = r.Reply(true, nil)
				switch r.Type {
				case "exec":
					_, _ = channel.Write(r.Payload[4:])
					_, _ = channel.SendRequest("exit-status", false, make([]byte, 4))
					return
				case "subsystem":
					_ = sftp.NewRequestServer(channel, files).Serve()
					return
				}
			}
		})
	}
}

func (s *sshServer) endpoint(host string) wire.SSHEndpoint {
	return wire.SSHEndpoint{
		Endpoint: wire.Endpoint{Host: host, Addr: s.Addr().String()},
		HostKey:  string(ssh.MarshalAuthorizedKey(s.hostKey.PublicKey())),
	}
}

func TestSSHAndSFTP(t *testing.T) {
	t.Parallel()
	signer, key := newKey(t)
	server := newSSHServer(t, signer.PublicKey())
	grant := wire.Grant{User: "execution", Key: key, SSH: []wire.SSHEndpoint{server.endpoint("esx01.sddc.test"), server.endpoint("VC")}}
	kept := make(chan *ssh.Client, 1)
	got := play(t, func(ctx context.Context, x *Execution, _ none) error {
		conn, err := x.SSH(ctx, "ESX01")
		if err != nil {
			return err
		}
		kept <- conn
		if again, err := x.SSH(ctx, "esx01.SDDC.test"); err != nil || again != conn {
			return errors.New("the connection was not reused")
		}
		s, err := conn.NewSession()
		if err != nil {
			return err
		}
		out, err := s.Output("uname")
		if err != nil {
			return err
		}
		x.Output(out)
		files, err := x.SFTP(ctx, "esx01")
		if err != nil {
			return err
		}
		if again, err := x.SFTP(ctx, "esx01"); err != nil || again != files {
			return errors.New("the SFTP client was not reused")
		}
		f, err := files.Create("/a")
		if err != nil {
			return err
		}
		_, err = io.WriteString(f, "there and back")
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		if f, err = files.Open("/a"); err != nil {
			return err
		}
		back, err := io.ReadAll(f)
		x.Output(back)
		return err
	}, wire.Start{Grant: grant})
	if got.End.Failure != "" || got.Text(wire.KindOutput) != "uname\nthere and back\n" || server.logins.Load() != 1 {
		t.Errorf("failure %q, output %q, %d logins", got.End.Failure, got.Text(wire.KindOutput), server.logins.Load())
	}
	if _, err := (<-kept).NewSession(); err == nil {
		t.Error("the connection is open after the end")
	}
}

func TestSSHComesBack(t *testing.T) {
	t.Parallel()
	signer, key := newKey(t)
	server := newSSHServer(t, signer.PublicKey())
	grant := wire.Grant{User: "execution", Key: key, SSH: []wire.SSHEndpoint{server.endpoint("VC")}}
	got := play(t, func(ctx context.Context, x *Execution, _ none) error {
		files, err := x.SFTP(ctx, "vc")
		if err != nil {
			return err
		}
		server.cut()
		_ = files.Wait()
		for x.hosts.all[0].live() { // until its watchers have had their turn
			runtime.Gosched()
		}
		if files, err = x.SFTP(ctx, "vc"); err != nil {
			return err
		}
		_, err = files.ReadDir("/")
		return err
	}, wire.Start{Grant: grant})
	if got.End.Failure != "" || server.logins.Load() != 2 {
		t.Errorf("failure %q, %d logins", got.End.Failure, server.logins.Load())
	}
}

// live says whether a connection is remembered.
func (h *host) live() bool {
	h.turn <- none{}
	defer h.unlock()
	return h.ssh != nil || h.sftp != nil
}

func TestSSHRefusals(t *testing.T) {
	t.Parallel()
	signer, key := newKey(t)
	other, otherKey := newKey(t)
	server := newSSHServer(t, signer.PublicKey())
	right := server.endpoint("esx01.sddc.test")
	wrong := right
	wrong.HostKey = string(ssh.MarshalAuthorizedKey(other.PublicKey()))
	unreadable := right
	unreadable.HostKey = "ssh-ed25519 nonsense"
	twins := []wire.SSHEndpoint{right, {Endpoint: wire.Endpoint{Host: "esx01.other.test"}}}
	for _, c := range []struct {
		name, host string
		grant      wire.Grant
		says       string
	}{
		{"another host key", "esx01", wire.Grant{User: "execution", Key: key, SSH: []wire.SSHEndpoint{wrong}}, "SSH to esx01.sddc.test: ssh: handshake failed: ssh: host key mismatch"},
		{"no host key", "esx01", wire.Grant{User: "execution", Key: key, SSH: []wire.SSHEndpoint{unreadable}}, "SSH to esx01.sddc.test: the grant has no host key that can be read"},
		{"another key", "esx01", wire.Grant{User: "execution", Key: otherKey, SSH: []wire.SSHEndpoint{right}}, "unable to authenticate"},
		{"no key", "esx01", wire.Grant{User: "execution", SSH: []wire.SSHEndpoint{right}}, "SSH to esx01.sddc.test: the grant has no SSH key that can be read"},
		{"unknown host", "esx09", wire.Grant{SSH: []wire.SSHEndpoint{right}}, "the private cloud has no host esx09"},
		{"ambiguous", "ESX01", wire.Grant{SSH: twins}, "the name ESX01 fits esx01.sddc.test and esx01.other.test; use the full name"},
	} {
		got := play(t, func(ctx context.Context, x *Execution, _ none) error {
			_, err := x.SFTP(ctx, c.host)
			return err
		}, wire.Start{Grant: c.grant})
		if !strings.Contains(got.End.Failure, c.says) {
			t.Errorf("%s: the failure is %q, want %q", c.name, got.End.Failure, c.says)
		}
	}
}

// A server that accepts and says nothing: the caller's context bounds the wait, and so does the end of the cmdlet.
func TestSSHToASilentServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	signer, key := newKey(t)
	silent := wire.SSHEndpoint{Endpoint: wire.Endpoint{Host: "VC", Addr: l.Addr().String()}, HostKey: string(ssh.MarshalAuthorizedKey(signer.PublicKey()))}
	left := make(chan error, 1)
	got := play(t, func(ctx context.Context, x *Execution, _ none) error {
		short, cancel := context.WithCancel(ctx)
		entered := make(chan error, 1)
		go func() {
			c, err := l.Accept()
			cancel()
			if err != nil {
				entered <- err
				return
			}
			defer c.Close()
			if c2, err := l.Accept(); err == nil { // the second dial is on its way
				defer c2.Close()
			}
			entered <- err
			<-left
		}()
		if _, err := x.SSH(short, "VC"); !errors.Is(err, context.Canceled) {
			return errors.New("the wait went on after the context's end")
		}
		go func() {
			_, err := x.SSH(context.Background(), "VC")
			left <- err
			left <- err
		}()
		return <-entered
	}, wire.Start{Grant: wire.Grant{User: "execution", Key: key, SSH: []wire.SSHEndpoint{silent}}})
	if got.End.Failure != "" {
		t.Error(got.End.Failure)
	}
	if err := <-left; err == nil {
		t.Error("the cmdlet's end did not end the wait of a goroutine that it left behind")
	}
}
