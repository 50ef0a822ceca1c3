package psrp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Fragments ([MS-PSRP] 2.2.4): object id, fragment id, flags, length, big-endian.
const (
	fragmentHead = 8 + 8 + 1 + 4
	isFirst      = 1
	isLast       = 2

	// mostBlob is how much of a message one fragment to the server holds: what PowerShell itself sends in one.
	mostBlob = 32<<10 - fragmentHead

	// maxMessage bounds a message from the server. A script can write a string of any length.
	maxMessage = 32 << 20
)

// fragments cuts a message.
func fragments(object uint64, b []byte) [][]byte {
	var all [][]byte
	for id, first := uint64(0), true; first || len(b) > 0; id, first = id+1, false {
		n := min(len(b), mostBlob)
		f := make([]byte, fragmentHead, fragmentHead+n)
		binary.BigEndian.PutUint64(f, object)
		binary.BigEndian.PutUint64(f[8:], id)
		if first {
			f[16] |= isFirst
		}
		if n == len(b) {
			f[16] |= isLast
		}
		binary.BigEndian.PutUint32(f[17:], uint32(n))
		all = append(all, append(f, b[:n]...))
		b = b[n:]
	}
	return all
}

// joiner puts the messages of one stream together again. Their fragments come in order, one message after the other.
type joiner struct {
	object, next uint64
	open         bool
	b            []byte
}

// add takes the content of one Data line, which holds whole fragments, and calls done for each message that is complete.
func (j *joiner) add(b []byte, done func([]byte) error) error {
	for len(b) > 0 {
		if len(b) < fragmentHead {
			return errors.New("a fragment ends in its head")
		}
		object, id, flags, n := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), b[16], int(binary.BigEndian.Uint32(b[17:]))
		b = b[fragmentHead:]
		if n > len(b) {
			return errors.New("a fragment is shorter than it says")
		}
		switch {
		case flags&isFirst != 0 && (j.open || id != 0):
			return errors.New("a message begins before the last one has ended")
		case flags&isFirst == 0 && (!j.open || object != j.object || id != j.next):
			return errors.New("a fragment does not follow the last one")
		case len(j.b)+n > maxMessage:
			return fmt.Errorf("a message has more than %d MiB, the most that is taken", maxMessage>>20)
		}
		j.object, j.next, j.open = object, id+1, flags&isLast == 0
		blob := b[:n]
		b = b[n:]
		if j.open {
			j.b = append(j.b, blob...)
			continue
		}
		if len(j.b) > 0 {
			blob = append(j.b, blob...)
			j.b = nil
		}
		if err := done(blob); err != nil {
			return err
		}
	}
	return nil
}
