package envelope

import (
	"bytes"
	"errors"
	"strings"
)

const space = " \t\r\n"

type kind int

const (
	opening kind = iota
	closing
	empty // <a/>
	end   // of the input
)

type tag struct {
	kind kind
	name []byte // with its prefix
}

type scanner struct {
	b    []byte
	i    int
	open [][]byte // names of the open elements
}

// next returns the text up to the next tag, and the tag.
func (s *scanner) next() (Span, tag, error) {
	n := bytes.IndexByte(s.b[s.i:], '<')
	if n < 0 {
		text := Span{s.i, len(s.b)}
		s.i = len(s.b)
		return text, tag{kind: end}, nil
	}
	text := Span{s.i, s.i + n}
	s.i += n + 1
	t, err := s.tag()
	return text, t, err
}

// tag reads what follows a '<'.
func (s *scanner) tag() (tag, error) {
	switch s.peek() {
	case '!':
		return tag{}, errors.New("it has a DTD, a comment or CDATA")
	case '?':
		return tag{}, errors.New("it has a processing instruction or an XML declaration other than version 1.0 in UTF-8")
	case '/':
		s.i++
		name, err := s.name()
		if err != nil {
			return tag{}, err
		}
		s.skipSpace()
		if s.peek() != '>' {
			return tag{}, errBroken
		}
		s.i++
		return tag{closing, name}, nil
	}
	name, err := s.name()
	if err != nil {
		return tag{}, err
	}
	for {
		s.skipSpace()
		switch s.peek() {
		case '>':
			s.i++
			return tag{opening, name}, nil
		case '/':
			if s.i++; s.peek() != '>' {
				return tag{}, errBroken
			}
			s.i++
			return tag{empty, name}, nil
		}
		if err := s.attribute(); err != nil {
			return tag{}, err
		}
	}
}

var errBroken = errors.New("it is not well-formed XML")

// attribute passes over name="value".
func (s *scanner) attribute() error {
	if _, err := s.name(); err != nil {
		return err
	}
	s.skipSpace()
	if s.peek() != '=' {
		return errBroken
	}
	s.i++
	s.skipSpace()
	quote := s.peek()
	if quote != '"' && quote != '\'' {
		return errBroken
	}
	s.i++
	n := bytes.IndexByte(s.b[s.i:], quote)
	if n < 0 || bytes.IndexByte(s.b[s.i:s.i+n], '<') >= 0 {
		return errBroken
	}
	s.i += n + 1
	if c := s.peek(); c != '>' && c != '/' && strings.IndexByte(space, c) < 0 {
		return errBroken
	}
	return nil
}

// name reads a name with at most one prefix.
func (s *scanner) name() ([]byte, error) {
	from, colons := s.i, 0
	for s.i < len(s.b) && isName(s.b[s.i]) {
		if s.b[s.i] == ':' {
			colons++
		}
		s.i++
	}
	name := s.b[from:s.i]
	if len(name) == 0 || colons > 1 || name[0] == ':' || name[len(name)-1] == ':' {
		return nil, errBroken
	}
	return name, nil
}

func isName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '_' || c == '-' || c == '.' || c == ':' || c >= 0x80
}

func (s *scanner) skipSpace() {
	for s.i < len(s.b) && strings.IndexByte(space, s.b[s.i]) >= 0 {
		s.i++
	}
}

// peek is the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// follow keeps the list of open elements.
func (s *scanner) follow(t tag) error {
	switch t.kind {
	case opening:
		if len(s.open) == maxDepth {
			return errors.New("its elements nest too deep")
		}
		s.open = append(s.open, t.name)
	case closing:
		last := len(s.open) - 1
		if last < 0 || !bytes.Equal(s.open[last], t.name) {
			return errBroken
		}
		s.open = s.open[:last]
	}
	return nil
}
