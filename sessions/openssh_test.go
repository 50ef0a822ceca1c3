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

// TestOpenSSH uses the system's clients, as a vendor's tools do.
func TestOpenSSH(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"ssh", "sftp", "scp"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s in PATH", tool)
		}
	}
	f := newFixture(t)
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	dir, e := t.TempDir(), s.endpoint(t, "esx01")
	_, port, _ := net.SplitHostPort(e.Addr)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := write("config", fmt.Sprintf("Host %s\n HostName 127.0.0.1\n Port %s\n User %s\n IdentityFile %s\n IdentitiesOnly yes\n"+
		" HostKeyAlias %[1]s\n UserKnownHostsFile %[5]s\n StrictHostKeyChecking yes\n BatchMode yes\n", e.Host, port, g.User,
		write("key", g.Key.Reveal()), write("known", e.Host+" "+e.HostKey+"\n")))
	file := write("file", strings.Repeat("a line\n", 100_000))
	batch := write("batch", fmt.Sprintf("put %s /tmp/there\nget /tmp/there %s\n", file, file+".back"))
	for name, command := range map[string][]string{
		"ssh":  {"ssh", "-F", config, e.Host, "uname -a"},
		"sftp": {"sftp", "-F", config, "-b", batch, e.Host},
		"scp":  {"scp", "-F", config, file, e.Host + ":/tmp/copied"},
	} {
		out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
		if name == "scp" { // the simulated host ends SFTP without an exit status: what counts is the file, below
			continue
		}
		if err != nil || name == "ssh" && !strings.Contains(string(out), e.Host) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	back, err := os.ReadFile(file + ".back")
	if err != nil || len(back) != 700_000 {
		t.Errorf("sftp brought back %d bytes, %v", len(back), err)
	}
	if out, _, _ := run(t, s.ssh(t, "esx01"), "ls /tmp", nil); !strings.Contains(out, "copied") {
		t.Errorf("ls /tmp = %q; want the file that scp brought", out)
	}
	out, err := exec.CommandContext(t.Context(), "ssh", "-F", config, e.Host, "exit 9").CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 9 {
		t.Errorf("ssh … exit 9 ended with %v\n%s", err, out)
	}
}
