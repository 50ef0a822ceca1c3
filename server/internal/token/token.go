// Package token finds out whose bearer token one is.
//
// Three kinds of token are known: access tokens (JWT, RFC 7519 and 9068) of the issuers that the configuration names,
// access tokens of Airlock's own token endpoint, and static tokens, which are random and begin with "alk_". A JWT goes
// to the one issuer whose identifier is, byte for byte, what the token says in iss; whatever else the token claims is
// believed after its signature has been verified with a key of that issuer. Nothing of a token's header chooses a key
// but its kid, and the algorithms are a list of ours.
//
// The errors of Verifier.Identity are for the log: whoever sent the token is told nothing of why it is not valid.
package token

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// Identities is what a Verifier needs of the store. What does not exist is ResourceNotFound.
type Identities interface {
	Client(ctx context.Context, id string) (domain.Client, error)
	StaticTokenByHash(ctx context.Context, hash []byte) (domain.StaticToken, error)
}

// Config has what a Verifier stands on. All fields are required but Issuers and Own.
type Config struct {
	Issuers    []Issuer
	Own        Own // Airlock's own token endpoint; nil for none
	Identities Identities
	Now        func() time.Time
	Logger     *slog.Logger // of issuers that cannot be reached
}

// Own is Airlock's own token endpoint.
type Own interface {
	URL() string // iss and aud of its tokens
	Keys(ctx context.Context) ([]jose.JSONWebKey, error)
}

// Verifier finds out whose tokens are. It is safe for concurrent use.
type Verifier struct {
	cfg     Config
	issuers map[string]*source // by iss
}

// source is one identifier under which tokens are issued, with the keys that verify them.
type source struct {
	name      string // of the issuer
	audiences []string
	tenant    string // of Entra; "" for others
	keys      keys
}

// keys are those with which an issuer may have signed.
type keys interface {
	// current are the keys that are known, fetched where that is due.
	current(ctx context.Context) ([]jose.JSONWebKey, error)
	// renewed are keys that may be newer, after none of the current ones has verified a token; nil where it is too
	// early to ask for them again.
	renewed(ctx context.Context) []jose.JSONWebKey
}

// New makes a Verifier of issuers that have passed CheckIssuers. It asks nobody anything yet.
func New(cfg Config) *Verifier {
	v := &Verifier{cfg: cfg, issuers: map[string]*source{}}
	for _, i := range cfg.Issuers {
		for _, e := range i.endpoints() {
			v.issuers[e.iss] = &source{name: i.Name, audiences: i.Audiences, tenant: i.Tenant, keys: newRemote(e, i.Roots, cfg.Now, cfg.Logger)}
		}
	}
	if cfg.Own != nil {
		v.issuers[cfg.Own.URL()] = &source{name: domain.AirlockIssuer, audiences: []string{cfg.Own.URL()}, keys: local{cfg.Own}}
	}
	return v
}

// local are keys that need no fetching.
type local struct{ own Own }

func (l local) current(ctx context.Context) ([]jose.JSONWebKey, error) {
	keys, err := l.own.Keys(ctx)
	if err != nil {
		return nil, unchecked(err)
	}
	return keys, nil
}

func (local) renewed(context.Context) []jose.JSONWebKey { return nil }

// algorithms are the signatures that are verified: asymmetric ones, so that no public key is ever taken for a secret
// (RFC 8725, section 2.1).
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// types are the values of typ that access tokens have (RFC 9068, section 2.1). It keeps out other kinds of JWT that
// the same keys may have signed, such as logout tokens.
var types = []string{"", "jwt", "at+jwt", "application/at+jwt"}

// Skew is how much the clocks of issuer and Airlock may differ.
const Skew = time.Minute

// Identity says whose token raw is. An error that carries ServiceUnavailable says nothing about the token: the
// issuer's keys could not be had so far. So does one of the store.
func (v *Verifier) Identity(ctx context.Context, raw string) (domain.Identity, error) {
	if strings.HasPrefix(raw, StaticPrefix) {
		return v.static(ctx, raw)
	}
	t, err := jwt.ParseSigned(raw, algorithms)
	if err != nil {
		return domain.Identity{}, fmt.Errorf("not a token that Airlock knows: %w", err)
	}
	typ, _ := t.Headers[0].ExtraHeaders[jose.HeaderType].(string)
	if !slices.Contains(types, strings.ToLower(typ)) {
		return domain.Identity{}, fmt.Errorf("a JWT of the type %.40q is no access token", typ)
	}
	var said struct {
		Issuer string `json:"iss"`
	}
	if err := t.UnsafeClaimsWithoutVerification(&said); err != nil {
		return domain.Identity{}, fmt.Errorf("claims that cannot be read: %w", err)
	}
	from := v.issuers[said.Issuer]
	if from == nil {
		return domain.Identity{}, fmt.Errorf("the issuer %.200q is not configured", said.Issuer)
	}
	var c claims
	if err := from.verify(ctx, t, &c); err != nil {
		return domain.Identity{}, fmt.Errorf("a token of %s: %w", from.name, err)
	}
	identity, err := v.identity(ctx, from, &c)
	if err != nil {
		return domain.Identity{}, fmt.Errorf("a token of %s: %w", from.name, err)
	}
	return identity, nil
}

// verify reads the claims of a token once one of the issuer's keys has verified its signature.
func (s *source) verify(ctx context.Context, t *jwt.JSONWebToken, c *claims) error {
	known, err := s.keys.current(ctx)
	if err != nil {
		return err
	}
	header := t.Headers[0]
	if verified, err := verifyWith(known, t, c); verified {
		return err
	}
	if verified, err := verifyWith(s.keys.renewed(ctx), t, c); verified {
		return err
	}
	return fmt.Errorf("no key of the issuer has made the signature (kid %.80q, alg %s)", header.KeyID, header.Algorithm)
}

// verifyWith tries the keys that the token can mean: those of its kid, all where it names none.
func verifyWith(set []jose.JSONWebKey, t *jwt.JSONWebToken, c *claims) (verified bool, err error) {
	header := t.Headers[0]
	for _, k := range set {
		if header.KeyID != "" && header.KeyID != k.KeyID || k.Algorithm != "" && k.Algorithm != header.Algorithm {
			continue
		}
		if t.Claims(k.Key) == nil {
			return true, t.UnsafeClaimsWithoutVerification(&c.Claims, &c.more)
		}
	}
	return false, nil
}

// StaticPrefix begins every static token, so that whoever finds one where it should not be knows it for what it is.
const StaticPrefix = "alk_"

// Hash is what is kept of a static token or a client secret. Both have 256 random bits, so that a hash without salt
// and rounds is enough.
func Hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func (v *Verifier) static(ctx context.Context, raw string) (domain.Identity, error) {
	t, err := v.cfg.Identities.StaticTokenByHash(ctx, Hash(raw))
	switch {
	case errors.Has(err, errors.ResourceNotFound):
		return domain.Identity{}, errors.New("a static token that is not, or no longer, there")
	case err != nil:
		return domain.Identity{}, unchecked(err)
	case !v.cfg.Now().Before(t.Expires):
		return domain.Identity{}, fmt.Errorf("the static token %s has expired", t.ID)
	}
	return domain.Identity{Name: t.Name, Principal: t.Principal()}, nil
}

// unchecked is for failures that are not the token's.
func unchecked(cause error) error {
	return errors.Because(cause, errors.ServiceUnavailable, "Airlock cannot check tokens just now; try again in a moment.")
}
