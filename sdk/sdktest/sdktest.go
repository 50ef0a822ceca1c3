// Package sdktest runs cmdlets in tests as Airlock runs them: it is the host's side of the wire protocol, without a
// store, a broker or a sandbox.
//
//	cmd := exec.Command("./inventory")
//	result, err := sdktest.Host{Start: wire.Start{Cmdlet: "Get-Inventory"}}.Run(t.Context(), cmd)
package sdktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/airlock-run/airlock/sdk/wire"
)

// Grace is how long a script may go on after it was asked to end.
const Grace = 5 * time.Second

// Host says what to run. Protocol and TakesProgress need not be set.
type Host struct {
	Start wire.Start

	// Watch, if there is one, is told each record as it comes.
	Watch func(Record)
}

// Record is what a script wrote to one of the four streams.
type Record struct {
	Stream wire.Kind
	Text   string
}

// Result is what came of a script.
type Result struct {
	Records []Record
	Secrets []wire.SecretChange // in their order
	// Progress is all that the script said of how far it is. Airlock shows what was said last.
	Progress []string
	End      wire.End
}

// Text joins the records of a stream, each with a newline after it.
func (r Result) Text(stream wire.Kind) string {
	var b strings.Builder
	for _, rec := range r.Records {
		if rec.Stream == stream {
			b.WriteString(rec.Text + "\n")
		}
	}
	return b.String()
}

// Run starts a script's program and speaks with it until it has ended. When ctx ends, the script is asked to end, and
// killed if it has not after Grace. The error says that the conversation broke off, not that the cmdlet failed.
func (h Host) Run(ctx context.Context, cmd *exec.Cmd) (Result, error) {
	ours, theirs, err := socketpair()
	if err != nil {
		return Result{}, err
	}
	defer ours.Close()
	cmd.ExtraFiles = []*os.File{theirs} // descriptor wire.FD
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return Result{}, err
	}
	over := make(chan struct{})
	killer := make(chan struct{})
	go func() {
		defer close(killer)
		select {
		case <-over:
			return
		case <-ctx.Done():
		}
		select {
		case <-over:
		case <-time.After(Grace):
			_ = cmd.Process.Kill()
		}
	}()
	result, err := h.Converse(ctx, ours)
	ours.Close()
	ended := cmd.Wait()
	close(over)
	<-killer
	return result, errors.Join(err, ended)
}

// Converse speaks with a script over a connection until it has ended.
func (h Host) Converse(ctx context.Context, conn net.Conn) (Result, error) {
	var result Result
	frames := wire.NewReader(conn)
	if err := greet(conn, frames, h.Start); err != nil {
		return result, err
	}
	canceled := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { canceled <- sendCancel(conn, context.Cause(ctx).Error()) })
	defer func() {
		if !stop() {
			<-canceled
		}
	}()
	for {
		f, err := frames.Next()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return result, fmt.Errorf("the script went away without an End: %w", err)
		}
		switch {
		case f.Record():
			rec := Record{f.Kind, string(f.Payload)}
			result.Records = append(result.Records, rec)
			if h.Watch != nil {
				h.Watch(rec)
			}
		case f.Kind == wire.KindSecret:
			change, err := wire.DecodeSecret(f.Payload)
			if err != nil {
				return result, err
			}
			result.Secrets = append(result.Secrets, change)
		case f.Kind == wire.KindProgress:
			result.Progress = append(result.Progress, string(f.Payload))
		case f.Kind == wire.KindEnd:
			result.End, err = wire.Decode[wire.End](f.Payload)
			return result, err
		default:
			return result, fmt.Errorf("a frame of kind %#x is out of place", byte(f.Kind))
		}
	}
}

// greet takes the script's Hello and answers with Start.
func greet(conn net.Conn, frames *wire.Reader, start wire.Start) error {
	f, err := frames.Next()
	if err != nil {
		return fmt.Errorf("the script did not say hello: %w", err)
	}
	hello, err := wire.Decode[wire.Hello](f.Payload)
	if err != nil || f.Kind != wire.KindHello || !slices.Contains(hello.Protocols, wire.Version) {
		return fmt.Errorf("the script's first frame, of kind %#x, is not a Hello of version %d", byte(f.Kind), wire.Version)
	}
	start.Protocol, start.TakesProgress = wire.Version, true
	payload, err := wire.EncodeStart(start)
	if err != nil {
		return err
	}
	return send(conn, wire.KindStart, payload)
}

func sendCancel(conn net.Conn, reason string) error {
	payload, err := wire.Encode(wire.Cancel{Reason: reason, Grace: int(Grace / time.Second)})
	if err != nil {
		return err
	}
	return send(conn, wire.KindCancel, payload)
}

func send(conn net.Conn, kind wire.Kind, payload []byte) error {
	frame, err := wire.AppendFrame(nil, kind, payload)
	if err != nil {
		return err
	}
	_, err = conn.Write(frame)
	return err
}

// socketpair makes the connection between a host and the program that inherits the second end of it.
func socketpair() (net.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "host"), os.NewFile(uintptr(fds[1]), "script")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
	}
	return conn, theirs, err
}
