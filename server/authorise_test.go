package server_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/server"
	"github.com/airlock-run/airlock/server/internal/role"
)

// people lets in, by their tokens, those whom a test knows, and the developer.
type people map[string]domain.Identity

func (p people) Authenticate(r *http.Request) (domain.Identity, error) {
	if identity, ok := p[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]; ok {
		return identity, nil
	}
	return domain.Identity{}, errors.Newf(errors.AuthenticationFailed, "The test does not know you.")
}

var aDeveloper = domain.Identity{Name: "developer", Principal: server.Developer}

// startWith is an API that lets people in, by their names, beside the developer.
func startWith(t testing.TB, identities ...domain.Identity) *env {
	return start(t, func(c *server.Config) {
		known := people{token: aDeveloper}
		for _, i := range identities {
			known[i.Name] = i
		}
		c.Authenticator = known
		c.Check = func(context.Context, domain.PrivateCloud) (domain.Report, error) { return domain.Report{}, nil }
	})
}

func person(name string) domain.Identity {
	return domain.Identity{Name: name, Principal: domain.Principal{ID: "test:" + name, Type: domain.User}}
}

// give assigns a role, past the API, if it is not assigned.
func (e *env) give(id string, at domain.Scope, to domain.Principal) domain.Assignment {
	e.t.Helper()
	a, _, err := e.store.PutAssignment(context.Background(), domain.Assignment{
		ID: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, id, at, to)).String(), Scope: at, Role: id, Principal: to, Created: time.Now(), CreatedBy: "the test",
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return a
}

// as sends a request as somebody.
func (e *env) as(name, method, path, body string) reply {
	e.t.Helper()
	return e.do(method, path, body, "Authorization", "Bearer "+name)
}

// Who may do what: the actions of all routes, and the roles that allow them, by their letters below.
//
// Add a line for the action of a new route.
const whoMay = `
Microsoft.AVS/operations/read                                            reader operator . . owner provider
Microsoft.AVS/register/action                                            .      .        . . owner provider
Microsoft.AVS/privateClouds/read                                         reader operator . . owner provider
Microsoft.AVS/privateClouds/write                                        .      .        . . .     provider
Microsoft.AVS/privateClouds/delete                                       .      .        . . .     provider
Microsoft.AVS/privateClouds/secrets/write                                .      .        . . .     provider
Microsoft.AVS/privateClouds/secrets/delete                               .      .        . . .     provider
Microsoft.AVS/privateClouds/persistentSecrets/read                       reader operator . . owner provider
Microsoft.AVS/privateClouds/persistentSecrets/delete                     .      .        . . owner provider
Microsoft.AVS/privateClouds/check/action                                 .      .        . . .     provider
Microsoft.AVS/privateClouds/operationStatuses/read                       reader operator . . owner provider
Microsoft.AVS/privateClouds/operationResults/read                        reader operator . . owner provider
Microsoft.AVS/privateClouds/scriptPackages/read                          reader operator . . owner provider
Microsoft.AVS/privateClouds/scriptPackages/scriptCmdlets/read            reader operator . . owner provider
Microsoft.AVS/privateClouds/scriptExecutions/read                        reader operator . . owner provider
Microsoft.AVS/privateClouds/scriptExecutions/streams/read                reader operator . . owner provider
Microsoft.AVS/privateClouds/scriptExecutions/audit/read                  reader operator . . owner provider
Microsoft.AVS/privateClouds/scriptExecutions/getExecutionLogs/action     reader operator . . owner provider
Microsoft.AVS/privateClouds/scriptExecutions/write                       .      operator . . owner provider
Microsoft.AVS/privateClouds/scriptExecutions/delete                      .      operator . . owner provider
Microsoft.AVS/privateClouds/scriptExecutions/cancel/action               .      operator . . owner provider
Microsoft.Authorization/roleDefinitions/read                             reader operator . . owner provider
Microsoft.Authorization/roleAssignments/read                             reader operator . . owner provider
Microsoft.Authorization/roleAssignments/write                            .      .        . . owner provider
Microsoft.Authorization/roleAssignments/delete                           .      .        . . owner provider
Microsoft.Features/providers/features/read                               reader operator . . owner provider
Microsoft.Features/providers/features/register/action                    .      .        . . owner provider
Microsoft.Features/providers/features/unregister/action                  .      .        . . owner provider
Microsoft.Resources/tenants/read                                         reader operator . . owner provider
Microsoft.Resources/subscriptions/read                                   reader operator . . owner provider
Microsoft.Resources/subscriptions/providers/read                         reader operator . . owner provider
Microsoft.Resources/subscriptions/resources/read                         reader operator . . owner provider
Microsoft.Resources/subscriptions/resourceGroups/read                    reader operator . . owner provider
Microsoft.Resources/subscriptions/resourceGroups/resources/read          reader operator . . owner provider
Airlock/servicePrincipals/read                                           .      .        . . .     provider
Airlock/servicePrincipals/write                                          .      .        . . .     provider
Airlock/servicePrincipals/delete                                         .      .        . . .     provider
Airlock/servicePrincipals/addSecret/action                               .      .        . . .     provider
Airlock/servicePrincipals/removeSecret/action                            .      .        . . .     provider
Airlock/tokens/read                                                      .      .        . . .     provider
Airlock/tokens/write                                                     .      .        . . .     provider
Airlock/tokens/delete                                                    .      .        . . .     provider
Airlock/packages/read                                                    reader operator publisher reviewer owner provider
Airlock/packages/write                                                   .      .        publisher .        owner provider
Airlock/packages/promote/action                                          .      .        publisher .        owner provider
Airlock/packages/approve/action                                          .      .        .         reviewer owner provider
Airlock/packages/reject/action                                           .      .        .         reviewer owner provider
Airlock/packages/deprecate/action                                        .      .        .         reviewer owner provider
`

var roles = map[string]string{
	"reader": role.Reader, "operator": role.Operator, "publisher": role.PackagePublisher, "reviewer": role.PackageReviewer,
	"owner": role.Owner, "provider": role.Provider,
}

// may says whether the table lets the role do the action; listed, whether the action is in the table.
func may(name, action string) (may, listed bool) {
	for line := range strings.Lines(whoMay) {
		if columns := strings.Fields(line); len(columns) > 0 && columns[0] == action {
			return slices.Contains(columns[1:], name), true
		}
	}
	return false, false
}

const (
	subscriptionScope = domain.Scope("/subscriptions/" + subscription)
	groupScope        = subscriptionScope + "/resourceGroups/" + group
	cloudScope        = domain.Scope(cloudPath)
)

// path is a path of the route, below the private cloud to something that is not there, and its scope.
func path(pattern string) (string, domain.Scope) {
	p := pattern
	for name, value := range map[string]string{
		"subscription": subscription, "resourceGroup": group, "privateCloud": "Cloud-1", "feature": domain.ScriptingPreview,
		"roleDefinition": role.Reader, "roleAssignment": uuid.NewString(), "scriptPackage": "P@1.*",
	} {
		p = strings.ReplaceAll(p, "{"+name+"}", value)
	}
	p = regexp.MustCompile(`\{\w+\}`).ReplaceAllString(p, "x")
	for _, scope := range []domain.Scope{cloudScope, groupScope, subscriptionScope} {
		if strings.HasPrefix(p, string(scope)) {
			return p, scope
		}
	}
	return p, domain.Everywhere
}

// Every role, at every scope above, at, below and beside, on every route: what the table says, and nothing else.
func TestRolesAndRoutes(t *testing.T) {
	t.Parallel()
	scopes := []domain.Scope{domain.Everywhere, subscriptionScope, groupScope, cloudScope, subscriptionScope + "0", groupScope + "0", cloudScope + "0"}
	type holder struct {
		name, role string
		at         domain.Scope
	}
	var holders []holder
	identities := []domain.Identity{person("nobody")}
	for name := range roles {
		for n, at := range scopes {
			h := holder{fmt.Sprintf("%s-%d", name, n), name, at}
			holders, identities = append(holders, h), append(identities, person(h.name))
		}
	}
	e := startWith(t, identities...)
	neighbour := cloudID
	neighbour.Name += "0"
	if err := e.store.PutPrivateCloud(t.Context(), domain.PrivateCloud{ID: neighbour}); err != nil {
		t.Fatal(err)
	}
	e.do("PUT", cloudPath+"/scriptExecutions/waiting", put("Start-Sleep", "")).want(t, 201, "") // keeps the private cloud from being removed
	for _, h := range holders {
		e.give(roles[h.role], h.at, person(h.name).Principal)
	}
	holders = append(holders, holder{"nobody", "", "/subscriptions/none"})

	asked := 0
	for _, route := range e.server.Routes() {
		if route.Public {
			continue
		}
		if _, listed := may("", route.Action); !listed {
			t.Errorf("the table does not say who may do %s, the action of %s %s: add it", route.Action, route.Method, route.Pattern)
			continue
		}
		p, scope := path(route.Pattern)
		for _, h := range holders {
			allowed, _ := may(h.role, route.Action)
			allowed = allowed && h.at.Covers(scope)
			if route.Open {
				allowed = open(route.Pattern, h.role, h.at)
			}
			got := e.as(h.name, route.Method, p, "")
			asked++
			refused := got.StatusCode == 403 && got.Header.Get("x-ms-error-code") == string(errors.AuthorizationFailed)
			if refused == allowed || got.StatusCode == 401 || got.StatusCode >= 500 || route.Open && allowed && got.StatusCode != 200 {
				t.Errorf("%s (%s at %s): %s %s answered %s: %s", h.name, h.role, h.at, route.Method, p, got.Status, got.body)
			}
			if !refused {
				continue
			}
			message := decode[errorReply](t, got).Error.Message
			for _, part := range []string{`"` + h.name + `"`, "test:" + h.name, route.Action, " " + string(scope) + ";"} {
				if !strings.Contains(message, part) {
					t.Errorf("%s %s: the refusal lacks %s: %s", route.Method, p, part, message)
				}
			}
		}
	}
	t.Logf("%d requests", asked)
}

// open says whether an open route answers: each does, but a subscription and a resource group only to whom they show
// something.
func open(pattern, name string, at domain.Scope) bool {
	reads, _ := may(name, "Microsoft.AVS/privateClouds/read")
	switch pattern {
	case "/subscriptions/{subscription}": // or holds something there
		return reads && at == domain.Everywhere || at.Subscription() == subscription
	case "/subscriptions/{subscription}/resourceGroups/{resourceGroup}":
		return reads && (at.Covers(groupScope) || groupScope.Covers(at))
	}
	return true
}

// No route is without an action or without a line in the table above; no role has an action that names nothing.
func TestEveryRouteHasItsAction(t *testing.T) {
	t.Parallel()
	routes := start(t).server.Routes()
	ends := map[string][]string{"GET": {"/read"}, "PUT": {"/write"}, "DELETE": {"/delete"}, "POST": {"/action", "/write"}}
	var actions []string
	for _, r := range routes {
		actions = append(actions, r.Action)
		if r.Public && r.Action == "" {
			continue
		}
		form := regexp.MustCompile(`^(Microsoft\.\w+|Airlock)(/\w+)+$`).MatchString(r.Action)
		if !form || !slices.ContainsFunc(ends[r.Method], func(end string) bool { return strings.HasSuffix(r.Action, end) }) {
			t.Errorf("%s %s has the action %q", r.Method, r.Pattern, r.Action)
		}
	}
	for line := range strings.Lines(whoMay) {
		if columns := strings.Fields(line); len(columns) > 0 && !slices.Contains(actions, columns[0]) {
			t.Errorf("the table has %s, which no route has", columns[0])
		}
	}
	for _, r := range role.All {
		for _, pattern := range slices.Concat(r.Actions, r.NotActions) {
			one := role.Role{Actions: []string{pattern}}
			if !slices.ContainsFunc(actions, one.Allows) {
				t.Errorf("the role %s has %s, which no route has", r.Name, pattern)
			}
		}
	}
}

// Who may not look learns nothing: what is there and what is not answer alike.
func TestRefusalsSayNothingAboutWhatThereIs(t *testing.T) {
	t.Parallel()
	e := startWith(t, person("stranger"))
	e.do("PUT", cloudPath+"/scriptExecutions/there", put("Start-Sleep", "")).want(t, 201, "")
	assigned := e.give(role.Reader, domain.Scope(cloudPath), person("somebody").Principal)
	before := e.snapshot()
	for _, route := range e.server.Routes() {
		if route.Public || route.Open {
			continue
		}
		var answers []string
		for _, names := range [][]string{
			{subscription, group, "Cloud-1", "there", assigned.ID, "Example.Inventory@1.*", "Get-Inventory"},
			{"22222222-2222-3333-4444-555555555555", "Group-9", "Cloud-9", "where", uuid.NewString(), "Example.Unheard@1.*", "Get-Nothing"},
		} {
			p := strings.NewReplacer("{subscription}", names[0], "{resourceGroup}", names[1], "{privateCloud}", names[2], "{scriptExecution}", names[3],
				"{roleAssignment}", names[4], "{scriptPackage}", names[5], "{scriptCmdlet}", names[6]).Replace(route.Pattern)
			p = regexp.MustCompile(`\{\w+\}`).ReplaceAllString(p, names[3])
			got := e.as("stranger", route.Method, p, put("Get-Inventory", "")).want(t, 403, errors.AuthorizationFailed)
			got.Header.Del("Date")
			got.Header.Del("x-ms-request-id")
			got.Header.Del("x-ms-correlation-request-id")
			got.Header.Del("Content-Length")
			answer := strings.NewReplacer(names[0], "S", names[1], "G", names[2], "C").Replace(string(got.body))
			answers = append(answers, fmt.Sprint(answer, got.Header))
		}
		if answers[0] != answers[1] {
			t.Errorf("%s %s: the answers differ:\n%s\n%s", route.Method, route.Pattern, answers[0], answers[1])
		}
	}
	if after := e.snapshot(); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Error("a stranger has changed something")
	}
	for _, event := range e.audit.list()[1:] { // after the developer's PUT
		if event.Actor != "stranger (test:stranger)" || event.Result != "AuthorizationFailed" {
			t.Errorf("the audit has %+v", event)
		}
	}
}

// A name with a slash in it is no way to another scope.
func TestNamesDoNotReachOtherScopes(t *testing.T) {
	t.Parallel()
	e := startWith(t, person("anna"))
	e.give(role.Owner, groupScope, person("anna").Principal)
	for _, p := range []string{
		"/subscriptions/" + subscription + "%2FresourceGroups%2F" + group + "/providers/Microsoft.Authorization/roleAssignments",
		"/subscriptions/" + subscription + "%2FresourceGroups%2F" + group + "/resourceGroups/x/providers/Microsoft.Authorization/roleAssignments",
		strings.Replace(cloudPath, group, group+"%2Fx", 1),
		strings.Replace(cloudPath, "Cloud-1", "..%2F..%2F..", 1),
	} {
		e.as("anna", "GET", p, "").want(t, 400, errors.InvalidResourceName)
	}
	e.as("anna", "GET", "/subscriptions/"+subscription+"/providers/Microsoft.Authorization/roleAssignments", "").want(t, 403, errors.AuthorizationFailed)
	e.as("anna", "GET", strings.ToUpper(cloudPath), "").want(t, 200, "")
}

// A role can be held by a group, and whom the configuration names is Provider whatever the store says.
func TestGroupsAndConfiguredProviders(t *testing.T) {
	t.Parallel()
	anna, root := person("anna"), person("root")
	anna.Groups = []domain.Principal{{ID: "test:others", Type: domain.Group}, {ID: "test:operators", Type: domain.Group}}
	root.Groups = []domain.Principal{{ID: "test:roots", Type: domain.Group}}
	e := start(t, func(c *server.Config) {
		c.Authenticator = people{token: aDeveloper, "anna": anna, "root": root}
		c.Providers = append(c.Providers, domain.Principal{ID: "test:roots", Type: domain.Group})
	})
	path := cloudPath + "/scriptExecutions/x"
	e.as("anna", "PUT", path, put("Start-Sleep", "")).want(t, 403, errors.AuthorizationFailed)
	if has, err := server.HasProvider(t.Context(), e.store); has || err != nil {
		t.Errorf("there is a Provider: %v", err)
	}
	given := e.give(role.Operator, groupScope, anna.Groups[1])
	e.as("anna", "PUT", path, put("Start-Sleep", "")).want(t, 201, "")
	e.as("root", "DELETE", string(groupScope)+"/providers/Microsoft.Authorization/roleAssignments/"+given.ID, "").want(t, 200, "")
	e.as("anna", "GET", path, "").want(t, 403, errors.AuthorizationFailed)

	// And so is to whom the installation itself gives the role, once or twice.
	for range 2 {
		if err := server.Assign(t.Context(), e.store, server.RoleProvider, domain.Everywhere, anna.Principal, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if has, err := server.HasProvider(t.Context(), e.store); !has || err != nil {
		t.Errorf("there is no Provider: %v", err)
	}
	e.as("anna", "GET", path, "").want(t, 200, "")
}

// AutomationOnly cmdlets are for applications.
func TestAutomationOnly(t *testing.T) {
	t.Parallel()
	robot := domain.Identity{Name: "robot", Principal: domain.Principal{ID: "test:robot", Type: domain.ServicePrincipal}}
	e := startWith(t, robot, person("anna"))
	e.give(role.Operator, cloudScope, robot.Principal)
	e.give(role.Owner, cloudScope, person("anna").Principal)
	refused := e.as("anna", "PUT", cloudPath+"/scriptExecutions/x", put("Update-Inventory", "")).want(t, 403, errors.AuthorizationFailed)
	if message := decode[errorReply](t, refused).Error.Message; !strings.Contains(message, "Update-Inventory is for automation only") {
		t.Error(message)
	}
	e.do("GET", cloudPath+"/scriptExecutions/x", "").want(t, 404, errors.ResourceNotFound)
	e.as("robot", "PUT", cloudPath+"/scriptExecutions/x", put("Update-Inventory", "")).want(t, 201, "")
	e.as("robot", "PUT", cloudPath+"/scriptExecutions/y", put("Start-Sleep", "")).want(t, 201, "")
}

// What is another private cloud's is not there: no word tells it from what is nowhere.
func TestOperationsElsewhere(t *testing.T) {
	t.Parallel()
	e := startWith(t, person("reader"))
	second := strings.Replace(cloudPath, "Cloud-1", "Cloud-2", 1)
	e.give(role.Reader, domain.Scope(second), person("reader").Principal)
	status := e.do("PUT", cloudPath+"/scriptExecutions/x", put("Start-Sleep", "")).want(t, 201, "").Header.Get("Azure-AsyncOperation")
	_, id, _ := strings.Cut(strings.SplitN(status, "?", 2)[0], "/operationStatuses/")
	if _, err := e.store.Operation(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"/operationStatuses/", "/operationResults/"} {
		says := func(id string) string {
			got := e.as("reader", "GET", second+kind+id, "").want(t, 404, errors.ResourceNotFound)
			return strings.ReplaceAll(string(got.body), id, "ID")
		}
		if there, nowhere := says(id), says(uuid.NewString()); there != nowhere {
			t.Errorf("%s of another private cloud is answered %s, one of none %s", kind, there, nowhere)
		}
	}
}

// reading is a store that says when output has been read.
type reading struct {
	server.Store
	read chan struct{}
}

func (s reading) Records(ctx context.Context, id string, after int64, limit, maxBytes int) ([]domain.Record, error) {
	records, err := s.Store.Records(ctx, id, after, limit, maxBytes)
	s.read <- struct{}{}
	return records, err
}

// Whose role is taken away while he waits does not see what comes then.
func TestHeldWithoutARole(t *testing.T) {
	t.Parallel()
	read := make(chan struct{}, 100)
	e := start(t, func(c *server.Config) {
		c.Authenticator = people{token: aDeveloper, "reader": person("reader")}
		c.Hold, c.Store = time.Hour, reading{c.Store, read}
	})
	path := cloudPath + "/scriptExecutions/x"
	e.do("PUT", path, put("Start-Sleep", "")).want(t, 201, "")
	mine := e.give(role.Reader, cloudScope, person("reader").Principal)
	answers := make(chan reply)
	go func() { answers <- e.as("reader", "GET", path+"/streams", "") }()
	<-read // there was nothing: it is held
	e.do("DELETE", assignmentsAt(cloudScope)+"/"+mine.ID, "").want(t, 200, "")
	e.execute(byName)
	(<-answers).want(t, 403, errors.AuthorizationFailed)
}
