package sandbox_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/executor/internal/workdir"
)

// world is what attacks aim at: target of sandboxtest/attack.
type world struct {
	Attack            string
	Secret, Directory string
	Socket, Abstract  string
	TCP, UDP          string
	Other, Simulator  string
	Process           int
	Canary            string
	Address           uintptr
	SharedKey         int
	Queue             string
	Full              string
	Amount            int
}

// attackLimits let the attacks on resources be short.
var attackLimits = sandbox.Limits{Memory: 96 << 20, Threads: 128, Files: 256, WorkDirectory: 16 << 20}

// TestIsolatedAttacks tries every way out that is known, in a room, and without one.
func TestIsolatedAttacks(t *testing.T) {
	program := attackProgram(t)
	w := newWorld(t)
	isolating, err := sandbox.NewIsolated(attackLimits)
	if err != nil {
		t.Fatal(err)
	}
	defer isolating.Close()
	bare, err := sandbox.NewNone()
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	room := openRoom(t, isolating, program)
	outside := openRoom(t, bare, program)
	for _, a := range attempts {
		t.Run(a.name, func(t *testing.T) {
			if a.rooted && os.Getuid() != 0 {
				t.Skip("not guarded against")
			}
			in, out := room, outside
			if a.amount > 0 { // may be the end of the room
				in, out = openRoom(t, isolating, program), openRoom(t, bare, program)
			}
			w := w
			w.Attack, w.Amount = a.name, a.amount
			said, end := tryAttack(t, in, program, w, false)
			switch {
			case a.limit == sandbox.Threads && os.Getuid() != 0: // without control groups it may be seen, or not
				if said == "succeeded" {
					t.Errorf("it ended with %+v", end)
				}
			case a.limit != "" && end.Limit != a.limit:
				t.Errorf("it says %q, and ended with %+v, not of the limit of its %s", said, end, a.limit)
			case a.limit == "" && said == "succeeded":
				t.Errorf("it succeeds; the guards are %s", a.guards)
			case a.limit == "" && !strings.Contains(said+" "+end.How, a.says):
				t.Errorf("it says %q and %+v, not %q", said, end, a.says)
			}
			if a.root && os.Getuid() != 0 {
				return
			}
			said, end = tryAttack(t, out, program, w, a.limit != "")
			if a.varies && strings.HasPrefix(said, "blocked") {
				t.Logf("without guards: %s", said)
			} else if said != "succeeded" {
				t.Errorf("without guards it says %q and %+v: the attack itself is wrong", said, end)
			}
		})
	}
	if len(attempts) < 50 {
		t.Errorf("there are %d attempts only", len(attempts))
	}
}

// attackProgram builds the hostile script, into a directory of its own.
func attackProgram(t testing.TB) string {
	t.Helper()
	if given := os.Getenv("AIRLOCK_TEST_ATTACK"); given != "" { // an ordinary user may have no compiler's cache
		return given
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "attack")
	build := exec.Command("go", "build", "-o", path, "github.com/airlock-run/airlock/executor/internal/sandboxtest/attack")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// openRoom opens a room with the program's directory as its package.
func openRoom(t *testing.T, s sandbox.Sandbox, program string) sandbox.Room {
	t.Helper()
	dirs, err := workdir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const id = "0193"
	if err := dirs.Make(id); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), sandbox.Place{Dir: dirs.Path(id), Package: filepath.Dir(program)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(r.Close(), dirs.Remove(id)); err != nil {
			t.Error(err)
		}
		if left, err := dirs.Left(); err != nil || len(left) > 0 {
			t.Errorf("there is still %v (%v)", left, err)
		}
		dirs.Close()
	})
	return r
}

// tryAttack runs the program and returns its last line, and how it ended. One that holds what it has taken is ended.
func tryAttack(t *testing.T, r sandbox.Room, program string, w world, holds bool) (said string, end sandbox.End) {
	t.Helper()
	var kill func()
	if holds {
		kill = func() {}
	}
	said, end, err := tryUntil(r, program, w, kill)
	if err != nil {
		t.Fatal(err)
	}
	return said, end
}

// tryUntil runs the program, which is killed when it has succeeded unless kill is nil; kill is called just before.
func tryUntil(r sandbox.Room, program string, w world, kill func()) (said string, end sandbox.End, err error) {
	out, in, err := os.Pipe()
	if err != nil {
		return "", end, err
	}
	defer out.Close()
	told, tell, err := os.Pipe()
	if err != nil {
		return "", end, errors.Join(err, in.Close())
	}
	p, err := r.Start(sandbox.Command{Path: program, Stdout: in, Stderr: in, Files: []*os.File{told}})
	in.Close()
	told.Close()
	if err != nil {
		return "", end, errors.Join(err, tell.Close())
	}
	err = errors.Join(json.NewEncoder(tell).Encode(w), tell.Close(), out.SetReadDeadline(time.Now().Add(3*time.Minute)))
	if err != nil {
		p.Kill()
		return "", p.Wait(), err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if said = lines.Text(); said == "succeeded" && kill != nil {
			kill()
			p.Kill()
		}
	}
	if err := lines.Err(); err != nil { // it neither goes on nor ends
		p.Kill()
		return said, p.Wait(), err
	}
	return said, p.Wait(), nil
}

// newWorld sets up what attacks aim at. All of it can be had by the test's own user.
func newWorld(t *testing.T) world {
	t.Helper()
	w := world{Canary: "canary-4711-of-the-machine", Abstract: fmt.Sprint("airlock-attack-", os.Getpid())}
	w.Directory = t.TempDir()
	w.Secret = filepath.Join(w.Directory, "secret")
	if err := os.WriteFile(w.Secret, []byte(w.Canary), 0o644); err != nil {
		t.Fatal(err)
	}
	w.Socket = filepath.Join(w.Directory, "socket")
	speak := func(network, address string) string { return speaking(t, network, address) }
	speak("unix", w.Socket)
	speak("unix", "@"+w.Abstract)
	w.TCP, w.Simulator, w.Other = speak("tcp4", "127.0.0.1:0"), speak("tcp4", "127.0.0.1:0"), speak("tcp4", otherAddress(t))
	w.UDP = answering(t)
	w.Full = filepath.Join("/tmp", filepath.Base(w.Directory)+w.Abstract)
	t.Cleanup(func() { os.Remove(w.Full) })
	w.Process, w.Address = victim(t, w.Canary)
	w.SharedKey = sharedMemory(t)
	w.Queue = queue(t)
	return w
}

// speaking listens, and says a line to everybody.
func speaking(t *testing.T, network, address string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "hello\n")
			c.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

func answering(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		b := make([]byte, 64)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(b[:n], from)
		}
	})
	t.Cleanup(func() {
		c.Close()
		serving.Wait()
	})
	return c.LocalAddr().String()
}

// otherAddress is an address of the machine that is not 127.0.0.1.
func otherAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String() + ":0"
		}
	}
	return "127.0.0.2:0"
}

// victim starts a process that holds the canary in its environment and memory, and says where.
func victim(t *testing.T, canary string) (pid int, address uintptr) {
	t.Helper()
	c := exec.Command("/proc/self/exe")
	c.Args = []string{victimName}
	c.Env = []string{"CANARY=" + canary}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = c.Wait()
	})
	if _, err := fmt.Fscan(out, &address); err != nil {
		t.Fatal(err)
	}
	return c.Process.Pid, address
}

const victimName = "sandbox-victim"

// beVictim is the victim's program: it ends with its input.
func beVictim() {
	canary := []byte(os.Getenv("CANARY"))
	fmt.Println(uintptr(unsafe.Pointer(&canary[0])))
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = canary[0]
}

// sharedMemory makes a segment of System V shared memory that anybody may read.
func sharedMemory(t *testing.T) int {
	t.Helper()
	key := 0x41000000 | os.Getpid()
	id, err := unix.SysvShmGet(key, 4096, unix.IPC_CREAT|unix.IPC_EXCL|0o666)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) })
	return key
}

// queue makes a POSIX message queue; its name has no slash for the kernel.
func queue(t *testing.T) string {
	t.Helper()
	name := fmt.Sprint("airlock-attack-", os.Getpid())
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		t.Fatal(err)
	}
	fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(p)), unix.O_CREAT|unix.O_RDWR, 0o666, 0, 0, 0)
	if errno != 0 {
		t.Logf("there are no message queues: %v", errno)
		return name
	}
	t.Cleanup(func() {
		unix.Close(int(fd))
		_, _, _ = unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(p)), 0, 0)
	})
	return name
}
