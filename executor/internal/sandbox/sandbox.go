// Package sandbox starts the processes of executions, and decides where an execution finds the endpoints of its
// private cloud. A sandbox is a way to start a process: None isolates nothing, and owns what it started all the same.
// The suite sandboxtest holds every implementation to this.
package sandbox

import (
	"context"
	"net"
	"os"
)

// Sandbox makes rooms.
type Sandbox interface {
	// Open makes the room of one execution. dir is its work directory, absolute, with the directories Home and Tmp.
	Open(ctx context.Context, dir string) (Room, error)
	// Recover ends what an earlier process of Airlock left running in the room of dir.
	Recover(dir string) error
	// Close gives back what the sandbox itself took. No room may be open.
	Close() error
}

// Names of the directories in a work directory that a room's processes find as HOME, which is also where they start,
// and as TMPDIR.
const (
	Home = "home"
	Tmp  = "tmp"
)

// Room is where one execution lives.
type Room interface {
	// Listen opens the listener at which the room's processes find host and port.
	Listen(host string, port int) (net.Listener, error)
	// Start starts a process.
	Start(c Command) (Process, error)
	// Close ends every process of the room, waits until they are gone, and gives back all that the room took. It can
	// be called more than once.
	Close() error
}

// Command is what to start. The process gets an environment of HOME, TMPDIR, PATH and LANG, and no descriptor but
// an empty standard input, the two given, and from 3 on Files. There is no way to give it arguments or variables:
// what a script is told, it is told over a descriptor. The files are the room's alone: who else holds one is taken for
// one of the room's processes.
type Command struct {
	Path   string
	Stdout *os.File
	Stderr *os.File
	Files  []*os.File
}

// Process is a process that was started.
type Process interface {
	// Wait waits for the end of the process, ends the descendants that it left, and says how it ended in words for a
	// user: "exit code 3" or "signal: killed". It is called once.
	Wait() string
	// Kill ends the process and its descendants at once. It may be called at any time, also after Wait.
	Kill()
}
