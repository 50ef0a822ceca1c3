package sandbox

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// None is the sandbox that isolates nothing: a process sees the machine as Airlock's own user does. It knows its
// processes by their session (setsid(2)) and, should one have left that, by what it has inherited: HOME, where it
// stands, the pipes and sockets of the room. One that sheds all of that is beyond it. The first process of a room dies
// with Airlock (PR_SET_PDEATHSIG); what it has started is found by Recover.
type None struct {
	boot    string
	spawner *spawner
}

// NewNone makes the sandbox. Descriptors that Airlock itself was started with are closed to what it starts from now on.
func NewNone() (*None, error) {
	s, err := newSpawner()
	if err != nil {
		return nil, err
	}
	return &None{bootID(), s}, nil
}

// Close implements Sandbox.
func (n *None) Close() error {
	n.spawner.close()
	return nil
}

// Open implements Sandbox.
func (n *None) Open(_ context.Context, p Place) (Room, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	r := &room{none: n, dir: p.Dir}
	for name, dir := range p.Libraries {
		if err := os.MkdirAll(r.Libraries(), 0o755); err != nil {
			return nil, err
		}
		if err := os.Symlink(dir, filepath.Join(r.Libraries(), name)); err != nil {
			return nil, err
		}
	}
	return r, nil
}

type room struct {
	none *None
	dir  string

	mu        sync.Mutex
	processes []*child
	trust     []string // the variable for Trust
	pipes     []string // that its processes were given
	listeners []net.Listener
}

// Listen opens a listener on a free loopback port: without a sandbox nothing can stand at the real name.
func (r *room) Listen(string, int) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listeners = append(r.listeners, l)
	return l, nil
}

// Trust implements Room.
func (r *room) Trust(authorities []byte) error {
	path := filepath.Join(r.dir, authoritiesFile)
	if err := os.WriteFile(path, authorities, 0o600); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trust = []string{"SSL_CERT_FILE=" + path}
	return nil
}

// Libraries implements Room: it is in the work directory.
func (r *room) Libraries() string { return filepath.Join(r.dir, libraries) }

// Start implements Room.
func (r *room) Start(c Command) (Process, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	home := filepath.Join(r.dir, Home)
	attr := &os.ProcAttr{
		Dir:   home,
		Env:   slices.Concat(environment(home, filepath.Join(r.dir, Tmp)), r.trust, c.Env),
		Files: append([]*os.File{cmp.Or(c.Stdin, null), c.Stdout, c.Stderr}, c.Files...),
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	}
	r.pipes = append(r.pipes, pipesOf(attr.Files)...)
	p, err := r.none.spawner.start(c.Path, append([]string{c.Path}, c.Args...), attr)
	if err != nil {
		return nil, err
	}
	started, _ := look(p.Pid)
	started.boot = r.none.boot
	ch := &child{process: p, id: started.identity, marks: marks{r.dir, slices.Clone(r.pipes)}}
	r.processes = append(r.processes, ch)
	if err := r.record(); err != nil {
		ch.Kill()
		return nil, err
	}
	return ch, nil
}

// Close implements Room.
func (r *room) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var first error
	for _, p := range r.processes {
		p.Kill()
		if err := p.reap(); err != nil && first == nil {
			first = err
		}
	}
	for _, l := range r.listeners {
		_ = l.Close()
	}
	if first != nil {
		return first // the record stays, for the next start to find what is left
	}
	r.processes, r.listeners = nil, nil
	return os.RemoveAll(recordPath(r.dir))
}

// child is the first process of a session.
type child struct {
	process *os.Process
	id      identity
	marks   marks

	once   sync.Once
	how    string
	left   error
	mu     sync.Mutex
	reaped bool
}

func (c *child) Wait() End {
	_ = c.reap()
	return End{How: c.how}
}

// reap waits for the process and takes it from the kernel's table only when its session is swept: as long as it
// stands there, its pid names no other session.
func (c *child) reap() error {
	c.once.Do(func() {
		for unix.Waitid(unix.P_PID, c.id.pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
		c.Kill()
		c.left = sweep(func(p process) bool {
			return p.start >= c.id.start && (p.session == c.id.pid || c.marks.on(p.pid) || c.marks.within(p.pid))
		})
		c.mu.Lock()
		defer c.mu.Unlock()
		c.reaped = true
		state, err := c.process.Wait()
		if err != nil {
			c.how = err.Error()
			return
		}
		status, _ := state.Sys().(syscall.WaitStatus)
		c.how = how(status)
	})
	return c.left
}

// how says in words how a process ended.
func how(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "signal: " + status.Signal().String()
	}
	return fmt.Sprintf("exit code %d", status.ExitStatus())
}

func (c *child) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped {
		_ = unix.Kill(-c.id.pid, unix.SIGKILL) // the whole group, before the sweep looks for what has left it
	}
}
