package process

import (
	"bytes"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/internal/domain"
)

// reader reads what a process writes. Once it is cut it reads what has been written and waits for nothing more: the
// process is gone, but somebody else may hold the other end.
type reader struct {
	f    *os.File
	cut  atomic.Bool
	left int // bytes to be read at most after the cut, more than any pipe holds
}

func newReader(f *os.File) *reader { return &reader{f: f, left: 4 << 20} }

// Cut may be called at any time.
func (r *reader) Cut() {
	r.cut.Store(true)
	_ = r.f.SetDeadline(time.Unix(1, 0)) // wakes a Read that waits
}

// Read implements io.Reader.
func (r *reader) Read(b []byte) (int, error) {
	if !r.cut.Load() {
		n, err := r.f.Read(b)
		if !os.IsTimeout(err) {
			return n, err
		}
	}
	return r.rest(b)
}

// rest reads without waiting.
func (r *reader) rest(b []byte) (n int, err error) {
	if len(b) == 0 || r.left <= 0 {
		return 0, io.EOF
	}
	raw, err := r.f.SyscallConn()
	if err != nil {
		return 0, err
	}
	// Control, not Read: that one would wait for the deadline, which has passed.
	controlErr := raw.Control(func(fd uintptr) { n, err = unix.Read(int(fd), b) })
	if controlErr != nil || err != nil || n <= 0 {
		return 0, io.EOF
	}
	r.left -= n
	return n, nil
}

// Write implements io.Writer.
func (r *reader) Write(b []byte) (int, error) { return r.f.Write(b) }

// hangUp tells the other end of a socket that nothing more comes.
func (r *reader) hangUp() {
	if raw, err := r.f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
	}
}

// Close gives the descriptor back.
func (r *reader) Close() { _ = r.f.Close() }

// longest is how much of a line is held: a record, and its end.
const longest = domain.MaxRecord + len("\r\n")

// lines gives the lines of r to the host as records of a stream, without their ends. One that is longer than a
// record goes on in the next, cut between two characters. Lines that were read at once stay together: a secret of
// several lines that the program writes at once would not be found with a record of another source among them.
func lines(r io.Reader, stream domain.Stream, h runtime.Host, turn sync.Locker) {
	buf := make([]byte, 0, 4<<10)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):min(cap(buf), longest)])
		func() {
			turn.Lock()
			defer turn.Unlock() // also in a panic
			buf = writeLines(buf, len(buf), n, stream, h)
			if err != nil && len(buf) > 0 {
				h.Write(stream, buf)
			}
		}()
		if err != nil {
			return
		}
	}
}

// inTurn is a host to which several sources write.
type inTurn struct {
	runtime.Host
	turn sync.Locker
}

// Write implements runtime.Host.
func (t inTurn) Write(s domain.Stream, text []byte) {
	t.turn.Lock()
	defer t.turn.Unlock()
	t.Host.Write(s, text)
}

// writeLines writes the whole lines of buf, of which n bytes after the first seen are new, and returns the rest.
func writeLines(buf []byte, seen, n int, stream domain.Stream, h runtime.Host) []byte {
	buf = buf[:seen+n]
	from := 0
	for {
		i := bytes.IndexByte(buf[max(from, seen):], '\n')
		if i < 0 {
			break
		}
		end := max(from, seen) + i
		h.Write(stream, bytes.TrimSuffix(buf[from:end], []byte("\r")))
		from = end + 1
	}
	if rest := buf[from:]; len(rest) >= longest {
		cut := from + wholeRunes(rest[:domain.MaxRecord])
		h.Write(stream, buf[from:cut])
		from = cut
	}
	return buf[:copy(buf, buf[from:])]
}

// wholeRunes is the length of b without a character that has only begun at its end. Bytes that are not UTF-8 count
// as characters of their own.
func wholeRunes(b []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-i:]) {
				return len(b) - i
			}
			break
		}
	}
	return len(b)
}
