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
	Seq       int64 // its place among the events of its execution that are kept, from 1; 0 for others
	Time      time.Time
	Execution string // id, "" where no execution is concerned
	Cloud     string // resource id of the private cloud
	Actor     string // who: a user, an application, an execution
	Action    string // what, as part/verb ("executions/claim", "vcenter/login"), part/refused where Airlock refused it; of a request as ARM names it
	Target    string // on what: the object of a call, a file, a resource
	Result    string // "ok" or what else the other side has answered (a status of HTTP, an exit code), or the code of the error or rule that refused it
	Detail    string

	// Of a call that a script made through the session broker.
	Host           string        // that it went to
	Method         string        // of SOAP its name, of HTTP the method and path, of SSH the program, of SFTP the operation
	Sent, Received int64         // bytes that the script sent and got
	Duration       time.Duration // until the answer was passed on

	// Count is of a summary: for how many calls that are not kept one by one it stands, with their bytes and time together.
	Count int64
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
		slog.String("result", e.Result), slog.String("detail", e.Detail), call(e))
}

// call is what an event tells of a call; nothing, and left out, where there was none.
func call(e Event) slog.Attr {
	if e.Host == "" {
		return slog.Attr{}
	}
	return slog.Group("call", slog.String("host", e.Host), slog.String("method", e.Method),
		slog.Int64("sent", e.Sent), slog.Int64("received", e.Received), slog.Duration("duration", e.Duration), slog.Int64("count", max(e.Count, 1)))
}
