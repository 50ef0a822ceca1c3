package store

import (
	"bytes"
	"os"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

func TestProgress(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx, claim := t.Context(), f.running(f.putCloud(1), "x")
		id := claim.Execution.ID
		changed, stop := f.Watch(id)
		defer stop()
		shows := func(p domain.Progress) {
			t.Helper()
			same(t, "progress", must[domain.Progress](t)(f.Progress(ctx, id)), p)
		}
		shows(domain.Progress{})
		say := func(text string, wakes bool) {
			t.Helper()
			ok(t, f.SetProgress(ctx, id, claim.Fence, text))
			woken(t, changed, wakes)
		}
		say("", false)
		say("copying 3 of 7", true)
		shows(domain.Progress{Seq: 1, Text: "copying 3 of 7"})
		say("copying 3 of 7", false)
		say("copying 4 of 7", true)
		f.reopen()
		shows(domain.Progress{Seq: 2, Text: "copying 4 of 7"})
		_, err := f.Progress(ctx, newID())
		want(t, err, errors.ResourceNotFound)
	})
}

func TestProgressGoesWithTheEnd(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		for n, end := range []func(c domain.Claim){
			func(c domain.Claim) { f.finish(c, domain.Outcome{State: domain.Succeeded}) },
			func(c domain.Claim) {
				must[domain.Execution](t)(f.Cancel(ctx, c.Execution.Cloud, "x"))
				f.finish(c, domain.Outcome{State: domain.Canceled})
			},
			func(domain.Claim) { f.reopen(); must[[]Lost](t)(f.Recover(ctx)) },
		} {
			claim := f.running(f.putCloud(n+1), "x")
			ok(t, f.SetProgress(ctx, claim.Execution.ID, claim.Fence, "copying 3 of 7"))
			end(claim)
			same(t, "progress", must[domain.Progress](t)(f.Progress(ctx, claim.Execution.ID)).Text, "")
			want(t, f.SetProgress(ctx, claim.Execution.ID, claim.Fence, "late"), errors.ExecutorLost)
		}
	})
}

// A script can say a secret that Airlock does not know yet.
func TestProgressIsSealed(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		claim := f.running(f.putCloud(1), "x")
		ok(t, f.SetProgress(t.Context(), claim.Execution.ID, claim.Fence, "the-canary"))
		for _, name := range []string{f.path, f.path + "-wal"} {
			data, err := os.ReadFile(name)
			if err != nil || bytes.Contains(data, []byte("the-canary")) {
				t.Errorf("%s has it, or cannot be read (%v)", name, err)
			}
		}
	})
}
