package secrets

import (
	"context"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
)

// RemoveCloud removes all secrets of a private cloud, those of every package, and what Writes that failed have left of
// it. It looks through the whole vault. After an error some may be removed; the same call again removes the rest.
//
// The manifests are emptied before they are deleted: whoever registers the cloud again recovers them, and finds nothing.
func (v *KeyVault) RemoveCloud(ctx context.Context, cloud domain.CloudID) error {
	err := v.patiently(ctx, func(ctx context.Context) error { return v.removeCloud(ctx, cloud) })
	if err != nil {
		return failedIn(ctx, err, "The persistent secrets of the private cloud %s cannot be removed from the key vault", cloud.Name)
	}
	return nil
}

func (v *KeyVault) removeCloud(ctx context.Context, cloud domain.CloudID) error {
	owners, items := map[string]owner{}, map[string]string{}
	for pages := v.client.NewListSecretPropertiesPager(nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return itemError{"that comes next in the list", err}
		}
		for _, p := range page.Value {
			o, err := ownerOf(cloud, tag(p.Tags, tagPackage))
			if err != nil || p.ID == nil || !o.owns(p.ID.Name(), p.Tags) {
				continue // another's
			}
			owners[o.pkg] = o
			items[strings.ToLower(p.ID.Name())] = ""
		}
	}
	for _, o := range owners {
		if err := v.empty(ctx, o); err != nil {
			return err
		}
		delete(items, o.item(o.hash("")))
	}
	if err := sideways(ctx, items, func(ctx context.Context, item, _ string) error { return v.remove(ctx, item) }); err != nil {
		return err
	}
	for _, o := range owners { // last, for without them nobody would know of the rest
		if err := v.remove(ctx, o.item(o.hash(""))); err != nil {
			return err
		}
	}
	return nil
}

// empty makes the owner's manifest one of no secrets, whatever it was.
func (v *KeyVault) empty(ctx context.Context, o owner) error {
	lock := v.locks.of(o.item(""))
	lock.Lock()
	defer lock.Unlock()
	return v.setManifest(ctx, o, manifest{Version: manifestFormat, Secrets: map[string]string{}})
}
