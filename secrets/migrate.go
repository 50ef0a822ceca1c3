package secrets

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/durable"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/sdk/secret"
)

// Migrate copies all secrets that from holds to another store, each with the version that wrote it, reads them there,
// and says of each package how many it has. Nothing is removed from from. Nobody may write to either meanwhile.
//
// A secret that is there already with the same value is left alone, so that a Migrate that was cut short is run again.
// One with another value is a Conflict, and nothing of that package is changed.
func Migrate(ctx context.Context, from *File, to *KeyVault, done func(cloud domain.CloudID, pkg string, secrets int)) error {
	files, err := filepath.Glob(filepath.Join(from.dir, "*.json"))
	if err != nil {
		return err
	}
	for _, path := range files {
		cloud, pkg, err := from.owner(path)
		if err != nil {
			return from.failed(err, "The persistent secrets of %s cannot be read", filepath.Base(path))
		}
		n, err := migratePackage(ctx, from, to, cloud, pkg)
		if err != nil {
			return err
		}
		done(cloud, pkg, n)
	}
	return nil
}

// owner says whose secrets the file at path has: those of the private cloud and package of which it has the name.
func (f *File) owner(path string) (cloud domain.CloudID, pkg string, err error) {
	data, err := durable.ReadPrivate(path, maxFile)
	if err != nil {
		return cloud, "", err
	}
	var c content
	if json.Unmarshal(data, &c) == nil {
		cloud, err = domain.ParseCloudID(c.Cloud)
	}
	if err != nil || f.path(c) != path {
		return cloud, "", fmt.Errorf("%s: %w", path, seal.ErrDamaged)
	}
	return cloud, c.Package, nil
}

func migratePackage(ctx context.Context, from *File, to *KeyVault, cloud domain.CloudID, pkg string) (n int, err error) {
	c, err := from.read(ctx, cloud, pkg)
	if err != nil {
		return 0, err
	}
	there, err := byKey(ctx, to, cloud, pkg)
	if err != nil {
		return 0, err
	}
	versions := map[string]map[string]*secret.Text{} // what each version of the package has written
	for _, e := range c.Secrets {
		held, has := there[strings.ToLower(e.Name)]
		switch {
		case has && !held.Equal(e.value):
			return 0, errors.Newf(errors.Conflict, "The key vault has another value of the persistent secret %s of the package %s in the private cloud %s already: delete one of the two, and migrate again.", e.Name, pkg, cloud)
		case has:
			continue
		case versions[e.Version] == nil:
			versions[e.Version] = map[string]*secret.Text{}
		}
		versions[e.Version][e.Name] = &e.value
	}
	for version, changes := range versions {
		if err := to.Write(ctx, cloud, pkg, version, changes); err != nil {
			return 0, err
		}
	}
	if there, err = byKey(ctx, to, cloud, pkg); err != nil {
		return 0, err
	}
	for _, e := range c.Secrets {
		if held, has := there[strings.ToLower(e.Name)]; !has || !held.Equal(e.value) {
			return 0, errors.Newf(errors.SecretStoreFailed, "The key vault does not give back the persistent secret %s of the package %s as it was written; see that nothing else writes there, and migrate again.", e.Name, pkg)
		}
	}
	return len(c.Secrets), nil
}

// byKey reads secrets by their names in lower case, as they are compared.
func byKey(ctx context.Context, s *KeyVault, cloud domain.CloudID, pkg string) (map[string]secret.Text, error) {
	values, err := s.Read(ctx, cloud, pkg)
	keyed := make(map[string]secret.Text, len(values))
	for name, v := range values {
		keyed[strings.ToLower(name)] = v
	}
	return keyed, err
}
