package psrp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/sdk/secret"
)

// FuzzLine: what is found in a line is written as it is found, and the line is the junk and what was found.
func FuzzLine(f *testing.F) {
	id := "c55560a7-b913-44dd-864b-cb9a04bcd274"
	f.Add([]byte("junk<Data Stream='Default' PSGuid='" + id + "'>AAAA</Data>"))
	f.Add([]byte("<CloseAck PSGuid='" + id + "' />"))
	f.Add([]byte("<Data Stream='Default' PSGuid='" + id + "'><SignalAck PSGuid='" + id + "' />"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, junk, is := parseLine(raw)
		if !is {
			if !bytes.Equal(junk, raw) {
				t.Errorf("%q is junk, %q is shown of it", raw, junk)
			}
			return
		}
		if !bytes.HasPrefix(raw, junk) || !strings.EqualFold(strings.Join(strings.Fields(string(l.encode())), ""), strings.Join(strings.Fields(string(raw[len(junk):])), "")) {
			t.Errorf("%q is read as %q after %q", raw, l.encode(), junk)
		}
	})
}

// TestLines: what is written beside the protocol is passed on, all of it and in lines, whatever stands beside what.
func TestLines(t *testing.T) {
	ack := "<DataAck PSGuid='c55560a7-b913-44dd-864b-cb9a04bcd274' />"
	whole := strings.TrimSuffix(string(line{verb: data, id: uuid.UUID{1}, data: bytes.Repeat([]byte("z"), 40_000)}.encode()), "\n")
	long := strings.Repeat("x", maxLine)
	for what, c := range map[string]struct {
		in    string
		lines []string // that are no protocol's
		found []verb
	}{
		"nothing":                   {"", nil, nil},
		"lines":                     {"a\n\nb\r\n<c\n", []string{"a", "", "b", "<c"}, nil},
		"a cut line":                {"a\n<DataAck PSG", []string{"a", "<DataAck PSG"}, nil},
		"the protocol":              {ack + "\n" + whole + "\r\n", nil, []verb{dataAck, data}},
		"junk before":               {"a" + ack + "\nb<" + whole + "\n", []string{"a", "b<"}, []verb{dataAck, data}},
		"junk behind":               {ack + "a\n" + whole + "b\n", []string{ack + "a", whole + "b"}, nil},
		"one within another":        {"<Data Stream='Default' PSGuid='" + ack + "\n", []string{"<Data Stream='Default' PSGuid='"}, []verb{dataAck}},
		"no UTF-8":                  {"a\xff\xfe" + ack + "\n\xc3\n", []string{"a\xff\xfe", "\xc3"}, []verb{dataAck}},
		"2 MB without an end":       {strings.Repeat("é", 1<<20) + "\n" + ack + "\n", []string{strings.Repeat("é", 1<<20)}, []verb{dataAck}},
		"2 MB and the protocol":     {strings.Repeat("x", 2<<20) + whole + "\n" + ack + "\n", []string{strings.Repeat("x", 2<<20)}, []verb{data, dataAck}},
		"2 MB that begin like it":   {strings.Repeat(whole[:50], 40_000) + "\n", []string{strings.Repeat(whole[:50], 40_000)}, nil},
		"a line that is too long":   {whole[:len(whole)-7] + long + "</Data>\na" + ack + "\n", []string{whole[:len(whole)-7] + long + "</Data>", "a"}, []verb{dataAck}},
		"the end of a buffer":       {long[:maxLine-1] + "\n" + ack + "\n" + long + "\n" + ack + "\n", []string{long[:maxLine-1], long}, []verb{dataAck, dataAck}},
		"the buffer's last is <":    {long[:maxLine-1] + "<\n", []string{long[:maxLine-1] + "<"}, nil},
		"straddling at its first":   {long[:maxLine-1] + ack + "\n", []string{long[:maxLine-1]}, []verb{dataAck}},
		"straddling at its end":     {long[:maxLine-len(whole)+1] + whole + "\n", []string{long[:maxLine-len(whole)+1]}, []verb{data}},
		"straddling in the end tag": {long[:maxLine-len(whole)+5] + whole + "\n" + "a\n", []string{long[:maxLine-len(whole)+5], "a"}, []verb{data}},
		"straddling before the end": {long[:maxLine-len(whole)+7] + whole + "\n", []string{long[:maxLine-len(whole)+7]}, []verb{data}},
	} {
		var got []string
		goesOn := false
		in := lines{r: iotest.HalfReader(strings.NewReader(c.in)), junk: func(b []byte, end bool) {
			if !goesOn {
				got = append(got, "")
			}
			got[len(got)-1] += string(b)
			if goesOn = !end; goesOn && len(b) > maxLine {
				t.Errorf("%s: a piece has %d bytes", what, len(b))
			}
		}}
		var found []verb
		l, err := in.next()
		for ; err == nil; l, err = in.next() {
			found = append(found, l.verb)
			if l.verb == data && len(l.data) != 40_000 {
				t.Errorf("%s: a line has %d bytes of data", what, len(l.data))
			}
		}
		if !errors.Is(err, io.EOF) || goesOn || !slices.Equal(found, c.found) || !slices.Equal(got, c.lines) {
			t.Errorf("%s: found %v, %v, beside it %.60q; want %v, %.60q", what, found, err, got, c.found, c.lines)
		}
	}
}

// TestLostMessages: a message that cannot be read costs itself, and is told of once.
func TestLostMessages(t *testing.T) {
	cut := func(id uint64) [][]byte { return fragments(id, bytes.Repeat([]byte{byte(id)}, 3*mostBlob)) }
	one, two := cut(1), cut(2)
	var huge [][]byte
	for i, f := range fragments(3, make([]byte, maxMessage+3*mostBlob)) {
		if i == 0 {
			binary.LittleEndian.PutUint32(f[fragmentHead+4:], uint32(pipelineState))
		}
		huge = append(huge, f)
	}
	for what, c := range map[string]struct {
		in    [][]byte
		whole []byte // the first byte of each message
		lost  []kind
	}{
		"all":                  {slices.Concat(one, two), []byte{1, 2}, nil},
		"its first":            {slices.Concat(one[1:], two), []byte{2}, []kind{0}},
		"one within":           {slices.Concat(one[:1], one[2:], two), []byte{2}, []kind{0x01010101}},
		"its last":             {slices.Concat(one[:2], two), []byte{2}, []kind{0x01010101}},
		"repeated":             {slices.Concat(one[:2], one[1:], two), []byte{2}, []kind{0x01010101}},
		"its head cut":         {slices.Concat(one[:1], [][]byte{one[1][:20]}, one[2:], two), []byte{2}, []kind{0x01010101}},
		"its content cut":      {slices.Concat(one[:1], [][]byte{one[1][:2000]}, one[2:], two), []byte{2}, []kind{0x01010101}},
		"another amid":         {slices.Concat(one[:1], two, one[1:]), []byte{2}, []kind{0x01010101, 0}},
		"too much of it":       {slices.Concat(huge, two), []byte{2}, []kind{pipelineState}},
		"two, one cut, in one": {[][]byte{slices.Concat(slices.Concat(one...), two[0], two[1], one[2])}, []byte{1}, []kind{0x02020202}},
	} {
		var j joiner
		var whole []byte
		var lost []kind
		for _, f := range c.in {
			j.add(f, func(b []byte) { whole = append(whole, b[0]) }, func(k kind, _ error) { lost = append(lost, k) })
		}
		if !bytes.Equal(whole, c.whole) || !slices.Equal(lost, c.lost) {
			t.Errorf("%s: whole are %v, lost %x; want %v, %x", what, whole, lost, c.whole, c.lost)
		}
	}
}

// FuzzJoiner: messages come out as they went in, whatever came before them.
func FuzzJoiner(f *testing.F) {
	f.Add([]byte("message"), uint8(3), []byte{})
	f.Add(bytes.Repeat([]byte("z"), 70_000), uint8(1), []byte("\x00\x00\x00\x00\x00\x00\x00\x01"))
	f.Add([]byte("message"), uint8(0), fragments(0, []byte("other"))[0])
	f.Fuzz(func(t *testing.T, b []byte, object uint8, hostile []byte) {
		var j joiner
		var got [][]byte
		done := func(m []byte) { got = append(got, bytes.Clone(m)) }
		told := 0
		j.add(hostile, done, func(_ kind, err error) {
			if told++; err == nil {
				t.Error("a message was lost for no reason")
			}
		})
		if n := len(got) + told; n*fragmentHead > len(hostile)+fragmentHead {
			t.Errorf("%d bytes made %d messages and errors", len(hostile), n)
		}
		j.open = false // what it began would be told of
		got = nil
		for _, frag := range fragments(uint64(object), b) {
			j.add(frag, done, func(_ kind, err error) { t.Error(err) })
		}
		if len(got) != 1 || !bytes.Equal(got[0], b) {
			t.Errorf("of %d bytes come out %d messages", len(b), len(got))
		}
	})
}

func TestWhere(t *testing.T) {
	for trace, want := range map[string]Place{
		"at Test-Streams, /packages/Demo.Module/1.0.0/Demo.Module.psm1: line 20": {"Test-Streams", "/packages/Demo.Module/1.0.0/Demo.Module.psm1", 20},
		"at Inner, /p/a: line b.psm1: line 3\nat Outer, /p/a.psm1: line 9":       {"Inner", "/p/a: line b.psm1", 3},
		"at Test-End<End>, /p/a.psm1: line 7":                                    {"Test-End", "/p/a.psm1", 7},
		"at <ScriptBlock>, /p/a.psm1: line 3":                                    {"", "/p/a.psm1", 3},
		"at <ScriptBlock>, <No file>: line 1":                                    {},
		"at Test-It, /p/a.psm1: line x":                                          {},
		"":                                                                       {},
	} {
		if got := (Failure{Trace: trace}).Where(); got != want {
			t.Errorf("%q is in %+v; want %+v", trace, got, want)
		}
	}
}

// TestSecureString: what is sent as a SecureString reads the same again, with the key and not without.
func TestSecureString(t *testing.T) {
	c := &Client{}
	if _, err := c.SecureString(secret.New("x")); err == nil {
		t.Error("a secret was sent without a key")
	}
	c.key.session = bytes.Repeat([]byte{7}, aesKey)
	for _, text := range []string{"", "pa$$word", "s3crét 😀", strings.Repeat("long", 1000)} {
		v, err := c.SecureString(secret.New(text))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := c.Reveal(v); err != nil || back.Reveal() != text {
			t.Errorf("%q reads otherwise again: %v", text, err)
		}
		other := &Client{}
		other.key.session = bytes.Repeat([]byte{8}, aesKey)
		if back, err := other.Reveal(v); err == nil && back.Reveal() == text {
			t.Errorf("%q was read with another key", text)
		}
	}
}
