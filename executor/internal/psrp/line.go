package psrp

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/google/uuid"
)

// maxLine bounds a line of the protocol. PowerShell's have some 44 KB, a fragment of 32 KiB in base64. What a script
// writes beside them may have any length.
const maxLine = 256 << 10

// verb is what a line is about.
type verb string

const (
	data       verb = "Data"
	dataAck    verb = "DataAck"
	command    verb = "Command"
	commandAck verb = "CommandAck"
	closing    verb = "Close"
	closeAck   verb = "CloseAck"
	signal     verb = "Signal"
	signalAck  verb = "SignalAck"
)

// line is one element of the transport.
type line struct {
	verb verb
	id   uuid.UUID // of the pipeline; zero for the pool
	data []byte    // of Data
}

func (l line) encode() []byte {
	if l.verb == data {
		return fmt.Appendf(nil, "<Data Stream='Default' PSGuid='%s'>%s</Data>\n", l.id, base64.StdEncoding.EncodeToString(l.data))
	}
	return fmt.Appendf(nil, "<%s PSGuid='%s' />\n", l.verb, l.id)
}

// lines reads what a process writes to its standard output, in memory that does not grow.
type lines struct {
	r io.Reader
	// Junk gets what was found beside the protocol, all of it: the output of what a script started, or wrote past
	// PowerShell. It comes in pieces of a line, of which the last has end. A line of the protocol ends what stands before it.
	junk func(b []byte, end bool)

	buf      []byte // of maxLine bytes
	from, to int    // what was read and not yet used
	err      error  // of r, once it has one
	broken   bool   // the line has begun with pieces
}

// next reads up to the next line of the protocol. The error is io.EOF at the end, which a line that is cut off does not
// change.
func (l *lines) next() (line, error) {
	if l.buf == nil {
		l.buf = make([]byte, maxLine)
	}
	for seen := l.from; ; {
		if n := bytes.IndexByte(l.buf[seen:l.to], '\n'); n >= 0 {
			raw := bytes.TrimSuffix(l.buf[l.from:seen+n], []byte("\r"))
			seen += n + 1
			l.from = seen
			found, junk, is := parseLine(raw)
			if !is || len(junk) > 0 || l.broken {
				l.junk(junk, true)
				l.broken = false
			}
			if is {
				return found, nil
			}
			continue
		}
		if l.err != nil {
			if l.from < l.to || l.broken {
				l.junk(l.buf[l.from:l.to], true)
				l.from, l.broken = l.to, false
			}
			return line{}, l.err
		}
		if l.from == 0 && l.to == len(l.buf) {
			l.from = beginsLine(l.buf)
			l.junk(l.buf[:l.from], false)
			l.broken = true
		}
		if l.from > 0 {
			l.to = copy(l.buf, l.buf[l.from:l.to])
			l.from = 0
		}
		seen = l.to
		var n int
		n, l.err = l.r.Read(l.buf[l.to:])
		l.to += n
	}
}

// beginsLine is where in a full buffer what may be a line of the protocol begins, or where else it can be cut. One that
// would begin with the buffer would be too long.
func beginsLine(b []byte) int {
	at := bytes.LastIndexByte(b, '<')
	if at > 0 && bytes.HasPrefix([]byte(dataEnd), b[at:]) {
		if before := bytes.LastIndexByte(b[:at], '<'); before > 0 && mayBegin(b[before:]) {
			return before
		}
	}
	if at > 0 && mayBegin(b[at:]) {
		return at
	}
	for n := 1; n < utf8.UTFMax; n++ { // not within a character
		if tail := b[len(b)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return len(b) - n
			}
			break
		}
	}
	return len(b)
}

// answers are the lines that a server sends, by how they begin.
var answers = []struct {
	verb verb
	head []byte
}{
	{data, []byte("<Data Stream='Default' PSGuid='")},
	{dataAck, []byte("<DataAck PSGuid='")},
	{commandAck, []byte("<CommandAck PSGuid='")},
	{closeAck, []byte("<CloseAck PSGuid='")},
	{signalAck, []byte("<SignalAck PSGuid='")},
}

// mayBegin says whether b begins a line of the protocol, as far as it goes.
func mayBegin(b []byte) bool {
	for _, a := range answers {
		if n := min(len(b), len(a.head)); bytes.Equal(b[:n], a.head[:n]) {
			return true
		}
	}
	return false
}

const (
	dataEnd = "</Data>"
	ackEnd  = "/>"
)

// parseLine finds the line of the protocol that ends raw, and what stands before it.
func parseLine(raw []byte) (found line, junk []byte, is bool) {
	begin := raw
	if bytes.HasSuffix(raw, []byte(dataEnd)) {
		begin = raw[:len(raw)-len(dataEnd)]
	}
	if at := bytes.LastIndexByte(begin, '<'); at >= 0 {
		if found, is = parseElement(raw[at:]); is {
			return found, raw[:at], true
		}
	}
	return line{}, raw, false
}

func parseElement(b []byte) (l line, is bool) {
	for _, a := range answers {
		rest, begins := bytes.CutPrefix(b, a.head)
		if !begins {
			continue
		}
		if len(rest) < 37 || rest[36] != '\'' {
			return l, false
		}
		id, err := uuid.ParseBytes(rest[:36])
		if err != nil {
			return l, false
		}
		l = line{verb: a.verb, id: id}
		rest = rest[37:]
		if a.verb != data {
			return l, string(bytes.TrimSpace(rest)) == ackEnd
		}
		text, opens := bytes.CutPrefix(rest, []byte(">"))
		text, ends := bytes.CutSuffix(text, []byte(dataEnd))
		if !opens || !ends {
			return l, false
		}
		l.data = make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		n, err := base64.StdEncoding.Strict().Decode(l.data, text)
		l.data = l.data[:n]
		return l, err == nil
	}
	return l, false
}
