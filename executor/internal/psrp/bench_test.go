package psrp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

// pwsh says how many records of a kind a real one makes in a second (shared/powershell/observed.md), and which recorded
// line is one of them.
var pwsh = map[string]struct {
	recording string
	kind      kind
	rate      float64
}{
	"string":  {"cmd-streams", pipelineOutput, 26517},
	"warning": {"cmd-streams", warningRecord, 6188},
	"host":    {"stream-host-several", informationRecord, 5489},
	"error":   {"cmd-streams", errorRecord, 3213},
}

// BenchmarkDecode takes what a real pwsh wrote through the whole client on one core, a record each time. "x-pwsh" is how
// much faster it is than pwsh makes them, "vs-xml" how much faster than base64 and encoding/xml alone over the same bytes.
func BenchmarkDecode(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	all := recordings(b)
	for name, of := range pwsh {
		b.Run(name, func(b *testing.B) {
			raw := lineOf(b, all, of.recording, of.kind)
			b.SetBytes(int64(len(raw)))
			b.ResetTimer()
			readRecords(b, raw, b.N)
			b.StopTimer()
			ours := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(1/ours/of.rate, "x-pwsh")
			b.ReportMetric(baseline(b, raw)/ours, "vs-xml")
		})
	}
}

// readRecords lets a client read a line of a pipeline's n times, and sees that it makes n records of it.
func readRecords(t testing.TB, raw []byte, n int) {
	l, _, is := parseLine(raw)
	if !is {
		t.Fatalf("%q is no line", raw)
	}
	got := 0
	r := &run{id: l.id, sent: true, done: make(chan struct{}), write: func(Record) { got++ }, lost: func(err error) { t.Error(err) }}
	c := &Client{in: &repeated{line: append(slices.Clone(raw), '\n'), left: n}, run: r, junk: func(b []byte, _ bool) { t.Errorf("%q", b) }}
	if err := c.read(); !errors.Is(err, io.EOF) || got != n {
		t.Errorf("%d records of %d lines, %v", got, n, err)
	}
}

// repeated reads as a line that comes a number of times.
type repeated struct {
	line []byte
	left int
	at   int
}

func (r *repeated) Read(b []byte) (n int, err error) {
	for r.left > 0 && n < len(b) {
		k := copy(b[n:], r.line[r.at:])
		n += k
		if r.at += k; r.at == len(r.line) {
			r.at = 0
			r.left--
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// lineOf is the first line of a recording that holds a message of the kind.
func lineOf(t testing.TB, all []recording, name string, k kind) []byte {
	for _, e := range all[slices.IndexFunc(all, func(r recording) bool { return r.Name == name })].Exchange {
		l, _, is := parseLine([]byte(e.Line))
		if e.Dir == "recv" && is && l.verb == data && len(l.data) > fragmentHead && kindOf(l.data[fragmentHead:]) == k {
			return []byte(e.Line)
		}
	}
	t.Fatalf("%s has no such message", name)
	return nil
}

// baseline is how many seconds base64 and encoding/xml take over the same line.
func baseline(b *testing.B, raw []byte) float64 {
	const times = 2000
	began := time.Now()
	for range times {
		from, to := bytes.IndexByte(raw, '>')+1, bytes.LastIndexByte(raw, '<')
		content, err := base64.StdEncoding.DecodeString(string(raw[from:to]))
		if err != nil {
			b.Fatal(err)
		}
		d := xml.NewDecoder(bytes.NewReader(content[fragmentHead+headLength+3:]))
		for err == nil {
			_, err = d.Token()
		}
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
	}
	return time.Since(began).Seconds() / times
}

// BenchmarkPipeline runs a pipeline over pipes, against a server that answers at once with as little as it can.
func BenchmarkPipeline(b *testing.B) {
	fromServer, toClient, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	fromClient, toServer, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		defer toClient.Close()
		in := bufio.NewReaderSize(fromClient, maxLine)
		for {
			raw, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			of := raw[bytes.Index(raw, []byte("PSGuid='"))+len("PSGuid='"):]
			l := line{verb: verb(raw[1:bytes.IndexByte(raw, ' ')]), id: uuid.MustParse(string(of[:36]))}
			answer := line{verb: l.verb + "Ack", id: l.id}.encode()
			if l.verb == data {
				answer = append(answer, said(pipelineState, l.id, stateOf("4"))...)
			}
			if _, err := toClient.Write(answer); err != nil {
				return
			}
		}
	}()
	c := New(fromServer, toServer, func([]byte, bool) {}, func(err error) { b.Error(err) })
	defer func() {
		_ = toServer.Close()
		c.Wait()
	}()
	no := Pipeline{Statements: [][]Command{{{Text: "1", Script: true}}}}
	for b.Loop() {
		if end, err := c.Run(context.Background(), no, nil, func(Record) {}); err != nil || end.State != Completed {
			b.Fatal(end, err)
		}
	}
}
