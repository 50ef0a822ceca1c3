package packages

import (
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/errors"
)

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]struct {
		normal string
		ring   ring
	}{
		"1":               {"1.0.0", general},
		"1.5":             {"1.5.0", general},
		"1.6.0.0":         {"1.6.0", general},
		"01.02.003":       {"1.2.3", general},
		"13.3.0.24145081": {"13.3.0.24145081", general},
		"2147483647.0.0":  {"2147483647.0.0", general},
		"1.1-preview":     {"1.1.0-preview", preview},
		"1.0.0-preview2":  {"1.0.0-preview2", preview},
		"1.0.0-dev.3":     {"1.0.0-dev.3", dev},
		"1.0.0-dev":       {"1.0.0-dev", dev},
	} {
		v, err := parseVersion(s)
		if err != nil || v.String() != want.normal || v.ring != want.ring {
			t.Errorf("%s: %v of ring %q, %v; want %v", s, v, v.ring, err, want)
		}
	}
	for _, s := range []string{
		"", "v1.0.0", "1.0.0.0.0", "1.", ".1", "1..0", "-1", "1.x", "1.*", "1.0.0 ", "1.0.0+build", "2147483648.0", "99999999999999999999.0",
		"1.0.0-", "1.0.0-beta", "1.0.0-Dev", "1.0.0-devel", "1.0.0-dev-1", "1.0.0-preview2a", "1.0.0-rc.preview", "1.0.0-dev..3", "1.0.0-dev.", "１.0",
	} {
		if v, err := parseVersion(s); err == nil {
			t.Errorf("%q is %v, want an error", s, v)
		}
	}
}

func TestVersionOrder(t *testing.T) {
	t.Parallel()
	want := strings.Fields("0.9 1.0.0-dev 1.0.0-dev.3 1.0.0-dev.20 1.0.0-preview 1.0.0-preview2 1.0.0 1.0.0.1 1.0.2 1.0.10 1.1-dev 1.1 2")
	got := slices.Sorted(slices.Values(want))
	slices.SortFunc(got, func(a, b string) int {
		v, errV := parseVersion(a)
		w, errW := parseVersion(b)
		if err := errors.Join(errV, errW); err != nil {
			t.Fatal(err)
		}
		return v.compare(w)
	})
	if !slices.Equal(got, want) {
		t.Errorf("in order: %v, want %v", got, want)
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	for ref, want := range map[string]string{ // what is meant of the versions below
		"P":             "1.2.0 1.2.3 1.2.3.4 1.20.0 2.0.0",
		"P@*":           "1.2.0 1.2.3 1.2.3.4 1.20.0 2.0.0",
		"P@1.*":         "1.2.0 1.2.3 1.2.3.4 1.20.0",
		"P@1.2.*":       "1.2.0 1.2.3 1.2.3.4",
		"P@1.2.3.*":     "1.2.3 1.2.3.4",
		"P@01.2.*":      "1.2.0 1.2.3 1.2.3.4",
		"P@1.2":         "1.2.0",
		"P@1.2.0.0":     "1.2.0",
		"P@1.2.3":       "1.2.3",
		"P@2":           "2.0.0",
		"P@1.3.0-dev":   "1.3.0-dev",
		"P@1.3-preview": "1.3.0-preview",
		"P@3.*":         "",
	} {
		r, err := parseReference(ref)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		var got []string
		for _, s := range []string{"1.2.0", "1.2.3", "1.2.3.4", "1.3.0-dev", "1.3.0-preview", "1.20.0", "2.0.0"} {
			v, err := parseVersion(s)
			if err != nil {
				t.Fatal(err)
			}
			if r.matches(v) {
				got = append(got, s)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s means %v, want %s", ref, got, want)
		}
	}
	for _, ref := range []string{"", "@1.0.0", "P@", "P@1.2*", "P@*.1", "P@1.*.2", "P@1.2.3.4.*", "P@1.**", "P@**", "P@.*", "P@-dev*", "P@1.0-dev*", "P@1.0-dev.*", "P@1@2", "a/b@1", "P@latest", "P@1.0-beta", strings.Repeat("p", 257)} {
		if r, err := parseReference(ref); !errors.Has(err, errors.InvalidResourceName) {
			t.Errorf("%q: %+v, %v; want InvalidResourceName", ref, r, err)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	f.Add("P@1.2.3-dev.1")
	f.Add("P@1.2.*")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseReference(s)
		if err != nil || r.exact == nil {
			return
		}
		again, err := parseVersion(r.exact.String())
		if err != nil || again.String() != r.exact.String() || !r.matches(again) {
			t.Errorf("%q: %v is read again as %v, %v", s, r.exact, again, err)
		}
	})
}
