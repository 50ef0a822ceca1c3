package role

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
)

// Ids and names are what assignments and scripts hold: they are unique, and those of Azure's roles are Azure's.
func TestRolesHaveTheirIds(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range All {
		if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(r.ID) || seen[r.ID] || seen[r.Name] || r.Description == "" {
			t.Errorf("%+v", r)
		}
		seen[r.ID], seen[r.Name] = true, true
		if got, ok := ByID(strings.ToUpper(r.ID)); !ok || got.Name != r.Name {
			t.Errorf("%s is not found by its id", r.Name)
		}
	}
	if Reader != "acdd72a7-3385-48ef-bd42-f606fba81ae7" || Owner != "8e3af657-a8ff-443c-a75c-2fe8c4bcb635" {
		t.Error("Azure's roles have other ids")
	}
	if r, ok := ByID("00000000-0000-0000-0000-000000000000"); ok {
		t.Errorf("a role out of nothing: %+v", r)
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, action string
		want            bool
	}{
		{"*", "a/b/read", true}, {"*", "", true}, {"*/read", "A/b/READ", true}, {"*/read", "a/readers/write", false}, {"*/read", "read", false},
		{"a/*", "a/b/c/action", true}, {"a/*", "ab/c", false}, {"a/*/read", "a/b/c/read", true}, {"a/*/read", "a/read", false},
		{"a/b/read", "a/B/read", true}, {"a/b/read", "a/b/read/x", false}, {"a/b/read", "xa/b/read", false}, {"", "", true}, {"", "a", false},
		{"a*a", "a", false}, {"a*a", "aa", true}, {"*b*b*", "abab", true}, {"*b*b*", "aba", false}, {"a.b", "axb", false},
	} {
		if got := matches(c.pattern, c.action); got != c.want {
			t.Errorf("%q means %q: %v", c.pattern, c.action, got)
		}
	}
}

// FuzzMatches compares with the regular expression that a pattern is.
func FuzzMatches(f *testing.F) {
	f.Add("Microsoft.AVS/*/read", "microsoft.avs/privateClouds/read")
	f.Add("**a*", "aaa")
	f.Fuzz(func(t *testing.T, pattern, action string) {
		pattern, action = strings.ToLower(strings.ToValidUTF8(pattern, "")), strings.ToLower(strings.ToValidUTF8(action, ""))
		want := regexp.MustCompile(`^(?s:` + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`) + `)$`).MatchString(action)
		if got := matches(pattern, action); got != want {
			t.Errorf("%q means %q: %v", pattern, action, got)
		}
	})
}

// What is held is held by the principal or one of its groups, of the same type, at the scope or above it.
func TestHeld(t *testing.T) {
	t.Parallel()
	const subscription, group, cloud = domain.Scope("/subscriptions/s"), domain.Scope("/subscriptions/s/resourceGroups/g"),
		domain.Scope("/subscriptions/s/resourceGroups/g/providers/Microsoft.AVS/privateClouds/c")
	anna, admins := domain.Principal{ID: "oidc:anna", Type: domain.User}, domain.Principal{ID: "oidc:admins", Type: domain.Group}
	identity := domain.Identity{Name: "anna", Principal: anna, Groups: []domain.Principal{{ID: "oidc:x", Type: domain.Group}, admins}}
	const write = "Microsoft.AVS/privateClouds/scriptExecutions/write"
	for name, c := range map[string]struct {
		assignment domain.Assignment
		at         []domain.Scope
	}{
		"above":         {domain.Assignment{Principal: anna, Role: Operator, Scope: domain.Everywhere}, []domain.Scope{domain.Everywhere, subscription, group, cloud}},
		"of a group":    {domain.Assignment{Principal: admins, Role: Owner, Scope: group}, []domain.Scope{group, cloud}},
		"id's case":     {domain.Assignment{Principal: anna, Role: strings.ToUpper(Operator), Scope: "/SUBSCRIPTIONS/S"}, []domain.Scope{subscription, group, cloud}},
		"beside":        {domain.Assignment{Principal: anna, Role: Operator, Scope: cloud + "2"}, nil},
		"a lesser role": {domain.Assignment{Principal: anna, Role: Reader, Scope: domain.Everywhere}, nil},
		"no role":       {domain.Assignment{Principal: anna, Role: "nothing", Scope: domain.Everywhere}, nil},
		"another":       {domain.Assignment{Principal: domain.Principal{ID: "oidc:anna2", Type: domain.User}, Role: Owner, Scope: domain.Everywhere}, nil},
		"another case":  {domain.Assignment{Principal: domain.Principal{ID: "oidc:Anna", Type: domain.User}, Role: Owner, Scope: domain.Everywhere}, nil},
		"as a group":    {domain.Assignment{Principal: domain.Principal{ID: "oidc:anna", Type: domain.Group}, Role: Owner, Scope: domain.Everywhere}, nil},
		"group as user": {domain.Assignment{Principal: domain.Principal{ID: "oidc:admins", Type: domain.User}, Role: Owner, Scope: domain.Everywhere}, nil},
	} {
		held := Of(identity, []domain.Assignment{c.assignment})
		for _, at := range []domain.Scope{domain.Everywhere, subscription, group, cloud} {
			if got := held.Allows(write, at); got != slices.Contains(c.at, at) {
				t.Errorf("%s: allowed at %s: %v", name, at, got)
			}
		}
	}
}

// Roles add up; what one takes away another may give.
func TestRolesAddUp(t *testing.T) {
	t.Parallel()
	h := Held{{Role: PackagePublisher, Scope: domain.Everywhere}, {Role: Owner, Scope: domain.Everywhere}}
	const register = "Microsoft.AVS/privateClouds/write"
	if h.Allows(register, domain.Everywhere) || !h.Allows("Airlock/packages/approve/action", domain.Everywhere) {
		t.Error("an Owner registers private clouds, or does not approve")
	}
	if h = append(h, domain.Assignment{Role: Provider, Scope: domain.Everywhere}); !h.Allows(register, domain.Everywhere) {
		t.Error("a Provider does not register private clouds")
	}
}
