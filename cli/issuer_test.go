package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// testIssuer is an OpenID provider with device codes (RFC 8628) and refresh tokens that it takes once.
type testIssuer struct {
	*httptest.Server
	ca  string // PEM file with its authority
	key *ecdsa.PrivateKey

	mu       sync.Mutex
	audience string
	lifetime time.Duration // of access tokens
	answers  []string      // to the polls of a device code: errors, and "" for a token
	current  string        // refresh token
	renewals int
	noDevice bool
}

func newTestIssuer(t testing.TB) *testIssuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &testIssuer{key: key, audience: "airlock", lifetime: time.Hour}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		d := map[string]any{"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys"}
		i.mu.Lock()
		defer i.mu.Unlock()
		if !i.noDevice {
			d["device_authorization_endpoint"] = i.URL + "/device"
		}
		answerJSON(w, http.StatusOK, d)
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("POST /device", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("client_id") != "airlock-cli" {
			answerJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_client", "error_description": "no such application"})
			return
		}
		answerJSON(w, http.StatusOK, map[string]any{"device_code": "device", "user_code": "WDJB-MJHT", "verification_uri": i.URL + "/enter", "expires_in": 600, "interval": 1})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) { i.token(t, w, r) })
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	i.ca = filepath.Join(t.TempDir(), "issuer.pem")
	if err := os.WriteFile(i.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return i
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (i *testIssuer) token(t testing.TB, w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	refused := ""
	switch r.FormValue("grant_type") {
	case "urn:ietf:params:oauth:grant-type:device_code":
		refused, i.answers = i.answers[0], i.answers[1:]
	case "refresh_token":
		if r.FormValue("refresh_token") != i.current || i.current == "" {
			refused = "invalid_grant"
		}
		i.renewals++
	default:
		refused = "unsupported_grant_type"
	}
	if refused != "" {
		answerJSON(w, http.StatusBadRequest, map[string]any{"error": refused})
		return
	}
	i.current = rand.Text()
	answerJSON(w, http.StatusOK, map[string]any{
		"token_type": "Bearer", "access_token": i.sign(t), "expires_in": int(i.lifetime.Seconds()), "refresh_token": i.current,
	})
}

// sign makes an access token of a person.
func (i *testIssuer) sign(t testing.TB) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.key, KeyID: "1"}}, nil)
	if err != nil {
		t.Error(err)
		return ""
	}
	now := time.Now()
	token, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: i.URL, Subject: "somebody", Audience: jwt.Audience{i.audience}, IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Hour)),
	}).Serialize()
	if err != nil {
		t.Error(err)
	}
	return token
}

// set changes what the issuer does.
func (i *testIssuer) set(change func(*testIssuer)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(i)
}
