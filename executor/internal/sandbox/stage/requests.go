package stage

import (
	"strconv"
	"syscall"
)

// Requests of the executor, and what the stage answers: done or failed to each of them. After a start, but before its
// answer, the stage sends the descriptor on which the executor decides about executions of programs; and ended when
// the program has ended.
const (
	opMake   = "make"
	opListen = "listen"
	opStart  = "start"
	opDone   = "done"
	opFailed = "failed"
	opFilter = "filter"
	opEnded  = "ended"
)

// Where things are inside a room.
const (
	Home      = "/work/home"
	Tmp       = "/work/tmp"
	Package   = "/package"
	Libraries = "/modules"
	Etc       = "/etc"
)

// Layout is what a room is made of. The paths are the machine's.
type Layout struct {
	ID         int // the user and group to become, and to be in the room; 0 where that is already so
	Home, Tmp  string
	Etc        string
	Package    string
	Runtime    []string // at the same paths inside
	Mountpoint string   // a directory, of no interest otherwise
}

// Make asks for the room. It comes first.
func Make(l Layout) Message {
	fields := []string{opMake, strconv.Itoa(l.ID), l.Home, l.Tmp, l.Etc, l.Package, l.Mountpoint}
	return Message{Fields: append(fields, l.Runtime...)}
}

func parseLayout(args []string) (l Layout, err error) {
	if len(args) < 6 {
		return l, errMalformed
	}
	l = Layout{Home: args[1], Tmp: args[2], Etc: args[3], Package: args[4], Mountpoint: args[5], Runtime: args[6:]}
	l.ID, err = strconv.Atoi(args[0])
	return l, err
}

// Listen asks for a TCP listener at an IPv4 address, as 4 bytes; it comes with the answer.
func Listen(ip [4]byte, port int) Message {
	return Message{Fields: []string{opListen, string(ip[:]), strconv.Itoa(port)}}
}

// Start asks for a program to be started, under a seccomp filter in the kernel's form. The files are its descriptors
// from 1 on.
func Start(path string, env []string, filter []byte, files []int) Message {
	return Message{Fields: append([]string{opStart, path, string(filter)}, env...), Files: files}
}

// Answer is what a message of the stage says.
type Answer struct {
	Err    string        // a request failed, in the stage's words
	Errno  syscall.Errno // the cause of that, 0 where it is none of the kernel's
	Filter bool          // the message's descriptor is that of the filter
	Ended  bool          // a program has ended
	PID    int           // of the program that was started or has ended, as in the room
	Status syscall.WaitStatus
	MaxRSS int64 // the most memory that the program had, in bytes
}

// Parse reads a message of the stage.
func Parse(m Message) (a Answer, err error) {
	if len(m.Fields) == 0 {
		return a, errMalformed
	}
	args := m.Fields[1:]
	number := func(i int) (n int64) {
		if err == nil && i < len(args) {
			n, err = strconv.ParseInt(args[i], 10, 64)
		}
		return n
	}
	switch m.Fields[0] {
	case opDone:
		a.PID = int(number(0))
	case opFailed:
		if len(args) != 2 {
			return a, errMalformed
		}
		a.Err, a.Errno = args[0], syscall.Errno(number(1))
	case opFilter:
		a.Filter = true
	case opEnded:
		if len(args) != 3 {
			return a, errMalformed
		}
		a = Answer{Ended: true, PID: int(number(0)), Status: syscall.WaitStatus(number(1)), MaxRSS: number(2)}
	default:
		err = errMalformed
	}
	return a, err
}
