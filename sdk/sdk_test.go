package sdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/sdktest"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sdk/wire"
)

var pkg = Package{Name: "Contoso.Test", Version: "1.2.3", Description: "For tests."}

// play runs a cmdlet in this process, as a host would see it.
func play[P any](t *testing.T, body func(context.Context, *Execution, P) error, start wire.Start) sdktest.Result {
	t.Helper()
	return playWatched(t.Context(), t, body, sdktest.Host{Start: start})
}

func playWatched[P any](ctx context.Context, t *testing.T, body func(context.Context, *Execution, P) error, h sdktest.Host) sdktest.Result {
	t.Helper()
	host, script := pair(t)
	ended := make(chan error, 1)
	go func() { ended <- run(script, pkg, []Declared{Cmdlet[P]{Name: "Test-It", Run: body}}) }()
	if h.Start.Cmdlet == "" {
		h.Start.Cmdlet = "Test-It"
	}
	result, err := h.Converse(ctx, host)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatalf("the script's side: %v", err)
	}
	return result
}

// pair is the two ends of a Unix socket, as host and script have them.
func pair(t *testing.T) (host, script net.Conn) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: t.TempDir() + "/s", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	script, err = net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	host, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close(); script.Close() })
	return host, script
}

type none = struct{}

func TestStreamsKeepOneOrder(t *testing.T) {
	t.Parallel()
	got := play(t, func(_ context.Context, x *Execution, _ none) error {
		x.Output("one")
		x.Information(2)
		x.Warning(errors.New("three"))
		x.Error("")
		x.Output("a\nb \xff")
		return nil
	}, wire.Start{})
	want := []sdktest.Record{
		{Stream: wire.KindOutput, Text: "one"}, {Stream: wire.KindInformation, Text: "2"}, {Stream: wire.KindWarning, Text: "three"},
		{Stream: wire.KindError, Text: ""}, {Stream: wire.KindOutput, Text: "a\nb \xff"},
	}
	if d := cmp.Diff(want, got.Records); d != "" || got.End.Failure != "" {
		t.Errorf("failure %q, records (-want +got):\n%s", got.End.Failure, d)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	type machine struct {
		Name   string
		Size   int `json:"size"`
		Secret SecureString
		hidden int
	}
	type mode string
	loop := map[string]any{}
	loop["self"] = loop
	s := secret.New("hunter2")
	for _, c := range []struct {
		v    any
		want string
	}{
		{"as it is <&>\n", "as it is <&>\n"},
		{[]byte("bytes\xff"), "bytes\xff"},
		{nil, "null"},
		{true, "true"},
		{-7, "-7"},
		{2.5, "2.5"},
		{map[string]any{"b": 1, "a": "<x>"}, `{"a":"<x>","b":1}`},
		{machine{"vm", 3, s, 1}, `{"Name":"vm","size":3,"Secret":"[redacted]"}`},
		{[]any{1, "two", nil}, `[1,"two",null]`},
		{s, "[redacted]"},
		{&s, "[redacted]"},
		{Credential{"u", s}, `{"Username":"u","Password":"[redacted]"}`},
		{fmt.Errorf("wrapped: %w", os.ErrNotExist), "wrapped: file does not exist"},
		{5 * time.Minute, "5m0s"},
		{time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), "2026-01-02T03:04:05.000000006Z"},
		{mode("fast"), "fast"},
		{(*bytes.Buffer)(nil), "<nil>"},
		{loop, "(a map[string]interface {} that has no form in JSON: json: unsupported value: encountered a cycle via map[string]interface {})"},
		{make(chan int), "(a chan int that has no form in JSON: json: unsupported type: chan int)"},
	} {
		if got := text(c.v); got != c.want {
			t.Errorf("%T: %q, want %q", c.v, got, c.want)
		}
	}
}

func TestLongTextIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	long := "x" + strings.Repeat("äöü€😀", 300_000) // characters of 2, 3 and 4 bytes
	binary := strings.Repeat("\x80", 2*wire.MaxRecord+1)
	got := play(t, func(_ context.Context, x *Execution, _ none) error {
		x.Output(long)
		x.Output(binary)
		return nil
	}, wire.Start{})
	var all strings.Builder
	for i, r := range got.Records {
		if len(r.Text) > wire.MaxRecord || i < len(got.Records)-3 && strings.ToValidUTF8(r.Text, "") != r.Text {
			t.Errorf("record %d has %d bytes, or is cut inside a character", i, len(r.Text))
		}
		all.WriteString(r.Text)
	}
	if all.String() != long+binary {
		t.Errorf("the %d records do not make up what was written", len(got.Records))
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	body := func(_ context.Context, x *Execution, _ none) error {
		x.Progress("copying 3 of 7")
		x.Progress(strings.Repeat("ä", wire.MaxProgress))
		x.Progress("")
		return nil
	}
	got := play(t, body, wire.Start{})
	want := []string{"copying 3 of 7", strings.Repeat("ä", wire.MaxProgress/2), ""}
	if d := cmp.Diff(want, got.Progress); d != "" || len(got.Records) > 0 {
		t.Errorf("%d records, progress (-want +got):\n%s", len(got.Records), d)
	}

	// A host from before there was progress would end the conversation.
	var sent bytes.Buffer
	x := newExecution(wire.Start{}, newWriter(&sent))
	if err := body(t.Context(), x, none{}); err != nil {
		t.Error(err)
	}
	if err := x.w.close(); err != nil || sent.Len() > 0 {
		t.Errorf("%d bytes were sent to it (%v)", sent.Len(), err)
	}
}

func TestWritersFromManyGoroutines(t *testing.T) {
	t.Parallel()
	const writers, lines = 8, 5_000
	got := play(t, func(_ context.Context, x *Execution, _ none) error {
		done := make(chan none)
		for i := range writers {
			go func() {
				for n := range lines {
					[]func(any){x.Output, x.Information, x.Warning, x.Error}[n%4](fmt.Sprintf("%d %d", i, n))
				}
				done <- none{}
			}()
		}
		for range writers {
			<-done
		}
		return nil
	}, wire.Start{})
	next := [writers]int{}
	for _, r := range got.Records {
		var i, n int
		if _, err := fmt.Sscanf(r.Text, "%d %d", &i, &n); err != nil || n != next[i] || r.Stream != wire.Kind(n%4+1) {
			t.Fatalf("%q in stream %d, want line %d of writer %d", r.Text, r.Stream, next[i], i)
		}
		next[i]++
	}
	for i, n := range next {
		if n != lines {
			t.Errorf("%d lines of writer %d, want %d", n, i, lines)
		}
	}
}

// A host that does not read holds writers back, and what is buffered stays bounded.
func TestBackpressure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		host, script := net.Pipe() // without a buffer of its own
		w := newWriter(script)
		var taken atomic.Int64
		stopped := make(chan none)
		go func() {
			defer close(stopped)
			for w.frame(wire.KindOutput, make([]byte, 1000)) == nil {
				taken.Add(1000)
			}
		}()
		synctest.Wait() // until everybody waits for the host
		if n := taken.Load(); n < full-1000 || n > 2*full+1000 {
			t.Errorf("%d bytes were taken before the writer had to wait, want at most %d being written and %d buffered", n, full, full)
		}
		host.Close()
		<-stopped
		if err := w.close(); err == nil {
			t.Error("close says that all was written")
		}
	})
}

func TestALineComesAtOnce(t *testing.T) {
	t.Parallel()
	seen := make(chan none, 1)
	body := func(_ context.Context, x *Execution, _ none) error {
		x.Output("a line")
		<-seen
		return nil
	}
	playWatched(t.Context(), t, body, sdktest.Host{Watch: func(sdktest.Record) { seen <- none{} }})
}

func TestNamedOutputsAndSecrets(t *testing.T) {
	t.Parallel()
	got := play(t, func(_ context.Context, x *Execution, _ none) error {
		x.NamedOutputs.Set("text", "as it is")
		x.NamedOutputs.Set("list", []int{1, 2})
		x.NamedOutputs.Set("secret", secret.New("hunter2"))
		x.NamedOutputs.Set("gone", 1)
		x.NamedOutputs.Delete("gone")
		if v, ok := x.NamedOutputs.Get("list"); !ok || v != "[1,2]" {
			return fmt.Errorf("Get gives %q, %v", v, ok)
		}
		if old, ok := x.PersistentSecrets.Get("admin-password"); !ok || old.Reveal() != "old" {
			return fmt.Errorf("the old secret is %q, %v", old.Reveal(), ok)
		}
		for _, name := range []string{"", "a_b", "ä", strings.Repeat("a", 128)} {
			if x.PersistentSecrets.Set(name, secret.New("v")) == nil || x.PersistentSecrets.Delete(name) == nil {
				return fmt.Errorf("the name %q was taken", name)
			}
		}
		if x.PersistentSecrets.Set("binary", secret.New("\xff")) == nil {
			return errors.New("a value that is not UTF-8 was taken")
		}
		if err := errors.Join(x.PersistentSecrets.Set("Admin-PASSWORD", secret.New("new")), x.PersistentSecrets.Delete("Other")); err != nil {
			return err
		}
		if now, _ := x.PersistentSecrets.Get("admin-password"); now.Reveal() != "new" {
			return fmt.Errorf("the new secret is %q", now.Reveal())
		}
		if _, ok := x.PersistentSecrets.Get("other"); ok {
			return errors.New("the deleted secret is there")
		}
		return nil
	}, wire.Start{Secrets: map[string]secret.Text{"Admin-Password": secret.New("old"), "OTHER": secret.New("x")}})

	want := map[string]string{"text": "as it is", "list": "[1,2]", "secret": "[redacted]"}
	if d := cmp.Diff(want, got.End.NamedOutputs); d != "" || got.End.Failure != "" {
		t.Errorf("failure %q, named outputs (-want +got):\n%s", got.End.Failure, d)
	}
	if s := got.Secrets; len(s) != 2 || s[0].Name != "Admin-PASSWORD" || s[0].Value.Reveal() != "new" || s[1].Name != "Other" || s[1].Value != nil {
		t.Errorf("the changes of secrets are %v", s)
	}
}

func TestNamedOutputsThatFitNoFrame(t *testing.T) {
	t.Parallel()
	got := play(t, func(_ context.Context, x *Execution, _ none) error {
		x.NamedOutputs.Set("huge", strings.Repeat("x", wire.MaxMessage))
		return nil
	}, wire.Start{})
	if !strings.Contains(got.End.Failure, "named outputs are larger than") {
		t.Errorf("the failure is %q", got.End.Failure)
	}
}

func TestWhatTheExecutionIsTold(t *testing.T) {
	t.Parallel()
	start := wire.Start{
		ExecutionID: "id", ExecutionName: "name", TimeoutSeconds: 60, VCAddress: "vc", SddcDNSSuffix: "sddc.test", SddcResourceID: "/r",
		AadAuthority: "https://login", Grant: wire.Grant{CA: "pem", SSH: []wire.SSHEndpoint{{Endpoint: wire.Endpoint{Host: "VC"}}}},
	}
	before := time.Now()
	got := play(t, func(_ context.Context, x *Execution, _ none) error {
		x.Output([]any{x.ID, x.Name, x.VCAddress, x.SddcDNSSuffix, x.SddcResourceID, x.AadAuthority, x.Grant().CA, x.Hosts()})
		if d := x.Deadline.Sub(before); d < time.Minute || d > 2*time.Minute {
			return fmt.Errorf("the deadline is in %v", d)
		}
		return nil
	}, start)
	if want := `["id","name","vc","sddc.test","/r","https://login","pem",["VC"]]` + "\n"; got.Text(wire.KindOutput) != want || got.End.Failure != "" {
		t.Errorf("it was told %s (failure %q), want %s", got.Text(wire.KindOutput), got.End.Failure, want)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	usage(&out, pkg, []Declared{Cmdlet[none]{Name: "Get-It", Description: "Gets it.", Run: func(context.Context, *Execution, none) error { return nil }}})
	for _, want := range []string{"Contoso.Test 1.2.3", "Get-It", "Gets it.", "airlock package pack"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &out)
		}
	}
	out.Reset()
	usage(&out, pkg, []Declared{Cmdlet[none]{Name: "Get-It"}})
	if !strings.Contains(out.String(), "the field Run is missing") {
		t.Errorf("it does not say what is wrong:\n%s", &out)
	}
}

func TestDeclarations(t *testing.T) {
	t.Parallel()
	type params struct {
		Cluster string       `description:"which one"`
		Keep    *int32       `airlock:"name=KeepCount"`
		Ratio   float64      `airlock:"optional"`
		Force   bool         `airlock:"optional"`
		Key     SecureString `airlock:"optional"`
		Login   *Credential
	}
	run := func(context.Context, *Execution, params) error { return nil }
	got, err := declarations(Package{"P", "1.0.0", "d", "c", "u"}, []Declared{
		Cmdlet[params]{Name: "Start-It", Description: "Starts it.", Timeout: time.Minute, UpdatesSDDC: true, AutomationOnly: true, Lifecycle: manifest.Install, Run: run},
		Cmdlet[none]{Name: "Get-It", Run: func(context.Context, *Execution, none) error { return nil }},
	})
	want := manifest.Manifest{
		ManifestVersion: 1, Runtime: manifest.Go, Name: "P", Version: "1.0.0", Description: "d", Company: "c", ProjectURI: "u",
		Cmdlets: []manifest.Cmdlet{
			{
				Name: "Start-It", Description: "Starts it.", TimeoutSeconds: 60, UpdatesSDDC: true, AutomationOnly: true, Lifecycle: manifest.Install,
				Parameters: []manifest.Parameter{
					{Name: "Cluster", Description: "which one", Type: manifest.String, Required: true},
					{Name: "KeepCount", Type: manifest.Int},
					{Name: "Ratio", Type: manifest.Float},
					{Name: "Force", Type: manifest.Bool},
					{Name: "Key", Type: manifest.SecureString},
					{Name: "Login", Type: manifest.Credential},
				},
			},
			{Name: "Get-It", Parameters: []manifest.Parameter{}},
		},
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v, declarations (-want +got):\n%s", err, d)
	}
	for says, wrong := range map[string]Declared{
		"want a struct":      Cmdlet[int]{Name: "Start-It", Run: func(context.Context, *Execution, int) error { return nil }},
		"type []string":      Cmdlet[struct{ A []string }]{Name: "Start-It"},
		"whole seconds":      Cmdlet[none]{Name: "Start-It", Timeout: 61 * time.Minute},
		"form Verb-Noun":     Cmdlet[none]{Name: "start", Run: func(context.Context, *Execution, none) error { return nil }},
		"there twice":        Cmdlet[struct{ A, B string }]{Name: "Start-It", Run: func(context.Context, *Execution, struct{ A, B string }) error { return nil }},
		"Run is missing":     Cmdlet[none]{Name: "Start-It"},
		"type chan struct{}": Cmdlet[struct{ A chan none }]{Name: "Start-It"},
	} {
		list := []Declared{wrong}
		if says == "there twice" {
			list = append(list, wrong)
		}
		if _, err := declarations(pkg, list); err == nil || !strings.Contains(err.Error(), strings.Split(says, "{")[0]) {
			t.Errorf("%v, want an error that says %q", err, says)
		}
	}
}

func BenchmarkLines(b *testing.B) {
	host, script := net.Pipe()
	defer host.Close()
	w := newWriter(script)
	read := make(chan int64, 1)
	go func() {
		var n int64
		for frames := wire.NewReader(host); ; n++ {
			if _, err := frames.Next(); err != nil {
				read <- n
				return
			}
		}
	}()
	line := strings.Repeat("x", 80)
	b.ReportAllocs()
	for b.Loop() {
		w.text(wire.KindOutput, line)
	}
	if err := w.close(); err != nil {
		b.Fatal(err)
	}
	script.Close()
	if n := <-read; n != int64(b.N) {
		b.Fatalf("%d lines arrived of %d", n, b.N)
	}
}
