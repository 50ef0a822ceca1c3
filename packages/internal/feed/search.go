package feed

import (
	"context"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

type searchResult struct {
	URL          string          `json:"@id"`
	Type         string          `json:"@type"`
	Registration string          `json:"registration"`
	ID           string          `json:"id"`
	Version      string          `json:"version"`
	Description  string          `json:"description"`
	ProjectURL   string          `json:"projectUrl"`
	Authors      []string        `json:"authors"`
	Tags         []string        `json:"tags"`
	Versions     []searchVersion `json:"versions"`
}

type searchVersion struct {
	URL       string `json:"@id"`
	Version   string `json:"version"`
	Downloads int    `json:"downloads"`
}

// The results of one answer.
const (
	defaultTake = 20
	mostTake    = 1000
)

// search answers the packages that fit a query, each at its highest version ("Search", learn.microsoft.com/nuget/api).
func (f *Feed) search(ctx context.Context, w http.ResponseWriter, base string, query url.Values) error {
	shown, err := f.shown(ctx, "")
	if err != nil {
		return err
	}
	prerelease, terms := strings.EqualFold(query.Get("prerelease"), "true"), strings.Fields(strings.ToLower(query.Get("q")))
	shown = slices.DeleteFunc(shown, func(v version) bool { return !v.listed || v.prerelease() && !prerelease })
	answer := struct {
		TotalHits int            `json:"totalHits"`
		Data      []searchResult `json:"data"`
	}{Data: []searchResult{}}
	skip, take := number(query.Get("skip"), 0), min(number(query.Get("take"), defaultTake), mostTake)
	for len(shown) > 0 {
		highest, n := shown[0], 1
		for n < len(shown) && strings.EqualFold(shown[n].Name, highest.Name) {
			n++
		}
		versions := shown[:n]
		shown = shown[n:]
		if !highest.fits(terms) {
			continue
		}
		if answer.TotalHits >= skip && len(answer.Data) < take {
			answer.Data = append(answer.Data, result(base, versions))
		}
		answer.TotalHits++
	}
	return send(w, answer)
}

// number reads a number of the query that is not negative.
func number(text string, otherwise int) int {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return n
	}
	return otherwise
}

func result(base string, versions []version) searchResult {
	v := versions[0]
	here := base + "/registrations/" + strings.ToLower(v.Name) + "/index.json"
	r := searchResult{
		URL: here, Type: "Package", Registration: here, ID: v.Name, Version: v.Version, Description: v.Spec.Description,
		ProjectURL: v.Spec.ProjectURL, Authors: []string{v.Spec.Authors}, Tags: tags(v.Package),
	}
	for _, v := range slices.Backward(versions) {
		r.Versions = append(r.Versions, searchVersion{here + "#" + v.Version, v.Version, 0})
	}
	return r
}

// fits says whether all terms, which are in lower case, do: one with a * as a pattern of the id, tags:x as a tag,
// packageid:x as the id, and any other as a part of id or description, or as a tag.
func (v version) fits(terms []string) bool {
	id := strings.ToLower(v.Name)
	tagged := func(tag string) bool {
		return slices.ContainsFunc(v.Spec.Tags, func(t string) bool { return strings.EqualFold(t, tag) })
	}
	return !slices.ContainsFunc(terms, func(term string) bool {
		field, value, _ := strings.Cut(term, ":")
		switch {
		case field == "tags" || field == "tag":
			return !tagged(value)
		case field == "packageid":
			return id != value
		case strings.Contains(term, "*"):
			ok, err := path.Match(term, id)
			return !ok || err != nil
		}
		return !strings.Contains(id, term) && !strings.Contains(strings.ToLower(v.Spec.Description), term) && !tagged(term)
	})
}
