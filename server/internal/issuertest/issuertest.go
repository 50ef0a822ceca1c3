// Package issuertest has a real identity provider for tests: OpenID discovery and a key set over TLS, keys that rotate,
// and the ways in which such servers fail.
package issuertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Issuer is an identity provider.
type Issuer struct {
	URL   string // of the server, and where its discovery document is
	Roots *x509.CertPool

	t       testing.TB
	release chan struct{}

	mu       sync.Mutex
	id       string // iss
	key      jose.JSONWebKey
	set      []any // the key set that it publishes
	kids     int
	fetches  int
	failing  int // status, 0 for none
	hanging  chan struct{}
	document map[string]any
}

// New starts an issuer with one ES256 key. It ends with the test.
func New(t testing.TB) *Issuer {
	i := &Issuer{t: t, release: make(chan struct{})}
	s := httptest.NewTLSServer(http.HandlerFunc(i.serve))
	t.Cleanup(func() { close(i.release); s.Close() })
	i.URL, i.id, i.Roots = s.URL, s.URL, x509.NewCertPool()
	i.Roots.AddCert(s.Certificate())
	i.Rotate()
	return i
}

// Call lets the issuer call itself id.
func (i *Issuer) Call(id string) { i.locked(func() { i.id = id }) }

// ID is what the issuer calls itself.
func (i *Issuer) ID() (id string) { i.locked(func() { id = i.id }); return id }

// Rotate makes a new key in the place of the one before, which is withdrawn.
func (i *Issuer) Rotate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.Use(key, jose.ES256)
}

// Use makes key the one that signs.
func (i *Issuer) Use(key crypto.Signer, algorithm jose.SignatureAlgorithm) {
	i.locked(func() {
		i.kids++
		i.key = jose.JSONWebKey{Key: key, KeyID: fmt.Sprint("kid-", i.kids), Algorithm: string(algorithm), Use: "sig"}
		i.set = []any{i.key.Public()}
	})
}

// Key is the one that signs.
func (i *Issuer) Key() (k jose.JSONWebKey) { i.locked(func() { k = i.key }); return k }

// Publish changes the key set.
func (i *Issuer) Publish(keys ...any) { i.locked(func() { i.set = keys }) }

// Document replaces members of the discovery document.
func (i *Issuer) Document(members map[string]any) { i.locked(func() { i.document = members }) }

// Fail lets the issuer answer with the status; 0 ends that.
func (i *Issuer) Fail(status int) { i.locked(func() { i.failing = status }) }

// Hang lets the issuer answer nothing until the test ends. The channel is closed once somebody waits for an answer.
func (i *Issuer) Hang() <-chan struct{} {
	asked := make(chan struct{})
	i.locked(func() { i.hanging = asked })
	return asked
}

// Fetches says how often the discovery document was asked for.
func (i *Issuer) Fetches() (n int) { i.locked(func() { n = i.fetches }); return n }

func (i *Issuer) locked(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

func (i *Issuer) serve(w http.ResponseWriter, r *http.Request) {
	var answer any
	var wait bool
	status := http.StatusOK
	i.locked(func() {
		discovery := r.URL.Path != "/keys"
		if discovery {
			i.fetches++
		}
		if wait = i.hanging != nil; wait {
			select {
			case <-i.hanging:
			default:
				close(i.hanging)
			}
		}
		switch {
		case i.failing != 0:
			status = i.failing
		case discovery:
			members := map[string]any{"issuer": i.id, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token"}
			for name, value := range i.document {
				members[name] = value
			}
			answer = members
		default:
			answer = map[string]any{"keys": i.set}
		}
	})
	if wait {
		select {
		case <-i.release:
		case <-r.Context().Done():
		}
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

// Claims are those of a valid token for the audience, changed by members: nil takes one away.
func (i *Issuer) Claims(audience string, members map[string]any) map[string]any {
	now := time.Now()
	claims := map[string]any{
		"iss": i.ID(), "aud": audience, "sub": "somebody", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	for name, value := range members {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	return claims
}

// Token signs the claims with the key that signs.
func (i *Issuer) Token(claims map[string]any) string {
	k := i.Key()
	return Sign(i.t, jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.Algorithm), Key: k.Key}, map[string]any{"kid": k.KeyID, "typ": "JWT"}, claims)
}

// Sign makes a token with any key and header.
func Sign(t testing.TB, key jose.SigningKey, header, claims map[string]any) string {
	t.Helper()
	options := &jose.SignerOptions{}
	for name, value := range header {
		options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(key, options)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}
