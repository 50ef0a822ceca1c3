package server

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/iso8601"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/server/internal/role"
	"github.com/airlock-run/airlock/server/internal/token"
)

// Identities keeps who there is beside the principals of other issuers, and the keys of Airlock's own tokens. What does
// not exist is ResourceNotFound. Who is removed loses his roles with it; the last one to have the role keep is a Conflict.
// To whom a secret or token was shown can act as its principal: the reviews of packages go by that.
type Identities interface {
	PutClient(ctx context.Context, c domain.Client) (stored domain.Client, created bool, err error)
	Client(ctx context.Context, id string) (domain.Client, error)
	Clients(ctx context.Context) ([]domain.Client, error)
	DeleteClient(ctx context.Context, id, keep string) (existed bool, err error)
	AddClientSecret(ctx context.Context, client string, s domain.ClientSecret, shownTo domain.Principal) error
	RemoveClientSecret(ctx context.Context, client, secret string) error

	AddStaticToken(ctx context.Context, t domain.StaticToken, shownTo domain.Principal) error
	StaticTokens(ctx context.Context) ([]domain.StaticToken, error)
	StaticTokenByHash(ctx context.Context, hash []byte) (domain.StaticToken, error)
	DeleteStaticToken(ctx context.Context, id, keep string) (existed bool, err error)

	SigningKeys(ctx context.Context) ([]domain.SigningKey, error)
	AddSigningKey(ctx context.Context, k domain.SigningKey) error
}

// Enroll makes the service principal with the name where there is none with the id (a GUID), and gives it a new secret,
// which is kept as a hash only, in the place of all that it had.
func Enroll(ctx context.Context, store Identities, id, name string, lifetime time.Duration, now time.Time) (secret.Text, error) {
	client, _, err := store.PutClient(ctx, domain.Client{ID: id, Name: name, Created: now})
	if err != nil {
		return secret.Text{}, err
	}
	for _, old := range client.Secrets {
		if err := store.RemoveClientSecret(ctx, id, old.ID); err != nil {
			return secret.Text{}, err
		}
	}
	value, s := newSecret(lifetime, now)
	return secret.New(value), store.AddClientSecret(ctx, id, s, domain.Principal{})
}

// random is 256 bits that need no quoting anywhere.
func random() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func newSecret(lifetime time.Duration, now time.Time) (value string, s domain.ClientSecret) {
	value = random()
	return value, domain.ClientSecret{ID: uuid.NewString(), Hash: token.Hash(value), Created: now, Expires: now.Add(lifetime)}
}

// How long secrets and static tokens are valid.
const (
	defaultLifetime = 180 * 24 * time.Hour
	leastLifetime   = time.Minute
	mostLifetime    = 2 * 365 * 24 * time.Hour
)

// lifetime reads a duration of the body.
func lifetime(o object) (time.Duration, error) {
	text, there, err := o.text("lifetime")
	if err != nil || !there {
		return defaultLifetime, err
	}
	d, err := iso8601.Parse(text)
	if err != nil || d < leastLifetime || d > mostLifetime {
		return 0, errors.Because(err, errors.InvalidRequestContent, "The lifetime %.60q is not a duration from one minute to two years; write one such as P90D.", text).At(o.at("lifetime"))
	}
	return d, nil
}

// named is the name that a body gives: at most 120 characters that show as they are.
func named(o object) (string, error) {
	text, _, err := o.text("displayName")
	if err != nil {
		return "", err
	}
	text = strings.TrimSpace(text)
	if text == "" || len([]rune(text)) > 120 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", errors.Newf(errors.InvalidRequestContent, "%s must be a name of at most 120 characters that can be printed.", o.at("displayName")).At(o.at("displayName"))
	}
	return text, nil
}

type clientProperties struct {
	DisplayName string                   `json:"displayName"`
	ClientID    string                   `json:"clientId"`
	PrincipalID string                   `json:"principalId"`
	CreatedAt   time.Time                `json:"createdAt"`
	Secrets     []clientSecretProperties `json:"secrets"`
}

type clientSecretProperties struct {
	SecretID  string    `json:"secretId"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"`
}

func clientResource(c domain.Client) resource[clientProperties] {
	p := clientProperties{DisplayName: c.Name, ClientID: c.ID, PrincipalID: c.Principal().ID, CreatedAt: c.Created, Secrets: []clientSecretProperties{}}
	for _, s := range c.Secrets {
		p.Secrets = append(p.Secrets, clientSecretProperties{s.ID, s.Created, s.Expires})
	}
	return resource[clientProperties]{ID: servicePrincipals + "/" + c.ID, Name: c.ID, Type: ownProvider + "/servicePrincipals", Properties: p}
}

var guid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// guidOf reads a path's variable that is a GUID.
func (r *request) guidOf(variable string) (string, error) {
	id := strings.ToLower(r.vars[variable])
	if !guid.MatchString(id) {
		return "", errors.Newf(errors.InvalidResourceName, "The %s %.60q is not allowed; its name is a GUID.", words(variable), r.vars[variable]).At(variable)
	}
	return id, nil
}

func (s *Server) listServicePrincipals(a *answer, r *request) error {
	clients, err := s.cfg.Identities.Clients(r.Context())
	if err != nil {
		return err
	}
	out := list[resource[clientProperties]]{Value: []resource[clientProperties]{}}
	for _, c := range clients {
		out.Value = append(out.Value, clientResource(c))
	}
	return a.send(http.StatusOK, out)
}

func (s *Server) getServicePrincipal(a *answer, r *request) error {
	id, err := r.guidOf("servicePrincipal")
	if err != nil {
		return err
	}
	c, err := s.cfg.Identities.Client(r.Context(), id)
	if err != nil {
		return err
	}
	return a.send(http.StatusOK, clientResource(c))
}

func (s *Server) putServicePrincipal(a *answer, r *request) error {
	id, err := r.guidOf("servicePrincipal")
	if err != nil {
		return err
	}
	properties, err := r.readProperties(a)
	if err != nil {
		return err
	}
	name, err := named(properties)
	if err != nil {
		return err
	}
	c, created, err := s.cfg.Identities.PutClient(r.Context(), domain.Client{ID: id, Name: name, Created: s.cfg.Now()})
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return a.send(status, clientResource(c))
}

func (s *Server) deleteServicePrincipal(a *answer, r *request) error {
	id, err := r.guidOf("servicePrincipal")
	if err != nil {
		return err
	}
	existed, err := s.cfg.Identities.DeleteClient(r.Context(), id, s.kept())
	return a.removed(existed, err)
}

// kept is the role that somebody must have.
func (s *Server) kept() string {
	if len(s.cfg.Providers) > 0 {
		return ""
	}
	return role.Provider
}

// removed answers a DELETE.
func (a *answer) removed(existed bool, err error) error {
	switch {
	case err != nil:
		return err
	case existed:
		a.WriteHeader(http.StatusOK)
	default:
		a.WriteHeader(http.StatusNoContent)
	}
	return nil
}

// addSecret makes a secret and shows it, once.
func (s *Server) addSecret(a *answer, r *request) error {
	id, err := r.guidOf("servicePrincipal")
	if err != nil {
		return err
	}
	body, err := r.readOptional(a)
	if err != nil {
		return err
	}
	life, err := lifetime(body)
	if err != nil {
		return err
	}
	value, made := newSecret(life, s.cfg.Now())
	if err := s.cfg.Identities.AddClientSecret(r.Context(), id, made, r.identity.Principal); err != nil {
		return err
	}
	return a.send(http.StatusOK, struct {
		clientSecretProperties
		ClientID     string `json:"clientId"`
		ClientSecret string `json:"clientSecret"`
	}{clientSecretProperties{made.ID, made.Created, made.Expires}, id, value})
}

func (s *Server) removeSecret(a *answer, r *request) error {
	id, err := r.guidOf("servicePrincipal")
	if err != nil {
		return err
	}
	body, err := r.readObject(a)
	if err != nil {
		return err
	}
	which, _, err := body.text("secretId")
	if err != nil {
		return err
	}
	if err := s.cfg.Identities.RemoveClientSecret(r.Context(), id, strings.ToLower(which)); err != nil {
		return err
	}
	a.WriteHeader(http.StatusOK)
	return nil
}

// readOptional reads a body that is a JSON object, or none.
func (r *request) readOptional(a *answer) (object, error) {
	data, err := r.readJSON(a)
	if err != nil || data == nil {
		return object{}, err
	}
	return asObject("", data)
}

type tokenProperties struct {
	DisplayName string    `json:"displayName"`
	PrincipalID string    `json:"principalId"`
	CreatedAt   time.Time `json:"createdAt"`
	ExpiresAt   time.Time `json:"expiresAt"`
	Token       string    `json:"token,omitempty"` // when it is made, and never again
}

func tokenResource(t domain.StaticToken, value string) resource[tokenProperties] {
	p := tokenProperties{t.Name, t.Principal().ID, t.Created, t.Expires, value}
	return resource[tokenProperties]{ID: staticTokens + "/" + t.ID, Name: t.ID, Type: ownProvider + "/tokens", Properties: p}
}

func (s *Server) listTokens(a *answer, r *request) error {
	tokens, err := s.cfg.Identities.StaticTokens(r.Context())
	if err != nil {
		return err
	}
	out := list[resource[tokenProperties]]{Value: []resource[tokenProperties]{}}
	for _, t := range tokens {
		out.Value = append(out.Value, tokenResource(t, ""))
	}
	return a.send(http.StatusOK, out)
}

// postStaticToken makes a static token and shows it, once.
func (s *Server) postStaticToken(a *answer, r *request) error {
	properties, err := r.readProperties(a)
	if err != nil {
		return err
	}
	name, err := named(properties)
	if err != nil {
		return err
	}
	life, err := lifetime(properties)
	if err != nil {
		return err
	}
	value, now := token.StaticPrefix+random(), s.cfg.Now()
	t := domain.StaticToken{ID: uuid.NewString(), Name: name, Hash: token.Hash(value), Created: now, Expires: now.Add(life)}
	if err := s.cfg.Identities.AddStaticToken(r.Context(), t, r.identity.Principal); err != nil {
		return err
	}
	return a.send(http.StatusCreated, tokenResource(t, value))
}

func (s *Server) deleteStaticToken(a *answer, r *request) error {
	id, err := r.guidOf("token")
	if err != nil {
		return err
	}
	existed, err := s.cfg.Identities.DeleteStaticToken(r.Context(), id, s.kept())
	return a.removed(existed, err)
}
