package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"regexp"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/server/internal/token"
)

// Authenticator knows tokens beside those of Config.Identities and Config.Issuers. Whatever is wrong is an error that
// only the log shows.
type Authenticator interface {
	Authenticate(r *http.Request) (domain.Identity, error)
}

// Developer is whom NewStaticToken lets in.
var Developer = domain.StaticToken{ID: "developer"}.Principal()

type staticToken [sha256.Size]byte

// NewStaticToken takes everybody who brings the one bearer token, compared in constant time, for the developer. An
// empty token lets nobody in: bearer gives none.
func NewStaticToken(token secret.Text) Authenticator {
	return staticToken(sha256.Sum256([]byte(token.Reveal())))
}

func (a staticToken) Authenticate(r *http.Request) (domain.Identity, error) {
	given, err := bearer(r)
	if err != nil {
		return domain.Identity{}, err
	}
	// Sums are of one length, so that not even the token's length shows in the time taken.
	sum := sha256.Sum256([]byte(given))
	if subtle.ConstantTimeCompare(sum[:], a[:]) != 1 {
		return domain.Identity{}, errors.New("not the developer's token")
	}
	return domain.Identity{Name: "developer", Principal: Developer}, nil
}

// Issuer is an identity provider whose tokens are taken.
type Issuer = token.Issuer

// CheckIssuers says what is wrong with the issuers of a configuration, in an error whose target is the field; url is
// Config.URL.
func CheckIssuers(url string, issuers []Issuer) error { return token.CheckIssuers(url, issuers) }

// authenticate finds out who sends a request. Who is not let in is told the same whatever the reason; the log has it.
func (s *Server) authenticate(r *request) (err error) {
	if s.cfg.Authenticator != nil {
		if r.identity, err = s.cfg.Authenticator.Authenticate(r.Request); err == nil {
			return nil
		}
	}
	given, err := bearer(r.Request)
	if err == nil {
		r.identity, err = s.tokens.Identity(r.Context(), given)
	}
	if err == nil || errors.Has(err, errors.ServiceUnavailable) {
		return err
	}
	if r.feed {
		return errors.Because(err, errors.AuthenticationFailed,
			"The package feed needs a token that is valid here: for a push as its API key, else as the password of any user name.")
	}
	return errors.Because(err, errors.AuthenticationFailed,
		"The request needs one Authorization header of the form 'Bearer TOKEN' with a token that is valid here; log in anew, or take another token.")
}

// maxHeader is the most bytes of an Authorization header. Entra's tokens with 200 groups have some 10 KB.
const maxHeader = 16 << 10

// bearerForm is the token in a header (RFC 6750, section 2.1).
var bearerForm = regexp.MustCompile(`^(?i:bearer) +([-A-Za-z0-9._~+/]+=*) *$`)

// bearer is the token of the request's one Authorization header.
func bearer(r *http.Request) (string, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 || len(headers[0]) > maxHeader {
		return "", errors.New("not one Authorization header of at most 16 KiB")
	}
	m := bearerForm.FindStringSubmatch(headers[0])
	if m == nil {
		return "", errors.New("not an Authorization header of the form 'Bearer TOKEN'")
	}
	return m[1], nil
}

// challenge is the WWW-Authenticate header of a server: where tokens come from, for clients of ARM and for those of
// RFC 9728 (section 5.1).
func challenge(url string, issuers []Issuer) string {
	authority := url + "/adfs"
	if len(issuers) > 0 {
		authority = issuers[0].Authority()
	}
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	return `Bearer authorization_uri="` + quoted.Replace(authority) + `", resource_metadata="` + quoted.Replace(url+metadataPath) + `"`
}
