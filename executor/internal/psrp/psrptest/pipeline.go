package psrptest

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
)

// Pipeline is what the client wants to be run.
type Pipeline struct {
	Statements [][]Command // one after the other, each of commands that are joined by pipes

	server  *Server
	id      uuid.UUID
	joined  joiner
	begun   bool
	once    sync.Once
	stopped chan struct{}
}

// Command is a command by its name, or the text of a script.
type Command struct {
	Text       string
	Script     bool
	LocalScope bool
	Parameters []Parameter
}

// Parameter is an argument, of which one by position has no name.
type Parameter struct {
	Name  string
	Value *clixml.Value
}

// Argument is the value of the parameter with a name, nil where there is none.
func (c Command) Argument(name string) *clixml.Value {
	for _, p := range c.Parameters {
		if strings.EqualFold(p.Name, name) {
			return p.Value
		}
	}
	return nil
}

// statements reads the content of CreatePipeline ([MS-PSRP] 2.2.2.10).
func statements(v *clixml.Value) (all [][]Command) {
	shell := v.Get("PowerShell")
	each := []*clixml.Value{shell}
	if extra := shell.Get("ExtraCmds"); extra != nil {
		each = extra.Items
	}
	for _, s := range each {
		var commands []Command
		for i := 0; s.Get("Cmds").Item(i) != nil; i++ {
			v := s.Get("Cmds").Item(i)
			c := Command{Text: v.Get("Cmd").Str(), Script: v.Get("IsScript").Str() == "true", LocalScope: v.Get("UseLocalScope").Str() == "true"}
			for i := 0; v.Get("Args").Item(i) != nil; i++ {
				a := v.Get("Args").Item(i)
				c.Parameters = append(c.Parameters, Parameter{a.Get("N").Str(), a.Get("V")})
			}
			commands = append(commands, c)
		}
		all = append(all, commands)
	}
	return all
}

// begin takes a message of the pipeline, and runs it.
func (p *Pipeline) begin(m message, running *sync.WaitGroup) error {
	switch {
	case m.kind == pipelineHostResponse:
		return nil
	case m.kind != createPipeline || p.begun:
		return fmt.Errorf("psrptest: a pipeline got a message of the kind %08x", uint32(m.kind))
	}
	p.begun, p.Statements = true, statements(m.value)
	if len(p.Statements) == 0 || len(p.Statements[0]) == 0 {
		return fmt.Errorf("psrptest: a pipeline without commands")
	}
	running.Go(func() {
		p.server.turn.Lock()
		defer p.server.turn.Unlock()
		p.server.Run(p)
	})
	return nil
}

func (p *Pipeline) stop() { p.once.Do(func() { close(p.stopped) }) }

// Stopped is closed when the client has asked the pipeline to end, or closed it.
func (p *Pipeline) Stopped() <-chan struct{} { return p.stopped }

// Gone is closed when the client says nothing more.
func (p *Pipeline) Gone() <-chan struct{} { return p.server.gone }

// Output writes an object to the output, nil for $null.
func (p *Pipeline) Output(v *clixml.Value) { p.server.send(p.id, pipelineOutput, v) }

// Text writes a string to the output.
func (p *Pipeline) Text(s string) { p.Output(clixml.Text(s)) }

func (p *Pipeline) informational(k kind, text string) {
	p.server.send(p.id, k, clixml.Object(prop("InformationalRecord_Message", clixml.Text(text)), prop("InformationalRecord_SerializeInvocationInfo", clixml.Bool(false))))
}

// Warning writes a warning.
func (p *Pipeline) Warning(text string) { p.informational(warningRecord, text) }

// Verbose writes to Verbose.
func (p *Pipeline) Verbose(text string) { p.informational(verboseRecord, text) }

// Debug writes to Debug.
func (p *Pipeline) Debug(text string) { p.informational(debugRecord, text) }

// Progress writes a progress record of a number of percents, -1 for none.
func (p *Pipeline) Progress(activity, status string, percent int) {
	p.progress(activity, status, percent, "0", "Processing")
}

// ProgressOver writes that what was in progress is over.
func (p *Pipeline) ProgressOver(activity string) {
	p.progress(activity, "Processing", -1, "1", "Completed")
}

func (p *Pipeline) progress(activity, status string, percent int, number, name string) {
	kind := &clixml.Value{Tag: "Obj", Base: clixml.Primitive("I32", number), String: &name, Types: []string{"System.Management.Automation.ProgressRecordType", "System.Enum"}}
	p.server.send(p.id, progressRecord, clixml.Object(prop("Activity", clixml.Text(activity)), prop("ActivityId", clixml.Primitive("I32", "0")),
		prop("StatusDescription", clixml.Text(status)), prop("CurrentOperation", clixml.Null()), prop("ParentActivityId", clixml.Primitive("I32", "-1")),
		prop("PercentComplete", clixml.Primitive("I32", strconv.Itoa(percent))), prop("Type", kind), prop("SecondsRemaining", clixml.Primitive("I32", "-1"))))
}

// Information writes what Write-Information does.
func (p *Pipeline) Information(v *clixml.Value) {
	p.server.send(p.id, informationRecord, clixml.Object(prop("MessageData", v), prop("Source", clixml.Text("Write-Information")), prop("Tags", clixml.ListOf())))
}

// Host writes what Write-Host does.
func (p *Pipeline) Host(text string) {
	v := clixml.Object(prop("Message", clixml.Text(text)), prop("NoNewLine", clixml.Bool(false)))
	v.Types = []string{"System.Management.Automation.HostInformationMessage", "System.Object"}
	v.String = &text
	p.Information(v)
}

// Failure is an error record.
type Failure struct {
	Message, ID, Exception, Trace string
}

func (f Failure) value() *clixml.Value {
	exception := clixml.Object(clixml.Property{Name: "Message", Value: clixml.Text(f.Message), Own: true})
	exception.Types = []string{f.Exception, "System.Exception", "System.Object"}
	v := clixml.Object(prop("Exception", exception), prop("TargetObject", clixml.Null()), prop("FullyQualifiedErrorId", clixml.Text(f.ID)),
		prop("InvocationInfo", clixml.Null()), prop("ErrorCategory_Category", clixml.Primitive("I32", "0")),
		prop("SerializeExtendedInfo", clixml.Bool(false)), prop("ErrorDetails_ScriptStackTrace", clixml.Text(f.Trace)))
	v.Types = []string{"System.Management.Automation.ErrorRecord", "System.Object"}
	v.String = &f.Message
	return v
}

// Error writes an error record, which ends nothing.
func (p *Pipeline) Error(f Failure) { p.server.send(p.id, errorRecord, f.value()) }

// Exit says that exit was called.
func (p *Pipeline) Exit(code int) {
	p.HostCall(-100, "6", "SetShouldExit", clixml.Primitive("I32", strconv.Itoa(code)))
}

// HostCall calls a method of the client's host, which answers where the call's id is not negative ([MS-PSRP] 2.2.3.17).
func (p *Pipeline) HostCall(id int, method, name string, parameters ...*clixml.Value) {
	mi := &clixml.Value{Tag: "Obj", Base: clixml.Primitive("I32", method), String: &name, Types: []string{"System.Management.Automation.Remoting.RemoteHostMethodId", "System.Enum"}}
	p.server.send(p.id, pipelineHostCall, clixml.Object(prop("ci", clixml.Primitive("I64", strconv.Itoa(id))), prop("mi", mi), prop("mp", clixml.ListOf(parameters...))))
}

// Completed ends the pipeline.
func (p *Pipeline) Completed() { p.end("4", nil) }

// Failed ends the pipeline with a terminating error.
func (p *Pipeline) Failed(f Failure) { p.end("5", &f) }

// EndStopped ends the pipeline as one that was asked to end.
func (p *Pipeline) EndStopped() {
	p.end("3", &Failure{Message: "The pipeline has been stopped.", ID: "PipelineStopped", Exception: "System.Management.Automation.PipelineStoppedException"})
}

func (p *Pipeline) end(state string, f *Failure) {
	v := clixml.Object(prop("PipelineState", clixml.Primitive("I32", state)))
	if f != nil {
		v.Props = append(v.Props, prop("ExceptionAsErrorRecord", f.value()))
	}
	p.server.send(p.id, pipelineState, v)
}

// Junk writes bytes past the protocol, as a script can.
func (p *Pipeline) Junk(b []byte) { p.server.raw(b) }

// Play says a line that a real pwsh has said, with the ids of this conversation. What is no line of the protocol is said
// as it is.
func (p *Pipeline) Play(raw string) {
	at := max(strings.LastIndex(raw, "<Data "), 0)
	l, err := parseLine(raw[at:])
	if err != nil || l.verb != "Data" {
		p.server.raw([]byte(raw + "\n"))
		return
	}
	for b := l.data; len(b) >= fragmentHead; {
		n := min(fragmentHead+int(binary.BigEndian.Uint32(b[17:])), len(b))
		if b[16]&1 != 0 && n >= fragmentHead+messageHead {
			copy(b[fragmentHead+8:], guid(p.server.pool))
			copy(b[fragmentHead+24:], guid(p.id))
		}
		b = b[n:]
	}
	l.id = p.id
	p.server.raw(append([]byte(raw[:at]), l.encode()...))
}
