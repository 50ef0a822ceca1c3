// Package sandbox starts the processes of executions, and decides where an execution finds the endpoints of its
// private cloud. A sandbox is a way to start a process: None isolates nothing, and owns what it started all the same.
// The suite sandboxtest holds every implementation to this.
package sandbox

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Sandbox makes rooms.
type Sandbox interface {
	// Open makes the room of one execution.
	Open(ctx context.Context, p Place) (Room, error)
	// Recover ends what an earlier process of Airlock left running in the room of the work directory dir.
	Recover(dir string) error
	// Close gives back what the sandbox itself took. No room may be open.
	Close() error
}

// Place says where a room is, and what is in it.
type Place struct {
	// Dir is the work directory, absolute, with the directories Home and Tmp.
	Dir string
	// Package is the directory of the package's files, which nobody may change. A program to be started lies in it, or
	// in one of Runtime.
	Package string
	// Runtime are files and directories of the machine that the programs need, at the same paths inside; for a static
	// executable there are none.
	Runtime []string
	// Libraries are further directories of files that nobody may change, by the name that each has in the room's directory
	// of libraries. Names are those of files; there is room for some 500, no more.
	Libraries map[string]string
	// Aliases are further names of hosts, by the name: {"vc": "vcsa.example.com"}.
	Aliases map[string]string
	// Denied is told of each attempt to start a process, one after the other, before the attempt fails; nil for nobody.
	// After MaxDenied of them it is not told any more.
	Denied func(Denial)
}

// check says what is wrong with a place.
func (p Place) check() error {
	if !filepath.IsAbs(p.Dir) {
		return fmt.Errorf("the work directory %s is not absolute", p.Dir)
	}
	for name, dir := range p.Libraries {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || !filepath.IsAbs(dir) {
			return fmt.Errorf("there can be no library %q in %q", name, dir)
		}
	}
	return nil
}

// MaxDenied is the number of refused attempts to start a process that a room reports.
const MaxDenied = 100

// Denial is a refused attempt to start a process.
type Denial struct {
	Call string // the system call: "clone", "fork", "vfork", "execve" or "execveat"
	Path string // of the program for execve, as the script gave it, at most 256 bytes; "" where it is not known
}

// Names of the directories in a work directory that a room's processes find as HOME, which is also where they start,
// and as TMPDIR.
const (
	Home = "home"
	Tmp  = "tmp"
)

// What a room itself puts beside them.
const (
	authoritiesFile = "authorities.pem"
	libraries       = "modules"
)

// environment is what every process of a room has.
func environment(home, tmp string) []string {
	return []string{
		"HOME=" + home,
		"TMPDIR=" + tmp,
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG=C.UTF-8",
	}
}

// Room is where one execution lives.
type Room interface {
	// Listen opens the listener at which the room's processes find host, a name or an IP address, and port.
	Listen(host string, port int) (net.Listener, error)
	// Trust makes the TLS clients of processes that are started from now on trust these certificate authorities (PEM)
	// and no others, by the variable SSL_CERT_FILE.
	Trust(authorities []byte) error
	// Libraries is the directory in which the room's processes find Place.Libraries.
	Libraries() string
	// Start starts a process.
	Start(c Command) (Process, error)
	// Close ends every process of the room, waits until they are gone, and gives back all that the room took. It can
	// be called more than once.
	Close() error
}

// Command is what to start. The process gets an environment of HOME, TMPDIR, PATH and LANG, SSL_CERT_FILE where the
// room was given authorities, and Env; and no descriptor but standard input, the two given, and from 3 on Files. What a
// script is told, it is told over a descriptor, never by an argument. The files are the room's alone: who else holds one
// is taken for one of the room's processes.
type Command struct {
	Path   string   // as on the machine
	Args   []string // what a program is always started with
	Env    []string // NAME=value; never a secret
	Stdin  *os.File // an empty one for nil
	Stdout *os.File
	Stderr *os.File
	Files  []*os.File
}

// MaxCommand bounds path, arguments and environment of a command together, in bytes.
const MaxCommand = 32 << 10

// check says what is wrong with a command.
func (c Command) check() error {
	size := 0
	for _, text := range slices.Concat([]string{c.Path}, c.Args, c.Env) {
		if strings.Contains(text, "\x00") {
			return fmt.Errorf("the command %q has a NUL", c.Path)
		}
		size += len(text) + 1
	}
	if size > MaxCommand {
		return fmt.Errorf("the command %.200q has %d bytes with its arguments and environment, and may have %d", c.Path, size, MaxCommand)
	}
	return nil
}

// Process is a process that was started.
type Process interface {
	// Wait waits for the end of the process, ends the descendants that it left, and says how it ended. It is called
	// once.
	Wait() End
	// Kill ends the process and its descendants at once. It may be called at any time, also after Wait.
	Kill()
}

// End is how a process ended.
type End struct {
	How   string // in words for a user: "exit code 3" or "signal: killed"
	Limit Limit  // what it was ended for, or what it lacked when it ended badly; "" for none
}

// Limit is a bound of a room.
type Limit string

// The bounds that a process can end of.
const (
	Memory        Limit = "memory"
	WorkDirectory Limit = "work directory"
	Threads       Limit = "threads"
)
