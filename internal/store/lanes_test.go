package store

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

func TestClaimIsFirstInFirstOutAndOneAtATime(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx, c := t.Context(), f.putCloud(1)
		same(t, "an empty queue", len(must[[]domain.Claim](t)(f.Claim(ctx, "node", 10))), 0)
		first, second := f.submit(c, "first"), f.submit(c, "second")
		f.setState(1, domain.CloudUpdating) // is judged by the executor
		claim := f.claimOne()
		first.State = domain.Running
		same(t, "claimed", claim.Execution, first)
		same(t, "its private cloud", claim.Cloud.State, domain.CloudUpdating)
		same(t, "while it runs", len(must[[]domain.Claim](t)(f.Claim(ctx, "node", 10))), 0)

		f.clock.t = morning.Add(time.Minute)
		ok(t, f.Start(ctx, first.ID, claim.Fence))
		f.clock.t = morning.Add(2 * time.Minute)
		outcome := domain.Outcome{State: domain.Succeeded, Warning: "another remark", NamedOutputs: map[string]string{"k": "v"}}
		f.finish(claim, outcome)
		first.State, first.Started, first.Finished, first.Sealed = domain.Succeeded, morning.Add(time.Minute), f.clock.t, nil
		first.Warning, first.NamedOutputs = outcome.Warning, outcome.NamedOutputs
		same(t, "finished", must[domain.Execution](t)(f.ExecutionByID(ctx, first.ID)), first)
		same(t, "its operation", f.operation(first.ID), domain.Operation{ID: first.ID, Cloud: c, Execution: first.ID, Name: "first",
			State: domain.Succeeded, Started: morning, Finished: f.clock.t})

		next := f.claimOne()
		same(t, "then", next.Execution.ID, second.ID)
		if next.Fence <= claim.Fence {
			t.Fatalf("fence %d after %d", next.Fence, claim.Fence)
		}
		failure := &domain.Failure{Code: errors.ScriptFailed, Message: "It failed."}
		f.finish(next, domain.Outcome{State: domain.Failed, Failure: failure, NamedOutputs: map[string]string{"k": "v"}})
		x := must[domain.Execution](t)(f.ExecutionByID(ctx, second.ID))
		same(t, "failed", []any{x.State, x.Failure, x.NamedOutputs, x.Warning}, []any{domain.Failed, failure, map[string]string(nil), "a remark"})
		same(t, "its operation", f.operation(second.ID).Failure, failure)
	})
}

func TestClaimIsFairBetweenPrivateClouds(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		var ids []domain.CloudID
		for n := range 4 {
			ids = append(ids, f.putCloud(n))
		}
		at := func(c domain.CloudID, name string, after time.Duration) {
			x := execution(c, name)
			x.Submitted = morning.Add(after)
			_, _, err := f.Submit(t.Context(), x)
			ok(t, err)
		}
		at(ids[3], "a", 1)
		at(ids[3], "b", 2*time.Second)
		at(ids[1], "c", time.Second)
		at(ids[0], "d", 3*time.Second)
		at(ids[2], "e", 4*time.Second)
		var got []string
		for range 5 {
			claims := must[[]domain.Claim](t)(f.Claim(t.Context(), "node", 1))
			same(t, "claims", len(claims), 1)
			got = append(got, claims[0].Execution.Name)
			if claims[0].Execution.Name != "d" { // whose lane stays taken
				f.finish(claims[0], domain.Outcome{State: domain.Succeeded})
			}
		}
		same(t, "order", got, []string{"a", "c", "b", "d", "e"})
	})
}

func TestOrderUnderConcurrentSubmitters(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		const submitters, clouds, each = 8, 5, 20
		for n := range clouds {
			f.putCloud(n)
		}
		var mu sync.Mutex
		tick := 0
		now := func() int { mu.Lock(); defer mu.Unlock(); tick++; return tick }
		type span struct{ sent, answered int }
		spans := map[string]span{} // by name
		var all sync.WaitGroup
		for s := range submitters {
			all.Go(func() {
				for i := range each {
					name := fmt.Sprintf("%d-%d", s, i)
					sent := now()
					if _, _, err := f.Submit(t.Context(), execution(cloudID((s+i)%clouds), name)); err != nil {
						t.Error(err)
						return
					}
					answered := now()
					mu.Lock()
					spans[name] = span{sent, answered}
					mu.Unlock()
				}
			})
		}
		claimed := map[domain.CloudID][]string{}
		total := 0
		claim := func() {
			for _, c := range must[[]domain.Claim](t)(f.Claim(t.Context(), "node", 3)) {
				claimed[c.Cloud.ID] = append(claimed[c.Cloud.ID], c.Execution.Name)
				total++
				f.finish(c, domain.Outcome{State: domain.Succeeded})
			}
		}
		for range 20 { // some while they come in
			claim()
		}
		all.Wait()
		for before := -1; total > before; {
			before = total
			claim()
		}
		same(t, "claimed", total, submitters*each)
		for c, names := range claimed {
			latest := 0 // the last moment at which one claimed so far was sent
			for _, name := range names {
				if spans[name].answered < latest {
					t.Fatalf("%s: %s was answered before another was sent that was claimed earlier", c, name)
				}
				latest = max(latest, spans[name].sent)
			}
		}
	})
}

func TestDatabaseForbidsTwoRunning(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		c := f.putCloud(1)
		runs := f.running(c, "runs")
		waits := f.submit(c, "waits")
		for _, state := range []domain.State{domain.Running, domain.Cancelling, domain.Deleting} {
			err := f.write(t.Context(), func(t *tx) error {
				_, err := t.exec(`UPDATE executions SET state = $1, fence = 99 WHERE id = $2`, state, waits.ID)
				return err
			})
			if err == nil {
				t.Fatalf("two executions run, one of them %s", state)
			}
		}
		// A lane that has been damaged to look free does not help either.
		ok(t, f.write(t.Context(), func(t *tx) error {
			_, err := t.exec(`UPDATE lanes SET running = NULL`)
			return err
		}))
		if claims, err := f.Claim(t.Context(), "node", 1); err == nil {
			t.Fatalf("claimed %v", claims)
		}
		same(t, "the one that runs", f.state(runs.Execution.ID), domain.Running)
		same(t, "the one that waits", f.state(waits.ID), domain.Pending)
	})
}

func TestFenceRefusesWhoHasLostTheExecution(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx, c := t.Context(), f.putCloud(1)
		claim := f.running(c, "x")
		id := claim.Execution.ID
		ended := f.submit(c, "waits")
		before := must[domain.Execution](t)(f.ExecutionByID(ctx, id))
		for _, at := range []struct {
			id    string
			fence int64
		}{{id, claim.Fence + 1}, {id, claim.Fence - 1}, {ended.ID, 0}, {newID(), claim.Fence}} {
			for what, err := range map[string]error{
				"MarkUpdating": f.MarkUpdating(ctx, at.id, at.fence),
				"Start":        f.Start(ctx, at.id, at.fence),
				"Append":       f.Append(ctx, at.id, at.fence, lines(1, domain.Output, "a")),
				"SetProgress":  f.SetProgress(ctx, at.id, at.fence, "halfway"),
				"Rewrite":      f.Rewrite(ctx, at.id, at.fence, func(r []domain.Record) ([]domain.Record, bool) { return r, true }),
				"Seal":         f.Seal(ctx, at.id, at.fence, []byte("intent")),
				"Finish":       f.Finish(ctx, at.id, at.fence, domain.Outcome{State: domain.Succeeded}),
			} {
				if !errors.Has(err, errors.ExecutorLost) {
					t.Errorf("%s: %v", what, err)
				}
			}
		}
		same(t, "execution", must[domain.Execution](t)(f.ExecutionByID(ctx, id)), before)
		f.finish(claim, domain.Outcome{State: domain.Succeeded})
		want(t, f.Finish(ctx, id, claim.Fence, domain.Outcome{State: domain.Failed}), errors.ExecutorLost)
		same(t, "the first end stays", f.state(id), domain.Succeeded)
	})
}

func TestFinishWantsAFinalState(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		claim := f.running(f.putCloud(1), "x")
		for _, state := range []domain.State{domain.Pending, domain.Running, domain.Deleting, "", "Nonsense"} {
			if err := f.Finish(t.Context(), claim.Execution.ID, claim.Fence, domain.Outcome{State: state}); err == nil {
				t.Errorf("finished as %q", state)
			}
		}
		same(t, "state", f.state(claim.Execution.ID), domain.Running)
	})
}

func TestRecover(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		claims := map[string]domain.Claim{}
		for n, name := range []string{"ran", "cancelling", "deleting", "sealed"} {
			c := f.running(f.putCloud(n), name)
			claims[name] = c
			ok(t, f.MarkUpdating(ctx, c.Execution.ID, c.Fence))
			ok(t, f.Append(ctx, c.Execution.ID, c.Fence, lines(1, domain.Output, "a")))
			f.submit(c.Cloud.ID, "next")
		}
		f.setState(1, domain.CloudUpdating) // by hand, not the mark of "cancelling"
		_ = must[domain.Execution](t)(f.Cancel(ctx, cloudID(1), "cancelling"))
		deletion, _, err := f.Delete(ctx, cloudID(2), "deleting", newID())
		ok(t, err)
		ok(t, f.Seal(ctx, claims["sealed"].Execution.ID, claims["sealed"].Fence, []byte("intent")))
		if _, err := f.Recover(ctx); err == nil {
			t.Fatal("recovered what this process runs")
		}

		f.reopen()
		lost := must[[]Lost](t)(f.Recover(ctx))
		same(t, "lost", len(lost), 4)
		for _, l := range lost {
			c := claims[l.Claim.Execution.Name]
			same(t, "lost", []any{l.Claim.Execution.ID, l.Claim.Fence, l.Claim.Cloud.ID}, []any{c.Execution.ID, c.Fence, c.Cloud.ID})
			same(t, "intent", string(l.Intent), map[string]string{"sealed": "intent"}[l.Claim.Execution.Name])
		}
		x := must[domain.Execution](t)(f.ExecutionByID(ctx, claims["ran"].Execution.ID))
		same(t, "the running one", []any{x.State, x.Failure.Code, x.Sealed}, []any{domain.Failed, errors.ExecutorLost, []byte(nil)})
		same(t, "the cancelled one", f.state(claims["cancelling"].Execution.ID), domain.Canceled)
		f.gone(claims["deleting"].Execution)
		same(t, "the DELETE", f.operation(deletion.ID).State, domain.Succeeded)
		same(t, "the sealed one", f.state(claims["sealed"].Execution.ID), domain.Running)
		for n, state := range []domain.CloudState{domain.CloudSucceeded, domain.CloudUpdating, domain.CloudSucceeded, domain.CloudUpdating} {
			same(t, fmt.Sprint("private cloud ", n), must[domain.PrivateCloud](t)(f.PrivateCloud(ctx, cloudID(n))).State, state)
		}

		same(t, "claims", len(must[[]domain.Claim](t)(f.Claim(ctx, "node", 10))), 3)
		f.finish(claims["sealed"], domain.Outcome{State: domain.Succeeded}) // under the fence of the earlier process
		same(t, "rolled forward", f.state(claims["sealed"].Execution.ID), domain.Succeeded)
		same(t, "next", f.claimOne().Cloud.ID, cloudID(3))
	})
}

func TestWakeUps(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx, c := t.Context(), f.putCloud(1)
		woken(t, f.Work(), false)
		f.submit(c, "one")
		woken(t, f.Work(), true)
		woken(t, f.Work(), false)
		two := f.submit(c, "two")
		woken(t, f.Work(), true)
		claim := f.claimOne()
		id := claim.Execution.ID
		changed, stop := f.Watch(id)
		second, stopSecond := f.Watch(id)
		quiet, stopQuiet := f.Watch(two.ID)
		defer stopQuiet()
		for what, do := range map[string]func() error{
			"Start":  func() error { return f.Start(ctx, id, claim.Fence) },
			"Append": func() error { return f.Append(ctx, id, claim.Fence, lines(1, domain.Output, "a")) },
		} {
			ok(t, do())
			t.Log(what)
			woken(t, changed, true)
			woken(t, second, true)
		}
		for seq := range int64(3) { // several are one wake-up
			ok(t, f.Append(ctx, id, claim.Fence, lines(2+seq, domain.Output, "a")))
		}
		woken(t, changed, true)
		woken(t, changed, false)
		want(t, f.Append(ctx, id, claim.Fence, lines(99, domain.Output, "a")), errors.Conflict)
		woken(t, changed, false)
		stop()
		woken(t, f.Work(), false)
		f.finish(claim, domain.Outcome{State: domain.Succeeded})
		woken(t, f.Work(), true)
		woken(t, changed, false)
		woken(t, second, true)
		stopSecond()
		woken(t, quiet, false)
	})
}
