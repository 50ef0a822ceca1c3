package sdk

import (
	"errors"
	"io"
	"sync"

	"github.com/airlock-run/airlock/sdk/wire"
)

// full is the number of buffered bytes from which on writers wait for the host to read.
const full = 256 << 10

var errEnded = errors.New("the execution has ended")

// writer sends frames in the order in which they come. One goroutine, which close waits for, writes whatever has
// gathered as soon as the frames before are written: a single line goes out at once, a million of them in large
// writes. While the host does not read, at most full bytes and one frame are held and writers wait.
type writer struct {
	turn sync.Mutex // held for one text, so that its parts stay together

	mu    sync.Mutex
	more  *sync.Cond // there is something to write, or err is set
	room  *sync.Cond // there is room to write into, or err is set
	buf   []byte
	err   error // no more frames are taken: errEnded, or why the connection broke
	flush chan struct{}
}

func newWriter(to io.Writer) *writer {
	w := &writer{flush: make(chan struct{})}
	w.more, w.room = sync.NewCond(&w.mu), sync.NewCond(&w.mu)
	go w.run(to)
	return w
}

func (w *writer) run(to io.Writer) {
	defer close(w.flush)
	var out []byte
	for {
		w.mu.Lock()
		for len(w.buf) == 0 && w.err == nil {
			w.more.Wait()
		}
		out, w.buf = w.buf, out[:0]
		w.room.Broadcast()
		w.mu.Unlock()
		if len(out) == 0 {
			return
		}
		if _, err := to.Write(out); err != nil {
			w.stop(err)
			return
		}
	}
}

// stop lets no more frames in; what is buffered is still written if it can be.
func (w *writer) stop(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil || w.err == errEnded {
		w.err = err
	}
	w.more.Broadcast()
	w.room.Broadcast()
}

// text sends a text as one record, or as several where it is too long for one.
func (w *writer) text(kind wire.Kind, s string) {
	w.turn.Lock()
	defer w.turn.Unlock()
	for {
		n := cut(s, wire.MaxRecord)
		if w.frame(kind, []byte(s[:n])) != nil || n == len(s) {
			return
		}
		s = s[n:]
	}
}

// frame sends one frame, or says why it cannot. Nothing follows an End.
func (w *writer) frame(kind wire.Kind, payload []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.buf) >= full && w.err == nil {
		w.room.Wait()
	}
	if w.err != nil {
		return w.err
	}
	buf, err := wire.AppendFrame(w.buf, kind, payload)
	if err != nil {
		return err
	}
	w.buf = buf
	if kind == wire.KindEnd {
		w.err = errEnded
	}
	w.more.Signal()
	return nil
}

// close waits until everything is written, and returns why it could not be.
func (w *writer) close() error {
	w.stop(errEnded)
	<-w.flush
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == errEnded {
		return nil
	}
	return w.err
}
