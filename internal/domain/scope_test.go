package domain

import (
	"strings"
	"testing"
)

// A scope covers itself and what lies below it, without case, and never a neighbour whose name begins alike.
func TestScopeCovers(t *testing.T) {
	t.Parallel()
	cloud := CloudID{"Sub-1", "Group(1)", "Cloud-1"}.Scope()
	for scope, covers := range map[Scope]bool{
		"/": true, "/SUBSCRIPTIONS/sub-1": true, "/subscriptions/Sub-1/resourcegroups/GROUP(1)": true, cloud: true,
		"/subscriptions/Sub-1/": true, "/subscriptions/Sub": false, "/subscriptions/Sub-11": false, "/subscriptions/Sub-2": false,
		"/subscriptions/Sub-1/resourceGroups/Group": false, "/subscriptions/Sub-1/resourceGroups/Group(1)2": false,
		cloud + "0": false, cloud[:len(cloud)-1]: false, cloud + "/scriptExecutions/x": false,
	} {
		if scope.Covers(cloud) != covers {
			t.Errorf("%s covers %s: %v", scope, cloud, !covers)
		}
		if covers && scope.Key() != cloud.Key() && cloud.Covers(scope) {
			t.Errorf("%s covers what is above it, %s", cloud, scope)
		}
	}
}

func TestParseScope(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]Scope{
		"/": Everywhere, "/subscriptions/S": "/subscriptions/S", "/SUBSCRIPTIONS/S/RESOURCEGROUPS/G": "/subscriptions/S/resourceGroups/G",
		"/subscriptions/S/resourceGroups/G(1)/providers/microsoft.avs/privateclouds/C": CloudID{"S", "G(1)", "C"}.Scope(),
		"": "", "/subscriptions": "", "/subscriptions/": "", "/subscriptions/S/": "", "//": "", "/subscriptions/..": "",
		"/subscriptions/S/resourceGroups/G.": "", "/subscriptions/a b": "", "/subscriptions/S/providers/Microsoft.AVS": "", "subscriptions/S": "",
	} {
		if got, err := ParseScope(s); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	if got := CloudID.Scope(CloudID{}); got != Everywhere {
		t.Errorf("nothing is %q", got)
	}
	for scope, want := range map[Scope]string{"/": "", "/subscriptions/S": "S", "/subscriptions/S/resourceGroups/G": "S"} {
		if got := scope.Subscription(); got != want {
			t.Errorf("the subscription of %s is %q", scope, got)
		}
	}
}

// Whatever the texts: covering is what it is when one compares segment by segment, and CoveredBy names all that covers.
func FuzzScope(f *testing.F) {
	for _, seed := range [][2]string{
		{"/", "/subscriptions/s"}, {"/subscriptions/S", "/SUBSCRIPTIONS/s/resourceGroups/g"}, {"/subscriptions/s", "/subscriptions/ss"},
		{"", "/"}, {"/a/b/", "/a/b"}, {"/a//b", "/a"}, {"/K", "/\u212a/x"}, {"//", "/"},
	} {
		f.Add(seed[0], seed[1])
	}
	segments := func(s string) []string { return strings.Split(strings.ToLower(strings.TrimSuffix(s, "/")), "/") }
	f.Fuzz(func(t *testing.T, a, b string) {
		if !strings.HasPrefix(a, "/") || !strings.HasPrefix(b, "/") {
			t.Skip("no scope begins like this")
		}
		above, below := segments(a), segments(b)
		want := len(above) <= len(below)
		for i := 0; want && i < len(above); i++ {
			want = above[i] == below[i]
		}
		if got := Scope(a).Covers(Scope(b)); got != want {
			t.Fatalf("%q covers %q: %v", a, b, got)
		}
		named := false
		for _, key := range Scope(b).CoveredBy() {
			if !Scope(key + "/").Covers(Scope(b)) {
				t.Errorf("%q is covered by %q", b, key)
			}
			named = named || key == Scope(a).Key()
		}
		if named != want {
			t.Errorf("%q names %q among those that cover it: %v", b, a, named)
		}
		if s, err := ParseScope(a); err == nil {
			if again, err := ParseScope(string(s)); err != nil || again != s || s.Key() != Scope(a).Key() {
				t.Errorf("%q is read as %q, which is read as %q, %v", a, s, again, err)
			}
		}
	})
}
