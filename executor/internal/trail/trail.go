// Package trail takes the audit events of one execution on their way: each is redacted with the execution's secrets and
// bounded before anybody else sees it.
package trail

import (
	"context"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/redact"
)

// MaxText bounds each text of an event, in bytes. What is longer ends in "…".
const MaxText = 1024

// Recorder implements audit.Writer for one execution.
type Recorder struct {
	secrets *redact.Set
	to      audit.Writer
}

// New returns a Recorder that takes out what the set has by the time of each event.
func New(secrets *redact.Set, to audit.Writer) *Recorder { return &Recorder{secrets, to} }

// Write implements audit.Writer.
func (r *Recorder) Write(ctx context.Context, e audit.Event) {
	for _, text := range []*string{&e.Host, &e.Method, &e.Target, &e.Result, &e.Detail} {
		*text = cut(redact.Visible([]byte(r.secrets.Beginning(*text))))
	}
	r.to.Write(ctx, e)
}

// cut shortens a text to MaxText bytes.
func cut(text string) string {
	if len(text) <= MaxText {
		return text
	}
	const dots = "…"
	n := MaxText - len(dots)
	for !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + dots
}
