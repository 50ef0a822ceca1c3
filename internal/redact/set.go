// Package redact keeps secrets out of what people see: the streams of an execution, its failureReason, its named
// outputs, audit details.
//
// A [Set] holds the secret values of one execution. Each value is searched for in every form in which scripts show
// one by accident: as it is, in base64 wherever it stands in the encoded text, and escaped for JSON (forms.go). One
// Aho-Corasick automaton finds all forms in one pass (automaton.go; Aho and Corasick, "Efficient string matching",
// CACM 18(6), 1975). Carriage returns and line feeds count neither in forms nor in text, so that a secret over several
// lines, wrapped base64, and a secret that straddles two writes are the same case.
//
// A [Redactor] reads the records of four streams in one sequence, each stream going on where its last record ended.
// It holds back for a moment what may be the begin of a secret (redactor.go). Where a secret becomes known only after
// a part of it was given out, the Redactor says so, and a second pass over the stored records takes it out.
//
// A record that already shows "[redacted]" is not changed there, and no secret reaches across such a text: to redact
// twice is to redact once.
package redact

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// Bounds of a Set, and the length in characters below which a value is not searched for. Memory is some 200 bytes for
// each byte of passwords and keys, and 1,100 at worst, for values of which JSON escapes every character.
const (
	MaxBytes  = 256 << 10
	MaxValues = 1024
	MinLength = 4
)

// What Set.Add answers.
var (
	ErrTooShort = errors.New("a secret value is shorter than 4 characters and is not redacted")
	ErrTooMuch  = errors.New("an execution has at most 256 KiB of secret values, and at most 1,024 of them")
)

// Set is what must not be seen of one execution. It can grow. It is safe for concurrent use.
type Set struct {
	hidden
	mu     sync.Mutex
	values map[string]bool
	bytes  int
	fresh  []string // the values that built does not have yet
	rests  []string
	built  *automaton
}

// NewSet returns an empty set.
func NewSet() *Set { return &Set{values: map[string]bool{}} }

// Add adds a value: Redactors of the set search for it from now on. The empty value and one that the set has are no
// error and change nothing. A value of fewer than MinLength characters, line breaks not counted, is left out with
// ErrTooShort; one that would exceed MaxBytes or MaxValues with ErrTooMuch.
func (s *Set) Add(v secret.Text) error {
	value := v.Reveal()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case value == "" || s.values[value]:
		return nil
	case utf8.RuneCount(significant([]byte(value))) < MinLength:
		return ErrTooShort
	case s.bytes+len(value) > MaxBytes || len(s.values) == MaxValues:
		return ErrTooMuch
	}
	s.values[value] = true
	s.bytes += len(value)
	s.fresh = append(s.fresh, value)
	return nil
}

// Len returns how many values the set has. It only grows.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.values)
}

// String redacts a closed text, such as a named output.
func (s *Set) String(text string) string { return s.whole(text, End) }

// Beginning redacts a text that may have been cut, such as the first line of an error: the begin of a secret at its
// end, of 4 bytes or more, is masked too.
func (s *Set) Beginning(text string) string { return s.whole(text, Release) }

func (s *Set) whole(text string, m Mode) string {
	r := s.NewRedactor()
	r.Push(Record{Text: []byte(text)})
	if out := r.Flush(m)[0]; out.Changed {
		return string(out.Text)
	}
	return text
}

// automaton returns the automaton of all values. It is built when it is first needed after Add, so that adding many
// values costs one build.
func (s *Set) automaton() *automaton {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.built == nil || len(s.fresh) > 0 {
		s.addRests()
		s.built, s.fresh = newAutomaton(s.values, s.rests), nil
	}
	return s.built
}

// addRests adds what is left of fresh values in text that was redacted before they were known: where one holds an
// older value, only the parts around that are still seen. Parts too short to be searched for stay.
func (s *Set) addRests() {
	if s.built == nil {
		return
	}
	before := Set{built: s.built}
	for _, v := range s.fresh {
		for _, form := range forms(v) {
			for rest := range strings.SplitSeq(before.String(form), secret.Redacted) {
				if rest != form && utf8.RuneCountInString(rest) >= MinLength {
					s.rests = append(s.rests, rest)
				}
			}
		}
	}
}

// hidden makes what embeds it print as secret.Redacted.
type hidden struct{}

// Format writes secret.Redacted for every verb and flag.
func (hidden) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret.Redacted) }
