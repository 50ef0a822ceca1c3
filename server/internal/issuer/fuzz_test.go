package issuer

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/server/internal/token"
)

// one is a store with one client.
type one struct{}

const theSecret = "s3cr3t-s3cr3t"

func (one) Client(_ context.Context, id string) (domain.Client, error) {
	if id != "client" {
		return domain.Client{}, errors.Newf(errors.ResourceNotFound, "None.")
	}
	return domain.Client{ID: id, Secrets: []domain.ClientSecret{{ID: "1", Hash: token.Hash(theSecret), Expires: now.Add(time.Hour)}}}, nil
}
func (one) SigningKeys(context.Context) ([]domain.SigningKey, error) { return nil, nil }
func (one) AddSigningKey(context.Context, domain.SigningKey) error   { return nil }

// Whatever is sent to the token endpoint is answered in the form of RFC 6749, and shows nobody the secret.
func FuzzToken(f *testing.F) {
	const form = "application/x-www-form-urlencoded"
	good := "grant_type=client_credentials&client_id=client&client_secret=" + theSecret
	for _, seed := range [][3]string{
		{form, "", good}, {form, "Basic Y2xpZW50OnMzY3IzdC1zM2NyM3Q=", "grant_type=client_credentials"}, {form, "Basic !", "grant_type=client_credentials"},
		{form + "; charset=utf-8", "", good + "&scope=https%3A%2F%2Fairlock.example%2F%2F.default"}, {form, "", good + "&resource=x&scope=%zz"}, {";", "Bearer x", "a&&=;"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, contentType, authorization, body string) {
		i := New(Config{URL: "https://airlock.example", Store: one{}, Key: seal.NewKey(), Now: func() time.Time { return now }, NewID: uuid.NewString, Logger: slog.New(slog.DiscardHandler)})
		r := &http.Request{Header: http.Header{"Content-Type": {contentType}}, RemoteAddr: "192.0.2.1:1"}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		answer, err := i.Token(t.Context(), r, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		switch said := answer.Body.(type) {
		case granted:
			// The secret came as it is, in an escape, or as Basic.
			if answer.Status != http.StatusOK || !strings.Contains(body, theSecret) && authorization == "" && !strings.Contains(body, "%") {
				t.Errorf("a token for %q", body)
			}
		case refused:
			if answer.Status < 400 || said.Error == "" || strings.Contains(said.Description, theSecret) {
				t.Errorf("%d %+v", answer.Status, said)
			}
		default:
			t.Errorf("the answer is %+v", answer)
		}
	})
}
