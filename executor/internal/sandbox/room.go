package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/executor/internal/sandbox/cgroup"
	"github.com/airlock-run/airlock/executor/internal/sandbox/seccomp"
	"github.com/airlock-run/airlock/executor/internal/sandbox/stage"
)

// isolatedRoom is a room of Isolated.
type isolatedRoom struct {
	sandbox *Isolated
	place   Place
	init    *os.Process    // the stage
	control *os.File       // the socket to it
	answers chan answer    // of the stage
	gone    chan struct{}  // closed when the stage, and so all of the room, is gone
	over    chan struct{}  // closed by Close
	bounded chan struct{}  // closed when bound has returned
	work    sync.WaitGroup // the room's goroutines

	boundErr error // then

	asking sync.Mutex // one request at a time

	mu        sync.Mutex
	closed    bool
	names     *names
	listeners []net.Listener
	trust     []string // the variable for Trust
	group     *cgroup.Group
	processes map[int]*isolatedProcess // by pid in the room
	hosts     []*os.Process            // they, as the machine sees them
	ended     bool                     // no process runs any more
	watching  bool
	limit     Limit // that the room was killed for
	threads   int   // the most that a process was seen with

	failures atomic.Int32 // of measuring, one after the other

	telling sync.Mutex // of denials
	denials int
}

// answer is an answer of the stage.
type answer struct {
	stage.Answer
	file int // that came with it, -1 for none
}

var errRoomGone = errors.New("the room has ended")

// ask makes a request of the stage and returns the answer to it.
func (r *isolatedRoom) ask(m stage.Message) (answer, error) {
	defer time.AfterFunc(patience, r.killAll).Stop()
	r.asking.Lock()
	defer r.asking.Unlock()
	if err := r.send(m); err != nil {
		return answer{}, err
	}
	return r.answer()
}

func (r *isolatedRoom) send(m stage.Message) error {
	raw, err := r.control.SyscallConn()
	if err != nil {
		return errRoomGone
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = stage.Send(int(fd), m) }); err != nil || sent == unix.EPIPE {
		return errRoomGone
	}
	return sent
}

// answer waits for the stage's next answer.
func (r *isolatedRoom) answer() (answer, error) {
	a, ok := <-r.answers
	switch {
	case !ok:
		return a, errRoomGone
	case a.Err != "":
		return a, &stageError{a.Err, a.Errno}
	}
	return a, nil
}

// stageError is an error of the stage's.
type stageError struct {
	text  string
	errno syscall.Errno
}

func (e *stageError) Error() string { return e.text }
func (e *stageError) Unwrap() error { return e.errno }

// hear takes what the stage says, until it is gone.
func (r *isolatedRoom) hear() {
	defer r.allEnded()
	defer close(r.answers)
	raw, err := r.control.SyscallConn()
	if err != nil {
		return
	}
	for {
		var m stage.Message
		var received error
		err := raw.Read(func(fd uintptr) bool {
			m, received = stage.Receive(int(fd))
			return received != unix.EAGAIN
		})
		if err != nil || received != nil {
			return
		}
		a := answer{file: -1}
		if a.Answer, err = stage.Parse(m); err != nil {
			return
		}
		if len(m.Files) > 0 {
			a.file = m.Files[0]
		}
		if a.Ended {
			r.mu.Lock()
			r.process(a.PID).ended(a.Answer)
			r.mu.Unlock()
			continue
		}
		select {
		case r.answers <- a:
		case <-r.over:
			if a.file >= 0 {
				unix.Close(a.file)
			}
		}
	}
}

// Listen implements Room.
func (r *isolatedRoom) Listen(host string, port int) (net.Listener, error) {
	r.mu.Lock()
	ip, err := r.names.of(host)
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	a, err := r.ask(stage.Listen(ip.As4(), port))
	if err != nil {
		return nil, fmt.Errorf("listen at %s, port %d, in the room: %w", host, port, err)
	}
	f := os.NewFile(uintptr(a.file), "listener")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listeners = append(r.listeners, l)
	if r.watching {
		err = r.writeHosts()
	}
	return l, err
}

// Trust implements Room.
func (r *isolatedRoom) Trust(authorities []byte) error {
	if err := r.writeEtcFile(authoritiesFile, string(authorities)); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trust = []string{"SSL_CERT_FILE=" + filepath.Join(stage.Etc, authoritiesFile)}
	return nil
}

// Libraries implements Room.
func (r *isolatedRoom) Libraries() string { return stage.Libraries }

// Start implements Room.
func (r *isolatedRoom) Start(c Command) (_ Process, err error) {
	defer func() {
		if err != nil {
			err = &os.PathError{Op: "start", Path: c.Path, Err: err}
		}
	}()
	if err := c.check(); err != nil {
		return nil, err
	}
	program := stage.Program{Args: c.Args, Filter: r.sandbox.filter, Stdin: c.Stdin != nil}
	if program.Path, err = r.inside(c.Path); err != nil {
		return nil, err
	}
	defer time.AfterFunc(patience, r.killAll).Stop()
	if <-r.bounded; r.boundErr != nil {
		return nil, fmt.Errorf("bound the room: %w", r.boundErr)
	}
	r.mu.Lock()
	program.Env = slices.Concat(environment(stage.Home, stage.Tmp), r.trust, c.Env)
	err = r.writeHosts()
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	for _, f := range slices.Concat([]*os.File{c.Stdin, c.Stdout, c.Stderr}, c.Files) {
		if f != nil {
			program.Files = append(program.Files, int(f.Fd()))
		}
	}
	r.asking.Lock()
	defer r.asking.Unlock()
	if err := r.send(stage.Start(program)); err != nil {
		return nil, err
	}
	a, err := r.answer()
	if err != nil {
		return nil, err
	}
	if !a.Filter {
		return nil, errors.New("the stage sent no filter")
	}
	notifier, err := seccomp.NewNotifier(a.file)
	if err != nil {
		return nil, err
	}
	admitted := &admission{}
	r.work.Go(func() { r.decide(notifier, admitted) })
	a, err = r.answer()
	r.mu.Lock()
	defer r.mu.Unlock()
	if admitted.host != nil {
		r.hosts = append(r.hosts, admitted.host)
	}
	if err != nil {
		return nil, errors.Join(admitted.err, err)
	}
	p := r.process(a.PID)
	p.host = admitted.host
	r.watch()
	return p, nil
}

// inside is the path in the room of a program of the machine.
func (r *isolatedRoom) inside(path string) (string, error) {
	if rel, err := filepath.Rel(r.place.Package, path); err == nil && filepath.IsLocal(rel) {
		return filepath.Join(stage.Package, rel), nil
	}
	for _, dir := range r.place.Runtime {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			return path, nil
		}
	}
	return "", errors.New("it lies neither in the package nor in the runtime")
}

// killAll kills the stage, and with it the room. The programs come first: the kernel does the rest on the stage's
// behalf, and they could keep it from a processor.
func (r *isolatedRoom) killAll() {
	for _, p := range r.programs() {
		_ = p.Kill()
	}
	_ = r.init.Kill()
}

// Close implements Room.
func (r *isolatedRoom) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	first := !isClosed(r.over)
	if first {
		close(r.over)
	}
	listeners := r.listeners
	r.listeners = nil
	r.mu.Unlock()
	for _, l := range listeners {
		_ = l.Close()
	}
	if r.init != nil {
		r.killAll()
		select {
		case <-r.gone:
		case <-time.After(patience):
			return fmt.Errorf("the room of %s did not end within %v when it was killed", r.place.Dir, patience)
		}
	}
	r.work.Wait()
	if r.control != nil {
		_ = r.control.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, p := range r.hosts {
		_ = p.Release()
	}
	if r.group != nil {
		if err := r.group.Remove(); err != nil {
			return err // the record stays, for the next start
		}
	}
	return os.RemoveAll(recordPath(r.place.Dir))
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// etc is the directory in the work directory that the room sees as /etc.
const etc = "etc"

// writeEtc writes the files of /etc: names are looked up in its files only (nsswitch.conf(5)).
func (r *isolatedRoom) writeEtc() error {
	for name, text := range map[string]string{
		"hosts":         "",
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
		"resolv.conf":   "",
		"passwd":        fmt.Sprintf("airlock:x:%d:%d:Airlock:%s:/nonexistent\n", roomID, roomID, stage.Home),
		"group":         fmt.Sprintf("airlock:x:%d:\n", roomID),
	} {
		if err := r.writeEtcFile(name, text); err != nil {
			return err
		}
	}
	return nil
}

func (r *isolatedRoom) writeHosts() error { return r.writeEtcFile("hosts", r.names.file()) }

func (r *isolatedRoom) writeEtcFile(name, text string) error {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC | unix.O_NONBLOCK // not to wait for a lease (fcntl(2)) of the script's
	f, err := os.OpenFile(filepath.Join(r.place.Dir, etc, name), flags, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Chmod(0o644), f.Close())
}
