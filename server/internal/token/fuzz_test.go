package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// only is an issuer with one key, and a store that knows one client.
type only struct{ key *ecdsa.PrivateKey }

const onlyURL, onlyClient, onlySecret = "https://airlock.example", "client", "secret"

func (only) URL() string { return onlyURL }
func (o only) Keys(context.Context) ([]jose.JSONWebKey, error) {
	return []jose.JSONWebKey{{Key: &o.key.PublicKey, KeyID: "k", Algorithm: string(jose.ES256), Use: "sig"}}, nil
}
func (only) Client(_ context.Context, id string) (domain.Client, error) {
	if id != onlyClient {
		return domain.Client{}, errors.Newf(errors.ResourceNotFound, "None.")
	}
	return domain.Client{ID: onlyClient, Secrets: []domain.ClientSecret{{ID: onlySecret}}}, nil
}
func (only) StaticTokenByHash(context.Context, []byte) (domain.StaticToken, error) {
	return domain.StaticToken{}, errors.Newf(errors.ResourceNotFound, "None.")
}

// decoded is what of a JWT is signed. Base64 has more than one form of the same bytes.
func decoded(raw string) (all string) {
	for part := range strings.SplitSeq(raw[:strings.LastIndexByte(raw, '.')+1], ".") {
		data, _ := base64.RawURLEncoding.DecodeString(part)
		all += string(data) + "."
	}
	return all
}

// Nobody without the key makes a token that is taken: what is taken was signed.
func FuzzIdentity(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	if err != nil {
		f.Fatal(err)
	}
	good, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": onlyURL, "aud": onlyURL, "sub": onlyClient, "airlock_secret": onlySecret, "exp": time.Now().Add(time.Hour).Unix(),
	}).Serialize()
	if err != nil {
		f.Fatal(err)
	}
	v := New(Config{Own: only{key}, Identities: only{key}, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if _, err := v.Identity(f.Context(), good); err != nil {
		f.Fatal(err)
	}
	signed := good[:strings.LastIndexByte(good, '.')]
	for _, seed := range []string{good, "", ".", "..", "alk_x", "eyJhbGciOiJub25lIn0.e30.", `{"payload":"","signatures":[]}`, signed + ".", "eyJhbGciOiJFUzI1NiIsImNyaXQiOlsiYjY0Il0sImI2NCI6ZmFsc2V9.e30.AA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		identity, err := v.Identity(t.Context(), raw)
		if err == nil && decoded(raw) != decoded(good) {
			t.Errorf("%q is taken for %+v", raw, identity)
		}
		if errors.Has(err, errors.ServiceUnavailable) {
			t.Errorf("%q is not the token's fault: %v", raw, err)
		}
	})
}

// Whatever a key set holds, what is left of it are public keys that can verify.
func FuzzParseKeys(f *testing.F) {
	for _, seed := range []string{
		`{"keys":[]}`, `{"keys":[{"kty":"oct","k":"AA"}]}`, `{"keys":[null,5,"x",{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`, `{"keys":{}}`, `[]`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := parseKeys(data)
		if (err == nil) != (len(set) > 0) || len(set) > mostKeys {
			t.Errorf("%d keys, %v", len(set), err)
		}
		for _, k := range set {
			if !k.IsPublic() || !strong(k.Key) || k.Use == "enc" {
				t.Errorf("the key %+v", k)
			}
		}
	})
}
