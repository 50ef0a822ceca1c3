package sshd_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions/simcloud/internal/sshd"
)

const password = "not in any file"

// host is a running server over a directory, and what lies beside that directory.
type host struct {
	*sshd.Server
	dir, outside string
	open         atomic.Int32
}

func listen(t *testing.T, system sshd.System) *host {
	t.Helper()
	h := &host{dir: t.TempDir(), outside: t.TempDir()}
	write(t, filepath.Join(h.dir, "etc", "motd"), "hello\n")
	write(t, filepath.Join(h.outside, "secret"), "of the machine\n")
	root, err := os.OpenRoot(h.dir)
	if err != nil {
		t.Fatal(err)
	}
	h.Server, err = sshd.Listen(t.Context(), sshd.Host{
		Name: "esx01.sddc1.airlock.test", System: system, Root: root, User: "root", Password: secret.New(password),
		Opened: func() { h.open.Add(1) }, Closed: func() { h.open.Add(-1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = h.Close(), root.Close() })
	return h
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (h *host) dial(t *testing.T) *ssh.Client {
	t.Helper()
	c, err := ssh.Dial("tcp", h.Addr(), &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: ssh.FixedHostKey(h.HostKey()),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// exec runs one command line and returns what came back.
func exec(t *testing.T, c *ssh.Client, line, stdin string) (stdout, stderr string, status int) {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var out, errs bytes.Buffer
	s.Stdin, s.Stdout, s.Stderr = strings.NewReader(stdin), &out, &errs
	err = s.Run(line)
	if e, ok := errors.AsType[*ssh.ExitError](err); ok {
		return out.String(), errs.String(), e.ExitStatus()
	}
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return out.String(), errs.String(), 0
}

func TestExec(t *testing.T) {
	t.Parallel()
	c := listen(t, sshd.ESXi).dial(t)
	for _, tt := range []struct {
		line, stdin, stdout, stderr string
		status                      int
	}{
		{line: "uname", stdout: "VMkernel\n"},
		{line: "uname -n", stdout: "esx01.sddc1.airlock.test\n"},
		{line: "uname -a", stdout: "VMkernel esx01.sddc1.airlock.test 8.0.2 #1 SMP Release build-22380479 x86_64\n"},
		{line: "uname -q", stderr: "uname: unrecognized option: -q\n", status: 1},
		{line: "echo -n one  'two  three' \"four $\"five", stderr: "sh: '$' is not simulated: quote it with '…'\n", status: 2},
		{line: `echo one  'two  three' "fo\"ur" \$HOME # five`, stdout: "one two  three fo\"ur $HOME\n"},
		{line: "echo -n x", stdout: "x"},
		{line: "echo 'x", stderr: "sh: unterminated quoted string\n", status: 2},
		{line: "cat /etc/motd etc/motd", stdout: "hello\nhello\n"},
		{line: "cat", stdin: "through\n", stdout: "through\n"},
		{line: "cat /none /etc/motd", stdout: "hello\n", stderr: "cat: can't open '/none': No such file or directory\n", status: 1},
		{line: "cat /etc", stderr: "cat: can't open '/etc': Is a directory\n", status: 1},
		{line: "ls /", stdout: "etc\n"},
		{line: "ls /etc/motd", stdout: "motd\n"},
		{line: "ls /none", stderr: "ls: /none: No such file or directory\n", status: 1},
		{line: "esxcli system version get", stdout: "   Product: VMware ESXi\n   Version: 8.0.2\n   Build: Releasebuild-22380479\n   Update: 2\n   Patch: 25\n"},
		{line: "esxcli vm kill", stderr: "Error: Unknown command or namespace vm kill\n", status: 1},
		{line: "exit 7", status: 7},
		{line: "exit 256", stderr: "sh: exit: 256: not a number from 0 to 255\n", status: 2},
		{line: "   "},
		{line: "vim-cmd vmsvc/getallvms", stderr: "sh: vim-cmd: not found\n", status: 127},
	} {
		stdout, stderr, status := exec(t, c, tt.line, tt.stdin)
		if stdout != tt.stdout || stderr != tt.stderr || status != tt.status {
			t.Errorf("%s: got %q, %q, status %d; want %q, %q, status %d",
				tt.line, stdout, stderr, status, tt.stdout, tt.stderr, tt.status)
		}
	}
	if out, _, status := exec(t, c, "uptime", ""); !strings.Contains(out, "up 12 days") || status != 0 {
		t.Errorf("uptime says %q, status %d", out, status)
	}
	if out, _, _ := exec(t, c, "ls -l /etc", ""); !strings.HasPrefix(out, "-rw-------") || !strings.HasSuffix(out, " motd\n") {
		t.Errorf("ls -l says %q", out)
	}
}

func TestVCenterHasNoEsxcli(t *testing.T) {
	t.Parallel()
	c := listen(t, sshd.VCenter).dial(t)
	if out, _, _ := exec(t, c, "uname", ""); out != "Linux\n" {
		t.Errorf("uname says %q", out)
	}
	if _, stderr, status := exec(t, c, "esxcli system version get", ""); status != 127 || stderr != "sh: esxcli: not found\n" {
		t.Errorf("got %q, status %d", stderr, status)
	}
}

// Whatever is sent, nothing of the machine runs and nothing beside the tree is read or written.
func TestExecRunsNothingOfTheMachine(t *testing.T) {
	t.Parallel()
	h := listen(t, sshd.ESXi)
	c := h.dial(t)
	canary := filepath.Join(h.outside, "canary")
	if err := os.Symlink(h.outside, filepath.Join(h.dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"touch " + canary, "/bin/sh -c 'touch " + canary + "'", "sh -c 'touch " + canary + "'", "echo x > " + canary,
		"echo x; touch " + canary, "echo $(touch " + canary + ")", "echo `touch " + canary + "`", "uname && touch " + canary,
		"uname | tee " + canary, "uname\ntouch " + canary, "exec touch " + canary, "env touch " + canary,
		"/usr/lib/openssh/sftp-server", "cat " + h.outside + "/secret", "cat /../../../.." + h.outside + "/secret",
		"cat /link/secret", "cat link/../link/secret", "ls /link", "ls /link/", "ls " + h.outside, "cat /proc/self/environ",
	} {
		stdout, stderr, status := exec(t, c, line, "")
		if status == 0 && strings.TrimSpace(stdout) != "link" && !strings.HasPrefix(stdout, "VMkernel") || strings.Contains(stdout, "machine") {
			t.Errorf("%q: %q, %q, status %d", line, stdout, stderr, status)
		}
	}
	if _, err := os.Stat(canary); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a command ran on the machine")
	}
}

// The old copying protocol stays within the tree too, whatever names the client gives. What OpenSSH's scp does with it is
// tested with the broker.
func TestScpStaysInside(t *testing.T) {
	t.Parallel()
	h := listen(t, sshd.ESXi)
	c := h.dial(t)
	if err := os.Symlink(h.outside, filepath.Join(h.dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, in := range [][2]string{
		{"scp -t /link", "C0644 1 canary\nx\x00"}, {"scp -t /link/canary", "C0644 1 canary\nx\x00"}, {"scp -t " + h.outside, "C0644 1 canary\nx\x00"},
		{"scp -t /etc", "C0644 1 ../link/canary\nx\x00"}, {"scp -rt /", "D0755 0 link\nC0644 1 canary\nx\x00E\n"},
		{"scp -rt /", "D0755 0 ..\n"}, {"scp -t /etc", "D0755 0 new\n"}, {"scp -d -t /new", "C0644 1 new\nx\x00"},
		{"scp -t /etc", "C0644 -1 new\n"}, {"scp -t /etc", "E\n"}, {"scp -t /etc", strings.Repeat("C", 5000)},
		{"scp -f /link/secret", "\x00\x00\x00"}, {"scp -rf /link", "\x00\x00\x00\x00"}, {"scp -f /etc", "\x00"}, {"scp /etc/motd /new", ""},
	} {
		out, _, status := exec(t, c, in[0], in[1])
		if status != 1 || strings.Contains(out, "of the machine") {
			t.Errorf("%s with %.40q: %q, status %d", in[0], in[1], out, status)
		}
	}
	if left, err := os.ReadDir(h.outside); err != nil || len(left) != 1 {
		t.Errorf("%v lie beside the tree, %v", left, err)
	}
	if left, err := os.ReadDir(h.dir); err != nil || len(left) != 2 {
		t.Errorf("%v are in the tree, %v", left, err)
	}
}

func TestShell(t *testing.T) {
	t.Parallel()
	s, err := listen(t, sshd.ESXi).dial(t).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	s.Stdin, s.Stdout, s.Stderr = strings.NewReader("uname\n\ncat\nnone\necho 'last line'\nexit 3\nuname\n"), &out, &errs
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	e, ok := errors.AsType[*ssh.ExitError](s.Wait())
	if !ok || e.ExitStatus() != 3 || out.String() != "VMkernel\nlast line\n" || errs.String() != "sh: none: not found\n" {
		t.Errorf("got %q, %q, %v", &out, &errs, e)
	}
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	s, err := listen(t, sshd.ESXi).dial(t).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RequestPty("xterm", 25, 80, nil); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s.Stdin, s.Stdout = strings.NewReader("unamx\x7fe\rnone\r\x03exi\x03\x04"), &out
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		if e, ok := errors.AsType[*ssh.ExitError](err); !ok || e.ExitStatus() != 0 {
			t.Fatal(err)
		}
	}
	const prompt = "[root@esx01:~] "
	want := prompt + "unamx\b \be\r\nVMkernel\r\n" + prompt + "none\r\nsh: none: not found\r\n" + prompt + "^C\r\n" + prompt + "exi^C\r\n" + prompt
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestOnlySessionsAndKnownRequests(t *testing.T) {
	t.Parallel()
	h := listen(t, sshd.ESXi)
	c := h.dial(t)
	if conn, err := c.Dial("tcp", h.Addr()); err == nil {
		_ = conn.Close()
		t.Error("the host forwards a port")
	}
	if l, err := c.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = l.Close()
		t.Error("the host listens for a client")
	}
	for _, request := range []string{"auth-agent-req@openssh.com", "x11-req", "env"} {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := s.SendRequest(request, true, []byte("x")); ok || err != nil {
			t.Errorf("%s: %v, %v; want a refusal", request, ok, err)
		}
		_ = s.Close()
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	h := listen(t, sshd.ESXi)
	for _, login := range [][2]string{{"root", "wrong"}, {"root", ""}, {"other", password}} {
		c, err := ssh.Dial("tcp", h.Addr(), &ssh.ClientConfig{
			User: login[0], Auth: []ssh.AuthMethod{ssh.Password(login[1])}, HostKeyCallback: ssh.FixedHostKey(h.HostKey()),
		})
		if err == nil {
			_ = c.Close()
			t.Errorf("%q with %q is let in", login[0], login[1])
		}
	}
	if n := h.open.Load(); n != 0 {
		t.Errorf("%d connections count as logged in", n)
	}
}

func TestSFTP(t *testing.T) {
	t.Parallel()
	c, err := sftp.NewClient(listen(t, sshd.ESXi).dial(t))
	if err != nil {
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if err := c.MkdirAll("/tmp/a/b"); err != nil {
		t.Fatal(err)
	}
	put(t, c, "/tmp/a/b/big", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, big)
	if got := get(t, c, "tmp/a/b/big"); !bytes.Equal(got, big) {
		t.Errorf("%d bytes came back, and not the same", len(got))
	}
	put(t, c, "/tmp/log", os.O_WRONLY|os.O_CREATE|os.O_APPEND, []byte("one\n"))
	put(t, c, "/tmp/log", os.O_WRONLY|os.O_CREATE|os.O_APPEND, []byte("two\n"))
	if got := get(t, c, "/tmp/log"); string(got) != "one\ntwo\n" {
		t.Errorf("after two appends the file has %q", got)
	}
	for _, err := range []error{
		c.Chmod("/tmp/log", 0o400), c.Chmod("/tmp/log", 0o640), c.Truncate("/tmp/log", 3), c.Rename("/tmp/log", "/tmp/new"),
		c.PosixRename("/tmp/a/b/big", "/tmp/new2"), c.Symlink("new", "/tmp/soft"), c.Link("/tmp/new", "/tmp/hard"),
		c.RemoveDirectory("/tmp/a/b"), c.Remove("/tmp/new2"),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	info, err := c.Stat("/tmp/soft")
	if err != nil || info.Size() != 3 || info.Mode() != 0o640 {
		t.Errorf("the link shows %v, %v", info, err)
	}
	if to, err := c.ReadLink("/tmp/soft"); to != "new" || err != nil {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	var names []string
	infos, err := c.ReadDir("/tmp")
	for _, i := range infos {
		names = append(names, i.Name())
	}
	if diff := cmp.Diff([]string{"a", "hard", "new", "soft"}, names); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for name, err := range map[string]error{
		"rename onto a file": c.Rename("/tmp/new", "/tmp/hard"), "remove nothing": c.Remove("/tmp/none"), "make twice": c.Mkdir("/tmp"),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := c.ReadDir("/tmp/new"); err == nil {
		t.Error("a file is listed as a directory")
	}
}

func put(t *testing.T, c *sftp.Client, name string, flags int, content []byte) {
	t.Helper()
	f, err := c.OpenFile(name, flags)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, c *sftp.Client, name string) []byte {
	t.Helper()
	f, err := c.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSFTPStaysInItsTree(t *testing.T) {
	t.Parallel()
	h := listen(t, sshd.ESXi)
	c, err := sftp.NewClient(h.dial(t))
	if err != nil {
		t.Fatal(err)
	}
	secretFile := filepath.Join(h.outside, "secret")
	rel, err := filepath.Rel(h.dir, h.outside)
	if err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"abs": h.outside, "absfile": secretFile, "rel": rel, "up": "..", "root": "/"} {
		if err := c.Symlink(to, "/"+name); err != nil {
			t.Fatal(err)
		}
	}
	follow := map[string]func(name string) error{
		"read":     func(name string) error { f, err := c.Open(name); return closed(f, err) },
		"create":   func(name string) error { f, err := c.OpenFile(name, os.O_RDWR|os.O_CREATE); return closed(f, err) },
		"truncate": func(name string) error { return c.Truncate(name, 0) },
		"chmod":    func(name string) error { return c.Chmod(name, 0o777) },
	}
	act := map[string]func(name string) error{ // on the name itself: a link in the tree may be moved, say
		"remove":  c.Remove,
		"mkdir":   c.Mkdir,
		"rename":  func(name string) error { return c.Rename("/etc/motd", name) },
		"replace": func(name string) error { return c.PosixRename("/etc/motd", name) },
		"link":    func(name string) error { return c.Link("/etc/motd", name) },
		"take":    func(name string) error { return c.PosixRename(name, "/taken") },
	}
	for _, name := range []string{
		"/absfile", secretFile, "/.." + secretFile, "../" + rel + "/secret", rel + "/secret", "/abs/secret", "/rel/secret",
		"/up/" + filepath.Base(h.outside) + "/secret", "/root" + secretFile, "/abs/new", "/rel/new", "/abs/../abs/new",
	} {
		for what, try := range follow {
			if try(name) == nil {
				t.Errorf("%s %s: no error", what, name)
			}
		}
		for what, try := range act {
			if name != "/absfile" && try(name) == nil {
				t.Errorf("%s %s: no error", what, name)
			}
		}
	}
	if b, err := os.ReadFile(secretFile); string(b) != "of the machine\n" || err != nil {
		t.Errorf("the file outside has %q, %v", b, err)
	}
	if entries, err := os.ReadDir(h.outside); len(entries) != 1 || err != nil {
		t.Errorf("outside are now %v, %v", entries, err)
	}
}

func closed(f *sftp.File, err error) error {
	if err == nil {
		_ = f.Close()
	}
	return err
}

func TestCloseEndsWhatIsOpen(t *testing.T) {
	t.Parallel()
	h := listen(t, sshd.ESXi)
	s, err := h.dial(t).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.StdinPipe() // never closed: cat waits
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := s.Start("cat"); err != nil {
		t.Fatal(err)
	}
	silent, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", h.Addr()) // never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if n := h.open.Load(); n != 1 {
		t.Errorf("%d connections are open, want 1", n)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if n := h.open.Load(); n != 0 {
		t.Errorf("%d connections are open after Close", n)
	}
	if err := s.Wait(); err == nil {
		t.Error("the command ended well though its host went away")
	}
}
