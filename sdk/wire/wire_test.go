package wire_test

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sdk/wire"
)

var kinds = []wire.Kind{
	wire.KindOutput, wire.KindInformation, wire.KindWarning, wire.KindError,
	wire.KindHello, wire.KindSecret, wire.KindEnd, wire.KindStart, wire.KindCancel,
}

func frame(t testing.TB, kind wire.Kind, payload []byte) []byte {
	t.Helper()
	b, err := wire.AppendFrame(nil, kind, payload)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The bytes are those of docs/wire-protocol.md.
func TestFrameOnTheWire(t *testing.T) {
	t.Parallel()
	if got, want := frame(t, wire.KindWarning, []byte("hi\xff")), []byte("\x00\x00\x00\x04\x03hi\xff"); !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
}

func TestFramesComeBack(t *testing.T) {
	t.Parallel()
	var stream []byte
	sizes := []int{0, 1, 70_000, wire.MaxRecord}
	for _, k := range kinds {
		for _, n := range sizes {
			stream = append(stream, frame(t, k, bytes.Repeat([]byte{byte(k)}, n))...)
		}
	}
	stream = append(stream, frame(t, wire.KindProgress, make([]byte, wire.MaxProgress))...)
	r := wire.NewReader(oneByte{bytes.NewReader(stream)})
	for _, k := range kinds {
		for _, n := range sizes {
			f, err := r.Next()
			if err != nil || f.Kind != k || len(f.Payload) != n || bytes.Count(f.Payload, []byte{byte(k)}) != n || f.Record() != (k <= 4) {
				t.Fatalf("kind %#x with %d bytes: %#x with %d, %v", byte(k), n, byte(f.Kind), len(f.Payload), err)
			}
		}
	}
	if f, err := r.Next(); err != nil || f.Kind != wire.KindProgress || len(f.Payload) != wire.MaxProgress || f.Record() {
		t.Errorf("progress came back as %#x with %d, %v", byte(f.Kind), len(f.Payload), err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the last frame: %v, want EOF", err)
	}
}

// oneByte gives small pieces, as a socket may.
type oneByte struct{ io.Reader }

func (r oneByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(len(p), 1000)]) }

func TestFramesThatAreRefused(t *testing.T) {
	t.Parallel()
	for says, bytes := range map[string]string{
		"a frame without a kind":                  "\x00\x00\x00\x00\x01",
		"unknown kind of frame 0x0":               "\x00\x00\x00\x01\x00",
		"unknown kind of frame 0x5":               "\x00\x00\x00\x01\x05",
		"kind 0x1 has 1048577 bytes, at most":     "\x00\x10\x00\x02\x01",
		"kind 0x20 has 16777217 bytes, at most":   "\x01\x00\x00\x02\x20",
		"kind 0x12 has 4294967294 bytes, at most": "\xff\xff\xff\xff\x12",
		"kind 0x13 has 4097 bytes, at most":       "\x00\x00\x10\x02\x13",
		"unexpected EOF":                          "\x00\x00\x00\x03\x01a",
	} {
		if _, err := wire.NewReader(strings.NewReader(bytes)).Next(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", bytes, err, says)
		}
	}
	for cut := 1; cut < 5; cut++ {
		if _, err := wire.NewReader(strings.NewReader("\x00\x00\x00\x01\x01"[:cut])).Next(); err != io.ErrUnexpectedEOF {
			t.Errorf("a frame that ends after %d bytes: %v", cut, err)
		}
	}
	for kind, n := range map[wire.Kind]int{wire.KindOutput: wire.MaxRecord + 1, wire.KindEnd: wire.MaxMessage + 1, wire.KindStart: wire.MaxStart + 1, 0x7f: 0} {
		if b, err := wire.AppendFrame([]byte("before"), kind, make([]byte, n)); err == nil || string(b) != "before" {
			t.Errorf("kind %#x with %d bytes was written: %v", byte(kind), n, err)
		}
	}
}

var start = wire.Start{
	Protocol: 1, ExecutionID: "id", ExecutionName: "name", Cmdlet: "Get-It", TimeoutSeconds: 60,
	Parameters: map[string]wire.Argument{
		"Text":  {Type: manifest.String, Value: "ü\n"},
		"Key":   {Type: manifest.SecureString, Secret: secret.New("key-canary")},
		"Login": {Type: manifest.Credential, Username: "u", Secret: secret.New("login-canary")},
	},
	VCAddress: "vc", SddcDNSSuffix: "sddc.test", SddcResourceID: "/r", AadAuthority: "https://login",
	Secrets: map[string]secret.Text{"a": secret.New("kept-canary")}, TakesProgress: true,
	Grant: wire.Grant{
		CA: "pem", User: "u", Token: secret.New("token-canary"), Key: secret.New("ssh-canary"), VCenter: wire.Endpoint{Host: "vc.test", Addr: "127.0.0.1:1"},
		Hosts: []wire.Endpoint{{Host: "esx01.sddc1.example", Addr: "127.0.0.1:3"}},
		SSH:   []wire.SSHEndpoint{{Endpoint: wire.Endpoint{Host: "VC", Addr: "127.0.0.1:2"}, HostKey: "ssh-ed25519 AAAA"}},
	},
}

var bySecret = cmp.Comparer(func(a, b secret.Text) bool { return a.Equal(b) })

func TestMessagesComeBack(t *testing.T) {
	t.Parallel()
	payload, err := wire.EncodeStart(start)
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.DecodeStart(payload)
	if d := cmp.Diff(start, got, bySecret); d != "" || err != nil {
		t.Errorf("Start (-want +got): %v\n%s", err, d)
	}
	if shown, err := json.Marshal(start); err != nil || bytes.Contains(shown, []byte("canary")) {
		t.Errorf("json.Marshal shows a secret of Start: %s, %v", shown, err)
	}
	value := secret.New("v\x00ü")
	for _, want := range []wire.SecretChange{{Name: "a", Value: &value}, {Name: "b"}} {
		payload, err := wire.EncodeSecret(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := wire.DecodeSecret(payload)
		if d := cmp.Diff(want, got, bySecret); d != "" || err != nil {
			t.Errorf("SecretChange (-want +got): %v\n%s", err, d)
		}
	}
	end, err := wire.Encode(wire.End{Failure: "f", NamedOutputs: map[string]string{"a": "b"}})
	if err != nil || string(end) != `{"failure":"f","namedOutputs":{"a":"b"}}` {
		t.Errorf("End is %s, %v", end, err)
	}
	if c, err := wire.Decode[wire.Cancel]([]byte(`{"reason":"r","graceSeconds":5,"later":1}`)); err != nil || c != (wire.Cancel{Reason: "r", Grace: 5}) {
		t.Errorf("Cancel is %v, %v", c, err)
	}
	if _, err := wire.Decode[wire.Hello]([]byte(`{`)); err == nil {
		t.Error("a Hello that is not JSON was read")
	}
}

// A message that was taken for something else than what was sent would be worse than none: null for an End without a
// failure, or a secret with U+FFFD in it, which is neither kept nor redacted as the script has it.
func TestMessagesThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{"", " ", "null", " null", "[]", `"a"`, "1", "{", "{} {}", "{\"failure\":\"\xff\"}"} {
		if end, err := wire.Decode[wire.End]([]byte(payload)); err == nil {
			t.Errorf("%q was read as %+v", payload, end)
		}
	}
	if _, err := wire.Decode[wire.End]([]byte("\r\n\t {\"later\":null}\n")); err != nil {
		t.Error(err)
	}
	for _, payload := range []string{"null", "{\"name\":\"a\",\"value\":\"b\xff\"}", `{"name":"a","value":"b\ud800"}`, `{"name":"a","value":"\udc80b"}`} {
		if c, err := wire.DecodeSecret([]byte(payload)); err == nil {
			t.Errorf("%s was read as %+v", payload, c)
		}
	}
	for _, value := range []string{"b\xff", "b\ufffd"} {
		v := secret.New(value)
		if payload, err := wire.EncodeSecret(wire.SecretChange{Name: "a", Value: &v}); err == nil {
			t.Errorf("%q was written as %s", value, payload)
		}
	}
}

// FuzzReader reads whatever bytes: no panic, no more memory than was sent, and what was read is what is written again.
func FuzzReader(f *testing.F) {
	for _, k := range kinds {
		f.Add(frame(f, k, []byte("{}")))
	}
	f.Add([]byte("\xff\xff\xff\xff\x20"))
	f.Add(append(frame(f, wire.KindOutput, []byte("a")), 0, 0))
	f.Fuzz(func(t *testing.T, sent []byte) {
		r := wire.NewReader(bytes.NewReader(sent))
		var again []byte
		for {
			fr, err := r.Next()
			if err != nil {
				if err == io.EOF && len(again) != len(sent) {
					t.Fatalf("%d bytes of %d make up the frames, and the end came without an error", len(again), len(sent))
				}
				break
			}
			if cap(fr.Payload) > 2*len(sent)+512<<10 {
				t.Fatalf("%d bytes of memory for %d that were sent", cap(fr.Payload), len(sent))
			}
			again = append(again, frame(t, fr.Kind, fr.Payload)...)
		}
		if !bytes.HasPrefix(sent, again) {
			t.Fatalf("% x was read from % x", again, sent)
		}
	})
}

func FuzzDecodeStart(f *testing.F) {
	payload, err := wire.EncodeStart(start)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Add([]byte(`{"parameters":{"a":null},"grant":{"ssh":[null]},"persistentSecrets":null}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		first, err := wire.DecodeStart(payload)
		if err != nil {
			return
		}
		again, err := wire.EncodeStart(first)
		if err != nil {
			t.Fatal(err)
		}
		second, err := wire.DecodeStart(again)
		if d := cmp.Diff(first, second, bySecret); d != "" || err != nil {
			t.Fatalf("%v\n%s", err, d)
		}
	})
}

func FuzzDecodeSecret(f *testing.F) {
	f.Add([]byte(`{"name":"a","value":"b"}`))
	f.Add([]byte(`{"name":"a","value":null}`))
	f.Add([]byte(`{"value":""}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		first, err := wire.DecodeSecret(payload)
		if err != nil {
			return
		}
		again, err := wire.EncodeSecret(first)
		if err != nil {
			t.Fatal(err)
		}
		second, err := wire.DecodeSecret(again)
		if d := cmp.Diff(first, second, bySecret); d != "" || err != nil {
			t.Fatalf("%v\n%s", err, d)
		}
	})
}

// FuzzDecode reads the other messages, from both sides.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"protocols":[1],"sdk":"x","failure":"f","namedOutputs":{"a":"b"},"reason":"r","graceSeconds":5}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		comesBack[wire.Hello](t, payload)
		comesBack[wire.End](t, payload)
		comesBack[wire.Cancel](t, payload)
	})
}

func comesBack[M wire.Hello | wire.End | wire.Cancel](t *testing.T, payload []byte) {
	t.Helper()
	first, err := wire.Decode[M](payload)
	if err != nil {
		return
	}
	again, err := wire.Encode(first)
	if err != nil {
		t.Fatal(err)
	}
	second, err := wire.Decode[M](again)
	if err != nil || string(must(json.Marshal(first))) != string(must(json.Marshal(second))) {
		t.Fatalf("%v: %v became %v", err, first, second)
	}
}

func must(b []byte, _ error) []byte { return b }
