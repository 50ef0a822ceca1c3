package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

const (
	aRole   = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	another = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
)

func user(n int) domain.Principal {
	return domain.Principal{ID: fmt.Sprintf("entra:%d", n), Type: domain.User}
}

func assignment(at domain.Scope, p domain.Principal) domain.Assignment {
	return domain.Assignment{ID: uuid.NewString(), Scope: at, Role: aRole, Principal: p, Created: morning, CreatedBy: "somebody"}
}

func (f *fixture) give(a domain.Assignment) domain.Assignment {
	f.t.Helper()
	stored, created, err := f.PutAssignment(f.t.Context(), a)
	ok(f.t, err)
	if !created {
		f.t.Fatalf("%+v was not created", a)
	}
	return stored
}

func TestAssignments(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx, c := t.Context(), f.putCloud(1)
		subscription, group := domain.CloudID{Subscription: c.Subscription}.Scope(), domain.CloudID{Subscription: c.Subscription, ResourceGroup: c.ResourceGroup}.Scope()
		top, sub := f.give(assignment(domain.Everywhere, user(1))), f.give(assignment(subscription, user(2)))
		grp, own := f.give(assignment(group, user(1))), f.give(assignment(c.Scope(), user(3)))
		beside := f.give(assignment(subscription+"1", user(2)))
		f.give(assignment(group+"1", user(4)))

		f.reopen()
		at := func(scope domain.Scope) (ids []string) {
			for _, a := range must[[]domain.Assignment](t)(f.Assignments(ctx, scope)) {
				ids = append(ids, a.ID)
			}
			return ids
		}
		same(t, "around the subscription", len(at(domain.Scope(strings.ToUpper(string(subscription))))), 5)
		same(t, "around the group", at(group), []string{top.ID, sub.ID, grp.ID, own.ID})
		same(t, "around the private cloud", at(c.Scope()), []string{top.ID, sub.ID, grp.ID, own.ID})
		same(t, "around its neighbour", at(subscription+"1"), []string{top.ID, beside.ID})
		same(t, "all", len(at(domain.Everywhere)), 6)
		same(t, "as it was written", must[domain.Assignment](t)(f.Assignment(ctx, strings.ToUpper(own.ID))), own)
		_, err := f.Assignment(ctx, uuid.NewString())
		want(t, err, errors.ResourceNotFound)

		// The same again changes nothing; another with its id, or its like with another id, is refused.
		again := own
		again.Scope, again.CreatedBy = domain.Scope(strings.ToLower(string(own.Scope))), "somebody else"
		stored, created, err := f.PutAssignment(ctx, again)
		ok(t, err)
		if created {
			t.Error("the same assignment was created again")
		}
		same(t, "put again", stored, own)
		again.ID = uuid.NewString()
		_, _, err = f.PutAssignment(ctx, again)
		want(t, err, errors.RoleAssignmentExists)
		for _, change := range []func(*domain.Assignment){
			func(a *domain.Assignment) { a.Scope = group },
			func(a *domain.Assignment) { a.Role = another },
			func(a *domain.Assignment) { a.Principal.ID = "entra:9" },
			func(a *domain.Assignment) { a.Principal.Type = domain.Group },
		} {
			other := own
			change(&other)
			_, _, err = f.PutAssignment(ctx, other)
			want(t, err, errors.Conflict)
		}
		_, _, err = f.PutAssignment(ctx, assignment(cloudID(9).Scope(), user(1)))
		want(t, err, errors.ResourceNotFound)

		ok(t, f.DeleteAssignment(ctx, own.ID, false))
		ok(t, f.DeleteAssignment(ctx, own.ID, true))
		same(t, "after one was deleted", at(c.Scope()), []string{top.ID, sub.ID, grp.ID})
	})
}

// The last one of a role at its scope stays where that is asked for; what is elsewhere does not count.
func TestLastAssignment(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		one, two := f.give(assignment(domain.Everywhere, user(1))), f.give(assignment(domain.Everywhere, user(2)))
		f.give(assignment("/subscriptions/s", user(1)))
		ok(t, f.DeleteAssignment(t.Context(), one.ID, true))
		want(t, f.DeleteAssignment(t.Context(), two.ID, true), errors.Conflict)
		f.give(one)
		ok(t, f.DeleteAssignment(t.Context(), two.ID, true))
		ok(t, f.DeleteAssignment(t.Context(), one.ID, false))
	})
}

func TestAssignmentsOf(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		for n := range 150 {
			f.give(assignment(domain.Everywhere, user(n)))
		}
		f.give(assignment("/subscriptions/s", user(7)))
		of := func(principals ...domain.Principal) int {
			return len(must[[]domain.Assignment](t)(f.AssignmentsOf(t.Context(), principals)))
		}
		many := make([]domain.Principal, 149)
		for n := range many {
			many[n] = user(n)
		}
		same(t, "nobody's", of(), 0)
		same(t, "a stranger's", of(user(1000)), 0)
		same(t, "case", of(domain.Principal{ID: "ENTRA:7"}), 0)
		same(t, "one's", of(user(7)), 2)
		same(t, "two's", of(user(7), user(8)), 3)
		same(t, "those of many", of(many...), 150)
	})
}

func TestFeatures(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx, c := t.Context(), f.putCloud(1)
		look := func(state domain.FeatureState, preview bool) {
			t.Helper()
			same(t, "state", must[domain.FeatureState](t)(f.Feature(ctx, "sub-1", "SCRIPTINGpreview")), state)
			same(t, "preview", must[domain.PrivateCloud](t)(f.PrivateCloud(ctx, c)).Preview, preview)
		}
		look(domain.NotRegistered, false)
		ok(t, f.SetFeature(ctx, "Sub-2", domain.ScriptingPreview, true))
		ok(t, f.SetFeature(ctx, "Sub-1", "another", true))
		look(domain.NotRegistered, false)
		ok(t, f.SetFeature(ctx, "SUB-1", domain.ScriptingPreview, true))
		ok(t, f.SetFeature(ctx, "Sub-1", "ScriptingPreview", true))
		f.reopen()
		look(domain.Registered, true)
		ok(t, f.SetFeature(ctx, "Sub-1", domain.ScriptingPreview, false))
		look(domain.Unregistered, false)
	})
}
