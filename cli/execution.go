package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
)

// executionProperties is what the commands read of an execution.
type executionProperties struct {
	ScriptCmdletID    string            `json:"scriptCmdletId"`
	Timeout           string            `json:"timeout"`
	ProvisioningState string            `json:"provisioningState"`
	StatusMessage     string            `json:"statusMessage"`
	FailureReason     string            `json:"failureReason"`
	FailureCode       string            `json:"failureCode"`
	Warning           string            `json:"warning"`
	SubmittedAt       time.Time         `json:"submittedAt"`
	StartedAt         time.Time         `json:"startedAt"`
	FinishedAt        time.Time         `json:"finishedAt"`
	NamedOutputs      map[string]string `json:"namedOutputs"`
}

// cmdlet is Package@Version/Cmdlet.
func (p executionProperties) cmdlet() string {
	parts := strings.Split(p.ScriptCmdletID, "/")
	if n := len(parts); n > 2 {
		return parts[n-3] + "/" + parts[n-1]
	}
	return p.ScriptCmdletID
}

func (p executionProperties) took() string {
	if p.StartedAt.IsZero() || p.FinishedAt.IsZero() {
		return ""
	}
	return p.FinishedAt.Sub(p.StartedAt).Round(time.Millisecond).String()
}

func (a *app) printExecution(r resource) error {
	if a.output == "json" {
		return a.printJSON(r)
	}
	var p executionProperties
	if err := json.Unmarshal(r.Properties, &p); err != nil {
		return err
	}
	if err := a.printPairs("name", r.Name, "cmdlet", p.cmdlet(), "state", p.ProvisioningState, "status", p.StatusMessage,
		"reason", p.FailureReason, "code", p.FailureCode, "warning", p.Warning, "took", p.took()); err != nil {
		return err
	}
	if len(p.NamedOutputs) == 0 {
		return nil
	}
	var rows [][]string
	for _, key := range slices.Sorted(maps.Keys(p.NamedOutputs)) {
		rows = append(rows, []string{key, p.NamedOutputs[key]})
	}
	fmt.Fprintln(a.stdout)
	return a.printTable([]string{"NAMED OUTPUT", "VALUE"}, rows)
}

// record is one record of a script's output.
type record struct {
	Seq    int64     `json:"seq"`
	Time   time.Time `json:"time"`
	Stream string    `json:"stream"`
	Text   string    `json:"text"`
}

// recordIndent begins a further line of a record's text.
var recordIndent = "\n" + strings.Repeat(" ", len("15:04:05.000  Information  "))

func streamNamed(name string) bool {
	return slices.ContainsFunc(domain.Streams[:], func(s domain.Stream) bool { return strings.EqualFold(s.String(), name) })
}

// printRecord writes a record as one line of a table, further lines of its text under the first, or as one line of
// JSON.
func (a *app) printRecord(r record) error {
	if a.output == "json" {
		return json.NewEncoder(a.stdout).Encode(r)
	}
	_, err := fmt.Fprintf(a.stdout, "%s  %-11s  %s\n", r.Time.Local().Format("15:04:05.000"), r.Stream, visible(r.Text, recordIndent, "\t"))
	return err
}

// streams is a page of an execution's output. Finished says that none comes after it.
type streams struct {
	Value    []record `json:"value"`
	Finished bool     `json:"finished"`
	Progress struct { // how far it is
		Seq  int64  `json:"seq"`
		Text string `json:"text"`
	} `json:"progress"`
}

// follow gives the records of an execution to show, in order: those that there are, or with toEnd all until it ends.
// The server then holds each request until there is something to say.
func (c *client) follow(ctx context.Context, path string, toEnd bool, show func(record) error) error {
	return c.watch(ctx, path, 0, toEnd, &statusLine{}, show)
}

// watch is follow from the record after a number on, with a line for how far the execution is. What show writes is above
// that line.
func (c *client) watch(ctx context.Context, path string, after int64, toEnd bool, line *statusLine, show func(record) error) error {
	defer line.hide()
	for known := int64(0); ; {
		var page streams
		var err error
		query := fmt.Sprintf("%s/streams?after=%d", path, after)
		if line.w != nil { // nobody else is to be woken by it
			query += fmt.Sprintf("&progress=%d", known)
		}
		if toEnd {
			err = c.poll(ctx, query, &page)
		} else {
			_, err = c.do(ctx, http.MethodGet, query+"&wait=false", nil, &page)
		}
		if err != nil {
			return err
		}
		for _, r := range page.Value {
			line.hide()
			if err := show(r); err != nil {
				return err
			}
			after = r.Seq
		}
		known = page.Progress.Seq
		line.show(page.Progress.Text)
		if page.Finished || !toEnd && len(page.Value) == 0 {
			return nil
		}
	}
}

// ended waits for the end of an execution. It reads no output, of which there may be much: it asks for what comes
// after more records than there can be.
func (c *client) ended(ctx context.Context, path string, line *statusLine) error {
	const all = 1 << 53
	return c.watch(ctx, path, all, true, line, nil)
}
