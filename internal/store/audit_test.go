package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// calls are n audit events from the seq on; each says its own seq.
func calls(from, n int64) (events []audit.Event) {
	for seq := from; seq < from+n; seq++ {
		events = append(events, audit.Event{
			Seq: seq, Time: morning.Add(time.Duration(seq) * time.Millisecond), Actor: "execution-x", Action: "vcenter/call",
			Target: fmt.Sprint("vm-", seq), Result: "ok", Host: "vc.example", Method: "PowerOnVM_Task",
			Sent: 100 + seq, Received: 200, Duration: 3 * time.Microsecond,
		})
	}
	return events
}

// audited are all events of an execution.
func (f *fixture) audited(id string) []audit.Event {
	f.t.Helper()
	return must[[]audit.Event](f.t)(f.Audit(f.t.Context(), id, 0, 1<<30))
}

// of are events as they are read: with their execution and its private cloud.
func of(x domain.Execution, events []audit.Event) []audit.Event {
	for i := range events {
		events[i].Execution, events[i].Cloud = x.ID, x.Cloud.String()
	}
	return events
}

func (f *fixture) appendAudit(c domain.Claim, events ...audit.Event) {
	f.t.Helper()
	ok(f.t, f.AppendAudit(f.t.Context(), c.Execution.ID, c.Fence, events))
}

func TestAuditComesBackInOrder(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		claim := f.running(f.putCloud(1), "x")
		id := claim.Execution.ID
		same(t, "before the first", len(f.audited(id)), 0)
		first := audit.Event{Seq: 1, Time: morning, Actor: "a", Action: "ssh/exec", Target: "ünd \n✓", Result: "exit 1", Detail: "d", Host: "h", Method: "m", Count: 7}
		f.appendAudit(claim, first)
		f.appendAudit(claim, calls(2, 300)...)
		f.appendAudit(claim, calls(302, 5)...)
		f.reopen()
		all := of(claim.Execution, append([]audit.Event{first}, calls(2, 305)...))
		same(t, "all", f.audited(id), all)
		for _, limit := range []int{1, 100, 306, 307} {
			var got []audit.Event
			for {
				page := must[[]audit.Event](t)(f.Audit(t.Context(), id, int64(len(got)), limit))
				if len(page) == 0 || len(got) > len(all) {
					break
				}
				if len(page) > limit {
					t.Fatalf("%d events in a page of %d", len(page), limit)
				}
				got = append(got, page...)
			}
			same(t, fmt.Sprint("in pages of ", limit), got, all)
		}
		_, err := f.Audit(t.Context(), newID(), 0, 10)
		want(t, err, errors.ResourceNotFound)
	})
}

func TestAuditRefusesGapsAndOverlaps(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx, claim := t.Context(), f.running(f.putCloud(1), "x")
		id := claim.Execution.ID
		ok(t, f.AppendAudit(ctx, id, claim.Fence, nil))
		want(t, f.AppendAudit(ctx, id, claim.Fence, calls(2, 1)), errors.Conflict)
		want(t, f.AppendAudit(ctx, id, claim.Fence, calls(0, 1)), errors.Conflict)
		f.appendAudit(claim, calls(1, 2)...)
		for _, from := range []int64{1, 2, 4} {
			want(t, f.AppendAudit(ctx, id, claim.Fence, calls(from, 2)), errors.Conflict)
		}
		want(t, f.AppendAudit(ctx, id, claim.Fence, append(calls(3, 1), calls(5, 1)...)), errors.Conflict)
		if f.AppendAudit(ctx, id, claim.Fence, calls(3, auditEvents+1)) == nil {
			t.Error("stored a chunk past its bound")
		}
		want(t, f.AppendAudit(ctx, id, claim.Fence+1, calls(3, 1)), errors.ExecutorLost)
		f.finish(claim, domain.Outcome{State: domain.Succeeded})
		want(t, f.AppendAudit(ctx, id, claim.Fence, calls(3, 1)), errors.ExecutorLost)
		same(t, "what is stored", f.audited(id), of(claim.Execution, calls(1, 2)))
	})
}

func TestAuditIsRewritten(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx, claim := t.Context(), f.running(f.putCloud(1), "x")
		id := claim.Execution.ID
		for from := int64(1); from < 40; from += 10 {
			f.appendAudit(claim, calls(from, 10)...)
		}
		var seen []audit.Event
		ok(t, f.RewriteAudit(ctx, id, claim.Fence, 21, func(events []audit.Event) bool {
			seen = append(seen, events...)
			events[3].Target = "[redacted]"
			return events[0].Seq != 11 // then what changed is not kept
		}))
		if len(seen) != 30 || seen[0].Seq != 1 || seen[29].Seq != 30 {
			t.Errorf("seen: %d events, %+v", len(seen), seen)
		}
		all := of(claim.Execution, calls(1, 40))
		all[3].Target, all[23].Target = "[redacted]", "[redacted]"
		same(t, "stored", f.audited(id), all)
		f.appendAudit(claim, calls(41, 1)...)
		want(t, f.RewriteAudit(ctx, id, claim.Fence+1, 1, func([]audit.Event) bool { return true }), errors.ExecutorLost)
	})
}

// What is audited of an execution whose executor is lost stays; it goes with its record.
func TestAuditOutlivesTheExecutorAndGoesWithTheRecord(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		lost, gone, removed := f.running(f.putCloud(1), "lost"), f.running(f.putCloud(2), "gone"), f.running(f.putCloud(3), "removed")
		for _, c := range []domain.Claim{lost, gone, removed} {
			for from := int64(1); from <= 2*tidyChunks; from++ {
				f.appendAudit(c, calls(from, 1)...)
			}
		}
		f.reopen()
		must[[]Lost](t)(f.Recover(ctx))
		same(t, "state", f.state(lost.Execution.ID), domain.Failed)
		same(t, "audited", f.audited(lost.Execution.ID), of(lost.Execution, calls(1, 2*tidyChunks)))

		_, _, err := f.Delete(ctx, cloudID(2), "gone", newID())
		ok(t, err)
		f.gone(gone.Execution)
		must[bool](t)(f.RemovePrivateCloud(ctx, cloudID(3)))
		f.gone(removed.Execution)
		for more := true; more; {
			more = must[bool](t)(f.sweep(ctx))
		}
		left := must[[]string](t)(read(ctx, f.Store, func(v view) ([]string, error) {
			return list(v, scanText, `SELECT DISTINCT execution FROM audit_chunks`)
		}))
		same(t, "whose audit is left", left, []string{lost.Execution.ID})
	})
}
