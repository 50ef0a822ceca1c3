// Package powershell runs the cmdlets of PowerShell modules: a pwsh is started in the execution's room as a server of
// PowerShell's remoting protocol on its standard input and output (package psrp), and is told everything over it,
// secrets included. Nothing of Airlock's runs beside it in the room.
//
// One process runs one cmdlet, in pipelines one after the other: they set the globals that a module of AVS Run Command
// finds (globals.go), connect what the lock has modules for (connect.go), import the package's module, run the cmdlet,
// and read what it left. The process is then killed. What objects are as text is decided here and not there (text.go);
// what stands in *.ps1 beside this file is all of Airlock that is PowerShell.
package powershell

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/airlock-run/airlock/executor/internal/process"
	"github.com/airlock-run/airlock/executor/internal/psrp"
	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// Runtime is the runtime of PowerShell modules.
type Runtime struct {
	Path    string        // of pwsh on this machine, "" where there is none
	Startup time.Duration // bounds how long PowerShell takes until it answers; DefaultStartup when 0
	Known   *Known        // what was found of it; nil: it is looked for each time
}

var _ runtime.Runtime = Runtime{}

// Furnish implements runtime.Runtime: the room gets what pwsh needs of the machine, and the package beside its libraries
// where PowerShell looks for modules.
func (r Runtime) Furnish(p runtime.Prepared, place *sandbox.Place) error {
	install, err := r.Known.find(r.Path)
	if err != nil {
		return err
	}
	place.Runtime = append(place.Runtime, install.Files...)
	place.Libraries = map[string]string{}
	for _, l := range append([]runtime.Library{{PackageRef: p.Execution.Package, Dir: p.Package}}, p.Libraries...) {
		file, err := module(l)
		if err != nil {
			return err
		}
		place.Libraries[directory(cmp.Or(file, l.Name))] = l.Dir
	}
	return nil
}

// module is the file of a package's module, "" where it has none.
func module(l runtime.Library) (string, error) {
	files, err := os.ReadDir(l.Dir)
	for _, extension := range []string{".psd1", ".psm1"} {
		for _, f := range files {
			if strings.EqualFold(f.Name(), l.Name+extension) {
				return f.Name(), nil
			}
		}
	}
	return "", err
}

// directory is the name of the directory that a module has to be in: PowerShell on Linux finds it only in one that is named
// exactly as its file, and names of packages have no case.
func directory(file string) string {
	if extension := path.Ext(file); strings.EqualFold(extension, ".psd1") || strings.EqualFold(extension, ".psm1") {
		return strings.TrimSuffix(file, extension)
	}
	return file
}

// Run implements runtime.Runtime.
func (r Runtime) Run(ctx context.Context, p runtime.Prepared, stop <-chan struct{}, h runtime.Host) runtime.End {
	install, err := r.Known.find(r.Path)
	if err != nil {
		return runtime.End{Err: err}
	}
	file, err := module(runtime.Library{PackageRef: p.Execution.Package, Dir: p.Package})
	if err != nil {
		return runtime.End{Err: err}
	}
	if file == "" {
		return runtime.End{Err: errors.Newf(errors.ScriptFailed, "The package %[1]s has no module: there is neither %[1]s.psd1 nor %[1]s.psm1 in it. Push a package with a module of its name.", p.Execution.Package.Name)}
	}
	c := conversation{
		Prepared: p, stop: stop, install: install, startup: cmp.Or(r.Startup, DefaultStartup),
		module: path.Join(p.Room.Libraries(), directory(file), file),
	}
	return c.run(ctx, h, c.talk)
}

// run starts PowerShell, lets talk speak with it, and returns when nothing of it is left.
func (c *conversation) run(ctx context.Context, h runtime.Host, talk func(context.Context) runtime.End) (end runtime.End) {
	s, err := process.StartPipes(c.Room, c.install.command(c.Room.Libraries(), c.Env))
	if err != nil {
		return runtime.End{Err: c.install.notStarted(err)}
	}
	c.first = &firstWords{Host: h}
	ended := s.Run(ctx, c.first, func(h runtime.Host) {
		c.host = h
		c.client = psrp.New(s.Conn, s.Conn, c.junk, c.lost)
		defer func() {
			s.Kill()
			c.client.Wait() // until what it has said is read
		}()
		end = talk(ctx)
	})
	if ended.Err != nil {
		return runtime.End{Err: ended.Err}
	}
	end.Limit = ended.Limit
	if errors.Is(end.Err, psrp.ErrEnded) {
		end.Err = c.died(end.Err, ended)
	}
	return end
}

// conversation is the host's side of a run.
type conversation struct {
	runtime.Prepared
	install Install
	startup time.Duration
	first   *firstWords
	module  string // path of its file in the room
	stop    <-chan struct{}
	host    runtime.Host
	client  *psrp.Client

	doing   string       // what is being done, for the failure of a process that ends in it
	partial []byte       // what Write-Host has written of a line
	past    []byte       // what has been written of a line past PowerShell
	missing atomic.Int64 // times that something may not have arrived that PowerShell said
}

// talk runs the cmdlet. An error that is psrp.ErrEnded is for died to explain.
func (c *conversation) talk(ctx context.Context) runtime.End {
	for _, step := range []struct {
		doing string
		do    func(context.Context) error
	}{
		{"it was started", c.open},
		{"its variables were set", c.setGlobals},
		{"the vCenter was connected", c.connect},
		{"the module was imported", c.importModule},
		{"the cmdlet was to be started", func(context.Context) error { return c.host.Started() }},
	} {
		c.doing = step.doing
		err := c.goesOn()
		if err == nil {
			err = step.do(ctx)
		}
		if err != nil {
			return runtime.End{Err: err}
		}
	}
	c.doing = "the cmdlet ran"
	failure := c.runCmdlet(ctx)
	if errors.Is(failure, psrp.ErrEnded) || ctx.Err() != nil {
		return runtime.End{Err: failure}
	}
	// After a bad end, too: what the script made a secret is to be redacted.
	if err := c.readSecrets(ctx); err != nil && failure == nil {
		failure = err
	}
	if failure != nil {
		return runtime.End{Err: failure}
	}
	outputs, err := c.readOutputs(ctx)
	return runtime.End{Err: err, NamedOutputs: outputs}
}

// goesOn says that nobody has asked the script to end. PowerShell does not remember it between two pipelines.
func (c *conversation) goesOn() error {
	select {
	case <-c.stop:
		return errors.New("asked to end before the cmdlet was started")
	default:
		return nil
	}
}

// prepare runs a pipeline before the cmdlet, and returns why it has not ended well. What it writes is given to write.
func (c *conversation) prepare(ctx context.Context, p psrp.Pipeline, write func(psrp.Record)) (why string, err error) {
	end, err := c.follow(ctx, p, write)
	return reason(end), err
}

// follow runs a pipeline to its end, or that of the process: when ctx ends, the process is killed, and what it has written by
// then still counts.
func (c *conversation) follow(ctx context.Context, p psrp.Pipeline, write func(psrp.Record)) (psrp.End, error) {
	defer c.flush()
	return c.client.Run(context.WithoutCancel(ctx), p, c.stop, write)
}

// importModule imports the package's module. Its body may write to the streams, as the cmdlet may.
func (c *conversation) importModule(ctx context.Context) error {
	why, err := c.load(ctx, c.module, c.write)
	if err == nil && why != "" {
		err = errors.Newf(errors.ScriptFailed, "The module %s could not be imported: %s", c.Execution.Package.Name, why)
	}
	return err
}

// load imports a module, by its name or path, for all. What does not load it is no mere error record.
func (c *conversation) load(ctx context.Context, module string, write func(psrp.Record)) (why string, err error) {
	return c.prepare(ctx, single(psrp.Command{Text: "Import-Module", Parameters: []psrp.Parameter{
		text("Name", module), text("ErrorAction", "Stop"), {Name: "DisableNameChecking", Value: clixml.Bool(true)},
	}}), write)
}

// runCmdlet runs the cmdlet, with what shows formatted output behind it.
func (c *conversation) runCmdlet(ctx context.Context) error {
	cmdlet := psrp.Command{Text: c.Cmdlet.Name}
	for _, parameters := range [][]domain.Parameter{c.Execution.Parameters, c.Execution.Hidden} {
		for _, a := range parameters {
			v, err := c.argument(ctx, a)
			if err != nil {
				return err
			}
			cmdlet.Parameters = append(cmdlet.Parameters, psrp.Parameter{Name: a.Name, Value: v})
		}
	}
	end, err := c.follow(ctx, psrp.Pipeline{Statements: [][]psrp.Command{{cmdlet, inOwnScope(formattedScript)}}}, c.write)
	if why := reason(end); err == nil && why != "" {
		err = errors.Newf(errors.ScriptFailed, "%s", why)
	}
	return err
}

// single is a pipeline of one command.
func single(c psrp.Command) psrp.Pipeline { return psrp.Pipeline{Statements: [][]psrp.Command{{c}}} }

// inGlobalScope is a command that runs a text of ours, which has no scope of its own: what it defines is for the module.
func inGlobalScope(script string) psrp.Command { return psrp.Command{Text: script, Script: true} }

// inOwnScope is one that has: its variables are nobody else's.
func inOwnScope(script string, parameters ...psrp.Parameter) psrp.Command {
	local := true
	return psrp.Command{Text: script, Script: true, Parameters: parameters, LocalScope: &local}
}

// text is an argument of a command.
func text(name, value string) psrp.Parameter {
	return psrp.Parameter{Name: name, Value: clixml.Text(value)}
}

// write gives a record to the host.
func (c *conversation) write(r psrp.Record) {
	text := r.Text
	if r.Value != nil || r.Stream == psrp.Output {
		text = Text(r.Value)
	}
	if r.Stream == psrp.Information && r.NoNewline && len(c.partial)+len(text) <= domain.MaxRecord {
		c.partial = append(c.partial, text...)
		return
	}
	if r.Stream == psrp.Information {
		text, c.partial = string(c.partial)+text, nil
	}
	if r.Stream == psrp.Progress {
		if r.IsOver {
			text = ""
		}
		c.host.Progress(text)
	}
	stream, shown := streams[r.Stream]
	if !shown {
		return
	}
	c.flush()
	c.host.Write(stream, []byte(text))
}

// flush writes the line that Write-Host has begun.
func (c *conversation) flush() {
	if len(c.partial) > 0 {
		c.host.Write(domain.Information, c.partial)
		c.partial = nil
	}
}

// streams are PowerShell's that an execution has. Verbose and Debug are for who debugs a module.
var streams = map[psrp.Stream]domain.Stream{
	psrp.Output: domain.Output, psrp.Information: domain.Information, psrp.Warning: domain.Warning, psrp.Error: domain.Error,
}

// junk takes what was written to standard output past PowerShell, a line in pieces. One that is longer than a record goes
// on in the next.
func (c *conversation) junk(b []byte, end bool) {
	c.missing.Add(1) // it may have come into a line of PowerShell's
	if len(c.past)+len(b) > domain.MaxRecord {
		c.host.Write(domain.Output, c.past)
		c.past = nil
	}
	if c.past = append(c.past, b...); end {
		c.host.Write(domain.Output, c.past)
		c.past = nil
	}
}

// lost takes that a message of PowerShell's could not be read.
func (c *conversation) lost(why error) {
	c.missing.Add(1)
	c.host.Write(domain.Error, fmt.Appendf(nil, "Something that PowerShell said is missing here, because it could not be read: %v.", why))
}
