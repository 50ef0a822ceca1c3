// Command pwshdouble takes the place of `pwsh -s -NoLogo -NoProfile` in tests: it speaks PowerShell's remoting protocol
// on its standard input and output, and runs no PowerShell. It keeps global variables, and of modules it knows two kinds
// by what lies in their directory: one with a recording (psrptest.Play) answers as a real pwsh did, any other has the
// cmdlets of runtimetest, written in Go as testdata/Torture has them in PowerShell. Of scripts it takes nothing but that
// they are there.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
	"github.com/airlock-run/airlock/executor/internal/psrp/psrptest"
)

// endOfInput is the status with which pwsh ends when nobody speaks to it any more.
const endOfInput = 160

func main() {
	s := &session{globals: map[string]*clixml.Value{}}
	s.server.Run = s.run
	err := s.server.Serve(os.Stdin, os.Stdout)
	fmt.Fprintln(os.Stderr, err)
	os.Exit(endOfInput)
}

// session is what a pool has.
type session struct {
	server  psrptest.Server
	globals map[string]*clixml.Value // by name in lower case
	play    *psrptest.Play           // of the module that was imported, nil for the cmdlets of runtimetest
	loaded  bool
}

// run runs the statements of a pipeline.
func (s *session) run(p *psrptest.Pipeline) {
	for _, commands := range p.Statements {
		c := commands[0]
		name := c.Text[strings.LastIndexByte(c.Text, '\\')+1:]
		switch {
		case c.Script, name == "Set-Item": // of the environment
		case name == "Set-Variable":
			s.globals[strings.ToLower(c.Argument("Name").Str())] = c.Argument("Value")
		case name == "Get-Variable":
			s.get(p, c)
		case name == "Import-Module":
			if ended := s.load(p, c); ended {
				return
			}
		case s.play != nil:
			s.answer(p, name, commands)
			return
		case s.loaded && cmdlets[name] != nil:
			if ended := cmdlets[name](&call{session: s, pipeline: p, Command: c}); ended {
				return
			}
		default:
			p.Failed(psrptest.Failure{ID: "CommandNotFoundException", Exception: "System.Management.Automation.CommandNotFoundException",
				Message: "The term '" + c.Text + "' is not recognized as a name of a cmdlet, function, script file, or executable program.\nCheck the spelling of the name, or if a path was included, verify that the path is correct and try again."})
			return
		}
	}
	p.Completed()
}

// get writes the values of variables, nothing for one that is not there.
func (s *session) get(p *psrptest.Pipeline, c psrptest.Command) {
	names := c.Argument("Name").Items
	if names == nil {
		names = []*clixml.Value{c.Argument("Name")}
	}
	for _, n := range names {
		name := strings.ToLower(n.Str())
		if s.play != nil && s.play.Variables[name] != nil {
			for _, raw := range s.play.Variables[name] {
				p.Play(raw)
			}
			continue
		}
		if v, known := s.globals[name]; known {
			p.Output(v)
		}
	}
}

// load imports a module by its path, and says whether that ended the pipeline.
func (s *session) load(p *psrptest.Pipeline, c psrptest.Command) (ended bool) {
	path := c.Argument("Name").Str()
	if c.Argument("ErrorAction").Str() != "Stop" {
		return s.mistake(p, "a module is imported without -ErrorAction Stop")
	}
	if _, err := os.Stat(path); err != nil {
		return s.mistake(p, err.Error())
	}
	s.loaded = true
	b, err := os.ReadFile(filepath.Join(filepath.Dir(path), psrptest.PlayName))
	if os.IsNotExist(err) {
		return false
	}
	s.play = &psrptest.Play{}
	if err == nil {
		err = json.Unmarshal(b, s.play)
	}
	if err != nil {
		return s.mistake(p, err.Error())
	}
	s.server.SetKey(s.play.Key)
	if s.play.Import.Outcome.State == "" {
		return false
	}
	s.say(p, s.play.Import)
	return true
}

// answer answers the cmdlet of a recording, where it is called as it was then and the client's own command stands behind.
func (s *session) answer(p *psrptest.Pipeline, name string, commands []psrptest.Command) {
	c := commands[0]
	var got []psrptest.Argument
	for _, a := range c.Parameters {
		argument, err := s.server.Argument(a)
		if err != nil {
			s.mistake(p, err.Error())
			return
		}
		got = append(got, argument)
	}
	switch {
	case name != s.play.Cmdlet || !slices.Equal(got, s.play.Arguments):
		s.mistake(p, fmt.Sprintf("it is called as %s %q, recorded was %s %q", c.Text, got, s.play.Cmdlet, s.play.Arguments))
	case len(commands) != 2 || !commands[1].Script || !commands[1].LocalScope:
		s.mistake(p, fmt.Sprintf("behind the cmdlet stand %d commands, not one script with a scope of its own", len(commands)-1))
	default:
		s.say(p, s.play.Run)
	}
}

// say says what was said then.
func (s *session) say(p *psrptest.Pipeline, step psrptest.Step) {
	for _, raw := range step.Said {
		p.Play(raw)
	}
	switch {
	case step.Outcome.State == "":
		p.Completed()
	case step.Exit != nil:
		end(*step.Exit)
	case step.WasStopped:
		select {
		case <-p.Stopped():
		case <-p.Gone():
			return
		}
		for _, raw := range step.AfterStop {
			p.Play(raw)
		}
	}
}

// mistake fails the pipeline for what the client should not have done.
func (s *session) mistake(p *psrptest.Pipeline, text string) bool {
	p.Failed(psrptest.Failure{Message: "pwshdouble: " + text, ID: "Mistake", Exception: "System.Exception"})
	return true
}
