// Package stage is the inside of an isolated room: Airlock's own executable, started again as the first process of
// new namespaces. It builds the room's file system and network, hands listeners out to the executor, confines and
// starts the room's programs, and tells how they end. With it, the kernel ends everything in the room.
//
// The stage is entered from this package's init function, so that it does not pay for the initialisation of the rest
// of Airlock (20 ms, most of it tables of vSphere types), and for the same reason this package imports next to
// nothing: Go initialises packages as soon as what they import is ready, in the order of their paths. The benchmark
// of package sandbox notices when that no longer holds.
//
// How the executor and the stage speak is in message.go; what they say is in requests.go.
package stage

import (
	"errors"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Name is the argument 0, and the only one, that makes Airlock's executable a stage.
const Name = "airlock-room"

// control is the descriptor of the stage's end of the socket to the executor.
const control = 3

// Env is the environment of a stage: one processor is enough for it.
var Env = []string{"GOMAXPROCS=1", "GOTRACEBACK=none"}

func init() {
	if len(os.Args) == 1 && os.Args[0] == Name {
		os.Exit(run())
	}
}

// run answers the executor until it hangs up.
func run() int {
	if err := unix.CloseRange(control, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return 1
	}
	unix.Umask(0)
	for {
		m, err := Receive(control)
		if err != nil || len(m.Fields) == 0 {
			return 1
		}
		switch args := m.Fields[1:]; m.Fields[0] {
		case opMake:
			reply(makeRoom(args))
		case opListen:
			fd, err := listen(args)
			if err != nil {
				reply(err)
				continue
			}
			_ = Send(control, Message{Fields: []string{opDone}, Files: []int{fd}})
			unix.Close(fd)
		case opStart:
			answered := make(chan struct{})
			go start(args, m.Files, answered)
			<-answered
		}
	}
}

// reply says that a request was carried out, or why not.
func reply(err error) {
	if err == nil {
		_ = Send(control, Message{Fields: []string{opDone}})
		return
	}
	errno, _ := errors.AsType[syscall.Errno](err)
	_ = Send(control, Message{Fields: []string{opFailed, err.Error(), strconv.Itoa(int(errno))}})
}

// failure is an error that says what was done when it came.
type failure struct {
	doing string
	err   error
}

func (f *failure) Error() string { return f.doing + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// doing adds to an error what was done.
func doing(what string, err error) error {
	if err == nil {
		return nil
	}
	return &failure{what, err}
}
