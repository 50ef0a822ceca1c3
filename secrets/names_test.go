package secrets_test

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/secrets"
)

var inVaultForm = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`) // what Key Vault documents

var (
	subscriptions = rapid.StringMatching(`[-\w.]{0,127}\w`)
	groups        = rapid.StringMatching(`[-\w.()]{0,89}\w`)
	packageIDs    = rapid.StringMatching(`[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}`)
	secretNames   = rapid.StringMatching(`[0-9a-zA-Z-]{0,127}`) // the empty one is the manifest
)

// TestItemNames draws names of everything: an item's name is always one that a vault allows, and blind to case.
func TestItemNames(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cloud := domain.CloudID{Subscription: subscriptions.Draw(t, "subscription"), ResourceGroup: groups.Draw(t, "group"), Name: subscriptions.Draw(t, "cloud")}
		pkg, name := packageIDs.Draw(t, "package"), secretNames.Draw(t, "name")
		item := secrets.Item(cloud, pkg, name)
		if !inVaultForm.MatchString(item) || item != strings.ToLower(item) {
			t.Fatalf("%q", item)
		}
		upper := domain.CloudID{Subscription: strings.ToUpper(cloud.Subscription), ResourceGroup: strings.ToUpper(cloud.ResourceGroup), Name: strings.ToUpper(cloud.Name)}
		if other := secrets.Item(upper, strings.ToUpper(pkg), strings.ToUpper(name)); other != item {
			t.Fatalf("%q in another case is %q", item, other)
		}
		if stem := strings.ToLower(pkg[:1]); stem != "_" && !strings.HasPrefix(item, stem) {
			t.Fatalf("%q does not begin as the package %q", item, pkg)
		}
	})
}

// TestItemNamesDiffer makes a million names whose parts run into one another where they are joined. That no two are alike
// in the first 16 bytes of their hash is more than has to be shown, and little to remember.
func TestItemNamesDiffer(t *testing.T) {
	t.Parallel()
	const each = 100 // to the power of three
	var words [each]string
	for n := range words {
		words[n] = strings.Repeat("a", 1+n%10) + strings.Repeat("-a", n/10)
	}
	prefixes := make([][16]byte, 0, each*each*each)
	for c := range each {
		cloud := domain.CloudID{Subscription: words[c], ResourceGroup: words[each-1-c], Name: "a"}
		for p := range each {
			sum := secrets.Sums(cloud, words[p])
			for _, name := range words {
				hash := sum(name)
				prefixes = append(prefixes, [16]byte(hash[:]))
			}
		}
	}
	slices.SortFunc(prefixes, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	if unique := len(slices.Compact(prefixes)); unique != each*each*each {
		t.Errorf("%d of %d names are unlike all others", unique, each*each*each)
	}
}

// TestItemNamesOfPackagesDiffer: what a stem makes alike, the hash tells apart.
func TestItemNamesOfPackagesDiffer(t *testing.T) {
	t.Parallel()
	cloud, seen := domain.CloudID{Subscription: "s", ResourceGroup: "g", Name: "c"}, map[string]string{}
	for _, pkg := range []string{"a.b", "a-b", "a_b", "a..b", "_", "__", "_.", strings.Repeat("p", 99), strings.Repeat("p", 100)} {
		for _, name := range []string{"", "x", "x-", "manifest"} {
			item := secrets.Item(cloud, pkg, name)
			if other := seen[item]; other != "" || !inVaultForm.MatchString(item) {
				t.Errorf("%s of %s is %s, as is %s", name, pkg, item, other)
			}
			seen[item] = fmt.Sprint(pkg, " ", name)
		}
	}
}
