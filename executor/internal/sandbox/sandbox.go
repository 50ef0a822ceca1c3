// Package sandbox starts the processes of executions, and decides where an execution finds the endpoints of its
// private cloud. A sandbox is a way to start a process: None isolates nothing, and owns the whole process group all
// the same. The suite sandboxtest holds every implementation to this.
package sandbox

import (
	"context"
	"net"
	"os"
)

// Sandbox makes rooms.
type Sandbox interface {
	// Open makes the room of one execution. dir is its private work directory.
	Open(ctx context.Context, execution, dir string) (Room, error)
}

// Room is where one execution lives.
type Room interface {
	// Listen opens the listener at which the room's processes find host and port.
	Listen(host string, port int) (net.Listener, error)
	// Start starts a process.
	Start(c Command) (Process, error)
	// Close ends every process of the room and gives back all that the room took. It can be called more than once.
	Close() error
}

// Command is what to start. The process gets the environment given and no other, descriptor 3 onwards are Files.
type Command struct {
	Path   string
	Args   []string // without the program's name
	Env    []string // beside HOME, TMPDIR, PATH and LANG
	Stdout *os.File
	Stderr *os.File
	Files  []*os.File
}

// Process is a process that was started.
type Process interface {
	// Wait waits for the end of the process and of every descendant that the room can name, and says how it ended in
	// words for a user: "" for exit code 0, else "exit code 3" or "signal: killed".
	Wait() string
	// Kill ends the process and its descendants at once.
	Kill()
}
