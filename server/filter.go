package server

import (
	"regexp"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/internal/errors"
)

// condition matches what a $filter begins with: name eq 'value', name('value') or name(), and perhaps an and.
var condition = regexp.MustCompile(`(?i)^\s*(?:(\w+)\s+eq\s+'((?:[^']|'')*)'|(\w+)\(\s*(?:'((?:[^']|'')*)')?\s*\))(?:\s*$|\s+and\s+)`)

// filter reads the request's $filter, so much of OData as az sends: conditions joined by and. It returns the values by
// name; the name of a function ends in (). Names that are not known are refused: to ignore one would answer more than
// was asked for.
func (r *request) filter(known ...string) (map[string]string, error) {
	conditions := map[string]string{}
	rest := r.URL.Query().Get("$filter")
	for strings.TrimSpace(rest) != "" {
		m := condition.FindStringSubmatch(rest)
		if m == nil {
			return nil, errors.Newf(errors.InvalidRequest, "The $filter %.200q cannot be read from %.60q on; write conditions such as name eq 'value', joined by and.", r.URL.Query().Get("$filter"), rest).At("$filter")
		}
		name, value := m[1], m[2]
		if m[3] != "" {
			name, value = m[3]+"()", m[4]
		}
		i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, name) })
		if i < 0 {
			return nil, errors.Newf(errors.InvalidRequest, "The $filter cannot ask for %.60q here; it can for %s.", name, strings.Join(known, ", ")).At("$filter")
		}
		if _, twice := conditions[known[i]]; twice {
			return nil, errors.Newf(errors.InvalidRequest, "The $filter asks for %s twice.", known[i]).At("$filter")
		}
		conditions[known[i]] = strings.ReplaceAll(value, "''", "'")
		rest = rest[len(m[0]):]
	}
	return conditions, nil
}

// meets says whether a value is what a condition asks for, if there is the condition. Case does not matter.
func meets(conditions map[string]string, name, value string) bool {
	want, there := conditions[name]
	return !there || strings.EqualFold(want, value)
}
