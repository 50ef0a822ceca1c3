// Package role has the roles and the one decision that is made with them: whether what somebody holds allows an action
// at a scope. Roles are built in and say what they allow as those of Azure do: actions, of which a * stands for any
// characters, less notActions. An assignment holds at its scope and below it; several add up.
package role

import (
	"slices"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
)

// Role is a set of actions that can be assigned. What notActions name another role may allow.
type Role struct {
	ID          string // GUID; Azure's own where the role is one of Azure's
	Name        string
	Description string
	Actions     []string
	NotActions  []string
}

// The ids of the roles. Provider can be assigned only for the whole installation.
const (
	Reader           = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	Operator         = "839e0d34-0d3c-4de4-87f2-450313119919"
	PackagePublisher = "32761a36-02f5-460b-af6f-af37a095e3f6"
	PackageReviewer  = "c7dc223a-a3dc-48a1-870f-89335c39a026"
	Owner            = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	Provider         = "fb34cb98-a687-4cb1-b1c1-ec2e4dca9c9f"
)

// What only the Provider does: a private cloud's registration, and what a check of it says, name files and variables of
// the server, and who makes identities could make himself any.
var providersOnly = []string{
	"Microsoft.AVS/privateClouds/write", "Microsoft.AVS/privateClouds/delete", "Microsoft.AVS/privateClouds/secrets/*",
	"Microsoft.AVS/privateClouds/check/action",
	"Airlock/servicePrincipals/*", "Airlock/tokens/*",
}

// What reads nothing but lies beside what a reader sees.
const logs = "Microsoft.AVS/privateClouds/scriptExecutions/getExecutionLogs/action"

// All are the roles, from the least to the most.
var All = []Role{
	{Reader, "Reader", "Sees everything at its scope: private clouds, script packages, script executions with their output and audit, role assignments.",
		[]string{"*/read", logs}, providersOnly},
	{Operator, "Operator", "Sees what a Reader sees, and runs script cmdlets: begins, ends and removes script executions.",
		[]string{"*/read", "Microsoft.AVS/privateClouds/scriptExecutions/*"}, providersOnly},
	{PackagePublisher, "Package publisher", "Pushes, imports and promotes versions of script packages, and sees what has become of them.",
		[]string{"Airlock/packages/read", "Airlock/packages/write", "Airlock/packages/promote/action"}, nil},
	{PackageReviewer, "Package reviewer", "Approves and rejects versions of script packages that somebody else has pushed, and deprecates versions.",
		[]string{"Airlock/packages/read", "Airlock/packages/approve/action", "Airlock/packages/reject/action", "Airlock/packages/deprecate/action"}, nil},
	{Owner, "Owner", "Does everything at its scope, role assignments and features included, but for what is the Provider's.",
		[]string{"*"}, providersOnly},
	{Provider, "Provider", "Does everything in the whole installation: private clouds with their credentials, identities, and who else is Provider.",
		[]string{"*"}, nil},
}

// ByID finds a role by its id, in any case.
func ByID(id string) (Role, bool) {
	return find(func(r Role) bool { return strings.EqualFold(r.ID, id) })
}

func find(is func(Role) bool) (Role, bool) {
	if i := slices.IndexFunc(All, is); i >= 0 {
		return All[i], true
	}
	return Role{}, false
}

// Allows says whether the role allows an action.
func (r Role) Allows(action string) bool {
	in := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, action) })
	}
	return in(r.Actions) && !in(r.NotActions)
}

// matches says whether the action is what the pattern means, without case.
func matches(pattern, action string) bool {
	parts := strings.Split(strings.ToLower(pattern), "*")
	rest, begins := strings.CutPrefix(strings.ToLower(action), parts[0])
	if len(parts) == 1 || !begins {
		return begins && rest == ""
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[last])
}

// Held are the assignments that hold for one identity.
type Held []domain.Assignment

// Of picks from assignments those of the identity and of its groups.
func Of(identity domain.Identity, assignments []domain.Assignment) Held {
	var held Held
	for _, a := range assignments {
		if a.Principal == identity.Principal || slices.Contains(identity.Groups, a.Principal) {
			held = append(held, a)
		}
	}
	return held
}

// Allows says whether the action is allowed at the scope.
func (h Held) Allows(action string, at domain.Scope) bool {
	return slices.ContainsFunc(h, func(a domain.Assignment) bool { return a.Scope.Covers(at) && allows(a.Role, action) })
}

func allows(id, action string) bool {
	r, ok := ByID(id)
	return ok && r.Allows(action)
}
