package store

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

func hashOf(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

func clientSecret(id string, life time.Duration) domain.ClientSecret {
	return domain.ClientSecret{ID: id, Hash: hashOf(id), Created: morning, Expires: morning.Add(life)}
}

// assign gives a role as the store keeps it.
func (f *fixture) assign(p domain.Principal) {
	f.t.Helper()
	ok(f.t, f.write(f.t.Context(), func(t *tx) error {
		_, err := t.exec(`INSERT INTO role_assignments (id, scope, scope_key, role, principal, principal_type, created, created_by)
			VALUES ($1, '/', '', 'r', $2, $3, 0, '')`, p.ID, p.ID, p.Type)
		return err
	}))
}

// assigned says who has a role.
func (f *fixture) assigned() []string {
	f.t.Helper()
	return must[[]string](f.t)(read(f.t.Context(), f.Store, func(v view) ([]string, error) {
		return list(v, scanText, `SELECT principal FROM role_assignments ORDER BY principal`)
	}))
}

func TestClients(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		_, err := f.Client(ctx, "one")
		want(t, err, errors.ResourceNotFound)
		want(t, f.AddClientSecret(ctx, "one", clientSecret("a", time.Hour), domain.Principal{}), errors.ResourceNotFound)
		put := func(id, name string) (domain.Client, bool) {
			c, created, err := f.PutClient(ctx, domain.Client{ID: id, Name: name, Created: f.clock.t})
			ok(t, err)
			return c, created
		}
		one, created := put("one", "Pipeline")
		same(t, "a new one", created, true)
		ok(t, f.AddClientSecret(ctx, "one", clientSecret("a", time.Hour), domain.Principal{}))
		ok(t, f.AddClientSecret(ctx, "one", clientSecret("b", 2*time.Hour), domain.Principal{}))
		one.Secrets = []domain.ClientSecret{clientSecret("a", time.Hour), clientSecret("b", 2*time.Hour)}
		two, _ := put("two", "Backup")
		f.clock.t = f.clock.t.Add(time.Minute)
		renamed, created := put("one", "Release")
		one.Name = "Release"
		same(t, "not a new one", created, false)
		same(t, "renamed, with its secrets and its time", renamed, one)
		f.reopen()
		same(t, "all by name", must[[]domain.Client](t)(f.Clients(ctx)), []domain.Client{two, one})
		same(t, "one", must[domain.Client](t)(f.Client(ctx, "one")), one)

		want(t, f.RemoveClientSecret(ctx, "two", "a"), errors.ResourceNotFound)
		ok(t, f.RemoveClientSecret(ctx, "one", "a"))
		want(t, f.RemoveClientSecret(ctx, "one", "a"), errors.ResourceNotFound)
		one.Secrets = one.Secrets[1:]
		same(t, "one secret less", must[domain.Client](t)(f.Client(ctx, "one")), one)

		// Another one of the same id has neither secrets nor roles.
		f.assign(one.Principal())
		f.assign(two.Principal())
		same(t, "was there", must[bool](t)(f.DeleteClient(ctx, "one", "")), true)
		same(t, "is not there", must[bool](t)(f.DeleteClient(ctx, "one", "")), false)
		same(t, "roles", f.assigned(), []string{"airlock:two"})
		again, created := put("one", "Other")
		same(t, "made again", created && again.Secrets == nil, true)
	})
}

func TestClientSecretsAreBounded(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		_, _, err := f.PutClient(ctx, domain.Client{ID: "one", Name: "Pipeline", Created: morning})
		ok(t, err)
		for i := range maxSecrets {
			ok(t, f.AddClientSecret(ctx, "one", clientSecret(fmt.Sprint("s", i), time.Duration(i+1)*time.Hour), domain.Principal{}))
		}
		want(t, f.AddClientSecret(ctx, "one", clientSecret("more", 50*time.Hour), domain.Principal{}), errors.Conflict)
		f.clock.t = morning.Add(time.Hour) // the first one expires
		ok(t, f.AddClientSecret(ctx, "one", clientSecret("more", 50*time.Hour), domain.Principal{}))
		c := must[domain.Client](t)(f.Client(ctx, "one"))
		same(t, "the first one went", fmt.Sprint(len(c.Secrets), c.Secrets[0].ID), fmt.Sprint(maxSecrets, "more"))
	})
}

func TestStaticTokens(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		token := func(id, name string) domain.StaticToken {
			return domain.StaticToken{ID: id, Name: name, Hash: hashOf(id), Created: morning, Expires: morning.Add(time.Hour)}
		}
		one, two := token("1", "nightly"), token("2", "hourly")
		ok(t, f.AddStaticToken(ctx, one, domain.Principal{}))
		ok(t, f.AddStaticToken(ctx, two, domain.Principal{}))
		f.reopen()
		same(t, "all", must[[]domain.StaticToken](t)(f.StaticTokens(ctx)), []domain.StaticToken{two, one})
		same(t, "by hash", must[domain.StaticToken](t)(f.StaticTokenByHash(ctx, hashOf("1"))), one)
		_, err := f.StaticTokenByHash(ctx, hashOf("3"))
		want(t, err, errors.ResourceNotFound)
		f.assign(one.Principal())
		f.assign(two.Principal())
		same(t, "was there", must[bool](t)(f.DeleteStaticToken(ctx, "1", "")), true)
		same(t, "is not there", must[bool](t)(f.DeleteStaticToken(ctx, "1", "")), false)
		same(t, "roles", f.assigned(), []string{"token:2"})
		_, err = f.StaticTokenByHash(ctx, hashOf("1"))
		want(t, err, errors.ResourceNotFound)
	})
}

func TestSigningKeys(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		same(t, "none", len(must[[]domain.SigningKey](t)(f.SigningKeys(ctx))), 0)
		key := func(id string) domain.SigningKey {
			return domain.SigningKey{ID: id, Sealed: []byte("sealed " + id), Created: f.clock.t, Expires: f.clock.t.Add(24 * time.Hour)}
		}
		one := key("one")
		ok(t, f.AddSigningKey(ctx, one))
		f.clock.t = f.clock.t.Add(12 * time.Hour)
		two := key("two")
		ok(t, f.AddSigningKey(ctx, two))
		f.reopen()
		same(t, "the newest first", must[[]domain.SigningKey](t)(f.SigningKeys(ctx)), []domain.SigningKey{two, one})
		f.clock.t = f.clock.t.Add(12 * time.Hour)
		same(t, "without what has expired", must[[]domain.SigningKey](t)(f.SigningKeys(ctx)), []domain.SigningKey{two})
		ok(t, f.AddSigningKey(ctx, key("three")))
		f.clock.t = morning
		same(t, "which goes", len(must[[]domain.SigningKey](t)(f.SigningKeys(ctx))), 2)
	})
}

// Whoever is the last to have the role that makes others stays.
func TestTheLastOfARoleStays(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		for _, id := range []string{"one", "two"} {
			_, _, err := f.PutClient(ctx, domain.Client{ID: id, Name: id, Created: morning})
			ok(t, err)
			f.assign(domain.Client{ID: id}.Principal())
		}
		token := domain.StaticToken{ID: "1", Name: "nightly", Hash: hashOf("1"), Created: morning, Expires: morning}
		ok(t, f.AddStaticToken(ctx, token, domain.Principal{}))
		same(t, "one of two", must[bool](t)(f.DeleteClient(ctx, "one", "r")), true)
		_, err := f.DeleteClient(ctx, "two", "r")
		want(t, err, errors.Conflict)
		same(t, "it stays", f.assigned(), []string{"airlock:two"})
		f.assign(token.Principal())
		same(t, "as there is another", must[bool](t)(f.DeleteClient(ctx, "two", "r")), true)
		_, err = f.DeleteStaticToken(ctx, "1", "r")
		want(t, err, errors.Conflict)
		same(t, "of another role", must[bool](t)(f.DeleteStaticToken(ctx, "1", "s")), true)
	})
}
