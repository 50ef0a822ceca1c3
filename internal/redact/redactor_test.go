package redact

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/sdk/secret"
)

func setOf(t testing.TB, values ...string) *Set {
	t.Helper()
	s := NewSet()
	for _, v := range values {
		if err := s.Add(secret.New(v)); err != nil {
			t.Fatalf("%q: %v", v, err)
		}
	}
	return s
}

// play is a script for a Redactor: "O:text" pushes to a stream by its first letter, "patient", "release" and "end"
// flush, "add:value" adds a secret. It returns what each flush gave, as "1 O:text", a changed one as "1*O:text".
func play(t *testing.T, s *Set, r *Redactor, script ...string) (flushes [][]string) {
	t.Helper()
	seq := int64(0)
	for _, line := range script {
		stream, text, _ := strings.Cut(line, ":")
		switch mode := slices.Index([]string{"patient", "release", "end"}, line); {
		case mode >= 0:
			flushes = append(flushes, shown(r.Flush(Mode(mode))))
		case stream == "add":
			if err := s.Add(secret.New(text)); err != nil {
				t.Fatal(err)
			}
		default:
			seq++
			i := strings.Index("OIWE", stream)
			r.Push(Record{Seq: seq, Stream: domain.Streams[i], Text: []byte(text)})
		}
	}
	return flushes
}

func shown(recs []Record) []string {
	out := []string{}
	for _, rec := range recs {
		mark := " "
		if rec.Changed {
			mark = "*"
		}
		out = append(out, fmt.Sprintf("%d%s%s:%s", rec.Seq, mark, rec.Stream.String()[:1], rec.Text))
	}
	return out
}

func TestRedactor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		secrets string // by |
		script  []string
		want    [][]string
		late    bool
	}{
		{"within a record", "hunter22",
			[]string{"O:a hunter22 b hunter22hunter22", "patient"},
			[][]string{{"1*O:a [redacted] b [redacted]"}}, false},
		{"nothing secret", "hunter22",
			[]string{"O:a", "I:", "O:b\r\n", "patient", "end"},
			[][]string{{"1 O:a", "2 I:", "3 O:b\r\n"}, {}}, false},
		{"over records of one stream, others between", "hunter22",
			[]string{"O:a hunt", "E:hunt", "O:er", "O:22 b", "end"},
			[][]string{{"1*O:a [redacted]", "2 E:hunt", "3*O:[redacted]", "4*O:[redacted] b"}}, false},
		{"over lines", "hunter22",
			[]string{"O:a hun\r\nter\n", "O:\n22\nb", "end"},
			[][]string{{"1*O:a [redacted]\n", "2*O:\n[redacted]\nb"}}, false},
		{"a value of several lines in one", "hunt\ner22\n",
			[]string{"O:hunter22", "end"}, [][]string{{"1*O:[redacted]"}}, false},
		{"held until it is complete", "hunter22",
			[]string{"E:x", "O:a hunt", "E:y", "patient", "O:er2", "patient", "O:2", "patient"},
			[][]string{{"1 E:x"}, {}, {"2*O:a [redacted]", "3 E:y", "4*O:[redacted]", "5*O:[redacted]"}}, false},
		{"held until it is something else", "hunter22",
			[]string{"O:hunt", "patient", "O:ing", "patient"},
			[][]string{{}, {"1 O:hunt", "2 O:ing"}}, false},
		{"not held where all is masked already", "hunter22|hunter22hunter",
			[]string{"O:hunter22", "patient", "O:hunter", "patient"},
			[][]string{{"1*O:[redacted]"}, {"2*O:[redacted]"}}, false},
		{"released", "hunter22",
			[]string{"O:a hunt", "patient", "release", "O:er", "O:", "patient", "release", "O:22 b", "end"},
			[][]string{{}, {"1*O:a [redacted]"}, {}, {"2*O:[redacted]", "3 O:"}, {"4*O:[redacted] b"}}, false},
		{"an empty record after a release is not held", "hunter22",
			[]string{"O:a hunt", "release", "O:", "patient"},
			[][]string{{"1*O:a [redacted]"}, {"2 O:"}}, false},
		{"unfinished at the end", "hunter22",
			[]string{"O:a hunter2", "patient", "end"}, [][]string{{}, {"1 O:a hunter2"}}, false},
		{"a short begin is given out", "hunter22",
			[]string{"O:a hun", "patient", "O:ter22 b", "patient"},
			[][]string{{"1 O:a hun"}, {"2*O:[redacted] b"}}, true},
		{"a short begin that is nothing", "hunter22",
			[]string{"O:a hun", "patient", "O:gry", "patient"}, [][]string{{"1 O:a hun"}, {"2 O:gry"}}, false},
		{"added before anything is given out", "hunter22",
			[]string{"O:a swordfish", "add:swordfish", "end"}, [][]string{{"1*O:a [redacted]"}}, false},
		{"added after something is given out", "hunter22",
			[]string{"O:a sword", "patient", "add:swordfish", "O:fish swordfish", "end"},
			[][]string{{"1 O:a sword"}, {"2*O:fish [redacted]"}}, true},
		{"added in the middle of another", "hunter22",
			[]string{"O:a hunt", "release", "O:er", "add:swordfish", "O:22 b", "end"},
			[][]string{{"1*O:a [redacted]"}, {"2*O:[redacted]", "3*O:[redacted] b"}}, true},
		{"added, and around another", "hunter22",
			[]string{"O:swordhunter22fish", "patient", "add:swordhunter22fish", "O:[redacted]fish, sword", "end"},
			[][]string{{"1*O:sword[redacted]fish"}, {"2*O:[redacted][redacted], [redacted]"}}, true},
		{"a short begin, then a shorter secret that is masked", "abbbaa|bbba",
			[]string{"O:a", "O:b", "O:b", "patient", "O:b", "O:a", "patient", "O:a", "patient"},
			[][]string{{"1 O:a", "2 O:b", "3 O:b"}, {}, {"4*O:[redacted]", "5*O:[redacted]", "6*O:[redacted]"}}, true},
		{"what is redacted stays", "redacted|[redacted] x|d]ab",
			[]string{"O:[redacted] x [redacted]ab redacted", "end"},
			[][]string{{"1*O:[redacted] x [redacted]ab [redacted]"}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := setOf(t, strings.Split(test.secrets, "|")...)
			r := s.NewRedactor()
			if got := play(t, s, r, test.script...); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", test.want) {
				t.Errorf("gave\n%q, want\n%q", got, test.want)
			}
			if r.Late() != test.late {
				t.Errorf("Late is %v", r.Late())
			}
		})
	}
}

func TestLateFollowsAdd(t *testing.T) {
	t.Parallel()
	s := setOf(t, "hunter22")
	r := s.NewRedactor()
	play(t, s, r, "O:x", "add:swordfish")
	if r.Late() {
		t.Error("late, though nothing was given out before the Add")
	}
	play(t, s, r, "patient", "add:swordfish")
	if r.Late() {
		t.Error("late after the Add of a value that the set has")
	}
	if play(t, s, r, "add:firefly"); !r.Late() {
		t.Error("not late, though something was given out before the Add")
	}
}

func TestAgain(t *testing.T) {
	t.Parallel()
	s := setOf(t, "hunter22", "päss wörd")
	r := s.NewRedactor()
	first := play(t, s, r, "O:a hu", "E:p\xc3", "O:\nn\n", "patient", "O:ter22 sword", "E:\xa4ss wörd", "patient",
		"add:swordfish", "I:b", "O:fish", "patient")
	if want := `[["1 O:a hu" "2 E:p\xc3" "3 O:\nn\n"] ["4*O:[redacted] sword" "5*E:[redacted]"] ["6 I:b" "7 O:fish"]]`; fmt.Sprintf("%q", first) != want {
		t.Fatalf("the first pass gave\n%q, want\n%s", first, want)
	}
	if !r.Late() {
		t.Fatal("not late")
	}
	again := r.Again()
	second := play(t, s, again, "O:a hu", `E:p\xc3`, "O:\nn\n", "O:[redacted] sword", "patient", "E:[redacted]", "I:b",
		"O:fish", "end")
	want := `[["1*O:a [redacted]" "2*E:[redacted]" "3*O:\n[redacted]\n"] ` +
		`["4*O:[redacted] [redacted]" "5 E:[redacted]" "6 I:b" "7*O:[redacted]"]]`
	if fmt.Sprintf("%q", second) != want {
		t.Errorf("the second pass gave\n%q, want\n%s", second, want)
	}
	if again.Late() {
		t.Error("the second pass is late")
	}
}

func TestAgainAfterRelease(t *testing.T) {
	t.Parallel()
	s := setOf(t, "hunter22")
	r := s.NewRedactor()
	play(t, s, r, "O:a hun", "patient", "O:te", "release", "O:r22", "end")
	if !r.Late() {
		t.Fatal("not late")
	}
	got := play(t, s, r.Again(), "O:a hun", "O:[redacted]", "O:[redacted]", "end")
	if want := `[["1*O:a [redacted]" "2 O:[redacted]" "3 O:[redacted]"]]`; fmt.Sprintf("%q", got) != want {
		t.Errorf("gave\n%q, want\n%s", got, want)
	}
}

func TestHeldIsBounded(t *testing.T) {
	t.Parallel()
	s := setOf(t, "hunter22")
	r := s.NewRedactor()
	begin := time.Unix(1, 0)
	r.Push(Record{Time: begin, Stream: domain.Error, Text: []byte("a hunter")})
	given, pushed := 0, 1
	for ; given == 0 && pushed < 2*MaxHeld/recordCost; pushed += 256 {
		for range 256 {
			r.Push(Record{Time: begin.Add(1), Stream: domain.Output})
		}
		if since, held := r.Held(); !held || !since.Equal(begin) {
			t.Fatalf("held since %v, %v", since, held)
		}
		out := r.Flush(Patient)
		if given = len(out); given > 0 && string(out[0].Text) != "a [redacted]" {
			t.Errorf("gave %q", out[0].Text)
		}
	}
	if given != pushed {
		t.Errorf("gave %d of %d", given, pushed)
	}
	if _, held := r.Held(); held {
		t.Error("still holds")
	}
}
