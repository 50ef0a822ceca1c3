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
	Runtime    []string          // at the same paths inside
	Libraries  map[string]string // by the name that each has below Libraries
	Mountpoint string            // a directory, of no interest otherwise
}

// Make asks for the room. It comes first.
func Make(l Layout) Message {
	fields := append([]string{opMake, strconv.Itoa(l.ID), l.Home, l.Tmp, l.Etc, l.Package, l.Mountpoint}, list(l.Runtime)...)
	for name, dir := range l.Libraries {
		fields = append(fields, name, dir)
	}
	return Message{Fields: fields}
}

func parseLayout(args []string) (l Layout, err error) {
	if len(args) < 6 {
		return l, errMalformed
	}
	l = Layout{Home: args[1], Tmp: args[2], Etc: args[3], Package: args[4], Mountpoint: args[5], Libraries: map[string]string{}}
	if l.ID, err = strconv.Atoi(args[0]); err != nil {
		return l, err
	}
	l.Runtime, args, err = takeList(args[6:])
	if err != nil || len(args)%2 != 0 {
		return l, errMalformed
	}
	for ; len(args) > 0; args = args[2:] {
		l.Libraries[args[0]] = args[1]
	}
	return l, nil
}

// list is a number of fields, with that number before them.
func list(items []string) []string {
	return append([]string{strconv.Itoa(len(items))}, items...)
}

// takeList takes a list from fields.
func takeList(fields []string) (items, rest []string, err error) {
	if len(fields) == 0 {
		return nil, nil, errMalformed
	}
	n, err := strconv.Atoi(fields[0])
	if err != nil || n < 0 || n > len(fields)-1 {
		return nil, nil, errMalformed
	}
	return fields[1 : 1+n], fields[1+n:], nil
}

// Listen asks for a TCP listener at an IPv4 address, as 4 bytes; it comes with the answer.
func Listen(ip [4]byte, port int) Message {
	return Message{Fields: []string{opListen, string(ip[:]), strconv.Itoa(port)}}
}

// Program is what is to be started. The path is the room's.
type Program struct {
	Path      string
	Args, Env []string // Args without the program's name
	Filter    []byte   // of system calls, in the kernel's form (seccomp(2))
	// Stdin says that Files begins with its standard input, which is empty otherwise. All others are its descriptors from 1 on.
	Stdin bool
	Files []int
}

// Start asks for a program to be started.
func Start(p Program) Message {
	fields := append([]string{opStart, p.Path, string(p.Filter), strconv.FormatBool(p.Stdin)}, list(p.Args)...)
	return Message{Fields: append(fields, p.Env...), Files: p.Files}
}

func parseProgram(args []string, files []int) (p Program, err error) {
	if len(args) < 4 {
		return p, errMalformed
	}
	p = Program{Path: args[0], Filter: []byte(args[1]), Files: files}
	if p.Stdin, err = strconv.ParseBool(args[2]); err != nil {
		return p, errMalformed
	}
	p.Args, p.Env, err = takeList(args[3:])
	return p, err
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
