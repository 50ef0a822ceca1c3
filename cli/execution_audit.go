package cli

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// auditEvent is what the table shows of an event of an execution's audit.
type auditEvent struct {
	Time       time.Time `json:"time"`
	Action     string    `json:"action"`
	Host       string    `json:"host"`
	Method     string    `json:"method"`
	Target     string    `json:"target"`
	Sent       int64     `json:"sent"`
	Received   int64     `json:"received"`
	DurationMS float64   `json:"durationMs"`
	Result     string    `json:"result"`
	Detail     string    `json:"detail"`
}

func (a *app) executionAudit() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "List what an execution has called in its private cloud, and what was refused",
		Example: "  airlock script-execution audit -n user-1\n  airlock script-execution audit -n user-1 --output json"}
	header := []string{"TIME", "ACTION", "HOST", "METHOD", "TARGET", "SENT", "RECEIVED", "TOOK", "RESULT", "DETAIL"}
	return a.onExecution(cmd, func(ctx context.Context, c *client, path string) error {
		return a.printList(ctx, c, path+"/audit", header, func(r resource) ([]string, error) {
			var e auditEvent
			err := json.Unmarshal(r.Raw, &e)
			took := time.Duration(e.DurationMS * float64(time.Millisecond)).Round(10 * time.Microsecond)
			return []string{e.Time.Local().Format("15:04:05.000"), e.Action, e.Host, e.Method, e.Target,
				strconv.FormatInt(e.Sent, 10), strconv.FormatInt(e.Received, 10), took.String(), e.Result, e.Detail}, err
		})
	})
}
