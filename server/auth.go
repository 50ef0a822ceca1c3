package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// Authenticator finds out who sends a request. Whatever is wrong is AuthenticationFailed, in words that do not help
// to guess.
type Authenticator interface {
	Authenticate(r *http.Request) (domain.Identity, error)
}

type staticToken [sha256.Size]byte

// NewStaticToken takes everybody who brings the one bearer token, compared in constant time, for the developer. An
// empty token lets nobody in: bearer gives none.
func NewStaticToken(token secret.Text) Authenticator {
	return staticToken(sha256.Sum256([]byte(token.Reveal())))
}

func (a staticToken) Authenticate(r *http.Request) (domain.Identity, error) {
	token, err := bearer(r)
	if err != nil {
		return domain.Identity{}, err
	}
	// Sums are of one length, so that not even the token's length shows in the time taken.
	sum := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(sum[:], a[:]) != 1 {
		return domain.Identity{}, errors.Newf(errors.AuthenticationFailed, "The bearer token is not valid here; take the current one (AIRLOCK_TOKEN in dev.env).")
	}
	return domain.Identity{Name: "developer", Principal: domain.Principal{ID: "token:developer", Type: domain.User}}, nil
}

// bearer is the token of the request's one Authorization header (RFC 6750, section 2.1).
func bearer(r *http.Request) (string, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 1 {
		scheme, token, found := strings.Cut(headers[0], " ")
		if token = strings.TrimSpace(token); found && token != "" && strings.EqualFold(scheme, "Bearer") {
			return token, nil
		}
	}
	return "", errors.Newf(errors.AuthenticationFailed, "The request needs one Authorization header of the form 'Bearer TOKEN'.")
}
