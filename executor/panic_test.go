package executor_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// panicking is an executor's surroundings, which panic in one place.
type panicking struct {
	executor.Store
	executor.Secrets
	executor.Sessions
	audit.Writer
	where string
	once  chan struct{}
}

func (p *panicking) at(where string) {
	if where == p.where {
		panic("a mistake at " + where)
	}
}

func (p *panicking) Watch(id string) (<-chan struct{}, func()) {
	p.at("guard")
	return p.Store.Watch(id)
}

func (p *panicking) Append(ctx context.Context, id string, fence int64, recs []domain.Record) error {
	p.at("append")
	return p.Store.Append(ctx, id, fence, recs)
}

func (p *panicking) AppendAudit(ctx context.Context, id string, fence int64, events []audit.Event) error {
	p.at("audit")
	return p.Store.AppendAudit(ctx, id, fence, events)
}

// Finish panics once.
func (p *panicking) Finish(ctx context.Context, id string, fence int64, o domain.Outcome) error {
	select {
	case <-p.once:
	default:
		close(p.once)
		p.at("finish")
	}
	return p.Store.Finish(ctx, id, fence, o)
}

func (p *panicking) Open(ctx context.Context, x domain.Execution, listen domain.Listen, record audit.Writer) (domain.Grant, error) {
	p.at("open")
	return p.Sessions.Open(ctx, x, listen, record)
}

type panickingSecrets struct{ *panicking }

func (p panickingSecrets) Write(ctx context.Context, cloud domain.CloudID, pkg, version string, changes map[string]*secret.Text) error {
	p.at("keep")
	return p.Secrets.Write(ctx, cloud, pkg, version, changes)
}

type panickingTrail struct{ *panicking }

func (p panickingTrail) Write(ctx context.Context, e audit.Event) {
	p.at(e.Action)
	p.Writer.Write(ctx, e)
}

// panickingRuntime panics itself, or has its host panic in whichever goroutine calls it.
type panickingRuntime struct {
	runtime.Runtime
	*panicking
}

func (r panickingRuntime) Run(ctx context.Context, p runtime.Prepared, stop <-chan struct{}, h runtime.Host) runtime.End {
	r.at("run")
	return r.Runtime.Run(ctx, p, stop, panickingHost{h, r.panicking})
}

type panickingHost struct {
	runtime.Host
	*panicking
}

func (h panickingHost) Write(s domain.Stream, text []byte) {
	h.at(string(text))
	h.Host.Write(s, text)
}

// A mistake of ours ends the execution that meets it, and nothing else.
func TestPanic(t *testing.T) {
	t.Parallel()
	for where, cmdlet := range map[string]string{
		"executions/claim": "Set-Secrets",
		"executions/start": "Set-Secrets",
		"open":             "Set-Secrets",
		"run":              "Set-Secrets",
		"guard":            "Wait-Forever",
		"append":           "Write-Flood",
		"audit":            "Wait-Forever",
		"stream 3":         "Write-All",   // the wire protocol
		"an error":         "Write-Plain", // standard error
		"ready":            "Start-Children",
		"keep":             "Set-Secrets",
		"finish":           "Wait-Forever",
		"executions/end":   "Wait-Forever",
	} {
		t.Run(strings.ReplaceAll(where, "/", " "), func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			p := &panicking{Store: h.store, Secrets: h.secrets, Sessions: h.config.Sessions, Writer: h.trail, where: where, once: make(chan struct{})}
			h.config.Store, h.config.Secrets, h.config.Sessions, h.config.Audit = p, panickingSecrets{p}, p, panickingTrail{p}
			b := h.start(t, func(e *executor.Executor) {
				e.SetBounds(0, 100*time.Millisecond, time.Millisecond)
				e.WrapRuntime(func(r runtime.Runtime) runtime.Runtime { return panickingRuntime{r, p} })
			})
			x := execution(1, "panics", cmdlet, "Value", "some-value")
			x.Timeout = time.Minute
			if cmdlet == "Wait-Forever" && where != "audit" {
				x.Timeout = time.Second
			}
			x = b.run(x)
			if where == "finish" || where == "executions/end" {
				wantFailed(t, x, errors.ScriptTimedOut)
			} else {
				wantFailed(t, x, errors.InternalError)
				if !strings.Contains(x.Failure.Message, x.ID) || strings.Contains(x.Failure.Message, "mistake") {
					t.Errorf("it says %q", x.Failure.Message)
				}
			}
			if kept := b.kept(t, 1); len(kept) != 0 {
				t.Errorf("kept: %v", kept)
			}
			b.wantNothingLeft(t)
			next := b.run(execution(2, "next", "No-Such"))
			if !next.State.Final() {
				t.Error("the next one did not end")
			}
			b.stop()
			if log := string(b.log.text()); !strings.Contains(log, "a mistake at "+where) || !strings.Contains(log, x.ID) || !strings.Contains(log, "panic_test.go") {
				t.Errorf("the log: %s", log)
			}
		})
	}
}
