package token

import (
	"crypto/x509"
	"net/url"
	"regexp"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// Issuer is an identity provider whose tokens are taken: any OpenID provider, or a tenant of Microsoft Entra ID.
type Issuer struct {
	// Name begins the ids of the issuer's principals (domain.Principal): a small letter, then up to 30 small letters,
	// digits and hyphens. "airlock" and "token" are taken.
	Name string

	// URL is the issuer's identifier, exactly as its tokens have it in iss; its discovery document is below it. With
	// Tenant it is the address of Entra, https://login.microsoftonline.com where it is "".
	URL string

	// Tenant is the id (GUID) of a tenant of Entra, "" for other issuers. Tokens of its version 1 and 2 are taken.
	Tenant string

	// Audiences has the values of aud of which a token must have one; at least one. For Entra that is the client id
	// of the application that stands for Airlock (tokens of version 2), or its Application ID URI (version 1).
	Audiences []string

	// Roots are the authorities of which the issuer has its certificate; nil means those of the system.
	Roots *x509.CertPool
}

var (
	nameForm   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
	tenantForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// ValidName says whether s can be the name of an issuer, as Issuer.Name says.
func ValidName(s string) bool { return nameForm.MatchString(s) }

const entra = "https://login.microsoftonline.com"

// endpoints are the identifiers under which the issuer signs. Entra's version 1 has one of its own, whose discovery
// document lies at the address of version 2 (https://learn.microsoft.com/entra/identity-platform/access-tokens).
func (i Issuer) endpoints() []endpoint {
	if i.Tenant == "" {
		return []endpoint{{i.URL, i.URL}}
	}
	base := i.address() + "/" + i.Tenant
	return []endpoint{{base + "/v2.0", base + "/v2.0"}, {"https://sts.windows.net/" + i.Tenant + "/", base}}
}

func (i Issuer) address() string {
	if i.URL == "" {
		return entra
	}
	return strings.TrimSuffix(i.URL, "/")
}

// Authority is where people and clients are sent to for a token of the issuer.
func (i Issuer) Authority() string {
	if i.Tenant == "" {
		return i.URL
	}
	return i.address() + "/" + i.Tenant
}

// CheckIssuers says what is wrong with issuers of a configuration, in an error whose target is the field. own is the
// URL of this server, the identifier of its own tokens.
func CheckIssuers(own string, issuers []Issuer) error {
	names, ids := map[string]bool{}, map[string]bool{own: true}
	for _, i := range issuers {
		bad := func(field, format string, args ...any) error {
			return errors.Newf(errors.Usage, "The issuer %.40q cannot be used: "+format+".", append([]any{i.Name}, args...)...).At(field)
		}
		if !ValidName(i.Name) || i.Name == domain.AirlockIssuer || i.Name == domain.TokenIssuer {
			return bad("name", "a name is a small letter, then at most 30 small letters, digits and hyphens, and not airlock or token")
		}
		if names[i.Name] {
			return bad("name", "another one has the same name")
		}
		names[i.Name] = true
		if i.Tenant != "" && !tenantForm.MatchString(i.Tenant) {
			return bad("tenant", "its tenant must be a GUID in small letters, not %.60q", i.Tenant)
		}
		if u, err := url.Parse(i.Authority()); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return bad("url", "its URL must be an https:// address without a query, not %.200q", i.URL)
		}
		for _, e := range i.endpoints() {
			if ids[e.iss] {
				return bad("url", "%s is the identifier of another one, or of this server", e.iss)
			}
			ids[e.iss] = true
		}
		if len(i.Audiences) == 0 {
			return bad("audiences", "it needs at least one audience, the value of aud in tokens that are meant for Airlock")
		}
		for _, a := range i.Audiences {
			if strings.TrimSpace(a) == "" {
				return bad("audiences", "an audience is empty")
			}
		}
	}
	return nil
}
