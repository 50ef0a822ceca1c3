package powershell

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
	"github.com/airlock-run/airlock/executor/internal/psrp/psrptest"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/executor/internal/runtimetest"
	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/secret"
)

// answering is a PowerShell whose cmdlet ends well, and that answers what asks for a variable.
func answering(variable string, answer func(p *psrptest.Pipeline)) *world {
	return &world{
		cmdlet: func(p *psrptest.Pipeline) { p.Completed() },
		others: func(p *psrptest.Pipeline) bool {
			c := p.Statements[0][0]
			is := strings.HasSuffix(c.Text, "Get-Variable") && c.Argument("Name").Str() == variable
			if is {
				answer(p)
				p.Completed()
			}
			return is
		},
	}
}

func table(pairs ...any) *clixml.Value {
	t := clixml.Table()
	for i := 0; i < len(pairs); i += 2 {
		t.Pairs = append(t.Pairs, clixml.Pair{Key: clixml.Text(pairs[i].(string)), Value: pairs[i+1].(*clixml.Value)})
	}
	return t
}

// An execution does not succeed without what its cmdlet left.
func TestWhatIsLeftDoesNotArrive(t *testing.T) {
	t.Parallel()
	deep := clixml.Text("x")
	for range 2 * clixml.MaxDepth {
		deep = clixml.ListOf(deep)
	}
	for name, answer := range map[string]func(p *psrptest.Pipeline){
		"too deep":         func(p *psrptest.Pipeline) { p.Output(table("kept", clixml.Text("kept"), "new", deep)) },
		"too large":        func(p *psrptest.Pipeline) { p.Output(table("new", clixml.Text(strings.Repeat("x", 33<<20)))) },
		"broken by others": func(p *psrptest.Pipeline) { p.Junk([]byte("<Data Stream='Default' PSGuid='a child of the script\n")) },
		"several":          func(p *psrptest.Pipeline) { p.Output(table()); p.Output(table("new", clixml.Text("x"))) },
		"text":             func(p *psrptest.Pipeline) { p.Text("kept") },
		"a foreign secret": func(p *psrptest.Pipeline) { p.Output(table("new", clixml.Primitive("SS", "bm90IHNlYWxlZA=="))) },
		"no base64":        func(p *psrptest.Pipeline) { p.Output(table("new", clixml.Primitive("SS", "-"))) },
		"keys of one name": func(p *psrptest.Pipeline) { p.Output(table("new", clixml.Text("x"), "NEW", clixml.Text("y"))) },
		"half a character": func(p *psrptest.Pipeline) { p.Output(table("new", clixml.Text("x\ufffd"))) },
	} {
		for _, variable := range []string{persistentSecrets, namedOutputs} {
			if variable == namedOutputs && slices.Contains([]string{"a foreign secret", "no base64", "keys of one name", "half a character"}, name) {
				continue // a SecureString stays closed there, names have a case, and text may be broken
			}
			end, _ := answering(variable, answer).do(t)
			message := errors.For(end.Err, "").Message
			if !errors.Has(end.Err, errors.ScriptFailed) || !strings.Contains(message, "$"+variable) || end.NamedOutputs != nil {
				t.Errorf("%s in $%s: it ends with %v, %q", name, variable, end, message)
			}
		}
	}
}

// A variable that is not there any more is none that could not be read.
func TestVariableIsGone(t *testing.T) {
	t.Parallel()
	for _, variable := range []string{persistentSecrets, namedOutputs} {
		end, h := answering(variable, func(*psrptest.Pipeline) {}).do(t)
		if end.Err != nil || len(h.Changes()) > 0 {
			t.Errorf("$%s: %v, %v", variable, end.Err, h.Changes())
		}
	}
}

// A SecureString that something was added to comes in an object.
func TestSecureStringInAnObject(t *testing.T) {
	t.Parallel()
	said := "System.Security.SecureString"
	for _, text := range []*string{nil, &said} {
		var w *world
		w = answering(persistentSecrets, func(p *psrptest.Pipeline) {
			sealed, err := w.server.Seal("made-up")
			if err != nil {
				t.Error(err)
			}
			p.Output(table("new", &clixml.Value{Tag: "Obj", Base: sealed, String: text}))
		})
		end, h := w.do(t, func(p *runtime.Prepared) { // for the session key
			p.Execution.Parameters = []domain.Parameter{{Name: "Pass", Type: manifest.SecureString, Secure: true}}
			p.Secure = domain.SecureValues{"pass": {Password: secret.New("hunter22")}}
		})
		if v := h.Changes()["new"]; end.Err != nil || v == nil || v.Reveal() != "made-up" {
			t.Errorf("%v, %v", end.Err, h.Changes())
		}
	}
}

// dead is a room in which PowerShell ends before it says anything but some words.
type dead struct {
	*world
	says string
}

func (d dead) Start(c sandbox.Command) (sandbox.Process, error) {
	fmt.Fprint(c.Stdout, d.says)
	d.served = make(chan struct{})
	close(d.served)
	return d, nil
}

func (d dead) Kill()             {}
func (d dead) Wait() sandbox.End { return sandbox.End{How: "exit status 131"} }

// What a PowerShell said before it died is read, also where the first write to it fails.
func TestLastWords(t *testing.T) {
	t.Parallel()
	const says = "You must install .NET to run this application."
	for range 20 {
		end, h := new(world).do(t, func(p *runtime.Prepared) { p.Room = dead{new(world), says + "\n"} })
		if got := errors.For(end.Err, "").Message; !errors.Has(end.Err, errors.ScriptRuntimeMissing) || !strings.Contains(got, says) {
			t.Fatalf("it ends with %q", got)
		}
		if got := h.Texts(domain.Output); !slices.Equal(got, []string{says}) {
			t.Fatalf("output: %q", got)
		}
	}
}

// played answers pipelines as the bytes say, and keeps whether all of them ended well.
type played struct {
	*world
	script []byte
	isWell bool
	ran    bool // the cmdlet
}

// next is the next byte of the script, 0 at its end.
func (w *played) next() (b byte) {
	if len(w.script) > 0 {
		b, w.script = w.script[0], w.script[1:]
	}
	return b
}

func (w *played) bytes() []byte {
	n := min(int(w.next()), len(w.script))
	b := w.script[:n]
	w.script = w.script[n:]
	return b
}

// answer says what the script has up to the end of a pipeline.
func (w *played) answer(p *psrptest.Pipeline) bool {
	name := p.Statements[0][0].Text
	counts, exits := !p.Statements[0][0].Script, false // cmdlets do without what our scripts make
	w.ran = w.ran || name == "Test-It"
	for {
		switch w.next() % 16 {
		case 0:
			w.isWell = w.isWell && !(exits && counts)
			p.Completed()
			return true
		case 1:
			p.Text(string(w.bytes()))
		case 2:
			p.Output(nil)
		case 3:
			p.Output(table("new", clixml.Text(string(w.bytes())), "Kept", clixml.Null()))
		case 4:
			p.Output(clixml.ListOf(table("n", clixml.Primitive("I32", string(w.bytes()))), clixml.Primitive("BA", string(w.bytes()))))
		case 5:
			p.Junk(append(w.bytes(), '\n'))
		case 6:
			p.Junk(w.bytes())
		case 7:
			p.Error(psrptest.Failure{Message: string(w.bytes()), Trace: string(w.bytes())})
			w.isWell = w.isWell && name != "Set-Variable" // which cannot fail
		case 8:
			code := int(int8(w.next()))
			p.Exit(code)
			exits = code != 0
		case 9:
			p.HostCall(int(int8(w.next())), string(w.bytes()), "m", clixml.Text(string(w.bytes())))
		case 10:
			p.Host(string(w.bytes()))
		case 11:
			p.Progress(string(w.bytes()), string(w.bytes()), int(w.next()))
		case 12:
			p.Warning(string(w.bytes()))
		case 13:
			p.Failed(psrptest.Failure{Message: string(w.bytes()), Trace: string(w.bytes())})
			w.isWell = w.isWell && !counts
			return true
		case 14:
			p.EndStopped()
			w.isWell = w.isWell && !counts
			return true
		case 15:
			w.Kill()
			w.isWell = false
			return true
		}
	}
}

// Whatever a PowerShell answers, the run comes to an end, and to a good one only where all that was asked of it ended well.
func FuzzRun(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x00\x00\x00\x00\x00\x01\x02hi\x0a\x02hi\x0b\x01a\x01b\x07\x00\x03\x04new!\x00\x03\x01x\x00"))
	f.Add([]byte("\x00\x00\x00\x00\x00\x07\x02no\x1fat A, /f.psm1: line 3\x08\x04\x00\x03\x00\x00\x04\x011\x00"))
	f.Add([]byte("\x00\x00\x00\x00\x00\x05\x20<Data Stream='Default' PSGuid=''>\x06\x03abc\x0f"))
	f.Add([]byte("\x00\x00\x00\x00\x0d\x02no\x1fat A, /f.psm1: line 3"))
	f.Fuzz(func(t *testing.T, script []byte) {
		w := &played{world: &world{}, script: script, isWell: true}
		w.others = w.answer
		end, h := w.do(t)
		if end.Err == nil && !(w.isWell && w.ran) {
			t.Errorf("it ended well, with the cmdlet run: %v", w.ran)
		}
		if h.Starts() > 1 || h.Starts() == 0 && len(h.Changes()) > 0 || w.ran != (h.Starts() == 1) {
			t.Errorf("started %d times, the cmdlet run: %v, changes: %v", h.Starts(), w.ran, h.Changes())
		}
		if end.Err != nil && end.NamedOutputs != nil {
			t.Errorf("named outputs of %v", end.Err)
		}
	})
}

// gated is a host that takes the first line only when it may.
type gated struct {
	*runtimetest.Host
	once  sync.Once
	first chan struct{} // closed when the first line is there
	open  chan struct{} // closed when it is taken
}

func (h *gated) Write(s domain.Stream, text []byte) {
	h.once.Do(func() {
		close(h.first)
		<-h.open
	})
	h.Host.Write(s, text)
}

// What a script has written before it is killed is not lost, as it is not for Go.
func TestOutputBeforeTheKill(t *testing.T) {
	t.Parallel()
	const lines = 10 // which any pipe holds
	wrote := make(chan struct{})
	w := &world{}
	w.cmdlet = func(p *psrptest.Pipeline) {
		for i := range lines {
			p.Text(fmt.Sprint("line ", i))
		}
		close(wrote)
		<-p.Gone()
	}
	h := &gated{runtimetest.NewHost(), sync.Once{}, make(chan struct{}), make(chan struct{})}
	ctx, kill := context.WithCancel(t.Context())
	ended := make(chan runtime.End)
	go func() { ended <- Runtime{Path: "/bin/sh"}.Run(ctx, w.prepared(t), nil, h) }()
	<-h.first
	<-wrote
	kill()
	<-w.served // it is dead
	close(h.open)
	if end := <-ended; end.Err == nil {
		t.Error("it ended well")
	}
	if got := h.Texts(domain.Output); len(got) != lines {
		t.Errorf("%d lines of %d", len(got), lines)
	}
}
