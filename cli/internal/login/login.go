package login

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// Provider is an OpenID provider, or Airlock's own token endpoint.
type Provider struct {
	issuer   string
	endpoint oauth2.Endpoint
	http     *http.Client
}

// Discover finds out the endpoints of an issuer (OpenID Connect Discovery 1.0). An address of Entra ID may lack the /v2.0
// of the issuer's identifier.
func Discover(ctx context.Context, issuer string, client *http.Client) (*Provider, error) {
	if !strings.HasPrefix(issuer, "https://") {
		return nil, errors.Newf(errors.Usage, "An issuer is an https:// address, not %q.", issuer)
	}
	ctx = oidc.ClientContext(ctx, client)
	found, err := oidc.NewProvider(ctx, issuer)
	if err != nil && !strings.HasSuffix(issuer, "/v2.0") && ctx.Err() == nil {
		var again error
		if found, again = oidc.NewProvider(ctx, strings.TrimSuffix(issuer, "/")+"/v2.0"); again == nil {
			err = nil
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, errors.Because(err, errors.ServerUnreachable, "The issuer %s does not answer as an OpenID provider does (%v): check its address, and that this machine trusts its certificate.", issuer, err)
	}
	p := &Provider{issuer, found.Endpoint(), client}
	for _, u := range []string{p.endpoint.TokenURL, p.endpoint.DeviceAuthURL} {
		if u != "" && !strings.HasPrefix(u, "https://") {
			return nil, errors.Newf(errors.ServerUnreachable, "The issuer %s names an endpoint that is not https:// (%.200q): nothing was sent there.", issuer, u)
		}
	}
	p.endpoint.AuthStyle = oauth2.AuthStyleInParams
	return p, nil
}

// ClientSecret gets a token for a service principal (RFC 6749, section 4.4).
func (p *Provider) ClientSecret(ctx context.Context, id string, value secret.Text, scopes []string) (l Login, err error) {
	c := clientcredentials.Config{
		ClientID: id, ClientSecret: value.Reveal(), TokenURL: p.endpoint.TokenURL, Scopes: scopes, AuthStyle: oauth2.AuthStyleInParams,
	}
	t, err := c.Token(context.WithValue(ctx, oauth2.HTTPClient, p.http))
	if err != nil {
		return l, p.refused(ctx, err)
	}
	return Login{Token: t.AccessToken, Expires: t.Expiry}, nil
}

// Device gets a token for a person, who opens an address in a browser, on whatever device, and enters a code there (RFC
// 8628). It tells both by ask, and waits until that has happened or the code has expired.
func (p *Provider) Device(ctx context.Context, clientID string, scopes []string, ask func(address, code string)) (l Login, err error) {
	if p.endpoint.DeviceAuthURL == "" {
		return l, errors.Newf(errors.Usage, "The issuer %s has no device code: log in with a client secret, or by az.", p.issuer)
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, p.http)
	c := oauth2.Config{ClientID: clientID, Endpoint: p.endpoint, Scopes: scopes}
	code, err := c.DeviceAuth(ctx)
	if err != nil {
		return l, p.refused(ctx, err)
	}
	code.Interval = max(code.Interval, 0) // a ticker panics below that
	ask(code.VerificationURI, code.UserCode)
	t, err := c.DeviceAccessToken(ctx, code)
	if err != nil {
		return l, p.refused(ctx, err)
	}
	l = Login{Token: t.AccessToken, Expires: t.Expiry}
	if t.RefreshToken != "" {
		l.Refresh = &Refresh{t.RefreshToken, p.endpoint.TokenURL, clientID, scopes}
	}
	return l, nil
}

// refused says why there is no token. The issuer's own words are for the person who logs in.
func (p *Provider) refused(ctx context.Context, err error) error {
	e, ok := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Cause(ctx)
	case errors.Is(err, context.DeadlineExceeded), ok && e.ErrorCode == "expired_token":
		return errors.Because(err, errors.AuthenticationFailed, "Nobody entered the code in time: run `airlock login` again.")
	case ok && e.ErrorCode == "access_denied":
		return errors.Because(err, errors.AuthenticationFailed, "The login was declined.")
	case ok:
		why := cmp.Or(e.ErrorDescription, e.ErrorCode, e.Response.Status)
		return errors.Because(err, errors.AuthenticationFailed, "The issuer %s gives no token: %s", p.issuer, oneLine(why))
	}
	return errors.Because(err, errors.ServerUnreachable, "The issuer %s cannot be reached, or its answer is no token: %s", p.issuer, oneLine(err.Error()))
}

// oneLine makes a sentence of foreign text.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if len(text) > 500 {
		text = strings.ToValidUTF8(text[:500], "") + "…"
	}
	return strings.TrimSuffix(text, ".") + "."
}

// Az gets a token from az, for a resource (an address or an application's id).
func Az(ctx context.Context, resource string) (l Login, err error) {
	cmd := exec.CommandContext(ctx, "az", "account", "get-access-token", "--resource", resource, "--output", "json")
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return l, context.Cause(ctx)
	}
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return l, errors.Because(err, errors.AuthenticationFailed, "az gives no token for %s: %s", resource, oneLine(string(e.Stderr)))
	}
	if err != nil {
		return l, errors.Because(err, errors.Usage, "az cannot be run (%v): install it, or log in another way.", err)
	}
	var answer struct {
		AccessToken string `json:"accessToken"`
		Expires     int64  `json:"expires_on"` // seconds since 1970; az has it since 2.54
		ExpiresOn   string `json:"expiresOn"`  // local time
	}
	if err := json.Unmarshal(out, &answer); err != nil || answer.AccessToken == "" {
		return l, errors.Because(err, errors.AuthenticationFailed, "az gives no token for %s: its answer has another form than expected.", resource)
	}
	l = Login{Token: answer.AccessToken, Az: resource}
	if answer.Expires > 0 {
		l.Expires = time.Unix(answer.Expires, 0)
	} else if t, err := time.ParseInLocation("2006-01-02 15:04:05.999999", answer.ExpiresOn, time.Local); err == nil {
		l.Expires = t
	}
	return l, nil
}

// Token is the token of the login at a server, renewed where it has expired and can be renewed.
func (f File) Token(ctx context.Context, endpoint string, client *http.Client) (string, error) {
	l, found, err := f.Find(endpoint)
	if err != nil {
		return "", err
	}
	if found && !l.valid() && (l.Refresh != nil || l.Az != "") {
		// Renewed by one process at a time: an issuer may take a refresh token once only.
		err = f.change(func(c *content) error {
			if l, found = c.Logins[endpoint]; !found || l.valid() {
				return nil // somebody else was here meanwhile
			}
			if l, err = l.renewed(ctx, client); err == nil {
				c.Logins[endpoint] = l
			}
			return err
		})
	}
	switch {
	case err != nil:
		return "", err
	case !found:
		return "", errors.Newf(errors.AuthenticationFailed, "There is no login at %s: run `airlock login`, or set AIRLOCK_TOKEN.", endpoint)
	case !l.valid():
		return "", errors.Newf(errors.AuthenticationFailed, "The login at %s has expired: run `airlock login` again.", endpoint)
	}
	return l.Token, nil
}

func (l Login) renewed(ctx context.Context, client *http.Client) (Login, error) {
	if l.Az != "" {
		got, err := Az(ctx, l.Az)
		l.Token, l.Expires = got.Token, got.Expires
		return l, err
	}
	r := *l.Refresh
	c := oauth2.Config{ClientID: r.ClientID, Scopes: slices.Clone(r.Scopes), Endpoint: oauth2.Endpoint{TokenURL: r.TokenURL, AuthStyle: oauth2.AuthStyleInParams}}
	t, err := c.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, client), &oauth2.Token{RefreshToken: r.Token}).Token()
	if ctx.Err() != nil {
		return l, context.Cause(ctx)
	}
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return l, errors.Because(err, errors.AuthenticationFailed, "The login at %s has expired, and the issuer does not renew it (%s): run `airlock login` again.", l.Endpoint, cmp.Or(e.ErrorCode, e.Response.Status))
	}
	if err != nil {
		return l, errors.Because(err, errors.ServerUnreachable, "The login at %s has expired, and the issuer that would renew it cannot be reached: %s", l.Endpoint, oneLine(fmt.Sprint(err)))
	}
	r.Token = cmp.Or(t.RefreshToken, r.Token)
	l.Token, l.Expires, l.Refresh = t.AccessToken, t.Expiry, &r
	return l, nil
}
