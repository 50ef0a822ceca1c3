// Package sshd is the SSH server of a simulated host: real protocol, pretend machine.
//
// The protocol is golang.org/x/crypto/ssh with a host key of its own and one user with a password. Behind it are a
// closed set of commands written in Go (shell.go) for exec and for an interactive shell, and SFTP (sftp.go), all over
// one directory tree. Nothing here starts a process, and nothing leaves the tree: every file is opened through
// [os.Root], which refuses "..", absolute links and links that point outside. Forwarding of ports, of agents and of
// X11 is refused.
package sshd

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/sdk/secret"
)

// handshakeTimeout bounds how long a client may take to log in, as OpenSSH's LoginGraceTime does.
const handshakeTimeout = 30 * time.Second

// Host is what a server pretends to be.
type Host struct {
	Name     string // FQDN: prompt, uname
	System   System
	Root     *os.Root // what the host's file system is, from "/"
	User     string
	Password secret.Text

	// Opened and Closed are told of each connection that has logged in.
	Opened, Closed func()
}

// Server is a running SSH server. Close ends it.
type Server struct {
	host     Host
	booted   time.Time
	hostKey  ssh.PublicKey
	config   *ssh.ServerConfig
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
}

// Listen starts a server on a loopback port that the system chooses.
func Listen(ctx context.Context, h Host) (*Server, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot listen for SSH to %s: %w", h.Name, err)
	}
	s := &Server{host: h, booted: time.Now(), hostKey: signer.PublicKey(), listener: l, conns: map[net.Conn]bool{}}
	s.config = &ssh.ServerConfig{PasswordCallback: s.authenticate, ServerVersion: h.System.banner()}
	s.config.AddHostKey(signer)
	s.running.Go(s.accept)
	return s, nil
}

// Addr is the address to dial.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// HostKey is the key that clients are to pin.
func (s *Server) HostKey() ssh.PublicKey { return s.hostKey }

// Close ends all connections and waits until nothing of the server runs any more.
func (s *Server) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
	return err
}

var errDenied = errors.New("wrong user or password")

func (s *Server) authenticate(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
	if !s.host.Password.Equal(secret.New(string(password))) || c.User() != s.host.User {
		return nil, errDenied
	}
	return nil, nil
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		if !s.track(c) {
			return
		}
		s.running.Go(func() {
			defer s.forget(c)
			s.serve(c)
		})
	}
}

// track says whether the server is still open; if so, Close will close c.
func (s *Server) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.Close()
		return false
	}
	s.conns[c] = true
	return true
}

func (s *Server) forget(c net.Conn) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *Server) serve(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(handshakeTimeout))
	conn, channels, requests, err := ssh.NewServerConn(c, s.config)
	if err != nil {
		return
	}
	_ = c.SetDeadline(time.Time{})
	s.host.Opened()
	defer s.host.Closed()

	var open sync.WaitGroup
	defer open.Wait()
	defer conn.Close()
	open.Go(func() { ssh.DiscardRequests(requests) })
	for n := range channels {
		if n.ChannelType() != "session" {
			_ = n.Reject(ssh.Prohibited, "the simulated host forwards nothing")
			continue
		}
		ch, reqs, err := n.Accept()
		if err != nil {
			continue
		}
		open.Go(func() { s.session(ch, reqs) })
	}
}
