// Package envelope reads as much of a SOAP 1.1 request as the broker has to know: which method is called, and where
// the header carries a session.
//
// It is a scanner and no XML parser, because it runs on every call (a hundredth of the time of encoding/xml). So
// that no server can read a request in another way, it takes a narrow form only: UTF-8; no DTD, comment, processing
// instruction or CDATA; exactly one Body with exactly one element. Within that form each '<' begins a tag and the
// reading is exact; anything else is refused. See https://www.w3.org/TR/2000/NOTE-SOAP-20000508/ for the envelope,
// and the vSphere API for its header vcSessionCookie.
package envelope

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"unicode/utf8"
)

// Bounds: how deep elements may nest (calls of vCenter stay below 40), and how long a method's name is (below 70).
const (
	maxDepth  = 200
	maxMethod = 128
)

// Call is what a request says about itself.
type Call struct {
	Method   string // local name of the element in Body
	This     Span   // what the call's first _this says; empty where that is no plain text
	Sessions []Span // contents of the header's vcSessionCookie elements
}

// Span is a piece of the scanned bytes.
type Span struct{ From, To int }

var declaration = regexp.MustCompile(
	`^<\?xml[ \t\r\n]+version=["']1\.0["']([ \t\r\n]+encoding=["'](?i:utf-8)["'])?([ \t\r\n]+standalone=["'](yes|no)["'])?[ \t\r\n]*\?>`)

// Scan reads a whole request. Its error says in a few words what is not as it should be.
func Scan(body []byte) (Call, error) {
	if !utf8.Valid(body) {
		return Call{}, errors.New("it is not UTF-8")
	}
	s := scanner{b: body}
	s.i = len(body) - len(bytes.TrimPrefix(body, []byte("\ufeff")))
	s.i += len(declaration.Find(body[s.i:]))
	var st structure
	for {
		text, t, err := s.next()
		if err != nil {
			return Call{}, err
		}
		if err := st.text(len(s.open), body, text); err != nil {
			return Call{}, err
		}
		if t.kind == end {
			break
		}
		if err := s.follow(t); err != nil {
			return Call{}, err
		}
		if err := st.tag(len(s.open), t); err != nil {
			return Call{}, err
		}
	}
	if len(s.open) > 0 || st.call.Method == "" {
		return Call{}, errors.New("it is not a whole SOAP envelope with one call in its Body")
	}
	return st.call, nil
}

// structure follows where in the envelope the scanner is. Depths are those of the open elements: 1 inside Envelope,
// 2 inside Header or Body, 3 inside a header or the call.
type structure struct {
	call                     Call
	seenRoot, header, inBody bool
	inHeader, inCookie       bool
	inThis, seenThis         bool
}

// text judges the text that comes before the next tag.
func (st *structure) text(depth int, body []byte, text Span) error {
	content := body[text.From:text.To]
	switch {
	case st.inCookie && depth == 3:
		if bytes.IndexByte(content, '&') >= 0 {
			return errors.New("its vcSessionCookie is written with references")
		}
		st.call.Sessions = append(st.call.Sessions, trimmed(body, text))
		st.inCookie = false
	case st.inThis:
		st.call.This, st.inThis = trimmed(body, text), false
	case depth < 2 || depth == 2 && st.inBody:
		if len(bytes.Trim(content, space)) > 0 {
			return errors.New("it has text outside of the call")
		}
	}
	return nil
}

// trimmed is a piece of the body without the white space around it.
func trimmed(body []byte, s Span) Span {
	content := body[s.From:s.To]
	from := s.From + len(content) - len(bytes.TrimLeft(content, space))
	return Span{from, from + len(bytes.Trim(content, space))}
}

// tag judges a tag after which depth elements are open.
func (st *structure) tag(depth int, t tag) error {
	if t.kind == closing {
		return nil
	}
	at := depth
	if t.kind == opening {
		at--
	}
	name := local(t.name)
	switch {
	case at == 0:
		if st.seenRoot || string(name) != "Envelope" || t.kind != opening {
			return errors.New("its root is not one Envelope")
		}
		st.seenRoot = true
	case at == 1 && string(name) == "Header" && !st.header && !st.inBody:
		st.header, st.inHeader = true, t.kind == opening
	case at == 1 && string(name) == "Body" && !st.inBody && t.kind == opening:
		st.inBody, st.inHeader = true, false
	case at == 1:
		return fmt.Errorf("its Envelope has the element %.40q where at most one Header and then one Body may be", name)
	case at == 2 && st.inHeader && string(name) == "vcSessionCookie":
		if t.kind != opening {
			return errors.New("its vcSessionCookie is empty")
		}
		st.inCookie = true
	case at == 2 && st.inBody:
		if st.call.Method != "" {
			return errors.New("its Body has more than one element")
		}
		if !isMethod(name) {
			return errors.New("its method has an unusual name")
		}
		st.call.Method = string(name)
	case at == 3 && st.inBody && !st.seenThis && string(name) == "_this":
		st.seenThis, st.inThis = true, t.kind == opening
	}
	return nil
}

// local is the name without its prefix.
func local(name []byte) []byte { return name[bytes.LastIndexByte(name, ':')+1:] }

func isMethod(name []byte) bool {
	for _, c := range name {
		if c >= utf8.RuneSelf || c == '-' || c == '.' {
			return false
		}
	}
	return len(name) > 0 && len(name) <= maxMethod
}
