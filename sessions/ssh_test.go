package sessions_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// run executes a command on a new session and returns its output streams and exit status.
func run(t testing.TB, c *ssh.Client, command string, in io.Reader) (out, errs string, status int) {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var stdout, stderr bytes.Buffer
	s.Stdin, s.Stdout, s.Stderr = in, &stdout, &stderr
	err = s.Run(command)
	if exit := (*ssh.ExitError)(nil); errors.As(err, &exit) {
		return stdout.String(), stderr.String(), exit.ExitStatus()
	}
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return stdout.String(), stderr.String(), 0
}

func TestSSHWithTheKeyOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, end := f.open(t, "one")
	s := &script{Grant: g}
	if n := f.cloud.Open().SSHConnections; n != 0 {
		t.Errorf("%d SSH connections are open before the script used any", n)
	}
	if len(s.SSH) != 4 {
		t.Fatalf("the grant has %d SSH hosts; want three and VC", len(s.SSH))
	}
	for _, host := range []string{"esx01", "esx02", "esx03", "VC"} {
		out, _, status := run(t, s.ssh(t, host), "uname -a", nil)
		if name := strings.ToLower(host); status != 0 || !strings.Contains(out, name+".sddc1.airlock.test") {
			t.Errorf("uname on %s = %q, status %d; want its name", host, out, status)
		}
	}
	c := s.ssh(t, "esx01")
	if _, errs, status := run(t, c, "nothing-such --password=s3cret", nil); status != 127 || !strings.Contains(errs, "not found") {
		t.Errorf("an unknown command: status %d, %q; want 127 and what the host says", status, errs)
	}
	if out, _, status := run(t, c, "cat", strings.NewReader("line\n")); status != 0 || out != "line\n" {
		t.Errorf("cat of standard input = %q, status %d: the end of input did not arrive", out, status)
	}
	if _, _, status := run(t, c, "exit 42", nil); status != 42 {
		t.Errorf("exit 42 = %d", status)
	}
	t.Run("shell", func(t *testing.T) { shell(t, c) })
	t.Run("sftp", func(t *testing.T) { transfer(t, c) })

	if n := f.cloud.Open().SSHConnections; n != 4 {
		t.Errorf("%d connections to the hosts are open; want one a host, shared by all channels", n)
	}
	if strings.Contains(fmt.Sprintf("%+v", f.events.list()), "s3cret") {
		t.Error("an event has the arguments of a command")
	}
	_ = c.Close()
	end()
	for _, e := range [][3]string{{"ssh/exec", "exit-127", "nothing-such"}, {"ssh/exec", "ok", "uname"}, {"ssh/exec", "exit-42", "exit"},
		{"ssh/shell", "exit-3", "esx01"}, {"ssh/sftp", "ok", "esx01"}, {"ssh/login", "ok", "VC"}, {"sftp/open", "ok", "/tmp/airlock.bin"}} {
		if !f.events.has(e[0], e[1], e[2]) {
			t.Errorf("there is no event %s %s with %s", e[0], e[1], e[2])
		}
	}
	f.nothingLeft(t)
	if _, err := c.NewSession(); err == nil {
		t.Error("a session after the grant's end was opened")
	}
}

// shell talks to an interactive shell on a terminal.
func shell(t *testing.T, c *ssh.Client) {
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_ = s.Setenv("LANG", "C") // hosts may refuse it
	if err := s.RequestPty("xterm", 40, 80, nil); err != nil {
		t.Fatal(err)
	}
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s.Stdout = &out
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	if err := s.WindowChange(50, 100); err != nil {
		t.Error(err)
	}
	_, _ = io.WriteString(in, "echo from the $shell\nexit 3\n")
	err = s.Wait()
	if exit := (*ssh.ExitError)(nil); !errors.As(err, &exit) || exit.ExitStatus() != 3 {
		t.Errorf("the shell ended with %v; want status 3", err)
	}
	if !strings.Contains(out.String(), "from the") {
		t.Errorf("the shell said %q", out.String())
	}
}

// transfer writes some MB by SFTP, reads them back and compares.
func transfer(t *testing.T, c *ssh.Client) {
	client, err := sftp.NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	want := make([]byte, 5<<20)
	_, _ = rand.Read(want)
	f, err := client.Create("/tmp/airlock.bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadFrom(bytes.NewReader(want)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f, err = client.Open("/tmp/airlock.bin"); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read back %d bytes, %v; want the %d that were written", len(got), err, len(want))
	}
}

func TestSSHRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "one")
	other, _ := f.open(t, "two")
	s := &script{Grant: g}

	_, unknown, _ := ed25519.GenerateKey(rand.Reader)
	block, err := ssh.MarshalPrivateKey(unknown, "")
	if err != nil {
		t.Fatal(err)
	}
	unknownKey := string(pem.EncodeToMemory(block))
	root := f.cloud.SSH()[0]
	for name, change := range map[string]func(*script){
		"an unknown key":                 func(x *script) { x.Key = secret.New(unknownKey) },
		"another execution's key":        func(x *script) { x.Key = other.Key },
		"another execution's user":       func(x *script) { x.User = other.User },
		"another execution's key & user": func(x *script) { x.Key, x.User = other.Key, other.User },
	} {
		x := &script{Grant: g}
		change(x)
		refusedBy(t, name, x.endpoint(t, "esx01").Addr, x.sshConfig(t, "esx01"))
	}
	nobody := s.sshConfig(t, "esx01")
	nobody.Auth = nil
	refusedBy(t, "nothing", s.endpoint(t, "esx01").Addr, nobody)
	nobody.User, nobody.Auth = root.User, []ssh.AuthMethod{ssh.Password(root.Password.Reveal())}
	refusedBy(t, "the host's password", s.endpoint(t, "esx01").Addr, nobody)
	if f.cloud.Open().SSHConnections != 0 || !f.events.has("ssh/refused", "no-session", "esx01") {
		t.Error("a stranger made the broker log in, or the refusals are not audited")
	}

	c := s.ssh(t, "esx01")
	for _, kind := range []string{"direct-tcpip", "auth-agent@openssh.com", "x11", "tun@openssh.com"} {
		_, _, err := c.OpenChannel(kind, nil)
		if refused := (*ssh.OpenChannelError)(nil); !errors.As(err, &refused) || refused.Reason != ssh.Prohibited || !strings.Contains(err.Error(), kind) {
			t.Errorf("channel %s = %v; want that it is prohibited, by name", kind, err)
		}
	}
	if ok, _, _ := c.SendRequest("tcpip-forward", true, ssh.Marshal(struct {
		Host string
		Port uint32
	}{"0.0.0.0", 80})); ok {
		t.Error("tcpip-forward was accepted")
	}
	session, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for _, kind := range []string{"auth-agent-req@openssh.com", "x11-req"} {
		if ok, _ := session.SendRequest(kind, true, nil); ok {
			t.Errorf("%s was accepted", kind)
		}
	}
	if err := session.RequestSubsystem("netconf"); err == nil {
		t.Error("the subsystem netconf was opened")
	}
	for _, rule := range []string{"direct-tcpip", "tcpip-forward"} {
		if !f.events.has("ssh/refused", rule, "esx01") {
			t.Errorf("the refusal of %s is not audited", rule)
		}
	}
	if !f.events.has("ssh/refused", "x11-req") || !f.events.has("ssh/refused", "subsystem") {
		t.Error("the refusals on a session are not audited")
	}
}

func hostKey(t testing.TB) ssh.PublicKey {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func refusedBy(t *testing.T, what, addr string, c *ssh.ClientConfig) {
	t.Helper()
	if conn, err := ssh.Dial("tcp", addr, c); err == nil {
		_ = conn.Close()
		t.Errorf("%s opened the host", what)
	}
}

// brittle is a listener that fails once, as when the process is out of descriptors.
type brittle struct {
	net.Listener
	failed bool
}

func (b *brittle) Accept() (net.Conn, error) {
	if !b.failed {
		b.failed = true
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return b.Listener.Accept()
}

func TestEndpointsOutliveAFailureToAccept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.listen = func(host string, port int) (net.Listener, error) {
		l, err := loopback(host, port)
		return &brittle{Listener: l}, err
	}
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	conn, err := net.Dial("tcp", s.endpoint(t, "esx01").Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, _, _, err := ssh.NewClientConn(conn, "esx01", s.sshConfig(t, "esx01")); err != nil {
		t.Errorf("SSH: %v", err)
	}
	s.vim(t)
}

func TestSSHChannelsAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	a, b := s.ssh(t, "esx01"), s.ssh(t, "esx01")
	var open []*ssh.Session
	for i := range 10 {
		x, err := []*ssh.Client{a, b}[i%2].NewSession()
		if err != nil {
			t.Fatalf("channel %d: %v", i+1, err)
		}
		open = append(open, x)
	}
	_, err := a.NewSession()
	if err == nil || !strings.Contains(err.Error(), "at most 10 channels to esx01.sddc1.airlock.test") {
		t.Errorf("the eleventh channel: %v; want an error that names the bound and the host", err)
	}
	if out, _, _ := run(t, s.ssh(t, "esx02"), "echo free", nil); out != "free\n" {
		t.Errorf("another host: %q", out)
	}
	_ = open[0].Close()
	if out, _, _ := run(t, a, "echo again", nil); out != "again\n" {
		t.Errorf("after one was closed: %q", out)
	}
}

// What keeps Airlock from a host reaches the script as a sentence that names the host, and is tried once where trying
// again would lock the account.
func TestSSHLoginFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	nowhere, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nowhere.Close()
	f.up.SSH[0].Password = known(secret.New("wrong"))
	f.up.SSH[1].HostKey = f.up.SSH[0].HostKey
	f.up.SSH[2].Addr = nowhere.Addr().String()
	f.up.SSH[3].Password = func(context.Context) (secret.Text, error) { return secret.Text{}, errors.New("no such file: /etc/pw") }
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	for host, want := range map[string]struct {
		says  string
		tries int
	}{
		"esx01": {"The host esx01.sddc1.airlock.test refused Airlock's own SSH login", 1},
		"esx02": {"The host esx02.sddc1.airlock.test shows another SSH host key", 1},
		"esx03": {"The SSH server of esx03.sddc1.airlock.test cannot be reached", 3},
		"VC":    {"could not read its own password for the host VC", 3},
	} {
		c := s.ssh(t, host)
		for range 3 {
			if _, err := c.NewSession(); err == nil || !strings.Contains(err.Error(), want.says) || strings.Contains(err.Error(), "/etc/pw") {
				t.Errorf("%s: %v; want %q and no cause", host, err, want.says)
			}
		}
		if n := f.events.count("ssh/login", "SessionFailed", host); n != want.tries {
			t.Errorf("%s: %d failed logins are audited; want %d", host, n, want.tries)
		}
	}
}

// A host whose connection broke, as when it is started anew, is logged in to again at the next use.
func TestSSHHostComesBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	behind, conns := f.up.SSH[0].Addr, make(chan net.Conn, 2)
	var forwarding sync.WaitGroup
	forwarding.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", behind)
			if err != nil {
				t.Error(err)
				return
			}
			forwarding.Go(func() { _, _ = io.Copy(to, c); _ = to.Close() })
			forwarding.Go(func() { _, _ = io.Copy(c, to); _ = c.Close() })
			conns <- c
		}
	})
	f.up.SSH[0].Addr = l.Addr().String()
	g, end := f.open(t, "one")
	s := &script{Grant: g}
	c := s.ssh(t, "esx01")
	for range 2 {
		if out, _, _ := run(t, c, "echo here", nil); out != "here\n" {
			t.Errorf("echo = %q", out)
		}
		_ = wait(t, conns, "the broker's connection").Close()
		if err := f.cloud.WaitIdle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.events.count("ssh/login", "ok", "esx01"); n != 2 {
		t.Errorf("%d logins; want one a connection", n)
	}
	end()
	_ = l.Close()
	forwarding.Wait()
}
