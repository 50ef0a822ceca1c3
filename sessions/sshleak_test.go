package sessions_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions"
)

// record connects to a host and keeps all that its SSH server says to the script: before encryption, and decrypted.
func (s *script) record(t *testing.T, host string) *ssh.Client {
	t.Helper()
	keep := func(words ...any) { _, _ = fmt.Fprintln(&s.received, words...) }
	config := s.sshConfig(t, host)
	config.BannerCallback = func(banner string) error { keep(banner); return nil }
	conn, err := net.Dial("tcp", s.endpoint(t, host).Addr)
	if err != nil {
		t.Fatal(err)
	}
	sc, channels, requests, err := ssh.NewClientConn(seen{conn, &s.received}, host, config)
	if err != nil {
		t.Fatal(err)
	}
	keep(string(sc.ServerVersion()))
	asked, opened := make(chan *ssh.Request), make(chan ssh.NewChannel)
	go func() { // these two end with the connection
		defer close(asked)
		for r := range requests {
			keep(r.Type, string(r.Payload))
			asked <- r
		}
	}()
	go func() {
		defer close(opened)
		for c := range channels {
			keep(c.ChannelType(), string(c.ExtraData()))
			opened <- c
		}
	}()
	c := ssh.NewClient(sc, opened, asked)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// The SSH side says none of Airlock's passwords and keys to a script: where a login goes well, where it fails and why,
// in commands, files and refusals.
func TestNothingLeaksBySSH(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	key := func() (ssh.Signer, string) {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		block, err := ssh.MarshalPrivateKey(private, "")
		if err != nil {
			t.Fatal(err)
		}
		signer, err := ssh.ParsePrivateKey(pem.EncodeToMemory(block))
		if err != nil {
			t.Fatal(err)
		}
		return signer, string(private.Seed())
	}
	good, goodSeed := key()
	bad, badSeed := key()
	hosts := f.up.SSH
	secrets := credentials(f)
	for _, h := range hosts {
		secrets["the address of "+h.Name] = h.Addr
	}
	secrets["a key"], secrets["a key that is refused"] = goodSeed, badSeed
	secrets["a password that is refused"], secrets["a reason"] = rand.Text(), rand.Text()
	hosts[1].Password = known(secret.New(secrets["a password that is refused"]))
	hosts[2].HostKey = hosts[0].HostKey
	hosts[3].Password = func(context.Context) (secret.Text, error) { return secret.Text{}, errors.New(secrets["a reason"]) }
	for name, signer := range map[string]ssh.Signer{"good.airlock.test": good, "bad.airlock.test": bad} {
		byKey, hostKey := serveSSH(t, good.PublicKey())
		f.up.SSH = append(f.up.SSH, sessions.SSHHost{Name: name, Addr: byKey, User: "root", HostKey: hostKey,
			Signer: func(context.Context) (ssh.Signer, error) { return signer, nil }})
	}
	g, end := f.open(t, "one")
	s := &script{Grant: g}

	c := s.record(t, "esx01")
	for _, command := range []string{"uname -a", "nothing", "cat /etc/missing", "ls -l /", "exit 3"} {
		out, errs, _ := run(t, c, command, nil)
		_, _ = io.WriteString(&s.received, out+errs)
	}
	shell(t, c)
	files, err := sftp.NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	for w := files.Walk("/"); w.Step(); {
		_, _ = io.WriteString(&s.received, w.Path())
		if r, err := files.Open(w.Path()); err == nil {
			_, _ = r.WriteTo(&s.received)
			_ = r.Close()
		}
	}
	for _, kind := range []string{"direct-tcpip", "x11"} {
		_, _, err := c.OpenChannel(kind, nil)
		_, _ = io.WriteString(&s.received, err.Error())
	}
	for host, words := range map[string]string{"esx02": "refused Airlock's own", "esx03": "another SSH host key", "VC": "could not read",
		"good": "refused another channel", "bad": "refused Airlock's own"} {
		_, err := s.record(t, host).NewSession()
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Fatalf("%s: %v; want %q", host, err, words)
		}
		_, _ = io.WriteString(&s.received, err.Error())
	}
	end()
	received := s.received.String()
	if !strings.Contains(received, "VMkernel") || !strings.Contains(received, "SSH-2.0-Airlock") {
		t.Fatal("what the script received was not kept")
	}
	for what, canary := range secrets {
		if forms := leaks(received, canary); len(forms) > 0 {
			t.Errorf("the script received %s: %v", what, forms)
		}
		if forms := leaks(fmt.Sprintf("%+v", f.events.all), canary); len(forms) > 0 {
			t.Errorf("the audit has %s: %v", what, forms)
		}
	}
}
