package store

import (
	"fmt"
	"slices"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// A paused queue takes executions, starts none, says so, and goes on in the same order.
func TestPause(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		paused := cloud(1)
		paused.Paused = true
		other := f.putCloud(2)
		c := f.putCloud(1)
		running := f.running(c, "running")
		ok(t, f.PutPrivateCloud(ctx, paused))
		var names []string
		for n := range 3 {
			names = append(names, fmt.Sprint("x", n))
			f.submit(c, names[n])
		}
		same(t, "what runs, and the pause", must[domain.Position](t)(f.Position(ctx, must[domain.Execution](t)(f.Execution(ctx, c, "x1")).ID)),
			domain.Position{Ahead: 2, Running: "running", Paused: true})
		f.finish(running, domain.Outcome{State: domain.Succeeded})
		same(t, "claims while it is paused", len(must[[]domain.Claim](t)(f.Claim(ctx, "node", 10))), 0)
		f.submit(other, "elsewhere")
		f.finish(f.claimOne(), domain.Outcome{State: domain.Succeeded})
		f.reopen()
		same(t, "after a restart", len(must[[]domain.Claim](t)(f.Claim(ctx, "node", 10))), 0)

		for len(f.Work()) > 0 {
			<-f.Work()
		}
		ok(t, f.PutPrivateCloud(ctx, cloud(1)))
		woken(t, f.Work(), true)
		var order []string
		for range names {
			claim := f.claimOne()
			order = append(order, claim.Execution.Name)
			f.finish(claim, domain.Outcome{State: domain.Succeeded})
		}
		if !slices.Equal(order, names) {
			t.Errorf("the order is %v", order)
		}
	})
}

func TestRemovePrivateCloud(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx, c, other := t.Context(), f.putCloud(1), f.putCloud(2)
		running := f.running(c, "ended")
		kept := f.submit(other, "kept")
		ok(t, f.Append(ctx, running.Execution.ID, running.Fence, lines(1, domain.Output, "a")))
		waiting := f.submit(c, "waits")
		_, err := f.LearnHostKey(ctx, c, "esx1.example", "ssh-ed25519 A")
		ok(t, err)
		refused := func(what string) {
			t.Helper()
			_, err := f.RemovePrivateCloud(ctx, c)
			want(t, err, errors.Conflict)
			same(t, what, must[domain.PrivateCloud](t)(f.PrivateCloud(ctx, c)), cloud(1))
		}
		refused("while one runs and one waits")
		f.finish(running, domain.Outcome{State: domain.Succeeded})
		refused("while one waits")
		_ = must[domain.Execution](t)(f.Cancel(ctx, c, "waits"))

		same(t, "removed", must[bool](t)(f.RemovePrivateCloud(ctx, domain.CloudID{Subscription: "SUB-1", ResourceGroup: "group", Name: "CLOUD-1"})), true)
		same(t, "again", must[bool](t)(f.RemovePrivateCloud(ctx, c)), false)
		f.gone(running.Execution)
		f.gone(waiting)
		_, err = f.PrivateCloud(ctx, c)
		want(t, err, errors.ResourceNotFound)
		same(t, "the operation outlives it", f.operation(running.Execution.ID).State, domain.Succeeded)
		same(t, "another's execution", f.state(kept.ID), domain.Pending)

		// One of the same name is a new one.
		f.putCloud(1)
		same(t, "host keys", len(must[map[string]string](t)(f.HostKeys(ctx, c))), 0)
		page, _, err := f.Executions(ctx, c, "", 10)
		ok(t, err)
		same(t, "executions", len(page), 0)
		f.submit(c, "ended")
	})
}

func TestHostKeys(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		c := cloud(1)
		c.Connection = &domain.Connection{Hosts: []domain.SSHHost{{Name: "esx1"}, {Name: "esx2"}, {Name: "VC"}}}
		ok(t, f.PutPrivateCloud(ctx, c))
		learn := func(host, key string) string { return must[string](t)(f.LearnHostKey(ctx, c.ID, host, key)) }
		for _, h := range c.Connection.Hosts {
			same(t, "first", learn(h.Name, "key of "+h.Name), "key of "+h.Name)
		}
		same(t, "another one", learn("esx1", "other"), "key of esx1")
		c.Connection.Hosts[1].HostKey = "pinned"
		c.Connection.Hosts = c.Connection.Hosts[:2]
		ok(t, f.PutPrivateCloud(ctx, c))
		same(t, "of hosts without a key of their own", must[map[string]string](t)(f.HostKeys(ctx, c.ID)), map[string]string{"esx1": "key of esx1"})
		_, err := f.LearnHostKey(ctx, cloudID(9), "esx1", "key")
		want(t, err, errors.ResourceNotFound)
	})
}
