package sshproxy

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/sdk/secret"
)

// host is an SSH server that does what its commands say: fates of commands that a simulated host does not have.
func host(t *testing.T, key ssh.Signer, config *ssh.ServerConfig) string {
	t.Helper()
	config.AddHostKey(key)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				sc, channels, requests, err := ssh.NewServerConn(conn, config)
				if err != nil {
					return
				}
				all.Go(func() { ssh.DiscardRequests(requests) })
				for nc := range channels {
					if ch, rs, err := nc.Accept(); err == nil {
						all.Go(func() { play(sc, ch, rs) })
					}
				}
			})
		}
	})
	return l.Addr().String()
}

// play runs the one command of a channel.
func play(conn *ssh.ServerConn, ch ssh.Channel, requests <-chan *ssh.Request) {
	defer ch.Close()
	command := ""
	for r := range requests {
		if r.Type == "exec" {
			command = string(r.Payload[4:])
		}
		_ = r.Reply(command != "refuse", nil)
		switch command + " " + r.Type {
		case "vanish exec":
			return
		case "break exec":
			_ = conn.Close()
			return
		case "nothing exec":
			_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ S uint32 }{0}))
			return
		case "many exec": // more than both windows, on both outputs
			var both sync.WaitGroup
			both.Go(func() { _, _ = io.CopyN(ch, endless{}, 8<<20) })
			both.Go(func() { _, _ = io.CopyN(ch.Stderr(), endless{}, 8<<20) })
			both.Wait()
			_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ S uint32 }{7}))
			return
		case "wait signal":
			_, _ = ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
				Signal     string
				CoreDumped bool
				Error      string
				Lang       string
			}{string(r.Payload[4:]), false, "", ""}))
			return
		case "after-eof exec":
			n, _ := io.Copy(io.Discard, ch)
			_, _ = ch.Write(bytes.Repeat([]byte("."), int(n)))
			_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ S uint32 }{0}))
			return
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// through serves a proxy of such a host, and returns a script's connection to it and what is audited when that has ended.
func through(t *testing.T, config *ssh.ServerConfig) (c *ssh.Client, events func() []audit.Event) {
	t.Helper()
	key, script, own := newKey(t), newKey(t), newKey(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []audit.Event
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Serve(ctx, l, Config{
			Host: Host{Name: "esx", Addr: host(t, key, config), User: "root", HostKey: key.PublicKey(),
				Password: func(context.Context) (secret.Text, error) { return secret.New("right"), nil }},
			ScriptUser: "x", ScriptKey: script.PublicKey(), Signer: own, Log: slog.New(slog.DiscardHandler),
			Audit: func(e audit.Event) { mu.Lock(); defer mu.Unlock(); all = append(all, e) },
		})
	}()
	end := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(end)
	c, err = ssh.Dial("tcp", l.Addr().String(), &ssh.ClientConfig{
		User: "x", Auth: []ssh.AuthMethod{ssh.PublicKeys(script)}, HostKeyCallback: ssh.FixedHostKey(own.PublicKey()),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, func() []audit.Event { end(); return all }
}

func byPassword() *ssh.ServerConfig {
	return &ssh.ServerConfig{PasswordCallback: func(_ ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) {
		if string(p) != "right" {
			return nil, errors.New("wrong")
		}
		return nil, nil
	}}
}

func newSession(t *testing.T, c *ssh.Client) *ssh.Session {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestHowCommandsEnd: each end reaches the script as the host tells it, and the audit.
func TestHowCommandsEnd(t *testing.T) {
	t.Parallel()
	c, events := through(t, byPassword())
	if err := newSession(t, c).Run("nothing"); err != nil {
		t.Errorf("nothing: %v", err)
	}
	if err := newSession(t, c).Run("refuse"); err == nil || !strings.Contains(err.Error(), "failed") {
		t.Errorf("refuse: %v", err)
	}
	missing := (*ssh.ExitMissingError)(nil)
	if err := newSession(t, c).Run("vanish"); !errors.As(err, &missing) {
		t.Errorf("vanish: %v", err)
	}
	s := newSession(t, c)
	if err := s.Start("wait"); err != nil {
		t.Fatal(err)
	}
	if ran, err := s.SendRequest("exec", true, ssh.Marshal(struct{ C string }{"nothing"})); ran || err != nil {
		t.Errorf("a second command on a channel: %v, %v", ran, err)
	}
	if err := s.Signal(ssh.SIGTERM); err != nil {
		t.Error(err)
	}
	exit := (*ssh.ExitError)(nil)
	if err := s.Wait(); !errors.As(err, &exit) || exit.Signal() != "TERM" {
		t.Errorf("wait: %v", err)
	}
	s = newSession(t, c)
	s.Stdin = strings.NewReader("12345")
	if out, err := s.Output("after-eof"); err != nil || string(out) != "....." {
		t.Errorf("after-eof: %q, %v", out, err)
	}
	if err := newSession(t, c).Run("break"); !errors.As(err, &missing) {
		t.Errorf("break: %v", err)
	}
	if err := newSession(t, c).Run("nothing"); err != nil {
		t.Errorf("after the connection broke: %v", err)
	}
	var got []string
	for _, e := range events() {
		if e.Action == "ssh/exec" || e.Action == "ssh/refused" {
			got = append(got, e.Method+" "+e.Result)
		}
		if e.Method == "after-eof" && (e.Sent != 5 || e.Received != 5) {
			t.Errorf("after-eof sent %d and received %d bytes", e.Sent, e.Received)
		}
	}
	want := "nothing ok; refuse refused-by-host; vanish cut; nothing exec; wait signal-TERM; after-eof ok; break cut; nothing ok"
	if strings.Join(got, "; ") != want {
		t.Errorf("audited\n%s\nwant\n%s", strings.Join(got, "; "), want)
	}
}

// A script that does not read holds up its own channel only; when it reads, all is there.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	c, _ := through(t, byPassword())
	slow := newSession(t, c)
	out, err := slow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := slow.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := slow.Start("many"); err != nil {
		t.Fatal(err)
	}
	if err := newSession(t, c).Run("nothing"); err != nil {
		t.Error(err)
	}
	var both sync.WaitGroup
	for _, r := range []io.Reader{out, errs} {
		both.Go(func() {
			if n, err := io.Copy(io.Discard, r); n != 8<<20 || err != nil {
				t.Errorf("%d bytes came, %v", n, err)
			}
		})
	}
	both.Wait()
	exit := (*ssh.ExitError)(nil)
	if err := slow.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 7 {
		t.Errorf("many: %v", err)
	}
}

// Some hosts take the password by a question only, as vCenter does.
func TestPasswordByQuestion(t *testing.T) {
	t.Parallel()
	c, _ := through(t, &ssh.ServerConfig{KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
		answers, err := ask("", "", []string{"Password: "}, []bool{false})
		if err != nil || answers[0] != "right" {
			return nil, errors.New("wrong")
		}
		return nil, nil
	}})
	if err := newSession(t, c).Run("nothing"); err != nil {
		t.Error(err)
	}
}

// A host that says nothing has a connection that breaks; one that says something now and then has none.
func TestHangingHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far, near := net.Pipe()
		l := lively{near}
		var said sync.WaitGroup
		said.Go(func() {
			for range 3 {
				time.Sleep(hangTime - time.Second)
				_, _ = far.Write([]byte("."))
			}
		})
		begin := time.Now()
		all, err := io.ReadAll(l)
		if string(all) != "..." || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != 4*hangTime-3*time.Second {
			t.Errorf("%q, %v after %s", all, err, time.Since(begin))
		}
		said.Wait()
		_, _ = far.Close(), near.Close()
	})
}
