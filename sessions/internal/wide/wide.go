// Package wide has connections that are read and written in large pieces. TLS and SSH turn to the system several times
// for each of their small records: where much is passed on, that is half of what it costs.
package wide

import (
	"bufio"
	"net"
	"sync"
	"time"
)

const (
	readSize  = 64 << 10
	writeSize = 128 << 10              // bytes that wait for a write under way
	smallSize = 4 << 10                // bufio's: what is as large has more behind it
	flushTime = 200 * time.Millisecond // for what waits when the connection is closed
)

// conn writes in a goroutine of its own: what comes while a write is under way goes with the next one. What is small is
// written at once where nothing is under way, for somebody waits for it.
type conn struct {
	net.Conn
	in    *bufio.Reader
	close func() error

	mu         sync.Mutex
	changed    sync.Cond
	out, spare []byte
	busy       bool  // with spare
	err        error // why nothing more is written
	written    chan struct{}
}

// Conn is c, read and written in large pieces. The error of a write is that of a later one. Close flushes, but does not
// wait for long. Who closes c itself cuts it off, and still has to call Close.
func Conn(c net.Conn) net.Conn {
	w := &conn{Conn: c, in: bufio.NewReaderSize(c, readSize), written: make(chan struct{})}
	w.changed.L = &w.mu
	w.close = sync.OnceValue(func() error {
		_ = c.SetWriteDeadline(time.Now().Add(flushTime))
		w.stop(net.ErrClosed)
		<-w.written
		return c.Close()
	})
	go func() { // ends with Close or a write that fails
		defer close(w.written)
		for {
			p := w.next()
			if len(p) == 0 {
				return
			}
			if _, err := c.Write(p); err != nil {
				w.stop(err)
				return
			}
		}
	}()
	return w
}

func (w *conn) Read(p []byte) (int, error) { return w.in.Read(p) }

func (w *conn) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.out) > writeSize && w.err == nil {
		w.changed.Wait()
	}
	if w.err != nil {
		return 0, w.err
	}
	if len(p) < smallSize && len(w.out) == 0 && !w.busy {
		n, err := w.Conn.Write(p)
		w.err = err
		return n, err
	}
	w.out = append(w.out, p...)
	w.changed.Broadcast()
	return len(p), nil
}

// next waits for something to write; there is nothing after the end.
func (w *conn) next() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = false
	for len(w.out) == 0 && w.err == nil {
		w.changed.Wait()
	}
	p := w.out
	w.out, w.spare, w.busy = w.spare[:0], p, true
	w.changed.Broadcast()
	return p
}

func (w *conn) stop(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = why
	}
	w.changed.Broadcast()
}

func (w *conn) Close() error { return w.close() }
