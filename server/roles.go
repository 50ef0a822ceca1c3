package server

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/server/internal/role"
	"github.com/airlock-run/airlock/server/internal/token"
)

// Roles and their assignments are ARM's Microsoft.Authorization (api-version 2022-04-01), so that `az role` works.

// The roles that an installation gives by itself.
const (
	RoleOwner    = role.Owner
	RoleProvider = role.Provider
)

// Assign gives a principal a role, past the API, if it has not got it.
func Assign(ctx context.Context, store Store, role string, at domain.Scope, to domain.Principal, now time.Time) error {
	_, _, err := store.PutAssignment(ctx, domain.Assignment{
		ID: uuid.NewString(), Scope: at, Role: role, Principal: to, Created: now, CreatedBy: "Airlock",
	})
	if errors.Has(err, errors.RoleAssignmentExists) {
		return nil
	}
	return err
}

// HasProvider says whether somebody has been assigned the Provider's role.
func HasProvider(ctx context.Context, store Store) (bool, error) {
	all, err := store.Assignments(ctx, domain.Everywhere)
	return slices.ContainsFunc(all, func(a domain.Assignment) bool { return a.Role == role.Provider }), err
}

type roleDefinition struct {
	RoleName         string       `json:"roleName"`
	Description      string       `json:"description"`
	Type             string       `json:"type"`
	AssignableScopes []string     `json:"assignableScopes"`
	Permissions      []permission `json:"permissions"`
}

type permission struct {
	Actions        []string `json:"actions"`
	NotActions     []string `json:"notActions"`
	DataActions    []string `json:"dataActions"`
	NotDataActions []string `json:"notDataActions"`
}

const actAuthorization = "Microsoft.Authorization"

// definitionID is the id of a role as az compares it: with the subscription of the path that was asked, if it has one.
func (r *request) definitionID(id string) string {
	prefix := domain.CloudID{Subscription: r.cloud.Subscription}.Scope()
	return strings.TrimSuffix(string(prefix), "/") + "/providers/Microsoft.Authorization/roleDefinitions/" + id
}

func (r *request) definition(d role.Role) resource[roleDefinition] {
	none := []string{}
	return resource[roleDefinition]{
		ID: r.definitionID(d.ID), Name: d.ID, Type: actAuthorization + "/roleDefinitions",
		Properties: roleDefinition{
			RoleName: d.Name, Description: d.Description, Type: "BuiltInRole", AssignableScopes: []string{"/"},
			Permissions: []permission{{append(none, d.Actions...), append(none, d.NotActions...), none, none}},
		},
	}
}

func (s *Server) listRoles(a *answer, r *request) error {
	conditions, err := r.filter("roleName", "type", "atScopeAndBelow()")
	if err != nil {
		return err
	}
	out := list[resource[roleDefinition]]{Value: []resource[roleDefinition]{}}
	for _, d := range role.All {
		if meets(conditions, "roleName", d.Name) && meets(conditions, "type", "BuiltInRole") {
			out.Value = append(out.Value, r.definition(d))
		}
	}
	return a.send(http.StatusOK, out)
}

func (s *Server) getRole(a *answer, r *request) error {
	d, ok := role.ByID(r.vars["roleDefinition"])
	if !ok {
		return errors.Newf(errors.ResourceNotFound, "There is no role %s; list the role definitions to see which there are.", r.vars["roleDefinition"])
	}
	return a.send(http.StatusOK, r.definition(d))
}

type roleAssignment struct {
	RoleDefinitionID string               `json:"roleDefinitionId"`
	PrincipalID      string               `json:"principalId"`
	PrincipalType    domain.PrincipalType `json:"principalType"`
	Scope            domain.Scope         `json:"scope"`
	CreatedOn        time.Time            `json:"createdOn"`
	UpdatedOn        time.Time            `json:"updatedOn"`
	CreatedBy        string               `json:"createdBy"`
	UpdatedBy        string               `json:"updatedBy"`
}

func (r *request) assignment(a domain.Assignment) resource[roleAssignment] {
	return resource[roleAssignment]{
		ID:   strings.TrimSuffix(string(a.Scope), "/") + "/providers/Microsoft.Authorization/roleAssignments/" + a.ID,
		Name: a.ID, Type: actAuthorization + "/roleAssignments",
		Properties: roleAssignment{
			RoleDefinitionID: r.definitionID(a.Role), PrincipalID: a.Principal.ID, PrincipalType: a.Principal.Type, Scope: a.Scope,
			CreatedOn: a.Created.UTC(), UpdatedOn: a.Created.UTC(), CreatedBy: a.CreatedBy, UpdatedBy: a.CreatedBy,
		},
	}
}

// listAssignments has the assignments at, above and below the scope; with atScope() not those below it. assignedTo()
// adds those of the groups that the principal is in, as far as Airlock knows them: for the sender.
func (s *Server) listAssignments(a *answer, r *request) error {
	conditions, err := r.filter("atScope()", "principalId", "assignedTo()")
	if err != nil {
		return err
	}
	all, err := s.cfg.Store.Assignments(r.Context(), r.scope)
	if err != nil {
		return err
	}
	_, atScope := conditions["atScope()"]
	to, assignedTo := conditions["assignedTo()"]
	of, byPrincipal := conditions["principalId"]
	out := list[resource[roleAssignment]]{Value: []resource[roleAssignment]{}}
	for _, one := range all {
		groups := to == r.identity.Principal.ID && slices.Contains(r.identity.Groups, one.Principal)
		switch {
		case atScope && !one.Scope.Covers(r.scope):
		case assignedTo && one.Principal.ID != to && !groups:
		case byPrincipal && one.Principal.ID != of:
		default:
			out.Value = append(out.Value, r.assignment(one))
		}
	}
	return a.send(http.StatusOK, out)
}

func (s *Server) getAssignment(a *answer, r *request) error {
	one, err := s.assignmentHere(r)
	if err != nil {
		return err
	}
	return a.send(http.StatusOK, r.assignment(one))
}

// assignmentHere is the assignment of the path. One at another scope is not here.
func (s *Server) assignmentHere(r *request) (domain.Assignment, error) {
	one, err := s.cfg.Store.Assignment(r.Context(), r.vars["roleAssignment"])
	if err == nil && one.Scope.Key() != r.scope.Key() {
		err = errors.Newf(errors.ResourceNotFound, "There is no role assignment %s here; list the role assignments of the scope to see which there are.", r.vars["roleAssignment"])
	}
	return one, err
}

// putAssignment assigns a role to a principal at the scope of the path.
func (s *Server) putAssignment(a *answer, r *request) error {
	body, err := r.readObject(a)
	if err != nil {
		return err
	}
	one, err := r.parseAssignment(body)
	if err != nil {
		return err
	}
	given, _ := role.ByID(one.Role)
	if ofPackages := given.ID == role.PackagePublisher || given.ID == role.PackageReviewer; ofPackages && r.scope != domain.Everywhere {
		return invalid("properties.roleDefinitionId", "The role %s would allow nothing at %s, because packages are the whole installation's: assign it at the scope /.", given.Name, r.scope)
	}
	one.Created, one.CreatedBy = s.cfg.Now(), r.identity.Name
	if err := s.mayGive(r, one.Role); err != nil {
		return err
	}
	one, created, err := s.cfg.Store.PutAssignment(r.Context(), one)
	if err != nil {
		return err
	}
	if created {
		return a.send(http.StatusCreated, r.assignment(one))
	}
	return a.send(http.StatusOK, r.assignment(one))
}

var definitionForm = regexp.MustCompile(`(?i)^(?:/subscriptions/[^/]+)?/providers/Microsoft\.Authorization/roleDefinitions/([^/]+)$`)

func (r *request) parseAssignment(body object) (one domain.Assignment, err error) {
	name := r.vars["roleAssignment"]
	if uuid.Validate(name) != nil || len(name) != 36 {
		return one, errors.Newf(errors.InvalidResourceName, "The name of a role assignment must be a GUID, such as %s, not %.60q.", uuid.NewString(), name).At("roleAssignment")
	}
	properties, err := body.object("properties")
	if err != nil {
		return one, err
	}
	definition, _, err := properties.text("roleDefinitionId")
	if err != nil {
		return one, err
	}
	var known bool
	if m := definitionForm.FindStringSubmatch(definition); m != nil {
		var d role.Role
		d, known = role.ByID(m[1])
		one.Role = d.ID
	}
	if !known {
		return one, invalid("properties.roleDefinitionId", "There is no role with the id %.200q; list the role definitions to see which there are.", definition)
	}
	if one.Principal, err = parsePrincipal(properties); err != nil {
		return one, err
	}
	if properties.get("condition") != nil {
		return one, invalid("properties.condition", "Role assignments with a condition are not possible here; leave the condition out to assign the role without one.")
	}
	one.ID, one.Scope = strings.ToLower(name), r.scope
	return one, nil
}

func parsePrincipal(properties object) (p domain.Principal, err error) {
	id, _, err := properties.text("principalId")
	if err != nil {
		return p, err
	}
	issuer, rest, _ := strings.Cut(id, ":")
	if !token.ValidName(issuer) || !token.ValidID(rest) {
		return p, invalid("properties.principalId", "The principal %.200q must be named by its issuer, a colon and its id there, such as entra:OBJECT-ID or airlock:CLIENT-ID.", id)
	}
	kind, given, err := properties.text("principalType")
	if err != nil {
		return p, err
	}
	if issuer == domain.AirlockIssuer || issuer == domain.TokenIssuer {
		if given && !strings.EqualFold(kind, string(domain.ServicePrincipal)) {
			return p, invalid("properties.principalType", "The principal %.200q is a %s, not a %.60q; leave principalType out.", id, domain.ServicePrincipal, kind)
		}
		return domain.Principal{ID: strings.ToLower(id), Type: domain.ServicePrincipal}, nil // their ids are GUIDs
	}
	for _, known := range []domain.PrincipalType{domain.User, domain.Group, domain.ServicePrincipal} {
		if strings.EqualFold(kind, string(known)) {
			return domain.Principal{ID: id, Type: known}, nil
		}
	}
	return p, invalid("properties.principalType", "The principalType must be User, Group or ServicePrincipal.")
}

// mayGive refuses to give or take, at the scope of the path, a role that allows more than the sender may do there
// himself; and to give the Provider's role, which is for the whole installation, anywhere but there.
func (s *Server) mayGive(r *request, id string) error {
	given, _ := role.ByID(id)
	if given.ID == role.Provider && r.scope != domain.Everywhere {
		return invalid("properties.roleDefinitionId", "The role %s is for the whole installation: assign it at the scope /, not at %s.", given.Name, r.scope)
	}
	for _, action := range s.actions {
		if given.Allows(action) && !r.may(action, r.scope) {
			return errors.Newf(errors.AuthorizationFailed, "The client %q (%s %s) may not do all that the role %s allows, such as %s at the scope %s: nobody assigns or removes a role with more than he holds.",
				r.identity.Name, r.identity.Principal.Type, r.identity.Principal.ID, given.Name, action, r.scope)
		}
	}
	return nil
}

// deleteAssignment removes an assignment. The last Provider of the store stays where the configuration has none.
func (s *Server) deleteAssignment(a *answer, r *request) error {
	one, err := s.assignmentHere(r)
	if errors.Has(err, errors.ResourceNotFound) {
		a.WriteHeader(http.StatusNoContent)
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.mayGive(r, one.Role); err != nil {
		return err
	}
	if err := s.cfg.Store.DeleteAssignment(r.Context(), one.ID, one.Role == s.kept()); err != nil {
		return err
	}
	return a.send(http.StatusOK, r.assignment(one))
}
