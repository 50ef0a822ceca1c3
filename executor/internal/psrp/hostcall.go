package psrp

import (
	"context"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
)

// pipelineHostResponse answers a call of the pipeline's ([MS-PSRP] 2.2.2.28).
const pipelineHostResponse kind = 0x00041101

// notImplemented answers a host call as a host does that has no such thing, so that PowerShell does not wait. What has no
// answer has a negative id.
func (c *Client) notImplemented(ctx context.Context, r *run, call *clixml.Value) error {
	id := call.Get("ci")
	if id == nil || len(id.Text) == 0 || id.Text[0] == '-' {
		return nil
	}
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
	answer := clixml.Object(prop("ci", id), prop("mi", call.Get("mi")), prop("me", failure))
	for _, f := range c.fragments(pipelineHostResponse, r.id, answer) {
		if err := c.send(ctx, line{verb: data, id: r.id, data: f}); err != nil {
			return err
		}
	}
	return nil
}
