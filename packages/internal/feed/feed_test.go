package feed_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"deps.dev/util/semver"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages/internal/feed"
)

// shelf is a repository whose packages have their digest as content.
type shelf []domain.Package

func (s shelf) Versions(_ context.Context, name string) (found []domain.Package, err error) {
	for _, p := range s {
		if name == "" || strings.EqualFold(name, p.Name) {
			found = append(found, p)
		}
	}
	slices.SortStableFunc(found, func(a, b domain.Package) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), semver.NuGet.Compare(b.Version, a.Version))
	})
	return found, nil
}

type content struct{ *bytes.Reader }

func (content) Close() error { return nil }

func (s shelf) Content(digest string) (io.ReadSeekCloser, error) {
	return content{bytes.NewReader([]byte(digest))}, nil
}

func (s shelf) Import(context.Context, io.Reader, domain.Principal) (domain.Package, error) {
	panic("nobody imports here")
}

func (s shelf) Push(context.Context, io.Reader, domain.Principal) (domain.Package, error) {
	return domain.Package{}, errors.New("nobody pushes here")
}

// approved are approved versions of a package.
func approved(name string, versions ...string) (all shelf) {
	for _, v := range versions {
		all = append(all, domain.Package{Name: name, Version: v, Digest: name + " " + v, Review: domain.Review{State: domain.Approved}, Pushed: time.Unix(1e9, 0).UTC()})
	}
	return all
}

// get reads from a feed on a host.
func get(t *testing.T, s shelf, host, path string) (string, error) {
	t.Helper()
	path, query, _ := strings.Cut(path, "?")
	w := httptest.NewRecorder()
	err := feed.New(s).Read(w, httptest.NewRequest("GET", "/?"+query, nil), "https://"+host+"/nuget", path)
	return w.Body.String(), err
}

func read[T any](t *testing.T, s shelf, host, path string) (answer T) {
	t.Helper()
	text, err := get(t, s, host, path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%s: %v in %s", path, err, text)
	}
	return answer
}

// registration is what PSResourceGet reads of one.
type registration struct {
	Items []struct {
		Upper string
		Items []struct {
			PackageContent string
			CatalogEntry   struct {
				ID, Version string
				Listed      bool
				Tags        []string
			}
		}
	}
}

func parse(t *testing.T, text string) *semver.Version {
	t.Helper()
	v, err := semver.NuGet.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// found are the versions in the order in which PSResourceGet (V3ServerAPICalls.cs) has them when it finds: the listed
// ones, turned round where the first is lower than the last.
func found(t *testing.T, r registration) (versions []string) {
	t.Helper()
	for _, page := range r.Items {
		for _, item := range page.Items {
			if item.CatalogEntry.Listed {
				versions = append(versions, item.CatalogEntry.Version)
			}
		}
	}
	if n := len(versions); n > 1 && parse(t, versions[0]).Compare(parse(t, versions[n-1])) < 0 {
		slices.Reverse(versions)
	}
	return versions
}

// urls are all packageContents, listed or not, in the order in which it has them when it installs: turned round where the
// first does not contain upper. It takes the first that contains the version's text.
func urls(r registration) (urls []string) {
	upper := ""
	for _, page := range r.Items {
		upper = page.Upper
		for _, item := range page.Items {
			urls = append(urls, item.PackageContent)
		}
	}
	if len(urls) > 1 && upper != "" && !strings.Contains(urls[0], upper) {
		slices.Reverse(urls)
	}
	return urls
}

// check has every version that is found be installed as what it is, and says which versions are found.
func check(t *testing.T, host string, s shelf) []string {
	t.Helper()
	r := read[registration](t, s, host, "v3/registrations/"+strings.ToLower(s[0].Name)+"/index.json")
	versions, urls := found(t, r), urls(r)
	for i, v := range versions {
		if i > 0 && parse(t, versions[i-1]).Compare(parse(t, v)) <= 0 {
			t.Errorf("%s: %s is found behind %s", host, v, versions[i-1])
		}
		n := slices.IndexFunc(urls, func(u string) bool { return strings.Contains(u, v) })
		if n < 0 || !strings.HasPrefix(urls[n], "https://"+host+"/nuget/v3/content/") || path.Base(urls[n]) != v {
			t.Fatalf("%s: who installs %s of %v gets it from %d of %q", host, v, versions, n, urls)
		}
	}
	return versions
}

var hosts = []string{"airlock.example", "127.0.0.1:8443", "10.0.1.1", "1.0.1.10:1010", "[::ffff:1.0.0.1]:443", "v1.0.1.airlock.example", "1-0-1.example"}

// Whatever versions a package has, who installs one gets that one.
func TestNobodyGetsAnotherVersion(t *testing.T) {
	t.Parallel()
	var all []string
	numbers := []string{"0", "1", "10"}
	for _, a := range numbers {
		for _, b := range numbers {
			for _, c := range numbers {
				v := a + "." + b + "." + c
				all = append(all, v, v+"-preview", v+"-preview2", v+".1", v+".10-preview")
			}
		}
	}
	slices.SortFunc(all, func(a, b string) int { return parse(t, a).Compare(parse(t, b)) })
	for _, name := range []string{"Contoso.Tools", "Contoso-1.0.1"} {
		for _, host := range hosts {
			versions := check(t, host, approved(name, all...))
			for _, v := range all {
				if !slices.Contains(versions, v) && !strings.Contains(host, v) {
					t.Errorf("%s: %s is not found", host, v)
				}
			}
		}
	}
}

// All pairs, each as a package of its own: what others there are must not be what makes it right.
func TestNoPairIsMistaken(t *testing.T) {
	t.Parallel()
	versions := []string{
		"0.0.1", "1.0.0", "1.0.1", "1.0.10", "1.0.1.5", "1.0.1.50", "11.0.1", "10.0.1", "1.0.1-preview", "1.0.1-preview2", "1.0.1-preview.2", "1.0.1-preview20",
		"1.0.10-preview", "3.3.0", "13.3.0", "13.3.0.24145081", "13.3.0.2414508", "3.3.0.24145081", "127.0.0", "27.0.0.1", "7.0.0", "1.1.0-preview", "1.1.0",
	}
	lost := map[string]bool{}
	for _, host := range hosts {
		for i, a := range versions {
			check(t, host, approved("Contoso.Tools", a))
			for _, b := range versions[i+1:] {
				if len(check(t, host, approved("Contoso.Tools", a, b))) < 2 {
					lost[fmt.Sprint(host, " ", a, " ", b)] = true
					if !strings.Contains(host, a) || !strings.Contains(host, b) {
						t.Errorf("%s: of %s and %s one is not found", host, a, b)
					}
				}
			}
		}
	}
	if len(lost) == 0 { // 127.0.0.1 with 0.0.1 and 7.0.0
		t.Error("no pair was left out, though nothing could tell some apart")
	}
	alone := approved("Contoso.Tools", "0.0.1")
	alone[0].Review.State = domain.Deprecated
	if text, err := get(t, alone, "127.0.0.1", "v3/registrations/contoso.tools/index.json"); !errors.Has(err, errors.ResourceNotFound) {
		t.Errorf("of a deprecated version that the URL of all holds: %s, %v", text, err)
	}
}

func TestWhatTheFeedShows(t *testing.T) {
	t.Parallel()
	s := approved("Contoso.Tools", "1.0.0", "1.1.0", "2.0.0", "2.0.0-preview", "3.0.0", "3.1.0", "4.0.0-dev")
	s[1].Review.State = domain.Deprecated
	s[4].Review.State = domain.Submitted
	s[5].Review.State = domain.Rejected
	s[6].Review.State = domain.Submitted
	const host = "airlock.example"
	if got := check(t, host, s); !slices.Equal(got, []string{"2.0.0", "2.0.0-preview", "1.0.0"}) {
		t.Errorf("found are %v", got)
	}
	type list struct{ Versions []string }
	if got := read[list](t, s, host, "v3/packages/contoso.tools/index.json").Versions; !slices.Equal(got, []string{"1.0.0", "1.1.0", "2.0.0-preview", "2.0.0"}) {
		t.Errorf("the package base address lists %v", got)
	}
	if got, err := get(t, s, host, "v3/packages/contoso.tools/1.1.0/contoso.tools.1.1.0.nupkg"); err != nil || got != "Contoso.Tools 1.1.0" {
		t.Errorf("the deprecated version by its exact version: %q, %v", got, err)
	}
	for _, hidden := range []string{"3.0.0", "3.1.0", "4.0.0-dev", "9.9.9"} {
		for _, path := range []string{"v3/packages/contoso.tools/" + hidden + "/contoso.tools." + hidden + ".nupkg", "v3/content/contoso~tools/" + hidden} {
			if got, err := get(t, s, host, path); !errors.Has(err, errors.ResourceNotFound) || got != "" {
				t.Errorf("%s: %q, %v", path, got, err)
			}
		}
	}
	for _, path := range []string{
		"", "v3", "v3/", "index.json", "v2/index.json", "v3/index.json/x", "v3/registrations/none/index.json", "v3/registrations//index.json", "v3/packages/none/index.json",
		"v3/packages/contoso.tools/1.0.0/other.nupkg", "v3/content/contoso~tools", "v3/publish", "v3/search/x",
	} {
		if got, err := get(t, s, host, path); !errors.Has(err, errors.ResourceNotFound) || got != "" {
			t.Errorf("%q: %q, %v", path, got, err)
		}
	}
	s = s[3:5]
	s[0].Review.State = domain.Deprecated
	if got := check(t, host, s); len(got) > 0 {
		t.Errorf("found are %v, want none", got)
	}
}

func TestDependenciesAlwaysHaveARange(t *testing.T) {
	t.Parallel()
	s := approved("A", "1.0.0")
	s[0].Spec.Dependencies = []domain.Dependency{{ID: "B"}, {ID: "C", Range: "1.0.0"}, {ID: "D.E", Range: "[1.0.1]"}, {ID: "F", Range: "[1.0.0,1.0.5]"}, {ID: "G", Range: "(,1.0.5]"}}
	type index struct {
		Items []struct {
			Items []struct {
				CatalogEntry struct {
					DependencyGroups []struct {
						Dependencies []struct{ ID, Range, Registration string }
					}
				}
			}
		}
	}
	groups := read[index](t, s, "a", "v3/registrations/a/index.json").Items[0].Items[0].CatalogEntry.DependencyGroups
	var got []string
	for _, d := range groups[0].Dependencies {
		got = append(got, d.ID+" "+d.Range+" "+d.Registration)
	}
	const base = " https://a/nuget/v3/registrations/"
	want := []string{"B (, )" + base + "b/index.json", "C [1.0.0, )" + base + "c/index.json", "D.E [1.0.1]" + base + "d.e/index.json", "F [1.0.0, 1.0.5]" + base + "f/index.json", "G (, 1.0.5]" + base + "g/index.json"}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	s := append(approved("Contoso.Tools", "1.0.0", "1.0.10", "1.1.0-preview"), append(approved("Contoso.Backup", "2.0.0-preview"), approved("Other", "3.0.0")...)...)
	for i := range s {
		s[i].Spec.Tags = []string{"PSModule", s[i].Name[:2]}
		s[i].Spec.Description = "Moves boxes of " + s[i].Name
	}
	s[1].Review.State = domain.Deprecated
	type answer struct {
		TotalHits int
		Data      []struct {
			ID, Version string
			Tags        []string
			Versions    []struct{ Version string }
		}
	}
	for query, want := range map[string]string{
		"q=Contoso&prerelease=False&semVerLevel=2.0.0&skip=0&take=100": "1 Contoso.Tools 1.0.0",
		"q=contoso&prerelease=True&semVerLevel=2.0.0&skip=0&take=100":  "2 Contoso.Backup 2.0.0-preview Contoso.Tools 1.1.0-preview",
		"":                                "2 Contoso.Tools 1.0.0 Other 3.0.0",
		"q=&take=1":                       "2 Contoso.Tools 1.0.0",
		"q=&skip=1":                       "2 Other 3.0.0",
		"q=&skip=7":                       "2",
		"q=&take=0":                       "2",
		"q=&skip=-1&take=x":               "2 Contoso.Tools 1.0.0 Other 3.0.0",
		"q=boxes":                         "2 Contoso.Tools 1.0.0 Other 3.0.0",
		"q=psmodule":                      "2 Contoso.Tools 1.0.0 Other 3.0.0",
		"q=tags:ot":                       "1 Other 3.0.0",
		"q=tags:o":                        "0",
		"q=packageid:OTHER":               "1 Other 3.0.0",
		"q=packageid:oth":                 "0",
		"q=con*":                          "1 Contoso.Tools 1.0.0",
		"q=*tools":                        "1 Contoso.Tools 1.0.0",
		"q=*o*":                           "2 Contoso.Tools 1.0.0 Other 3.0.0",
		"q=tools*":                        "0",
		"q=%5B*":                          "0",
		"q=contoso+tags:psmodule":         "1 Contoso.Tools 1.0.0",
		"q=contoso+other":                 "0",
		"q=con*&prerelease=true&take=1":   "2 Contoso.Backup 2.0.0-preview",
		"q=none":                          "0",
		"q=packageid:contoso.tools&take=": "1 Contoso.Tools 1.0.0",
	} {
		a := read[answer](t, s, "a", "v3/search?"+query)
		got := fmt.Sprint(a.TotalHits)
		for _, d := range a.Data {
			got += " " + d.ID + " " + d.Version
			if len(d.Tags) != 2 || len(d.Versions) == 0 || d.Versions[len(d.Versions)-1].Version != d.Version {
				t.Errorf("%s: %+v", query, d)
			}
		}
		if got != want || a.Data == nil {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}
