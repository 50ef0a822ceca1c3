package domain

import (
	"time"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/secret"
)

// State is an execution's provisioningState.
type State string

// The states of an execution.
const (
	Pending    State = "Pending"
	Running    State = "Running"
	Succeeded  State = "Succeeded"
	Failed     State = "Failed"
	Cancelling State = "Cancelling" // running, asked to end; the record stays
	Canceled   State = "Canceled"
	Deleting   State = "Deleting" // running, asked to end; the record goes
)

// Final says whether an execution in the state will not change any more.
func (s State) Final() bool { return s == Succeeded || s == Failed || s == Canceled }

// Execution is one script execution.
type Execution struct {
	ID       string // UUIDv7, immutable; tokens, audit, streams, operations and output go by it
	Cloud    CloudID
	Name     string // the user's ARM name; free again after a DELETE
	CmdletID string // scriptCmdletId as it was written
	Package  PackageRef
	Lock     []PackageRef // what the package depends on, as it was when the execution was submitted
	Cmdlet   string       // the declared name

	Parameters []Parameter
	Hidden     []Parameter // hiddenParameters: never echoed
	Sealed     []byte      // the values of secure parameters, encrypted (SecureValues); nil once the execution is final
	BodyDigest []byte      // keyed digest of the normalised PUT body

	Timeout   time.Duration
	Retention time.Duration // how long the record is kept after its end

	State        State
	Failure      *Failure // of Failed only
	Warning      string   // a remark of Airlock's own about the execution, "" for none
	Submitted    time.Time
	Started      time.Time // of the cmdlet; zero before
	Finished     time.Time
	NamedOutputs map[string]string // of Succeeded only
}

// Failure says why an execution failed: a code and one sentence with what to do.
type Failure struct {
	Code    errors.Code
	Message string
}

// Parameter is an argument of an execution. Secure ones carry no value here: it lies in Execution.Sealed under the
// parameter's name in lower case.
type Parameter struct {
	Name   string
	Type   manifest.Type
	Secure bool
	Value  string
}

// SecureValues are the values of secure parameters by name in lower case.
type SecureValues map[string]SecureValue

// SecureValue is the value of a SecureString (Username empty) or of a Credential.
type SecureValue struct {
	Username string
	Password secret.Text
}

// Claim is an execution that an executor has taken. Fence goes with every later write about it, so that the late
// result of an executor that lost the execution is refused.
type Claim struct {
	Execution Execution
	Cloud     PrivateCloud
	Fence     int64
}

// Outcome is how an execution ended. State is Succeeded, Failed or Canceled.
type Outcome struct {
	State        State
	Failure      *Failure
	Warning      string
	NamedOutputs map[string]string
}

// Position tells a waiting execution what it waits for.
type Position struct {
	Ahead   int    // executions of the same private cloud that come before it, the running one included
	Running string // name of the one that runs now, "" for none
	Paused  bool   // the queue is paused: nothing of it starts
}

// Progress is how far a running execution says that it is. The zero value is one that says nothing.
type Progress struct {
	Seq  int64 // grows each time that the execution says something else
	Text string
}

// Operation is an asynchronous operation as ARM shows it. The one that a PUT starts has the execution's id, and
// outlives a deleted execution by 24 h.
type Operation struct {
	ID        string
	Cloud     CloudID
	Execution string // id
	Name      string // the execution's ARM name
	State     State
	Failure   *Failure
	Started   time.Time
	Finished  time.Time
}
