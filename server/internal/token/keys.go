package token

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/time/rate"

	"github.com/airlock-run/airlock/internal/errors"
)

// How an issuer's keys are kept.
const (
	keysFresh   = time.Hour        // after which they are fetched again, so that a key that the issuer withdrew ends
	keysLast    = 24 * time.Hour   // after which they are not used any more, where the issuer cannot be reached
	fetchPause  = 10 * time.Second // at least, between two fetches, but for a burst of two
	fetchBurst  = 2
	fetchWithin = 5 * time.Second // a fetch, which is two requests
	fetchMost   = 1 << 20         // bytes of one answer
	mostKeys    = 100
)

// remote are the keys of an issuer elsewhere, found by OpenID Connect Discovery 1.0. They are fetched when they are
// needed: an issuer that is down concerns nobody but those who have its tokens. A token with a kid that is not known
// makes them be fetched anew, at most as often as fetchPause says, whoever sends how many such tokens.
type remote struct {
	endpoint
	client *http.Client
	now    func() time.Time
	log    *slog.Logger
	limit  *rate.Limiter
	turn   chan struct{} // held by the one who fetches

	mu   sync.Mutex
	last fetched
}

// fetched is what a fetch has found.
type fetched struct {
	keys  []jose.JSONWebKey
	at    time.Time
	count int // of fetches so far
}

// endpoint is where an issuer's discovery document is, and the identifier that it must have.
type endpoint struct{ iss, base string }

func newRemote(e endpoint, roots *x509.CertPool, now func() time.Time, log *slog.Logger) *remote {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // one fetch an hour
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &remote{
		endpoint: e, now: now, log: log, limit: rate.NewLimiter(rate.Every(fetchPause), fetchBurst), turn: make(chan struct{}, 1),
		client: &http.Client{Transport: bounded{transport}, Timeout: fetchWithin},
	}
}

// bounded takes https only, also after a redirect, and no more than fetchMost bytes.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, fmt.Errorf("%s is not an https address", r.URL.Redacted())
	}
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, fetchMost)
	}
	return resp, err
}

func (r *remote) state() fetched {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

func (r *remote) current(ctx context.Context) ([]jose.JSONWebKey, error) {
	have := r.state()
	switch age := r.now().Sub(have.at); {
	case age < keysFresh:
		return have.keys, nil
	case age < keysLast:
		select {
		case r.turn <- struct{}{}:
			defer func() { <-r.turn }()
			r.fetch(ctx, have)
		default: // somebody else is at it
		}
	default:
		r.wait(ctx, have)
	}
	if have = r.state(); r.now().Sub(have.at) >= keysLast {
		return nil, unchecked(errors.New("the keys of " + r.iss + " cannot be had"))
	}
	return have.keys, nil
}

func (r *remote) renewed(ctx context.Context) []jose.JSONWebKey {
	before := r.state()
	r.wait(ctx, before)
	if after := r.state(); after.count > before.count {
		return after.keys
	}
	return nil
}

// wait fetches the keys, or waits for somebody who does.
func (r *remote) wait(ctx context.Context, have fetched) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
		r.fetch(ctx, have)
	case <-ctx.Done():
	}
}

// fetch gets the keys anew, where nobody has done so meanwhile and it is time. It does not end with the request that
// asks for them: others need them too.
func (r *remote) fetch(ctx context.Context, have fetched) {
	if r.state().count > have.count || !r.limit.AllowN(r.now(), 1) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchWithin)
	defer cancel()
	set, err := r.discover(ctx)
	if err != nil {
		r.log.Warn("the keys of an issuer cannot be fetched", "issuer", r.iss, "from", r.base, "error", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = fetched{set, r.now(), have.count + 1}
}

// discover reads the discovery document and the key set that it names.
func (r *remote) discover(ctx context.Context) ([]jose.JSONWebKey, error) {
	// go-oidc compares the document's issuer with the address; it is iss that must be right.
	provider, err := oidc.NewProvider(oidc.InsecureIssuerURLContext(oidc.ClientContext(ctx, r.client), r.iss), r.base)
	if err != nil {
		return nil, err
	}
	var document struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := provider.Claims(&document); err != nil {
		return nil, err
	}
	if document.Issuer != r.iss {
		return nil, fmt.Errorf("the document is of the issuer %.200q", document.Issuer)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, document.JWKSURI, nil)
	if err != nil {
		return nil, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", document.JWKSURI, resp.Status)
	}
	return parseKeys(data)
}

// parseKeys reads a JWK set (RFC 7517). Keys that cannot verify a signature of ours, or that are not understood, are
// left out, as section 5 asks for.
func parseKeys(data []byte) (set []jose.JSONWebKey, err error) {
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("the key set cannot be read: %w", err)
	}
	for _, one := range raw.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(one) != nil || !k.Valid() || k.Use != "" && k.Use != "sig" {
			continue
		}
		if k = k.Public(); !strong(k.Key) {
			continue
		}
		if set = append(set, k); len(set) == mostKeys {
			break
		}
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("none of %d keys can be used", len(raw.Keys))
	}
	return set, nil
}

// strong leaves out what is not public, and RSA keys outside of 2048 to 8192 bits: shorter ones are weak (RFC 7518,
// section 3.3), longer ones make work.
func strong(key any) bool {
	if key == nil {
		return false
	}
	if k, ok := key.(*rsa.PublicKey); ok {
		return k.N.BitLen() >= 2048 && k.N.BitLen() <= 8192
	}
	_, symmetric := key.([]byte)
	return !symmetric
}
