package psrp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
)

// ErrEnded is that the process said its last: it is gone, or what it said is no protocol.
var ErrEnded = errors.New("the PowerShell process has ended")

// Client is a conversation with one process, in which one pipeline runs at a time. It owns one goroutine, which reads
// what the process writes and ends with it: whoever owns the process ends it first and then calls Wait.
//
// PowerShell handles lines on a pool of threads, so that a line may overtake the one before. The client sends each line
// when the one before is acknowledged. Acknowledgements stand in no order to what the server says of itself, so nothing
// that is read waits for one.
type Client struct {
	in   io.Reader
	out  io.Writer
	junk func([]byte)
	pool uuid.UUID
	sent uint64     // messages
	wire sync.Mutex // held from a line to its acknowledgement

	mu      sync.Mutex
	awaited line          // whose acknowledgement is awaited
	acked   chan struct{} // closed when it has come
	run     *run          // the pipeline that runs

	opened  chan struct{} // closed when the pool is open
	keyed   chan struct{} // closed when the session key is there
	ended   chan struct{} // closed when nothing more is read
	err     error         // why; before ended is closed for its reader only
	version string
	key     keyExchange
}

// New begins a conversation with a process whose standard output is in and whose standard input is out. What it writes
// beside the protocol is given to junk, by another goroutine and cut to 4 KiB a line.
func New(in io.Reader, out io.Writer, junk func([]byte)) *Client {
	c := &Client{
		in: in, out: out, junk: junk, pool: uuid.New(),
		opened: make(chan struct{}), keyed: make(chan struct{}), ended: make(chan struct{}),
	}
	go func() {
		defer close(c.ended)
		c.err = fmt.Errorf("%w: %w", ErrEnded, c.read())
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

// Close ends the pool. The process lives on until its standard input is closed, and then ends with the status 160.
func (c *Client) Close(ctx context.Context) error { return c.send(ctx, line{verb: closing}) }

// await waits for something that the server has to say.
func (c *Client) await(ctx context.Context, said <-chan struct{}) error {
	select {
	case <-said:
		return nil
	default:
	}
	select {
	case <-said:
		return nil
	case <-c.ended:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send writes a line and waits for its acknowledgement. A process that does not read holds it up until it is killed.
func (c *Client) send(ctx context.Context, l line) error {
	c.wire.Lock()
	defer c.wire.Unlock()
	acked := make(chan struct{})
	c.mu.Lock()
	c.awaited, c.acked = line{verb: l.verb + "Ack", id: l.id}, acked
	c.mu.Unlock()
	if _, err := c.out.Write(l.encode()); err != nil {
		return fmt.Errorf("%w: %w", ErrEnded, err)
	}
	return c.await(ctx, acked)
}

// fragments makes the next message.
func (c *Client) fragments(k kind, pipeline uuid.UUID, v *clixml.Value) [][]byte {
	c.sent++
	return fragments(c.sent, message{k, c.pool, pipeline, v}.encode())
}

// read takes what the process writes until it ends.
func (c *Client) read() error {
	in := lines{bufio.NewReaderSize(c.in, maxLine), c.junk}
	var pool, pipeline joiner
	for of := uuid.Nil; ; {
		l, err := in.next()
		if err != nil {
			return err
		}
		if l.verb != data {
			c.acknowledge(l)
			continue
		}
		joined := &pool
		if l.id != uuid.Nil {
			if l.id != of {
				of, pipeline = l.id, joiner{}
			}
			joined = &pipeline
		}
		err = joined.add(l.data, func(b []byte) error {
			m, err := decodeMessage(b)
			if err == nil {
				c.handle(l.id, m)
			}
			return err
		})
		if err != nil { // what a script wrote past PowerShell can look like this
			*joined = joiner{}
			c.junk(cut([]byte(err.Error())))
		}
	}
}

func (c *Client) acknowledge(l line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.acked != nil && c.awaited.verb == l.verb && c.awaited.id == l.id {
		close(c.acked)
		c.acked = nil
	}
}

// The states of a pool ([MS-PSRP] 2.2.3.4).
const (
	poolOpened = "2"
	poolClosed = "3"
	poolBroken = "5"
)

// handle takes a message of a stream: of the pool, or of the pipeline with the id.
func (c *Client) handle(of uuid.UUID, m message) {
	if of != uuid.Nil {
		c.mu.Lock()
		r := c.run
		c.mu.Unlock()
		if r != nil && r.id == of && m.pipeline == of {
			r.handle(m)
		}
		return
	}
	switch m.kind {
	case applicationPrivateData:
		if c.version == "" {
			c.version = m.value.Get("ApplicationPrivateData").Entry("PSVersionTable").Entry("PSVersion").Str()
		}
	case runspacePoolState:
		if m.value.Get("RunspaceState").Str() == poolOpened {
			closeOnce(c.opened)
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

// State is how a pipeline ended ([MS-PSRP] 2.2.3.5).
type State string

// The states in which a pipeline ends. Completed does not mean that no error was written.
const (
	Stopped   State = "Stopped"
	Completed State = "Completed"
	Failed    State = "Failed"
)

var terminal = map[string]State{"3": Stopped, "4": Completed, "5": Failed}

// End is what has become of a pipeline.
type End struct {
	State   State
	Failure *Failure // why it failed or stopped, where PowerShell says
	// Exit is the argument of exit, nil where none was called. A pipeline that exits is Completed.
	Exit *int
}

// run is the pipeline that runs.
type run struct {
	id    uuid.UUID
	write func(Record)
	end   End
	done  chan struct{} // closed when end is whole
	calls chan *clixml.Value
}

// maxCalls is how many host calls wait for their answer. The client has no host, and PowerShell makes none.
const maxCalls = 16

// Run runs a pipeline and gives what it writes to write, in order, from another goroutine. When stop is closed,
// PowerShell is asked to end it: it then runs what stands in finally, but does not interrupt every call.
//
// The error is ErrEnded or that of ctx, after which the client is of no more use.
func (c *Client) Run(ctx context.Context, p Pipeline, stop <-chan struct{}, write func(Record)) (End, error) {
	r := &run{id: uuid.New(), write: write, done: make(chan struct{}), calls: make(chan *clixml.Value, maxCalls)}
	c.mu.Lock()
	c.run = r
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.run = nil
		c.mu.Unlock()
	}()
	if err := c.send(ctx, line{verb: command, id: r.id}); err != nil {
		return End{}, err
	}
	for _, f := range c.fragments(createPipeline, r.id, p.message()) {
		if err := c.send(ctx, line{verb: data, id: r.id, data: f}); err != nil {
			return End{}, err
		}
	}
	if err := c.follow(ctx, r, stop); err != nil {
		return End{}, err
	}
	return r.end, c.send(ctx, line{verb: closing, id: r.id})
}

// follow waits for the end of a pipeline, and in the meantime says what it has to be told.
func (c *Client) follow(ctx context.Context, r *run, stop <-chan struct{}) error {
	var signalling sync.WaitGroup
	defer signalling.Wait()
	for {
		select {
		case <-r.done:
			return nil
		default:
		}
		select {
		case <-r.done:
		case <-stop:
			stop = nil
			// Its acknowledgement may come long after the end.
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			signalling.Go(func() { _ = c.send(ctx, line{verb: signal, id: r.id}) })
		case call := <-r.calls:
			if err := c.notImplemented(ctx, r, call); err != nil {
				return err
			}
		case <-c.ended:
			select {
			case <-r.done: // the last that it said
				return nil
			default:
				return c.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// setShouldExit is how the server says that exit was called ([MS-PSRP] 2.2.3.17, method 6).
const setShouldExit = "6"

// handle takes a message of the pipeline.
func (r *run) handle(m message) {
	if isDone(r.done) {
		return // nothing counts after the end
	}
	if rec, is := record(m); is {
		r.write(rec)
		return
	}
	switch m.kind {
	case pipelineState:
		state, ends := terminal[m.value.Get("PipelineState").Str()]
		if !ends {
			return
		}
		r.end.State = state
		if why := m.value.Get("ExceptionAsErrorRecord"); !why.IsNull() {
			f := failure(why)
			r.end.Failure = &f
		}
		close(r.done)
	case pipelineHostCall:
		if m.value.Get("mi").Number() == setShouldExit {
			if code, err := strconv.Atoi(m.value.Get("mp").Item(0).Str()); err == nil {
				r.end.Exit = &code
			}
			return
		}
		select {
		case r.calls <- m.value:
		default: // more than it can have asked
		}
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
