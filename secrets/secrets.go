// Package secrets keeps the persistent secrets of script packages.
//
// A package has secrets of its own in each private cloud: they are isolated by private cloud and package id, and all
// versions of the package share them. They are read once when an execution starts, and what it changed is written
// once when it has ended well, all or nothing. File is the store that needs nothing else; every store passes the
// suite in secretstest.
package secrets

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// Limits of the secrets of one package in one private cloud, the same for every store.
const (
	// MaxValue is the most bytes that a secret has. Azure Key Vault allows "25k bytes" ("About Azure Key Vault
	// secrets"): the smaller reading, so that every value can be moved there.
	MaxValue = 25_000
	// MaxNames is the most secrets that a package has.
	MaxNames = 256
)

// nameForm is what Azure Key Vault allows. Names are compared without case.
var nameForm = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)

// check says what is wrong with changes, and returns their names in order.
func check(changes map[string]*secret.Text) ([]string, error) {
	// In the order in which they are compared, so that the same changes are always refused for the same reason.
	names := slices.SortedFunc(maps.Keys(changes), func(a, b string) int {
		return cmp.Or(strings.Compare(strings.ToLower(a), strings.ToLower(b)), strings.Compare(a, b))
	})
	for i, name := range names {
		switch value := changes[name]; {
		case !nameForm.MatchString(name):
			return nil, errors.Newf(errors.SecretNameInvalid, "The persistent secret %.200q cannot be stored: a name has 1 to 127 letters A to Z, digits and hyphens.", name)
		case i > 0 && strings.EqualFold(name, names[i-1]):
			return nil, errors.Newf(errors.SecretNameInvalid, "The persistent secrets %s and %s are the same one, because the case of a name does not matter: set it under one name.", names[i-1], name)
		case value == nil:
		case value.Len() > MaxValue:
			return nil, errors.Newf(errors.SecretStoreFailed, "The persistent secret %s has %d bytes; at most %d can be stored.", name, value.Len(), MaxValue)
		case !utf8.ValidString(value.Reveal()):
			return nil, errors.Newf(errors.SecretStoreFailed, "The persistent secret %s is not UTF-8 text: store bytes as base64.", name)
		}
	}
	return names, nil
}
