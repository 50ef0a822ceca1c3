package executor_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// recorded are sessions whose calls a test makes up.
type recorded struct {
	executor.Sessions
	record audit.Writer
}

func (r *recorded) Open(ctx context.Context, x domain.Execution, listen domain.Listen, record audit.Writer) (domain.Grant, error) {
	r.record = record
	return r.Sessions.Open(ctx, x, listen, record)
}

// calling runs what a test has in the place of a script.
type calling struct {
	runtime.Runtime
	script func(h runtime.Host)
}

func (c calling) Run(_ context.Context, _ runtime.Prepared, stop <-chan struct{}, h runtime.Host) runtime.End {
	if err := h.Started(); err != nil {
		return runtime.End{Err: err}
	}
	c.script(h)
	return runtime.End{}
}

// startCalling starts an executor whose executions do what script says, with a way to make up calls.
func (h *home) startCalling(t *testing.T, script func(h runtime.Host, call func(method, target string))) *bench {
	t.Helper()
	r := &recorded{Sessions: h.config.Sessions}
	h.config.Sessions = r
	call := func(method, target string) {
		r.record.Write(t.Context(), audit.Event{Time: time.Now(), Action: "vcenter/call", Host: "vc.example.test", Method: method, Target: target, Result: "ok"})
	}
	return h.start(t, func(e *executor.Executor) {
		e.SetBounds(0, 0, time.Millisecond)
		e.WrapRuntime(func(inner runtime.Runtime) runtime.Runtime {
			return calling{inner, func(h runtime.Host) { script(h, call) }}
		})
	})
}

// audited waits until so many events of an execution are stored.
func (h *home) audited(t *testing.T, id string, count int) (events []audit.Event) {
	t.Helper()
	h.until(t, id, func(domain.Execution) bool {
		var err error
		if events, err = h.store.Audit(context.Background(), id, 0, 1000); err != nil {
			t.Error(err)
		}
		return err != nil || len(events) >= count
	})
	return events
}

func TestAudit(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	value := secret.New(late)
	x := execution(1, "audited", "Test-Nothing")
	if err := h.secure(&x, "Secret", parameter); err != nil {
		t.Fatal(err)
	}
	b := h.startCalling(t, func(host runtime.Host, call func(method, target string)) {
		call("PowerOnVM_Task", "vm of "+parameter)
		call("Rename_Task", "to "+late)
		running := h.audited(t, x.ID, 3) // while it runs
		if e := running[1]; e.Seq != 2 || e.Execution != x.ID || e.Target != "vm of [redacted]" {
			t.Errorf("while it runs: %+v", e)
		}
		host.SetSecret("late", &value)
		call("GET /api/"+late, "")
	})
	wantSucceeded(t, b.run(x))
	events := h.audited(t, x.ID, 5)
	var read []string
	for _, e := range events {
		read = append(read, strings.TrimSpace(e.Action+" "+e.Method+" "+e.Target))
	}
	want := []string{"sessions/open vc.example.test", "vcenter/call PowerOnVM_Task vm of [redacted]", "vcenter/call Rename_Task to [redacted]", "vcenter/call GET /api/[redacted]", "sessions/close vc.example.test"}
	for i := range read {
		read[i] = strings.ReplaceAll(read[i], "  ", " ")
	}
	if !slices.Equal(read, want) {
		t.Errorf("the audit reads %q", read)
	}
	if got := b.trail.actionsOf(x.ID, "vcenter/call"); len(got) != 3 || got[0] != "vm of [redacted]" {
		t.Errorf("the installation's log has the targets %q", got)
	}
	b.stop() // the last event comes after the final state
	if got := b.trail.of(x.ID); !slices.Equal(got, []string{"executions/claim ok", "executions/start ok", "executions/end ok"}) {
		t.Errorf("the executor's own events: %q", got)
	}
	b.close(t)
	b.wantFilesClean(t, map[string]string{"parameter": parameter, "late secret": late})
}

// unaudited is a store that does not take audit events until it is repaired.
type unaudited struct {
	executor.Store
	repaired atomic.Bool
	refused  chan struct{}
}

func (u *unaudited) AppendAudit(ctx context.Context, id string, fence int64, events []audit.Event) error {
	if !u.repaired.Load() {
		select {
		case u.refused <- struct{}{}:
		default:
		}
		return errors.Newf(errors.ServiceUnavailable, "The disk is full.")
	}
	return u.Store.AppendAudit(ctx, id, fence, events)
}

// An execution whose calls cannot be stored is ended, and says why; when the store takes them again none is missing.
func TestAuditCannotBeStored(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	u := &unaudited{Store: h.store, refused: make(chan struct{}, 10)}
	h.config.Store = u
	b := h.startCalling(t, func(_ runtime.Host, call func(method, target string)) {
		call("PowerOnVM_Task", "vm")
		for range 3 { // by the last time the execution was asked to end
			<-u.refused
			call("PowerOnVM_Task", "vm")
		}
		u.repaired.Store(true)
	})
	x := b.run(execution(1, "audited", "Test-Nothing"))
	wantFailed(t, x, errors.ServiceUnavailable)
	if x.Failure.Message != "The disk is full." {
		t.Errorf("it says %q", x.Failure.Message)
	}
	calls := 0
	for _, e := range h.audited(t, x.ID, 6) {
		if e.Action == "vcenter/call" {
			calls++
		}
	}
	if calls != 4 {
		t.Errorf("%d of 4 calls are stored", calls)
	}
}
