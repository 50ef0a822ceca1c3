// Package issuer is Airlock's own token endpoint: it gives access tokens (JWT, RFC 9068) to service principals that
// prove themselves by a client secret (RFC 6749, section 4.4), so that an installation needs no other identity
// provider for automation.
//
// It looks like AD FS and like Microsoft Entra ID to clients that know these, such as az and the Azure SDKs: discovery
// documents at their addresses, forms in both of their ways, answers with what both expect.
//
// Tokens are signed with ES256. A key signs for 30 days and verifies until the last of its tokens has expired; the
// next one is made when it is needed. Keys lie sealed in the store.
package issuer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/server/internal/token"
)

// Lifetime is how long a token is valid, unless the secret that it was given for expires earlier.
const Lifetime = time.Hour

const (
	signFor   = 30 * 24 * time.Hour
	verifyFor = signFor + Lifetime + token.Skew
)

// Store is what the issuer needs of the store. A client that does not exist is ResourceNotFound.
type Store interface {
	Client(ctx context.Context, id string) (domain.Client, error)
	SigningKeys(ctx context.Context) ([]domain.SigningKey, error) // the newest first
	AddSigningKey(ctx context.Context, k domain.SigningKey) error
}

// Config has what an Issuer stands on. All fields are required.
type Config struct {
	URL    string // of the server, without a slash at its end: iss and aud of the tokens
	Store  Store
	Key    seal.Key // for this purpose only: signing keys are sealed with it
	Now    func() time.Time
	NewID  func() string
	Logger *slog.Logger
}

// Issuer gives tokens. It is safe for concurrent use.
type Issuer struct {
	cfg     Config
	guesses *guesses

	mu   sync.Mutex
	keys []signingKey // the newest first
}

type signingKey struct {
	domain.SigningKey
	private *ecdsa.PrivateKey
}

// New makes an Issuer. Its first key is made when it is needed.
func New(cfg Config) *Issuer { return &Issuer{cfg: cfg, guesses: newGuesses()} }

// URL is the identifier of the issuer.
func (i *Issuer) URL() string { return i.cfg.URL }

// Keys are the public keys with which tokens that have not expired were signed, and the one that signs now.
func (i *Issuer) Keys(ctx context.Context) ([]jose.JSONWebKey, error) {
	keys, err := i.current(ctx)
	if err != nil {
		return nil, err
	}
	set := make([]jose.JSONWebKey, len(keys))
	for n, k := range keys {
		set[n] = jose.JSONWebKey{Key: &k.private.PublicKey, KeyID: k.ID, Algorithm: string(jose.ES256), Use: "sig"}
	}
	return set, nil
}

// current are the keys that are valid, of which the first one signs. One is made where none may sign any more.
func (i *Issuer) current(ctx context.Context) ([]signingKey, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.cfg.Now()
	if i.keys == nil {
		if err := i.load(ctx); err != nil {
			return nil, err
		}
	}
	valid := make([]signingKey, 0, len(i.keys)+1)
	for _, k := range i.keys {
		if now.Before(k.Expires) {
			valid = append(valid, k)
		}
	}
	if len(valid) == 0 || !now.Before(valid[0].Created.Add(signFor)) {
		k, err := i.make(ctx, now)
		if err != nil {
			return nil, err
		}
		valid = append([]signingKey{k}, valid...)
	}
	i.keys = valid
	return valid, nil
}

func (i *Issuer) load(ctx context.Context) error {
	stored, err := i.cfg.Store.SigningKeys(ctx)
	if err != nil {
		return err
	}
	for _, s := range stored {
		k, err := i.open(s)
		if err != nil { // its tokens are lost, others can be given
			i.cfg.Logger.Error("a signing key cannot be used", "kid", s.ID, "error", err)
			continue
		}
		i.keys = append(i.keys, k)
	}
	return nil
}

func (i *Issuer) open(s domain.SigningKey) (signingKey, error) {
	plain, err := i.cfg.Key.Open(s.Sealed, sealedFor(s.ID))
	if err != nil {
		return signingKey{}, err
	}
	key, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return signingKey{}, errors.New("it is sealed in a form that is not known")
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return signingKey{}, fmt.Errorf("it is a %T", key)
	}
	return signingKey{s, private}, nil
}

func (i *Issuer) make(ctx context.Context, now time.Time) (signingKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return signingKey{}, err
	}
	plain, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return signingKey{}, err
	}
	id := i.cfg.NewID()
	sealed, err := i.cfg.Key.Seal(plain, sealedFor(id))
	if err != nil {
		return signingKey{}, err
	}
	k := domain.SigningKey{ID: id, Sealed: sealed, Created: now, Expires: now.Add(verifyFor)}
	return signingKey{k, private}, i.cfg.Store.AddSigningKey(ctx, k)
}

func sealedFor(kid string) []byte { return seal.Associated("signing key", kid) }

// sign makes a token for a client that has proved itself by the secret.
func (i *Issuer) sign(ctx context.Context, c domain.Client, s domain.ClientSecret) (signed string, lifetime time.Duration, err error) {
	keys, err := i.current(ctx)
	if err != nil {
		return "", 0, err
	}
	options := (&jose.SignerOptions{}).WithType("at+jwt").WithHeader(jose.HeaderKey("kid"), keys[0].ID)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: keys[0].private}, options)
	if err != nil {
		return "", 0, err
	}
	now := i.cfg.Now()
	lifetime = min(Lifetime, s.Expires.Sub(now))
	signed, err = jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: i.cfg.URL, Subject: c.ID, Audience: jwt.Audience{i.cfg.URL}, ID: i.cfg.NewID(),
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(lifetime)),
	}).Claims(map[string]any{
		"client_id": c.ID, "appid": c.ID, "oid": c.ID, "idtyp": "app", "app_displayname": c.Name, "airlock_secret": s.ID,
	}).Serialize()
	return signed, lifetime, err
}

// Discovery is the document of OpenID Connect Discovery 1.0 (and of RFC 8414) for clients that have the tenant in
// their addresses; "adfs" is as good as any other. Nothing is at the authorization endpoint: the document must have one.
func (i *Issuer) Discovery(tenant string) map[string]any {
	at := i.cfg.URL + "/" + tenant + "/oauth2/"
	if !strings.EqualFold(tenant, "adfs") {
		at += "v2.0/"
	}
	return map[string]any{
		"issuer":                                i.cfg.URL,
		"authorization_endpoint":                at + "authorize",
		"token_endpoint":                        at + "token",
		"jwks_uri":                              i.cfg.URL + "/.well-known/jwks.json",
		"grant_types_supported":                 []string{"client_credentials"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_basic"},
		"scopes_supported":                      []string{i.cfg.URL + "/.default"},
		"response_types_supported":              []string{"token"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{string(jose.ES256)},
	}
}
