package secrets_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/secrets"
	"github.com/airlock-run/airlock/secrets/secretstest"
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "secrets")
	from, vault := open(t, dir, seal.NewKey()), secretstest.NewVault()
	to := openVault(t, vault, vault.Transport())
	a, b := secretstest.Cloud("a"), secretstest.Cloud("b")
	for _, w := range []struct {
		cloud        domain.CloudID
		pkg, version string
		values       []string
	}{
		{a, "P", "1.0.0", []string{"One", "p-a-1", "Two", "p-a-2"}}, {a, "P", "2.0.0", []string{"Two", "p-a-2-new"}},
		{a, "Q", "1.0.0", []string{"One", "q-a-1"}}, {b, "P", "1.0.0", []string{"One", "p-b-1"}},
		{a, domain.OwnSecrets, "", []string{"vcenter", "the-password"}},
	} {
		if err := from.Write(t.Context(), w.cloud, w.pkg, w.version, secretstest.Set(w.values...)); err != nil {
			t.Fatal(err)
		}
	}
	before := snapshot(t, dir)
	migrate := func() (said []string, err error) {
		err = secrets.Migrate(t.Context(), from, to, func(cloud domain.CloudID, pkg string, n int) {
			said = append(said, fmt.Sprint(cloud.Name, " ", pkg, " ", n))
		})
		slices.Sort(said)
		return said, err
	}

	// A value of its own in the vault is not lost, and nothing of its package comes there.
	if err := to.Write(t.Context(), a, "p", "9.9.9", secretstest.Set("one", "another")); err != nil {
		t.Fatal(err)
	}
	if _, err := migrate(); !errors.Has(err, errors.Conflict) || strings.Contains(err.Error(), "p-a-1") {
		t.Fatalf("over another value: %v", err)
	}
	secretstest.Expect(t, to, a, "P", "one", "another")
	if err := to.Write(t.Context(), a, "p", "", secretstest.Set("one", "-")); err != nil {
		t.Fatal(err)
	}

	for range 2 { // the second time there is nothing left to do
		said, err := migrate()
		if want := []string{"a airlock 1", "a p 2", "a q 1", "b p 1"}; err != nil || !slices.Equal(said, want) {
			t.Fatalf("it says %q, %v; want %q", said, err, want)
		}
		secretstest.Expect(t, to, a, "P", "One", "p-a-1", "Two", "p-a-2-new")
		secretstest.Expect(t, to, a, "Q", "One", "q-a-1")
		secretstest.Expect(t, to, b, "P", "One", "p-b-1")
		secretstest.Expect(t, to, a, domain.OwnSecrets, "vcenter", "the-password")
	}
	infos, err := to.List(t.Context(), a, "P")
	if err != nil || len(infos) != 2 || infos[0].Version != "1.0.0" || infos[1].Version != "2.0.0" {
		t.Errorf("the versions are %+v, %v", infos, err)
	}
	if snapshot(t, dir) != before {
		t.Error("the store of files has changed")
	}

	// A file that is not what it says is not migrated.
	files, err := filepath.Glob(filepath.Join(dir, "q.*.json"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Rename(files[0], filepath.Join(dir, "q.0.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := migrate(); !errors.Has(err, errors.SecretStoreFailed) {
		t.Errorf("a file under another name: %v", err)
	}
}
