// Package sftpwatch follows an SFTP session by the bytes of both directions, and tells what was done to which file.
//
// It knows version 3 of the protocol (draft-ietf-secsh-filexfer-02) and OpenSSH's extensions (its file PROTOCOL,
// section 4). It takes bytes before they are passed on, alters none, and keeps little: the requests that have no answer
// yet and the handles that are open, both bounded. An error means that it cannot say any more what is being done, and
// that the session has to end before the bytes at hand are passed on.
package sftpwatch

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Bounds of one session.
const (
	maxHandles = 2048
	maxPending = 4 << 20 // bytes of requests without an answer, their paths included
	maxPath    = 1 << 10 // bytes of a path that are kept
)

// Op is one operation, reported when its answer has come. Looking at names and attributes is no Op.
type Op struct {
	Name   string // open, close, remove, …; of an extension its name without the domain
	Path   string // as the client gave it; of a handle that of the file
	Detail string // flags of open, attributes, the other path

	// Result is "ok" or the server's status. "cut" is for what had no answer, or no close, when the session ended. A close
	// has the first status by which a read or write of the file failed.
	Result        string
	Read, Written int64         // by close: bytes that the client got and that the server has taken
	Duration      time.Duration // from the request to the answer; of close, from the open
}

// Session follows one session. Request and Answer may be called at the same time as each other.
type Session struct {
	report func(Op)

	mu        sync.Mutex
	requests  stream
	answers   stream
	asked     bool // the client has sent its version
	agreed    bool // the server has answered with the one that we know
	pending   map[uint32]request
	pendingIn int // bytes
	order     int // of the last request
	files     map[string]*file
}

// request is one that has no answer yet.
type request struct {
	op     Op
	quiet  bool   // nothing to report
	answer []byte // kinds of its answer, beside a status
	order  int
	start  time.Time
	handle string // of close
	file   *file  // of read, write and close, where the handle is known
	size   int64  // of write
}

// file is an open handle of a file.
type file struct {
	path          string
	order         int
	opened        time.Time
	read, written int64
	failed        string // the first failure
	dir           bool
}

// New follows a session from its first byte. report is called from Request, Answer and End, one call at a time; it must
// not wait.
func New(report func(Op)) *Session {
	s := &Session{report: report, pending: map[uint32]request{}, files: map[string]*file{}}
	s.requests = stream{keep: keepRequest, packet: s.request}
	s.answers = stream{keep: keepAnswer, packet: s.answer}
	return s
}

// Request takes bytes that the client has sent and that the server has not got yet.
func (s *Session) Request(p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests.write(p)
}

// Answer takes bytes that the server has sent and that the client has not got yet.
func (s *Session) Answer(p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers.write(p)
}

// End reports what is unfinished. Nothing may be called after it.
func (s *Session) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range slices.SortedFunc(maps.Values(s.pending), func(a, b request) int { return a.order - b.order }) {
		if !r.quiet {
			s.finish(r, cut)
		}
	}
	for _, f := range slices.SortedFunc(maps.Values(s.files), func(a, b *file) int { return a.order - b.order }) {
		s.closed(f, cut)
	}
}

func keepRequest(kind byte, size int) (int, error) {
	if kind == kindWrite {
		return 1 + 4 + 4 + maxHandle + 8 + 4, nil
	}
	if size > maxRequest {
		return 0, fmt.Errorf("a request of kind %d with %d bytes", kind, size)
	}
	return size, nil
}

func keepAnswer(byte, int) (int, error) { return 1 + 4 + 4 + maxHandle, nil }

// request notes what the client asks for.
func (s *Session) request(head []byte, size int) error {
	f := &fields{rest: head}
	kind, id := f.byte(), f.uint32() // of init the version
	if kind == kindInit && !f.short && !s.asked {
		s.asked = true
		return nil
	}
	if !s.agreed {
		return fmt.Errorf("a request of kind %d before the version is agreed", kind)
	}
	r, known := s.parse(kind, f, size-len(head))
	if !known {
		return fmt.Errorf("a request of kind %d", kind)
	}
	if f.short {
		return fmt.Errorf("a request of kind %d without its fields", kind)
	}
	if _, twice := s.pending[id]; twice {
		return fmt.Errorf("two requests at once with the id %d", id)
	}
	s.pendingIn += r.cost()
	if s.pendingIn > maxPending {
		return errors.New("too many requests without an answer")
	}
	s.order++
	r.order = s.order
	if !r.quiet {
		r.start = time.Now()
	}
	s.pending[id] = r
	return nil
}

// cost is about what a request takes in memory.
func (r request) cost() int { return 256 + len(r.op.Path) + len(r.op.Detail) + len(r.handle) }

// answer finishes the request that the server answers.
func (s *Session) answer(head []byte, size int) error {
	f := &fields{rest: head}
	kind, id := f.byte(), f.uint32() // of version the version
	if kind == kindVersion && s.asked && !s.agreed {
		if id != 3 {
			return fmt.Errorf("version %d, where 3 is known", id)
		}
		s.agreed = true
		return nil
	}
	r, asked := s.pending[id]
	if f.short || !asked {
		return fmt.Errorf("an answer of kind %d to no request", kind)
	}
	if kind != kindStatus && !slices.Contains(r.answer, kind) {
		return fmt.Errorf("an answer of kind %d to another request", kind)
	}
	delete(s.pending, id)
	s.pendingIn -= r.cost()
	result := ok
	switch kind {
	case kindStatus:
		result = status(f.uint32())
	case kindHandle:
		if err := s.opened(r, f.string()); err != nil {
			return err
		}
	case kindData:
		n := f.uint32()
		if int64(n) > int64(size-1-4-4) {
			return errors.New("data longer than its packet")
		}
		if r.file != nil {
			r.file.read += int64(n)
		}
	}
	if f.short {
		return fmt.Errorf("an answer of kind %d without its fields", kind)
	}
	s.finish(r, result)
	return nil
}

// opened notes the handle of a file or directory.
func (s *Session) opened(r request, handle []byte) error {
	if len(handle) == 0 || len(handle) > maxHandle {
		return fmt.Errorf("a handle of %d bytes", len(handle))
	}
	if _, twice := s.files[string(handle)]; twice {
		return errors.New("a handle that is open already")
	}
	if len(s.files) == maxHandles {
		return fmt.Errorf("more than %d open files", maxHandles)
	}
	s.files[string(handle)] = &file{path: r.op.Path, order: r.order, opened: time.Now(), dir: r.op.Name == "opendir"}
	return nil
}

// finish reports a request that is answered.
func (s *Session) finish(r request, result string) {
	switch {
	case !r.quiet:
		r.op.Result, r.op.Duration = result, time.Since(r.start)
		s.report(r.op)
	case r.file == nil: // not of a file, or of none that is open
	case r.handle != "": // closed: also where the server says that it failed, as close(2)
		if s.files[r.handle] == r.file {
			delete(s.files, r.handle)
			s.closed(r.file, result)
		}
	case result == ok: // read or written
		r.file.written += r.size
	case result != "eof":
		r.file.failed = cmp.Or(r.file.failed, result)
	}
}

func (s *Session) closed(f *file, result string) {
	if f.failed != "" && result == ok {
		result = f.failed
	}
	if !f.dir {
		s.report(Op{Name: "close", Path: f.path, Result: result, Read: f.read, Written: f.written, Duration: time.Since(f.opened)})
	}
}
