package secrets

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// KeyVault keeps secrets in an Azure Key Vault, an item for each.
//
// A vault writes one item at a time, so what belongs together is held together by one more item for each package and
// private cloud, its manifest: it names the version of each item that counts. Write sets the items first and the
// manifest last; Read takes the manifest and exactly those versions. At any moment a reader finds all of a Write or
// nothing of it, and no vault is searched. What a Write that failed has set stays in the vault as a version that nobody
// reads.
//
// A secret that is deleted is deleted in the vault after the manifest has forgotten it. The vault keeps it for its days
// of retention; one that is set again within these is recovered first. Nothing is purged, so that Airlock's identity needs
// no right to do so: get, set, delete, recover and list are enough ("Key Vault Secrets Officer").
//
// Its methods are safe for concurrent use; one process at a time may write the secrets of a private cloud.
type KeyVault struct {
	client *azsecrets.Client
	pace   pace
	locks  locks // by item of the manifest
}

// pace is how a KeyVault waits for the vault.
type pace struct {
	retry    policy.RetryOptions // of one request
	pause    time.Duration       // until an item that is being deleted or recovered is tried again
	patience time.Duration       // with the vault, for one call of a method
}

// The vault answers throttled requests with 429 and Retry-After, which the client heeds.
var usualPace = pace{
	retry:    policy.RetryOptions{MaxRetries: 5, TryTimeout: 15 * time.Second, MaxRetryDelay: 20 * time.Second},
	pause:    time.Second,
	patience: 2 * time.Minute,
}

// sideBySide is how many requests one call of a method has under way.
const sideBySide = 8

// OpenKeyVault uses the vault at an address such as https://NAME.vault.azure.net, with the identity that azidentity's
// DefaultAzureCredential finds: environment variables, workload identity, managed identity, or a developer's az login.
// Nothing is asked of the vault yet.
func OpenKeyVault(address string) (*KeyVault, error) {
	credential, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, errors.Because(err, errors.Usage, "There is no Azure identity for the key vault: set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or give the machine a managed identity.")
	}
	return NewKeyVault(address, credential, nil)
}

// NewKeyVault is OpenKeyVault with a credential and a transport (nil: net/http's) of the caller's.
func NewKeyVault(address string, credential azcore.TokenCredential, transport policy.Transporter) (*KeyVault, error) {
	return newKeyVault(address, credential, transport, usualPace)
}

func newKeyVault(address string, credential azcore.TokenCredential, transport policy.Transporter, p pace) (*KeyVault, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, errors.Newf(errors.Usage, "The key vault's address is one such as https://NAME.vault.azure.net, not %.200q.", address)
	}
	client, err := azsecrets.NewClient("https://"+u.Host, credential, &azsecrets.ClientOptions{ClientOptions: azcore.ClientOptions{
		Retry: p.retry, Transport: transport, Telemetry: policy.TelemetryOptions{ApplicationID: "airlock"},
	}})
	if err != nil {
		return nil, err
	}
	return &KeyVault{client: client, pace: p}, nil
}

// found is a secret as it lies in the vault.
type found struct {
	domain.PersistentSecret
	value secret.Text
}

// Read is File.Read. The error says what is wrong with the vault or with one of its items.
func (v *KeyVault) Read(ctx context.Context, cloud domain.CloudID, pkg string) (map[string]secret.Text, error) {
	all, err := v.all(ctx, cloud, pkg)
	if err != nil {
		return nil, err
	}
	values := make(map[string]secret.Text, len(all))
	for _, f := range all {
		values[f.Name] = f.value
	}
	return values, nil
}

// List is File.List.
func (v *KeyVault) List(ctx context.Context, cloud domain.CloudID, pkg string) ([]domain.PersistentSecret, error) {
	all, err := v.all(ctx, cloud, pkg)
	if err != nil {
		return nil, err
	}
	infos := make([]domain.PersistentSecret, 0, len(all))
	for _, f := range all {
		infos = append(infos, f.PersistentSecret)
	}
	return sorted(infos), nil
}

func (v *KeyVault) all(ctx context.Context, cloud domain.CloudID, pkg string) (all []found, err error) {
	o, err := ownerOf(cloud, pkg)
	if err != nil {
		return nil, err
	}
	lock := v.locks.of(o.item(""))
	lock.RLock()
	defer lock.RUnlock()
	err = v.patiently(ctx, func(ctx context.Context) error {
		m, err := v.manifest(ctx, o)
		if err != nil {
			return err
		}
		var mu sync.Mutex
		return sideways(ctx, m.Secrets, func(ctx context.Context, hash, version string) error {
			f, err := v.get(ctx, o, hash, version)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, f)
			return err
		})
	})
	if err != nil {
		return nil, failedIn(ctx, err, "The persistent secrets of the package %s cannot be read from the key vault", pkg)
	}
	return all, nil
}

// get reads one secret in the version that the manifest names.
func (v *KeyVault) get(ctx context.Context, o owner, hash, version string) (f found, err error) {
	item := o.item(hash)
	got, err := v.client.GetSecret(ctx, item, version, nil)
	if err != nil {
		return f, itemError{item, err}
	}
	if !o.owns(item, got.Tags) || tag(got.Tags, tagName) == "" {
		return f, itemError{item, errTags}
	}
	f.Name, f.Version = tag(got.Tags, tagName), tag(got.Tags, tagVersion)
	if got.Attributes != nil && got.Attributes.Created != nil {
		f.Changed = got.Attributes.Created.UTC()
	}
	if got.Value != nil {
		f.value = secret.New(*got.Value)
	}
	return f, nil
}

// Write is File.Write. After an error it may be open whether the changes were kept, because the vault's last answer was
// lost; Read tells, and the same Write again settles it.
func (v *KeyVault) Write(ctx context.Context, cloud domain.CloudID, pkg, version string, changes map[string]*secret.Text) error {
	o, err := ownerOf(cloud, pkg)
	if err != nil {
		return err
	}
	names, err := check(changes)
	if err != nil || len(names) == 0 {
		return err
	}
	lock := v.locks.of(o.item(""))
	lock.Lock()
	defer lock.Unlock()
	err = v.patiently(ctx, func(ctx context.Context) error { return v.write(ctx, o, version, changes) })
	if err != nil {
		return failedIn(ctx, err, "The persistent secrets of the package %s cannot be stored in the key vault", pkg)
	}
	return nil
}

func (v *KeyVault) write(ctx context.Context, o owner, version string, changes map[string]*secret.Text) error {
	before, err := v.manifest(ctx, o)
	if err != nil {
		return err
	}
	after, sets, gone := before.with(o, changes)
	if err := bounded(len(after.Secrets)); err != nil {
		return err
	}
	after.Removed = append(v.clear(ctx, o, after.Removed), gone...) // first what an earlier Write could not
	var mu sync.Mutex
	err = sideways(ctx, sets, func(ctx context.Context, hash, name string) error {
		set, err := v.put(ctx, o, name, version, before.Secrets[hash], *changes[name])
		mu.Lock()
		defer mu.Unlock()
		after.Secrets[hash] = set
		return err
	})
	if err != nil || after.same(before) {
		return err
	}
	if err := v.setManifest(ctx, o, after); err != nil {
		return err
	}
	v.clear(ctx, o, after.Removed)
	return nil
}

// put sets one secret and returns its version in the vault. One that is held already keeps the case of its name.
func (v *KeyVault) put(ctx context.Context, o owner, name, version, held string, value secret.Text) (set string, err error) {
	hash := o.hash(name)
	if held != "" {
		f, err := v.get(ctx, o, hash, held)
		if err != nil {
			return "", err
		}
		name = f.Name
	}
	return v.set(ctx, o.item(hash), value.Reveal(), "text/plain", o.tags(name, version))
}

// set sets an item and returns its new version. An item that was deleted before is recovered, as the vault demands.
func (v *KeyVault) set(ctx context.Context, item, value, contentType string, tags map[string]*string) (version string, err error) {
	for {
		got, err := v.client.SetSecret(ctx, item, azsecrets.SetSecretParameters{Value: &value, ContentType: &contentType, Tags: tags}, nil)
		switch {
		case err == nil && got.ID != nil && got.ID.Version() != "":
			return got.ID.Version(), nil
		case err == nil:
			return "", itemError{item, errors.New("the vault's answer names no version")}
		case !answered(err, http.StatusConflict):
			return "", itemError{item, err}
		}
		// It is deleted, being deleted or being recovered: the latter two take the vault some seconds.
		_, err = v.client.RecoverDeletedSecret(ctx, item, nil)
		if err != nil && !answered(err, http.StatusConflict) && !answered(err, http.StatusNotFound) {
			return "", itemError{item, err}
		}
		select {
		case <-time.After(v.pace.pause):
		case <-ctx.Done():
			return "", itemError{item, ctx.Err()}
		}
	}
}

// remove deletes an item; one that is not there is deleted.
func (v *KeyVault) remove(ctx context.Context, item string) error {
	_, err := v.client.DeleteSecret(ctx, item, nil)
	if err != nil && !answered(err, http.StatusNotFound) {
		return itemError{item, err}
	}
	return nil
}

// answered says whether an error is an answer of the vault with the status.
func answered(err error, status int) bool {
	e, ok := errors.AsType[*azcore.ResponseError](err)
	return ok && e.StatusCode == status
}

// patiently bounds what f asks of the vault.
func (v *KeyVault) patiently(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, v.pace.patience)
	defer cancel()
	return f(ctx)
}

// sideways calls f for each entry, some at a time, up to the first error.
func sideways(ctx context.Context, m map[string]string, f func(ctx context.Context, key, value string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sideBySide)
	for key, value := range m {
		group.Go(func() error { return f(ctx, key, value) })
	}
	return group.Wait()
}

var (
	errTags     = errors.New("its tags are not those of the secret that it should be")
	errManifest = errors.New("it is not a manifest of Airlock's")
)

// itemError is an error with one item.
type itemError struct {
	item string
	error
}

func (e itemError) Error() string { return "the item " + e.item + ": " + e.error.Error() }
func (e itemError) Unwrap() error { return e.error }

// failedIn is a SecretStoreFailed whose sentence says what failed, why, and what to do. The end of the caller's context
// stays as it is.
func failedIn(ctx context.Context, cause error, what, of string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e, ofItem := errors.AsType[itemError](cause)
	answer, ok := errors.AsType[*azcore.ResponseError](cause)
	var why string
	switch {
	case !ofItem:
		why = cause.Error()
	case errors.Is(cause, errTags), errors.Is(cause, errManifest):
		why = "the item " + e.item + " is refused, because its tags or its content are not what Airlock wrote; put them right in the vault"
	case ok && answer.StatusCode == http.StatusForbidden:
		why = "the item " + e.item + " is disabled, or forbidden to Airlock's identity; give that the role Key Vault Secrets Officer on the vault"
	case ok && answer.StatusCode == http.StatusNotFound:
		why = "the item " + e.item + " is missing; recover it in the vault"
	case ok && answer.StatusCode == http.StatusTooManyRequests:
		why = "the vault answers that it has too many requests; try again in a minute"
	case ok:
		why = fmt.Sprintf("the vault answers %d %s for the item %s", answer.StatusCode, answer.ErrorCode, e.item)
	case errors.Is(cause, context.DeadlineExceeded):
		why = "the vault did not answer in time; try again later"
	default:
		why = "the vault, or the service that knows Airlock's identity, cannot be used; check the vault's address, the network, and the identity"
	}
	return errors.Because(cause, errors.SecretStoreFailed, what+": %s.", of, why)
}
