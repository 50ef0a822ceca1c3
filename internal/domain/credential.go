package domain

import "time"

// Client is a service principal of Airlock's own: a client of its token endpoint (RFC 6749), which proves itself by any
// one of its secrets. Its principal is "airlock:" and its id.
type Client struct {
	ID      string // client id, a GUID in lower case
	Name    string // for people
	Created time.Time
	Secrets []ClientSecret // by their time of creation
}

// ClientSecret is one secret of a client. A client has more than one while it changes from one to the next.
type ClientSecret struct {
	ID      string
	Hash    []byte // SHA-256 of the secret
	Created time.Time
	Expires time.Time
}

// StaticToken is a bearer token that stays the same until it expires, for automation that cannot ask for tokens. Its
// principal is "token:" and its id.
type StaticToken struct {
	ID      string
	Name    string // for people
	Hash    []byte // SHA-256 of the token
	Created time.Time
	Expires time.Time
}

// SigningKey is a key by which Airlock signs its access tokens.
type SigningKey struct {
	ID      string // kid
	Sealed  []byte // the private key
	Created time.Time
	Expires time.Time // when no token that it signed is valid any more
}

// The names under which principals of Airlock's own stand where those of other issuers have the issuer's name.
const (
	AirlockIssuer = "airlock"
	TokenIssuer   = "token"
)

// Principal is the client as roles are assigned to it.
func (c Client) Principal() Principal {
	return Principal{ID: AirlockIssuer + ":" + c.ID, Type: ServicePrincipal}
}

// Principal is the token as roles are assigned to it.
func (t StaticToken) Principal() Principal {
	return Principal{ID: TokenIssuer + ":" + t.ID, Type: ServicePrincipal}
}
