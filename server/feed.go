package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// Feed is the package repository for NuGet's clients.
type Feed interface {
	// Read answers a GET or HEAD of the path below the feed's absolute URL, base.
	Read(w http.ResponseWriter, r *http.Request, base, path string) error
	// Push takes the package in the body of a push.
	Push(r *http.Request, by domain.Principal) (domain.Package, error)
	// Import takes a library in the same way.
	Import(r *http.Request, by domain.Principal) (domain.Package, error)
}

// The path of the feed, and of the index that clients are given.
const (
	ofFeed    = "/nuget"
	feedIndex = ofFeed + "/v3/index.json"
)

// forFeed says whether a request is one of NuGet's clients, who prove themselves and read errors in ways of their own.
func forFeed(r *http.Request) bool {
	path, ok := pathSegments(r.URL.EscapedPath())
	return ok && strings.EqualFold(path[0], ofFeed[1:])
}

// bearing gives the request the one header that authenticate knows, of the token that a client of NuGet's sent: as
// X-NuGet-ApiKey with what it changes, which is what its user named it for, else as the password of Basic (RFC 7617) with
// any user name or none.
func (r *request) bearing() {
	token := ""
	if _, password, ok := r.BasicAuth(); ok && len(r.Header.Values("Authorization")) == 1 {
		token = password
	}
	if keys := r.Header.Values("X-NuGet-ApiKey"); len(keys) > 0 && r.Method != http.MethodGet && r.Method != http.MethodHead {
		token = strings.Join(keys, " ") // of two, no token at all
	} else if token == "" {
		return
	}
	inner := *r.Request
	inner.Header = r.Header.Clone()
	inner.Header.Del("X-NuGet-ApiKey")
	inner.Header.Set("Authorization", "Bearer "+token)
	r.Request = &inner
}

func (s *Server) readFeedIndex(a *answer, r *request) error {
	return s.readFeedAt(a, r, strings.TrimPrefix(feedIndex, ofFeed+"/"))
}

func (s *Server) readFeed(a *answer, r *request) error {
	return s.giveOut(func() error { return s.readFeedAt(a, r, r.vars["path"]) })
}

// giveOut does what may be a long download, in one of the places for these.
func (s *Server) giveOut(download func() error) error {
	select {
	case s.reads <- struct{}{}:
		defer func() { <-s.reads }()
	default:
		return errors.Newf(errors.TooManyRequests, "The server gives out %d packages, the most it does at once; try again in a moment.", cap(s.reads))
	}
	return download()
}

func (s *Server) readFeedAt(a *answer, r *request, path string) error {
	return s.cfg.Feed.Read(a, r.Request, "https://"+r.Host+ofFeed, path)
}

// maxPushes is the most packages that come in at once: each takes its size of the disk, and then unpacks.
const maxPushes = 8

// How long a client may take for each piece of a package, and for all of it.
const (
	piecePatience = 30 * time.Second
	pushPatience  = 30 * time.Minute
)

func (s *Server) pushPackage(a *answer, r *request) error {
	return s.takePackage(a, r, s.cfg.Feed.Push)
}

func (s *Server) importPackage(a *answer, r *request) error {
	return s.takePackage(a, r, s.cfg.Feed.Import)
}

// takePackage takes a package. Its body is as long as the repository lets it be, and goes to the disk as it comes.
func (s *Server) takePackage(a *answer, r *request, take func(*http.Request, domain.Principal) (domain.Package, error)) error {
	select {
	case s.pushes <- struct{}{}:
		defer func() { <-s.pushes }()
	default:
		return errors.Newf(errors.TooManyRequests, "The server takes %d packages, the most it does at once; try again in a moment.", cap(s.pushes))
	}
	r.Body = &patient{ReadCloser: r.Body, control: a.control, until: time.Now().Add(pushPatience)}
	p, err := take(r.Request, r.identity.Principal)
	if err != nil {
		return err
	}
	_ = a.control.SetReadDeadline(time.Time{})
	r.detail = p.Ref() + " sha256:" + p.Digest
	a.Header().Set("Location", versionPath(p))
	a.WriteHeader(http.StatusCreated)
	return nil
}

// patient is the body of a request that may take long, as long as it goes on. Once it has not, it is at its end.
type patient struct {
	io.ReadCloser
	control *http.ResponseController
	until   time.Time
	err     error
}

func (p *patient) Read(b []byte) (n int, err error) {
	if p.err != nil {
		return 0, p.err
	}
	deadline := time.Now().Add(piecePatience)
	if deadline.After(p.until) {
		deadline = p.until
	}
	_ = p.control.SetReadDeadline(deadline)
	n, p.err = p.ReadCloser.Read(b)
	return n, p.err
}

// refusePush answers a push or a delete with an error. NuGet's clients show their users the status and its reason phrase
// and nothing else of an answer, so the sentence becomes the reason phrase, where there is one: HTTP/1.1 has it (RFC 9112,
// section 4), HTTP/2 has not, and net/http writes none but its own, so that the connection is taken from it and closed
// behind the answer.
//
// What such a client is still sending is read to its end first, for it reads no answer before; who is not known has
// bodyPatience for that.
func (a *answer) refusePush(r *request, status int, sentence string, body errorBody) bool {
	if r.ProtoMajor != 1 || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return false
	}
	if r.Header.Get("Expect") == "" {
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxDrained))
	}
	var b, text bytes.Buffer
	if encoder(&text).Encode(body) != nil {
		return false
	}
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, reasonPhrase(sentence))
	h := a.Header()
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", fmt.Sprint(text.Len()))
	h.Set("Connection", "close")
	_ = h.Write(&b) // a Buffer takes everything
	b.WriteString("\r\n")
	b.Write(text.Bytes())
	conn, _, err := a.control.Hijack()
	if err != nil {
		return false
	}
	a.begun = true
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(writePatience))
	_, _ = conn.Write(b.Bytes())
	return true
}

// maxDrained is the most bytes that are read of a push that is refused: more than of any package.
const maxDrained = 1 << 30

// maxReason is the most bytes of a reason phrase: clients bound what they read of an answer's head.
const maxReason = 1000

// reasonPhrase is a sentence as it can stand in a status line: in printable ASCII.
func reasonPhrase(sentence string) string {
	plain := strings.Map(func(c rune) rune {
		switch {
		case c == '’' || c == '‘':
			return '\''
		case c < ' ' || c > '~':
			return '?'
		}
		return c
	}, sentence)
	return plain[:min(len(plain), maxReason)]
}
