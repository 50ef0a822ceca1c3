package issuer

import (
	"context"
	"crypto/subtle"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/server/internal/token"
)

// Answer is what the token endpoint answers (RFC 6749, sections 5.1 and 5.2).
type Answer struct {
	Status int
	Header http.Header
	Body   any
	Client domain.Client // that a token was given to; none where it was refused
	Cause  string        // of a refusal, for the log
}

type granted struct {
	TokenType    string `json:"token_type"`
	ExpiresIn    any    `json:"expires_in"` // seconds: a number; text in version 1
	ExtExpiresIn any    `json:"ext_expires_in"`
	ExpiresOn    string `json:"expires_on,omitempty"` // version 1 only
	NotBefore    string `json:"not_before,omitempty"`
	Resource     string `json:"resource,omitempty"`
	AccessToken  string `json:"access_token"`
}

type refused struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func refuse(status int, code, description string) Answer {
	return Answer{Status: status, Header: http.Header{}, Body: refused{code, description}, Cause: code + ": " + description}
}

// maxClientID is the most bytes of a client id that are looked up.
const maxClientID = 128

// Token answers a request to the token endpoint whose body is form. An error is the store's.
func (i *Issuer) Token(ctx context.Context, r *http.Request, form []byte) (Answer, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return refuse(http.StatusBadRequest, "invalid_request", "The body must be a form: application/x-www-form-urlencoded."), nil
	}
	values, err := url.ParseQuery(string(form))
	if err != nil {
		return refuse(http.StatusBadRequest, "invalid_request", "The form cannot be read."), nil
	}
	for _, name := range []string{"grant_type", "client_id", "client_secret", "scope", "resource"} {
		if len(values[name]) > 1 {
			return refuse(http.StatusBadRequest, "invalid_request", name+" is there twice."), nil
		}
	}
	switch values.Get("grant_type") {
	case "client_credentials":
	case "":
		return refuse(http.StatusBadRequest, "invalid_request", "grant_type is missing; it must be client_credentials."), nil
	default:
		return refuse(http.StatusBadRequest, "unsupported_grant_type", "grant_type must be client_credentials: this server gives tokens to service principals only."), nil
	}
	client, secret, bad := credentials(r, values)
	if bad != "" {
		return refuse(http.StatusBadRequest, "invalid_request", bad), nil
	}
	answer, err := i.grant(ctx, r, values, client, secret)
	if answer.Status == http.StatusUnauthorized && r.Header.Get("Authorization") != "" {
		answer.Header.Set("WWW-Authenticate", `Basic realm="Airlock"`) // RFC 6749, section 5.2
	}
	return answer, err
}

// credentials reads client id and secret, from the form or as Basic (RFC 6749, section 2.3.1), and says what is wrong
// with them, "" for nothing.
func credentials(r *http.Request, form url.Values) (client, secret, bad string) {
	client, secret = form.Get("client_id"), form.Get("client_secret")
	if headers := r.Header.Values("Authorization"); len(headers) > 0 {
		id, password, ok := r.BasicAuth()
		id, wrong := url.QueryUnescape(id)
		password, wrong2 := url.QueryUnescape(password)
		switch {
		case len(headers) > 1 || !ok || wrong != nil || wrong2 != nil:
			return "", "", "The Authorization header must be one, of the form 'Basic' and client id and secret."
		case secret != "" || client != "" && client != id:
			return "", "", "The client proves itself in two ways; leave one out."
		}
		client, secret = id, password
	}
	switch {
	case client == "" || len(client) > maxClientID:
		return "", "", "client_id is missing or too long."
	case secret == "":
		return "", "", "client_secret is missing; this server takes no other proof."
	}
	return client, secret, ""
}

func (i *Issuer) grant(ctx context.Context, r *http.Request, form url.Values, id, secret string) (Answer, error) {
	now := i.cfg.Now()
	client, err := i.cfg.Store.Client(ctx, strings.ToLower(id))
	if err != nil && !errors.Has(err, errors.ResourceNotFound) {
		return Answer{}, err
	}
	var used domain.ClientSecret
	var found bool
	wait := i.guesses.try(sourceOf(r.RemoteAddr), strings.ToLower(id), now, func() bool {
		used, found = match(client.Secrets, secret)
		return found
	})
	if wait > 0 {
		a := refuse(http.StatusTooManyRequests, "temporarily_unavailable", "There were too many wrong client secrets from this address; wait and try again with the right one.")
		a.Header.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		return a, nil
	}
	if !found {
		return refuse(http.StatusUnauthorized, "invalid_client", "The client id or the client secret is wrong."), nil
	}
	if !now.Before(used.Expires) {
		return refuse(http.StatusUnauthorized, "invalid_client", "The client secret has expired; take a newer one, or have one added with `airlock service-principal add-secret`."), nil
	}
	if code, description := i.checkScope(form); code != "" {
		return refuse(http.StatusBadRequest, code, description), nil
	}
	signed, lifetime, err := i.sign(ctx, client, used)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Status: http.StatusOK, Header: http.Header{}, Client: client, Body: i.granted(form, signed, now, lifetime)}, nil
}

// match finds the secret that was given. It compares with all, each in constant time.
func match(secrets []domain.ClientSecret, given string) (used domain.ClientSecret, found bool) {
	hash := token.Hash(given)
	for _, s := range secrets {
		if subtle.ConstantTimeCompare(s.Hash, hash) == 1 {
			used, found = s, true
		}
	}
	return used, found
}

// checkScope lets nobody have a token for another place by mistake. Clients of version 2 send scope, the address of the
// resource and /.default, the address often with a slash of its own; those of version 1 send resource.
func (i *Issuer) checkScope(form url.Values) (code, description string) {
	known := "This server is known as " + i.cfg.URL + "; "
	if resource := form.Get("resource"); resource != "" && !i.isUs(resource) {
		return "invalid_target", known + "resource names another one." // RFC 8707, section 2
	}
	for _, scope := range strings.Fields(form.Get("scope")) {
		switch scope {
		case "openid", "profile", "offline_access": // libraries add them, and there is nothing behind them
			continue
		}
		resource, ok := strings.CutSuffix(scope, "/.default")
		if !ok || !i.isUs(resource) {
			return "invalid_scope", known + "scope must be " + i.cfg.URL + "/.default."
		}
	}
	return "", ""
}

func (i *Issuer) isUs(resource string) bool {
	return strings.EqualFold(strings.TrimRight(resource, "/"), i.cfg.URL)
}

// granted is the answer in the version in which it was asked for.
func (i *Issuer) granted(form url.Values, signed string, now time.Time, lifetime time.Duration) granted {
	seconds := int64(lifetime / time.Second)
	g := granted{TokenType: "Bearer", ExpiresIn: seconds, ExtExpiresIn: seconds, AccessToken: signed}
	if resource := form.Get("resource"); resource != "" {
		text := strconv.FormatInt(seconds, 10)
		g.ExpiresIn, g.ExtExpiresIn, g.Resource = text, text, resource
		g.NotBefore, g.ExpiresOn = strconv.FormatInt(now.Unix(), 10), strconv.FormatInt(now.Add(lifetime).Unix(), 10)
	}
	return g
}
