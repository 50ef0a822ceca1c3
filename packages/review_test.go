package packages_test

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages"
)

var (
	anna = domain.Principal{ID: "entra:anna", Type: domain.User} // pushes
	bert = domain.Principal{ID: "entra:bert", Type: domain.User} // reviews
	open = domain.PrivateCloud{Dev: true, Preview: true}
)

// nuspecOf is a nuspec with dependencies, each an id and perhaps a range: "Other [1.0,2.0)".
func nuspecOf(name, version string, needs ...string) string {
	var b strings.Builder
	for _, n := range needs {
		id, wants, _ := strings.Cut(n, " ")
		fmt.Fprintf(&b, `<dependency id="%s" version="%s"/>`, id, wants)
	}
	return fmt.Sprintf(`<?xml version="1.0"?><package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata><id>%s</id><version>%s</version><authors>A</authors><dependencies>%s</dependencies></metadata></package>`, name, version, &b)
}

// withNeeds is the .nupkg of a package that is sound.
func withNeeds(t *testing.T, name, version string, needs ...string) []byte {
	t.Helper()
	m, err := declared(name, version).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return archive(t, [2]string{name + ".nuspec", nuspecOf(name, version, needs...)}, [2]string{"airlock.json", string(m)}, [2]string{"bin/program", string(static())})
}

func library(t *testing.T, name, version string, needs ...string) []byte {
	t.Helper()
	return archive(t, [2]string{name + ".nuspec", nuspecOf(name, version, needs...)}, [2]string{name + ".psm1", version})
}

// bench is a repository with a test's own ways to use it.
type bench struct {
	*packages.Repository
	t *testing.T
}

func newBench(t *testing.T) bench {
	r, _ := repository(t)
	return bench{r, t}
}

func (b bench) submit(name, version string, needs ...string) domain.Package {
	b.t.Helper()
	p, err := b.Push(b.t.Context(), bytes.NewReader(withNeeds(b.t, name, version, needs...)), anna)
	if err != nil {
		b.t.Fatalf("%s %s: %v", name, version, err)
	}
	return p
}

var librariesID = regexp.MustCompile(`acknowledge (libraries-[0-9a-f]{16}),`)

// accept approves a version with the libraries that it is said to need.
func (b bench) accept(ref string, by domain.Principal) (domain.Package, error) {
	p, err := b.Approve(b.t.Context(), ref, by, nil)
	if m := librariesID.FindStringSubmatch(says(p, err)); m != nil {
		return b.Approve(b.t.Context(), ref, by, m[1:])
	}
	return p, err
}

func (b bench) approve(p domain.Package) domain.Package {
	b.t.Helper()
	p, err := b.accept(p.Ref(), bert)
	if err != nil {
		b.t.Fatalf("%s: %v", p.Ref(), err)
	}
	return p
}

func (b bench) bring(name, version string, needs ...string) domain.Package {
	b.t.Helper()
	p, err := b.Import(b.t.Context(), bytes.NewReader(library(b.t, name, version, needs...)), anna)
	if err != nil {
		b.t.Fatalf("%s %s: %v", name, version, err)
	}
	return p
}

// says is what something answers: the versions, or the error.
func says(p domain.Package, err error) string {
	if err != nil {
		return err.Error()
	}
	return p.Ref()
}

// One version goes through all states; each says where it stands to who wants to run it.
func TestTheLifeOfAVersion(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	expect := func(ref, want string) {
		t.Helper()
		if got := says(b.Resolve(ctx, open, ref)); !strings.Contains(got, want) {
			t.Errorf("%s: %s; want %s", ref, got, want)
		}
	}
	list := func(all bool, want string) {
		t.Helper()
		found, err := b.List(ctx, open, all)
		var refs []string
		for _, p := range found {
			refs = append(refs, p.Ref())
		}
		if got := strings.Join(refs, " "); err != nil || got != want {
			t.Errorf("the list (all %v) is %q, %v; want %q", all, got, err, want)
		}
	}
	old := b.approve(b.submit("P", "1.0.0"))
	if old.Review.By != bert || old.PushedBy != anna || old.Review.Time.IsZero() {
		t.Errorf("%+v", old.Review)
	}
	p := b.submit("P", "1.1.0")
	expect("P@1.1.0", "PackageNotAllowed: P@1.1.0 waits for its review, by somebody other than who pushed it.")
	expect("P@1.*", "P@1.0.0")
	list(true, "P@1.0.0")
	b.approve(p)
	expect("P@1.1.0", "P@1.1.0")
	expect("P@1.*", "P@1.1.0")
	list(false, "P@1.1.0")
	if _, err := b.Deprecate(ctx, "p@1.1", anna, "  it breaks\nclusters. "); err != nil {
		t.Fatal(err)
	}
	expect("P@1.1.0", "P@1.1.0") // still
	expect("P@1.*", "P@1.0.0")
	expect("P", "P@1.0.0")
	expect("P@1.1.*", "PackageNotAllowed: P@1.1.0 is deprecated: it breaks clusters. It runs where it is asked for by exactly this version")
	list(false, "P@1.0.0")
	list(true, "P@1.1.0 P@1.0.0")
	if _, err := b.Reject(ctx, "P@1.1.0", bert, "It leaks."); err != nil { // withdrawn
		t.Fatal(err)
	}
	expect("P@1.1.0", "PackageNotAllowed: P@1.1.0 was rejected: It leaks. Choose another version.")
	expect("P@1.1.*", "was rejected: It leaks.")
	list(true, "P@1.0.0")

	// The same bytes again change nothing, whoever brings them.
	again, err := b.Push(ctx, bytes.NewReader(withNeeds(t, "P", "1.1.0")), bert)
	if err != nil || again.Review.State != domain.Rejected || again.PushedBy != anna {
		t.Errorf("%+v, %v", again.Review, err)
	}
	for what, err := range map[string]error{
		"approve":          second(b.Approve(ctx, "P@1.1.0", bert, nil)),
		"deprecate":        second(b.Deprecate(ctx, "P@1.1.0", bert, "late")),
		"reject twice":     second(b.Reject(ctx, "P@1.1.0", bert, "twice")),
		"approve approved": second(b.Approve(ctx, "P@1.0.0", bert, nil)),
	} {
		if !errors.Has(err, errors.Conflict) || !strings.Contains(err.Error(), "by entra:bert") {
			t.Errorf("%s: %v; want a Conflict that says who decided", what, err)
		}
	}
	for _, reason := range []string{"", " \n", strings.Repeat("x", 2001), "\xff"} {
		if err := second(b.Reject(ctx, "P@1.0.0", bert, reason)); !errors.Has(err, errors.InvalidRequest) {
			t.Errorf("the reason %.20q: %v", reason, err)
		}
	}
	for ref, code := range map[string]errors.Code{"P@1.*": errors.InvalidResourceName, "P": errors.InvalidResourceName, "P@7": errors.ResourceNotFound, "Q@1.0": errors.ResourceNotFound} {
		if err := second(b.Approve(ctx, ref, bert, nil)); !errors.Has(err, code) {
			t.Errorf("%s: %v; want %s", ref, err, code)
		}
	}
}

func second(_ domain.Package, err error) error { return err }

// TestResolution is the table of rings, flags, patterns and versions. Where a version stands is its state's first letter;
// the order of versions is NuGet's.
func TestResolution(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	for _, v := range strings.Fields(`1.0.0/A 1.2.0-dev/S 1.2.0-dev.3/S 1.2.0-dev.20/S 1.2.0-preview/A 1.2.0-preview2/A 1.2.0-preview10/S 1.2.0/A
		1.2.0.1/A 1.2.1/R 1.3.0/S 1.9.0/A 1.10.0/D 2.0.0-dev/S 2.0.0-preview.1/R 2.0.0-preview.2/D 3.0.0-preview/A 13.3.0.24145081/A 13.3.0.9/A`) {
		version, state, _ := strings.Cut(v, "/")
		p := b.submit("P", version)
		switch state {
		case "A":
			b.approve(p)
		case "R":
			if _, err := b.Reject(ctx, p.Ref(), bert, "no"); err != nil {
				t.Fatal(err)
			}
		case "D":
			if _, err := b.Deprecate(ctx, b.approve(p).Ref(), bert, "old"); err != nil {
				t.Fatal(err)
			}
		}
	}
	flags := []domain.PrivateCloud{{}, {Dev: true}, {Preview: true}, {Dev: true, Preview: true}}
	const (
		waits, rejected, deprecated = "waits for its review", "was rejected", "is deprecated"
		noDev, noPreview            = "its dev flag", "registers the feature"
		none                        = "ResourceNotFound"
	)
	for ref, want := range map[string][4]string{ // without flags, dev, preview, both
		"P":                  {"13.3.0.24145081", "", "", ""},
		"P@*":                {"13.3.0.24145081", "", "", ""},
		"P@13.*":             {"13.3.0.24145081", "", "", ""},
		"P@13.3.0.*":         {"13.3.0.24145081", "", "", ""},
		"P@13.3.0.9":         {"13.3.0.9", "", "", ""},
		"P@13.3.0":           {none, "", "", ""},
		"P@1.*":              {"1.9.0", "", "", ""},    // 1.10.0 is deprecated
		"P@1.2.*":            {"1.2.0.1", "", "", ""},  // 1.2.1 was rejected
		"P@1.2":              {"1.2.0", "", "", ""},    // and not 1.2.0.1
		"P@1.2.0.0":          {"1.2.0", "", "", ""},    // the same
		"P@01.2.0":           {"1.2.0", "", "", ""},    // the same
		"P@1.2.0.*":          {"1.2.0.1", "", "", ""},  //
		"P@1.2.0.1":          {"1.2.0.1", "", "", ""},  //
		"P@1.2.1":            {rejected, "", "", ""},   //
		"P@1.2.1.*":          {rejected, "", "", ""},   //
		"P@1.3.0":            {waits, "", "", ""},      //
		"P@1.3.*":            {waits, "", "", ""},      //
		"P@1.10":             {"1.10.0", "", "", ""},   // deprecated, and asked for
		"P@1.10.*":           {deprecated, "", "", ""}, //
		"P@2.*":              {none, "", "", ""},       // a pattern means no label
		"P@3.*":              {none, "", "", ""},       //
		"P@1.2.0-dev":        {noDev, "1.2.0-dev", noDev, "1.2.0-dev"},
		"P@1.2.0-dev.3":      {noDev, "1.2.0-dev.3", noDev, "1.2.0-dev.3"},
		"P@1.2-dev.20":       {noDev, "1.2.0-dev.20", noDev, "1.2.0-dev.20"},
		"P@2.0.0-dev":        {noDev, "2.0.0-dev", noDev, "2.0.0-dev"},
		"P@1.2.0-preview":    {noPreview, noPreview, "1.2.0-preview", "1.2.0-preview"},
		"P@1.2.0.0-preview2": {noPreview, noPreview, "1.2.0-preview2", "1.2.0-preview2"},
		"P@1.2.0-preview10":  {noPreview, noPreview, waits, waits},
		"P@2.0.0-preview.1":  {noPreview, noPreview, rejected, rejected},
		"P@2.0.0-preview.2":  {noPreview, noPreview, "2.0.0-preview.2", "2.0.0-preview.2"},
		"P@3-preview":        {noPreview, noPreview, "3.0.0-preview", "3.0.0-preview"},
		"P@1.2.0-preview3":   {none, none, none, none},
		"P@1.2.0-beta":       {"InvalidResourceName", "", "", ""},
		"P@1.2.0-preview2-x": {"InvalidResourceName", "", "", ""},
		"P@1.2.0-*":          {"InvalidResourceName", "", "", ""},
		"P@1.2.0-preview*":   {"InvalidResourceName", "", "", ""},
		"P@[1.0,2.0)":        {"InvalidResourceName", "", "", ""},
		"P@1.2.0+build":      {"InvalidResourceName", "", "", ""},
		"P@1.2.3.4.5":        {"InvalidResourceName", "", "", ""},
		"P@99999999999.0":    {"InvalidResourceName", "", "", ""},
		"p@1.2.0-PREVIEW":    {"InvalidResourceName", "", "", ""}, // labels are exactly dev and preview
	} {
		for i, cloud := range flags {
			expected := want[i]
			if expected == "" {
				expected = want[0]
			}
			got := says(b.Resolve(ctx, cloud, ref))
			if isVersion := strings.ContainsAny(expected[:1], "0123456789"); isVersion && got != "P@"+expected || !strings.Contains(got, expected) {
				t.Errorf("dev %v, preview %v: %s is %s; want %s", cloud.Dev, cloud.Preview, ref, got, expected)
			}
		}
	}
	for i, want := range []string{
		"13.3.0.24145081",
		"13.3.0.24145081 2.0.0-dev",
		"13.3.0.24145081 3.0.0-preview",
		"13.3.0.24145081 3.0.0-preview 2.0.0-dev",
	} {
		found, err := b.List(ctx, flags[i], false)
		var versions []string
		for _, p := range found {
			versions = append(versions, p.Version)
		}
		if got := strings.Join(versions, " "); err != nil || got != want {
			t.Errorf("dev %v, preview %v: the list is %s, %v; want %s", flags[i].Dev, flags[i].Preview, got, err, want)
		}
	}
	all, err := b.Versions(ctx, "p")
	var versions []string
	for _, p := range all {
		versions = append(versions, p.Version)
	}
	const order = `13.3.0.24145081 13.3.0.9 3.0.0-preview 2.0.0-preview.2 2.0.0-preview.1 2.0.0-dev 1.10.0 1.9.0 1.3.0 1.2.1 1.2.0.1 1.2.0 ` +
		`1.2.0-preview2 1.2.0-preview10 1.2.0-preview 1.2.0-dev.20 1.2.0-dev.3 1.2.0-dev 1.0.0` // a label is compared as text where it is no number: preview10 < preview2
	if got := strings.Join(versions, " "); err != nil || got != order {
		t.Errorf("in order: %s, %v; want %s", got, err, order)
	}
}

// Other labels than those of the rings do not come in, whatever they look like.
func TestOtherLabels(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, version := range strings.Fields("1.0.0-beta 1.0.0-Dev 1.0.0-DEV 1.0.0-devel 1.0.0-dev-1 1.0.0-preview2a 1.0.0-previewdev 1.0.0-rc.preview 1.0.0-alpha.dev 1.0.0--dev 1.0.0-dev+x 1.0.0+dev 1.0.0-0") {
		for what, data := range map[string][]byte{
			"a push":    archive(t, [2]string{"P.nuspec", nuspecOf("P", version)}, [2]string{"airlock.json", manifestText(t, "P", version)}, [2]string{"bin/program", string(static())}),
			"an import": library(t, "P", version),
			// The manifest without the label, the nuspec with it, and the other way round.
			"a nuspec":   archive(t, [2]string{"P.nuspec", nuspecOf("P", version)}, [2]string{"airlock.json", manifestText(t, "P", "1.0.0")}, [2]string{"bin/program", string(static())}),
			"a manifest": archive(t, [2]string{"P.nuspec", nuspecOf("P", "1.0.0")}, [2]string{"airlock.json", manifestText(t, "P", version)}, [2]string{"bin/program", string(static())}),
		} {
			call := b.Push
			if what == "an import" {
				call = b.Import
			}
			if p, err := call(t.Context(), bytes.NewReader(data), anna); !errors.Has(err, errors.InvalidPackage) {
				t.Errorf("%s of %s: %s, %v; want InvalidPackage", what, version, p.Version, err)
			}
		}
	}
	if all, err := b.Versions(t.Context(), ""); err != nil || len(all) > 0 {
		t.Errorf("%v, %v", all, err)
	}
}

func manifestText(t *testing.T, name, version string) string {
	t.Helper()
	data, err := declared(name, version).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The dev ring has no reviews, and no decision moves a version out of it.
func TestDevIsNeverReviewed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.submit("P", "1.0.0-dev")
	for what, err := range map[string]error{
		"approve":   second(b.Approve(t.Context(), p.Ref(), bert, nil)),
		"reject":    second(b.Reject(t.Context(), p.Ref(), bert, "no")),
		"deprecate": second(b.Deprecate(t.Context(), p.Ref(), bert, "no")),
	} {
		if !errors.Has(err, errors.InvalidRequest) || !strings.Contains(err.Error(), "never reviewed") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if p, err := b.Version(t.Context(), p.Ref()); err != nil || p.Review.State != domain.Submitted {
		t.Errorf("%+v, %v", p.Review, err)
	}
}

// Who starts the server answers for what it is started with.
func TestWhatTheServerIsStartedWith(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if p := push(t, b.Repository, "P", "1.0.0"); p.Review.State != domain.Approved || p.PushedBy != (domain.Principal{}) {
		t.Errorf("%+v", p.Review)
	}
	if p := push(t, b.Repository, "P", "1.1.0-dev"); p.Review.State != domain.Submitted {
		t.Errorf("a version of the dev ring is %s", p.Review.State)
	}
}

// Of errors that were found each is acknowledged, and nothing else is.
func TestErrorsAreAcknowledged(t *testing.T) {
	t.Parallel()
	p := domain.Package{Findings: []domain.ReviewFinding{
		{Rule: "b", Severity: domain.SeverityError}, {Rule: "a", Severity: domain.SeverityError}, {Rule: "b", Severity: domain.SeverityError, Line: 2},
		{Rule: "w", Severity: domain.SeverityWarning}, {Rule: "n", Severity: domain.SeverityNote},
	}}
	if got := p.Errors(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("the errors are %v", got)
	}
	r, index := repositoryOn(t)
	found := domain.Package{Name: "P", Version: "1.0.0", Digest: strings.Repeat("a", 64), Pushed: time.Now(), PushedBy: anna, Findings: p.Findings, Review: domain.Review{State: domain.Submitted}}
	if err := index.PutPackage(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		acknowledged []string
		says         string
	}{
		{nil, "acknowledge a, b, or reject it"},
		{[]string{"a"}, "acknowledge b, or"},
		{[]string{"a", "b", "w"}, "No error of the rule \"w\""},
		{[]string{"A", "b"}, "No error of the rule \"A\""},
		{[]string{"*"}, "No error of the rule"},
		{[]string{""}, "No error of the rule"},
	} {
		if _, err := r.Approve(t.Context(), "P@1.0.0", bert, c.acknowledged); !errors.Has(err, errors.InvalidRequest) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v; want %s", c.acknowledged, err, c.says)
		}
	}
	got, err := r.Approve(t.Context(), "P@1.0.0", bert, []string{"b", "a", "b"})
	if err != nil || !slices.Equal(got.Review.Acknowledged, []string{"a", "b"}) {
		t.Errorf("%+v, %v", got.Review, err)
	}
}
