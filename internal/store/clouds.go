package store

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

const cloudColumns = `c.subscription, c.resource_group, c.name, c.location, c.sku, c.network_block, c.cluster_size,
	c.state, c.updated_by, c.vcenter, c.dns_suffix, c.aad_authority, c.egress, c.connection, c.dev,
	(SELECT l.paused FROM lanes l WHERE l.cloud = c.key), EXISTS (SELECT 1 FROM features f
	WHERE f.subscription_key = c.subscription_key AND f.name_key = 'scriptingpreview' AND f.state = 'Registered')`

func scanCloud(r scanner) (c domain.PrivateCloud, err error) {
	var egress string
	err = r.Scan(&c.ID.Subscription, &c.ID.ResourceGroup, &c.ID.Name, &c.Location, &c.SKU, &c.NetworkBlock, &c.ClusterSize,
		&c.State, &c.UpdatedBy, &c.VCenter, &c.DNSSuffix, &c.AadAuthority, &egress, asJSON{&c.Connection}, &c.Dev, &c.Paused, &c.Preview)
	if err == nil {
		c.Egress, err = domain.ParseEgress(egress)
	}
	return c, err
}

func cloudNotFound(id domain.CloudID) error {
	return errors.Newf(errors.ResourceNotFound, "The private cloud %s is not registered; list the private clouds to see which are.", id)
}

func cloudByID(v view, id domain.CloudID) (domain.PrivateCloud, error) {
	c, err := scanCloud(v.row(`SELECT `+cloudColumns+` FROM private_clouds c WHERE c.key = $1`, id.Key()))
	if errors.Is(err, sql.ErrNoRows) {
		return c, cloudNotFound(id)
	}
	return c, err
}

// PutPrivateCloud registers a private cloud, or replaces the configuration of one that is, which keeps the case of its
// id. Without a state a new one is Succeeded, and another keeps its state and the mark that it may be; a state that is
// given is set by hand: an execution whose mark it was does not touch it any more. Of the SSH host keys that were
// learned those of hosts that the connection still has, without a key of its own, are kept.
func (s *Store) PutPrivateCloud(ctx context.Context, c domain.PrivateCloud) error {
	if !c.ID.Valid() {
		return errors.Newf(errors.InvalidResourceName, "%s is not the id of a private cloud; subscription, resource group and name may have letters, digits, '-', '_' and '.'.", c.ID)
	}
	var connection any
	if c.Connection != nil {
		connection = asJSON{c.Connection}
	}
	return s.write(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO private_clouds (key, subscription_key, group_key, subscription, resource_group, name,
				location, sku, network_block, cluster_size, state, vcenter, dns_suffix, aad_authority, egress, connection, dev)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, CASE WHEN $11 = '' THEN $12 ELSE $11 END, $13, $14, $15, $16, $17, $18)
			ON CONFLICT (key) DO UPDATE SET location = excluded.location, sku = excluded.sku,
				network_block = excluded.network_block, cluster_size = excluded.cluster_size, vcenter = excluded.vcenter,
				dns_suffix = excluded.dns_suffix, aad_authority = excluded.aad_authority, egress = excluded.egress,
				connection = excluded.connection, dev = excluded.dev,
				state = CASE WHEN $11 = '' THEN private_clouds.state ELSE $11 END,
				updated_by = CASE WHEN $11 = '' THEN private_clouds.updated_by ELSE '' END`,
			c.ID.Key(), strings.ToLower(c.ID.Subscription), strings.ToLower(c.ID.ResourceGroup),
			c.ID.Subscription, c.ID.ResourceGroup, c.ID.Name, c.Location, c.SKU, c.NetworkBlock, c.ClusterSize,
			c.State, domain.CloudSucceeded, c.VCenter, c.DNSSuffix, c.AadAuthority, c.Egress.String(), connection, c.Dev)
		if err != nil {
			return err
		}
		if err := pause(t, c); err != nil {
			return err
		}
		return forgetHostKeys(t, c)
	})
}

// pause pauses the private cloud's lane or lets it go on; a new private cloud gets its lane.
func pause(t *tx, c domain.PrivateCloud) error {
	if _, err := t.exec(`INSERT INTO lanes (cloud) VALUES ($1) ON CONFLICT (cloud) DO NOTHING`, c.ID.Key()); err != nil {
		return err
	}
	changed, err := t.exec(`UPDATE lanes SET paused = $2 WHERE cloud = $1 AND paused <> $2`, c.ID.Key(), c.Paused)
	t.work = t.work || changed > 0 && !c.Paused
	return err
}

// RemovePrivateCloud removes a private cloud with the records, output and audit of its executions, all of which must have
// ended: where one runs or waits it is a Conflict, and nothing changes. The operations are kept for 24 hours. What was
// assigned at its scope goes too, so that nobody has it on another private cloud that gets the same name. existed is
// false where there is no such private cloud.
func (s *Store) RemovePrivateCloud(ctx context.Context, id domain.CloudID) (existed bool, err error) {
	err = s.write(ctx, func(t *tx) error {
		existed = false
		c, err := cloudByID(t.view, id)
		if errors.Has(err, errors.ResourceNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		var open int
		err = t.row(`SELECT count(*) FROM executions WHERE cloud = $1 AND state IN ('Pending', 'Running', 'Cancelling', 'Deleting')`, id.Key()).Scan(&open)
		if err != nil {
			return err
		}
		if open > 0 {
			return errors.Newf(errors.Conflict, "The private cloud %s has %d script executions that run or wait; pause it, and remove it when they have ended or were cancelled.", c.ID.Name, open)
		}
		existed = true
		t.tidy = true
		return removeCloud(t, id.Key(), s.now())
	})
	return existed, err
}

func removeCloud(t *tx, key string, now time.Time) error {
	const its = `SELECT id FROM executions WHERE cloud = $1`
	if _, err := t.exec(`INSERT INTO removed (execution) `+its+` AND (records > 0 OR audited > 0)`, key); err != nil {
		return err
	}
	_, err := t.exec(`UPDATE operations SET expires = $2, finished = coalesce(finished, $3) WHERE execution IN (`+its+`)`,
		key, now.Add(operationsOutlive).UnixMicro(), asMicros{&now})
	if err != nil {
		return err
	}
	for _, statement := range []string{
		`DELETE FROM executions WHERE cloud = $1`, `DELETE FROM lanes WHERE cloud = $1`, `DELETE FROM host_keys WHERE cloud = $1`,
		`DELETE FROM role_assignments WHERE scope_key = $1`, `DELETE FROM private_clouds WHERE key = $1`,
	} {
		if _, err := t.exec(statement, key); err != nil {
			return err
		}
	}
	return nil
}

// PrivateCloud reads a private cloud; one that is not registered is ResourceNotFound.
func (s *Store) PrivateCloud(ctx context.Context, id domain.CloudID) (domain.PrivateCloud, error) {
	return read(ctx, s, func(v view) (domain.PrivateCloud, error) { return cloudByID(v, id) })
}

// PrivateClouds lists the private clouds of a subscription in the order of their ids, those of one resource group
// where that is not ""; without a subscription all.
func (s *Store) PrivateClouds(ctx context.Context, subscription, resourceGroup string) ([]domain.PrivateCloud, error) {
	return read(ctx, s, func(v view) ([]domain.PrivateCloud, error) {
		if subscription == "" {
			return list(v, scanCloud, `SELECT `+cloudColumns+` FROM private_clouds c ORDER BY c.key`)
		}
		return list(v, scanCloud, `SELECT `+cloudColumns+` FROM private_clouds c
			WHERE c.subscription_key = $1 AND ($2 = '' OR c.group_key = $2) ORDER BY c.key`,
			strings.ToLower(subscription), strings.ToLower(resourceGroup))
	})
}

// MarkUpdating sets the private cloud's state to Updating in the name of the execution. A private cloud in any other
// state than Succeeded is PrivateCloudUpdating. The end of the execution takes the mark away.
func (s *Store) MarkUpdating(ctx context.Context, id string, fence int64) error {
	return s.write(ctx, func(t *tx) error {
		h, err := held(t.view, id, fence)
		if err != nil {
			return err
		}
		n, err := t.exec(`UPDATE private_clouds SET state = $1, updated_by = $2
			WHERE key = $3 AND (state = $4 OR updated_by = $2)`, domain.CloudUpdating, id, h.cloud, domain.CloudSucceeded)
		if err != nil || n > 0 {
			return err
		}
		c, err := scanCloud(t.row(`SELECT `+cloudColumns+` FROM private_clouds c WHERE c.key = $1`, h.cloud))
		if err != nil {
			return err
		}
		return errors.Newf(errors.PrivateCloudUpdating, "The private cloud %s is in the state %s; run the cmdlet again when it is Succeeded.", c.ID.Name, c.State)
	})
}

// unmark takes the execution's own mark from its private cloud.
func unmark(t *tx, id string) error {
	_, err := t.exec(`UPDATE private_clouds SET state = $1, updated_by = '' WHERE updated_by <> '' AND updated_by = $2`,
		domain.CloudSucceeded, id)
	return err
}
