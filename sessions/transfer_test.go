package sessions_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// zeros is a file without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestTransfersEndWithTheGrant has each client in the middle of a transfer without end when the execution ends.
func TestTransfersEndWithTheGrant(t *testing.T) {
	t.Parallel()
	needOpenSSH(t)
	f := newFixture(t)
	g, end := f.open(t, "one")
	s := &script{Grant: g}
	dir := t.TempDir()
	config, host := s.openSSH(t, dir, "esx01")
	const endless = 1 << 40
	here := filepath.Join(dir, "big")
	if err := os.WriteFile(here, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(here, endless); err != nil {
		t.Fatal(err)
	}
	files, err := sftp.NewClient(s.ssh(t, "esx01"))
	if err != nil {
		t.Fatal(err)
	}
	big, err := files.Create("/tmp/big")
	if err != nil {
		t.Fatal(err)
	}
	if err := big.Truncate(endless); err != nil {
		t.Fatal(err)
	}

	ended := make(chan string, 10)
	go func() {
		_, err := big.ReadFrom(zeros{})
		ended <- fmt.Sprintf("pkg/sftp: %v", err)
	}()
	start := func(words ...string) {
		command := exec.CommandContext(t.Context(), words[0], words[1:]...)
		if _, err := command.StdinPipe(); err != nil { // open, and nothing comes
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { ended <- fmt.Sprintf("%s %s: %v", words[0], words[len(words)-1], command.Wait()) }()
	}
	down, old := filepath.Join(dir, "down"), filepath.Join(dir, "old")
	start("scp", "-F", config, host+":/tmp/big", down)
	start("scp", "-O", "-F", config, host+":/tmp/big", old)
	for _, path := range []string{down, old} {
		waitUntil(t, func() bool {
			info, err := os.Stat(path)
			return err == nil && info.Size() > 0
		})
	}
	start("scp", "-F", config, here, host+":/var/up")
	start("scp", "-O", "-F", config, here, host+":/var/up-old")
	batch := filepath.Join(dir, "batch")
	if err := os.WriteFile(batch, []byte("put "+here+" /var/up-sftp\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start("sftp", "-F", config, "-b", batch, host)
	start("ssh", "-F", config, "-tt", host)
	waitUntil(t, func() bool {
		out, _, _ := run(t, s.ssh(t, "esx01"), "ls /var", nil)
		return strings.Contains(out, "up\n") && strings.Contains(out, "up-old") && strings.Contains(out, "up-sftp")
	})

	begin := time.Now()
	end()
	t.Logf("the grant ended in %s", time.Since(begin))
	for range 7 {
		how := wait(t, ended, "the end of a transfer")
		t.Logf("after %s ended %s", time.Since(begin), how)
		if strings.HasSuffix(how, "<nil>") {
			t.Errorf("%s; want that it was cut", how)
		}
	}
	f.nothingLeft(t)
	for _, e := range [][3]string{{"ssh/exec", "cut", "scp"}, {"ssh/sftp", "cut", "esx01"}, {"sftp/close", "cut", "/tmp/big"}, {"sftp/close", "cut", "/var/up"}} {
		if !f.events.has(e[0], e[1], e[2]) {
			t.Errorf("there is no event %s %s with %s", e[0], e[1], e[2])
		}
	}
}

// A transfer during which keys are changed many times arrives whole.
func TestSSHChangesKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	config := s.sshConfig(t, "esx01")
	config.RekeyThreshold = 256 << 10
	c, err := ssh.Dial("tcp", s.endpoint(t, "esx01").Addr, config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	transfer(t, c)
}

// An SFTP session that says what nobody could account for ends, with words, and its host does not see it.
func TestSFTPThatCannotBeFollowed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, end := f.open(t, "one")
	s := &script{Grant: g}
	c := s.ssh(t, "esx01")
	session, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	in, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := session.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.RequestSubsystem("sftp"); err != nil {
		t.Fatal(err)
	}
	_, _ = in.Write([]byte{0, 0, 0, 5, 1, 0, 0, 0, 3})
	if _, err := io.ReadFull(out, make([]byte, 9)); err != nil {
		t.Fatal(err)
	}
	mkdir := []byte("\x00\x00\x00\x11\x0e\x00\x00\x00\x01\x00\x00\x00\x04/new\x00\x00\x00\x00")
	_, _ = in.Write(append([]byte{0, 0, 0, 5, 22, 0, 0, 0, 1}, mkdir...)) // a request of version 6 before one of version 3
	_, _ = io.Copy(io.Discard, out)
	if said, _ := io.ReadAll(errs); !strings.Contains(string(said), "Airlock ended this SFTP session") || !strings.Contains(string(said), "kind 22") {
		t.Errorf("the script is told %q", said)
	}
	if names, _, _ := run(t, c, "ls /", nil); strings.Contains(names, "new") {
		t.Error("what came with it was done")
	}
	end()
	if !f.events.has("ssh/refused", "sftp-form", "kind 22") || f.events.has("sftp/mkdir", "ok") {
		t.Error("the end is not audited, or what was not done is")
	}
}
