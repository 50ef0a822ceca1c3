package psrp

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
)

// endless is how many bytes a hostile process says: 1 GiB with AIRLOCK_ENDLESS set, which takes minutes; else what shows the same,
// more than one message.
func endless() int {
	if os.Getenv("AIRLOCK_ENDLESS") != "" {
		return 1 << 30
	}
	return 48 << 20
}

// flood reads as what is said again and again, and measures the memory that is held beside it.
type flood struct {
	say   func(i int) []byte
	left  int // bytes
	i     int
	rest  []byte
	base  uint64 // bytes of the heap in the beginning
	most  uint64 // bytes of the heap since, with a tenth that nobody needs any more
	until int    // left at the next measurement
}

func (f *flood) Read(b []byte) (int, error) {
	if len(f.rest) == 0 {
		if f.left <= 0 {
			return 0, io.EOF
		}
		f.rest = f.say(f.i)
		f.i++
	}
	n := copy(b, f.rest)
	f.rest = f.rest[n:]
	if f.left -= n; f.left <= f.until {
		f.until = f.left - 1<<20
		f.most = max(f.most, heap())
	}
	return n, nil
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestEndless: what a process says without an end is held in bounded memory, and is told of as lost or goes on.
func TestEndless(t *testing.T) {
	id := uuid.UUID{1}
	always := func(raw []byte) func(int) []byte { return func(int) []byte { return raw } }
	messages := func(content string) func(int) []byte { // as large as they can be
		begin, unit, _ := strings.Cut(content, "…")
		begin = string(messageOf(pipelineOutput, id, nil)[:headLength]) + begin
		units := bytes.Repeat([]byte(unit), mostBlob/len(unit)+2)
		const parts = maxMessage / mostBlob
		return func(i int) []byte {
			i %= parts
			from, blob := i*mostBlob, []byte(begin)
			if i > 0 {
				blob = units[(from-len(begin))%len(unit):]
			} else {
				blob = append(blob, units...)
			}
			f := fragments(1, blob[:mostBlob])[0]
			f[14], f[15], f[16] = byte(i>>8), byte(i), 0
			switch i {
			case 0:
				f[16] = isFirst
			case parts - 1:
				f[16] = isLast
			}
			return line{verb: data, id: id, data: f}.encode()
		}
	}
	const mib = 1 << 20
	for _, c := range []struct {
		what  string
		say   func(int) []byte
		bound uint64
		junk  bool   // all of it is junk
		lost  string // why the messages are lost, "" where they are not
	}{
		{"one line", always(bytes.Repeat([]byte("x"), 4096)), 8 * mib, true, ""},
		{"one line of beginnings", always([]byte("<Data Stream='Default' PSGuid='00000000-0000-0000-0000-000000000000'>AAAA")), 8 * mib, true, ""},
		{"lines", always(bytes.Repeat([]byte("some text in it\n"), 256)), 8 * mib, false, ""},
		{"small messages", always(said(warningRecord, id, clixml.Text("w"))), 16 * mib, false, ""},
		{"one message", func(i int) []byte {
			f := fragments(1, make([]byte, mostBlob))[0]
			f[13], f[14], f[15], f[16] = byte(i>>16), byte(i>>8), byte(i), 0
			if i == 0 {
				f[16] = isFirst
			}
			return line{verb: data, id: id, data: f}.encode()
		}, 128 * mib, false, "a message has more than 32 MiB"},
		{"fragments of nothing", always(line{verb: data, id: id, data: bytes.Repeat(make([]byte, fragmentHead), 1000)}.encode()), 16 * mib, false, "a fragment does not follow"},
		{"deep values", messages(`…<Obj RefId="0"><LST>`), 128 * mib, false, "values nest deeper than 128"},
		{"many values", messages(`<Obj RefId="0"><LST>…<Nil />`), 128 * mib, false, "there are more than 262144 values"},
		{"many objects", messages(`<Obj RefId="0"><LST>…<Obj RefId="0"><TN RefId="0"><T /></TN><MS /></Obj>`), 128 * mib, false, "there are more than 262144 values"},
		{"many names of types", messages(`<Obj RefId="0"><TN RefId="0">…<T />`), 128 * mib, false, "an object has more than 64 types"},
		{"references", messages(`<Obj RefId="0"><LST>…<Ref RefId="0" />`), 128 * mib, false, "there are more than 262144 values"},
		{"one string", messages(`<S>…x`), 128 * mib, false, "it is not CLIXML"},
	} {
		t.Run(c.what, func(t *testing.T) {
			if slow := strings.HasPrefix(c.what, "many ") || strings.HasPrefix(c.lost, "values"); slow && os.Getenv("AIRLOCK_SLOW") == "" {
				t.Skip("AIRLOCK_SLOW is not set: package clixml tests the same with less around it")
			}
			runtime.GC()
			defer debug.SetGCPercent(debug.SetGCPercent(10))
			f := &flood{say: c.say, left: endless()}
			f.base = heap()
			f.most, f.until = f.base, f.left
			junk, records := 0, 0
			lost := map[string]int{}
			r := &run{id: id, sent: true, done: make(chan struct{}), write: func(Record) { records++ }, lost: func(err error) { lost[err.Error()]++ }}
			client := &Client{in: f, run: r, junk: func(b []byte, _ bool) { junk += len(b) }}
			if err := client.read(); !errors.Is(err, io.EOF) {
				t.Errorf("it ends with %v", err)
			}
			t.Logf("%d MiB said, %.1f MiB held at most; %d records, %d bytes of junk, lost: %v", endless()/mib, float64(f.most-f.base)/mib, records, junk, lost)
			if held := f.most - f.base; held > c.bound {
				t.Errorf("%d MiB are held", held/mib)
			}
			if c.junk && junk < endless() {
				t.Errorf("%d bytes are junk", junk)
			}
			if c.lost == "" && len(lost) > 0 || c.lost != "" && (len(lost) != 1 || records > 0) {
				t.Errorf("lost are %v, and %d records not", lost, records)
			}
			for why := range lost {
				if !strings.Contains(why, c.lost) {
					t.Errorf("lost for: %s", why)
				}
			}
		})
	}
}

// TestMemory: what is held does not grow with the number of records.
func TestMemory(t *testing.T) {
	raw := lineOf(t, recordings(t), "cmd-streams", errorRecord)
	held := func(n int) int64 {
		readRecords(t, raw, n)
		runtime.GC()
		return int64(heap())
	}
	const n = 100
	held(n)
	few, many := held(n), held(10*n)
	if t.Logf("%d bytes are held after %d records, %d after %d", few, n, many, 10*n); many > few+int64(n)*100 {
		t.Errorf("%d bytes are held after %d records, %d after %d", few, n, many, 10*n)
	}
}
