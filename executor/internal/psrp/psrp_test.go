package psrp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
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

// FuzzJoiner: messages come out as they went in, whatever the lines that carried them.
func FuzzJoiner(f *testing.F) {
	f.Add([]byte("message"), uint8(3), []byte{})
	f.Add(bytes.Repeat([]byte("z"), 70_000), uint8(1), []byte("\x00\x00\x00\x00\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte, split uint8, hostile []byte) {
		var j joiner
		var got []byte
		for _, frag := range fragments(uint64(split), b) {
			if err := j.add(frag, func(m []byte) error { got = bytes.Clone(m); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, b) {
			t.Errorf("%d bytes come out of %d", len(got), len(b))
		}
		_ = j.add(hostile, func([]byte) error { return nil })
	})
}

// FuzzClient: whatever a process says, there is no panic, and no success that it did not claim in a message.
func FuzzClient(f *testing.F) {
	f.Add([]byte("<CommandAck PSGuid='00000000-0000-0000-0000-000000000001' />\n<Data Stream='Default' PSGuid='00000000-0000-0000-0000-000000000001'>AAAA</Data>\n"))
	state := message{pipelineState, uuid.Nil, uuid.UUID{15: 1}, clixml.Object(prop("PipelineState", clixml.Primitive("I32", "4")))}.encode()
	state[0] = toClient
	f.Add(line{verb: data, id: uuid.UUID{15: 1}, data: fragments(1, state)[0]}.encode())
	f.Fuzz(func(t *testing.T, said []byte) {
		c := New(iotest.OneByteReader(bytes.NewReader(said)), io.Discard, func([]byte) {})
		c.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := c.Open(ctx); err == nil && !bytes.Contains(said, []byte("<Data ")) {
			t.Error("the pool is open, and nobody said so")
		}
		if end, err := c.Run(ctx, Pipeline{Statements: [][]Command{{{Text: "Get-Thing"}}}}, nil, func(Record) {}); !errors.Is(err, ErrEnded) {
			t.Errorf("a process that is gone ran a pipeline: %v, %v", end, err)
		}
	})
}

// TestEndWithoutState: a process that dies has not succeeded, whatever it wrote before.
func TestEndWithoutState(t *testing.T) {
	fromServer, toClient := io.Pipe()
	fromClient, toServer := io.Pipe()
	go func() { // acknowledges everything, says nothing of an end, and goes
		defer toClient.Close()
		for n := 0; n < 2; n++ {
			var raw []byte
			for b := make([]byte, 1); len(raw) == 0 || raw[len(raw)-1] != '\n'; raw = append(raw, b[0]) {
				if _, err := io.ReadFull(fromClient, b); err != nil {
					return
				}
			}
			l, err := parseSent(string(raw))
			if err != nil {
				return
			}
			_, _ = toClient.Write(line{verb: l.verb + "Ack", id: l.id}.encode())
		}
		_, _ = io.WriteString(toClient, "Unhandled exception.\n")
	}()
	var junk []string
	c := New(fromServer, toServer, func(b []byte) { junk = append(junk, string(b)) })
	end, err := c.Run(t.Context(), Pipeline{Statements: [][]Command{{{Text: "Get-Thing"}}}}, nil, func(Record) {})
	c.Wait()
	if !errors.Is(err, ErrEnded) || end.State != "" {
		t.Errorf("the run ends %v, %v", end, err)
	}
	if len(junk) != 1 || junk[0] != "Unhandled exception." {
		t.Errorf("beside the protocol came %q", junk)
	}
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
