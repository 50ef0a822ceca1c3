package goruntime

import (
	"bytes"
	"io"
	"slices"
	"strings"
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
func (h *tally) Progress(text string)           { h.bytes += len(text) }
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
	f.Add(slices.Concat(hello, frame(f, wire.KindProgress, "1 of 2"), frame(f, wire.KindEnd, `{}`)))
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
