package powershell

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
	"github.com/airlock-run/airlock/executor/internal/psrp/psrptest"
	"github.com/airlock-run/airlock/executor/internal/runtime"
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
