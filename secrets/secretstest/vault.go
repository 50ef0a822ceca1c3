package secretstest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets/fake"
)

// VaultURL is the address of a Vault.
const VaultURL = "https://airlock-test.vault.azure.net"

// Vault is an Azure Key Vault of a test: azsecrets' fake server, with the rules that a real one has of its own. Names
// have letters, digits and hyphens, at most 127, and no case; values at most 25,000 bytes; at most 15 tags, each of at
// most 256 characters; a deleted name can be neither read nor set until it is recovered, and recovery takes a while
// ("Azure Key Vault soft-delete overview", "About Azure Key Vault secrets", "Azure Key Vault service limits").
type Vault struct {
	// Slow is how many requests find an item still being recovered.
	Slow int

	mu      sync.Mutex
	live    map[string]*vaultItem // by name in lower case
	deleted map[string]*vaultItem
	last    int
	calls   map[string]int
}

type vaultItem struct {
	versions []azsecrets.Secret
	busy     int // requests that still find it being recovered
}

// NewVault makes an empty vault.
func NewVault() *Vault {
	return &Vault{Slow: 2, live: map[string]*vaultItem{}, deleted: map[string]*vaultItem{}, calls: map[string]int{}}
}

// Credential is the identity to use with a Vault.
func (*Vault) Credential() azcore.TokenCredential { return &azfake.TokenCredential{} }

// Transport leads a client to the vault.
func (v *Vault) Transport() policy.Transporter {
	return fake.NewServerTransport(&fake.Server{
		GetSecret: v.get, SetSecret: v.set, DeleteSecret: v.remove, RecoverDeletedSecret: v.recover, NewListSecretPropertiesPager: v.list,
	})
}

// Calls says how often a method was called, such as GetSecret.
func (v *Vault) Calls(method string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls[method]
}

// Names are those of the items that are not deleted.
func (v *Vault) Names() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Sorted(maps.Keys(v.live))
}

// Edit changes what is stored as an item's latest version.
func (v *Vault) Edit(name string, change func(*azsecrets.Secret)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	versions := v.live[strings.ToLower(name)].versions
	change(&versions[len(versions)-1])
}

// Latest is an item's latest version.
func (v *Vault) Latest(name string) (s azsecrets.Secret) {
	v.Edit(name, func(stored *azsecrets.Secret) { s = *stored })
	return s
}

var vaultName = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)

func refused[T any](status int, code string) (resp azfake.Responder[T], errResp azfake.ErrorResponder) {
	errResp.SetResponseError(status, code)
	return resp, errResp
}

func answered[T any](response T) (resp azfake.Responder[T], errResp azfake.ErrorResponder) {
	resp.SetResponse(http.StatusOK, response, nil)
	return resp, errResp
}

// begin locks the vault for a call.
func (v *Vault) begin(method string) (end func()) {
	v.mu.Lock()
	v.calls[method]++
	return v.mu.Unlock
}

func (v *Vault) get(_ context.Context, name, version string, _ *azsecrets.GetSecretOptions) (azfake.Responder[azsecrets.GetSecretResponse], azfake.ErrorResponder) {
	defer v.begin("GetSecret")()
	item := v.live[strings.ToLower(name)]
	if item == nil || item.busy > 0 {
		return refused[azsecrets.GetSecretResponse](http.StatusNotFound, "SecretNotFound")
	}
	for _, s := range slices.Backward(item.versions) {
		if version == "" || s.ID.Version() == version {
			if s.Attributes.Enabled != nil && !*s.Attributes.Enabled {
				return refused[azsecrets.GetSecretResponse](http.StatusForbidden, "Forbidden")
			}
			return answered(azsecrets.GetSecretResponse{Secret: s})
		}
	}
	return refused[azsecrets.GetSecretResponse](http.StatusNotFound, "SecretNotFound")
}

func (v *Vault) set(_ context.Context, name string, p azsecrets.SetSecretParameters, _ *azsecrets.SetSecretOptions) (azfake.Responder[azsecrets.SetSecretResponse], azfake.ErrorResponder) {
	defer v.begin("SetSecret")()
	long := func(tags map[string]*string) bool {
		for key, value := range tags {
			if len(key) > 256 || len(*value) > 256 {
				return true
			}
		}
		return false
	}
	if !vaultName.MatchString(name) || p.Value == nil || len(*p.Value) > 25_000 || len(p.Tags) > 15 || long(p.Tags) {
		return refused[azsecrets.SetSecretResponse](http.StatusBadRequest, "BadParameter")
	}
	key := strings.ToLower(name)
	item := v.live[key]
	if v.deleted[key] != nil {
		return refused[azsecrets.SetSecretResponse](http.StatusConflict, "Conflict")
	}
	if item != nil && item.busy > 0 {
		item.busy--
		return refused[azsecrets.SetSecretResponse](http.StatusConflict, "Conflict")
	}
	if item == nil {
		item = &vaultItem{}
		v.live[key] = item
	}
	v.last++
	id, now := azsecrets.ID(fmt.Sprintf("%s/secrets/%s/%032x", VaultURL, name, v.last)), time.Now().UTC().Truncate(time.Second)
	s := azsecrets.Secret{ID: &id, Value: p.Value, ContentType: p.ContentType, Tags: p.Tags, Attributes: &azsecrets.SecretAttributes{Created: &now, Updated: &now}}
	item.versions = append(item.versions, s)
	return answered(azsecrets.SetSecretResponse{Secret: s})
}

func (v *Vault) remove(_ context.Context, name string, _ *azsecrets.DeleteSecretOptions) (azfake.Responder[azsecrets.DeleteSecretResponse], azfake.ErrorResponder) {
	defer v.begin("DeleteSecret")()
	key := strings.ToLower(name)
	item := v.live[key]
	if item == nil {
		return refused[azsecrets.DeleteSecretResponse](http.StatusNotFound, "SecretNotFound")
	}
	delete(v.live, key)
	v.deleted[key] = item
	return answered(azsecrets.DeleteSecretResponse{})
}

func (v *Vault) recover(_ context.Context, name string, _ *azsecrets.RecoverDeletedSecretOptions) (azfake.Responder[azsecrets.RecoverDeletedSecretResponse], azfake.ErrorResponder) {
	defer v.begin("RecoverDeletedSecret")()
	key := strings.ToLower(name)
	item := v.deleted[key]
	if item == nil {
		return refused[azsecrets.RecoverDeletedSecretResponse](http.StatusNotFound, "SecretNotFound")
	}
	delete(v.deleted, key)
	v.live[key], item.busy = item, v.Slow
	return answered(azsecrets.RecoverDeletedSecretResponse{Secret: item.versions[len(item.versions)-1]})
}

// list has few items on a page, so that there are several pages.
func (v *Vault) list(*azsecrets.ListSecretPropertiesOptions) (resp azfake.PagerResponder[azsecrets.ListSecretPropertiesResponse]) {
	defer v.begin("ListSecretProperties")()
	names := slices.Sorted(maps.Keys(v.live))
	for page := range slices.Chunk(names, 4) {
		var items []*azsecrets.SecretProperties
		for _, name := range page {
			versions := v.live[name].versions
			s := versions[len(versions)-1]
			id := azsecrets.ID(VaultURL + "/secrets/" + name)
			items = append(items, &azsecrets.SecretProperties{ID: &id, Tags: s.Tags, Attributes: s.Attributes})
		}
		resp.AddPage(http.StatusOK, azsecrets.ListSecretPropertiesResponse{SecretPropertiesListResult: azsecrets.SecretPropertiesListResult{Value: items}}, nil)
	}
	if len(names) == 0 {
		resp.AddPage(http.StatusOK, azsecrets.ListSecretPropertiesResponse{}, nil)
	}
	return resp
}
