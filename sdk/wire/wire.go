// Package wire is the protocol between Airlock's executor (the host) and a script that runs one cmdlet.
// docs/wire-protocol.md specifies it for other languages; this package is its Go form, used by both sides.
//
// The two speak over one stream socket that the script inherits as file descriptor FD. Everything is a frame:
//
//	length  uint32, big endian: bytes that follow (kind and payload)
//	kind    one byte
//	payload JSON, or for the four streams the text's bytes as they are
//
// The script opens with Hello, the host answers with Start, the script writes records and secrets and closes with
// End; the host may send Cancel once at any time after Start. A frame of an unknown kind, out of place or over its
// bound ends the conversation.
package wire

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// Version is the version of the protocol that this package speaks.
const Version = 1

// FD is the descriptor that the script finds its socket on.
const FD = 3

// Kind is the kind of a frame.
type Kind byte

// Kinds of frames. The values of records are those of the streams' order in Airlock.
const (
	KindOutput      Kind = 0x01 // script: one record of a stream, bytes as they are
	KindInformation Kind = 0x02
	KindWarning     Kind = 0x03
	KindError       Kind = 0x04
	KindHello       Kind = 0x10 // script: Hello
	KindSecret      Kind = 0x11 // script: SecretChange
	KindEnd         Kind = 0x12 // script: End
	KindProgress    Kind = 0x13 // script: how far it is, where Start.TakesProgress
	KindStart       Kind = 0x20 // host: Start
	KindCancel      Kind = 0x21 // host: Cancel
)

// Bounds in bytes on a frame's payload.
const (
	MaxRecord  = 1 << 20  // a record of a stream; longer text goes on in the next record
	MaxMessage = 2 << 20  // Hello, Secret, End and Cancel: JSON in memory takes many times what it takes on the wire
	MaxStart   = 16 << 20 // Start

	MaxProgress = 4 << 10
)

func (k Kind) max() (int, bool) {
	switch k {
	case KindOutput, KindInformation, KindWarning, KindError:
		return MaxRecord, true
	case KindProgress:
		return MaxProgress, true
	case KindHello, KindSecret, KindEnd, KindCancel:
		return MaxMessage, true
	case KindStart:
		return MaxStart, true
	}
	return 0, false
}

// Frame is one frame.
type Frame struct {
	Kind    Kind
	Payload []byte
}

// Record says whether the frame is a record of one of the four streams.
func (f Frame) Record() bool { return f.Kind >= KindOutput && f.Kind <= KindError }

// Reader reads frames. What it holds is bounded by the largest frame that was sent, as far as it came.
type Reader struct {
	r   *bufio.Reader
	buf []byte
}

// NewReader reads frames from r.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, 64<<10)} }

// Next returns the next frame, whose payload is valid until the next call. The error is io.EOF at the end between two
// frames, io.ErrUnexpectedEOF inside one.
func (r *Reader) Next() (Frame, error) {
	var head [5]byte
	if _, err := io.ReadFull(r.r, head[:4]); err != nil {
		return Frame{}, err
	}
	if _, err := io.ReadFull(r.r, head[4:]); err != nil {
		return Frame{}, unexpected(err)
	}
	kind, length := Kind(head[4]), binary.BigEndian.Uint32(head[:4])
	limit, known := kind.max()
	switch {
	case length == 0:
		return Frame{}, fmt.Errorf("wire: a frame without a kind")
	case !known:
		return Frame{}, fmt.Errorf("wire: unknown kind of frame %#x", byte(kind))
	case int64(length)-1 > int64(limit):
		return Frame{}, fmt.Errorf("wire: a frame of kind %#x has %d bytes, at most %d are allowed", byte(kind), length-1, limit)
	}
	payload, err := r.payload(int(length) - 1)
	return Frame{kind, payload}, err
}

// payload reads n bytes, taking memory only as they arrive: a length is only a claim.
func (r *Reader) payload(n int) ([]byte, error) {
	const step = 256 << 10
	r.buf = r.buf[:0]
	for len(r.buf) < n {
		part := min(n-len(r.buf), step)
		have := len(r.buf)
		r.buf = append(r.buf, make([]byte, part)...)
		if _, err := io.ReadFull(r.r, r.buf[have:]); err != nil {
			return nil, unexpected(err)
		}
	}
	return r.buf, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// AppendFrame appends a frame to b. It fails where the payload is over its kind's bound.
func AppendFrame(b []byte, kind Kind, payload []byte) ([]byte, error) {
	limit, known := kind.max()
	if !known || len(payload) > limit {
		return b, fmt.Errorf("wire: a frame of kind %#x cannot have %d bytes", byte(kind), len(payload))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)+1))
	b = append(b, byte(kind))
	return append(b, payload...), nil
}
