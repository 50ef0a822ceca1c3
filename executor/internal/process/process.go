// Package process runs the process of a script in its room: it makes the pipes, reads what the process writes beside its
// conversation with the host, line by line, and sees to it that nothing of it is left, whatever either side does.
// What the two say to each other is the runtime's affair.
package process

import (
	"context"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/executor/internal/panics"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/internal/domain"
)

// Linger is how long a process may stay after the conversation before it is killed.
const Linger = time.Second

// Process is a script's process.
type Process struct {
	// Conn is what the host reads of the conversation, and where it writes. Reading ends with the process.
	Conn io.ReadWriter

	process sandbox.Process
	hangUp  func()
	pipes   []*reader
	lines   map[domain.Stream]*reader // what is read line by line

	ended    chan struct{} // closed when the process has ended
	end      sandbox.End   // then
	stayed   bool          // longer than Linger
	panicked chan error    // the first panic
}

// End is how a process ended.
type End struct {
	sandbox.End
	Stayed bool  // after the conversation, until it was killed
	Err    error // of the host's own: a panic
}

// StartSocket starts a program that speaks over a socket, its descriptor 3. Its standard output and error are lines.
func StartSocket(room sandbox.Room, c sandbox.Command) (*Process, error) {
	var e ends
	defer e.release()
	socket, script, err := e.socket()
	if err != nil {
		return nil, err
	}
	stdout, stderr, err := e.outputs(&c)
	if err != nil {
		return nil, err
	}
	c.Files = []*os.File{script}
	return e.start(room, c, &Process{
		Conn: socket, hangUp: socket.hangUp,
		lines: map[domain.Stream]*reader{domain.Output: stdout, domain.Error: stderr},
	})
}

// StartPipes starts a program that speaks over its standard input and output. Its standard error is lines.
func StartPipes(room sandbox.Room, c sandbox.Command) (*Process, error) {
	var e ends
	defer e.release()
	theirs, input, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	e.add(input, theirs)
	stdout, stderr, err := e.outputs(&c)
	if err != nil {
		return nil, err
	}
	c.Stdin = theirs
	return e.start(room, c, &Process{
		Conn: struct {
			io.Reader
			io.Writer
		}{stdout, input},
		hangUp: func() { input.Close() },
		lines:  map[domain.Stream]*reader{domain.Error: stderr},
	})
}

// ends are both ends of the pipes of a process that is being started.
type ends struct {
	pipes  []*reader
	theirs []*os.File
	kept   bool
}

func (e *ends) add(ours, theirs *os.File) *reader {
	r := newReader(ours)
	e.pipes, e.theirs = append(e.pipes, r), append(e.theirs, theirs)
	return r
}

// release closes what the process has now, and where it was not started all else.
func (e *ends) release() {
	for _, f := range e.theirs {
		f.Close()
	}
	if !e.kept {
		for _, r := range e.pipes {
			r.Close()
		}
	}
}

func (e *ends) socket() (ours *reader, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs = os.NewFile(uintptr(fds[1]), "script")
	if err := unix.SetNonblock(fds[0], true); err != nil { // what os.NewFile asks, to wait for it without a thread
		unix.Close(fds[0])
		theirs.Close()
		return nil, nil, err
	}
	return e.add(os.NewFile(uintptr(fds[0]), "host"), theirs), theirs, nil
}

func (e *ends) outputs(c *sandbox.Command) (stdout, stderr *reader, err error) {
	for _, to := range []struct {
		file *(*os.File)
		read *(*reader)
	}{{&c.Stdout, &stdout}, {&c.Stderr, &stderr}} {
		ours, theirs, err := os.Pipe()
		if err != nil {
			return nil, nil, err
		}
		*to.file, *to.read = theirs, e.add(ours, theirs)
	}
	return stdout, stderr, nil
}

func (e *ends) start(room sandbox.Room, c sandbox.Command, p *Process) (*Process, error) {
	process, err := room.Start(c)
	if err != nil {
		return nil, err
	}
	e.kept = true
	p.process, p.pipes, p.ended, p.panicked = process, e.pipes, make(chan struct{}), make(chan error, 1)
	return p, nil
}

// Kill ends the process at once. It may be called at any time.
func (p *Process) Kill() { p.process.Kill() }

// Run calls talk, which speaks with the process, and returns when nothing of the process is left: it is killed when ctx
// ends, and when it stays for longer than Linger after talk. talk is given h as one of several who write to it, in turn.
// Whoever else reads from Conn comes to an end by the time Run returns, but may not have returned.
func (p *Process) Run(ctx context.Context, h runtime.Host, talk func(runtime.Host)) End {
	kill := context.AfterFunc(ctx, p.process.Kill)
	defer kill()
	var waiting, reading sync.WaitGroup
	var turn sync.Mutex // of those who write to h
	waiting.Go(func() {
		defer p.cut()
		defer panics.To(p.GiveUp)
		p.end = p.process.Wait()
	})
	for stream, r := range p.lines {
		reading.Go(func() {
			defer panics.To(p.GiveUp)
			lines(r, stream, h, &turn)
		})
	}
	func() {
		defer panics.To(p.GiveUp)
		talk(inTurn{h, &turn})
	}()
	p.hangUp()
	p.linger()
	waiting.Wait()
	reading.Wait()
	for _, r := range p.pipes {
		r.Close()
	}
	end := End{End: p.end, Stayed: p.stayed}
	select {
	case end.Err = <-p.panicked:
	default:
	}
	return end
}

// GiveUp ends the process after a panic, which becomes the End's Err: without one of the goroutines it would wait for ever.
func (p *Process) GiveUp(err error) {
	select {
	case p.panicked <- err:
	default:
	}
	p.process.Kill()
}

// cut says that the process has ended. A descendant that hid may hold the other ends for ever.
func (p *Process) cut() {
	close(p.ended)
	for _, r := range p.pipes {
		r.Cut()
	}
}

// linger waits for the process's end, and brings it about where it takes too long.
func (p *Process) linger() {
	late := time.NewTimer(Linger)
	defer late.Stop()
	select {
	case <-p.ended:
	case <-late.C:
		p.stayed = true
		p.process.Kill()
	}
}
