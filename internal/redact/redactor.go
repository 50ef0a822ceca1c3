package redact

import (
	"bytes"
	"slices"
	"sort"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/sdk/secret"
)

// Record is one piece of output as a script wrote it, perhaps not valid UTF-8.
type Record struct {
	Seq     int64
	Time    time.Time
	Stream  domain.Stream
	Text    []byte
	Changed bool // set by Flush: Text is not what was pushed
}

// Mode says what Flush does with records at the end of a stream that may show the begin of a secret.
type Mode int

// The modes of Flush.
const (
	// Patient holds them for the next flush, up to MaxHeld.
	Patient Mode = iota
	// Release gives out all; a begin of at least 4 bytes is masked, and so is the rest when it comes.
	Release
	// End gives out all, unmasked where the secret never came. Nothing is pushed after it.
	End
)

// MaxHeld is how many bytes are held at most, 128 for each record included: past it Patient releases.
const MaxHeld = 4 << 20

const (
	recordCost = 128     // what a held record takes beside its text
	minBegin   = 4       // shorter begins of a secret are not held and not masked by themselves
	maxSpots   = 1 << 16 // past it shorter begins are held, too
)

// Redactor redacts the records of one execution in one sequence over its streams. It is not safe for concurrent use.
//
// Nearly every line ends in a byte or two that may begin a secret, so up to three such bytes hold nothing back. Where
// the secret comes after all, its rest is masked, Late becomes true, and Again masks the begin.
type Redactor struct {
	hidden
	set       *Set
	automaton *automaton
	streams   map[domain.Stream]*stream
	pending   []pending
	read      int  // how many of pending were searched
	given     bool // records were given out
	late      bool

	spots map[int64]int // by Seq of a record given out: how many bytes at its end turned out to be part of a secret
	known map[int64]int // the spots of the pass before
}

// stream is where one stream stands. Positions count its significant bytes, which are all but line breaks.
type stream struct {
	node  int32  // after the last record searched
	end   int    // position after the last record searched
	base  int32  // node after the last record given out
	given int    // position after the last record given out
	open  int    // position from which on a secret may have begun; end for none
	masks []span // those that end after given: in order, neither overlapping nor adjacent
	tail  []tail // the last bytes given out, fewer than minBegin, as far as they are unmasked
}

// span is a range of positions.
type span struct{ from, to int }

type tail struct {
	seq  int64
	byte byte
}

// pending is a record that was not given out yet.
type pending struct {
	Record
	span
	after int32 // node after it
}

// NewRedactor returns a Redactor at the begin of all streams.
func (s *Set) NewRedactor() *Redactor {
	return &Redactor{
		set: s, automaton: s.automaton(), streams: map[domain.Stream]*stream{}, spots: map[int64]int{},
	}
}

// Again returns the Redactor that makes good what Late reports: all stored records go through it, as Visible made them,
// in order and with their Seq, flushed Patient after each page and End after the last one. Those that come out Changed
// are to be replaced. A secret that straddles two pages can make that one late in turn, so:
//
//	for r.Late() {
//		r = r.Again()
//		…
//	}
//
// It ends: what a pass finds the next one does not find again.
func (r *Redactor) Again() *Redactor {
	next := r.set.NewRedactor()
	next.known = r.spots
	return next
}

// Push takes a record. Its text must not be changed any more.
func (r *Redactor) Push(rec Record) {
	if r.streams[rec.Stream] == nil {
		r.streams[rec.Stream] = &stream{}
	}
	rec.Changed = false
	r.pending = append(r.pending, pending{Record: rec})
}

// Flush gives out records in sequence, redacted.
func (r *Redactor) Flush(mode Mode) []Record {
	r.adopt()
	for ; r.read < len(r.pending); r.read++ {
		r.search(&r.pending[r.read])
	}
	n := len(r.pending)
	if mode == Patient {
		n = r.held()
		cost := 0
		for _, p := range r.pending[n:] {
			cost += len(p.Text) + recordCost
		}
		if cost > MaxHeld {
			mode, n = Release, len(r.pending)
		}
	}
	if mode == Release {
		r.findOpen(minBegin)
		for _, st := range r.streams {
			if st.open < st.end {
				r.mask(st, span{st.open, st.end})
			}
		}
	}
	out := make([]Record, n)
	for i := range out {
		out[i] = r.give(&r.pending[i])
	}
	r.pending, r.read = slices.Delete(r.pending, 0, n), r.read-n
	r.given = r.given || n > 0
	return out
}

// Held returns the Time of the oldest record that is not given out yet, and whether there is one.
func (r *Redactor) Held() (since time.Time, held bool) {
	if len(r.pending) == 0 {
		return time.Time{}, false
	}
	return r.pending[0].Time, true
}

// Late says whether something was given out that turned out to be part of a secret, or may be part of one that the set
// got later: then what is stored has to go through Again.
func (r *Redactor) Late() bool {
	r.adopt()
	return r.late
}

// adopt goes over to the automaton of a set that has grown: streams go on from what their old nodes stand for, and
// what was not given out yet is searched again.
func (r *Redactor) adopt() {
	old := r.automaton
	r.automaton = r.set.automaton()
	if r.automaton == old {
		return
	}
	r.late = r.late || r.given
	for _, st := range r.streams {
		begun := old.prefix(st.base)
		st.base = r.automaton.scan(0, begun, func(int, int) {})
		st.node, st.end, st.masks = st.base, st.given, nil
	}
	r.read = 0
}

// barrier is what no secret reaches across.
var barrier = []byte(secret.Redacted)

// search finds the secrets that end in a record.
func (r *Redactor) search(p *pending) {
	st := r.streams[p.Stream]
	text := significant(p.Text)
	p.span = span{st.end, st.end + len(text)}
	for at := 0; ; st.node = 0 {
		part, _, found := bytes.Cut(text[at:], barrier)
		st.node = r.automaton.scan(st.node, part, func(end, length int) {
			to := p.from + at + end
			r.mask(st, span{to - length, to})
		})
		if !found {
			break
		}
		at += len(part) + len(barrier)
	}
	p.after = st.node
	st.end = p.to
	if n := r.known[p.Seq]; n > 0 {
		r.mask(st, span{max(p.from, p.to-n), p.to})
	}
}

// mask adds a mask, which ends no earlier than those that the stream has.
func (r *Redactor) mask(st *stream, m span) {
	if n := min(st.given-m.from, len(st.tail)); n > 0 {
		r.late = true
		r.remember(st.tail[len(st.tail)-n:])
	}
	k := len(st.masks)
	for ; k > 0 && st.masks[k-1].to >= m.from; k-- {
		m.from = min(m.from, st.masks[k-1].from)
	}
	st.masks = append(st.masks[:k], m)
}

// remember keeps for Again what was given out and should not have been.
func (r *Redactor) remember(shown []tail) {
	var b []byte
	for i, t := range shown {
		if i > 0 && t.seq != shown[i-1].seq {
			b = nil
		}
		b = append(b, t.byte)
		r.spots[t.seq] = max(r.spots[t.seq], len(Visible(b)))
	}
}

// findOpen finds in each stream where a secret may have begun, at least so many bytes before the end. It does not count
// where nothing of it is left to be given out, or all that is left is masked and nothing of it was shown.
func (r *Redactor) findOpen(least int) {
	for _, st := range r.streams {
		st.open = st.end
		n := r.automaton.unfinished(st.node)
		begin, k := st.end-n, len(st.masks)
		shown := begin < st.given && len(st.tail) > 0
		masked := k > 0 && st.masks[k-1].to == st.end && st.masks[k-1].from <= max(begin, st.given)
		if n >= least && st.given < st.end && (shown || !masked) {
			st.open = begin
		}
	}
}

// held returns from which pending record on a patient flush holds.
func (r *Redactor) held() int {
	least := minBegin
	if len(r.spots) > maxSpots {
		least = 1
	}
	r.findOpen(least)
	for i := range r.pending {
		if p := &r.pending[i]; p.to > r.streams[p.Stream].open {
			return i
		}
	}
	return len(r.pending)
}

// give gives out the oldest record of a stream.
func (r *Redactor) give(p *pending) Record {
	st := r.streams[p.Stream]
	rec := p.Record
	if p.from < p.to && len(st.masks) > 0 && st.masks[0].from < p.to {
		rec.Text, rec.Changed = render(p.Text, p.from, st.masks), true
	}
	st.keepTail(p)
	for len(st.masks) > 0 && st.masks[0].to <= p.to {
		st.masks = st.masks[1:]
	}
	st.given, st.base = p.to, p.after
	return rec
}

// keepTail keeps the last bytes of a record that is given out.
func (st *stream) keepTail(p *pending) {
	var last [minBegin - 1]byte // backwards
	n := 0
	for i := len(p.Text) - 1; i >= 0 && n < len(last); i-- {
		if !lineBreak(p.Text[i]) {
			last[n] = p.Text[i]
			n++
		}
	}
	for i, b := range slices.Backward(last[:n]) {
		at := p.to - 1 - i
		k := sort.Search(len(st.masks), func(k int) bool { return st.masks[k].to > at })
		if k < len(st.masks) && st.masks[k].from <= at {
			st.tail = st.tail[:0]
		} else {
			st.tail = append(st.tail, tail{p.Seq, b})
		}
	}
	st.tail = slices.Delete(st.tail, 0, max(0, len(st.tail)-(minBegin-1)))
}

// render returns text, which begins at a position of its stream, with "[redacted]" for each part that is masked. Line
// breaks inside such a part go with it.
func render(text []byte, at int, masks []span) []byte {
	out := make([]byte, 0, len(text)+len(barrier))
	behind := -1 // index after the last masked byte, while none has followed that is not
	for i, b := range text {
		if lineBreak(b) {
			if behind < 0 {
				out = append(out, b)
			}
			continue
		}
		for len(masks) > 0 && masks[0].to <= at {
			masks = masks[1:]
		}
		masked := len(masks) > 0 && masks[0].from <= at
		if masked && behind < 0 {
			out = append(out, barrier...)
		}
		if !masked && behind >= 0 {
			out, behind = append(out, text[behind:i]...), -1
		}
		if masked {
			behind = i + 1
		} else {
			out = append(out, b)
		}
		at++
	}
	if behind >= 0 {
		out = append(out, text[behind:]...)
	}
	return out
}
