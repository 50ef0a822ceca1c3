package psrp

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"
)

// maxLine bounds a line from the process. PowerShell's have some 44 KB, a fragment of 32 KiB in base64; what a script
// writes beside them may have any length.
const maxLine = 1 << 20

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

// lines reads what a process writes to its standard output.
type lines struct {
	r *bufio.Reader
	// Junk gets what was found beside the protocol, cut to maxJunk bytes: the output of what a script started, or wrote
	// past PowerShell.
	junk func([]byte)
}

const maxJunk = 4 << 10

// next reads up to the next line of the protocol. The error is io.EOF at the end, which a line that is cut off does not
// change.
func (l *lines) next() (line, error) {
	for {
		raw, err := l.r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return line{}, fmt.Errorf("a line has more than %d bytes", maxLine)
		}
		if err != nil {
			if len(raw) > 0 && errors.Is(err, io.EOF) {
				l.junk(cut(raw))
			}
			return line{}, err
		}
		raw = bytes.TrimRight(raw, "\r\n")
		found, junk, is := parseLine(raw)
		if len(junk) > 0 {
			l.junk(cut(junk))
		}
		if is {
			return found, nil
		}
	}
}

func cut(b []byte) []byte { return b[:min(len(b), maxJunk)] }

// answers are the verbs that a server sends.
var answers = []verb{dataAck, commandAck, closeAck, signalAck, data}

// parseLine finds the line of the protocol that ends raw, and what stands before it.
func parseLine(raw []byte) (found line, junk []byte, is bool) {
	for at := bytes.LastIndexByte(raw, '<'); at >= 0; at = bytes.LastIndexByte(raw[:at], '<') {
		if l, is := parseElement(raw[at:]); is {
			return l, raw[:at], true
		}
	}
	return line{}, raw, false
}

func parseElement(b []byte) (l line, is bool) {
	for _, v := range answers {
		rest, begins := bytes.CutPrefix(b, []byte("<"+v+" "))
		if !begins {
			continue
		}
		if v == data {
			rest, begins = bytes.CutPrefix(rest, []byte("Stream='Default' "))
		}
		rest, named := bytes.CutPrefix(rest, []byte("PSGuid='"))
		if !begins || !named || len(rest) < 37 || rest[36] != '\'' {
			return l, false
		}
		id, err := uuid.ParseBytes(rest[:36])
		if err != nil {
			return l, false
		}
		l = line{verb: v, id: id}
		rest = rest[37:]
		if v != data {
			return l, string(bytes.TrimSpace(rest)) == "/>"
		}
		text, opens := bytes.CutPrefix(rest, []byte(">"))
		text, ends := bytes.CutSuffix(text, []byte("</Data>"))
		if !opens || !ends {
			return l, false
		}
		l.data = make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		n, err := base64.StdEncoding.Decode(l.data, text)
		l.data = l.data[:n]
		return l, err == nil
	}
	return l, false
}
