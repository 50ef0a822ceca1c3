package psrp

import (
	"context"
	"strconv"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
)

// pipelineHostResponse answers a call of the pipeline's ([MS-PSRP] 2.2.2.28).
const pipelineHostResponse kind = 0x00041101

// hostCall is a call that waits for an answer ([MS-PSRP] 2.2.2.27).
type hostCall struct{ id, method int64 }

// setShouldExit is how the server says that exit was called ([MS-PSRP] 2.2.3.17).
const setShouldExit = 6

// call takes a call of the pipeline's. What has no answer has a negative id.
func (r *run) call(v *clixml.Value) {
	id, err := strconv.ParseInt(v.Get("ci").Number(), 10, 64)
	method, methodErr := strconv.ParseInt(v.Get("mi").Number(), 10, 32)
	if err != nil || methodErr != nil {
		return
	}
	if method == setShouldExit {
		if code, err := strconv.ParseInt(v.Get("mp").Item(0).Str(), 10, 32); err == nil {
			exit := int(code)
			r.end.Exit = &exit
		}
		return
	}
	if id < 0 {
		return
	}
	select {
	case r.calls <- hostCall{id, method}:
	default: // more than it can have asked
	}
}

// notImplemented answers a host call as a host does that has no such thing, so that PowerShell does not wait.
func (c *Client) notImplemented(ctx context.Context, of uuid.UUID, call hostCall) error {
	const text = "Nobody is there to answer: Airlock runs cmdlets without a host."
	exception := clixml.Object(prop("Message", clixml.Text(text)))
	exception.Types = []string{"System.NotImplementedException", "System.SystemException", "System.Exception", typeObject}
	failure := clixml.Object(prop("Exception", exception), prop("TargetObject", clixml.Null()),
		prop("FullyQualifiedErrorId", clixml.Text("RemoteHostExecutionException")), prop("InvocationInfo", clixml.Null()),
		prop("ErrorCategory_Category", clixml.Primitive("I32", "2")), prop("ErrorCategory_Activity", clixml.Text("")),
		prop("ErrorCategory_Reason", clixml.Text("NotImplementedException")), prop("ErrorCategory_TargetName", clixml.Text("")),
		prop("ErrorCategory_TargetType", clixml.Text("")), prop("ErrorCategory_Message", clixml.Text(text)),
		prop("SerializeExtendedInfo", clixml.Bool(false)))
	failure.Types = []string{"System.Management.Automation.ErrorRecord", typeObject}
	answer := clixml.Object(prop("ci", clixml.Primitive("I64", strconv.FormatInt(call.id, 10))),
		prop("mi", enum("System.Management.Automation.Remoting.RemoteHostMethodId", "", strconv.FormatInt(call.method, 10))), prop("me", failure))
	for _, f := range c.fragments(pipelineHostResponse, of, answer) {
		if err := c.send(ctx, line{verb: data, id: of, data: f}); err != nil {
			return err
		}
	}
	return nil
}
