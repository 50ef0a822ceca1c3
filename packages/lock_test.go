package packages_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// locked are the versions of a lock in one line.
func locked(p domain.Package) string {
	var all []string
	for _, pin := range p.Lock {
		all = append(all, pin.Name+"@"+pin.Version)
	}
	return strings.Join(all, " ")
}

// parsed reads "A 1.0.0: B [1.0,2.0), C" into name, version and needs; a ; ends a need, because ranges hold commas.
func parsed(line string) (name, version string, needs []string) {
	head, tail, _ := strings.Cut(line, ":")
	name, version, _ = strings.Cut(strings.TrimSpace(head), " ")
	for n := range strings.SplitSeq(tail, ";") {
		if n = strings.TrimSpace(n); n != "" {
			needs = append(needs, n)
		}
	}
	return name, version, needs
}

// TestLocks resolves packages against libraries: of the versions that fit, the highest; what cannot be met says the chain.
func TestLocks(t *testing.T) {
	t.Parallel()
	const powercli = "B 1.0.0|B 1.5.0|B 1.10.0|B 2.0.0|B 2.0.0.1|B 13.3.0.24145081|B 3.0.0-preview|B 4.0.0-dev"
	for name, c := range map[string]struct {
		libraries, needs string
		version          string // of what is approved, 1.0.0 where it is ""
		want             string // the lock, or what the refusal says
	}{
		"nothing":                      {powercli, "", "", ""},
		"any":                          {powercli, "B", "", "B@13.3.0.24145081"},
		"at least":                     {powercli, "B 1.5", "", "B@13.3.0.24145081"},
		"exactly":                      {powercli, "B [1.5]", "", "B@1.5.0"},
		"exactly, with four numbers":   {powercli, "B [2.0.0.1]", "", "B@2.0.0.1"},
		"exactly, three of four":       {powercli, "B [2.0]", "", "B@2.0.0"},
		"exactly, a fourth of 0":       {powercli, "B [2.0.0.0]", "", "B@2.0.0"},
		"below":                        {powercli, "B [1.0,2.0)", "", "B@1.10.0"},
		"up to":                        {powercli, "B [1.0,2.0]", "", "B@2.0.0"},
		"above":                        {powercli, "B (1.0,1.10)", "", "B@1.5.0"},
		"at most":                      {powercli, "B (,1.9]", "", "B@1.5.0"},
		"blanks":                       {powercli, "B [1.0, 1.5]", "", "B@1.5.0"},
		"another case":                 {powercli, "b [1.0]", "", "B@1.0.0"},
		"a label is not meant":         {powercli, "B [2.1,13.0)", "", "P@1.0.0 needs B [2.1,13.0), and of it the repository has 13.3.0.24145081, 4.0.0-dev, 3.0.0-preview,"},
		"a label not for everybody":    {powercli, "B [3.0.0-preview,4.0)", "", "P@1.0.0 needs B [3.0.0-preview,4.0), and of it"},
		"a label for its ring":         {powercli, "B [3.0.0-preview,4.0)", "1.0.0-preview", "B@3.0.0-preview"},
		"a label of fewer":             {powercli, "B [4.0.0-dev]", "1.0.0-preview", "P@1.0.0-preview needs B [4.0.0-dev], and of it"},
		"dev sees all labels":          {powercli, "B [3.0.0-dev,5.0)", "1.0.0-dev", "B@4.0.0-dev"},
		"dev without a label in range": {powercli, "B [2.0,5.0)", "1.0.0-dev", "B@2.0.0.1"},
		"missing":                      {powercli, "X 1.0", "", "P@1.0.0 needs X 1.0, and the repository has no version of it: import or push one"},
		"missing, dev":                 {powercli, "X", "1.0.0-dev", "P@1.0.0-dev needs X, and the repository has no version of it"},
		"missing further on":           {"B 1.0.0: C 2.0|C 1.0.0: D", "B", "", "P@1.0.0 → B@1.0.0 needs C 2.0, and of it the repository has 1.0.0 only"},
		"missing at the end":           {"B 1.0.0: C|C 1.0.0: D [2.0,3.0)", "B", "", "P@1.0.0 → B@1.0.0 → C@1.0.0 needs D [2.0,3.0), and the repository has no version of it"},
		"transitive":                   {"B 1.0.0: C [1.0]; D|C 1.0.0|C 2.0.0|D 1.0.0: C", "B", "", "B@1.0.0 C@1.0.0 D@1.0.0"},
		"by name":                      {"Z 1.0.0|a 1.0.0|M 1.0.0", "Z; a; M", "", "a@1.0.0 M@1.0.0 Z@1.0.0"},
		"a lower one fits":             {"B 1.0.0|B 2.0.0|C 1.0.0: B [1.0,2.0)", "B 1.0; C", "", "B@1.0.0 C@1.0.0"},
		"a lower one fits further on":  {"B 1.0.0|B 2.0.0: D [2.0]|C 1.0.0: D [1.0]|D 1.0.0|D 2.0.0", "B; C", "", "B@1.0.0 C@1.0.0 D@1.0.0"},
		"a conflict":                   {"B 1.0.0|B 2.0.0|C 1.0.0: B [1.0,2.0)", "B [2.0]; C", "", "P@1.0.0 → C@1.0.0 needs B [1.0,2.0), but P@1.0.0 needs another version of it and has got 2.0.0"},
		"a conflict further on":        {"B 1.0.0: D [1.0]|C 1.0.0: D [2.0]|D 1.0.0|D 2.0.0", "B; C", "", "P@1.0.0 → C@1.0.0 needs D [2.0], but P@1.0.0 → B@1.0.0 needs another version of it and has got 1.0.0"},
		"a cycle":                      {"B 1.0.0: C|C 1.0.0: B", "B", "", "P@1.0.0 → B@1.0.0 → C@1.0.0 needs B, which is a cycle"},
		"a cycle to itself":            {powercli, "P", "", "P@1.0.0 needs P, which is a cycle"},
		"a cycle of one":               {"B 1.0.0: B", "B", "", "P@1.0.0 → B@1.0.0 needs B, which is a cycle"},
		"a cycle that can be left out": {"B 1.0.0|B 2.0.0: C|C 1.0.0: B", "B", "", "B@1.0.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			for line := range strings.SplitSeq(c.libraries, "|") {
				id, version, needs := parsed(line)
				b.bring(id, version, needs...)
			}
			version := c.version
			if version == "" {
				version = "1.0.0"
			}
			_, _, needs := parsed(":" + c.needs)
			code := errors.Conflict
			p, err := b.Push(t.Context(), bytes.NewReader(withNeeds(t, "P", version, needs...)), anna)
			if strings.Contains(version, "dev") {
				code = errors.InvalidPackage
			} else if err == nil {
				if len(p.Lock) > 0 {
					t.Errorf("before its approval it has the lock %s", locked(p))
				}
				p, err = b.accept(p.Ref(), domain.Principal{ID: "entra:carl"})
			}
			switch {
			case err == nil && locked(p) != c.want:
				t.Errorf("the lock is %s; want %s", locked(p), c.want)
			case err != nil && (!errors.Has(err, code) || !strings.Contains(err.Error(), c.want) || c.want == ""):
				t.Errorf("%v; want %s", err, c.want)
			case err != nil:
				if have, err := b.Version(t.Context(), "P@"+version); err == nil && have.Review.State != domain.Submitted {
					t.Errorf("refused, it is %s", have.Review.State)
				}
			}
			for _, pin := range p.Lock {
				if l, err := b.Version(t.Context(), pin.String()); err != nil || l.Digest != pin.Digest {
					t.Errorf("%s has the digest %s in the lock and %s by itself, %v", pin, pin.Digest, l.Digest, err)
				}
			}
		})
	}
}

// What a version may depend on by its review: libraries with it, packages after their own, deprecated ones if they are
// asked for exactly, rejected ones not, and not any more once they are.
func TestLocksAndReviews(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	carl := domain.Principal{ID: "entra:carl", Type: domain.User}
	lib := b.bring("L", "1.0.0")
	if lib.Review.State != domain.Submitted || !lib.Library || len(lib.Manifest.Cmdlets) > 0 || lib.Manifest.Description != "" {
		t.Errorf("%+v", lib)
	}
	for what, got := range map[string]string{
		"running a library": says(b.Resolve(ctx, open, "L@1.0.0")),
		"a pattern":         says(b.Resolve(ctx, open, "L")),
	} {
		if !strings.Contains(got, "PackageNotAllowed: L@1.0.0 is a library") {
			t.Errorf("%s: %s", what, got)
		}
	}
	if found, err := b.List(ctx, open, true); err != nil || len(found) > 0 {
		t.Errorf("a library is listed: %v, %v", found, err)
	}
	if got := says(b.Push(ctx, bytes.NewReader(library(t, "L", "1.0.0")), anna)); !strings.Contains(got, "InvalidPackage") {
		t.Errorf("a library is pushed: %s", got)
	}
	if got := says(b.Import(ctx, bytes.NewReader(withNeeds(t, "P", "1.0.0")), anna)); !strings.Contains(got, "so that it is no library: push it") {
		t.Errorf("a package is imported: %s", got)
	}

	// A package waits for the review of another; a library is approved with what needs it.
	needed, p := b.submit("N", "1.0.0", "L"), b.submit("P", "1.1.0", "N", "L 1.0")
	if got := says(b.Approve(ctx, p.Ref(), carl, nil)); !strings.Contains(got, "P@1.1.0 needs N, and of it the repository has 1.0.0 (Submitted) only") {
		t.Error(got)
	}
	b.approve(needed)
	if l, err := b.Version(ctx, "L@1.0.0"); err != nil || l.Review.State != domain.Approved || l.Review.By != bert {
		t.Errorf("%+v, %v", l.Review, err)
	}
	if got := locked(b.approve(p)); got != "L@1.0.0 N@1.0.0" {
		t.Errorf("the lock is %s", got)
	}
	// What came later changes no lock.
	b.approve(b.submit("N", "2.0.0"))
	if got, err := b.Resolve(ctx, open, "P@1.1.0"); err != nil || locked(got) != "L@1.0.0 N@1.0.0" {
		t.Errorf("%s, %v", locked(got), err)
	}
	if _, err := b.Deprecate(ctx, "N@2.0.0", bert, "old"); err != nil {
		t.Fatal(err)
	}
	if got := locked(b.approve(b.submit("P", "1.2.0", "N"))); got != "L@1.0.0 N@1.0.0" {
		t.Errorf("with the highest deprecated the lock is %s", got)
	}
	if got := locked(b.approve(b.submit("P", "1.3.0", "N [2.0.0]"))); got != "N@2.0.0" {
		t.Errorf("with the deprecated one asked for the lock is %s", got)
	}
	if _, err := b.Reject(ctx, "N@1.0.0", bert, "It leaks."); err != nil {
		t.Fatal(err)
	}
	if got := says(b.Resolve(ctx, open, "P@1.1.0")); got != "PackageNotAllowed: P@1.1.0 depends on N@1.0.0, which was rejected: It leaks. Choose another version." {
		t.Error(got)
	}
	if got := says(b.Approve(ctx, b.submit("P", "1.4.0", "N [1.0.0]").Ref(), carl, nil)); !strings.Contains(got, "1.0.0 (Rejected)") {
		t.Error(got)
	}

	// The same bytes of a -dev version again are a success, whatever has become of what it needs.
	data := withNeeds(t, "D", "1.0.0-dev", "M")
	m := b.bring("M", "1.0.0")
	if got := says(b.Push(ctx, bytes.NewReader(data), anna)); got != "D@1.0.0-dev" {
		t.Fatal(got)
	}
	if _, err := b.Reject(ctx, m.Ref(), bert, "no"); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Push(ctx, bytes.NewReader(data), anna); err != nil || locked(got) != "M@1.0.0" {
		t.Errorf("%s, %v", locked(got), err)
	}
}

// Libraries that nobody has reviewed are approved by who has seen which they are: not what is imported while he looks, and not
// what a server is started with and happens to need.
func TestLibrariesAreNotApprovedUnseen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	b.bring("L", "1.0.0")
	p := b.submit("P", "1.0.0", "L")
	refusal := says(b.Approve(ctx, p.Ref(), bert, nil))
	m := librariesID.FindStringSubmatch(refusal)
	if m == nil || !strings.HasPrefix(refusal, "InvalidRequest: ") || !strings.Contains(refusal, "approved by itself: L@1.0.0.") {
		t.Fatal(refusal)
	}
	evil := b.bring("L", "1.0.1")
	if got := says(b.Approve(ctx, p.Ref(), bert, m[1:])); !strings.Contains(got, "InvalidRequest") || !strings.Contains(got, "L@1.0.1") {
		t.Errorf("with another library than was looked at: %s", got)
	}
	path := filepath.Join(t.TempDir(), "Q.1.0.0.nupkg")
	if err := os.WriteFile(path, withNeeds(t, "Q", "1.0.0", "L"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := says(b.PushPath(ctx, path)); !strings.Contains(got, "L@1.0.1") {
		t.Errorf("started with what needs an unreviewed library: %s", got)
	}
	if l, err := b.Version(ctx, evil.Ref()); err != nil || l.Review.State != domain.Submitted {
		t.Errorf("%+v, %v", l.Review, err)
	}
	if _, err := b.Reject(ctx, evil.Ref(), bert, "Whose is it?"); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Approve(ctx, p.Ref(), bert, m[1:]); err != nil || locked(got) != "L@1.0.0" || !slices.Equal(got.Review.Acknowledged, m[1:]) {
		t.Errorf("%s, %v, %v", locked(got), got.Review.Acknowledged, err)
	}
	b.approve(b.submit("P", "1.1.0", "L")) // once approved there is nothing to acknowledge
	if got, err := b.PushPath(ctx, path); err != nil || got.Review.State != domain.Approved {
		t.Errorf("%s", says(got, err))
	}
}

// A search that would take for ever ends.
func TestLocksAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const ids, versions = 7, 4 // 4^7 combinations, of which none fits: more than are tried
	var needs []string
	for i := range ids {
		id := fmt.Sprint("B", i)
		needs = append(needs, id)
		for v := range versions {
			b.bring(id, fmt.Sprintf("1.%d.0", v), "Z [1.0]")
		}
	}
	b.bring("Z", "1.0.0")
	b.bring("Z", "2.0.0")
	p := b.submit("P", "1.0.0", append(needs, "Z [2.0]")...)
	if got := says(b.Approve(t.Context(), p.Ref(), bert, nil)); !strings.Contains(got, "needs Z [1.0], but P@1.0.0 needs another version of it and has got 2.0.0") {
		t.Error(got)
	}
}
