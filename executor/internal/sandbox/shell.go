package sandbox

import (
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/executor/internal/sandbox/stage"
)

// shell is a set of namespaces with a stage that has nothing to do yet.
type shell struct {
	stage   *os.Process
	control *os.File // the socket to the stage
	own     bool     // the room has a user of its own
	user    int      // of the machine: that one, or Airlock's
	err     error    // there is no shell
}

// The user of a room, as it sees itself.
const roomID = 1000

// Outside, a room of root's is one of the users that systemd documents as free for any use (UIDS-GIDS.md).
const (
	firstID = 1879048192
	lastID  = 2147483647
)

// capabilities are what the stage needs, in its own user namespace.
var capabilities = []uintptr{
	unix.CAP_SETGID, unix.CAP_SETUID, unix.CAP_SETPCAP, unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_ADMIN,
	unix.CAP_SYS_ADMIN, unix.CAP_SYS_RESOURCE,
}

// namespaces are all that a room has of its own, beside the user namespace.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// newShell starts a stage in a user namespace and others. Its capabilities are good in there only. While it waits it is
// Airlock's user still, as only that one finds the work directory; it reads nothing but the socket, and only Airlock
// has the other end.
func newShell(s *spawner, flags uintptr) (_ *shell, err error) {
	sh := &shell{user: os.Getuid(), own: os.Getuid() == 0}
	group := os.Getgid()
	if sh.own {
		sh.user = firstID + rand.IntN(lastID-firstID+1)
		group = sh.user
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	var theirs *os.File
	if sh.control, theirs, err = socketPair(); err != nil {
		return nil, err
	}
	defer theirs.Close()
	sh.stage, err = s.start("/proc/self/exe", []string{stage.Name}, &os.ProcAttr{
		Dir: "/", Env: stage.Env, Files: []*os.File{null, null, null, theirs},
		Sys: &syscall.SysProcAttr{
			Cloneflags:                 unix.CLONE_NEWUSER | flags,
			UidMappings:                []syscall.SysProcIDMap{{ContainerID: roomID, HostID: sh.user, Size: 1}},
			GidMappings:                []syscall.SysProcIDMap{{ContainerID: roomID, HostID: group, Size: 1}},
			GidMappingsEnableSetgroups: sh.own,
			AmbientCaps:                capabilities,
			Setsid:                     true,
			Pdeathsig:                  syscall.SIGKILL,
		},
	})
	if err != nil {
		sh.control.Close()
		return nil, fmt.Errorf("make the room's namespaces: %w", err)
	}
	return sh, nil
}

// end ends a shell that nobody has taken.
func (sh *shell) end() {
	_ = sh.stage.Kill()
	_, _ = sh.stage.Wait()
	_ = sh.control.Close()
}

// take returns a shell, one that has come up before it is needed: to start a stage takes longer than to make its room.
func (s *Isolated) take() (*shell, error) {
	s.keep.Do(func() { s.keeping.Go(s.keepSpare) })
	sh := <-s.spares
	if sh.err == nil {
		if p, ok := look(sh.stage.Pid); ok && !p.dead() {
			return sh, nil
		}
		sh.end() // somebody has killed it while it waited
	}
	return newShell(s.spawner, namespaces)
}

// keepSpare keeps a shell ready, until the sandbox is closed.
func (s *Isolated) keepSpare() {
	for {
		sh, err := newShell(s.spawner, namespaces)
		if err != nil {
			sh = &shell{err: err} // who takes it tries for himself
		}
		select {
		case s.spares <- sh:
		case <-s.closing:
			if err == nil {
				sh.end()
			}
			return
		}
	}
}

// socketPair makes a pair of sockets that keep messages apart; reading from the first one needs no thread.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs = os.NewFile(uintptr(fds[1]), "stage")
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		theirs.Close()
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "control"), theirs, nil
}
