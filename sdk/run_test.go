package sdk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/sdktest"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sdk/wire"
)

type allTypes struct {
	Text   string
	Count  int
	Small  *int32
	Ratio  float64
	Force  *bool
	Key    SecureString
	Login  *Credential
	Absent *string `airlock:"optional"`
	Zero   int     `airlock:"optional,name=Nothing"`
}

func arguments() map[string]wire.Argument {
	return map[string]wire.Argument{
		"text":  {Type: manifest.String, Value: "a b"},
		"COUNT": {Type: manifest.Int, Value: "-2147483648"},
		"Small": {Type: manifest.Int, Value: "0"},
		"ratio": {Type: manifest.Float, Value: "2.5e-3"},
		"Force": {Type: manifest.Bool, Value: "TRUE"},
		"Key":   {Type: manifest.SecureString, Secret: secret.New("hunter2")},
		"Login": {Type: manifest.Credential, Username: "u", Secret: secret.New("swordfish")},
	}
}

func TestParametersOfAllTypes(t *testing.T) {
	t.Parallel()
	got := play(t, func(_ context.Context, x *Execution, p allTypes) error {
		switch {
		case p.Text != "a b", p.Count != -2147483648, p.Small == nil || *p.Small != 0, p.Ratio != 0.0025, p.Force == nil || !*p.Force:
			return errors.New("a plain value is wrong")
		case p.Key.Reveal() != "hunter2", p.Login.Username != "u", p.Login.Password.Reveal() != "swordfish":
			return errors.New("a secure value is wrong")
		case p.Absent != nil, p.Zero != 0:
			return errors.New("a value came from nowhere")
		}
		return nil
	}, wire.Start{Parameters: arguments()})
	if got.End.Failure != "" {
		t.Error(got.End.Failure)
	}
}

func TestParametersThatDoNotConvert(t *testing.T) {
	t.Parallel()
	for says, change := range map[string]func(map[string]wire.Argument){
		"the parameter Text is required, and missing":                          func(a map[string]wire.Argument) { delete(a, "text") },
		"the cmdlet has no parameter Extra":                                    func(a map[string]wire.Argument) { a["Extra"] = wire.Argument{} },
		"is given twice":                                                       func(a map[string]wire.Argument) { a["TEXT"] = a["text"] },
		"the parameter Count has the type Int, and was given as String":        func(a map[string]wire.Argument) { a["COUNT"] = wire.Argument{Type: manifest.String, Value: "1"} },
		"the parameter Key has the type SecureString, and was given as String": func(a map[string]wire.Argument) { a["Key"] = wire.Argument{Type: manifest.String, Value: "1"} },
		`the parameter Count is "2147483648", want a whole number from -2147483648 to 2147483647`: func(a map[string]wire.Argument) {
			a["COUNT"] = wire.Argument{Type: manifest.Int, Value: "2147483648"}
		},
		`the parameter Ratio is "NaN", want a number`:      func(a map[string]wire.Argument) { a["ratio"] = wire.Argument{Type: manifest.Float, Value: "NaN"} },
		`the parameter Ratio is "2,5", want a number`:      func(a map[string]wire.Argument) { a["ratio"] = wire.Argument{Type: manifest.Float, Value: "2,5"} },
		`the parameter Force is "yes", want true or false`: func(a map[string]wire.Argument) { a["Force"] = wire.Argument{Type: manifest.Bool, Value: "yes"} },
	} {
		args := arguments()
		change(args)
		got := play(t, func(context.Context, *Execution, allTypes) error { return errors.New("it ran") }, wire.Start{Parameters: args})
		if !strings.Contains(got.End.Failure, says) || strings.Contains(got.End.Failure, "hunter2") {
			t.Errorf("the failure is %q, want %q", got.End.Failure, says)
		}
	}
}

func TestHowACmdletFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		body        func(context.Context, *Execution, none) error
		says, error string // the failure begins and the Error stream contains
	}{
		{"an error", func(context.Context, *Execution, none) error { return errors.New("the disk is full; free some") }, "the disk is full; free some", ""},
		{"several lines", func(context.Context, *Execution, none) error { return errors.New("\nfirst \nsecond") }, "first", "second"},
		{"a long line", func(context.Context, *Execution, none) error { return errors.New(strings.Repeat("ä", maxFailure)) }, "ää", "äää"},
		{"no words", func(context.Context, *Execution, none) error { return errors.New(" ") }, "the cmdlet failed and did not say why", ""},
		{"a panic", func(context.Context, *Execution, none) error { panic("out of cheese") }, "panic: out of cheese", "run_test.go"},
		{"an index", func(_ context.Context, x *Execution, _ none) error { x.Output(x.Hosts()[0]); return nil }, "panic: runtime error: index out of range", "run_test.go"},
		{"Goexit", func(context.Context, *Execution, none) error { runtime.Goexit(); return nil }, "the cmdlet left its goroutine", ""},
	} {
		got := play(t, func(ctx context.Context, x *Execution, p none) error {
			x.NamedOutputs.Set("never", "kept")
			return c.body(ctx, x, p)
		}, wire.Start{})
		errs := got.Text(wire.KindError)
		if f := got.End.Failure; !strings.HasPrefix(f, c.says) || strings.Contains(f, "\n") || len(f) > maxFailure {
			t.Errorf("%s: the failure is %q, want %q", c.name, f, c.says)
		}
		if (c.error == "") != (errs == "") || !strings.Contains(errs, c.error) {
			t.Errorf("%s: the Error stream is %.200q, want %q", c.name, errs, c.error)
		}
		if got.End.NamedOutputs != nil {
			t.Errorf("%s: named outputs %v of a cmdlet that failed", c.name, got.End.NamedOutputs)
		}
	}
}

func TestUnknownCmdlet(t *testing.T) {
	t.Parallel()
	body := func(context.Context, *Execution, none) error { return errors.New("it ran") }
	if got := play(t, body, wire.Start{Cmdlet: "Get-Other"}); got.End.Failure != "the package Contoso.Test 1.2.3 has no cmdlet Get-Other" {
		t.Errorf("the failure is %q", got.End.Failure)
	}
	if got := play(t, body, wire.Start{Cmdlet: "test-IT"}); got.End.Failure != "it ran" {
		t.Errorf("the name in another case: %q", got.End.Failure)
	}
}

func TestCancelEndsTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	got := playWatched(ctx, t, func(ctx context.Context, x *Execution, _ none) error {
		x.Output("waiting")
		<-ctx.Done()
		x.Output("cleaning up")
		return context.Cause(ctx)
	}, sdktest.Host{Watch: func(r sdktest.Record) {
		if r.Text == "waiting" {
			cancel(errors.New("the time is over"))
		}
	}})
	if want := "the cmdlet was asked to end: the time is over"; got.End.Failure != want || got.Text(wire.KindOutput) != "waiting\ncleaning up\n" {
		t.Errorf("failure %q, output %q", got.End.Failure, got.Text(wire.KindOutput))
	}
}

func TestNothingFollowsTheEnd(t *testing.T) {
	t.Parallel()
	late := make(chan *Execution, 1)
	play(t, func(_ context.Context, x *Execution, _ none) error {
		late <- x
		return nil
	}, wire.Start{})
	x := <-late
	x.Output("too late")
	if err := x.PersistentSecrets.Set("a", secret.New("b")); !errors.Is(err, errEnded) {
		t.Errorf("a secret after the end: %v", err)
	}
	if _, ok := x.PersistentSecrets.Get("a"); ok {
		t.Error("the secret that could not be set is there")
	}
}

// A goroutine that the cmdlet left behind may write while the end is on its way.
func TestTheEndIsTheLastFrame(t *testing.T) {
	t.Parallel()
	var sent bytes.Buffer
	w := newWriter(&sent)
	if err := sendEnd(w, wire.End{}); err != nil {
		t.Fatal(err)
	}
	w.text(wire.KindOutput, "too late")
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	frames := wire.NewReader(&sent)
	if f, err := frames.Next(); err != nil || f.Kind != wire.KindEnd {
		t.Errorf("%#x, %v; want the End", byte(f.Kind), err)
	}
	if f, err := frames.Next(); err != io.EOF {
		t.Errorf("%#x follows the End, %v", byte(f.Kind), err)
	}
}

// A host that goes away cancels the cmdlet, and the program ends, whether the cmdlet heeds its context or not.
func TestHostGoesAway(t *testing.T) {
	t.Parallel()
	for _, heeds := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			host, script := net.Pipe()
			release, canceled := make(chan none), make(chan none)
			ended := make(chan error, 1)
			start := time.Now()
			go func() {
				ended <- run(script, pkg, []Declared{Cmdlet[none]{Name: "Test-It", Run: func(ctx context.Context, _ *Execution, _ none) error {
					<-ctx.Done()
					close(canceled)
					if !heeds {
						<-release
					}
					return nil
				}}})
			}()
			begin(t, host)
			host.Close()
			<-canceled
			err := <-ended
			took := time.Since(start) // by the bubble's clock
			close(release)
			if want := map[bool]time.Duration{true: 0, false: grace}[heeds]; !errors.Is(err, errHostGone) && !errors.Is(err, io.ErrClosedPipe) || took != want {
				t.Errorf("heeds %v: ended after %v with %v", heeds, took, err)
			}
		})
	}
}

// begin is the host's opening, frame by frame.
func begin(t *testing.T, host net.Conn) {
	t.Helper()
	if f, err := wire.NewReader(host).Next(); err != nil || f.Kind != wire.KindHello {
		t.Fatalf("%#x, %v; want a Hello", byte(f.Kind), err)
	}
	payload, err := wire.EncodeStart(wire.Start{Protocol: wire.Version, Cmdlet: "Test-It"})
	if err != nil {
		t.Fatal(err)
	}
	sendFrame(t, host, wire.KindStart, payload)
}

func sendFrame(t *testing.T, host net.Conn, kind wire.Kind, payload []byte) {
	t.Helper()
	frame, err := wire.AppendFrame(nil, kind, payload)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := host.Write(frame); err != nil {
		t.Fatal(err)
	}
}

func TestHostOutOfPlace(t *testing.T) {
	t.Parallel()
	waits := Cmdlet[none]{Name: "Test-It", Run: func(ctx context.Context, _ *Execution, _ none) error { <-ctx.Done(); return nil }}
	for says, speak := range map[string]func(*testing.T, net.Conn){
		"in place of Start":          func(t *testing.T, c net.Conn) { sendFrame(t, c, wire.KindCancel, []byte("{}")) },
		"not a JSON object":          func(t *testing.T, c net.Conn) { sendFrame(t, c, wire.KindStart, []byte("no JSON")) },
		"version 0 of the protocol":  func(t *testing.T, c net.Conn) { sendFrame(t, c, wire.KindStart, []byte("{}")) },
		"the host closed the connec": func(t *testing.T, c net.Conn) { c.Close() },
		"unknown kind of frame 0x7f": func(t *testing.T, c net.Conn) { c.Write([]byte{0, 0, 0, 1, 0x7f}) },
		"unexpected EOF":             func(t *testing.T, c net.Conn) { c.Write([]byte{0, 0, 0, 9, 0x20, '{'}); c.Close() },
	} {
		host, script := pair(t)
		ended := make(chan error, 1)
		go func() { ended <- run(script, pkg, []Declared{waits}) }()
		if f, err := wire.NewReader(host).Next(); err != nil || f.Kind != wire.KindHello {
			t.Fatalf("%#x, %v; want a Hello", byte(f.Kind), err)
		}
		speak(t, host)
		if err := <-ended; err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	for says, speak := range map[string]func(*testing.T, net.Conn){
		"0x20 is out of place": func(t *testing.T, c net.Conn) { sendFrame(t, c, wire.KindStart, []byte("{}")) },
		"0x21 is out of place": func(t *testing.T, c net.Conn) {
			sendFrame(t, c, wire.KindCancel, []byte("{}"))
			sendFrame(t, c, wire.KindCancel, []byte("{}"))
		},
		"0x1 is out of place": func(t *testing.T, c net.Conn) { sendFrame(t, c, wire.KindOutput, nil) },
	} {
		host, script := pair(t)
		ended := make(chan error, 1)
		release := make(chan none)
		stubborn := Cmdlet[none]{Name: "Test-It", Run: func(ctx context.Context, _ *Execution, _ none) error { <-release; return nil }}
		go func() { ended <- run(script, pkg, []Declared{stubborn}) }()
		begin(t, host)
		speak(t, host)
		if _, err := io.ReadAll(host); err != nil { // until the script has closed
			t.Errorf("%s: %v", says, err)
		}
		close(release)
		if err := <-ended; err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

// FuzzHost speaks to a script with whatever bytes: the script ends by itself, without a panic, whatever the host says.
func FuzzHost(f *testing.F) {
	start, err := wire.EncodeStart(wire.Start{Protocol: wire.Version, Cmdlet: "Test-It", Parameters: arguments()})
	if err != nil {
		f.Fatal(err)
	}
	whole, err := wire.AppendFrame(nil, wire.KindStart, start)
	if err != nil {
		f.Fatal(err)
	}
	cancel, err := wire.AppendFrame(nil, wire.KindCancel, []byte(`{"reason":"r","graceSeconds":5}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(append(append([]byte{}, whole...), cancel...))
	f.Add(append(append(append([]byte{}, whole...), cancel...), cancel...))
	f.Add(cancel)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x20})
	f.Fuzz(func(t *testing.T, said []byte) {
		host, script := net.Pipe()
		ended := make(chan error, 1)
		go func() {
			ended <- run(script, pkg, []Declared{Cmdlet[allTypes]{Name: "Test-It", Run: func(_ context.Context, x *Execution, p allTypes) error {
				x.Output(p)
				return x.PersistentSecrets.Set("key", p.Key)
			}}})
		}()
		heard := make(chan []wire.Kind, 1)
		go func() {
			var kinds []wire.Kind
			frames := wire.NewReader(host)
			for fr, err := frames.Next(); err == nil; fr, err = frames.Next() {
				kinds = append(kinds, fr.Kind)
			}
			heard <- kinds
		}()
		_, _ = host.Write(said) // fails where the script has had enough
		_, err := wire.NewReader(bytes.NewReader(said)).Next()
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			host.Close() // the script waits for more, rightly
		}
		err = <-ended
		host.Close()
		kinds := <-heard
		if len(kinds) > 0 && kinds[0] != wire.KindHello {
			t.Fatalf("the script said %v, want a Hello first", kinds)
		}
		if told := slices.Contains(kinds, wire.KindEnd); told != (err == nil) || told && kinds[len(kinds)-1] != wire.KindEnd {
			t.Fatalf("the script said %v, and ended with %v", kinds, err)
		}
	})
}
