package secrets

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/airlock-run/airlock/sdk/secret"
)

// manifest says which items of a vault are the secrets of a package in a private cloud. It is itself an item, in JSON.
// With all names and versions at their longest it has some 24,000 bytes, which a vault still takes.
type manifest struct {
	Version int               `json:"version"`           // of this form: 1
	Secrets map[string]string `json:"secrets"`           // hash to the item's version in the vault
	Removed []string          `json:"removed,omitempty"` // hashes of items that have to be deleted still, or were just now
}

const manifestFormat = 1

// manifest reads the owner's manifest; where there is none, it is empty.
func (v *KeyVault) manifest(ctx context.Context, o owner) (manifest, error) {
	m, item := manifest{Version: manifestFormat, Secrets: map[string]string{}}, o.item(o.hash(""))
	got, err := v.client.GetSecret(ctx, item, "", nil)
	if answered(err, http.StatusNotFound) {
		return m, nil
	}
	if err != nil {
		return m, itemError{item, err}
	}
	if !o.owns(item, got.Tags) || tag(got.Tags, tagName) != "" || got.Value == nil {
		return m, itemError{item, errTags}
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(*got.Value)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil || m.Version != manifestFormat || m.Secrets == nil {
		return m, itemError{item, errManifest}
	}
	return m, nil
}

// setManifest makes m the manifest: from then on, all that it says holds.
func (v *KeyVault) setManifest(ctx context.Context, o owner, m manifest) error {
	data, err := json.Marshal(m)
	for err == nil && len(data) > MaxValue && len(m.Removed) > 0 { // what is left out stays in the vault, unread
		m.Removed = m.Removed[:len(m.Removed)/2]
		data, err = json.Marshal(m)
	}
	if err != nil {
		return err
	}
	_, err = v.set(ctx, o.item(o.hash("")), string(data), "application/json", o.tags("", ""))
	return err
}

// with is the manifest with the changes. sets are the items that have to be set for that, hash to name, whose versions
// are not known yet; gone are those that may be deleted once the new manifest is stored.
func (m manifest) with(o owner, changes map[string]*secret.Text) (after manifest, sets map[string]string, gone []string) {
	after = manifest{Version: manifestFormat, Secrets: maps.Clone(m.Secrets), Removed: slices.Clone(m.Removed)}
	sets = map[string]string{}
	for name, value := range changes {
		hash := o.hash(name)
		_, had := after.Secrets[hash]
		switch deletes := value == nil || value.IsEmpty(); {
		case deletes && had:
			delete(after.Secrets, hash)
			gone = append(gone, hash)
		case !deletes:
			after.Secrets[hash], sets[hash] = "", name
			after.Removed = slices.DeleteFunc(after.Removed, func(h string) bool { return h == hash })
		}
	}
	return after, sets, gone
}

// same says whether two manifests name the same secrets in the same versions.
func (m manifest) same(n manifest) bool { return maps.Equal(m.Secrets, n.Secrets) }

// clear deletes items that the stored manifest has removed. What cannot be deleted is left for the next Write: an error
// would say of a Write that was kept that it was not.
func (v *KeyVault) clear(ctx context.Context, o owner, removed []string) (left []string) {
	for _, hash := range removed {
		if v.remove(ctx, o.item(hash)) != nil {
			left = append(left, hash)
		}
	}
	return left
}
