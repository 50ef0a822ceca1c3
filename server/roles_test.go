package server_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/server"
	"github.com/airlock-run/airlock/server/internal/role"
)

const authorization = "/providers/Microsoft.Authorization/"

// assignmentsAt is the path of the role assignments at a scope.
func assignmentsAt(at domain.Scope) string {
	return strings.TrimSuffix(string(at), "/") + authorization + "roleAssignments"
}

// assigning is the body of a PUT of a role assignment.
func assigning(id, principal, kind string) string {
	return fmt.Sprintf(`{"properties":{"roleDefinitionId":"/subscriptions/%s%sroleDefinitions/%s","principalId":%q,"principalType":%q}}`, subscription, authorization, id, principal, kind)
}

type assignmentReply struct {
	ID, Name, Type string
	Properties     struct {
		RoleDefinitionID, PrincipalID, PrincipalType, Scope, CreatedOn, CreatedBy string
	}
}

type listReply[T any] struct{ Value []T }

func TestRoleDefinitions(t *testing.T) {
	t.Parallel()
	e := startWith(t, person("nobody"))
	type definition struct {
		ID, Name, Type string
		Properties     struct {
			RoleName    string
			Permissions []struct{ Actions, NotActions []string }
		}
	}
	all := decode[listReply[definition]](t, e.as("nobody", "GET", authorization+"roleDefinitions", "").want(t, 200, "")).Value
	var names []string
	for _, d := range all {
		names = append(names, d.Properties.RoleName)
	}
	if fmt.Sprint(names) != "[Reader Operator Package publisher Package reviewer Owner Provider]" {
		t.Errorf("the roles are %v", names)
	}
	prefix := string(subscriptionScope) + authorization
	filter := "?$filter=" + url.QueryEscape("roleName eq 'package Publisher'")
	found := decode[listReply[definition]](t, e.as("nobody", "GET", cloudPath+authorization+"roleDefinitions"+filter, "").want(t, 200, "")).Value
	if len(found) != 1 || found[0].ID != prefix+"roleDefinitions/"+role.PackagePublisher || found[0].Type != "Microsoft.Authorization/roleDefinitions" ||
		!slices.Contains(found[0].Properties.Permissions[0].Actions, "Airlock/packages/write") {
		t.Errorf("by name: %+v", found)
	}
	one := decode[definition](t, e.as("nobody", "GET", prefix+"roleDefinitions/"+strings.ToUpper(role.Owner), "").want(t, 200, ""))
	if one.Properties.RoleName != "Owner" || one.ID != prefix+"roleDefinitions/"+role.Owner {
		t.Errorf("by id: %+v", one)
	}
	e.do("GET", prefix+"roleDefinitions/"+uuid.NewString(), "").want(t, 404, errors.ResourceNotFound)
	for _, filter := range []string{"roleName", "roleName eq Reader", "roleName eq 'a' or type eq 'b'", "roleName eq 'a' and", "roleName eq 'a' roleName eq 'b'",
		"roleName eq 'a' and roleName eq 'b'", "permission eq 'x'", "atScope()", "'", "(", "roleName eq 'a''"} {
		e.do("GET", prefix+"roleDefinitions?$filter="+url.QueryEscape(filter), "").want(t, 400, errors.InvalidRequest)
	}
}

// A role is assigned, used, listed and taken away.
func TestRoleAssignments(t *testing.T) {
	t.Parallel()
	e := startWith(t, person("owner"), person("anna"))
	e.give(role.Owner, subscriptionScope, person("owner").Principal)
	id := assignmentsAt(groupScope) + "/" + uuid.NewString()
	body := assigning(role.Operator, "test:anna", "user")

	e.as("anna", "GET", cloudPath, "").want(t, 403, errors.AuthorizationFailed)
	created := decode[assignmentReply](t, e.as("owner", "PUT", id, body).want(t, 201, ""))
	p := created.Properties
	if created.ID != id || created.Type != "Microsoft.Authorization/roleAssignments" || p.Scope != string(groupScope) || p.PrincipalID != "test:anna" || p.PrincipalType != "User" ||
		p.RoleDefinitionID != string(subscriptionScope)+authorization+"roleDefinitions/"+role.Operator || p.CreatedBy != "owner" || p.CreatedOn == "" {
		t.Errorf("created %+v", created)
	}
	e.as("owner", "PUT", id, body).want(t, 200, "")
	e.as("owner", "PUT", assignmentsAt(groupScope)+"/"+uuid.NewString(), body).want(t, 409, errors.RoleAssignmentExists)
	e.as("owner", "PUT", id, assigning(role.Reader, "test:anna", "User")).want(t, 409, errors.Conflict)
	e.as("anna", "GET", cloudPath, "").want(t, 200, "")
	e.as("owner", "GET", id, "").want(t, 200, "")

	// At another scope it is not there.
	elsewhere := strings.Replace(id, string(groupScope), string(subscriptionScope), 1)
	e.as("owner", "GET", elsewhere, "").want(t, 404, errors.ResourceNotFound)
	e.as("owner", "DELETE", elsewhere, "").want(t, 204, "")

	list := func(at domain.Scope, filter string) (principals string) {
		t.Helper()
		var all []string
		for _, a := range decode[listReply[assignmentReply]](t, e.do("GET", assignmentsAt(at)+"?$filter="+url.QueryEscape(filter), "").want(t, 200, "")).Value {
			all = append(all, a.Properties.PrincipalID)
		}
		return strings.Join(all, " ")
	}
	for filter, want := range map[string]string{
		"": "test:owner test:anna", "atScope()": "test:owner", "principalId eq 'test:anna'": "test:anna",
		"assignedTo('test:owner')": "test:owner", "atScope() and assignedTo('test:anna')": "", "principalId eq 'TEST:anna'": "",
	} {
		if got := list(subscriptionScope, filter); got != want {
			t.Errorf("list with %s is %q, want %q", filter, got, want)
		}
	}
	if got := list(domain.Scope(cloudPath), "atScope()"); got != "test:owner test:anna" {
		t.Errorf("at the private cloud: %q", got)
	}

	e.as("owner", "DELETE", strings.ToUpper(id), "").want(t, 200, "")
	e.as("owner", "DELETE", id, "").want(t, 204, "")
	e.as("anna", "GET", cloudPath, "").want(t, 403, errors.AuthorizationFailed)
	last := e.audit.list()[len(e.audit.list())-2]
	if last.Actor != "owner (test:owner)" || last.Action != "Microsoft.Authorization/roleAssignments/delete" || !strings.EqualFold(last.Target, id) || last.Result != "ok" {
		t.Errorf("the audit has %+v", last)
	}
}

// Whatever a token may name can be assigned a role: groups have spaces in their names, too.
func TestGroupsWithSpaces(t *testing.T) {
	t.Parallel()
	const name = `test:CORP\Cloud Admins`
	ada := person("ada")
	ada.Groups = []domain.Principal{{ID: name, Type: domain.Group}}
	e := startWith(t, ada)
	e.do("PUT", assignmentsAt(groupScope)+"/"+uuid.NewString(), assigning(role.Reader, name, "Group")).want(t, 201, "")
	e.as("ada", "GET", cloudPath, "").want(t, 200, "")
	all := decode[listReply[assignmentReply]](t, e.do("GET", assignmentsAt(groupScope)+"?$filter="+url.QueryEscape("principalId eq '"+name+"'"), "").want(t, 200, "")).Value
	if len(all) != 1 || all[0].Properties.PrincipalID != name {
		t.Errorf("listed are %+v", all)
	}
}

// Nobody comes to more than he has: not above his scope, not with a role that allows more than his.
func TestNobodyAssignsMoreThanHeHolds(t *testing.T) {
	t.Parallel()
	e := startWith(t, person("owner"), person("top"), person("provider"), person("operator"))
	e.give(role.Owner, groupScope, person("owner").Principal)
	e.give(role.Owner, domain.Everywhere, person("top").Principal)
	e.give(role.Operator, domain.Everywhere, person("operator").Principal)
	provider := e.give(role.Provider, domain.Everywhere, person("provider").Principal)
	for _, c := range []struct {
		who, role string
		at        domain.Scope
		status    int
		code      errors.Code
	}{
		{"owner", role.Reader, subscriptionScope, 403, errors.AuthorizationFailed},
		{"owner", role.Reader, domain.Everywhere, 403, errors.AuthorizationFailed},
		{"owner", role.Reader, groupScope + "0", 403, errors.AuthorizationFailed},
		{"owner", role.Provider, groupScope, 400, errors.InvalidParameter},
		{"owner", role.Provider, domain.Everywhere, 403, errors.AuthorizationFailed},
		{"top", role.Provider, domain.Everywhere, 403, errors.AuthorizationFailed},
		{"top", role.Provider, cloudScope, 400, errors.InvalidParameter},
		{"operator", role.Operator, cloudScope, 403, errors.AuthorizationFailed},
		{"provider", role.Provider, subscriptionScope, 400, errors.InvalidParameter},
		{"provider", role.Owner, cloudScope + "9", 404, errors.ResourceNotFound},
		{"owner", role.Owner, groupScope, 201, ""},
		{"owner", role.Reader, cloudScope, 201, ""},
		{"top", role.PackageReviewer, domain.Everywhere, 201, ""},
		{"top", role.PackageReviewer, subscriptionScope, 400, errors.InvalidParameter},
		{"owner", role.PackagePublisher, groupScope, 400, errors.InvalidParameter},
		{"provider", role.Provider, domain.Everywhere, 201, ""},
	} {
		path := assignmentsAt(c.at) + "/" + uuid.NewString()
		got := e.as(c.who, "PUT", path, assigning(c.role, "test:new", "User"))
		if got.StatusCode != c.status || got.Header.Get("x-ms-error-code") != string(c.code) {
			t.Errorf("%s assigns %s at %s: %s %s, want %d %s", c.who, c.role, c.at, got.Status, got.body, c.status, c.code)
		}
		if left := e.as("provider", "GET", path, "").StatusCode; (left == 200) != (c.status == 201) {
			t.Errorf("%s assigns %s at %s: afterwards it is %d", c.who, c.role, c.at, left)
		}
	}
	// What one may not give one may not take either.
	e.as("top", "DELETE", assignmentsAt(domain.Everywhere)+"/"+provider.ID, "").want(t, 403, errors.AuthorizationFailed)
	e.as("provider", "GET", assignmentsAt(domain.Everywhere)+"/"+provider.ID, "").want(t, 200, "")
}

// The last Provider stays, unless the configuration has one.
func TestTheLastProviderStays(t *testing.T) {
	t.Parallel()
	for _, configured := range []bool{false, true} {
		e := start(t, func(c *server.Config) {
			c.Authenticator = people{"provider": person("provider")}
			if !configured {
				c.Providers = nil
			}
		})
		path := assignmentsAt(domain.Everywhere) + "/"
		one, two := e.give(role.Provider, domain.Everywhere, person("provider").Principal), e.give(role.Provider, domain.Everywhere, person("second").Principal)
		e.as("provider", "DELETE", path+two.ID, "").want(t, 200, "")
		if configured {
			e.as("provider", "DELETE", path+one.ID, "").want(t, 200, "")
			e.as("provider", "GET", path+one.ID, "").want(t, 403, errors.AuthorizationFailed)
			continue
		}
		e.as("provider", "DELETE", path+one.ID, "").want(t, 409, errors.Conflict)
		e.as("provider", "GET", path+one.ID, "").want(t, 200, "")
	}
}

func TestBadRoleAssignments(t *testing.T) {
	t.Parallel()
	e := startWith(t)
	good := assigning(role.Reader, "test:anna", "User")
	path := assignmentsAt(groupScope) + "/" + uuid.NewString()
	for name, c := range map[string]struct {
		path, body string
		code       errors.Code
		target     string
	}{
		"name":              {assignmentsAt(groupScope) + "/mine", good, errors.InvalidResourceName, "roleAssignment"},
		"name in braces":    {assignmentsAt(groupScope) + "/urn:uuid:" + uuid.NewString(), good, errors.InvalidResourceName, "roleAssignment"},
		"no properties":     {path, `{}`, errors.InvalidRequestContent, "properties"},
		"no role":           {path, strings.Replace(good, "roleDefinitionId", "role", 1), errors.InvalidParameter, "properties.roleDefinitionId"},
		"unknown role":      {path, strings.Replace(good, role.Reader, uuid.NewString(), 1), errors.InvalidParameter, "properties.roleDefinitionId"},
		"role by name":      {path, strings.Replace(good, role.Reader, "Reader", 1), errors.InvalidParameter, "properties.roleDefinitionId"},
		"bare role":         {path, `{"properties":{"roleDefinitionId":"` + role.Reader + `","principalId":"test:anna","principalType":"User"}}`, errors.InvalidParameter, "properties.roleDefinitionId"},
		"no principal":      {path, strings.Replace(good, "principalId", "principal", 1), errors.InvalidParameter, "properties.principalId"},
		"no issuer":         {path, strings.Replace(good, "test:anna", "anna", 1), errors.InvalidParameter, "properties.principalId"},
		"no id":             {path, strings.Replace(good, "test:anna", "test:", 1), errors.InvalidParameter, "properties.principalId"},
		"own as a user":     {path, strings.Replace(good, "test:anna", "airlock:"+uuid.NewString(), 1), errors.InvalidParameter, "properties.principalType"},
		"space at the end":  {path, strings.Replace(good, "test:anna", "test:anna ", 1), errors.InvalidParameter, "properties.principalId"},
		"a control":         {path, strings.Replace(good, "test:anna", `test:an\u0007na`, 1), errors.InvalidParameter, "properties.principalId"},
		"a long id":         {path, strings.Replace(good, "test:anna", "test:"+strings.Repeat("a", 257), 1), errors.InvalidParameter, "properties.principalId"},
		"kind of principal": {path, strings.Replace(good, `"User"`, `"Robot"`, 1), errors.InvalidParameter, "properties.principalType"},
		"no kind":           {path, strings.Replace(good, `"principalType"`, `"x"`, 1), errors.InvalidParameter, "properties.principalType"},
		"condition":         {path, strings.Replace(good, `{"properties":{`, `{"properties":{"condition":"false",`, 1), errors.InvalidParameter, "properties.condition"},
	} {
		status := 400
		got := e.do("PUT", c.path, c.body).want(t, status, c.code)
		if target := decode[errorReply](t, got).Error.Target; target != c.target {
			t.Errorf("%s: the target is %s: %s", name, target, got.body)
		}
	}
	if all := decode[listReply[assignmentReply]](t, e.do("GET", assignmentsAt(domain.Everywhere), "").want(t, 200, "")).Value; len(all) != 0 {
		t.Errorf("there are %+v", all)
	}
	// Airlock's own service principals are what they are, in any case.
	client := uuid.NewString()
	own := strings.Replace(strings.Replace(good, `"principalType"`, `"x"`, 1), "test:anna", "airlock:"+strings.ToUpper(client), 1)
	if got := decode[assignmentReply](t, e.do("PUT", path, own).want(t, 201, "")); got.Properties.PrincipalType != "ServicePrincipal" || got.Properties.PrincipalID != "airlock:"+client {
		t.Errorf("assigned to %+v", got)
	}
}
