// Package secrets keeps the persistent secrets of script packages.
//
// A package has secrets of its own in each private cloud: they are isolated by private cloud and package id, and all
// versions of the package share them. They are read once when an execution starts, and what it changed is written
// once when it has ended well, all or nothing. File is the store that needs nothing else, KeyVault keeps them in an
// Azure Key Vault; every store passes the suite in secretstest.
package secrets

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/domain"
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

var packageForm = regexp.MustCompile(`^[a-z0-9_][a-z0-9_.-]{0,99}$`)

// owner is whose secrets are meant: those of a package in a private cloud.
type owner struct {
	cloud domain.CloudID
	key   string // of the cloud
	pkg   string // in lower case
}

func ownerOf(cloud domain.CloudID, pkg string) (owner, error) {
	o := owner{cloud, cloud.Key(), strings.ToLower(pkg)}
	if !cloud.Valid() || !packageForm.MatchString(o.pkg) {
		return o, errors.Newf(errors.SecretStoreFailed, "There can be no persistent secrets of the package %.200q in the private cloud %.500q: one of these is not a valid name.", pkg, cloud)
	}
	return o, nil
}

// locks keep those apart who change the secrets of one package; a lock is found by the hash of a name.
type locks [64]sync.RWMutex

func (l *locks) of(name string) *sync.RWMutex {
	h := fnv.New32a()
	h.Write([]byte(name))
	return &l[h.Sum32()%uint32(len(l))]
}

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

// bounded says whether a package may have n secrets.
func bounded(n int) error {
	if n > MaxNames {
		return fmt.Errorf("there would be %d of them, and at most %d are allowed", n, MaxNames)
	}
	return nil
}

// sorted puts infos in the order of their names.
func sorted(infos []domain.PersistentSecret) []domain.PersistentSecret {
	slices.SortFunc(infos, func(a, b domain.PersistentSecret) int {
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	return infos
}
