package goruntime

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sdk/wire"
)

// hostile is a script's side that is only bytes: it reads nothing, and ends where its bytes end.
type hostile struct {
	io.Reader
	told bytes.Buffer
}

func (h *hostile) Write(b []byte) (int, error) { return h.told.Write(b) }

// tally is a host that counts what it is given.
type tally struct {
	started, bytes, changes int
	longest                 int
}

func (h *tally) Started() error                 { h.started++; return nil }
func (h *tally) SetSecret(string, *secret.Text) { h.changes++ }
func (h *tally) Write(_ domain.Stream, text []byte) {
	h.bytes += len(text)
	h.longest = max(h.longest, len(text))
}

func frame(t interface{ Fatal(...any) }, kind wire.Kind, payload string) []byte {
	b, err := wire.AppendFrame(nil, kind, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Whatever a script says, the host comes to an end, with an error for a user or a good End, and has told its secrets
// only to a script that greeted it.
func FuzzConversation(f *testing.F) {
	hello := frame(f, wire.KindHello, `{"protocols":[1]}`)
	f.Add(slices.Concat(hello, frame(f, wire.KindOutput, "a line"), frame(f, wire.KindEnd, `{"namedOutputs":{"a":"b"}}`)))
	f.Add(slices.Concat(hello, frame(f, wire.KindSecret, `{"name":"a","value":"b"}`), frame(f, wire.KindEnd, `{"failure":"no"}`)))
	f.Add(slices.Concat(hello, frame(f, wire.KindCancel, `{}`)))
	f.Add(frame(f, wire.KindHello, `{"protocols":[2,3]}`))
	f.Add(frame(f, wire.KindEnd, `{}`))
	f.Add(frame(f, wire.KindHello, `{"protocols":{}}`))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, said []byte) {
		script, host := &hostile{Reader: bytes.NewReader(said)}, &tally{}
		c := &conversation{rw: script, host: host, start: wire.Start{Secrets: map[string]secret.Text{"s": secret.New("canary-secret")}}}
		_, err := c.talk()
		if err != nil && !errors.Is(err, errHungUp) && (errors.CodeOf(err) != errors.ScriptFailed || len(errors.For(err, "").Message) > 1000) {
			t.Errorf("not an error for a user: %v", err)
		}
		told := bytes.Contains(script.told.Bytes(), []byte("canary-secret"))
		if told != (host.started == 1) || host.started > 1 {
			t.Errorf("started %d times, told %v", host.started, told)
		}
		if host.started == 0 && host.bytes+host.changes > 0 {
			t.Error("something was taken before the start")
		}
		if host.bytes > len(said) || host.longest > domain.MaxRecord {
			t.Errorf("%d bytes were taken of %d", host.bytes, len(said))
		}
		c.cancel("late")
	})
}

func TestVersions(t *testing.T) {
	for said, words := range map[string]string{
		`{"protocols":[2,3]}`:           "speaks version 2 3 of the wire protocol",
		`{"protocols":[]}`:              "speaks no version of the wire protocol",
		`{}`:                            "speaks no version",
		`{"protocols":[9,9,9,9,9,9,9]}`: "version 9 9 9 9 9 of",
	} {
		host := &tally{}
		c := &conversation{rw: &hostile{Reader: bytes.NewReader(frame(t, wire.KindHello, said))}, host: host}
		if _, err := c.talk(); err == nil || !strings.Contains(err.Error(), words) || host.started != 0 {
			t.Errorf("%s: %v", said, err)
		}
	}
	c := &conversation{rw: &hostile{Reader: bytes.NewReader(frame(t, wire.KindHello, `{"protocols":[7,1]}`))}, host: &tally{}}
	if _, err := c.talk(); !errors.Is(err, errHungUp) {
		t.Errorf("a script that speaks version 1 among others: %v", err)
	}
}

// A cancel that comes before the script has greeted is not lost.
func TestCancelBeforeStart(t *testing.T) {
	script := &hostile{Reader: bytes.NewReader(frame(t, wire.KindHello, `{"protocols":[1]}`))}
	c := &conversation{rw: script, host: &tally{}}
	c.cancel("early")
	_, _ = c.talk()
	r := wire.NewReader(&script.told)
	var kinds []wire.Kind
	for f, err := r.Next(); err == nil; f, err = r.Next() {
		kinds = append(kinds, f.Kind)
	}
	if !slices.Equal(kinds, []wire.Kind{wire.KindStart, wire.KindCancel}) {
		t.Errorf("the script was told %v", kinds)
	}
}

func TestStartTooLarge(t *testing.T) {
	c := &conversation{rw: &hostile{Reader: bytes.NewReader(frame(t, wire.KindHello, `{"protocols":[1]}`))}, host: &tally{},
		start: wire.Start{VCAddress: strings.Repeat("x", wire.MaxStart)}}
	if _, err := c.talk(); err == nil || !strings.Contains(err.Error(), "larger than the 16 MiB") {
		t.Error(err)
	}
}

func TestWholeRunes(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "aä": 3, "a\xc3": 1, "a\xe2\x82": 1, "a\xf0\x9f\x92": 1, "a\xff": 2, "a\x82\x82\x82\x82": 5} {
		if got := wholeRunes([]byte(text)); got != want {
			t.Errorf("%q: %d, not %d", text, got, want)
		}
	}
}

func TestLinesOfTheLongestRecord(t *testing.T) {
	long := strings.Repeat("x", domain.MaxRecord)
	for text, want := range map[string][]int{
		long + "\n":            {domain.MaxRecord},
		long + "\r\nb":         {domain.MaxRecord, 1},
		long + "yzz\n":         {domain.MaxRecord, 3},
		long + long + "\n\n":   {domain.MaxRecord, domain.MaxRecord, 0},
		"a\n" + long[1:] + "é": {1, domain.MaxRecord + 1}, // the host splits it
	} {
		host := &lengths{}
		lines(strings.NewReader(text), domain.Output, host, new(sync.Mutex))
		if !slices.Equal(host.all, want) {
			t.Errorf("%d bytes became lines of %v, not %v", len(text), host.all, want)
		}
	}
}

type lengths struct {
	tally
	all []int
}

func (h *lengths) Write(_ domain.Stream, text []byte) { h.all = append(h.all, len(text)) }

// A reader that is cut gives what has been written, and does not wait for somebody who holds the other end.
func TestCut(t *testing.T) {
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r := newReader(out)
	defer r.Close()
	if _, err := io.WriteString(in, "one\ntwo\nthr"); err != nil {
		t.Fatal(err)
	}
	host := &lengths{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines(r, domain.Output, host, new(sync.Mutex))
	}()
	r.Cut()
	<-done
	if !slices.Equal(host.all, []int{3, 3, 3}) {
		t.Errorf("lines of %v", host.all)
	}
}
