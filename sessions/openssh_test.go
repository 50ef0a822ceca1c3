package sessions_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/errors"
)

func needOpenSSH(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"ssh", "sftp", "scp"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s in PATH", tool)
		}
	}
}

// openSSH writes what OpenSSH's clients need for a host into dir: the path of their configuration, and the host's name.
func (s *script) openSSH(t *testing.T, dir, host string) (config, name string) {
	t.Helper()
	e := s.endpoint(t, host)
	_, port, _ := net.SplitHostPort(e.Addr)
	config, key, known := filepath.Join(dir, "config"), filepath.Join(dir, "key"), filepath.Join(dir, "known")
	for path, text := range map[string]string{
		key: s.Key.Reveal(), known: e.Host + " " + e.HostKey + "\n",
		config: fmt.Sprintf("Host %s\n HostName 127.0.0.1\n Port %s\n User %s\n IdentityFile %s\n IdentitiesOnly yes\n"+
			" HostKeyAlias %[1]s\n UserKnownHostsFile %[5]s\n StrictHostKeyChecking yes\n BatchMode yes\n", e.Host, port, s.User, key, known),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config, e.Host
}

// TestOpenSSH uses the system's clients, as a vendor's tools do.
func TestOpenSSH(t *testing.T) {
	t.Parallel()
	needOpenSSH(t)
	f := newFixture(t)
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	dir := t.TempDir()
	config, host := s.openSSH(t, dir, "esx01")
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := write("file", strings.Repeat("a line\n", 100_000))
	batch := write("batch", fmt.Sprintf("put %s /tmp/there\nget /tmp/there %[1]s.sftp\n", file))
	if err := os.MkdirAll(filepath.Join(dir, "tree", "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("tree/below/leaf", strings.Repeat("a line\n", 100_000))
	for _, c := range []struct {
		command, back string // back is the file that it should have brought
	}{
		{"sftp -F CONFIG -b " + batch + " HOST", "file.sftp"},
		{"scp -F CONFIG FILE HOST:/tmp/new", ""},
		{"scp -F CONFIG HOST:/tmp/new FILE.scp", "file.scp"},
		{"scp -F CONFIG -r DIR/tree HOST:/tmp", ""},
		{"scp -F CONFIG -r HOST:/tmp/tree DIR/back", "back/below/leaf"},
		{"scp -O -F CONFIG FILE HOST:/tmp/old", ""},
		{"scp -O -F CONFIG -p HOST:/tmp/old FILE.old", "file.old"},
		{"scp -O -F CONFIG -rp DIR/tree HOST:/var/log", ""},
		{"scp -O -F CONFIG -r HOST:/var/log/tree DIR/again", "again/below/leaf"},
	} {
		words := strings.Fields(strings.NewReplacer("CONFIG", config, "HOST", host, "FILE", file, "DIR", dir).Replace(c.command))
		if out, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", c.command, err, out)
		}
		if c.back == "" {
			continue
		}
		if back, err := os.ReadFile(filepath.Join(dir, c.back)); err != nil || string(back) != strings.Repeat("a line\n", 100_000) {
			t.Errorf("%s brought back %d bytes, %v", c.command, len(back), err)
		}
	}
	for _, path := range []string{"/tmp/there", "/tmp/new", "/tmp/tree/below/leaf"} {
		if !f.events.has("sftp/close", "ok", path) {
			t.Errorf("no event of %s, which was written by SFTP", path)
		}
	}
	out, err := exec.CommandContext(t.Context(), "ssh", "-F", config, host, "uname -a").CombinedOutput()
	if err != nil || !strings.Contains(string(out), host) {
		t.Errorf("uname -a: %v\n%s", err, out)
	}
	out, err = exec.CommandContext(t.Context(), "ssh", "-F", config, host, "exit 9").CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 9 {
		t.Errorf("ssh … exit 9 ended with %v\n%s", err, out)
	}
}
