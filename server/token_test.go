package server_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/server"
	"github.com/airlock-run/airlock/server/internal/role"
)

type tokenReply struct {
	TokenType   string `json:"token_type"`
	ExpiresIn   any    `json:"expires_in"`
	AccessToken string `json:"access_token"`
	ExpiresOn   string `json:"expires_on"`
	Resource    string
	Error       string
	Description string `json:"error_description"`
}

// form posts a form without a bearer token.
func (e *env) form(path, form string, headers ...string) reply {
	e.t.Helper()
	return e.do("POST", path, form, append([]string{"Authorization", "", "Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}

func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.enroll().Reveal()
	id := "grant_type=client_credentials&client_id=" + clientID
	post := id + "&client_secret=" + s
	basic := func(id, s string) []string {
		return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(s)))}
	}
	scope := func(s string) string { return post + "&scope=" + url.QueryEscape(s) }
	for name, c := range map[string]struct {
		form    string
		headers []string
		status  int
		code    string
		says    string
	}{
		"post":                   {post, nil, 200, "", ""},
		"basic":                  {"grant_type=client_credentials", basic(clientID, s), 200, "", ""},
		"basic and client_id":    {id, basic(clientID, s), 200, "", ""},
		"client id in capitals":  {strings.Replace(post, clientID, strings.ToUpper(clientID), 1), nil, 200, "", ""},
		"what MSAL adds":         {scope(e.https.URL+"//.default openid offline_access profile") + "&client_info=1&claims=%7B%7D&x-client-SKU=MSAL", nil, 200, "", ""},
		"scope":                  {scope(e.https.URL + "/.default"), nil, 200, "", ""},
		"with a charset":         {post, []string{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}, 200, "", ""},
		"scope elsewhere":        {scope("https://management.azure.com/.default"), nil, 400, "invalid_scope", "known as " + e.https.URL},
		"scope of no resource":   {scope("user.read"), nil, 400, "invalid_scope", ""},
		"resource elsewhere":     {post + "&resource=https%3A%2F%2Fmanagement.azure.com%2F", nil, 400, "invalid_target", ""},
		"wrong secret":           {id + "&client_secret=" + s + "x", nil, 401, "invalid_client", "is wrong"},
		"wrong client":           {strings.Replace(post, clientID, "00000000-0000-0000-0000-000000000000", 1), nil, 401, "invalid_client", "is wrong"},
		"wrong basic":            {"grant_type=client_credentials", basic(clientID, "x"), 401, "invalid_client", "is wrong"},
		"no secret":              {id, nil, 400, "invalid_request", "client_secret is missing"},
		"no client":              {"grant_type=client_credentials&client_secret=" + s, nil, 400, "invalid_request", "client_id is missing"},
		"client too long":        {"grant_type=client_credentials&client_secret=x&client_id=" + strings.Repeat("a", 200), nil, 400, "invalid_request", "too long"},
		"two ways":               {post, basic(clientID, s), 400, "invalid_request", "two ways"},
		"two clients":            {"grant_type=client_credentials&client_id=other", basic(clientID, s), 400, "invalid_request", "two ways"},
		"a bearer token":         {post, []string{"Authorization", "Bearer " + token}, 400, "invalid_request", "Basic"},
		"basic of nothing":       {id, []string{"Authorization", "Basic !"}, 400, "invalid_request", "Basic"},
		"no grant":               {"client_id=x&client_secret=y", nil, 400, "invalid_request", "grant_type is missing"},
		"a password":             {strings.Replace(post, "client_credentials", "password", 1), nil, 400, "unsupported_grant_type", "service principals only"},
		"secret twice":           {post + "&client_secret=" + s, nil, 400, "invalid_request", "client_secret is there twice"},
		"not a form":             {`{"grant_type":"client_credentials"}`, []string{"Content-Type", "application/json"}, 400, "invalid_request", "must be a form"},
		"a form that is no form": {post + "&a=%zz", nil, 400, "invalid_request", "cannot be read"},
		"semicolons":             {strings.ReplaceAll(post, "&", ";"), nil, 400, "invalid_request", ""},
		"nothing":                {"", nil, 400, "invalid_request", ""},
	} {
		for _, path := range []string{"/adfs/oauth2/token", "/" + subscription + "/oauth2/v2.0/token"} {
			got := e.form(path+"?client_secret=ignored", c.form, c.headers...)
			answer := decode[tokenReply](t, got)
			if got.StatusCode != c.status || answer.Error != c.code || !strings.Contains(answer.Description, c.says) || (answer.AccessToken != "") != (c.status == 200) {
				t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
			}
			if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("Pragma") != "no-cache" || !strings.HasPrefix(got.Header.Get("Content-Type"), "application/json") {
				t.Errorf("%s: %v", name, got.Header)
			}
			if challenge := got.Header.Get("WWW-Authenticate"); (challenge != "") != (c.status == 401 && c.headers != nil) {
				t.Errorf("%s: WWW-Authenticate %q", name, challenge)
			}
			if c.status == 200 {
				e.do("GET", cloudPath, "", "Authorization", "Bearer "+answer.AccessToken).want(t, 200, "")
				if answer.TokenType != "Bearer" || answer.ExpiresIn.(float64) > 3600 || answer.ExpiresIn.(float64) < 3500 {
					t.Errorf("%s: %s", name, got.body)
				}
			}
		}
	}
	v1 := decode[tokenReply](t, e.form("/adfs/oauth2/token", post+"&resource="+url.QueryEscape(e.https.URL+"/")))
	if _, text := v1.ExpiresIn.(string); !text || v1.ExpiresOn == "" || v1.Resource != e.https.URL+"/" || v1.AccessToken == "" {
		t.Errorf("the answer of version 1 is %+v", v1)
	}
	if strings.Contains(e.log.String(), s) || strings.Contains(fmt.Sprint(e.audit.list()), s) {
		t.Error("log or audit show the secret")
	}
	for _, event := range e.audit.list() {
		if event.Actor != "Pipeline (airlock:"+clientID+")" || event.Action != "Airlock/token/action" {
			t.Fatalf("the audit has %+v", event)
		}
	}
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	e := start(t)
	get := func(path string) map[string]any {
		t.Helper()
		return decode[map[string]any](t, e.do("GET", path, "", "Authorization", "").want(t, 200, ""))
	}
	for path, at := range map[string]string{
		"/adfs/adfs/.well-known/openid-configuration":                  "/adfs/oauth2/token",
		"/adfs/.well-known/openid-configuration":                       "/adfs/oauth2/token",
		"/.well-known/openid-configuration":                            "/adfs/oauth2/token",
		"/.well-known/oauth-authorization-server":                      "/adfs/oauth2/token",
		"/common/.well-known/openid-configuration":                     "/common/oauth2/v2.0/token",
		"/" + subscription + "/v2.0/.well-known/openid-configuration/": "/" + subscription + "/oauth2/v2.0/token",
	} {
		d, issuer := get(path), e.https.URL
		if strings.HasPrefix(path, "/adfs/adfs/") { // az takes the tenant from its path
			issuer += "/adfs"
		}
		if d["issuer"] != issuer || d["token_endpoint"] != e.https.URL+at || !strings.HasSuffix(d["authorization_endpoint"].(string), "/authorize") || d["jwks_uri"] != e.https.URL+"/.well-known/jwks.json" {
			t.Errorf("%s: %v", path, d)
		}
	}
	meta := get("/.well-known/oauth-protected-resource")
	if meta["resource"] != e.https.URL || fmt.Sprint(meta["authorization_servers"]) != "["+e.https.URL+"]" {
		t.Errorf("the resource's metadata are %v", meta)
	}
	keys := get("/.well-known/jwks.json")["keys"].([]any)
	key := keys[0].(map[string]any)
	if len(keys) != 1 || key["kty"] != "EC" || key["d"] != nil || key["kid"] == "" {
		t.Errorf("the key set is %v", keys)
	}
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(e.token(e.enroll()), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(claims, &c); err != nil || c["iss"] != e.https.URL || c["aud"] != e.https.URL || c["sub"] != clientID || c["idtyp"] != "app" || c["exp"].(float64)-c["iat"].(float64) != 3600 {
		t.Errorf("the claims are %s", claims)
	}
}

// A secret is followed by the next one without a gap; what is removed ends at once.
func TestSecretsAreRotated(t *testing.T) {
	t.Parallel()
	var late atomic.Int64
	e := start(t, func(c *server.Config) { c.Now = func() time.Time { return time.Now().Add(time.Duration(late.Load())) } })
	path := "/providers/Airlock/servicePrincipals/" + clientID
	e.do("PUT", path, `{"properties":{"displayName":" Pipeline "}}`).want(t, 201, "")
	e.give(role.Reader, groupScope, domain.Client{ID: clientID}.Principal())
	type added struct{ SecretID, ClientID, ClientSecret string }
	add := func() added {
		t.Helper()
		a := decode[added](t, e.do("POST", path+"/addSecret", `{"lifetime":"PT2H"}`).want(t, 200, ""))
		if a.ClientID != clientID || len(a.ClientSecret) != 43 {
			t.Errorf("the secret is %+v", a)
		}
		return a
	}
	works := func(raw string) bool {
		t.Helper()
		return e.do("GET", cloudPath, "", "Authorization", "Bearer "+raw).StatusCode == 200
	}
	try := func(s string) int {
		return e.form("/adfs/oauth2/token", "grant_type=client_credentials&client_id="+clientID+"&client_secret="+s).StatusCode
	}
	one := add()
	tokenOne := e.token(secret.New(one.ClientSecret))
	two := add()
	tokenTwo := e.token(secret.New(two.ClientSecret))
	if !works(tokenOne) || !works(tokenTwo) {
		t.Error("one of two secrets does not work")
	}
	e.do("POST", path+"/removeSecret", `{"secretId":"`+one.SecretID+`"}`).want(t, 200, "")
	if works(tokenOne) || try(one.ClientSecret) != 401 {
		t.Error("a removed secret works")
	}
	if !works(tokenTwo) || try(two.ClientSecret) != 200 {
		t.Error("the other secret does not work")
	}
	late.Store(int64(62 * time.Minute))
	if works(tokenTwo) {
		t.Error("a token is valid for more than an hour")
	}
	late.Store(int64(90 * time.Minute))
	got := decode[tokenReply](t, e.form("/adfs/oauth2/token", "grant_type=client_credentials&client_id="+clientID+"&client_secret="+two.ClientSecret))
	if left := got.ExpiresIn.(float64); left > 1800 {
		t.Errorf("the token outlives its secret: %v s", left)
	}
	late.Store(int64(122 * time.Minute))
	if works(got.AccessToken) || try(two.ClientSecret) != 401 {
		t.Error("an expired secret works")
	}
	late.Store(0)
	three := add()
	tokenThree := e.token(secret.New(three.ClientSecret))
	e.do("DELETE", path, "").want(t, 200, "")
	e.do("DELETE", path, "").want(t, 204, "")
	if works(tokenThree) || try(three.ClientSecret) != 401 {
		t.Error("a removed service principal works")
	}
	// Another one with the same id is another one.
	e.do("PUT", path, `{"properties":{"displayName":"Other"}}`).want(t, 201, "")
	add()
	if works(tokenThree) {
		t.Error("the token of a removed service principal works for its successor")
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	t.Parallel()
	var late atomic.Int64
	begin := time.Now()
	e := start(t, func(c *server.Config) { c.Now = func() time.Time { return begin.Add(time.Duration(late.Load())) } })
	s := e.enroll().Reveal()
	guess := func(s string) reply {
		return e.form("/adfs/oauth2/token", "grant_type=client_credentials&client_id="+clientID+"&client_secret="+s)
	}
	for range 100 { // a right secret costs nothing
		if got := guess(s); got.StatusCode != 200 {
			t.Fatalf("%d %s", got.StatusCode, got.body)
		}
	}
	var wrong, slowed atomic.Int32
	var all sync.WaitGroup
	for n := range 50 {
		all.Go(func() {
			switch got := guess(fmt.Sprint("guess-", n)); got.StatusCode {
			case 401:
				wrong.Add(1)
			case http.StatusTooManyRequests:
				slowed.Add(1)
				if got.Header.Get("Retry-After") == "" || decode[tokenReply](t, got).Error != "temporarily_unavailable" {
					t.Errorf("%v %s", got.Header, got.body)
				}
			default:
				t.Errorf("%d %s", got.StatusCode, got.body)
			}
		})
	}
	all.Wait()
	if wrong.Load() != 10 || slowed.Load() != 40 {
		t.Errorf("%d guesses were looked at, %d slowed down", wrong.Load(), slowed.Load())
	}
	late.Store(int64(30 * time.Minute))
	if got := guess(s); got.StatusCode != 200 {
		t.Errorf("after a time: %d %s", got.StatusCode, got.body)
	}
}

// What az and the SDKs make of a wrong secret is a sentence.
func TestAzidentityIsRefused(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.enroll()
	_, err := e.azidentity("wrong").GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{e.https.URL + "//.default"}})
	if err == nil || !strings.Contains(err.Error(), "The client id or the client secret is wrong.") {
		t.Errorf("the error is %v", err)
	}
}

// The last Provider does not remove himself, unless the configuration names others.
func TestTheLastProviderIsNotRemoved(t *testing.T) {
	t.Parallel()
	e := start(t, func(c *server.Config) { c.Providers = nil })
	bearer := "Bearer " + e.token(e.enroll())
	e.give(role.Provider, domain.Everywhere, domain.Client{ID: clientID}.Principal())
	path := "/providers/Airlock/servicePrincipals/" + clientID
	e.do("DELETE", path, "", "Authorization", bearer).want(t, 409, errors.Conflict)
	e.do("GET", path, "", "Authorization", bearer).want(t, 200, "")
	e.give(role.Provider, domain.Everywhere, server.Developer)
	e.do("DELETE", path, "", "Authorization", bearer).want(t, 200, "")
	e.do("GET", path, "", "Authorization", bearer).want(t, 401, errors.AuthenticationFailed)
}

// gate is a store in which each look-up of a client waits for open.
type gate struct {
	server.Identities
	arrived, open chan struct{}
}

func (g *gate) Client(ctx context.Context, id string) (domain.Client, error) {
	g.arrived <- struct{}{}
	<-g.open
	return g.Identities.Client(ctx, id)
}

// Many that have the right secret ask at the same moment from one address: none of them is taken for one who guesses.
func TestManyRightSecretsAtOnce(t *testing.T) {
	t.Parallel()
	const many = 40
	g := &gate{arrived: make(chan struct{}, many), open: make(chan struct{})}
	e := start(t, func(c *server.Config) { g.Identities, c.Identities = c.Identities, g })
	form := "grant_type=client_credentials&client_id=" + clientID + "&client_secret=" + e.enroll().Reveal()
	answers := make(chan reply, many)
	for range many {
		go func() { answers <- e.form("/adfs/oauth2/token", form) }()
	}
	var all []reply
	for n := 0; n < many; n++ {
		select {
		case <-g.arrived:
		case r := <-answers:
			all = append(all, r)
		}
	}
	close(g.open)
	for len(all) < many {
		all = append(all, <-answers)
	}
	for _, r := range all {
		if r.StatusCode != 200 {
			t.Fatalf("one of %d is answered %d %s", many, r.StatusCode, r.body)
		}
	}
}
