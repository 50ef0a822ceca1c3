package domain_test

import (
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
)

func TestParseCloudID(t *testing.T) {
	t.Parallel()
	id, err := domain.ParseCloudID("/SUBSCRIPTIONS/s-1/resourcegroups/Group(1)/providers/microsoft.avs/PrivateClouds/Sddc.1")
	if err != nil {
		t.Fatal(err)
	}
	if want := (domain.CloudID{Subscription: "s-1", ResourceGroup: "Group(1)", Name: "Sddc.1"}); id != want {
		t.Errorf("got %+v", id)
	}
	if id.String() != "/subscriptions/s-1/resourceGroups/Group(1)/providers/Microsoft.AVS/privateClouds/Sddc.1" {
		t.Errorf("got %s", id)
	}
	other, err := domain.ParseCloudID(strings.ToUpper(id.String()))
	if err != nil || other.Key() != id.Key() {
		t.Errorf("the same id in capitals has the key %s, %v", other.Key(), err)
	}
	for _, bad := range []string{
		"", "/", "sddc1", id.String() + "/", id.String() + "/scriptExecutions/x", "x" + id.String(), id.String() + "\n",
		"/subscriptions//resourceGroups/g/providers/Microsoft.AVS/privateClouds/c",
		"/subscriptions/s/resourceGroups/g/providers/Microsoft.AVS/privateClouds/..",
		"/subscriptions/s/resourceGroups/../providers/Microsoft.AVS/privateClouds/c",
		"/subscriptions/s/resourceGroups/" + strings.Repeat("g", 91) + "/providers/Microsoft.AVS/privateClouds/c",
		"/subscriptions/s/resourceGroups/g/providers/Microsoft.AVX/privateClouds/c",
	} {
		if id, err := domain.ParseCloudID(bad); err == nil {
			t.Errorf("%q was read as %s", bad, id)
		}
	}
}

func TestValidName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"a": true, "A-b_c.9": true, strings.Repeat("x", 128): true,
		"": false, ".": false, "..": false, "a b": false, "a/b": false, "a@b": false, "ü": false, "a\n": false, strings.Repeat("x", 129): false,
	} {
		if domain.ValidName(name) != want {
			t.Errorf("ValidName(%q) = %v", name, !want)
		}
	}
	for ref, want := range map[string]bool{"A.B@1.*": true, "A": true, "": false, "a b": false, "a/b": false} {
		if domain.ValidPackageRef(ref) != want {
			t.Errorf("ValidPackageRef(%q) = %v", ref, !want)
		}
	}
}

func TestStreamsHaveNames(t *testing.T) {
	t.Parallel()
	var names []string
	for _, s := range domain.Streams {
		names = append(names, s.String())
	}
	if got := strings.Join(names, " "); got != "Output Information Warning Error" {
		t.Errorf("got %s", got)
	}
	if domain.Stream(0).String() != "Unknown" || domain.Stream(9).String() != "Unknown" {
		t.Error("a stream that does not exist has a name")
	}
}
