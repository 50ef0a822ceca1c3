package redact

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/sdk/secret"
	"pgregory.net/rapid"
)

// fataler is what a test, a fuzz test and a rapid property have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// scenario is an execution in three strings, for rapid and for the fuzzer alike.
type scenario struct {
	// values are the secrets, by |. Those after an empty one come late, each with an add in the plan.
	values string
	// text is what is written, by \x01 for each stream. \x00 and a byte stand for a form of a secret.
	text string
	// plan says in which pieces text is pushed, in which order over the streams, and what comes between. It is
	// gone through until all is pushed.
	plan string
}

// execution is a scenario that was played.
type execution struct {
	values   []string // that the set has at the end
	in, out  []Record
	late     bool
	flat     bool // no mask is owed to Release, and no value came late: the result is that of one pass over all
	redactor *Redactor
}

func (s scenario) play(t fataler) *execution {
	early, late, _ := strings.Cut(s.values, "||")
	x := &execution{flat: true}
	set := NewSet()
	add := func(value string) {
		if set.Add(secret.New(value)) == nil && value != "" {
			x.values = append(x.values, value)
		}
	}
	for v := range strings.SplitSeq(early, "|") {
		add(v)
	}
	x.redactor = set.NewRedactor()
	coming := strings.Split(late, "|")
	var sayable []string
	for _, v := range append(slices.Clone(x.values), coming...) {
		if v != "" && NewSet().Add(secret.New(v)) == nil {
			sayable = append(sayable, v)
		}
	}
	texts := s.texts(sayable)
	for i := 0; len(texts[0])+len(texts[1])+len(texts[2])+len(texts[3]) > 0; i++ {
		op := byte(3)
		if len(s.plan) > 0 {
			op = s.plan[i%len(s.plan)]
		}
		if i > 2*len(s.text)+len(s.plan) { // the plan pushes nothing, or not from each stream
			op = byte(i)<<3 | 0xe7
		}
		switch {
		case op&7 == 0, op&7 <= 2 && op < 0x80:
			x.flush(Patient)
		case op&7 == 1:
			x.flat = false
			x.flush(Release)
		case op&7 == 2 && len(coming) > 0:
			x.flat = false
			add(coming[0])
			coming = coming[1:]
		default:
			k := op >> 3 & 3
			n := int(op >> 5)
			if n == 7 {
				n = 100
			}
			n = min(n, len(texts[k]))
			rec := Record{Seq: int64(len(x.in) + 1), Stream: domain.Streams[k], Text: texts[k][:n]}
			texts[k] = texts[k][n:]
			x.in = append(x.in, rec)
			x.redactor.Push(rec)
		}
	}
	x.flush(End)
	x.late = x.redactor.Late()
	return x
}

func (s scenario) texts(values []string) (texts [4][]byte) {
	for i, part := range strings.SplitN(s.text, "\x01", 4) {
		for k := 0; k < len(part); k++ {
			if part[k] != 0 || k+1 == len(part) || len(values) == 0 {
				texts[i] = append(texts[i], part[k])
				continue
			}
			k++
			all := forms(values[int(part[k])%len(values)])
			texts[i] = append(texts[i], all[int(part[k])/len(values)%len(all)]...)
		}
	}
	return texts
}

func (x *execution) flush(mode Mode) { x.out = append(x.out, x.redactor.Flush(mode)...) }

// stored is what is stored at last: with as many passes as it takes, in pages of three records.
func (x *execution) stored(t fataler) []Record {
	t.Helper()
	recs := x.out
	r := x.redactor
	for pass := 0; r.Late(); pass++ {
		if pass == 3 {
			t.Fatalf("late in pass after pass: %q", shown(recs))
		}
		r = r.Again()
		var out []Record
		for page := range slices.Chunk(recs, 3) {
			for _, rec := range page {
				rec.Text = []byte(Visible(rec.Text))
				r.Push(rec)
			}
			out = append(out, r.Flush(Patient)...)
		}
		recs = append(out, r.Flush(End)...)
	}
	return recs
}

// check compares what came out with what must.
func (s scenario) check(t fataler) {
	t.Helper()
	x := s.play(t)
	stored := x.stored(t)
	if len(stored) != len(x.in) {
		t.Fatalf("%d records of %d: %q", len(stored), len(x.in), shown(stored))
	}
	for i, rec := range stored {
		if in := x.in[i]; rec.Seq != in.Seq || rec.Stream != in.Stream {
			t.Fatalf("record %d is %d of %v", i, rec.Seq, rec.Stream)
		}
	}
	for i, rec := range x.out {
		if rec.Changed == bytes.Equal(rec.Text, x.in[i].Text) {
			t.Fatalf("Changed is %v of %q from %q", rec.Changed, rec.Text, x.in[i].Text)
		}
	}
	for _, stream := range domain.Streams {
		if form := find(searched(stored, stream), x.values); form != "" {
			t.Fatalf("%v shows %q: %q", stream, form, shown(stored))
		}
	}
	ascii := !strings.ContainsFunc(s.values+s.text, func(r rune) bool { return r > 127 })
	if !x.flat || x.late && !ascii {
		return
	}
	for i, want := range reference(x.in, x.values) {
		got := string(stored[i].Text)
		if x.late {
			got, want = merged(got), merged(want)
		}
		if got != want {
			t.Fatalf("record %d of %q is %q, want %q", i, shown(x.in), got, want)
		}
	}
}

// searched is the text of a stream without line breaks, with one in the place of each [redacted].
func searched(recs []Record, stream domain.Stream) (all []byte) {
	for _, rec := range recs {
		if rec.Stream == stream {
			all = append(all, searchedRecord(rec)...)
		}
	}
	return all
}

func searchedRecord(rec Record) []byte {
	text := regexp.MustCompile(`[\r\n]`).ReplaceAll(rec.Text, nil)
	return bytes.ReplaceAll(text, barrier, bytes.Repeat([]byte("\n"), len(barrier)))
}

func find(text []byte, values []string) string {
	for _, v := range values {
		for _, form := range forms(v) {
			if bytes.Contains(text, []byte(form)) {
				return form
			}
		}
	}
	return ""
}

var masked = regexp.MustCompile("M([\r\n]*M)*")

// reference redacts the slow way: it searches for each form at each place of each stream, and marks what it finds.
func reference(recs []Record, values []string) []string {
	marks := map[domain.Stream][]bool{}
	for _, stream := range domain.Streams {
		text := searched(recs, stream)
		mark := make([]bool, len(text))
		for _, v := range values {
			for _, form := range forms(v) {
				for i := range text {
					if bytes.HasPrefix(text[i:], []byte(form)) {
						for k := range len(form) {
							mark[i+k] = true
						}
					}
				}
			}
		}
		marks[stream] = mark
	}
	var out []string
	for _, rec := range recs {
		picture := slices.Clone(rec.Text) // M where text is masked, _ where it is not
		for i, b := range picture {
			if b == '\r' || b == '\n' {
				continue
			}
			picture[i] = '_'
			if marks[rec.Stream][0] {
				picture[i] = 'M'
			}
			marks[rec.Stream] = marks[rec.Stream][1:]
		}
		text, at := "", 0
		for _, m := range masked.FindAllIndex(picture, -1) {
			text += string(rec.Text[at:m[0]]) + secret.Redacted
			at = m[1]
		}
		out = append(out, text+string(rec.Text[at:]))
	}
	return out
}

var severalRedacted = regexp.MustCompile(`(\[redacted\][\r\n]*)*\[redacted\]`)

// merged makes one of neighbouring masks: those of two passes stay apart.
func merged(text string) string { return severalRedacted.ReplaceAllString(text, secret.Redacted) }

func TestAnyExecution(t *testing.T) {
	t.Parallel()
	alphabets := []string{"a", "ab", "ab\n", "hunter2 \r\n", "ab<\"/\\\n", "aé😀/\n", "[redacted]", "ab\xff\xc3\xa9\n\t"}
	rapid.Check(t, func(t *rapid.T) {
		alphabet := rapid.SampledFrom(alphabets).Draw(t, "alphabet")
		words := func(least, most int) *rapid.Generator[string] {
			return rapid.Custom(func(t *rapid.T) string {
				var b strings.Builder
				for range rapid.IntRange(least, most).Draw(t, "n") {
					b.WriteByte(alphabet[rapid.IntRange(0, len(alphabet)-1).Draw(t, "i")])
				}
				return b.String()
			})
		}
		piece := rapid.OneOf(words(0, 8), rapid.Map(rapid.Byte(), func(b byte) string { return "\x00" + string([]byte{b}) }))
		var texts []string
		for range 4 {
			texts = append(texts, strings.Join(rapid.SliceOfN(piece, 0, 6).Draw(t, "pieces"), ""))
		}
		values := strings.Join(rapid.SliceOfN(words(4, 9), 1, 3).Draw(t, "values"), "|")
		plan := rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "plan")
		if rapid.Bool().Draw(t, "late") {
			values += "||" + words(4, 9).Draw(t, "late value")
		} else { // only patience: what the exact oracle judges
			for i, op := range plan {
				if op&7 == 1 || op&7 == 2 {
					plan[i] = op &^ 7
				}
			}
		}
		scenario{values, strings.Join(texts, "\x01"), string(plan)}.check(t)
	})
}

func FuzzRedactor(f *testing.F) {
	f.Add("hunter22", "a \x00\x00 b hunter22\x01hun\nter22", "\x43\x4b\x00")
	f.Add("aaaa|aaaaaaaa||aaab", "aaaaaaaaaaaaaaaaab", "\x23\x81\x23\x82\x00")
	f.Add("abbbaa|bbba", "abbbaa", "\x00\x23")
	f.Add("[redacted]|d]ab", "[redacted]ab \x00\x01", "")
	f.Fuzz(func(t *testing.T, values, text, plan string) {
		if len(values) > 60 || len(text) > 400 || len(plan) > 100 {
			t.Skip("too slow for the reference")
		}
		scenario{values, text, plan}.check(t)
	})
}
