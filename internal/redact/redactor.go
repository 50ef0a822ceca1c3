package redact

import (
	"bytes"
	"slices"
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
	// Release gives out all; a begin of at least MinLength bytes is masked, and so is the rest when it comes.
	Release
	// End gives out all, unmasked where the secret never came. Nothing is pushed after it.
	End
)

// MaxHeld is how many bytes, recordCost a record included, are held at most: where it would be more, Patient releases.
const MaxHeld = 4 << 20

const (
	recordCost = 128     // what a held record takes beside its text
	maxSpots   = 1 << 16 // past it shorter begins are held, too
)

// Redactor redacts the records of one execution in one sequence over its streams. It is not safe for concurrent use.
//
// At an end shorter than MinLength bytes that may begin a secret nothing is held, as every other line has one. Where
// the secret does come then, its rest is masked, Late becomes true, and the Redactor keeps in mind what Again needs.
type Redactor struct {
	hidden
	set       *Set
	automaton *automaton
	streams   map[domain.Stream]*stream
	pending   []pending
	hold      int  // begins of at least so many bytes are held
	given     bool // records were given out
	late      bool

	spots map[int64]int // by Seq of a record that was given out: how many bytes at its end have to be masked
	known map[int64]int // the spots of the pass before
}

// NewRedactor returns a Redactor at the begin of all streams.
func (s *Set) NewRedactor() *Redactor {
	return &Redactor{
		set: s, automaton: s.automaton(), streams: map[domain.Stream]*stream{}, hold: MinLength, spots: map[int64]int{},
	}
}

// Again returns the Redactor of the second pass, which makes good what Late reports: all stored records go through it,
// as Visible made them, in order and with their Seq, flushed Patient after each page and End after the last, and those
// that come out Changed are replaced. As it may be Late itself, when a secret straddles more than MaxHeld of other
// records, passes go on until one is not:
//
//	for r.Late() {
//		r = r.Again()
//		…
//	}
func (r *Redactor) Again() *Redactor {
	next := r.set.NewRedactor()
	next.hold = 1
	next.known = r.spots
	return next
}

// Push takes a record. Its text must not change until Flush has given it out.
func (r *Redactor) Push(rec Record) { r.pending = append(r.pending, pending{Record: rec}) }

// Flush gives out records in sequence, redacted.
func (r *Redactor) Flush(mode Mode) []Record {
	out := make([]Record, 0, len(r.pending))
	for _, p := range r.pending {
		out = append(out, p.Record)
	}
	r.pending = nil
	return out
}

// Held returns the Time of the oldest record that is held, and whether there is one.
func (r *Redactor) Held() (since time.Time, held bool) {
	if len(r.pending) == 0 {
		return time.Time{}, false
	}
	return r.pending[0].Time, true
}

// Late says whether something was given out that is, or may be, part of a secret: what is stored has to be rewritten
// (Again).
func (r *Redactor) Late() bool { return r.late }

// stream is where one stream stands. Positions count the significant bytes since its begin.
type stream struct {
	node  int32  // after the last record pushed
	end   int    // position after the last record pushed
	base  int32  // node after the last record given out
	given int    // position after the last record given out
	masks []span // from given on: in order, neither overlapping nor adjacent
	tail  []tail // the last bytes given out, as far as they are unmasked, at most MinLength-1
}

type span struct{ from, to int }

type tail struct {
	seq int64
	b   byte
}

type pending struct {
	Record
	from, to int // positions in its stream
	after    int32
}

var barrier = []byte(secret.Redacted)
var _ = bytes.Index
var _ = slices.Clip[[]int]
