package store

import (
	"context"
	"database/sql"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

const cloudColumns = `c.subscription, c.resource_group, c.name, c.location, c.sku, c.network_block, c.cluster_size,
	c.state, c.updated_by, c.vcenter, c.dns_suffix, c.aad_authority, c.egress`

func scanCloud(r scanner) (c domain.PrivateCloud, err error) {
	var egress string
	err = r.Scan(&c.ID.Subscription, &c.ID.ResourceGroup, &c.ID.Name, &c.Location, &c.SKU, &c.NetworkBlock, &c.ClusterSize,
		&c.State, &c.UpdatedBy, &c.VCenter, &c.DNSSuffix, &c.AadAuthority, &egress)
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

// PutPrivateCloud registers a private cloud, or replaces the configuration of one that is. The latter keeps its
// state, its mark and the case of its id. A new one without a state is Succeeded.
func (s *Store) PutPrivateCloud(ctx context.Context, c domain.PrivateCloud) error {
	if !c.ID.Valid() {
		return errors.Newf(errors.InvalidResourceName, "%s is not the id of a private cloud; subscription, resource group and name may have letters, digits, '-', '_' and '.'.", c.ID)
	}
	if c.State == "" {
		c.State = domain.CloudSucceeded
	}
	return s.write(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO private_clouds (key, subscription_key, group_key, subscription, resource_group, name,
				location, sku, network_block, cluster_size, state, updated_by, vcenter, dns_suffix, aad_authority, egress)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
			ON CONFLICT (key) DO UPDATE SET location = excluded.location, sku = excluded.sku,
				network_block = excluded.network_block, cluster_size = excluded.cluster_size, vcenter = excluded.vcenter,
				dns_suffix = excluded.dns_suffix, aad_authority = excluded.aad_authority, egress = excluded.egress`,
			c.ID.Key(), strings.ToLower(c.ID.Subscription), strings.ToLower(c.ID.ResourceGroup),
			c.ID.Subscription, c.ID.ResourceGroup, c.ID.Name, c.Location, c.SKU, c.NetworkBlock, c.ClusterSize,
			c.State, c.UpdatedBy, c.VCenter, c.DNSSuffix, c.AadAuthority, c.Egress.String())
		if err != nil {
			return err
		}
		_, err = t.exec(`INSERT INTO lanes (cloud) VALUES ($1) ON CONFLICT (cloud) DO NOTHING`, c.ID.Key())
		return err
	})
}

// PrivateCloud reads a private cloud; one that is not registered is ResourceNotFound.
func (s *Store) PrivateCloud(ctx context.Context, id domain.CloudID) (domain.PrivateCloud, error) {
	return read(ctx, s, func(v view) (domain.PrivateCloud, error) { return cloudByID(v, id) })
}

// PrivateClouds lists the private clouds of a subscription in the order of their ids, those of one resource group
// where that is not "".
func (s *Store) PrivateClouds(ctx context.Context, subscription, resourceGroup string) ([]domain.PrivateCloud, error) {
	return read(ctx, s, func(v view) ([]domain.PrivateCloud, error) {
		return list(v, scanCloud, `SELECT `+cloudColumns+` FROM private_clouds c
			WHERE c.subscription_key = $1 AND ($2 = '' OR c.group_key = $2) ORDER BY c.key`,
			strings.ToLower(subscription), strings.ToLower(resourceGroup))
	})
}

// SetCloudState sets the state by hand. An execution whose mark it was does not touch it any more.
func (s *Store) SetCloudState(ctx context.Context, id domain.CloudID, state domain.CloudState) error {
	return s.write(ctx, func(t *tx) error {
		n, err := t.exec(`UPDATE private_clouds SET state = $1, updated_by = '' WHERE key = $2`, state, id.Key())
		if err == nil && n == 0 {
			return cloudNotFound(id)
		}
		return err
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
