package goruntime

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/wire"
)

// grace is what the script is told in Cancel: the seconds that the executor leaves it (contracts, "Time").
const grace = 5

// errHungUp is the error of a script that closed the socket before its End.
var errHungUp = errors.New("the socket was closed")

// conversation is the host's side of the wire protocol.
type conversation struct {
	rw    io.ReadWriter
	start wire.Start
	host  runtime.Host

	mu       sync.Mutex // of writing
	started  bool
	canceled bool // asked before the script was started
}

// talk speaks with the script until its End. Any error but errHungUp is one for the user.
func (c *conversation) talk() (wire.End, error) {
	r := wire.NewReader(c.rw)
	if err := c.greet(r); err != nil {
		return wire.End{}, err
	}
	for {
		f, err := next(r)
		if err != nil {
			return wire.End{}, err
		}
		switch {
		case f.Record():
			c.host.Write(domain.Stream(f.Kind), f.Payload)
		case f.Kind == wire.KindSecret:
			change, err := wire.DecodeSecret(f.Payload)
			if err != nil {
				return wire.End{}, violation("its change of a secret is not the JSON that is expected")
			}
			c.host.SetSecret(change.Name, change.Value)
		case f.Kind == wire.KindProgress:
			c.host.Progress(string(f.Payload))
		case f.Kind == wire.KindEnd:
			end, err := wire.Decode[wire.End](f.Payload)
			if err != nil {
				return wire.End{}, violation("its last frame is not the JSON that is expected")
			}
			return end, nil
		default:
			return wire.End{}, violation(fmt.Sprintf("a frame of kind %#x is out of place", byte(f.Kind)))
		}
	}
}

// greet takes the script's Hello and answers with Start.
func (c *conversation) greet(r *wire.Reader) error {
	f, err := next(r)
	if err != nil {
		return err
	}
	if f.Kind != wire.KindHello {
		return violation(fmt.Sprintf("it began with a frame of kind %#x in place of its greeting", byte(f.Kind)))
	}
	hello, err := wire.Decode[wire.Hello](f.Payload)
	if err != nil {
		return violation("its greeting is not the JSON that is expected")
	}
	if !slices.Contains(hello.Protocols, wire.Version) {
		return errors.Newf(errors.ScriptFailed, "The script speaks %s of the wire protocol and this server version %d; build the package with an SDK of this server's version.", versions(hello.Protocols), wire.Version)
	}
	if err := c.host.Started(); err != nil {
		return err
	}
	payload, err := wire.EncodeStart(c.start)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.write(wire.KindStart, payload); err != nil {
		return err
	}
	c.started = true
	if c.canceled {
		return c.writeCancel("the execution is asked to end")
	}
	return nil
}

// versions lists at most a few of the versions that a script claims to speak.
func versions(claimed []int) string {
	if len(claimed) == 0 {
		return "no version"
	}
	return "version " + strings.Trim(fmt.Sprint(claimed[:min(len(claimed), 5)]), "[]")
}

// cancel asks the script to end. An error is of no interest: the kill follows in any case.
func (c *conversation) cancel(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.started {
		c.canceled = true
		return
	}
	_ = c.writeCancel(reason)
}

func (c *conversation) writeCancel(reason string) error {
	payload, err := wire.Encode(wire.Cancel{Reason: reason, Grace: grace})
	if err != nil {
		return err
	}
	return c.write(wire.KindCancel, payload)
}

func (c *conversation) write(kind wire.Kind, payload []byte) error {
	frame, err := wire.AppendFrame(nil, kind, payload)
	if err != nil {
		return errors.Because(err, errors.ScriptFailed, "The parameters and persistent secrets of the execution are larger than the %d MiB that a script can be given.", wire.MaxStart>>20)
	}
	if _, err := c.rw.Write(frame); err != nil {
		return errHungUp
	}
	return nil
}

// next reads a frame. Whatever ends the socket is errHungUp, anything else the script's fault.
func next(r *wire.Reader) (wire.Frame, error) {
	f, err := r.Next()
	switch {
	case err == nil:
		return f, nil
	case strings.HasPrefix(err.Error(), "wire: "): // a bad frame, and not the end of the socket
		return wire.Frame{}, violation(strings.TrimPrefix(err.Error(), "wire: "))
	}
	return wire.Frame{}, errHungUp
}

func violation(what string) error {
	return errors.Newf(errors.ScriptFailed, "The script broke the wire protocol: %s. Build the package with Airlock's SDK, or see docs/wire-protocol.md.", what)
}

// argument is one argument of the execution with its value.
func argument(a domain.Parameter, secure domain.SecureValues) wire.Argument {
	if !a.Secure {
		return wire.Argument{Type: a.Type, Value: a.Value}
	}
	v := secure[strings.ToLower(a.Name)]
	return wire.Argument{Type: a.Type, Username: v.Username, Secret: v.Password}
}
