package domain

import "time"

// PrincipalType is the kind of a principal, as ARM's role assignments name it.
type PrincipalType string

// The kinds of principals. ServicePrincipal is an application: what runs without a person.
const (
	User             PrincipalType = "User"
	Group            PrincipalType = "Group"
	ServicePrincipal PrincipalType = "ServicePrincipal"
)

// Principal is whom a role can be assigned to. Its id begins with the name of its issuer and a colon, so that no
// issuer speaks for another one's principals: "entra:" and an object id, "airlock:" and the client id of a service
// principal of Airlock's own, "token:" and the id of a static token. Ids are compared as they are.
type Principal struct {
	ID   string
	Type PrincipalType
}

// Identity is who sends a request.
type Identity struct {
	Name      string // as the audit shows it
	Principal Principal
	Groups    []Principal // that the principal is a member of, by the word of its issuer
}

// Application says whether no person stands behind the identity, so that it may run AutomationOnly cmdlets.
func (i Identity) Application() bool { return i.Principal.Type == ServicePrincipal }

// Assignment gives a principal a role at a scope: what the role allows is allowed at the scope and below it.
type Assignment struct {
	ID        string // GUID, chosen by whoever makes it
	Scope     Scope
	Role      string // id (GUID) of the role
	Principal Principal
	Created   time.Time
	CreatedBy string // name of the identity
}
