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
	open         bool // a message has begun
	lost         bool // the rest of the object is passed over
	b            []byte
}

// add takes the content of one Data line, which holds whole fragments. It calls done for each message that is complete,
// and lost once for each that is not, with its kind where that is known.
func (j *joiner) add(b []byte, done func([]byte), lost func(kind, error)) {
	for len(b) > 0 {
		if len(b) < fragmentHead || uint64(binary.BigEndian.Uint32(b[17:])) > uint64(len(b)-fragmentHead) {
			j.lose(j.object, nil, lost, "a fragment is shorter than it says")
			return
		}
		object, id, flags, n := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), b[16], binary.BigEndian.Uint32(b[17:])
		blob := b[fragmentHead : fragmentHead+n]
		b = b[fragmentHead+n:]
		if !j.follows(object, id, flags&isFirst != 0, blob, lost) {
			continue
		}
		if flags&isLast == 0 {
			j.b = append(j.b, blob...)
			continue
		}
		if len(j.b) > 0 {
			blob = append(j.b, blob...)
		}
		*j = joiner{}
		done(blob)
	}
}

// follows says whether the fragment is the next of a message.
func (j *joiner) follows(object, id uint64, first bool, blob []byte, lost func(kind, error)) bool {
	if first {
		if j.open {
			j.lose(j.object, nil, lost, "a message begins before the last one has ended")
		}
		*j = joiner{object: object, open: true}
	}
	switch {
	case j.lost && object == j.object:
		return false
	case !j.open || object != j.object || id != j.next:
		j.lose(object, nil, lost, "a fragment does not follow the last one")
		return false
	case len(j.b)+len(blob) > maxMessage:
		j.lose(object, blob, lost, fmt.Sprintf("a message has more than %d MiB, the most that is taken", maxMessage>>20))
		return false
	}
	j.next++
	return true
}

// lose gives up the message that has begun, of which blob is more, and the rest of the object.
func (j *joiner) lose(object uint64, blob []byte, lost func(kind, error), why string) {
	begin := j.b
	if len(begin) == 0 {
		begin = blob
	}
	*j = joiner{object: object, lost: true}
	lost(kindOf(begin), errors.New(why))
}
