package psrp

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
	"github.com/airlock-run/airlock/executor/internal/psrp/psrptest"
)

// double is a pwsh that says what a recording says. It takes messages by their meaning, in their order: ids are the
// client's, and of what the client sends the decoded values must be those that the recorder sent.
type double struct {
	rec   recording
	in    *bufio.Reader
	out   io.Writer
	stops []chan struct{} // of each pipeline, closed when the recorder sent a signal

	at        int
	pipelines int                     // that the client has begun
	pool      uuid.UUID               // of the client
	ids       map[uuid.UUID]uuid.UUID // of pipelines: the client's by the recorder's
	joined    joiner
}

// parseSent reads a line that a client sends: what a server sends has another verb only.
func parseSent(raw string) (l line, err error) {
	var e struct {
		XMLName xml.Name
		ID      string `xml:"PSGuid,attr"`
		Data    string `xml:",chardata"`
	}
	if err := xml.Unmarshal([]byte(raw), &e); err != nil {
		return l, fmt.Errorf("%q: %w", raw, err)
	}
	l = line{verb: verb(e.XMLName.Local)}
	if l.id, err = uuid.Parse(e.ID); err != nil {
		return l, err
	}
	l.data, err = base64.StdEncoding.DecodeString(e.Data)
	return l, err
}

// open answers the opening of the pool.
func (d *double) open(opening recording) error {
	first, err := d.take()
	if err != nil {
		return err
	}
	var got []message
	if err := joinAll(&joiner{}, first.data, func(b []byte) error {
		m, err := sentMessage(b)
		got = append(got, m)
		return err
	}); err != nil {
		return err
	}
	recorded, err := parseSent(opening.Exchange[0].Line)
	if err != nil {
		return err
	}
	var want []message
	if err := joinAll(&joiner{}, recorded.data, func(b []byte) error {
		m, err := sentMessage(b)
		want = append(want, m)
		return err
	}); err != nil {
		return err
	}
	if len(got) != len(want) {
		return fmt.Errorf("the client opens with %d messages, the recorder with %d", len(got), len(want))
	}
	for i := range got {
		if err := sameMessage(got[i], want[i]); err != nil {
			return err
		}
	}
	d.pool = got[0].pool
	for i, e := range opening.Exchange[1:] {
		if e.Dir == "send" {
			if opening.Name == d.rec.Name {
				d.at = i + 1
			}
			break
		}
		if _, err := io.WriteString(d.out, d.mine(e.Line)+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// joinAll gives the messages that a line completes to done, and returns the first error.
func joinAll(j *joiner, b []byte, done func([]byte) error) (err error) {
	j.add(b, func(b []byte) { err = cmp.Or(err, done(b)) }, func(_ kind, why error) { err = cmp.Or(err, why) })
	return err
}

// sentMessage decodes a message to the server, as decodeMessage does one to the client.
func sentMessage(b []byte) (message, error) {
	if len(b) < headLength || b[0] != toServer {
		return message{}, errors.New("not a message to the server")
	}
	b = slices.Clone(b)
	b[0] = toClient
	return decodeMessage(b)
}

func (d *double) take() (line, error) {
	raw, err := d.in.ReadString('\n')
	if err != nil {
		return line{}, err
	}
	return parseSent(raw)
}

// mine is a line of the recording with the client's ids. What is no line of the protocol stays as it is.
func (d *double) mine(raw string) string {
	at := strings.LastIndex(raw, "<Data ")
	l, is := parseElement([]byte(raw[max(at, 0):]))
	if !is {
		return raw
	}
	if id, known := d.ids[l.id]; known {
		l.id = id
	}
	if l.verb == data && len(l.data) >= fragmentHead+headLength && l.data[16]&isFirst != 0 {
		putGUID(l.data[fragmentHead+8:], d.pool)
		of := readGUID(l.data[fragmentHead+24:])
		if id, known := d.ids[of]; known {
			putGUID(l.data[fragmentHead+24:], id)
		}
	}
	return raw[:max(at, 0)] + strings.TrimSuffix(string(l.encode()), "\n")
}

// play goes through the recording.
func (d *double) play() error {
	for ; d.at < len(d.rec.Exchange); d.at++ {
		e := d.rec.Exchange[d.at]
		if e.Dir == "recv" {
			if _, err := io.WriteString(d.out, d.mine(e.Line)+"\n"); err != nil {
				return err
			}
			continue
		}
		want, err := parseSent(e.Line)
		if err != nil {
			return err
		}
		if want.verb == command && d.pipelines > 0 && d.rec.Outcomes()[d.pipelines-1].State == "StillRunning" {
			return nil // the recorder went on beside it, the client waits until the process is killed
		}
		if want.verb == closing && want.id == uuid.Nil {
			return nil // the end of the process is nothing that a client has to wait for
		}
		if want.verb == signal {
			close(d.stops[d.pipelines-1])
		}
		got, err := d.take()
		if err != nil {
			return fmt.Errorf("instead of %s: %w", want.verb, err)
		}
		if got.verb != want.verb {
			return fmt.Errorf("the client sends %s where the recorder sent %s", got.verb, want.verb)
		}
		switch {
		case want.verb == command:
			d.pipelines++
			d.ids[want.id] = got.id
		case want.verb == data:
			if err := d.message(got, want); err != nil {
				return err
			}
		case d.ids[want.id] != got.id:
			return fmt.Errorf("%s is for another pipeline", got.verb)
		}
		if !d.acknowledges(want) {
			if _, err := d.out.Write(line{verb: got.verb + "Ack", id: got.id}.encode()); err != nil {
				return err
			}
		}
	}
	return nil
}

// acknowledges says whether the recording has the acknowledgement of a line before the next line, for which the recorder
// did not always wait. Signals need none.
func (d *double) acknowledges(sent line) bool {
	for _, e := range d.rec.Exchange[d.at+1:] {
		if e.Dir == "send" {
			break
		}
		if l, is := parseElement([]byte(e.Line)); is && l.verb == sent.verb+"Ack" && l.id == sent.id {
			return true
		}
	}
	return sent.verb == signal
}

// message takes one message, of whatever fragments, and compares it with the recorder's.
func (d *double) message(got, want line) (err error) {
	ours, theirs := message{}, message{}
	for {
		var whole bool
		if err := joinAll(&d.joined, got.data, func(b []byte) error { whole = true; ours, err = sentMessage(b); return err }); err != nil {
			return err
		}
		if whole {
			break
		}
		if _, err := d.out.Write(line{verb: dataAck, id: got.id}.encode()); err != nil {
			return err
		}
		if got, err = d.take(); err != nil {
			return err
		}
	}
	var join joiner
	for whole := false; !whole; {
		if err := joinAll(&join, want.data, func(b []byte) error { whole = true; theirs, err = sentMessage(b); return err }); err != nil {
			return err
		}
		for !whole { // the next line that the recorder sent
			if d.at++; d.rec.Exchange[d.at].Dir == "send" {
				if want, err = parseSent(d.rec.Exchange[d.at].Line); err != nil {
					return err
				}
				break
			}
		}
	}
	switch {
	case theirs.kind == publicKey:
		return d.exchangeKey(ours)
	case theirs.kind == pipelineHostResponse && ours.kind == theirs.kind: // the recorder's host answered, the client has none
		return sameValue(ours.value.Get("ci"), theirs.value.Get("ci"), "ci")
	}
	return sameMessage(ours, theirs)
}

// exchangeKey answers with the session key of the recording, which the client's own key opens, in place of the answer
// that was recorded.
func (d *double) exchangeKey(m message) error {
	blob, err := base64.StdEncoding.DecodeString(m.value.Get("PublicKey").Str())
	if err != nil || len(blob) != 20+rsaBits/8 || !bytes.Equal(blob[:16], publicBlob) {
		return fmt.Errorf("the public key has another form: %x", blob)
	}
	modulus := slices.Clone(blob[20:])
	slices.Reverse(modulus)
	key, err := hex.DecodeString(d.rec.Keys.SessionKey)
	if err != nil {
		return err
	}
	//lint:ignore SA1019 the protocol has no other
	sealed, err := rsa.EncryptPKCS1v15(rand.Reader, &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537}, key)
	if err != nil {
		return err
	}
	slices.Reverse(sealed)
	answer := message{encryptedSessionKey, d.pool, uuid.Nil, clixml.Object(prop("EncryptedSessionKey",
		clixml.Text(base64.StdEncoding.EncodeToString(append(make([]byte, sessionBlob), sealed...)))))}.encode()
	answer[0] = toClient
	for i, e := range d.rec.Exchange {
		if i > d.at && e.Dir == "recv" && strings.HasPrefix(e.Line, "<Data Stream='Default' PSGuid='00000000-") {
			d.rec.Exchange[i].Line = strings.TrimSpace(string(line{verb: data, data: fragments(1000, answer)[0]}.encode()))
			return nil
		}
	}
	return errors.New("no answer to the public key was recorded")
}

func sameMessage(got, want message) error {
	if got.kind != want.kind {
		return fmt.Errorf("the client sends the message %08x where the recorder sent %08x", got.kind, want.kind)
	}
	return sameValue(got.value, want.value, string(fmt.Sprintf("%08x", got.kind)))
}

// sameValue compares what two values mean; the order of properties means nothing.
func sameValue(got, want *clixml.Value, at string) error {
	if got == nil || want == nil {
		if got != want {
			return fmt.Errorf("%s: %v, recorded %v", at, got, want)
		}
		return nil
	}
	text := func(s *string) string {
		if s == nil {
			return "(none)"
		}
		return *s
	}
	if got.Tag != want.Tag || got.Text != want.Text || got.Held != want.Held || !slices.Equal(got.Types, want.Types) ||
		text(got.String) != text(want.String) && got.Get("Cmd") == nil { // of commands the recorder left escapes out

		return fmt.Errorf("%s: %+v, recorded %+v", at, got, want)
	}
	if len(got.Items) != len(want.Items) || len(got.Pairs) != len(want.Pairs) || len(got.Props) != len(want.Props) {
		return fmt.Errorf("%s: %d items, %d pairs, %d properties, recorded %d, %d, %d", at,
			len(got.Items), len(got.Pairs), len(got.Props), len(want.Items), len(want.Pairs), len(want.Props))
	}
	errs := []error{sameValue(got.Base, want.Base, at+".base")}
	for i := range got.Items {
		errs = append(errs, sameValue(got.Items[i], want.Items[i], fmt.Sprintf("%s[%d]", at, i)))
	}
	for i := range got.Pairs {
		errs = append(errs, sameValue(got.Pairs[i].Key, want.Pairs[i].Key, at+".key"), sameValue(got.Pairs[i].Value, want.Pairs[i].Value, at+".value"))
	}
	for _, p := range want.Props {
		if p.Name == "HostInfo" { // some recorders had a host
			continue
		}
		errs = append(errs, sameValue(got.Get(p.Name), p.Value, at+"."+p.Name))
	}
	return errors.Join(errs...)
}

// pipelineOf reads the pipeline that a recorder sent, so that the client can send it too.
func pipelineOf(v *clixml.Value) (p Pipeline) {
	statements := []*clixml.Value{v.Get("PowerShell")}
	if extra := v.Get("PowerShell").Get("ExtraCmds"); extra != nil {
		statements = extra.Items
	}
	for _, s := range statements {
		var all []Command
		for _, c := range s.Get("Cmds").Items {
			all = append(all, commandOf(c))
		}
		p.Statements = append(p.Statements, all)
	}
	return p
}

func commandOf(v *clixml.Value) Command {
	c := Command{Text: v.Get("Cmd").Str(), Script: v.Get("IsScript").Str() == "true", MergeErrors: v.Get("MergeMyResult").Number() == "2",
		MergeAll: v.Get("MergeWarning").Number() == "1"}
	if scope := v.Get("UseLocalScope"); !scope.IsNull() {
		local := scope.Str() == "true"
		c.LocalScope = &local
	}
	for _, a := range v.Get("Args").Items {
		c.Parameters = append(c.Parameters, Parameter{a.Get("N").Str(), a.Get("V")})
	}
	return c
}

func TestReplay(t *testing.T) {
	all := recordings(t)
	opening := all[slices.IndexFunc(all, func(r recording) bool { return r.Name == "open-pool" })]
	reasons, left := map[string][]string{}, 0
	for _, rec := range all {
		if why := leftOut(rec); why != "" {
			reasons[why] = append(reasons[why], rec.Name)
			left++
			continue
		}
		t.Run(rec.Name, func(t *testing.T) { replay(t, opening, rec) })
	}
	for why, names := range reasons {
		t.Logf("not replayed, for %s: %s", why, strings.Join(names, " "))
	}
	if t.Logf("%d of %d replayed", len(all)-left, len(all)); left > 60 {
		t.Errorf("%d recordings are left out", left)
	}
}

func replay(t *testing.T, opening, rec recording) {
	if strings.HasPrefix(rec.Name, "args-") && strings.HasPrefix(rec.Exchange[0].Line, "<Data ") {
		opening = rec // has one of its own
	}
	fromServer, toClient := io.Pipe()
	fromClient, toServer := io.Pipe()
	d := &double{rec: rec, in: bufio.NewReaderSize(fromClient, 1<<20), out: toClient, ids: map[uuid.UUID]uuid.UUID{}}
	for range rec.Outcomes() {
		d.stops = append(d.stops, make(chan struct{}))
	}
	played := make(chan error, 1)
	go func() {
		err := d.open(opening)
		if err == nil {
			err = d.play()
		}
		_ = toClient.Close()
		_ = fromClient.CloseWithError(io.ErrClosedPipe)
		played <- err
	}()
	var junk, lost []string
	goesOn := false
	c := New(fromServer, toServer, func(b []byte, end bool) {
		if !goesOn {
			junk = append(junk, "")
		}
		junk[len(junk)-1] += string(b)
		goesOn = !end
	}, func(err error) { lost = append(lost, err.Error()) })
	defer func() {
		_ = toServer.Close()
		_ = fromServer.Close()
		c.Wait()
		if err := <-played; err != nil {
			t.Errorf("the double: %v", err)
		}
		if want := beside(rec, d.at); !slices.Equal(junk, want) {
			t.Errorf("beside the protocol came %q, recorded %q", junk, want)
		}
		if forged := rec.Name == "noise-stdout-stream-forged"; (len(lost) > 0) != forged {
			t.Errorf("messages were lost: %q", lost)
		}
	}()
	if err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.Version() != "7.6.5" {
		t.Errorf("the version is %q", c.Version())
	}
	drive(t, c, d, rec)
}

// drive does what the recorder did, by the lines that it sent, and compares what comes of it.
func drive(t *testing.T, c *Client, d *double, rec recording) {
	outcomes, n := rec.Outcomes(), 0
	var join joiner
	for _, e := range rec.Exchange {
		if e.Dir != "send" {
			continue
		}
		l, err := parseSent(e.Line)
		if err != nil || l.verb != data {
			continue
		}
		err = joinAll(&join, l.data, func(b []byte) error {
			m, err := sentMessage(b)
			if err != nil {
				return err
			}
			switch m.kind {
			case sessionCapability, initRunspacePool, pipelineHostResponse:
				return nil
			case publicKey:
				return c.ExchangeKey(t.Context())
			case createPipeline:
			default:
				return fmt.Errorf("the client never sends the message %08x", m.kind)
			}
			if n >= len(outcomes) {
				return fmt.Errorf("there are more pipelines than %d", n)
			}
			want := outcomes[n]
			if n > 0 && outcomes[n-1].State == "StillRunning" {
				n++
				return nil
			}
			n++
			check(t, c, d.stops[n-1], rec, pipelineOf(m.value), want)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if n != len(outcomes) && rec.Name != "key-exchange-empty" {
		t.Errorf("%d pipelines were run of %d", n, len(outcomes))
	}
}

// check runs a pipeline.
func check(t *testing.T, c *Client, stop <-chan struct{}, rec recording, p Pipeline, want psrptest.Outcome) {
	var got []Record
	end, err := c.Run(t.Context(), p, stop, func(r Record) { got = append(got, r) })
	switch want.State {
	case "ProcessExit", "StillRunning":
		if !errors.Is(err, ErrEnded) {
			t.Errorf("the run ends with %v, %v; the process was gone", end, err)
		}
	default:
		if err != nil || string(end.State) != want.State {
			t.Errorf("the run ends %s, %v; recorded was %s", end.State, err, want.State)
		}
	}
	checkEnd(t, end, want)
	if rec.Name == "noise-stdout-stream-junk-nonewline" && len(got) == 3 {
		got = slices.Delete(got, 1, 2) // the recorder did not see the line behind the junk
	}
	if len(got) != len(want.Streams) {
		t.Errorf("%d records, %d were recorded: %+v", len(got), len(want.Streams), got)
		return
	}
	for i, r := range got {
		w := want.Streams[i]
		if string(r.Stream) != w.Stream {
			t.Errorf("record %d is of %s, recorded %s", i, r.Stream, w.Stream)
			continue
		}
		checkRecord(t, i, r, w.Text, w.Shape)
		if r.Failure != nil && (r.Failure.Exception != w.ExceptionType || r.Failure.ID != w.FullyQualifiedErrorID) {
			t.Errorf("record %d is %+v, recorded %s, %s", i, *r.Failure, w.ExceptionType, w.FullyQualifiedErrorID)
		}
		if r.Stream == Information && r.NoNewline != w.NoNewLine {
			t.Errorf("record %d: no newline is %v", i, r.NoNewline)
		}
	}
}

func checkEnd(t *testing.T, end End, want psrptest.Outcome) {
	switch {
	case (want.Reason == nil) != (end.Failure == nil):
		t.Errorf("the reason is %+v, recorded %v", end.Failure, want.Reason)
	case want.Reason != nil && (end.Failure.Message != *want.Reason || end.Failure.ID != *want.FullyQualifiedErrorID || end.Failure.Exception != want.ExceptionType):
		t.Errorf("the reason is %+v, recorded %q, %q", *end.Failure, *want.Reason, *want.FullyQualifiedErrorID)
	}
	var exit []any
	for _, call := range want.HostCalls {
		if call.Method == "SetShouldExit" {
			exit = call.Parameters
		}
	}
	switch {
	case (exit == nil) != (end.Exit == nil):
		t.Errorf("the call of exit is %v, recorded %v", end.Exit, exit)
	case exit != nil && fmt.Sprint(*end.Exit) != exit[0]:
		t.Errorf("exit was called with %d, recorded %v", *end.Exit, exit)
	}
}

func checkRecord(t *testing.T, i int, r Record, text *string, shape string) {
	if r.Stream != Output {
		switch {
		case r.Stream == Progress: // of which the recorder kept other parts
			for part := range strings.SplitSeq(deref(text), " | ") {
				if part != "-1%" && !strings.Contains(r.Text, part) {
					t.Errorf("record %d of Progress is %q, recorded %q", i, r.Text, *text)
				}
			}
		case text == nil && r.Value != nil: // an object as information
		case text == nil || r.Text != *text:
			t.Errorf("record %d of %s is %q, recorded %v", i, r.Stream, r.Text, deref(text))
		}
		return
	}
	switch {
	case r.Value == nil:
		if shape != "(message with empty data)" {
			t.Errorf("record %d is $null, recorded %s", i, shape)
		}
	case r.Value.Tag == "Obj":
		of := r.Value.String
		if of == nil && r.Value.Base != nil {
			of = &r.Value.Base.Text
		}
		if !strings.HasPrefix(shape, "Obj(") || deref(of) != deref(text) {
			t.Errorf("record %d is the object %s, recorded %s %s", i, deref(of), shape, deref(text))
		}
	case r.Value.Tag != shape || text == nil || r.Value.Text != *text:
		t.Errorf("record %d is %s %q, recorded %s %q", i, r.Value.Tag, r.Value.Text, shape, deref(text))
	}
}

func deref(s *string) string {
	if s == nil {
		return "∅"
	}
	return *s
}
