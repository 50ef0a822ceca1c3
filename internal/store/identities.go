package store

import (
	"context"
	"database/sql"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// maxSecrets bounds the secrets of one client; expired ones do not count.
const maxSecrets = 10

func scanClient(r scanner) (c domain.Client, err error) {
	return c, r.Scan(&c.ID, &c.Name, asMicros{&c.Created})
}

func scanClientSecret(r scanner) (s domain.ClientSecret, err error) {
	return s, r.Scan(&s.ID, &s.Hash, asMicros{&s.Created}, asMicros{&s.Expires})
}

const tokenColumns = `id, name, hash, created, expires`

func scanStaticToken(r scanner) (t domain.StaticToken, err error) {
	return t, r.Scan(&t.ID, &t.Name, &t.Hash, asMicros{&t.Created}, asMicros{&t.Expires})
}

func clientNotFound(id string) error {
	return errors.Newf(errors.ResourceNotFound, "There is no service principal %.40q; list the service principals to see which there are.", id)
}

func clientByID(v view, id string) (domain.Client, error) {
	c, err := scanClient(v.row(`SELECT id, name, created FROM service_principals WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return c, clientNotFound(id)
	}
	if err != nil {
		return c, err
	}
	c.Secrets, err = list(v, scanClientSecret, `SELECT id, hash, created, expires FROM client_secrets
		WHERE principal = $1 ORDER BY created, id`, id)
	return c, err
}

// PutClient makes a service principal, or gives the one with this id another name. Its secrets stay what they are.
func (s *Store) PutClient(ctx context.Context, c domain.Client) (stored domain.Client, created bool, err error) {
	err = s.write(ctx, func(t *tx) error {
		n, err := t.exec(`UPDATE service_principals SET name = $1 WHERE id = $2`, c.Name, c.ID)
		if err == nil && n == 0 {
			created = true
			_, err = t.exec(`INSERT INTO service_principals (id, name, created) VALUES ($1, $2, $3)`, c.ID, c.Name, asMicros{&c.Created})
		}
		if err == nil {
			stored, err = clientByID(t.view, c.ID)
		}
		return err
	})
	return stored, created, err
}

// Client reads a service principal with its secrets; one that is not there is ResourceNotFound.
func (s *Store) Client(ctx context.Context, id string) (domain.Client, error) {
	return read(ctx, s, func(v view) (domain.Client, error) { return clientByID(v, id) })
}

// Clients lists the service principals by name, each with its secrets.
func (s *Store) Clients(ctx context.Context) ([]domain.Client, error) {
	return read(ctx, s, func(v view) ([]domain.Client, error) {
		all, err := list(v, scanClient, `SELECT id, name, created FROM service_principals ORDER BY name, id`)
		if err != nil {
			return nil, err
		}
		at := make(map[string]int, len(all))
		for i, c := range all {
			at[c.ID] = i
		}
		_, err = list(v, func(r scanner) (none struct{}, err error) {
			var of string
			var secret domain.ClientSecret
			err = r.Scan(&of, &secret.ID, &secret.Hash, asMicros{&secret.Created}, asMicros{&secret.Expires})
			if i, there := at[of]; there { // not one that was made since
				all[i].Secrets = append(all[i].Secrets, secret)
			}
			return none, err
		}, `SELECT principal, id, hash, created, expires FROM client_secrets ORDER BY created, id`)
		return all, err
	})
}

// DeleteClient removes a service principal with its secrets and the roles that it has: whoever makes one with the same
// id again begins without any. It says whether it was there. The last one to have the role keep at a scope is a Conflict
// and stays, where keep is not "".
func (s *Store) DeleteClient(ctx context.Context, id, keep string) (existed bool, err error) {
	err = s.write(ctx, func(t *tx) error {
		existed, err = removePrincipal(t, `DELETE FROM service_principals WHERE id = $1`, id, domain.Client{ID: id}.Principal(), keep)
		return err
	})
	return existed, err
}

func removePrincipal(t *tx, statement, id string, p domain.Principal, keep string) (existed bool, err error) {
	var last bool
	err = t.row(`SELECT EXISTS (SELECT 1 FROM role_assignments mine WHERE mine.principal = $1 AND mine.principal_type = $2 AND mine.role = $3
		AND NOT EXISTS (SELECT 1 FROM role_assignments other WHERE other.scope_key = mine.scope_key AND other.role = mine.role
			AND (other.principal <> mine.principal OR other.principal_type <> mine.principal_type)))`, p.ID, p.Type, keep).Scan(&last)
	if err != nil {
		return false, err
	}
	if last {
		return false, errors.Newf(errors.Conflict, "%s is the last to have its role and stays: nobody could assign that role again. Assign it to somebody else first.", p.ID)
	}
	n, err := t.exec(statement, id)
	if err == nil && n > 0 {
		_, err = t.exec(`DELETE FROM role_assignments WHERE principal = $1 AND principal_type = $2`, p.ID, p.Type)
	}
	return n > 0, err
}

// AddClientSecret gives a service principal one more secret, of at most ten that have not expired; those that have are
// removed. shownTo is whom it was shown to, who counts as the service principal from now on where a person is meant.
func (s *Store) AddClientSecret(ctx context.Context, client string, secret domain.ClientSecret, shownTo domain.Principal) error {
	now := s.now()
	return s.write(ctx, func(t *tx) error {
		c, err := clientByID(t.view, client)
		if err != nil {
			return err
		}
		if _, err := t.exec(`DELETE FROM client_secrets WHERE principal = $1 AND expires <= $2`, client, asMicros{&now}); err != nil {
			return err
		}
		n := 0
		for _, have := range c.Secrets {
			if have.Expires.After(now) {
				n++
			}
		}
		if n >= maxSecrets {
			return errors.Newf(errors.Conflict, "The service principal %q has %d secrets, the most that it may have; remove one that is not in use.", c.Name, n)
		}
		_, err = t.exec(`INSERT INTO client_secrets (id, principal, hash, created, expires) VALUES ($1, $2, $3, $4, $5)`,
			secret.ID, client, secret.Hash, asMicros{&secret.Created}, asMicros{&secret.Expires})
		if err != nil {
			return err
		}
		return hold(t, c.Principal(), shownTo)
	})
}

// RemoveClientSecret takes a secret from a service principal.
func (s *Store) RemoveClientSecret(ctx context.Context, client, secret string) error {
	return s.write(ctx, func(t *tx) error {
		n, err := t.exec(`DELETE FROM client_secrets WHERE principal = $1 AND id = $2`, client, secret)
		if err == nil && n == 0 {
			return errors.Newf(errors.ResourceNotFound, "The service principal %.40q has no secret %.40q; show it to see which it has.", client, secret)
		}
		return err
	})
}

// AddStaticToken keeps a new static token. shownTo is whom it was shown to, who counts as the token where a person is meant.
func (s *Store) AddStaticToken(ctx context.Context, token domain.StaticToken, shownTo domain.Principal) error {
	return s.write(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO static_tokens (`+tokenColumns+`) VALUES ($1, $2, $3, $4, $5)`,
			token.ID, token.Name, token.Hash, asMicros{&token.Created}, asMicros{&token.Expires})
		if err != nil {
			return err
		}
		return hold(t, token.Principal(), shownTo)
	})
}

// StaticTokens lists the static tokens by name, expired ones too.
func (s *Store) StaticTokens(ctx context.Context) ([]domain.StaticToken, error) {
	return read(ctx, s, func(v view) ([]domain.StaticToken, error) {
		return list(v, scanStaticToken, `SELECT `+tokenColumns+` FROM static_tokens ORDER BY name, id`)
	})
}

// StaticTokenByHash reads the static token with the hash; where there is none, it is ResourceNotFound.
func (s *Store) StaticTokenByHash(ctx context.Context, hash []byte) (domain.StaticToken, error) {
	return read(ctx, s, func(v view) (domain.StaticToken, error) {
		t, err := scanStaticToken(v.row(`SELECT `+tokenColumns+` FROM static_tokens WHERE hash = $1`, hash))
		if errors.Is(err, sql.ErrNoRows) {
			return t, errors.Newf(errors.ResourceNotFound, "There is no such token.")
		}
		return t, err
	})
}

// DeleteStaticToken removes a static token with the roles that it has, and heeds keep, as DeleteClient does.
func (s *Store) DeleteStaticToken(ctx context.Context, id, keep string) (existed bool, err error) {
	err = s.write(ctx, func(t *tx) error {
		existed, err = removePrincipal(t, `DELETE FROM static_tokens WHERE id = $1`, id, domain.StaticToken{ID: id}.Principal(), keep)
		return err
	})
	return existed, err
}

// SigningKeys lists the signing keys that have not expired, the newest first.
func (s *Store) SigningKeys(ctx context.Context) ([]domain.SigningKey, error) {
	now := s.now()
	return read(ctx, s, func(v view) ([]domain.SigningKey, error) {
		return list(v, func(r scanner) (k domain.SigningKey, err error) {
			return k, r.Scan(&k.ID, &k.Sealed, asMicros{&k.Created}, asMicros{&k.Expires})
		}, `SELECT id, sealed, created, expires FROM signing_keys WHERE expires > $1 ORDER BY created DESC, id`, asMicros{&now})
	})
}

// AddSigningKey keeps a new signing key and removes those that have expired.
func (s *Store) AddSigningKey(ctx context.Context, k domain.SigningKey) error {
	now := s.now()
	return s.write(ctx, func(t *tx) error {
		if _, err := t.exec(`DELETE FROM signing_keys WHERE expires <= $1`, asMicros{&now}); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO signing_keys (id, sealed, created, expires) VALUES ($1, $2, $3, $4)`,
			k.ID, k.Sealed, asMicros{&k.Created}, asMicros{&k.Expires})
		return err
	})
}
