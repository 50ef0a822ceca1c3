package store

import (
	"context"

	"github.com/airlock-run/airlock/internal/domain"
)

// HostKeys are the SSH host keys of a private cloud that were learned at a first login, by the host's name.
func (s *Store) HostKeys(ctx context.Context, id domain.CloudID) (map[string]string, error) {
	keys := map[string]string{}
	known, err := read(ctx, s, func(v view) ([][2]string, error) { return hostKeys(v, id) })
	for _, k := range known {
		keys[k[0]] = k[1]
	}
	return keys, err
}

func hostKeys(v view, id domain.CloudID) ([][2]string, error) {
	return list(v, func(r scanner) (k [2]string, err error) { return k, r.Scan(&k[0], &k[1]) },
		`SELECT host, host_key FROM host_keys WHERE cloud = $1 ORDER BY host`, id.Key())
}

// LearnHostKey keeps the SSH host key that a host of a private cloud has shown, unless there is one already. It
// returns the one that is kept.
func (s *Store) LearnHostKey(ctx context.Context, id domain.CloudID, host, key string) (kept string, err error) {
	err = s.write(ctx, func(t *tx) error {
		if _, err := cloudByID(t.view, id); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO host_keys (cloud, host, host_key) VALUES ($1, $2, $3) ON CONFLICT (cloud, host) DO NOTHING`,
			id.Key(), host, key)
		if err != nil {
			return err
		}
		return t.row(`SELECT host_key FROM host_keys WHERE cloud = $1 AND host = $2`, id.Key(), host).Scan(&kept)
	})
	return kept, err
}

// forgetHostKeys removes the learned keys of hosts that are gone or have a key in the connection.
func forgetHostKeys(t *tx, c domain.PrivateCloud) error {
	learns := map[string]bool{}
	if c.Connection != nil {
		for _, h := range c.Connection.Hosts {
			learns[h.Name] = h.HostKey == ""
		}
	}
	known, err := hostKeys(t.view, c.ID)
	if err != nil {
		return err
	}
	for _, k := range known {
		if learns[k[0]] {
			continue
		}
		if _, err := t.exec(`DELETE FROM host_keys WHERE cloud = $1 AND host = $2`, c.ID.Key(), k[0]); err != nil {
			return err
		}
	}
	return nil
}
