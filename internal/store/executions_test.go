package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

func TestSubmitKeepsAllAndAnswersTheSameBody(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		c := f.putCloud(1)
		x := execution(domain.CloudID{Subscription: "SUB-1", ResourceGroup: "group", Name: "cloud-1"}, "Run-1")
		stored, created, err := f.Submit(t.Context(), x)
		ok(t, err)
		want := x
		want.Cloud, want.State = c, domain.Pending
		same(t, "submitted", stored, want)
		same(t, "created", created, true)
		f.reopen()
		same(t, "by name, in another case", must[domain.Execution](t)(f.Execution(t.Context(), x.Cloud, "rUN-1")), want)
		same(t, "by id", must[domain.Execution](t)(f.ExecutionByID(t.Context(), x.ID)), want)
		same(t, "operation", f.operation(x.ID), domain.Operation{ID: x.ID, Cloud: c, Execution: x.ID, Name: "Run-1", State: domain.Pending, Started: morning})

		again := x
		again.ID, again.Name = newID(), "RUN-1"
		stored, created, err = f.Submit(t.Context(), again)
		ok(t, err)
		same(t, "the same body again", stored, want)
		same(t, "created again", created, false)
	})
}

func TestSubmitRefuses(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		c := f.putCloud(1)
		x := f.submit(c, "x")
		other := execution(c, "X")
		other.BodyDigest = []byte("another")
		_, _, err := f.Submit(t.Context(), other)
		want(t, err, errors.Conflict)
		_, _, err = f.Submit(t.Context(), execution(cloudID(9), "y"))
		want(t, err, errors.ResourceNotFound)
		page, next, err := f.Executions(t.Context(), c, "", 10)
		ok(t, err)
		same(t, "what there is", page, []domain.Execution{x})
		same(t, "next", next, "")
	})
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		f := newFixture(t, e, Config{MaxQueued: 2})
		a, b := f.putCloud(1), f.putCloud(2)
		f.submit(a, "1")
		two := f.submit(a, "2")
		_, _, err := f.Submit(t.Context(), execution(a, "3"))
		want(t, err, errors.TooManyRequests)
		f.submit(b, "another cloud")
		_, created, err := f.Submit(t.Context(), two) // an answer that got lost is given again
		ok(t, err)
		same(t, "created", created, false)

		_, _, err = f.Delete(t.Context(), a, "1", newID())
		ok(t, err)
		f.submit(a, "3")
		_ = must[domain.Execution](t)(f.Cancel(t.Context(), a, "2"))
		f.submit(a, "4")
		_, _, err = f.Submit(t.Context(), execution(a, "5"))
		want(t, err, errors.TooManyRequests)
		_ = must[[]domain.Claim](t)(f.Claim(t.Context(), "node", 10))
		f.submit(a, "5")
	}
}

func TestPagesAreStable(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		c, other := f.putCloud(1), f.putCloud(2)
		for i := range 7 {
			f.submit(c, fmt.Sprint(i))
			f.submit(other, fmt.Sprint(i))
		}
		var got []string
		next, pages := "", 0
		for {
			page, following, err := f.Executions(t.Context(), domain.CloudID{Subscription: "sub-1", ResourceGroup: "GROUP", Name: "CLOUD-1"}, next, 3)
			ok(t, err)
			for _, x := range page {
				got = append(got, x.Name)
			}
			if pages++; following == "" {
				break
			}
			next = following
			if pages == 1 { // the one that the token was made from, one before it, one after it
				for _, name := range []string{"0", "2", "5"} {
					_, _, err := f.Delete(t.Context(), c, name, newID())
					ok(t, err)
				}
				f.submit(c, "7")
			}
		}
		same(t, "names", got, []string{"0", "1", "2", "3", "4", "6", "7"})
		_, _, err := f.Executions(t.Context(), c, "no token!", 3)
		want(t, err, errors.InvalidRequest)
	})
}

func TestPositionSaysWhatIsWaitedFor(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		c := f.putCloud(1)
		first, second, third := f.submit(c, "first"), f.submit(c, "second"), f.submit(c, "third")
		position := func(x domain.Execution) domain.Position {
			return must[domain.Position](t)(f.Position(t.Context(), x.ID))
		}
		same(t, "nothing runs", position(third), domain.Position{Ahead: 2})
		claim := f.claimOne()
		same(t, "the running one", position(first), domain.Position{})
		same(t, "second", position(second), domain.Position{Ahead: 1, Running: "first"})
		same(t, "third", position(third), domain.Position{Ahead: 2, Running: "first"})
		_ = must[domain.Execution](t)(f.Cancel(t.Context(), c, "second"))
		same(t, "third moves up", position(third), domain.Position{Ahead: 1, Running: "first"})
		f.finish(claim, domain.Outcome{State: domain.Succeeded})
		same(t, "third is next", position(third), domain.Position{})
		_, err := f.Position(t.Context(), newID())
		want(t, err, errors.ResourceNotFound)
	})
}

func TestCancel(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		c := f.putCloud(1)
		runs := f.running(c, "runs")
		waits := f.submit(c, "waits")
		changed, stop := f.Watch(waits.ID)
		defer stop()
		f.clock.t = morning.Add(time.Minute)

		x := must[domain.Execution](t)(f.Cancel(t.Context(), c, "WAITS"))
		same(t, "waiting one", []any{x.State, x.Finished, x.Sealed}, []any{domain.Canceled, f.clock.t, []byte(nil)})
		op := f.operation(waits.ID)
		same(t, "its operation", []any{op.State, op.Finished}, []any{domain.Canceled, f.clock.t})
		woken(t, changed, true)

		changed, stop = f.Watch(runs.Execution.ID)
		defer stop()
		x = must[domain.Execution](t)(f.Cancel(t.Context(), c, "runs"))
		same(t, "running one", x.State, domain.Cancelling)
		same(t, "its operation", f.operation(x.ID).State, domain.Cancelling)
		woken(t, changed, true)
		want(t, f.Seal(t.Context(), x.ID, runs.Fence, []byte("intent")), errors.ScriptCanceled)
		f.finish(runs, domain.Outcome{State: domain.Canceled})
		before := must[domain.Execution](t)(f.ExecutionByID(t.Context(), x.ID))
		same(t, "final one", must[domain.Execution](t)(f.Cancel(t.Context(), c, "runs")), before)
		_, err := f.Cancel(t.Context(), c, "none")
		want(t, err, errors.ResourceNotFound)
	})
}

func TestDeleteInEveryState(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		c := f.putCloud(1)
		ctx := t.Context()
		_, existed, err := f.Delete(ctx, c, "none", newID())
		ok(t, err)
		same(t, "existed", existed, false)
		remove := func(name string) domain.Operation {
			t.Helper()
			op, existed, err := f.Delete(ctx, c, name, newID())
			ok(t, err)
			same(t, "existed", existed, true)
			same(t, "operation", f.operation(op.ID), op)
			return op
		}
		waiting := f.submit(c, "x")
		same(t, "DELETE of a waiting one", remove("X").State, domain.Succeeded)
		f.gone(waiting)
		same(t, "its PUT", f.operation(waiting.ID).State, domain.Canceled)

		for _, outcome := range []domain.Outcome{{State: domain.Succeeded}, {State: domain.Failed, Failure: &domain.Failure{Code: errors.ScriptFailed, Message: "It failed."}}, {State: domain.Canceled}} {
			claim := f.running(c, "x") // the name is free again
			ok(t, f.Append(ctx, claim.Execution.ID, claim.Fence, lines(1, domain.Output, "a")))
			f.finish(claim, outcome)
			same(t, "DELETE of an ended one", remove("x").State, domain.Succeeded)
			f.gone(claim.Execution)
			op := f.operation(claim.Execution.ID)
			same(t, "its PUT", []any{op.State, op.Failure}, []any{outcome.State, outcome.Failure})
		}

		for _, cancel := range []bool{false, true} {
			claim := f.running(c, "x")
			id := claim.Execution.ID
			ok(t, f.Append(ctx, id, claim.Fence, lines(1, domain.Output, "a")))
			if cancel {
				_ = must[domain.Execution](t)(f.Cancel(ctx, c, "x"))
			}
			changed, stop := f.Watch(id)
			op := remove("x")
			same(t, "DELETE of a running one", op.State, domain.Deleting)
			woken(t, changed, true)
			second := remove("x")
			_, _, err = f.Submit(ctx, execution(c, "x"))
			want(t, err, errors.Conflict)
			same(t, "still there", f.state(id), domain.Deleting)
			ok(t, f.Append(ctx, id, claim.Fence, lines(2, domain.Output, "b")))
			f.finish(claim, domain.Outcome{State: domain.Succeeded})
			woken(t, changed, true)
			stop()
			f.gone(claim.Execution)
			same(t, "the PUT", f.operation(id).State, domain.Canceled)
			same(t, "the DELETE", f.operation(op.ID).State, domain.Succeeded)
			same(t, "the second DELETE", f.operation(second.ID).State, domain.Succeeded)
		}
	})
}

func TestExpire(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		c := f.putCloud(1)
		short := f.running(c, "short") // retention of 48 h
		f.finish(short, domain.Outcome{State: domain.Succeeded})
		x := execution(c, "default")
		x.Retention = 0
		_, _, err := f.Submit(t.Context(), x)
		ok(t, err)
		f.finish(f.claimOne(), domain.Outcome{State: domain.Failed})
		waiting := f.submit(c, "waiting")

		expire := func(after time.Duration, want int) {
			t.Helper()
			f.clock.t = morning.Add(after)
			same(t, "expired", must[int](t)(f.Expire(t.Context(), 10)), want)
		}
		expire(48*time.Hour-time.Microsecond, 0)
		expire(48*time.Hour, 1)
		f.gone(short.Execution)
		same(t, "its operation", f.operation(short.Execution.ID).State, domain.Succeeded)
		expire(72*time.Hour-time.Microsecond, 0)
		expire(72*time.Hour, 1)
		_, err = f.Operation(t.Context(), short.Execution.ID)
		want(t, err, errors.ResourceNotFound)
		expire(60*24*time.Hour-time.Microsecond, 0)
		expire(60*24*time.Hour, 1)
		f.gone(x)
		expire(1000*24*time.Hour, 1) // the operation
		same(t, "what waits stays", f.state(waiting.ID), domain.Pending)

		for i := range 5 {
			_ = must[domain.Execution](t)(f.Cancel(t.Context(), c, f.submit(c, fmt.Sprint(i)).Name))
		}
		f.clock.t = f.clock.t.Add(48 * time.Hour)
		for _, want := range []int{2, 2, 1} {
			same(t, "at most 2", must[int](t)(f.Expire(t.Context(), 2)), want)
		}
	})
}
