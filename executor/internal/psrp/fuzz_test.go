package psrp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
)

// FuzzClient: whatever a process says that has the right ids and acknowledges what it wants, there is no panic, every call
// ends when the process does, nothing counts before a pipeline was sent or after its end, and it is Completed only if the
// process said so in between.
func FuzzClient(f *testing.F) {
	const honest = "\x00\x00\x00\x00\x00\x00" // the opening, the key, Command and two fragments
	for _, script := range []string{
		honest,
		honest + "\x05\x04\x00" + "\x00\x00\x05\x04\x00" + "\x00\x00\x05\x04\x00\x00\x00",
		honest + "\x06\x00a\x06\x01b\x06\x02c\x06\x03d\x06\x04e\x07\x05\x01\x07\x05\x06\x00\x05\x03",
		"\x00\x00\x00\x05\x04\x00\x05\x04\x00\x05\x05",
		honest + "\x05\x04\x06\x00a\x05\x05\x00",
		honest + "\x05\x02\x05\x01",
		honest + "\x12\x01\x12\x02\x12\x03\x05\x04\x00\x00\x00\x12\x00\x12\x04\x12\x05\x05\x03",
		honest + "\x0e\x01\x06\x00a\x00\x05\x03\x00",
		honest + "\x0e\x02\x05\x04",
		honest + "\x0a\x05\x04\x03\x01\x02\x00" + "\x0a\x06\x01\x04\x00\x00\x01\x02\x05\x04",
		honest + "\x0b\x05\x10<Obj RefId=\"0\"/>\x0b\x00\x04<S/>\x0c\x0d\x20\x05\x04",
		honest + "\x08\x03\x10aaaabbbbccccdddd\x09\x05<Data\x10\x05\x04\x11\x03abc\x0c",
		"\x0f\x02\x0f\x05\x00\x00",
		"\x03\x03\x04\x04\x04\x00\x00\x00\x0f\x03\x05\x04",
	} {
		for options := range "\x00\x01\x02\x03" {
			f.Add([]byte(string(rune(options)) + script))
		}
	}
	private, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		f.Fatal(err)
	}
	//lint:ignore SA1019 the protocol has no other
	sealed, err := rsa.EncryptPKCS1v15(rand.Reader, &private.PublicKey, make([]byte, aesKey))
	if err != nil {
		f.Fatal(err)
	}
	slices.Reverse(sealed)
	session := base64.StdEncoding.EncodeToString(append(make([]byte, sessionBlob), sealed...))
	f.Fuzz(func(t *testing.T, script []byte) {
		synctest.Test(t, func(t *testing.T) {
			h := &hostile{t: t, script: script, session: session}
			options := h.byte() // both take their time
			h.exchanges, h.long = options&1 != 0, int(options>>1&1)*mostBlob
			h.play(private)
		})
	})
}

// hostile is a process that says what a script of bytes tells it to, each time when the client waits for it.
type hostile struct {
	t       *testing.T
	script  []byte
	session string // the key, as a server sends it

	exchanges bool // the client asks for the key
	long      int  // bytes of a pipeline

	c      *Client
	out    *io.PipeWriter
	stop   chan struct{}
	cancel context.CancelFunc

	mu       sync.Mutex
	sent     []line // by the client
	pipeline uuid.UUID
	former   uuid.UUID
	whole    bool           // all of the pipeline was sent
	ran      bool           // Run has returned
	could    map[State]bool // what the process has said of the pipeline since then

	taken    int // of sent
	acks     int
	said     []byte  // the last
	saidEnds []State // that the last may say
}

// Write takes a line of the client's.
func (h *hostile) Write(b []byte) (int, error) {
	l, err := parseSent(string(b))
	if err != nil {
		h.t.Errorf("the client sends %q: %v", b, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent = append(h.sent, l)
	if l.verb == command {
		h.former, h.pipeline, h.whole, h.ran, h.could = h.pipeline, l.id, false, false, map[State]bool{}
	}
	if l.verb == data && l.id != uuid.Nil && l.id == h.pipeline && kindOf(l.data[fragmentHead:]) != pipelineHostResponse && l.data[16]&isLast != 0 {
		h.whole = true
	}
	return len(b), nil
}

func (h *hostile) play(private *rsa.PrivateKey) {
	ctx, cancel := context.WithCancel(h.t.Context())
	defer cancel()
	in, out := io.Pipe()
	h.out, h.stop, h.cancel = out, make(chan struct{}), cancel
	h.c = New(in, h, func([]byte, bool) {}, func(err error) {
		if err == nil {
			h.t.Error("something was lost for no reason")
		}
	})
	h.c.key.mu.Lock()
	h.c.key.private = private
	h.c.key.mu.Unlock()
	driven := make(chan struct{})
	go func() {
		defer close(driven)
		h.drive(ctx)
	}()
	go func() { // whoever owns the process kills it when nobody reads what it says
		h.c.Wait()
		_ = in.Close()
	}()
	for len(h.script) > 0 {
		synctest.Wait()
		h.step()
	}
	synctest.Wait()
	_ = out.Close()
	<-driven
	h.c.Wait()
}

// drive is what a runtime does.
func (h *hostile) drive(ctx context.Context) {
	if h.c.Open(ctx) != nil || h.exchanges && h.c.ExchangeKey(ctx) != nil {
		return
	}
	for range 3 {
		text := strings.Repeat("x", h.long)
		end, err := h.c.Run(ctx, Pipeline{Statements: [][]Command{{{Text: text}}}}, h.stop, h.write)
		h.mu.Lock()
		h.ran = true
		if (end.State == Completed || end.State == Stopped) && !h.could[end.State] || err == nil && end.State == "" {
			h.t.Errorf("a pipeline ends %+v, %v; the process said %v", end, err, h.could)
		}
		h.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (h *hostile) write(Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ran || !h.whole || isDone(h.c.run.done) {
		h.t.Error("a record counts before its pipeline was sent, or after its end")
	}
}

// byte takes one of the script.
func (h *hostile) byte() (b byte) {
	if len(h.script) > 0 {
		b, h.script = h.script[0], h.script[1:]
	}
	return b
}

// bytes takes as many as the next says.
func (h *hostile) bytes() (b []byte) {
	n := min(int(h.byte()), len(h.script))
	b, h.script = h.script[:n], h.script[n:]
	return b
}

// say writes what may say that the pipeline has ended.
func (h *hostile) say(raw []byte, ends ...State) {
	h.mu.Lock()
	for _, s := range ends {
		if h.whole {
			h.could[s] = true
		}
	}
	h.said, h.saidEnds = raw, ends
	h.acks += bytes.Count(raw, []byte("Ack PSGuid=")) // also those that it repeats
	h.mu.Unlock()
	_, _ = h.out.Write(raw)
}

func (h *hostile) acknowledge(l line) {
	h.say(line{verb: l.verb + "Ack", id: l.id}.encode())
}

// endStates are written down once more, so that an error in the client's is found.
var endStates = map[string]State{"3": Stopped, "4": Completed, "5": Failed}

var kinds = []kind{pipelineOutput, errorRecord, warningRecord, informationRecord, progressRecord, pipelineState, pipelineHostCall,
	verboseRecord, runspacePoolState, applicationPrivateData, encryptedSessionKey, 7}

// step does what the script says next.
func (h *hostile) step() {
	h.mu.Lock()
	id, former, lines := h.pipeline, h.former, len(h.sent)
	h.mu.Unlock()
	if lines > h.acks+4 { // a signal a pipeline waits for none
		h.t.Errorf("the client has sent %d lines, %d were acknowledged", lines, h.acks)
	}
	switch h.byte() % 19 {
	case 0, 1, 2:
		h.honest(true)
	case 3:
		h.honest(false)
	case 4:
		if h.taken > 0 {
			h.acknowledge(h.sent[h.taken-1-int(h.byte())%h.taken])
		}
	case 5:
		n := string('0' + h.byte()%8)
		h.say(said(pipelineState, id, stateOf(n)), endStates[n])
	case 6:
		k := kinds[int(h.byte())%5]
		h.say(said(k, id, clixml.Object(prop("InformationalRecord_Message", clixml.Text(string(h.byte()))))))
	case 7:
		call := clixml.Object(prop("ci", clixml.Primitive("I64", string('0'+h.byte()%10))), prop("mi", clixml.Primitive("I32", string('0'+h.byte()%10))))
		h.say(said(pipelineHostCall, id, call))
	case 8:
		f := fragments(uint64(h.byte()), messageOf(kinds[int(h.byte())%len(kinds)], id, nil))[0]
		f[16] = h.byte()
		h.say(line{verb: data, id: id, data: append(f, h.bytes()...)}.encode(), Stopped, Completed)
	case 9:
		h.say(append(slices.Clone(h.bytes()), '\n'))
	case 10:
		h.shuffled(id)
	case 11:
		k := kinds[int(h.byte())%len(kinds)]
		of := []uuid.UUID{id, uuid.Nil}[h.byte()%2]
		m := append(messageOf(k, id, nil)[:headLength], h.bytes()...)
		h.say(line{verb: data, id: of, data: fragments(9, m)[0]}.encode(), Stopped, Completed)
	case 12:
		h.say(h.said, h.saidEnds...)
	case 13:
		h.say(append(slices.Clone(h.said[:min(int(h.byte()), len(h.said))]), '\n'))
	case 14:
		switch b := h.byte(); {
		case b == 0:
			h.cancel()
		case !isDone(h.stop):
			close(h.stop)
		}
	case 15:
		h.say(said(runspacePoolState, uuid.Nil, clixml.Object(prop("RunspaceState", clixml.Primitive("I32", string('0'+h.byte()%8))))))
	case 16:
		f := fragments(1, messageOf(pipelineOutput, id, nil))[0]
		copy(f[17:], "\xff\xff\xff\xff")
		h.say(line{verb: data, id: id, data: f}.encode())
	case 17:
		h.say(append(slices.Clone(h.bytes()), h.said...), h.saidEnds...)
	case 18: // the end of another pipeline, or in another's line
		ids := [][2]uuid.UUID{{former, former}, {id, former}, {id, uuid.Nil}, {uuid.Nil, id}, {former, id}, {id, {1}}}[h.byte()%6]
		h.say(line{verb: data, id: ids[0], data: fragments(2, messageOf(pipelineState, ids[1], stateOf("4")))[0]}.encode())
	}
}

// honest takes a line, acknowledges it, and answers as PowerShell does.
func (h *hostile) honest(acknowledges bool) {
	h.mu.Lock()
	if h.taken == len(h.sent) {
		h.mu.Unlock()
		return
	}
	l := h.sent[h.taken]
	h.taken++
	h.mu.Unlock()
	if acknowledges {
		h.acknowledge(l)
	}
	if l.verb != data || l.id != uuid.Nil {
		return
	}
	switch kindOf(l.data[fragmentHead:]) {
	case sessionCapability:
		h.say(bytes.Join([][]byte{
			said(sessionCapability, uuid.Nil, capability()),
			said(applicationPrivateData, uuid.Nil, clixml.Object()),
			said(runspacePoolState, uuid.Nil, clixml.Object(prop("RunspaceState", clixml.Primitive("I32", poolOpened)))),
		}, nil))
	case publicKey:
		h.say(said(encryptedSessionKey, uuid.Nil, clixml.Object(prop("EncryptedSessionKey", clixml.Text(h.session)))))
	}
}

// shuffled says a message in small fragments, some of them repeated, left out, or in another place.
func (h *hostile) shuffled(id uuid.UUID) {
	k := kinds[int(h.byte())%len(kinds)]
	n := string('0' + h.byte()%8)
	m := messageOf(k, id, stateOf(n))
	var parts [][]byte
	for i := 0; len(m) > 0; i++ {
		part := fragments(5, m[:min(len(m), 100)])[0]
		m = m[min(len(m), 100):]
		part[15], part[16] = byte(i), 0
		parts = append(parts, part)
	}
	parts[0][16] |= isFirst
	parts[len(parts)-1][16] |= isLast
	for range h.byte() % 8 {
		i, to := int(h.byte())%len(parts), int(h.byte())%len(parts)
		switch {
		case i == to && len(parts) > 1:
			parts = slices.Delete(parts, i, i+1)
		case i < to:
			parts[i], parts[to] = parts[to], parts[i]
		default:
			parts = slices.Insert(parts, to, parts[i])
		}
	}
	var ends []State
	if k == pipelineState {
		ends = append(ends, endStates[n])
	}
	var raw []byte
	for _, part := range parts {
		raw = append(raw, line{verb: data, id: id, data: part}.encode()...)
	}
	h.say(raw, ends...)
}
