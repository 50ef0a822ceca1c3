package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/wire"
)

// name says who speaks.
const name = "airlock-go/1"

// grace is how long a cmdlet may go on when Airlock has gone away.
const grace = 5 * time.Second

// maxFailure bounds the one sentence that an execution fails with, in bytes.
const maxFailure = 8 << 10

var errHostGone = errors.New("the host closed the connection")

// run is the script's side of one conversation. It returns once the end of the cmdlet is told, nil, or once the
// conversation broke off; then connections are open, and a cmdlet that does not heed its context is still running.
func run(conn net.Conn, p Package, cmdlets []Declared) error {
	defer conn.Close()
	w := newWriter(conn)
	defer w.close()
	frames := wire.NewReader(conn)
	start, err := open(w, frames)
	if err != nil {
		w.stop(err)
		conn.Close() // a host that does not read must not hold us
		return err
	}

	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	lost := make(chan error, 1)
	go func() { lost <- listen(frames, cancel) }() // ends with conn
	x := newExecution(start, w)
	ended := make(chan error, 1)
	go perform(ctx, x, p, cmdlets, start, ended)

	select {
	case err = <-ended:
	case broken := <-lost:
		w.stop(broken)
		conn.Close()
		cancel(broken)
		select {
		case <-ended:
		case <-time.After(grace):
		}
		return broken
	}
	x.hosts.close()
	end(w, x, err)
	err = w.close()
	conn.Close()
	<-lost
	return err
}

// open says hello and waits for what to do.
func open(w *writer, frames *wire.Reader) (wire.Start, error) {
	hello, err := wire.Encode(wire.Hello{Protocols: []int{wire.Version}, SDK: name})
	if err != nil {
		return wire.Start{}, err
	}
	if err := w.frame(wire.KindHello, hello); err != nil {
		return wire.Start{}, err
	}
	f, err := frames.Next()
	switch {
	case err == io.EOF:
		return wire.Start{}, errHostGone
	case err != nil:
		return wire.Start{}, err
	case f.Kind != wire.KindStart:
		return wire.Start{}, fmt.Errorf("wire: a frame of kind %#x came in place of Start", byte(f.Kind))
	}
	start, err := wire.DecodeStart(f.Payload)
	if err == nil && start.Protocol != wire.Version {
		err = fmt.Errorf("wire: the host chose version %d of the protocol, only %d was offered", start.Protocol, wire.Version)
	}
	return start, err
}

// listen takes the host's frames after Start. It returns when no more can come.
func listen(frames *wire.Reader, cancel context.CancelCauseFunc) error {
	for first := true; ; first = false {
		f, err := frames.Next()
		switch {
		case err == io.EOF:
			return errHostGone
		case err != nil:
			return err
		case f.Kind != wire.KindCancel || !first:
			return fmt.Errorf("wire: a frame of kind %#x is out of place", byte(f.Kind))
		}
		c, err := wire.Decode[wire.Cancel](f.Payload)
		if err != nil {
			return err
		}
		cancel(fmt.Errorf("the cmdlet was asked to end: %s", c.Reason))
	}
}

// perform runs the cmdlet and sends how it ended. A panic is an error, and so is a goroutine that ends itself.
func perform(ctx context.Context, x *Execution, p Package, cmdlets []Declared, start wire.Start, ended chan<- error) {
	err := errors.New("the cmdlet left its goroutine (runtime.Goexit) in place of returning")
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
			x.Error(debug.Stack())
		}
		ended <- err
	}()
	err = dispatch(ctx, x, p, cmdlets, start)
}

func dispatch(ctx context.Context, x *Execution, p Package, cmdlets []Declared, start wire.Start) error {
	m, err := declarations(p, cmdlets)
	if err != nil {
		return fmt.Errorf("the package's declarations have a mistake: %w", err)
	}
	i := slices.IndexFunc(m.Cmdlets, func(c manifest.Cmdlet) bool { return strings.EqualFold(c.Name, start.Cmdlet) })
	if i < 0 {
		return fmt.Errorf("the package %s %s has no cmdlet %s", p.Name, p.Version, start.Cmdlet)
	}
	return cmdlets[i].invoke(ctx, x, start.Parameters)
}

// end tells how the cmdlet ended. What does not fit into the one sentence goes to the Error stream.
func end(w *writer, x *Execution, failed error) {
	if failed != nil {
		all := text(failed)
		line, more, _ := strings.Cut(strings.TrimSpace(all), "\n")
		line = strings.TrimSpace(line)
		if n := cut(line, maxFailure); n < len(line) {
			line, more = line[:n], line[n:]
		}
		if more != "" {
			x.Error(all)
		}
		if line == "" {
			line = "the cmdlet failed and did not say why"
		}
		_ = sendEnd(w, wire.End{Failure: line}) // the connection's error is close's to tell
		return
	}
	if err := sendEnd(w, wire.End{NamedOutputs: x.NamedOutputs.all()}); err != nil {
		_ = sendEnd(w, wire.End{Failure: fmt.Sprintf("the named outputs are larger than %d bytes, far more than is allowed; write what is large to the Output stream", wire.MaxMessage)})
	}
}

func sendEnd(w *writer, e wire.End) error {
	payload, err := wire.Encode(e)
	if err != nil {
		return err
	}
	return w.frame(wire.KindEnd, payload)
}
