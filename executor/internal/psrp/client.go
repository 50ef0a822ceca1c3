package psrp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/executor/internal/panics"
	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
)

// ErrEnded is that the process said its last: it is gone, or what it said is no protocol.
var ErrEnded = errors.New("the PowerShell process has ended")

// Client is a conversation with one process, in which one call is made at a time. It owns one goroutine, which reads what
// the process writes and ends with it: whoever owns the process ends it first and then calls Wait.
//
// PowerShell handles lines on a pool of threads, so that a line may overtake the one before. The client sends each line
// when the one before is acknowledged. Acknowledgements stand in no order to what the server says of itself, so nothing
// that is read waits for one.
//
// Each wait ends with its context or with the process, but for one: a process that does not read what is written to it
// holds the writer up until it is killed. So kill it when the context ends.
type Client struct {
	in   io.Reader
	out  io.Writer
	junk func([]byte, bool)
	lost func(error)
	pool uuid.UUID
	sent uint64 // messages

	mu      sync.Mutex
	awaited line          // whose acknowledgement is awaited
	acked   chan struct{} // closed when it has come
	run     *run          // the pipeline that runs

	opened  chan struct{} // closed when the pool is open
	keyed   chan struct{} // closed when the session key is there
	ended   chan struct{} // closed when nothing more is read
	err     error         // why; before ended is closed for its reader only
	broken  error         // why the pool broke; its reader's
	version string        // before opened is closed its reader's
	key     keyExchange
}

// New begins a conversation with a process whose standard output is in and whose standard input is out.
//
// What it writes beside the protocol is given to junk, the bytes as they are but for line breaks, in pieces of up to 256 KiB
// of a line, of which the last has end. When a message cannot be read, because it is too large, or because something was
// written into it, lost is told why, and the conversation goes on. Both are called by the goroutine that reads, which they
// hold up.
func New(in io.Reader, out io.Writer, junk func(b []byte, end bool), lost func(error)) *Client {
	c := &Client{
		in: in, out: out, junk: junk, lost: lost, pool: uuid.New(),
		opened: make(chan struct{}), keyed: make(chan struct{}), ended: make(chan struct{}),
	}
	go func() {
		defer close(c.ended)
		c.err = fmt.Errorf("%w: %w", ErrEnded, panics.Catch(c.read))
	}()
	return c
}

// Wait returns when nothing is read any more.
func (c *Client) Wait() { <-c.ended }

// Open makes the pool in which pipelines run.
func (c *Client) Open(ctx context.Context) error {
	both := append(c.fragments(sessionCapability, uuid.Nil, capability())[0], c.fragments(initRunspacePool, uuid.Nil, initPool())[0]...)
	if err := c.send(ctx, line{verb: data, data: both}); err != nil {
		return err
	}
	return c.await(ctx, c.opened)
}

// Version is PowerShell's, as it says itself: "7.6.5". The pool must be open.
func (c *Client) Version() string { return c.version }

// await waits for something that the server has to say.
func (c *Client) await(ctx context.Context, said <-chan struct{}) error {
	select {
	case <-said:
		return nil
	case <-c.ended:
		if isDone(said) { // the last that it said
			return nil
		}
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send writes a line and waits for its acknowledgement.
func (c *Client) send(ctx context.Context, l line) error {
	acked := make(chan struct{})
	c.mu.Lock()
	c.awaited, c.acked = line{verb: l.verb + "Ack", id: l.id}, acked
	c.mu.Unlock()
	if err := c.write(l); err != nil {
		return err
	}
	return c.await(ctx, acked)
}

func (c *Client) write(l line) error {
	if _, err := c.out.Write(l.encode()); err != nil {
		return fmt.Errorf("%w: %w", ErrEnded, err)
	}
	return nil
}

// fragments makes the next message.
func (c *Client) fragments(k kind, pipeline uuid.UUID, v *clixml.Value) [][]byte {
	c.sent++
	return fragments(c.sent, message{k, c.pool, pipeline, v}.encode())
}

// read takes what the process writes until it ends.
func (c *Client) read() error {
	in := lines{r: c.in, junk: c.junk}
	var pool joiner
	for c.broken == nil {
		l, err := in.next()
		switch {
		case err != nil:
			return err
		case l.verb != data:
			c.acknowledge(l)
		case l.id == uuid.Nil:
			pool.add(l.data, c.takePool, func(_ kind, err error) { c.lost(err) })
		default:
			c.mu.Lock()
			r := c.run
			c.mu.Unlock()
			if r != nil && r.id == l.id { // else of one that is over
				r.take(l.data)
			}
		}
	}
	return c.broken
}

func (c *Client) acknowledge(l line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.acked != nil && c.awaited.verb == l.verb && c.awaited.id == l.id {
		close(c.acked)
		c.acked = nil
	}
}

// The states of a pool that say something new ([MS-PSRP] 2.2.3.4).
const (
	poolOpened = "2"
	poolBroken = "5"
)

// takePool takes a message of the pool's.
func (c *Client) takePool(b []byte) {
	m, err := decodeMessage(b)
	if err != nil {
		c.lost(err)
		return
	}
	switch m.kind {
	case applicationPrivateData:
		if !isDone(c.opened) {
			c.version = m.value.Get("ApplicationPrivateData").Entry("PSVersionTable").Entry("PSVersion").Str()
		}
	case runspacePoolState:
		switch m.value.Get("RunspaceState").Str() {
		case poolOpened:
			closeOnce(c.opened)
		case poolBroken:
			c.broken = fmt.Errorf("its pool broke: %s", failure(m.value.Get("ExceptionAsErrorRecord")).Message)
		}
	case encryptedSessionKey:
		if c.key.receive(m.value.Get("EncryptedSessionKey").Str()) {
			closeOnce(c.keyed)
		}
	}
}

// closeOnce closes what only the calling goroutine closes.
func closeOnce(c chan struct{}) {
	if !isDone(c) {
		close(c)
	}
}

func isDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
