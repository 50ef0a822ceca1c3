package secrets

import (
	"crypto/sha256"
	"encoding/base32"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/internal/seal"
)

// How secrets are named in a key vault, which allows 1 to 127 letters, digits and hyphens and compares without case: a
// readable stem, a hyphen, and base32 (RFC 4648) of the SHA-256 of private cloud, package and name, all in lower case.
// The stem is made of the package's name alone, so that an item is found by its hash where the secret's own name is not
// known yet. The plain names are in tags.
const (
	maxItem   = 127
	maxStem   = maxItem - 1 - hashChars
	hashChars = 52 // 256 bits, 5 in a character

	// maxTag is the least that is documented for a tag's value. No name is longer; a version may be, and is cut.
	maxTag = 256
)

var (
	notInItem = regexp.MustCompile(`[^0-9a-z]+`)
	base32ed  = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
)

// hash is the part of an item's name by which a secret is found. The empty name is that of the package's manifest.
func (o owner) hash(name string) string {
	sum := o.sum(name)
	return base32ed.EncodeToString(sum[:])
}

func (o owner) sum(name string) [sha256.Size]byte {
	return sha256.Sum256(seal.Associated(o.key, o.pkg, strings.ToLower(name)))
}

// item is the name of an item in the vault.
func (o owner) item(hash string) string {
	stem := strings.Trim(notInItem.ReplaceAllString(o.pkg, "-"), "-")
	if stem == "" { // a package may be called _
		stem = "package"
	}
	return stem[:min(len(stem), maxStem)] + "-" + hash
}

// Tags of an item. kind is secret or manifest; the others are plain names in the case in which they were given.
const (
	tagKind         = "airlock"
	tagSubscription = "subscription"
	tagGroup        = "resourceGroup"
	tagCloud        = "privateCloud"
	tagPackage      = "package"
	tagName         = "name"
	tagVersion      = "packageVersion"

	kindSecret   = "secret"
	kindManifest = "manifest"
)

// tags are those of one of the owner's items; the empty name is that of the manifest.
func (o owner) tags(name, version string) map[string]*string {
	kind := kindSecret
	if name == "" {
		kind = kindManifest
	}
	tags := map[string]string{
		tagKind: kind, tagSubscription: o.cloud.Subscription, tagGroup: o.cloud.ResourceGroup, tagCloud: o.cloud.Name,
		tagPackage: o.pkg, tagName: name, tagVersion: version[:min(len(version), maxTag)],
	}
	pointers := make(map[string]*string, len(tags))
	for key, value := range tags {
		if value != "" {
			pointers[key] = &value
		}
	}
	return pointers
}

// tag is the value of a tag, "" where there is none.
func tag(tags map[string]*string, key string) string {
	if v := tags[key]; v != nil {
		return *v
	}
	return ""
}

// owns says whether an item is what its tags say, and the owner's: the hash in its name is that of its tags, so that no
// item can be taken for another one by changing either.
func (o owner) owns(item string, tags map[string]*string) bool {
	name := tag(tags, tagName)
	want := o.tags(name, "")
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if !strings.EqualFold(tag(tags, key), *want[key]) {
			return false
		}
	}
	return strings.EqualFold(item, o.item(o.hash(name)))
}
