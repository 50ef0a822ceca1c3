package store

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/manifest"
)

func person(name string) domain.Principal {
	return domain.Principal{ID: "entra:" + name, Type: domain.User}
}

// submitted is a version that waits for its review.
func submitted(name, version string, by domain.Principal) domain.Package {
	return domain.Package{
		Name: name, Version: version, Digest: fmt.Sprintf("%064x", name+version)[:64], Size: 10, Pushed: morning, PushedBy: by,
		Spec:     domain.Spec{Authors: "A", Tags: []string{"PSModule"}, Dependencies: []domain.Dependency{{ID: "B", Range: "[1.0,2.0)"}}},
		Manifest: manifest.Manifest{Name: name, Version: version},
		Findings: []domain.ReviewFinding{{Rule: "login", Severity: domain.SeverityError, File: "a.psm1", Line: 3, Column: 1, Message: "m"}},
		Review:   domain.Review{State: domain.Submitted},
	}
}

func decide(p domain.Package, state domain.ReviewState, by domain.Principal, lock ...domain.PackageRef) domain.Decision {
	return domain.Decision{Digest: p.Digest, Review: domain.Review{State: state, By: by, Time: morning.Add(time.Hour), Reason: "because"}, Lock: lock}
}

func TestReview(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		p := submitted("A", "1.0.0", person("anna"))
		ok(t, f.PutPackage(ctx, p))
		have, err := f.PackageByDigest(ctx, p.Digest)
		ok(t, err)
		if diff := cmp.Diff(p, have); diff != "" {
			t.Error(diff)
		}
		d := decide(p, domain.Approved, person("bert"), domain.PackageRef{Name: "P", Version: "1.0.0", Digest: "d"})
		d.Review.Reason, d.Review.Acknowledged = "", []string{"login"}
		_, err = f.DecidePackage(ctx, d)
		want(t, err, errors.ResourceNotFound) // the lock names what is not there
		library := submitted("P", "1.0.0", person("anna"))
		library.Library, d.Lock[0].Digest = true, library.Digest
		ok(t, f.PutPackage(ctx, library))
		approved, err := f.DecidePackage(ctx, d)
		ok(t, err)
		p.Review, p.Lock = d.Review, d.Lock
		if diff := cmp.Diff(p, approved); diff != "" {
			t.Error(diff)
		}
		if library, err := f.PackageByDigest(ctx, library.Digest); err != nil || library.Review.State != domain.Approved || library.Review.By != person("bert") {
			t.Errorf("the library is %+v, %v", library.Review, err)
		}

		// Nothing leads back; what was approved can be deprecated by anybody, and withdrawn.
		for _, state := range []domain.ReviewState{domain.Submitted, domain.Approved} {
			_, err := f.DecidePackage(ctx, decide(p, state, person("carl")))
			want(t, err, errors.Conflict)
		}
		for _, state := range []domain.ReviewState{domain.Deprecated, domain.Rejected} {
			by := person("anna")
			if state == domain.Rejected {
				by = person("bert")
			}
			got, err := f.DecidePackage(ctx, decide(p, state, by))
			ok(t, err)
			if got.Review.State != state || got.Review.By != by || got.Review.Reason != "because" || len(got.Lock) != 1 || len(got.Review.Acknowledged) != 1 {
				t.Errorf("%s: %+v with the lock %v", state, got.Review, got.Lock)
			}
		}
		for _, state := range []domain.ReviewState{domain.Approved, domain.Deprecated, domain.Rejected} {
			_, err := f.DecidePackage(ctx, decide(p, state, person("carl")))
			want(t, err, errors.Conflict)
		}
		_, err = f.DecidePackage(ctx, domain.Decision{Digest: "none"})
		want(t, err, errors.ResourceNotFound)
	})
}

// Of many who decide at the same time one does.
func TestReviewAtOnce(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		p := submitted("A", "1.0.0", person("anna"))
		ok(t, f.PutPackage(t.Context(), p))
		var all sync.WaitGroup
		won := make(chan domain.Package, 20)
		for i := range 20 {
			all.Go(func() {
				d := decide(p, []domain.ReviewState{domain.Approved, domain.Rejected}[i%2], person(fmt.Sprint("reviewer", i)))
				got, err := f.DecidePackage(t.Context(), d)
				if err == nil {
					won <- got
				} else if !errors.Has(err, errors.Conflict) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		close(won)
		// A rejection of what was approved before is a decision of its own, and the last.
		have, err := f.PackageByDigest(t.Context(), p.Digest)
		ok(t, err)
		approvals, rejections := 0, 0
		for got := range won {
			if got.Review.State == domain.Approved {
				approvals++
			} else if rejections++; got.Review.By != have.Review.By {
				t.Errorf("%s rejected it, but it reads %s by %s", got.Review.By.ID, have.Review.State, have.Review.By.ID)
			}
		}
		if approvals > 1 || rejections > 1 || approvals+rejections == 0 {
			t.Errorf("%d approvals and %d rejections held", approvals, rejections)
		}
	})
}

// Somebody else is who cannot be the pusher: not by another login that he was shown, nor the other way round.
func TestReviewIsBySomebodyElse(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		token := func(id string, shownTo domain.Principal) domain.Principal {
			one := domain.StaticToken{ID: id, Name: id, Hash: []byte(id), Created: morning, Expires: morning.Add(time.Hour)}
			ok(t, f.AddStaticToken(ctx, one, shownTo))
			return one.Principal()
		}
		client := func(id string, shownTo ...domain.Principal) domain.Principal {
			c, _, err := f.PutClient(ctx, domain.Client{ID: id, Name: id, Created: morning})
			ok(t, err)
			for i, one := range shownTo {
				ok(t, f.AddClientSecret(ctx, id, domain.ClientSecret{ID: fmt.Sprint(id, i), Hash: []byte{1}, Created: morning, Expires: morning.Add(time.Hour)}, one))
			}
			return c.Principal()
		}
		anna, bert := person("anna"), person("bert")
		annas, annasOther, berts := token("annas", anna), token("annas-other", anna), token("berts", bert)
		gone := token("gone", anna)
		_, err := f.DeleteStaticToken(ctx, "gone", "")
		ok(t, err)
		app, shared := client("app", anna), client("shared", bert, anna)
		ofApp, ofToken := token("of-app", app), client("of-token", token("of-annas", annas))
		unknown := client("enrolled", domain.Principal{})

		for i, c := range []struct {
			name             string
			pusher, reviewer domain.Principal
			allowed          bool
		}{
			{"himself", anna, anna, false},
			{"another", anna, bert, true},
			{"with a token of his", annas, anna, false},
			{"approved with a token of his", anna, annas, false},
			{"two tokens of one", annas, annasOther, false},
			{"a token that is gone", gone, anna, false},
			{"a token that is gone, and another", gone, annasOther, false},
			{"tokens of two", annas, berts, true},
			{"by another's token", anna, berts, true},
			{"a service principal's secret", app, anna, false},
			{"the other way", anna, app, false},
			{"a service principal whose secret both know", anna, shared, false},
			{"the same for the other", bert, shared, false},
			{"and against a third", person("carl"), shared, true},
			{"a token that his service principal made", ofApp, anna, false},
			{"and its sibling", ofApp, annas, false},
			{"three steps away", anna, ofToken, false},
			{"three steps away, both", ofApp, ofToken, false},
			{"three steps away from another", bert, ofToken, true},
			{"shown to nobody", anna, unknown, true},
			{"the server itself", domain.Principal{}, anna, true},
			{"approved by the server itself", anna, domain.Principal{}, true},
			{"another issuer", anna, domain.Principal{ID: "oidc:anna", Type: domain.User}, true},
			{"as another type", anna, domain.Principal{ID: anna.ID, Type: domain.ServicePrincipal}, false},
		} {
			for _, state := range []domain.ReviewState{domain.Approved, domain.Rejected} {
				p := submitted("A", fmt.Sprintf("1.%d.%d", i, len(state)), c.pusher)
				ok(t, f.PutPackage(ctx, p))
				_, err := f.DecidePackage(ctx, decide(p, state, c.reviewer))
				if c.allowed != (err == nil) || err != nil && !errors.Has(err, errors.AuthorizationFailed) {
					t.Errorf("%s (%s): %v", c.name, state, err)
				}
			}
		}

		// What promotes another version has the pusher of that one too, and a lock those of its libraries.
		first, second, third := submitted("B", "1.0.0-dev", anna), submitted("B", "1.0.0-preview", bert), submitted("B", "1.0.0", person("carl"))
		second.Promotes, third.Promotes = first.Version, second.Version
		for _, p := range []domain.Package{first, second, third} {
			ok(t, f.PutPackage(ctx, p))
		}
		for _, one := range []domain.Principal{person("carl"), bert, anna, annas, shared} {
			_, err := f.DecidePackage(ctx, decide(third, domain.Approved, one))
			want(t, err, errors.AuthorizationFailed)
		}
		_, err = f.DecidePackage(ctx, decide(third, domain.Approved, annas))
		if err == nil || !strings.Contains(err.Error(), "entra:anna pushed B@1.0.0-dev, whose files it has,") {
			t.Errorf("%v", err)
		}
		library := submitted("L", "1.0.0", anna)
		library.Library = true
		ok(t, f.PutPackage(ctx, library))
		p := submitted("C", "1.0.0", bert)
		ok(t, f.PutPackage(ctx, p))
		_, err = f.DecidePackage(ctx, decide(p, domain.Approved, annas, library.Pin()))
		want(t, err, errors.AuthorizationFailed)
		if left, err := f.PackageByDigest(ctx, library.Digest); err != nil || left.Review.State != domain.Submitted {
			t.Errorf("a refused approval left the library %s, %v", left.Review.State, err)
		}
		_, err = f.DecidePackage(ctx, decide(p, domain.Approved, person("carl"), library.Pin()))
		ok(t, err)
	})
}

// What an approval depends on may have been decided about meanwhile.
func TestReviewOfALock(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		needed := submitted("N", "1.0.0", person("anna"))
		ok(t, f.PutPackage(ctx, needed))
		p := submitted("A", "1.0.0", person("anna"))
		ok(t, f.PutPackage(ctx, p))
		_, err := f.DecidePackage(ctx, decide(p, domain.Approved, person("bert"), needed.Pin()))
		want(t, err, errors.Conflict) // it is no library, and waits
		_, err = f.DecidePackage(ctx, decide(needed, domain.Rejected, person("bert")))
		ok(t, err)
		_, err = f.DecidePackage(ctx, decide(p, domain.Approved, person("bert"), needed.Pin()))
		want(t, err, errors.Conflict)
		if have, err := f.PackageByDigest(ctx, p.Digest); err != nil || have.Review.State != domain.Submitted || have.Lock != nil {
			t.Errorf("refused approvals left %+v, %v", have.Review, err)
		}
	})
}
