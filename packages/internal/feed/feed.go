// Package feed speaks the protocol of NuGet's feeds, version 3 (learn.microsoft.com/nuget/api/overview), as far as
// PSResourceGet and the dotnet command line use it: Publish-, Find-, Install-PSResource, dotnet nuget push, dotnet
// restore.
//
// A feed shows what has passed its review: approved versions, and deprecated ones unlisted, which is to say that they are
// found by nobody who does not ask for exactly them. It knows no private cloud, so it shows no version of the dev ring.
package feed

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// Repository is what a feed needs of the package repository.
type Repository interface {
	// Versions returns the versions of a package, whose name is compared without case, or with "" of all: by name, and
	// from the highest version down.
	Versions(ctx context.Context, name string) ([]domain.Package, error)
	// Content opens the .nupkg with the digest.
	Content(digest string) (io.ReadSeekCloser, error)
	// Push takes a .nupkg. The same bytes again are a success.
	Push(ctx context.Context, nupkg io.Reader, by domain.Principal) (domain.Package, error)
	// Import takes the .nupkg of a library.
	Import(ctx context.Context, nupkg io.Reader, by domain.Principal) (domain.Package, error)
}

// Feed is a feed of a repository. It is safe for concurrent use, and leaves it to its caller who may use it.
type Feed struct{ repository Repository }

// New makes a feed.
func New(r Repository) *Feed { return &Feed{r} }

// Read answers a GET or HEAD of the path below the feed's absolute URL, base. The service index, whose URL clients are
// given, is v3/index.json.
func (f *Feed) Read(w http.ResponseWriter, r *http.Request, base, path string) error {
	ctx, s := r.Context(), strings.Split(path, "/")
	if len(s) < 2 || s[0] != "v3" {
		return nothing()
	}
	base += "/v3"
	switch what, rest := s[1], s[2:]; {
	case what == "index.json" && len(rest) == 0:
		return send(w, serviceIndex(base))
	case what == "search" && len(rest) == 0:
		return f.search(ctx, w, base, r.URL.Query())
	case what == "registrations" && len(rest) == 2 && rest[1] == "index.json":
		return f.registration(ctx, w, base, rest[0])
	case what == "packages" && len(rest) == 2 && rest[1] == "index.json":
		return f.versions(ctx, w, rest[0])
	case what == "packages" && len(rest) == 3 && strings.EqualFold(rest[2], rest[0]+"."+rest[1]+".nupkg"):
		return f.content(w, r, rest[0], rest[1])
	case what == "content" && len(rest) == 2:
		return f.content(w, r, strings.ReplaceAll(rest[0], "~", "."), rest[1])
	}
	return nothing()
}

func nothing() error {
	return errors.Newf(errors.ResourceNotFound, "The feed has nothing at this path; its URL ends in /v3/index.json.")
}

// Push takes the package in the body of a push: the first part of a form.
func (f *Feed) Push(r *http.Request, by domain.Principal) (domain.Package, error) {
	return take(r, by, f.repository.Push)
}

// Import takes the library in the body of a push, which is as of any package.
func (f *Feed) Import(r *http.Request, by domain.Principal) (domain.Package, error) {
	return take(r, by, f.repository.Import)
}

func take(r *http.Request, by domain.Principal, push func(context.Context, io.Reader, domain.Principal) (domain.Package, error)) (domain.Package, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "multipart/form-data" {
		return domain.Package{}, errors.Newf(errors.InvalidRequestContent, "A push is a form with the package in its first part: multipart/form-data, as NuGet's clients send it.")
	}
	form, err := r.MultipartReader()
	if err == nil {
		if part, broken := form.NextRawPart(); broken == nil {
			return push(r.Context(), part, by)
		} else {
			err = broken
		}
	}
	return domain.Package{}, errors.Because(err, errors.InvalidRequestContent, "The form of the push has no part with a package, or did not arrive; push it again.")
}

// version is one that the feed shows.
type version struct {
	domain.Package
	listed bool
}

func (v version) prerelease() bool { return strings.Contains(v.Version, "-") }

// shown returns the versions of a package that the feed shows, or with "" those of all, by name and from the highest
// version down.
func (f *Feed) shown(ctx context.Context, name string) ([]version, error) {
	all, err := f.repository.Versions(ctx, name)
	var shown []version
	for _, p := range all {
		if state := p.Review.State; state == domain.Approved || state == domain.Deprecated {
			shown = append(shown, version{p, state == domain.Approved})
		}
	}
	return shown, err
}

// of returns the versions of one package, at least one.
func (f *Feed) of(ctx context.Context, id string) ([]version, error) {
	if id == "" {
		return nil, nothing()
	}
	shown, err := f.shown(ctx, id)
	if err == nil && len(shown) == 0 {
		err = errors.Newf(errors.ResourceNotFound, "The feed has no version of a package %.200q; it shows those that have passed their review.", id)
	}
	return shown, err
}

// versions answers the versions of a package from the lowest up, as the package base address has them.
func (f *Feed) versions(ctx context.Context, w http.ResponseWriter, id string) error {
	shown, err := f.of(ctx, id)
	if err != nil {
		return err
	}
	answer := struct {
		Versions []string `json:"versions"`
	}{}
	for _, v := range slices.Backward(shown) {
		answer.Versions = append(answer.Versions, strings.ToLower(v.Version))
	}
	return send(w, answer)
}

// content answers a .nupkg.
func (f *Feed) content(w http.ResponseWriter, r *http.Request, id, wanted string) error {
	shown, err := f.of(r.Context(), id)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(shown, func(v version) bool { return strings.EqualFold(v.Version, wanted) })
	if i < 0 {
		return errors.Newf(errors.ResourceNotFound, "The feed has no version %.100q of %s.", wanted, shown[0].Name)
	}
	file, err := f.repository.Content(shown[i].Digest)
	if err != nil {
		return err
	}
	defer file.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+shown[i].Digest+`"`)
	http.ServeContent(w, r, "", time.Time{}, file)
	return nil
}

// send answers JSON. A client that is gone is no error.
func send(w http.ResponseWriter, answer any) error {
	data, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(data)
	return nil
}

type resource struct {
	ID   string `json:"@id"`
	Type string `json:"@type"`
}

// serviceIndex says where things are. Each client looks up other versions of the same things; all are the same here.
func serviceIndex(base string) any {
	index := struct {
		Version   string     `json:"version"`
		Resources []resource `json:"resources"`
	}{Version: "3.0.0"}
	for _, r := range []struct {
		path  string
		types []string
	}{
		{"/registrations/", []string{"RegistrationsBaseUrl/3.6.0", "RegistrationsBaseUrl/3.4.0", "RegistrationsBaseUrl/3.0.0-rc", "RegistrationsBaseUrl/3.0.0-beta", "RegistrationsBaseUrl"}},
		{"/search", []string{"SearchQueryService/3.5.0", "SearchQueryService/3.0.0-rc", "SearchQueryService/3.0.0-beta", "SearchQueryService"}},
		{"/packages/", []string{"PackageBaseAddress/3.0.0"}},
		{"/publish", []string{"PackagePublish/2.0.0"}},
	} {
		for _, t := range r.types {
			index.Resources = append(index.Resources, resource{base + r.path, t})
		}
	}
	return index
}
