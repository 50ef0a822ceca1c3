package domain

import (
	"fmt"
	"regexp"
	"strings"
)

// Scope is where a role is assigned: "/" for the installation, or the resource id of a subscription, a resource group
// or a private cloud. Scopes are compared without case, segment by segment.
type Scope string

// Everywhere is the scope of the installation.
const Everywhere Scope = "/"

var scopeForm = regexp.MustCompile(`(?i)^/subscriptions/([^/]+)(?:/resourceGroups/([^/]+)(?:/providers/Microsoft\.AVS/privateClouds/([^/]+))?)?$`)

// ParseScope reads a scope.
func ParseScope(s string) (Scope, error) {
	if s == string(Everywhere) {
		return Everywhere, nil
	}
	if m := scopeForm.FindStringSubmatch(s); m != nil {
		id := CloudID{m[1], m[2], m[3]}
		whole := id // with something that is allowed in place of what the scope does not have
		if id.ResourceGroup == "" {
			whole.ResourceGroup = "g"
		}
		if id.Name == "" {
			whole.Name = "c"
		}
		if whole.Valid() {
			return id.Scope(), nil
		}
	}
	return "", fmt.Errorf("%.300q is no scope: write / or the resource id of a subscription, a resource group or a private cloud", s)
}

// Scope is the private cloud's own scope, or that of what the id has: its resource group, its subscription, or nothing.
func (id CloudID) Scope() Scope {
	switch {
	case id.Subscription == "":
		return Everywhere
	case id.ResourceGroup == "":
		return Scope("/subscriptions/" + id.Subscription)
	case id.Name == "":
		return Scope("/subscriptions/" + id.Subscription + "/resourceGroups/" + id.ResourceGroup)
	}
	return Scope(id.String())
}

// Key is the scope in the form that is compared and stored as a key: in lower case, without a slash at the end.
func (s Scope) Key() string { return strings.ToLower(strings.TrimSuffix(string(s), "/")) }

// Covers says whether other is the scope or lies below it.
func (s Scope) Covers(other Scope) bool {
	rest, begins := strings.CutPrefix(other.Key(), s.Key())
	return begins && (rest == "" || rest[0] == '/')
}

// CoveredBy returns the keys of all that can cover the scope: its own, and those above it.
func (s Scope) CoveredBy() []string {
	keys := []string{Everywhere.Key()}
	for i, c := range s.Key() + "/" {
		if c == '/' && i > 0 {
			keys = append(keys, s.Key()[:i])
		}
	}
	return keys
}

// Subscription is the name of the subscription that the scope is, or is in; "" for that of the installation.
func (s Scope) Subscription() string {
	if parts := strings.SplitN(string(s), "/", 4); len(parts) > 2 {
		return parts[2]
	}
	return ""
}
