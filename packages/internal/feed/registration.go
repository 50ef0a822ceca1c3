package feed

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// registration answers what there is of a package ("Package metadata", learn.microsoft.com/nuget/api), in one page.
func (f *Feed) registration(ctx context.Context, w http.ResponseWriter, base, id string) error {
	shown, err := f.of(ctx, id)
	if err != nil {
		return err
	}
	if shown = unmistakable(contentURL(base, id, ""), shown); len(shown) == 0 {
		return errors.Newf(errors.ResourceNotFound, "The feed's own URL looks like the versions of %.200q to the client; reach it by a name without numbers.", id)
	}
	return send(w, register(base, shown))
}

// unmistakable leaves out versions that clients would mistake for one another whatever their order, because the URLs of
// all versions hold them: of those it keeps the highest that is listed.
func unmistakable(common string, shown []version) []version {
	kept := false
	return slices.DeleteFunc(shown, func(v version) bool {
		if !strings.Contains(common, v.Version) {
			return false
		}
		first := v.listed && !kept
		kept = kept || first
		return !first
	})
}

type registrationIndex struct {
	ID    string             `json:"@id"`
	Type  []string           `json:"@type"`
	Count int                `json:"count"`
	Items []registrationPage `json:"items"`
}

type registrationPage struct {
	ID    string             `json:"@id"`
	Type  string             `json:"@type"`
	Count int                `json:"count"`
	Lower string             `json:"lower"`
	Upper string             `json:"upper"`
	Items []registrationLeaf `json:"items"`
}

type registrationLeaf struct {
	ID             string       `json:"@id"`
	Type           string       `json:"@type"`
	CatalogEntry   catalogEntry `json:"catalogEntry"`
	PackageContent string       `json:"packageContent"`
	Registration   string       `json:"registration"`
}

type catalogEntry struct {
	URL              string            `json:"@id"`
	Type             string            `json:"@type"`
	ID               string            `json:"id"` // whose case clients take for the folder's
	Version          string            `json:"version"`
	Authors          string            `json:"authors"`
	Description      string            `json:"description"`
	ProjectURL       string            `json:"projectUrl"`
	Published        time.Time         `json:"published"`
	Tags             []string          `json:"tags"`
	Listed           bool              `json:"listed"`
	PackageContent   string            `json:"packageContent"`
	DependencyGroups []dependencyGroup `json:"dependencyGroups"`
}

type dependencyGroup struct {
	Type         string       `json:"@type"`
	Dependencies []dependency `json:"dependencies"`
}

type dependency struct {
	Type         string `json:"@type"`
	ID           string `json:"id"`
	Range        string `json:"range"` // never missing: a client would install the newest
	Registration string `json:"registration"`
}

// register is the index of a package's versions, which come from the highest down.
//
// PSResourceGet finds in one order and installs in another, and what it installs is decided by text: it takes the first
// packageContent in which the wanted version occurs anywhere, where 1.0.1 occurs in …/1.0.10, and 0.0.1 in the host
// 127.0.0.1. (V3ServerAPICalls.cs; learnt on 1.3.0-preview1.) Before it installs it turns the order round, unless the
// page's upper occurs in the first packageContent. So
//   - the listed versions come from the highest down, for whoever finds;
//   - behind them come all once more, unlisted, in the order of installOrder turned round, for whoever installs;
//   - upper ends in +0, which is the same version, and occurs in no URL;
//   - a packageContent has the version once, and nothing else in which one could occur (see contentURL).
//
// Where the URL of the server itself holds more than one of the versions, no order is right for all: see unmistakable.
func register(base string, shown []version) registrationIndex {
	here := base + "/registrations/" + strings.ToLower(shown[0].Name) + "/index.json"
	page := registrationPage{
		ID: here + "#page", Type: "catalog:CatalogPage", Lower: shown[len(shown)-1].Version, Upper: shown[0].Version + "+0",
	}
	for _, v := range shown {
		if v.listed {
			page.Items = append(page.Items, leaf(base, here, v))
		}
	}
	for _, v := range slices.Backward(installOrder(contentURL(base, shown[0].Name, ""), shown)) {
		v.listed = false
		page.Items = append(page.Items, leaf(base, here, v))
	}
	page.Count = len(page.Items)
	return registrationIndex{
		ID: here, Type: []string{"catalog:CatalogRoot", "PackageRegistration", "catalog:Permalink"}, Count: 1, Items: []registrationPage{page},
	}
}

// installOrder is the order in which the first packageContent that holds a version's text is that version's own: the one
// that all of them hold, then the shorter before the longer, because a text is contained in longer ones only.
func installOrder(common string, shown []version) []version {
	order := slices.Clone(shown)
	slices.SortStableFunc(order, func(a, b version) int {
		inAll, other := strings.Contains(common, a.Version), strings.Contains(common, b.Version)
		switch {
		case inAll && !other:
			return -1
		case other && !inAll:
			return 1
		}
		return cmp.Compare(len(a.Version), len(b.Version))
	})
	return order
}

// contentURL is the packageContent of a version. A version has two dots at least, and there is none in this path but the
// version's own: those of the id are written as ~.
func contentURL(base, id, version string) string {
	return base + "/content/" + strings.ReplaceAll(strings.ToLower(id), ".", "~") + "/" + version
}

func leaf(base, here string, v version) registrationLeaf {
	content := contentURL(base, v.Name, v.Version)
	entry := catalogEntry{
		URL: here + "#" + v.Version, Type: "PackageDetails", ID: v.Name, Version: v.Version,
		Authors: cmp.Or(v.Spec.Authors, v.Name), Description: v.Spec.Description, ProjectURL: v.Spec.ProjectURL,
		Published: v.Pushed, Tags: tags(v.Package), Listed: v.listed, PackageContent: content, DependencyGroups: []dependencyGroup{},
	}
	if len(v.Spec.Dependencies) > 0 {
		group := dependencyGroup{Type: "PackageDependencyGroup"}
		for _, d := range v.Spec.Dependencies {
			group.Dependencies = append(group.Dependencies, dependency{
				"PackageDependency", d.ID, interval(d.Range), base + "/registrations/" + strings.ToLower(d.ID) + "/index.json",
			})
		}
		entry.DependencyGroups = append(entry.DependencyGroups, group)
	}
	return registrationLeaf{ID: entry.URL, Type: "Package", CatalogEntry: entry, PackageContent: content, Registration: here}
}

// tags are never null, which clients do not take.
func tags(p domain.Package) []string { return append([]string{}, p.Spec.Tags...) }

// interval writes a range in the form of an interval.
func interval(r string) string {
	switch {
	case r == "":
		return "(, )"
	case strings.ContainsAny(r, "[("):
		return strings.ReplaceAll(r, ",", ", ")
	}
	return "[" + r + ", )"
}
