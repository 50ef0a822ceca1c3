// Package sandboxtest is what every sandbox has to pass. The test binary itself is the program that runs in the
// rooms: Main sends it there when it finds itself started under the child's name.
package sandboxtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/executor/internal/sandbox"
)

// Suite is what is tested.
type Suite struct {
	Name     string
	Open     func() (sandbox.Sandbox, error)
	Children bool     // programs may start others
	Runtime  []string // what the test binary needs to run
}

// Main is the TestMain of a package that calls Run.
func Main(m *testing.M, suites ...Suite) {
	switch filepath.Base(os.Args[0]) {
	case childName:
		child()
	case serverName:
		server(suites)
	default:
		os.Exit(m.Run())
	}
}

const (
	childName  = "sandboxtest-child"
	serverName = "sandboxtest-server"
)

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	t.Run("gives the process nothing but what it should have", s.testBare)
	t.Run("hands on arguments and standard input", s.testArguments)
	t.Run("refuses a command that is too long", s.testLongCommand)
	t.Run("shows libraries by their names", s.testLibraries)
	t.Run("refuses libraries with other names", s.testLibraryNames)
	t.Run("says how a process ended", s.testHow)
	t.Run("ends descendants with the process", s.testDescendants)
	t.Run("kills", s.testKill)
	t.Run("close ends what runs", s.testClose)
	t.Run("leads to the listeners", s.testListen)
	t.Run("hands on authorities and variables", s.testTrust)
	t.Run("an executable that is none", s.testNoExecutable)
	t.Run("recovers what a killed server left", s.testRecover)
}

// room is a room with a work directory.
type room struct {
	sandbox.Room
	t   *testing.T
	dir string
	exe string

	mu      sync.Mutex
	denials []sandbox.Denial
}

func (r *room) denied(d sandbox.Denial) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.denials = append(r.denials, d)
}

func (s Suite) newRoom(t *testing.T) *room {
	t.Helper()
	return s.newRoomWith(t, nil)
}

func (s Suite) newRoomWith(t *testing.T, libraries map[string]string) *room {
	t.Helper()
	sb, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	dir, exe := workDir(t), program(t, childName)
	r := &room{t: t, dir: dir, exe: exe}
	place := sandbox.Place{Dir: dir, Package: filepath.Dir(exe), Runtime: s.Runtime, Libraries: libraries, Denied: r.denied}
	if r.Room, err = sb.Open(context.Background(), place); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error("close:", err)
		}
		if err := sb.Close(); err != nil {
			t.Error("close the sandbox:", err)
		}
	})
	return r
}

// workDir makes a work directory as the executor does.
func workDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "work", "0193")
	for _, name := range []string{sandbox.Home, sandbox.Tmp} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// program copies the test binary under another name.
func program(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// kinds are the ways in which a descendant can go off; alone is the process itself.
func (s Suite) kinds() []string {
	if !s.Children {
		return []string{"alone"}
	}
	return []string{"same", "group", "session", "daemon", "detached"}
}

// start starts the child with a behaviour. What it and its descendants write comes out of the pipe, which ends when
// the last of them has ended.
func (r *room) start(behaviour ...string) (sandbox.Process, *bufio.Reader) {
	r.t.Helper()
	return r.startWith(nil, behaviour...)
}

func (r *room) startWith(env []string, behaviour ...string) (sandbox.Process, *bufio.Reader) {
	r.t.Helper()
	told, tell, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	p, out := r.startCommand(sandbox.Command{Env: env, Files: []*os.File{told}})
	told.Close()
	if err := json.NewEncoder(tell).Encode(behaviour); err != nil {
		r.t.Fatal(err)
	}
	tell.Close()
	return p, out
}

// startCommand starts the child, and reads what it writes.
func (r *room) startCommand(c sandbox.Command) (sandbox.Process, *bufio.Reader) {
	r.t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	c.Path, c.Stdout, c.Stderr = r.exe, in, in
	p, err := r.Start(c)
	if err != nil {
		r.t.Fatal(err)
	}
	in.Close()
	r.t.Cleanup(func() { out.Close() })
	if err := out.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	return p, bufio.NewReader(out)
}

func readLine(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal("the child said nothing:", err)
	}
	return strings.TrimSuffix(line, "\n")
}

// lock is the file in TMPDIR that descendants hold a lock on.
const lock = "lock"

// wantGone checks that nobody is left: nobody who holds the lock, and nobody who could write.
func wantGone(t *testing.T, dir string, r io.Reader) {
	t.Helper()
	if f, err := os.Open(filepath.Join(dir, sandbox.Tmp, lock)); err != nil {
		t.Errorf("there was no descendant: %v", err)
	} else if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Errorf("a descendant still runs: %v", err)
	} else {
		f.Close()
	}
	if rest, err := io.ReadAll(r); err != nil {
		t.Errorf("something of the room still runs: %v (it wrote %q)", err, rest)
	}
}

func (s Suite) testBare(t *testing.T) {
	// A secret of the server's own in the environment, and a descriptor that is open in it without close-on-exec.
	t.Setenv("AIRLOCK_TOKEN", "of the server")
	leak, err := syscall.Open(os.DevNull, syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(leak)
	r := s.newRoom(t)
	p, out := r.start("describe")
	var got description
	if err := json.Unmarshal([]byte(readLine(t, out)), &got); err != nil {
		t.Fatal(err)
	}
	p.Wait()
	names := []string{}
	for _, v := range got.Env {
		name, _, _ := strings.Cut(v, "=")
		names = append(names, name)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"HOME", "LANG", "PATH", "TMPDIR"}) {
		t.Errorf("environment: %v", got.Env)
	}
	if len(got.Args) != 1 {
		t.Errorf("arguments: %q", got.Args)
	}
	if !slices.Equal(got.Descriptors, []int{0, 1, 2, 3}) {
		t.Errorf("descriptors: %v", got.Descriptors)
	}
	if got.Dir != got.Home || got.Stdin != 0 {
		t.Errorf("it stands in %s with HOME %s, and read %d bytes", got.Dir, got.Home, got.Stdin)
	}
	for name, dir := range map[string]string{"HOME": got.Home, "TMPDIR": got.Tmp} {
		if dir == "" {
			t.Errorf("%s is empty", name)
		}
	}
	if _, err := os.Stat(filepath.Join(r.dir, sandbox.Home, "home-was-here")); err != nil {
		t.Errorf("HOME is not in the work directory: %v", err)
	}
	if _, err := os.Stat(filepath.Join(r.dir, sandbox.Tmp, "tmp-was-here")); err != nil {
		t.Errorf("TMPDIR is not in the work directory: %v", err)
	}
}

func (s Suite) testHow(t *testing.T) {
	r := s.newRoom(t)
	for behaviour, want := range map[string]string{"exit 0": "exit code 0", "exit 3": "exit code 3", "kill": "signal: killed"} {
		p, _ := r.start(strings.Fields(behaviour)...)
		if got := p.Wait().How; got != want {
			t.Errorf("%s: %q", behaviour, got)
		}
	}
}

func (s Suite) testDescendants(t *testing.T) {
	if !s.Children {
		s.testNoDescendants(t)
		return
	}
	for _, kind := range s.kinds() {
		r := s.newRoom(t)
		p, out := r.start("leave", kind)
		if got := p.Wait().How; got != "exit code 0" {
			t.Errorf("%s: %s", kind, got)
		}
		if kind != "same" { // may be beyond Wait, but not beyond Close
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		wantGone(t, r.dir, out)
	}
}

// testNoDescendants sees that an attempt to start a program fails, and is reported before it has.
func (s Suite) testNoDescendants(t *testing.T) {
	r := s.newRoom(t)
	p, out := r.start("leave", "same")
	if line := readLine(t, out); !strings.Contains(line, "operation not permitted") {
		t.Errorf("the child says %q", line)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.denials) == 0 || r.denials[0].Call != "clone" {
		t.Errorf("reported: %+v", r.denials)
	}
	if got := p.Wait().How; got != "exit code 1" {
		t.Error(got)
	}
}

func (s Suite) testKill(t *testing.T) {
	r := s.newRoom(t)
	p, out := r.start("stay", s.kinds()[0])
	readLine(t, out)
	p.Kill()
	if got := p.Wait().How; got != "signal: killed" {
		t.Error(got)
	}
	wantGone(t, r.dir, out)
	p.Kill()
}

func (s Suite) testClose(t *testing.T) {
	for _, kind := range s.kinds() {
		r := s.newRoom(t)
		_, one := r.start("stay", kind)
		_, two := r.start("stay", kind)
		readLine(t, one)
		readLine(t, two)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		wantGone(t, r.dir, one)
		wantGone(t, r.dir, two)
		if entries, err := os.ReadDir(filepath.Dir(r.dir)); err != nil || len(entries) != 1 {
			t.Errorf("%s: beside the work directory there is still something: %v %v", kind, entries, err)
		}
	}
}

func (s Suite) testListen(t *testing.T) {
	r := s.newRoom(t)
	l, err := r.Listen("vc.example.test", 443)
	if err != nil {
		t.Fatal(err)
	}
	_, out := r.start("dial", l.Addr().String())
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if got := readLine(t, out); got != "hello" {
		t.Errorf("the child heard %q", got)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("the listener outlived its room")
	}
}

func (s Suite) testTrust(t *testing.T) {
	r := s.newRoom(t)
	for _, authorities := range []string{"an authority\n", "another one\n"} {
		if err := r.Trust([]byte(authorities)); err != nil {
			t.Fatal(err)
		}
		_, out := r.startWith([]string{"HTTPS_PROXY=http://egress:3128"}, "trust")
		if proxy, trusted := readLine(t, out), readLine(t, out); proxy != "http://egress:3128" || trusted+"\n" != authorities {
			t.Errorf("the child has the proxy %q and trusts %q, not %q", proxy, trusted, authorities)
		}
	}
}

func (s Suite) testNoExecutable(t *testing.T) {
	r := s.newRoom(t)
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte("not an executable"), 0o755); err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, path := range []string{path, path + "-missing"} {
		if _, err := r.Start(sandbox.Command{Path: path, Stdout: null, Stderr: null}); err == nil {
			t.Errorf("%s was started", path)
		}
	}
}

func (s Suite) testRecover(t *testing.T) {
	for _, kind := range s.kinds() {
		if kind == "detached" {
			continue // cannot be told any more from somebody who looks at what was left
		}
		dir := workDir(t)
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		server := exec.Command(program(t, serverName), s.Name, dir, program(t, childName), kind)
		server.Stdout, server.Stderr = in, os.Stderr
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		in.Close()
		if err := out.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		readLine(t, lines)
		children := watchChildren(t, server.Process.Pid)
		if err := server.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = server.Wait()
		if !s.Children { // the kernel ends all that the server has started, with it: rooms, and what waits to be one
			wantEnded(t, children)
			if _, err := io.ReadAll(lines); err != nil {
				t.Errorf("the process outlives its server: %v", err)
			}
		}
		sb, err := s.Open()
		if err != nil {
			t.Fatal(err)
		}
		if err := sb.Recover(dir); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		wantGone(t, dir, lines)
		if err := sb.Recover(dir); err != nil {
			t.Errorf("%s, again: %v", kind, err)
		}
		if err := sb.Close(); err != nil {
			t.Error(err)
		}
		out.Close()
	}
}

// watchChildren opens the children of a process, as pidfds.
func watchChildren(t *testing.T, pid int) (fds []int) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("%v: %d has no threads", err, pid)
	}
	for _, task := range tasks {
		data, _ := os.ReadFile(task)
		for _, child := range strings.Fields(string(data)) {
			if n, err := strconv.Atoi(child); err == nil {
				if fd, err := unix.PidfdOpen(n, 0); err == nil {
					t.Cleanup(func() { unix.Close(fd) })
					fds = append(fds, fd)
				}
			}
		}
	}
	return fds
}

// wantEnded waits for the end of processes, of which there has to be one.
func wantEnded(t *testing.T, fds []int) {
	t.Helper()
	if len(fds) == 0 {
		t.Error("the server has no children")
	}
	for _, fd := range fds {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 60_000)
		for err == unix.EINTR {
			n, err = unix.Poll(poll, 60_000)
		}
		if n != 1 {
			t.Errorf("a process outlives its server (%v)", err)
		}
	}
}

// dial is what a child does to reach a listener.
func dial(addr string) (net.Conn, error) { return net.DialTimeout("tcp", addr, 10*time.Second) }
