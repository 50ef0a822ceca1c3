package token

import (
	"context"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// claims are those of an access token that Airlock reads. Names are compared exactly, and one that is there twice
// makes the token unreadable (go-jose's json).
type claims struct {
	jwt.Claims
	more moreClaims
}

type moreClaims struct {
	Type     string       `json:"idtyp"` // "app" for an application (Entra's optional claim, and Airlock's own tokens)
	Groups   jwt.Audience `json:"groups"`
	ObjectID string       `json:"oid"` // Entra
	Tenant   string       `json:"tid"` // Entra
	SecretID string       `json:"airlock_secret"`

	// For people, the first that is there.
	PreferredUsername string `json:"preferred_username"`
	UPN               string `json:"upn"`
	UniqueName        string `json:"unique_name"`
	Email             string `json:"email"`
	DisplayName       string `json:"app_displayname"`
}

// The most that a subject or a group's id may have, in bytes, and the most groups of one token. Entra leaves the
// groups out of a token from 200 on.
const (
	maxID     = 256
	maxGroups = 1000
)

// identity checks verified claims and makes an identity of them.
func (v *Verifier) identity(ctx context.Context, from *source, c *claims) (domain.Identity, error) {
	if err := v.check(from, c); err != nil {
		return domain.Identity{}, err
	}
	if from.name == domain.AirlockIssuer {
		return v.ownClient(ctx, c)
	}
	id := c.Subject
	if from.tenant != "" {
		id = c.more.ObjectID // sub differs from application to application
	}
	if !ValidID(id) {
		return domain.Identity{}, fmt.Errorf("%.40q is no id of a principal", id)
	}
	identity := domain.Identity{Principal: domain.Principal{ID: from.name + ":" + id, Type: domain.User}}
	if c.more.Type == "app" {
		identity.Principal.Type = domain.ServicePrincipal
	}
	identity.Name = c.name(identity.Principal.ID)
	if len(c.more.Groups) > maxGroups {
		return domain.Identity{}, fmt.Errorf("%d groups are too many", len(c.more.Groups))
	}
	for _, g := range c.more.Groups {
		if !ValidID(g) {
			return domain.Identity{}, fmt.Errorf("%.40q is no id of a group", g)
		}
		identity.Groups = append(identity.Groups, domain.Principal{ID: from.name + ":" + g, Type: domain.Group})
	}
	return identity, nil
}

// check holds the claims to RFC 9068, section 4, but for iss, by which the issuer was found.
func (v *Verifier) check(from *source, c *claims) error {
	if c.Expiry == nil {
		return errors.New("a token without exp is valid for ever")
	}
	if len(from.audiences) == 0 {
		return jwt.ErrInvalidAudience
	}
	if err := c.ValidateWithLeeway(jwt.Expected{AnyAudience: from.audiences, Time: v.cfg.Now()}, Skew); err != nil {
		return err
	}
	if from.tenant != "" && c.more.Tenant != from.tenant {
		return fmt.Errorf("the tenant %.40q is another", c.more.Tenant)
	}
	return nil
}

// ownClient finds the service principal of one of Airlock's own tokens: the token ends with it, and with the secret
// that it was given for.
func (v *Verifier) ownClient(ctx context.Context, c *claims) (domain.Identity, error) {
	client, err := v.cfg.Identities.Client(ctx, c.Subject)
	if errors.Has(err, errors.ResourceNotFound) {
		return domain.Identity{}, fmt.Errorf("the service principal %.40q has been removed", c.Subject)
	}
	if err != nil {
		return domain.Identity{}, unchecked(err)
	}
	for _, s := range client.Secrets {
		if s.ID == c.more.SecretID {
			return domain.Identity{Name: client.Name, Principal: client.Principal()}, nil
		}
	}
	return domain.Identity{}, fmt.Errorf("the secret %.40q of the service principal %s has been removed", c.more.SecretID, client.ID)
}

// ValidID says whether s can be the id of a principal behind its issuer's name: text without spaces at its ends that shows as it is.
func ValidID(s string) bool {
	if s == "" || len(s) > maxID || s[0] == ' ' || s[len(s)-1] == ' ' {
		return false
	}
	return shows(s)
}

func shows(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// name is what people call the identity; issuers let their users choose it, so nothing is decided by it.
func (c *claims) name(id string) string {
	m := c.more
	for _, n := range []string{m.PreferredUsername, m.UPN, m.UniqueName, m.Email, m.DisplayName} {
		if n != "" && len(n) <= maxID && shows(n) {
			return n
		}
	}
	return id
}
