// Package runtime is the seam between the executor and what runs a cmdlet: Go executables here, PowerShell beside
// them. The suite runtimetest holds every implementation to it.
package runtime

import (
	"context"

	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/secret"
)

// Prepared is an execution ready to run.
type Prepared struct {
	Execution domain.Execution
	Cloud     domain.PrivateCloud
	Manifest  manifest.Manifest
	Cmdlet    manifest.Cmdlet
	Secure    domain.SecureValues
	Secrets   map[string]secret.Text // the package's persistent secrets
	Grant     domain.Grant
	Package   string       // directory of the package's files, read-only
	Libraries []Library    // what the package depends on, by name
	Room      sandbox.Room // where processes are started
	Env       []string     // NAME=value for every process, beside what the room gives
}

// Library is a package that the one with the cmdlet depends on.
type Library struct {
	domain.PackageRef
	Dir string // of its files, read-only
}

// Host is what a running script speaks to. Its methods are safe for concurrent use and may wait: a script that writes
// faster than the store is held back. What the host cannot take makes it end the script by stop; what the script
// writes until then is taken and dropped, so that it is not stuck in a write when it is asked to end.
type Host interface {
	// Started says that preparation is over and the cmdlet's own time begins. After an error the cmdlet must not run.
	Started() error
	// Write takes what the script wrote as one record, bytes as they are. The text is the caller's again afterwards.
	Write(stream domain.Stream, text []byte)
	// Progress takes what the script says of how far it is, for those who watch; "" takes back what it said last. It is
	// shown redacted, in one line and shortened, and never waits: call it as often as the script speaks.
	Progress(text string)
	// SetSecret takes a change of a persistent secret, nil to delete it: redacted at once, kept only after a good end.
	SetSecret(name string, value *secret.Text)
}

// End is how a script ended by itself.
type End struct {
	Err          error         // nil: it ended well; else one for users, or the user is pointed to the log
	Limit        sandbox.Limit // the bound of the room that a bad end came of; "" for none
	NamedOutputs map[string]string
}

// Runtime runs cmdlets of one kind.
type Runtime interface {
	// Furnish adds to the place of the room what the runtime needs in it. After an error nothing is run.
	Furnish(p Prepared, place *sandbox.Place) error
	// Run runs the cmdlet and returns when nothing of it is left. When stop is closed the script is asked to end and
	// may go on until ctx ends, which kills it at once; the End is then of no interest. How long a cmdlet may run is
	// the caller's to say: Run only bounds what a script that is over still takes.
	Run(ctx context.Context, p Prepared, stop <-chan struct{}, h Host) End
}
