package seccomp

import (
	"bytes"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Notifier is the executor's end of a filter.
type Notifier struct{ file *os.File }

// Call is a system call that waits for a decision.
type Call struct {
	Name string // clone, fork, vfork, execve or execveat
	PID  int    // of the thread that makes it, as the executor sees it

	id   uint64
	path uint64 // where the path of execve is in its memory
}

// NewNotifier takes over the descriptor of a filter.
func NewNotifier(fd int) (*Notifier, error) {
	if err := unix.SetNonblock(fd, true); err != nil { // only for the runtime to wait without a thread
		unix.Close(fd)
		return nil, err
	}
	return &Notifier{os.NewFile(uintptr(fd), "seccomp")}, nil
}

// notification is struct seccomp_notif, response struct seccomp_notif_resp.
type notification struct {
	id     uint64
	pid    uint32
	flags  uint32
	number int32
	arch   uint32
	ip     uint64
	args   [6]uint64
}

type response struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

// Next waits for the next call. It fails when nothing runs under the filter any more, or after Close.
func (n *Notifier) Next() (c Call, err error) {
	raw, err := n.file.SyscallConn()
	if err != nil {
		return c, err
	}
	waitErr := raw.Read(func(fd uintptr) (done bool) {
		var got notification
		got, done, err = receive(int(fd))
		c = Call{Name: names[got.number], PID: int(got.pid), id: got.id, path: got.args[0]}
		return done
	})
	if waitErr != nil {
		return Call{}, waitErr
	}
	return c, err
}

// receive takes a notification if there is one: the kernel's call waits whatever the descriptor's flags are.
func receive(fd int) (n notification, done bool, err error) {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		ready, err := unix.Poll(poll, 0)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return n, true, err
		case ready == 0:
			return n, false, nil
		case poll[0].Revents&unix.POLLIN == 0: // POLLHUP: nobody is left
			return n, true, os.ErrClosed
		}
		n = notification{}
		switch err := control(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); err {
		case nil:
			return n, true, nil
		case unix.ENOENT, unix.EINTR: // the thread was killed meanwhile
		default:
			return n, true, err
		}
	}
}

// Allow lets the call go on. What lies in the caller's memory may have changed by then.
func (n *Notifier) Allow(c Call) error {
	return n.answer(response{id: c.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE})
}

// Refuse makes the call fail with EPERM.
func (n *Notifier) Refuse(c Call) error {
	return n.answer(response{id: c.id, errno: -int32(unix.EPERM)})
}

func (n *Notifier) answer(r response) error {
	raw, err := n.file.SyscallConn()
	if err != nil {
		return err
	}
	controlErr := raw.Control(func(fd uintptr) {
		err = control(int(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
	})
	if controlErr != nil {
		return controlErr
	}
	if err == unix.ENOENT { // the caller was killed meanwhile
		return nil
	}
	return err
}

// Path reads the path of an execve, at most limit bytes; "" where it cannot be read. It is what the caller's memory
// says now, and good for a message only.
func (n *Notifier) Path(c Call, limit int) string {
	if c.Name != "execve" {
		return ""
	}
	mem, err := os.Open("/proc/" + strconv.Itoa(c.PID) + "/mem")
	if err != nil {
		return ""
	}
	defer mem.Close()
	if !n.waits(c) { // the pid may be somebody else's by now
		return ""
	}
	b := make([]byte, limit)
	size, _ := mem.ReadAt(b, int64(c.path))
	path, _, _ := bytes.Cut(b[:size], []byte{0})
	return string(path)
}

// waits says whether a call still waits for its answer.
func (n *Notifier) waits(c Call) bool {
	raw, err := n.file.SyscallConn()
	if err != nil {
		return false
	}
	id := c.id
	controlErr := raw.Control(func(fd uintptr) {
		err = control(int(fd), unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&id))
	})
	return controlErr == nil && err == nil
}

// Close ends Next. Calls that wait fail.
func (n *Notifier) Close() error { return n.file.Close() }

func control(fd int, request uint, p unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(p)); errno != 0 {
		return errno
	}
	return nil
}
