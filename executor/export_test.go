package executor

import (
	"time"

	"github.com/airlock-run/airlock/executor/internal/powershell"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// SetBounds shortens the times of the contracts; 0 leaves one as it is.
func (e *Executor) SetBounds(preparation, grace, retry time.Duration) {
	if preparation != 0 {
		e.bounds.preparation = preparation
	}
	if grace != 0 {
		e.bounds.grace = grace
	}
	if retry != 0 {
		e.bounds.retry = retry
	}
}

// SetForward shortens the time for the secret store to take, after a restart, what was left before it.
func (e *Executor) SetForward(d time.Duration) { e.bounds.forward = d }

// WithRoots is what scripts trust that reach more than their private cloud.
var WithRoots = withRoots

// SetPowerShell sets the PowerShell to be run, and how long it may take until it answers; 0 leaves that as it is.
func (e *Executor) SetPowerShell(path string, startup time.Duration) {
	e.runtimes[manifest.PowerShell] = powershell.Runtime{Path: path, Startup: startup}
}

// WrapRuntime puts a runtime around the one of Go packages.
func (e *Executor) WrapRuntime(wrap func(runtime.Runtime) runtime.Runtime) {
	e.runtimes[manifest.Go] = wrap(e.runtimes[manifest.Go])
}

// Remembered says how many changes of secrets, and names of short ones, the host of a runtime holds.
func Remembered(h runtime.Host) (changes, short int) {
	j := h.(*job)
	return len(j.changes), len(j.short)
}

// Progress is what carries how far a script is to the store.
type Progress = progress

// NewProgress makes one that stores by put.
var NewProgress = newProgress

// The methods of Progress for tests.
func (p *progress) Say(text string) { p.say(text) }
func (p *progress) End()            { p.end() }
