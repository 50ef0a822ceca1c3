// Package audit has the one type of audit events, and the small interface through which server, executor and sessions
// write them. An event holds no secret.
package audit

import (
	"context"
	"log/slog"
	"time"
)

// Event is one act that somebody may have to answer for.
type Event struct {
	Time      time.Time
	Execution string // id, "" where no execution is concerned
	Cloud     string // resource id of the private cloud
	Actor     string // who: a user, an application, an execution
	Action    string // what, as part/verb ("executions/claim", "vcenter/login"), of a request as ARM names it
	Target    string // on what
	Result    string // "ok", or the code of the error or rule that refused it
	Detail    string
}

// Writer takes events. It is safe for concurrent use and does not wait for long; an event that cannot be written is
// a failure of the installation, which the writer reports itself.
type Writer interface {
	Write(ctx context.Context, e Event)
}

// Log writes events to a structured log, one line each.
type Log struct{ Logger *slog.Logger }

// Write implements Writer.
func (l Log) Write(ctx context.Context, e Event) {
	l.Logger.LogAttrs(ctx, slog.LevelInfo, "audit",
		slog.Time("at", e.Time), slog.String("execution", e.Execution), slog.String("cloud", e.Cloud),
		slog.String("actor", e.Actor), slog.String("action", e.Action), slog.String("target", e.Target),
		slog.String("result", e.Result), slog.String("detail", e.Detail))
}
