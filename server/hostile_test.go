package server_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/server/internal/issuertest"
	"github.com/airlock-run/airlock/server/internal/role"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// es256 signs header and payload as they are.
func es256(key *ecdsa.PrivateKey, header, payload string) string {
	input := b64(header) + "." + b64(payload)
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(err)
	}
	return input + "." + b64(string(fixed(r))+string(fixed(s)))
}

func fixed(n *big.Int) []byte { return n.FillBytes(make([]byte, 32)) }

// hs256 signs with a secret, as somebody does who has only the public key.
func hs256(key []byte, header, payload string) string {
	input := b64(header) + "." + b64(payload)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(input))
	return input + "." + b64(string(mac.Sum(nil)))
}

func asText(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A sender that is not let in learns nothing of why, and nothing of what there is.
func TestHostileTokens(t *testing.T) {
	t.Parallel()
	idp := issuertest.New(t)
	e := start(t, withIssuer(idp))
	key := idp.Key().Key.(*ecdsa.PrivateKey)
	attacker, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	attackers := issuertest.New(t)
	good := idp.Claims(audience, nil)
	header := map[string]any{"alg": "ES256", "typ": "JWT", "kid": idp.Key().KeyID}
	with := func(base map[string]any, members map[string]any) string {
		changed := maps.Clone(base)
		for name, value := range members {
			if changed[name] = value; value == nil {
				delete(changed, name)
			}
		}
		return asText(t, changed)
	}
	type m = map[string]any
	claims := func(members m) string { return "Bearer " + es256(key, asText(t, header), with(good, members)) }
	headers := func(members m) string { return "Bearer " + es256(key, with(header, members), asText(t, good)) }
	forged := func(members m) string {
		return "Bearer " + es256(attacker, with(header, members), asText(t, good))
	}
	valid := claims(nil)
	raw := strings.TrimPrefix(valid, "Bearer ")
	parts := strings.Split(raw, ".")
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	jwk := func(k *ecdsa.PrivateKey) m {
		return m{"kty": "EC", "crv": "P-256", "x": b64(string(fixed(k.X))), "y": b64(string(fixed(k.Y))), "kid": "kid-1"}
	}
	confused := func(secret []byte) string {
		return "Bearer " + hs256(secret, with(header, m{"alg": "HS256"}), asText(t, good))
	}
	now := time.Now()
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }

	// Tokens of the server's own.
	own := e.token(e.enroll())
	ownParts := strings.Split(own, ".")
	changed, err := base64.RawURLEncoding.DecodeString(ownParts[1])
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := start(t)
	foreign := elsewhere.token(elsewhere.enroll())
	secretGone := own // enroll takes the secret before away
	clientSecret := e.enroll()
	static := func(name string, life time.Duration) (value string) {
		value = "alk_" + b64(strings.Repeat(name, 32)[:32])
		sum := sha256.Sum256([]byte(value))
		if err := e.store.AddStaticToken(t.Context(), domain.StaticToken{ID: name, Name: name, Hash: sum[:], Created: now, Expires: now.Add(life)}, domain.Principal{}); err != nil {
			t.Fatal(err)
		}
		return value
	}
	staying, expired, removed := static("staying", time.Hour), static("expired", 0), static("removed", time.Hour)
	if _, err := e.store.DeleteStaticToken(t.Context(), "removed", ""); err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(staying))

	table := map[string][]string{
		"none": nil, "empty": {""}, "scheme only": {"Bearer"}, "no token": {"Bearer  "}, "no scheme": {raw},
		"another scheme": {"Basic " + raw}, "digest": {`Digest username="a", response="b"`}, "negotiate": {"Negotiate YII="},
		"two": {valid, valid}, "the first is right": {valid, "Bearer x"}, "the second is right": {"Bearer x", valid},
		"the second is empty": {valid, ""}, "two in one": {valid + ", " + valid}, "a list": {valid + "," + raw},
		"huge": {"Bearer " + strings.Repeat("a", 17<<10)}, "huge and right before": {valid + strings.Repeat(" ", 17<<10) + "x"},
		"huge JWT": {claims(m{"x": strings.Repeat("a", 13<<10)})},
		"emoji":    {"Bearer \U0001f511"}, "wide letters": {"Ｂｅａｒｅｒ " + raw}, "Latin 1": {"Bearer caf\xe9"}, "half a rune": {"Bearer \xf0\x9f"},
		"hard space": {"Bearer\u00a0" + raw}, "tab": {"Bearer\t" + raw}, "space inside": {"Bearer " + raw[:20] + " " + raw[20:]},
		"something after": {valid + " x"}, "quoted": {`Bearer "` + raw + `"`}, "percent": {"Bearer " + strings.ReplaceAll(raw, ".", "%2E")},
		"parameter": {`Bearer token="` + raw + `"`}, "nothing but padding": {"Bearer ===="},

		"two parts": {"Bearer " + parts[0] + "." + parts[1]}, "no signature": {"Bearer " + parts[0] + "." + parts[1] + "."},
		"four parts": {valid + ".x"}, "five parts": {"Bearer " + b64(`{"alg":"dir","enc":"A256GCM"}`) + "..AAAA.AAAA.AAAA"},
		"JSON form": {"Bearer " + b64(asText(t, m{"protected": parts[0], "payload": parts[1], "signature": parts[2]}))},
		"cut":       {valid[:len(valid)-5]}, "a bit flipped": {"Bearer " + parts[0] + "." + parts[1] + "." + flip(parts[2])},
		"padded":       {"Bearer " + parts[0] + "." + parts[1] + "." + parts[2] + "=="},
		"zeros":        {"Bearer " + parts[0] + "." + parts[1] + "." + b64(strings.Repeat("\x00", 64))},
		"other claims": {"Bearer " + parts[0] + "." + b64(with(good, m{"sub": "admin"})) + "." + parts[2]},
		"header {}":    {"Bearer " + es256(key, "{}", asText(t, good))}, "header no JSON": {"Bearer " + es256(key, "alg", asText(t, good))},
		"header twice":   {"Bearer " + es256(key, `{"alg":"none","alg":"ES256"}`, asText(t, good))},
		"claims no JSON": {"Bearer " + es256(key, asText(t, header), "x")}, "claims an array": {"Bearer " + es256(key, asText(t, header), "[]")},
		"claims twice":       {"Bearer " + es256(key, asText(t, header), strings.Replace(asText(t, good), "{", `{"sub":"admin",`, 1))},
		"claims in capitals": {claims(m{"iss": nil, "ISS": idp.ID()})}, "claims too deep": {"Bearer " + es256(key, asText(t, header), strings.Repeat(`{"a":`, 900)+"1"+strings.Repeat("}", 900))},

		"alg none": {"Bearer " + b64(`{"alg":"none"}`) + "." + parts[1] + "."}, "alg None": {"Bearer " + b64(`{"alg":"None"}`) + "." + parts[1] + "."},
		"alg none, signed": {headers(m{"alg": "none"})}, "alg missing": {headers(m{"alg": nil})}, "alg a number": {headers(m{"alg": 256})},
		"the PEM for a secret": {confused(public)}, "the DER for a secret": {confused(der)}, "the JWK for a secret": {confused([]byte(asText(t, jwk(key))))},
		"an empty secret": {confused(nil)}, "the kid for a secret": {confused([]byte("kid-1"))},
		"alg of another kind": {headers(m{"alg": "RS256"})}, "alg of another curve": {headers(m{"alg": "ES384"})}, "alg EdDSA": {headers(m{"alg": "EdDSA"})},
		"another's key": {forged(nil)}, "its own key in jwk": {forged(m{"jwk": jwk(attacker)})}, "its own key in jku": {forged(m{"jku": attackers.URL + "/keys", "kid": "x"})},
		"its own key in x5c": {forged(m{"x5c": []string{base64.StdEncoding.EncodeToString(der)}})}, "its own key in x5u": {forged(m{"x5u": attackers.URL})},
		"no kid, another's key": {forged(m{"kid": nil})}, "unknown kid": {headers(m{"kid": "kid-2"})}, "kid a path": {forged(m{"kid": "../../dev/null"})},
		"kid SQL": {forged(m{"kid": "' OR 1=1 --"})}, "kid a number": {forged(m{"kid": 1})}, "critical": {headers(m{"crit": []string{"new"}, "new": true})},
		"not encoded": {headers(m{"crit": []string{"b64"}, "b64": false})}, "a logout token": {headers(m{"typ": "logout+jwt"})}, "a proof": {headers(m{"typ": "dpop+jwt"})},

		"no issuer": {claims(m{"iss": nil})}, "another issuer": {claims(m{"iss": "https://evil.example"})}, "issuer and a slash": {claims(m{"iss": idp.ID() + "/"})},
		"issuer in capitals": {claims(m{"iss": strings.ToUpper(idp.ID())})}, "issuer a list": {claims(m{"iss": []string{idp.ID()}})},
		"issuer for a host": {claims(m{"iss": idp.ID() + "@evil.example"})}, "an issuer of its own": {"Bearer " + attackers.Token(attackers.Claims(audience, nil))},
		"another's as the server": {claims(m{"iss": e.https.URL, "aud": e.https.URL, "sub": clientID})},
		"no audience":             {claims(m{"aud": nil})}, "another audience": {claims(m{"aud": "https://management.azure.com/"})}, "audience and more": {claims(m{"aud": audience + "x"})},
		"audience in capitals": {claims(m{"aud": strings.ToUpper(audience)})}, "audience an object": {claims(m{"aud": m{audience: true}})}, "no audience in a list": {claims(m{"aud": []string{}})},
		"for ever": {claims(m{"exp": nil})}, "expired": {claims(m{"exp": at(-2 * time.Minute)})}, "expires as text": {claims(m{"exp": fmt.Sprint(at(time.Hour))})},
		"expires too late": {claims(m{"exp": 1e300})}, "expired long ago": {claims(m{"exp": -1})}, "not yet valid": {claims(m{"nbf": at(2 * time.Minute)})},
		"valid as text": {claims(m{"nbf": "now"})}, "issued later": {claims(m{"iat": at(2 * time.Minute)})},
		"nobody": {claims(m{"sub": nil})}, "an empty name": {claims(m{"sub": ""})}, "a name of two lines": {claims(m{"sub": "a\nb"})},
		"a name of 300": {claims(m{"sub": strings.Repeat("a", 300)})}, "a name with a turn": {claims(m{"sub": "a\u202eb"})}, "a number for a name": {claims(m{"sub": 7})},
		"a name with a zero": {claims(m{"sub": "a\x00"})}, "numbers for groups": {claims(m{"groups": []int{1}})}, "an empty group": {claims(m{"groups": []string{""}})},
		"a group of two lines": {claims(m{"groups": []string{"a\nb"}})}, "too many groups": {claims(m{"groups": slices.Repeat([]string{"g"}, 1001)})},

		"own, secret removed": {"Bearer " + secretGone}, "own, of another server": {"Bearer " + foreign},
		"own, of others":    {"Bearer " + ownParts[0] + "." + b64(strings.ReplaceAll(string(changed), clientID, "00000000-0000-0000-0000-000000000000")) + "." + ownParts[2]},
		"own, no signature": {"Bearer " + ownParts[0] + "." + ownParts[1] + "."},
		"a client secret":   {"Bearer " + clientSecret.Reveal()}, "a client id": {"Bearer " + clientID},

		"static, unknown": {"Bearer alk_" + b64(strings.Repeat("x", 32))}, "static, expired": {"Bearer " + expired}, "static, removed": {"Bearer " + removed},
		"static, prefix only": {"Bearer alk_"}, "static, cut": {"Bearer " + staying[:len(staying)-1]}, "static, longer": {"Bearer " + staying + "A"},
		"static, in capitals": {"Bearer " + strings.ToUpper(staying)}, "static, without prefix": {"Bearer " + strings.TrimPrefix(staying, "alk_")},
		"static, its hash": {"Bearer " + hex.EncodeToString(hash[:])}, "static, its hash with prefix": {"Bearer alk_" + b64(string(hash[:]))},
		"static, its id":       {"Bearer staying"},
		"of another execution": {"Bearer " + b64(strings.Repeat("grant", 8))},
	}
	if len(table) < 60 {
		t.Fatalf("the table has %d cases", len(table))
	}

	// What the table is made of is right without its one flaw.
	e.give(role.Reader, groupScope, domain.Principal{ID: "idp:somebody", Type: domain.User})
	e.give(role.Reader, groupScope, domain.StaticToken{ID: "staying"}.Principal())
	for name, header := range map[string]string{"issuer": valid, "no kid": headers(m{"kid": nil}), "static": "Bearer " + staying, "own": "Bearer " + e.token(clientSecret), "scheme": strings.Replace(valid, "B", "b", 1)} {
		if got := e.knock("GET", cloudPath, header); got.Status != 200 {
			t.Fatalf("%s: %+v", name, got)
		}
	}
	want := e.knock("GET", cloudPath)
	if want.Status != 401 || want.Header.Get("WWW-Authenticate") != e.challenge(idp.URL) || !strings.Contains(want.Body, `"AuthenticationFailed"`) {
		t.Fatalf("without a token: %+v", want)
	}
	for name, header := range table {
		for _, door := range [][2]string{{"GET", cloudPath}, {"BREW", "/nowhere"}} {
			if diff := cmp.Diff(want, e.knock(door[0], door[1], header...)); diff != "" {
				t.Errorf("%s: %s %s:\n%s", name, door[0], door[1], diff)
			}
		}
	}
	if len(e.audit.list()) != 2 { // the tokens that the test has asked for
		t.Errorf("strangers fill the audit: %+v", e.audit.list())
	}
	if attackers.Fetches() > 0 {
		t.Error("a token made the server ask the attacker's")
	}
	for _, secret := range []string{staying, expired, clientSecret.Reveal(), parts[2]} {
		if strings.Contains(e.log.String(), secret) {
			t.Error("the log shows a secret")
		}
	}
}

// flip changes one bit of the signature's first byte.
func flip(signature string) string {
	data, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		panic(err)
	}
	data[0] ^= 1
	return b64(string(data))
}

// seen is what a sender can see of an answer, but for ids and the time.
type seen struct {
	Status int
	Header http.Header
	Body   string
}

// knock sends a request with these Authorization headers.
func (e *env) knock(method, path string, authorization ...string) seen {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), method, e.https.URL+path+"?api-version="+version, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header["Authorization"] = authorization
	resp, err := e.https.Client().Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := io.Copy(&body, resp.Body); err != nil {
		e.t.Fatal(err)
	}
	for _, id := range []string{"X-Ms-Request-Id", "X-Ms-Correlation-Request-Id", "Date"} {
		resp.Header.Del(id)
	}
	return seen{resp.StatusCode, resp.Header, body.String()}
}

// token asks the token endpoint as a client with the secret.
func (e *env) token(s secret.Text) string {
	e.t.Helper()
	got := e.form("/adfs/oauth2/token", "grant_type=client_credentials&client_id="+clientID+"&client_secret="+s.Reveal())
	if got.StatusCode != 200 {
		e.t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	return decode[tokenReply](e.t, got).AccessToken
}
