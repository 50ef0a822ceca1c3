package powershell

import (
	"fmt"
	"os"
	"path/filepath"
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

// world is a PowerShell that is a goroutine of the test, in a room that is none: what it is asked, and what it answers.
type world struct {
	sandbox.Room
	cmdlet func(p *psrptest.Pipeline)           // the pipeline of the cmdlet
	left   map[string]func() *clixml.Value      // variables after it
	others func(p *psrptest.Pipeline) (is bool) // takes a pipeline of the preparation; nil for none

	server  psrptest.Server
	command sandbox.Command
	mu      sync.Mutex
	asked   []*psrptest.Pipeline
	input   *os.File
	served  chan struct{}
}

func (w *world) Libraries() string { return "/modules" }

// Start implements sandbox.Room.
func (w *world) Start(c sandbox.Command) (sandbox.Process, error) {
	w.command, w.served = c, make(chan struct{})
	w.server.Run = w.run
	input, output := reopen(c.Stdin), reopen(c.Stdout)
	w.input = input
	go func() {
		defer close(w.served)
		defer output.Close()
		_ = w.server.Serve(input, output)
	}()
	return w, nil
}

// reopen makes a file of the test's own of one that the caller closes.
func reopen(f *os.File) *os.File {
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	return again
}

// Kill and Wait implement sandbox.Process.
func (w *world) Kill() { w.input.Close() }

func (w *world) Wait() sandbox.End {
	<-w.served
	return sandbox.End{How: "signal: killed"}
}

func (w *world) run(p *psrptest.Pipeline) {
	w.mu.Lock()
	w.asked = append(w.asked, p)
	w.mu.Unlock()
	c := p.Statements[0][0]
	switch {
	case w.others != nil && w.others(p):
	case c.Text == "Test-It":
		w.cmdlet(p)
	case strings.HasSuffix(c.Text, "Get-Variable"):
		if value := w.left[c.Argument("Name").Str()]; value != nil {
			p.Output(value())
		}
		p.Completed()
	default:
		p.Completed()
	}
}

// do runs the cmdlet Test-It of the package Demo.
func (w *world) do(t testing.TB, edit ...func(*runtime.Prepared)) (runtime.End, *runtimetest.Host) {
	t.Helper()
	h := runtimetest.NewHost()
	return Runtime{Path: "/bin/sh"}.Run(t.Context(), w.prepared(t, edit...), nil, h), h
}

func (w *world) prepared(t testing.TB, edit ...func(*runtime.Prepared)) runtime.Prepared {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Demo.psd1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := runtime.Prepared{Package: dir, Room: w, Cmdlet: manifest.Cmdlet{Name: "Test-It"}, Secrets: map[string]secret.Text{"Kept": secret.New("kept"), "Old": secret.New("old")}}
	p.Execution.Package.Name = "demo"
	p.Cloud = domain.PrivateCloud{ID: domain.CloudID{Subscription: "s", ResourceGroup: "g", Name: "c"}, VCenter: "vc.test"}
	for _, e := range edit {
		e(&p)
	}
	return p
}

// global is what the preparation has set a variable to.
func (w *world) global(name string) *clixml.Value {
	for _, p := range w.asked {
		for _, s := range p.Statements {
			if s[0].Text == "Set-Variable" && s[0].Argument("Name").Str() == name {
				return s[0].Argument("Value")
			}
		}
	}
	return nil
}

func TestRun(t *testing.T) {
	w := &world{
		cmdlet: func(p *psrptest.Pipeline) {
			p.Text("output")
			p.Warning("warning")
			p.Host("host")
			p.Verbose("verbose")
			p.Error(psrptest.Failure{Message: "goes on"})
			p.Completed()
		},
		left: map[string]func() *clixml.Value{
			"NamedOutputs": func() *clixml.Value {
				return clixml.Table(clixml.Pair{Key: clixml.Text("n"), Value: clixml.Primitive("I32", "7")})
			},
			"PersistentSecrets": func() *clixml.Value {
				return clixml.Table(clixml.Pair{Key: clixml.Text("KEPT"), Value: clixml.Text("kept")}, clixml.Pair{Key: clixml.Text("New"), Value: clixml.Text("new")})
			},
		},
	}
	end, h := w.do(t, func(p *runtime.Prepared) {
		p.Execution.Parameters = []domain.Parameter{{Name: "Count", Type: manifest.Int, Value: "3"}, {Name: "On", Type: manifest.Bool, Value: "TRUE"}}
		p.Execution.Hidden = []domain.Parameter{{Name: "Pass", Type: manifest.SecureString, Secure: true}}
		p.Secure = domain.SecureValues{"pass": {Password: secret.New("hunter22")}}
	})
	if end.Err != nil || end.NamedOutputs["n"] != "7" {
		t.Fatalf("it ends %+v", end)
	}
	for stream, want := range map[domain.Stream][]string{
		domain.Output: {"output"}, domain.Information: {"host"}, domain.Error: {"goes on"},
		domain.Warning: {"warning", "The persistent secret Old is not in $PersistentSecrets any more and stays as it was; to delete it, set it to $null."},
	} {
		if got := h.Texts(stream); !slices.Equal(got, want) {
			t.Errorf("%v: %q", stream, got)
		}
	}
	if changes := h.Changes(); len(changes) != 1 || changes["New"].Reveal() != "new" {
		t.Errorf("secrets: %v", changes)
	}
	if !slices.Equal(w.command.Args, []string{"-s", "-NoLogo", "-NoProfile"}) {
		t.Errorf("it is started with %q", w.command.Args)
	}
	if w.global("VC_ADDRESS").Str() != "vc.test" || w.global("PersistentSecrets").Entry("Old").Str() != "old" || !w.global("MOB_Connection").IsNull() {
		t.Error("a global is missing")
	}
	last := w.asked[len(w.asked)-3].Statements[0]
	if len(last) != 2 || !last[1].Script || !last[1].LocalScope {
		t.Errorf("the cmdlet's pipeline is %+v", last)
	}
	if sealed, err := w.server.Reveal(last[0].Argument("Pass")); err != nil || sealed != "hunter22" || last[0].Argument("Count").Text != "3" || last[0].Argument("On").Text != "true" {
		t.Errorf("the parameters are %+v, %v", last[0].Parameters, err)
	}
}

// What ends badly says why and where; what it made a secret by then is told all the same.
func TestFailures(t *testing.T) {
	trace := "at Inner<End>, /modules/Demo/Demo.psm1: line 3\nat Test-It, /modules/Demo/Demo.psm1: line 9"
	for want, cmdlet := range map[string]func(*psrptest.Pipeline){
		"The disk is too small (Inner, Demo.psm1 line 3).": func(p *psrptest.Pipeline) {
			p.Failed(psrptest.Failure{Message: "The disk is too small.", Trace: trace})
		},
		"boom.": func(p *psrptest.Pipeline) { p.Failed(psrptest.Failure{Message: "boom"}) },
		"The cmdlet called exit with the code 4.":      func(p *psrptest.Pipeline) { p.Exit(4); p.Completed() },
		"The pipeline has been stopped.":               func(p *psrptest.Pipeline) { p.EndStopped() },
		"No such item.":                                func(p *psrptest.Pipeline) { p.Failed(psrptest.Failure{Message: stopped + "No such item."}) },
		"PowerShell gives no message for the error E.": func(p *psrptest.Pipeline) { p.Failed(psrptest.Failure{ID: "E"}) },
	} {
		w := &world{cmdlet: cmdlet, left: map[string]func() *clixml.Value{"PersistentSecrets": func() *clixml.Value {
			return clixml.Table(clixml.Pair{Key: clixml.Text("New"), Value: clixml.Text("new")})
		}}}
		end, h := w.do(t)
		if got := errors.For(end.Err, "").Message; got != want || !errors.Has(end.Err, errors.ScriptFailed) || end.NamedOutputs != nil {
			t.Errorf("it ends %+v with %q, not %q", end, got, want)
		}
		if h.Changes()["New"] == nil {
			t.Errorf("%s: nobody was told of the secret", want)
		}
	}
}

// Nothing runs after what failed in the preparation.
func TestImportFails(t *testing.T) {
	w := &world{others: func(p *psrptest.Pipeline) bool {
		if p.Statements[0][0].Text != "Import-Module" {
			return false
		}
		p.Warning("at import")
		p.Failed(psrptest.Failure{Message: "no", Trace: "at <ScriptBlock>, /modules/Demo/Demo.psm1: line 3"})
		return true
	}}
	end, h := w.do(t)
	if got := errors.For(end.Err, "").Message; got != "The module demo could not be imported: no (Demo.psm1 line 3)." {
		t.Errorf("it ends with %q", got)
	}
	if h.Starts() != 0 || !slices.Equal(h.Texts(domain.Warning), []string{"at import"}) {
		t.Errorf("started %d times, warnings %q", h.Starts(), h.Texts(domain.Warning))
	}
	if path := w.asked[len(w.asked)-1].Statements[0][0].Argument("Name").Str(); path != "/modules/Demo/Demo.psd1" {
		t.Errorf("%s was imported", path)
	}
}

// A cmdlet runs without what most do without.
func TestNiceties(t *testing.T) {
	w := &world{
		others: func(p *psrptest.Pipeline) bool {
			if !p.Statements[0][0].Script {
				return false
			}
			p.Error(psrptest.Failure{Message: "not here."})
			p.Completed()
			return true
		},
		cmdlet: func(p *psrptest.Pipeline) { p.Text("ran"); p.Completed() },
	}
	end, h := w.do(t)
	if end.Err != nil || !slices.Equal(h.Texts(domain.Output), []string{"ran"}) {
		t.Errorf("it ends %+v with %q", end, h.Texts(domain.Output))
	}
	for i, name := range []string{"$SSH_Sessions and $SFTP_Sessions", "Out-Host and Out-Default", "AVSAttribute"} {
		if got, want := h.Texts(domain.Warning)[i], "Airlock could not set up "+name+", and goes on without: not here."; got != want {
			t.Errorf("the warning is %q, not %q", got, want)
		}
	}
	for _, p := range w.asked {
		if c := p.Statements[0][0]; c.Script && c.LocalScope != (c.Text == sessionsScript) {
			t.Errorf("the scope of %.40q is local: %v", c.Text, c.LocalScope)
		}
	}
}

// Without its variables no cmdlet runs.
func TestVariablesFail(t *testing.T) {
	w := &world{others: func(p *psrptest.Pipeline) bool {
		if p.Statements[0][0].Text != "Set-Variable" {
			return false
		}
		p.Error(psrptest.Failure{Message: "read-only"})
		p.Completed()
		return true
	}}
	if end, h := w.do(t); end.Err == nil || h.Starts() != 0 {
		t.Errorf("it ends %+v, started %d times", end, h.Starts())
	}
}

// A process that goes away has not succeeded, whatever it wrote.
func TestProcessGone(t *testing.T) {
	w := &world{}
	w.cmdlet = func(p *psrptest.Pipeline) {
		p.Text("before")
		w.Kill()
	}
	end, h := w.do(t)
	if got := errors.For(end.Err, "").Message; got != "PowerShell's process ended (signal: killed) while the cmdlet ran; its Error stream may say why." {
		t.Errorf("it ends with %q", got)
	}
	if !slices.Equal(h.Texts(domain.Output), []string{"before"}) {
		t.Errorf("output: %q", h.Texts(domain.Output))
	}
}
