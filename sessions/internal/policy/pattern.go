package policy

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

type matcher = *regexp.Regexp

// matchers match what one of them matches.
type matchers []matcher

func (m matchers) has(text string) bool {
	return slices.ContainsFunc(m, func(r matcher) bool { return r.MatchString(text) })
}

// glob compiles a pattern in which * is any text without a slash and ** any text. Case does not matter. Of several
// patterns one has to match, of none nothing does.
func glob(patterns ...string) matcher {
	var all []string
	for _, pattern := range patterns {
		all = append(all, expression(pattern))
	}
	if len(all) == 0 {
		return regexp.MustCompile(`[^\s\S]`)
	}
	return regexp.MustCompile(`(?is)^(?:` + strings.Join(all, "|") + `)$`)
}

func expression(pattern string) string {
	var b strings.Builder
	for i, part := range strings.Split(pattern, "**") {
		if i > 0 {
			b.WriteString(`.*`)
		}
		for j, literal := range strings.Split(part, "*") {
			if j > 0 {
				b.WriteString(`[^/]*`)
			}
			b.WriteString(regexp.QuoteMeta(literal))
		}
	}
	return b.String()
}

// request is a pattern of REST requests: METHOD,METHOD PATH?ACTION.
type request struct {
	methods []string // none for all
	path    matcher
	action  string // "" for all
}

// asked is a request of vAPI.
type asked struct{ method, path, action string }

// methods that the broker passes on at all.
var httpMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// parseRequest reads the pattern of a request; its second result is what is wrong with it.
func parseRequest(pattern string) (r request, wrong string) {
	methods, where, ok := strings.Cut(pattern, " ")
	if !ok {
		return r, "is METHOD PATH, such as GET ~/vcenter/vm/**"
	}
	if methods != "*" {
		r.methods = strings.Split(methods, ",")
	}
	for _, m := range r.methods {
		if !slices.Contains(httpMethods, m) {
			return r, "has the HTTP methods " + strings.Join(httpMethods, ", ") + " joined by commas, or * for all"
		}
	}
	where, r.action, _ = strings.Cut(where, "?")
	prefix := ""
	if rest, short := strings.CutPrefix(where, "~"); short {
		prefix, where = `/(api|rest(/com/vmware)?)`, rest
	}
	if !strings.HasPrefix(where, "/") {
		return r, "has a path that begins with / or ~/"
	}
	r.path = regexp.MustCompile(`(?is)^` + prefix + expression(where) + `$`)
	return r, ""
}

func anyOf(all []request, q asked) bool {
	return slices.ContainsFunc(all, func(r request) bool {
		return (r.methods == nil || slices.Contains(r.methods, q.method)) && (r.action == "" || strings.EqualFold(r.action, q.action)) &&
			r.path.MatchString(q.path)
	})
}

// bareName is the name of a user or group without its domain (name, name@domain or DOMAIN\name), in the form in which a
// directory compares names: without case, without what is not seen, compatible characters as one (RFC 4518).
func bareName(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) || unicode.Is(unicode.Mn, r) && r >= 0xFE00 && r <= 0xFE0F {
			return -1
		}
		return r
	}, norm.NFKC.String(name))
	name = name[strings.LastIndexByte(name, '\\')+1:]
	name, _, _ = strings.Cut(name, "@")
	return strings.ToLower(strings.TrimSpace(name))
}
