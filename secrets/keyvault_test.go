package secrets_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/secrets"
	"github.com/airlock-run/airlock/secrets/secretstest"
)

func TestKeyVault(t *testing.T) {
	secretstest.Run(t, func(t *testing.T) func() secretstest.Store {
		vault := secretstest.NewVault()
		transport := vault.Transport()
		return func() secretstest.Store { return openVault(t, vault, transport) }
	})
}

func openVault(t *testing.T, vault *secretstest.Vault, transport policy.Transporter) *secrets.KeyVault {
	t.Helper()
	v, err := secrets.HastyKeyVault(secretstest.VaultURL, vault.Credential(), transport, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// inVault makes a vault with secrets of the package P in cloud a.
func inVault(t *testing.T) (*secretstest.Vault, *secrets.KeyVault) {
	t.Helper()
	vault := secretstest.NewVault()
	s := openVault(t, vault, vault.Transport())
	if err := s.Write(t.Context(), secretstest.Cloud("a"), "P", "1.2.3", secretstest.Set("one", "1", "two", "2")); err != nil {
		t.Fatal(err)
	}
	return vault, s
}

func TestKeyVaultItems(t *testing.T) {
	t.Parallel()
	vault, _ := inVault(t)
	cloud := secretstest.Cloud("a")
	want := []string{secrets.Item(cloud, "P", ""), secrets.Item(cloud, "P", "one"), secrets.Item(cloud, "P", "two")}
	slices.Sort(want)
	if got := vault.Names(); !slices.Equal(got, want) {
		t.Errorf("the vault has the items %q, want %q", got, want)
	}
	s := vault.Latest(secrets.Item(cloud, "P", "one"))
	for key, value := range map[string]string{"airlock": "secret", "privateCloud": "a", "resourceGroup": "rg",
		"subscription": cloud.Subscription, "package": "p", "name": "one", "packageVersion": "1.2.3"} {
		if got := s.Tags[key]; got == nil || *got != value {
			t.Errorf("the tag %s is %v, want %s", key, got, value)
		}
	}
	if s.Value == nil || *s.Value != "1" {
		t.Error("the item's value is not the secret's")
	}
}

// TestKeyVaultReadsOnlyItsOwn counts requests: a package's secrets are read without looking through the vault.
func TestKeyVaultReadsOnlyItsOwn(t *testing.T) {
	t.Parallel()
	vault, s := inVault(t)
	for _, pkg := range []string{"Q", "R", "S"} {
		if err := s.Write(t.Context(), secretstest.Cloud("a"), pkg, "1", secretstest.Set("x", "y", "z", "z")); err != nil {
			t.Fatal(err)
		}
	}
	before := vault.Calls("GetSecret")
	secretstest.Expect(t, s, secretstest.Cloud("a"), "P", "one", "1", "two", "2")
	if n := vault.Calls("GetSecret") - before; n != 3 || vault.Calls("ListSecretProperties") > 0 {
		t.Errorf("%d reads and %d lists; want 3 and none", n, vault.Calls("ListSecretProperties"))
	}
}

// TestKeyVaultRefusesWhatIsNotItsOwn changes tags and contents of items behind Airlock's back.
func TestKeyVaultRefusesWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	other, enabled := "other", false
	cloud := secretstest.Cloud("a")
	one, manifest := secrets.Item(cloud, "P", "one"), secrets.Item(cloud, "P", "")
	retag := func(item, key string, value *string) func(*secretstest.Vault) {
		return func(v *secretstest.Vault) {
			v.Edit(item, func(s *azsecrets.Secret) {
				if s.Tags[key] = value; value == nil {
					delete(s.Tags, key)
				}
			})
		}
	}
	name := "two"
	content := func(text string) func(*secretstest.Vault) {
		return func(v *secretstest.Vault) { v.Edit(manifest, func(s *azsecrets.Secret) { s.Value = &text }) }
	}
	for what, c := range map[string]struct {
		spoil func(*secretstest.Vault)
		says  string
	}{
		"of another package":          {retag(one, "package", &other), "refused"},
		"of another cloud":            {retag(one, "privateCloud", &other), "refused"},
		"of another group":            {retag(one, "resourceGroup", &other), "refused"},
		"of another subscription":     {retag(one, "subscription", &other), "refused"},
		"another secret":              {retag(one, "name", &name), "refused"},
		"without a name":              {retag(one, "name", nil), "refused"},
		"not Airlock's":               {retag(one, "airlock", nil), "refused"},
		"manifest not Airlock's":      {retag(manifest, "airlock", nil), "refused"},
		"manifest of another":         {retag(manifest, "package", &other), "refused"},
		"manifest with a name":        {retag(manifest, "name", &name), "refused"},
		"no JSON":                     {content("{"), "refused"},
		"a later form":                {content(`{"version":2,"secrets":{}}`), "refused"},
		"an unknown field":            {content(`{"version":1,"secrets":{},"x":1}`), "refused"},
		"a version that is not there": {content(`{"version":1,"secrets":{"` + one[len(one)-52:] + `":"ffff"}}`), "is missing; recover it"},
		"disabled": {func(v *secretstest.Vault) {
			v.Edit(one, func(s *azsecrets.Secret) { s.Attributes.Enabled = &enabled })
		}, "Key Vault Secrets Officer"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			vault, s := inVault(t)
			c.spoil(vault)
			_, err := s.Read(t.Context(), cloud, "P")
			expectFailed(t, err, c.says)
			expectFailed(t, s.Write(t.Context(), cloud, "P", "1", secretstest.Set("one", "changed", "x", "y")), c.says)
			secretstest.Expect(t, s, cloud, "Another") // others do not suffer
			if err := s.RemoveCloud(t.Context(), cloud); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestKeyVaultItemSetByAnother sets an item past Airlock, as a portal does: what the manifest names is what counts.
func TestKeyVaultItemSetByAnother(t *testing.T) {
	t.Parallel()
	vault, s := inVault(t)
	cloud := secretstest.Cloud("a")
	client, err := azsecrets.NewClient(secretstest.VaultURL, vault.Credential(), &azsecrets.ClientOptions{ClientOptions: policy.ClientOptions{Transport: vault.Transport()}})
	if err != nil {
		t.Fatal(err)
	}
	stray := "stray"
	if _, err := client.SetSecret(t.Context(), secrets.Item(cloud, "P", "one"), azsecrets.SetSecretParameters{Value: &stray}, nil); err != nil {
		t.Fatal(err)
	}
	secretstest.Expect(t, s, cloud, "P", "one", "1", "two", "2")
}

func TestKeyVaultAddress(t *testing.T) {
	t.Parallel()
	vault := secretstest.NewVault()
	for _, address := range []string{"", "vault.azure.net", "http://v.vault.azure.net", "https://", "https://v.vault.azure.net/secrets", "https://u:p@v.vault.azure.net", "https://v.vault.azure.net?x=y", ":"} {
		if _, err := secrets.NewKeyVault(address, vault.Credential(), nil); !errors.Has(err, errors.Usage) {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := secrets.NewKeyVault("https://v.vault.azure.net/", vault.Credential(), nil); err != nil {
		t.Error(err)
	}
}

// answers is a transport that gives the same answer to all requests.
type answers func(*http.Request) (*http.Response, error)

func (a answers) Do(r *http.Request) (*http.Response, error) { return a(r) }

// TestKeyVaultSays what is wrong, in a sentence.
func TestKeyVaultSays(t *testing.T) {
	t.Parallel()
	status := func(code int, id string) answers {
		return func(r *http.Request) (*http.Response, error) {
			h := http.Header{"X-Ms-Error-Code": {id}, "Retry-After-Ms": {"1"}}
			return &http.Response{StatusCode: code, Status: id, Header: h, Body: http.NoBody, Request: r}, nil
		}
	}
	for says, transport := range map[string]answers{
		"too many requests":               status(http.StatusTooManyRequests, "Throttled"),
		"Key Vault Secrets Officer":       status(http.StatusForbidden, "Forbidden"),
		"503 VaultBusy":                   status(http.StatusServiceUnavailable, "VaultBusy"),
		"cannot be used; check the vault": func(*http.Request) (*http.Response, error) { return nil, errors.New("no route to host") },
		"did not answer in time": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			vault := secretstest.NewVault()
			patience := time.Hour
			if strings.Contains(says, "in time") {
				patience = time.Millisecond
			}
			s, err := secrets.HastyKeyVault(secretstest.VaultURL, vault.Credential(), transport, patience)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Read(t.Context(), secretstest.Cloud("a"), "P")
			expectFailed(t, err, says)
			expectFailed(t, s.Write(t.Context(), secretstest.Cloud("a"), "P", "", secretstest.Set("a", "b")), says)
			expectFailed(t, s.RemoveCloud(t.Context(), secretstest.Cloud("a")), says)
		})
	}
}
