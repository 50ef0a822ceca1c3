package executor

import (
	"context"

	"github.com/airlock-run/airlock/executor/internal/sandbox"
)

// Isolation says what keeps scripts from the machine.
type Isolation string

// The two ways to run a script. The zero value is IsolationSandbox.
const (
	IsolationSandbox Isolation = "sandbox" // in namespaces of its own, where only its private cloud and what egress opens can be reached
	IsolationNone    Isolation = "none"    // as an ordinary process of Airlock's user
)

// Feature is something of the kernel that IsolationSandbox uses: whether it is there, what is lost without it, and how
// to get it. Where one that is Needed is not found, the executor does not run.
type Feature = sandbox.Feature

// Limits are the bounds of one execution in the sandbox; without isolation they do not hold. Limits.Complete checks
// them.
type Limits = sandbox.Limits

// DefaultLimits stand for what is 0 in Config.Limits.
var DefaultLimits = sandbox.DefaultLimits

// openSandbox opens the sandbox that was chosen.
func openSandbox(i Isolation, l Limits) (sandbox.Sandbox, error) {
	if i == IsolationNone {
		return sandbox.NewNone()
	}
	return sandbox.NewIsolated(l)
}

// Features tries out what IsolationSandbox uses, as the user that Airlock runs as.
func Features(ctx context.Context) []Feature { return sandbox.Probe(ctx) }
