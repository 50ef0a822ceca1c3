package token_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/server/internal/issuertest"
	"github.com/airlock-run/airlock/server/internal/token"
)

const audience = "api://airlock"

// nobody is a store without identities.
type nobody struct{}

func (nobody) Client(context.Context, string) (domain.Client, error) {
	return domain.Client{}, errors.Newf(errors.ResourceNotFound, "None.")
}
func (nobody) StaticTokenByHash(context.Context, []byte) (domain.StaticToken, error) {
	return domain.StaticToken{}, errors.Newf(errors.ResourceNotFound, "None.")
}

// env is a verifier with one issuer, and a time that only the test moves.
type env struct {
	t      *testing.T
	issuer *issuertest.Issuer
	*token.Verifier
	log *bytes.Buffer

	mu  sync.Mutex
	now time.Time
}

func (e *env) pass(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now = e.now.Add(d)
}

func start(t *testing.T, change ...func(*token.Issuer)) *env {
	e := &env{t: t, issuer: issuertest.New(t), log: &bytes.Buffer{}, now: time.Now()}
	i := token.Issuer{Name: "idp", URL: e.issuer.URL, Audiences: []string{audience, "other"}, Roots: e.issuer.Roots}
	for _, c := range change {
		c(&i)
	}
	if err := token.CheckIssuers("https://airlock.example", []token.Issuer{i}); err != nil {
		t.Fatal(err)
	}
	e.Verifier = token.New(token.Config{
		Issuers: []token.Issuer{i}, Identities: nobody{}, Logger: slog.New(slog.NewTextHandler(e.log, nil)),
		Now: func() time.Time {
			e.mu.Lock()
			defer e.mu.Unlock()
			return e.now
		},
	})
	return e
}

// token is one of the issuer's, valid as the test's clock goes.
func (e *env) token(members map[string]any) string {
	e.mu.Lock()
	now := e.now
	e.mu.Unlock()
	claims := e.issuer.Claims(audience, map[string]any{"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix()})
	for name, value := range members {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	return e.issuer.Token(claims)
}

func (e *env) accepted(raw string) domain.Identity {
	e.t.Helper()
	identity, err := e.Identity(e.t.Context(), raw)
	if err != nil {
		e.t.Fatal(err)
	}
	return identity
}

func (e *env) refused(raw, cause string) {
	e.t.Helper()
	identity, err := e.Identity(e.t.Context(), raw)
	if err == nil || !strings.Contains(err.Error(), cause) || errors.Has(err, errors.ServiceUnavailable) {
		e.t.Errorf("it is %+v, %v; want an error with %q", identity, err, cause)
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	e := start(t)
	user := func(id string) domain.Principal { return domain.Principal{ID: "idp:" + id, Type: domain.User} }
	for name, c := range map[string]struct {
		members map[string]any
		want    domain.Identity
	}{
		"plain":            {nil, domain.Identity{Name: "idp:somebody", Principal: user("somebody")}},
		"one of audiences": {map[string]any{"aud": []string{"x", "other"}}, domain.Identity{Name: "idp:somebody", Principal: user("somebody")}},
		"sub of GitHub":    {map[string]any{"sub": "repo:octo-org/octo-repo:environment:Production"}, domain.Identity{Name: "idp:repo:octo-org/octo-repo:environment:Production", Principal: user("repo:octo-org/octo-repo:environment:Production")}},
		"named":            {map[string]any{"preferred_username": "ada@example.com", "email": "x"}, domain.Identity{Name: "ada@example.com", Principal: user("somebody")}},
		"named oddly":      {map[string]any{"preferred_username": "a\u202eb", "upn": "ada"}, domain.Identity{Name: "ada", Principal: user("somebody")}},
		"groups": {map[string]any{"groups": []string{"g1", "g2"}}, domain.Identity{Name: "idp:somebody", Principal: user("somebody"),
			Groups: []domain.Principal{{ID: "idp:g1", Type: domain.Group}, {ID: "idp:g2", Type: domain.Group}}}},
		"one group": {map[string]any{"groups": "g1"}, domain.Identity{Name: "idp:somebody", Principal: user("somebody"), Groups: []domain.Principal{{ID: "idp:g1", Type: domain.Group}}}},
		"application": {map[string]any{"idtyp": "app", "app_displayname": "Pipeline"},
			domain.Identity{Name: "Pipeline", Principal: domain.Principal{ID: "idp:somebody", Type: domain.ServicePrincipal}}},
		"claims that others have": {map[string]any{"oid": "o", "tid": "t", "_claim_names": map[string]any{"groups": "src1"}, "nbf": nil, "iat": nil, "extra": []int{1}},
			domain.Identity{Name: "idp:somebody", Principal: user("somebody")}},
	} {
		if diff := cmp.Diff(c.want, e.accepted(e.token(c.members))); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	if n := e.issuer.Fetches(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
}

func TestEveryAlgorithm(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	elliptical := func(c elliptic.Curve) crypto.Signer {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e := start(t)
	for algorithm, key := range map[jose.SignatureAlgorithm]crypto.Signer{
		jose.RS256: rsaKey, jose.RS384: rsaKey, jose.RS512: rsaKey, jose.PS256: rsaKey, jose.PS384: rsaKey, jose.PS512: rsaKey,
		jose.ES256: elliptical(elliptic.P256()), jose.ES384: elliptical(elliptic.P384()), jose.ES512: elliptical(elliptic.P521()), jose.EdDSA: edKey,
	} {
		e.pass(time.Minute)
		e.issuer.Use(key, algorithm)
		e.accepted(e.token(nil))
	}
}

func TestClocksMayDiffer(t *testing.T) {
	t.Parallel()
	e := start(t)
	at := func(d time.Duration) int64 { return e.now.Add(d).Unix() }
	for name, c := range map[string]struct {
		members map[string]any
		cause   string // of a refusal
	}{
		"expired just now":      {map[string]any{"exp": at(-50 * time.Second)}, ""},
		"expired":               {map[string]any{"exp": at(-70 * time.Second)}, "expired"},
		"valid soon":            {map[string]any{"nbf": at(50 * time.Second)}, ""},
		"valid later":           {map[string]any{"nbf": at(70 * time.Second)}, "not valid yet"},
		"issued soon":           {map[string]any{"iat": at(50 * time.Second)}, ""},
		"issued in the future":  {map[string]any{"iat": at(70 * time.Second)}, "issued in the future"},
		"valid for ever":        {map[string]any{"exp": nil}, "for ever"},
		"fractions of a second": {map[string]any{"exp": float64(at(time.Minute)) + 0.5}, ""},
	} {
		if c.cause == "" {
			e.accepted(e.token(c.members))
		} else {
			t.Log(name)
			e.refused(e.token(c.members), c.cause)
		}
	}
}

// An issuer that rotates its keys is followed, also where somebody sends tokens with made-up kids all the time; and he
// does not make the issuer be asked more often than every ten seconds.
func TestKeysRotate(t *testing.T) {
	t.Parallel()
	e := start(t)
	old := e.token(nil)
	e.accepted(old)
	for range 3 {
		e.pass(11 * time.Second)
		e.issuer.Rotate()
		e.accepted(e.token(nil))
		e.refused(old, "no key of the issuer")
	}
	other := issuertest.New(t)
	forge := func(kid string) string {
		return issuertest.Sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: other.Key().Key}, map[string]any{"kid": kid}, e.issuer.Claims(audience, nil))
	}
	e.pass(time.Minute)
	before := e.issuer.Fetches()
	valid := e.token(nil)
	var all sync.WaitGroup
	for n := range 100 {
		all.Go(func() { e.refused(forge(fmt.Sprint("made-up-", n)), "no key of the issuer") })
	}
	all.Wait()
	for n := range 20 {
		e.refused(forge(fmt.Sprint("made-up-too-", n)), "no key of the issuer")
	}
	e.accepted(valid) // who has a right token notices nothing
	if n := e.issuer.Fetches() - before; n != 2 {
		t.Errorf("120 tokens with unknown kids made %d fetches", n)
	}
	e.issuer.Rotate()
	e.refused(e.token(nil), "no key of the issuer")
	e.pass(10 * time.Second)
	e.refused(forge("made-up"), "no key of the issuer") // it is this one that asks
	e.accepted(e.token(nil))
}

func TestWithdrawnKeysEnd(t *testing.T) {
	t.Parallel()
	e := start(t)
	old := e.token(map[string]any{"exp": e.now.Add(48 * time.Hour).Unix()})
	e.accepted(old)
	e.issuer.Rotate()
	e.accepted(old) // nobody has told
	e.pass(time.Hour)
	e.refused(old, "no key of the issuer")
}

func TestAnIssuerThatIsDown(t *testing.T) {
	t.Parallel()
	e := start(t)
	unavailable := func(raw string) {
		t.Helper()
		if _, err := e.Identity(t.Context(), raw); !errors.Has(err, errors.ServiceUnavailable) {
			t.Errorf("the error is %v", err)
		}
	}
	raw := e.token(map[string]any{"exp": e.now.Add(48 * time.Hour).Unix()})
	e.issuer.Fail(503)
	for range 20 {
		unavailable(raw)
	}
	if n := e.issuer.Fetches(); n != 2 {
		t.Errorf("the issuer was asked %d times at once", n)
	}
	e.issuer.Fail(0)
	e.pass(10 * time.Second)
	e.accepted(raw)

	// Once its keys are known they are good for a day.
	e.issuer.Fail(500)
	e.pass(23 * time.Hour)
	e.accepted(raw)
	e.pass(time.Hour)
	unavailable(raw)
	if !strings.Contains(e.log.String(), "cannot be fetched") {
		t.Errorf("the log says %s", e.log)
	}
}

func TestAnIssuerThatHangs(t *testing.T) {
	t.Parallel()
	e := start(t)
	raw := e.token(nil)
	e.accepted(raw)
	asked := e.issuer.Hang()
	e.issuer.Rotate()
	unknown := e.token(nil)
	done := make(chan error, 1)
	go func() {
		_, err := e.Identity(t.Context(), unknown)
		done <- err
	}()
	<-asked
	e.accepted(raw) // others go on meanwhile
	if err := <-done; err == nil || errors.Has(err, errors.ServiceUnavailable) {
		t.Errorf("after its bound the error is %v", err)
	}
}

func TestDiscoveryIsChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		document map[string]any
		keys     []any
		says     string
	}{
		"another issuer":  {map[string]any{"issuer": "https://elsewhere.example"}, nil, "is of the issuer"},
		"keys over http":  {map[string]any{"jwks_uri": "http://127.0.0.1:1/keys"}, nil, "not an https address"},
		"no keys":         {nil, []any{}, "none of 0 keys"},
		"useless keys":    {nil, []any{map[string]any{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "kid-1"}, map[string]any{"kty": "new"}}, "none of 2 keys"},
		"an unread one":   {nil, []any{5}, "none of 1 keys"},
		"no key document": {map[string]any{"jwks_uri": 7}, nil, "cannot"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := start(t)
			e.issuer.Document(c.document)
			if c.keys != nil {
				e.issuer.Publish(c.keys...)
			}
			if _, err := e.Identity(t.Context(), e.token(nil)); !errors.Has(err, errors.ServiceUnavailable) || !strings.Contains(e.log.String(), c.says) {
				t.Errorf("%v; the log says %s", err, e.log)
			}
		})
	}
}

// A key that is for something else, or weak, verifies nothing, and one that is not understood does no harm to others.
func TestKeysAreChosen(t *testing.T) {
	t.Parallel()
	e := start(t)
	good := e.issuer.Key()
	encrypting := good.Public()
	encrypting.Use = "enc"
	e.issuer.Publish(map[string]any{"kty": "OKP", "crv": "Ed448", "x": "AA", "kid": "x"}, encrypting)
	if _, err := e.Identity(t.Context(), e.token(nil)); !errors.Has(err, errors.ServiceUnavailable) {
		t.Errorf("a key for encryption verified: %v", err)
	}
	e.pass(time.Minute)
	other := good.Public()
	other.Algorithm = string(jose.ES384)
	e.issuer.Publish(other)
	e.refused(e.token(nil), "no key of the issuer")
	e.pass(time.Minute)
	e.issuer.Publish(map[string]any{"kty": "OKP", "crv": "Ed448", "x": "AA", "kid": good.KeyID}, encrypting, good.Public())
	e.accepted(e.token(nil))
	// A token without a kid is tried with all.
	e.accepted(issuertest.Sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: good.Key}, nil, e.issuer.Claims(audience, nil)))

	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("this Go makes no weak keys:", err)
	}
	e.pass(2 * time.Hour)
	e.issuer.Use(weak, jose.RS256)
	e.refused(e.token(nil), "no key of the issuer")
}

const tenant = "0f0f0f0f-1111-2222-3333-444444444444"

func TestEntra(t *testing.T) {
	t.Parallel()
	e := start(t, func(i *token.Issuer) { i.Tenant, i.Audiences = tenant, []string{"client-id", "api://airlock"} })
	v1, v2 := "https://sts.windows.net/"+tenant+"/", e.issuer.URL+"/"+tenant+"/v2.0"
	of := func(version string, members map[string]any) string {
		claims := map[string]any{"iss": version, "tid": tenant, "oid": "object", "sub": "pairwise", "aud": "client-id"}
		if version == v1 {
			claims["aud"] = "api://airlock"
		}
		for name, value := range members {
			claims[name] = value
		}
		return e.token(claims)
	}
	for _, version := range []string{v1, v2} {
		e.pass(time.Minute)
		e.issuer.Call(version)
		person := e.accepted(of(version, map[string]any{"upn": "ada@example.com", "scp": "user_impersonation", "groups": []string{"g"}}))
		want := domain.Identity{Name: "ada@example.com", Principal: domain.Principal{ID: "idp:object", Type: domain.User}, Groups: []domain.Principal{{ID: "idp:g", Type: domain.Group}}}
		if diff := cmp.Diff(want, person); diff != "" {
			t.Errorf("%s: %s", version, diff)
		}
		if app := e.accepted(of(version, map[string]any{"idtyp": "app", "appid": "client"})); !app.Application() || app.Principal.ID != "idp:object" {
			t.Errorf("%s: the application is %+v", version, app)
		}
		// Without the claim that says so, nobody is taken for an application.
		if app := e.accepted(of(version, map[string]any{"appid": "client", "azp": "client"})); app.Application() {
			t.Errorf("%s: %+v", version, app)
		}
		e.refused(of(version, map[string]any{"tid": "another"}), "tenant")
		e.refused(of(version, map[string]any{"tid": nil}), "tenant")
		e.refused(of(version, map[string]any{"oid": nil}), "no id of a principal")
		e.refused(of(version, map[string]any{"aud": "https://management.azure.com/"}), "audience")
	}
	e.refused(of("https://sts.windows.net/another/", nil), "not configured")
	e.refused(of(e.issuer.URL+"/"+tenant, nil), "not configured")
}

func TestCheckIssuers(t *testing.T) {
	t.Parallel()
	good := token.Issuer{Name: "idp", URL: "https://idp.example/realms/x", Audiences: []string{"a"}}
	entra := token.Issuer{Name: "entra", Tenant: tenant, Audiences: []string{"a"}}
	if err := token.CheckIssuers("https://airlock.example", []token.Issuer{good, entra}); err != nil {
		t.Error(err)
	}
	if a := entra.Authority(); a != "https://login.microsoftonline.com/"+tenant {
		t.Errorf("Entra is at %s", a)
	}
	change := func(f func(*token.Issuer)) token.Issuer {
		i := good
		f(&i)
		return i
	}
	for name, c := range map[string]struct {
		issuer token.Issuer
		target string
	}{
		"no name":             {change(func(i *token.Issuer) { i.Name = "" }), "name"},
		"name of ours":        {change(func(i *token.Issuer) { i.Name = "airlock" }), "name"},
		"name of tokens":      {change(func(i *token.Issuer) { i.Name = "token" }), "name"},
		"name with a colon":   {change(func(i *token.Issuer) { i.Name = "a:b" }), "name"},
		"name with a capital": {change(func(i *token.Issuer) { i.Name = "Entra" }), "name"},
		"name too long":       {change(func(i *token.Issuer) { i.Name = strings.Repeat("a", 32) }), "name"},
		"name twice":          {change(func(i *token.Issuer) { i.Name, i.URL = "entra", "https://x.example" }), "name"},
		"no URL":              {change(func(i *token.Issuer) { i.URL = "" }), "url"},
		"http":                {change(func(i *token.Issuer) { i.URL = "http://idp.example" }), "url"},
		"URL with a query":    {change(func(i *token.Issuer) { i.URL += "?x" }), "url"},
		"this server":         {change(func(i *token.Issuer) { i.URL = "https://airlock.example" }), "url"},
		"URL twice":           {change(func(i *token.Issuer) { i.URL = "https://login.microsoftonline.com/" + tenant + "/v2.0" }), "url"},
		"tenant common":       {change(func(i *token.Issuer) { i.URL, i.Tenant = "", "common" }), "tenant"},
		"no audience":         {change(func(i *token.Issuer) { i.Audiences = nil }), "audiences"},
		"empty audience":      {change(func(i *token.Issuer) { i.Audiences = []string{" "} }), "audiences"},
	} {
		err := token.CheckIssuers("https://airlock.example", []token.Issuer{entra, c.issuer})
		var e *errors.Error
		if !errors.As(err, &e) || e.Code != errors.Usage || e.Target != c.target {
			t.Errorf("%s: %v", name, err)
		}
	}
}
