package server_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/server/internal/role"
)

// Whoever was shown a secret or a token over the API is the same person as its principal where a package is reviewed.
func TestWhoWasShownACredential(t *testing.T) {
	t.Parallel()
	anna, bert := person("anna"), person("bert")
	e := startWith(t, anna, bert)
	for _, one := range []domain.Identity{anna, bert} {
		e.give(role.Provider, domain.Everywhere, one.Principal)
	}
	type made struct {
		Properties struct{ PrincipalID, Token string }
	}
	token := func(by string) domain.Principal {
		t.Helper()
		m := decode[made](t, e.as(by, "POST", "/providers/Airlock/tokens", `{"properties":{"displayName":"T"}}`).want(t, 201, ""))
		return domain.Principal{ID: m.Properties.PrincipalID, Type: domain.ServicePrincipal}
	}
	client := domain.Client{ID: "11111111-2222-3333-4444-555555555555"}.Principal()
	path := "/providers/Airlock/servicePrincipals/11111111-2222-3333-4444-555555555555"
	e.as("bert", "PUT", path, `{"properties":{"displayName":"C"}}`).want(t, 201, "") // shows him nothing
	e.as("anna", "POST", path+"/addSecret", "").want(t, 200, "")

	annas, berts := token("anna"), token("bert")
	for i, c := range []struct {
		pusher, reviewer domain.Principal
		allowed          bool
	}{
		{annas, anna.Principal, false}, {anna.Principal, annas, false}, {annas, berts, true}, {annas, bert.Principal, true},
		{client, anna.Principal, false}, {client, annas, false}, {client, bert.Principal, true}, {berts, client, true},
	} {
		p := domain.Package{Name: "P", Version: fmt.Sprint("1.0.", i), Digest: fmt.Sprint(i), Pushed: time.Now(), PushedBy: c.pusher, Review: domain.Review{State: domain.Submitted}}
		if err := e.store.PutPackage(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		_, err := e.store.DecidePackage(t.Context(), domain.Decision{Digest: p.Digest, Review: domain.Review{State: domain.Approved, By: c.reviewer, Time: time.Now()}})
		if c.allowed != (err == nil) || err != nil && !errors.Has(err, errors.AuthorizationFailed) {
			t.Errorf("%s reviews what %s pushed: %v", c.reviewer.ID, c.pusher.ID, err)
		}
	}
}
