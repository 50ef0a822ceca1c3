package server

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A route is one line of the table. Its action is the name by which roles allow it, as ARM writes actions, at the scope
// that its path begins with; actions that end in /read change nothing and are not audited.
type route struct {
	method  string
	pattern string // fixed segments, whose case does not matter, and {names}; {path} at the end is all that is left
	action  string
	display string // what the operations list says that it does; "" leaves it out of the list
	handle  handler
	public  bool // for everybody: without authentication, authorisation and api-version
	open    bool // for every identity: it answers what is no secret, or what the identity may see
	foreign bool // of another resource provider than Microsoft.AVS, whose api-versions are its own

	segments []string
}

type handler func(*Server, *answer, *request) error

const (
	provider   = "Microsoft.AVS"
	ofProvider = "/providers/" + provider
	ofSub      = "/subscriptions/{subscription}"
	ofGroup    = ofSub + "/resourceGroups/{resourceGroup}"
	clouds     = ofProvider + "/privateClouds"
	ofCloud    = ofGroup + clouds + "/{privateCloud}"
	pkgs       = ofCloud + "/scriptPackages"
	cmdlets    = pkgs + "/{scriptPackage}/scriptCmdlets"
	executions = ofCloud + "/scriptExecutions"
	execution  = executions + "/{scriptExecution}"

	ownProvider       = "Airlock"
	ofOwn             = "/providers/" + ownProvider
	servicePrincipals = ofOwn + "/servicePrincipals"
	servicePrincipal  = servicePrincipals + "/{servicePrincipal}"
	staticTokens      = ofOwn + "/tokens"
	ownPackages       = ofOwn + "/packages"
	ownPackage        = ownPackages + "/{scriptPackage}"

	actPrincipal = ownProvider + "/servicePrincipals"
	actToken     = ownProvider + "/tokens"
	actPackages  = ownProvider + "/packages"
	actCloud     = provider + "/privateClouds"
	actPackage   = actCloud + "/scriptPackages"
	actExecution = actCloud + "/scriptExecutions"
)

// routes is the one table from which requests are served. HEAD goes where GET goes.
func routes() []route {
	table := []route{
		{method: "GET", pattern: ofProvider + "/operations", action: provider + "/operations/read", display: "List operations", open: true, handle: (*Server).listOperations},

		{method: "GET", pattern: ofSub + clouds, action: actCloud + "/read", open: true, handle: (*Server).listClouds},
		{method: "GET", pattern: ofGroup + clouds, action: actCloud + "/read", open: true, handle: (*Server).listClouds},
		{method: "GET", pattern: ofCloud, action: actCloud + "/read", display: "Get or list private clouds", handle: (*Server).getCloud},

		{method: "PUT", pattern: ofCloud, action: actCloud + "/write", display: "Register or change a private cloud", handle: (*Server).putCloud},
		{method: "DELETE", pattern: ofCloud, action: actCloud + "/delete", display: "Remove a private cloud with its records and secrets", handle: (*Server).deleteCloud},

		{method: "GET", pattern: pkgs, action: actPackage + "/read", handle: (*Server).listPackages},
		{method: "GET", pattern: pkgs + "/{scriptPackage}", action: actPackage + "/read", display: "Get or list script packages", handle: (*Server).getPackage},
		{method: "GET", pattern: cmdlets, action: actPackage + "/scriptCmdlets/read", handle: (*Server).listCmdlets},
		{method: "GET", pattern: cmdlets + "/{scriptCmdlet}", action: actPackage + "/scriptCmdlets/read", display: "Get or list script cmdlets", handle: (*Server).getCmdlet},

		{method: "GET", pattern: executions, action: actExecution + "/read", handle: (*Server).listExecutions},
		{method: "GET", pattern: execution, action: actExecution + "/read", display: "Get or list script executions", handle: (*Server).getExecution},
		{method: "PUT", pattern: execution, action: actExecution + "/write", display: "Run a script cmdlet", handle: (*Server).putExecution},
		{method: "DELETE", pattern: execution, action: actExecution + "/delete", display: "End a script execution and remove it", handle: (*Server).deleteExecution},
		{method: "POST", pattern: execution + "/getExecutionLogs", action: actExecution + "/getExecutionLogs/action", display: "Read all output of a script execution", handle: (*Server).getExecutionLogs},

		{method: "GET", pattern: ofCloud + "/operationStatuses/{operation}", action: actCloud + "/operationStatuses/read", display: "Follow an operation", handle: (*Server).getOperationStatus},
		{method: "GET", pattern: ofCloud + "/operationResults/{operation}", action: actCloud + "/operationResults/read", display: "Wait for an operation", handle: (*Server).getOperationResult},

		// Our own, which ARM does not have.
		{method: "POST", pattern: ofCloud + "/check", action: actCloud + "/check/action", display: "Test the logins of a private cloud", handle: (*Server).checkCloud},
		{method: "PUT", pattern: ofCloud + "/secrets/{secret}", action: actCloud + "/secrets/write", display: "Keep a credential of a private cloud", handle: (*Server).putSecret},
		{method: "DELETE", pattern: ofCloud + "/secrets/{secret}", action: actCloud + "/secrets/delete", display: "Remove a credential of a private cloud", handle: (*Server).deleteSecret},
		{method: "GET", pattern: ofCloud + "/persistentSecrets/{package}", action: actCloud + "/persistentSecrets/read", display: "List a package's persistent secrets, without their values", handle: (*Server).listPersistentSecrets},
		{method: "DELETE", pattern: ofCloud + "/persistentSecrets/{package}/{secret}", action: actCloud + "/persistentSecrets/delete", display: "Delete a persistent secret of a package", handle: (*Server).deletePersistentSecret},
		{method: "GET", pattern: execution + "/streams", action: actExecution + "/streams/read", display: "Follow the output of a script execution", handle: (*Server).getStreams},
		{method: "GET", pattern: execution + "/audit", action: actExecution + "/audit/read", display: "Read what a script execution has called", handle: (*Server).getAudit},
		{method: "POST", pattern: execution + "/cancel", action: actExecution + "/cancel/action", display: "End a script execution and keep it", handle: (*Server).cancelExecution},

		// The package repository for NuGet's clients, which have no api-version.
		// Who only pushes with a key proves himself where he pushes, and reads the index as a stranger.
		{method: "GET", pattern: feedIndex, handle: (*Server).readFeedIndex, public: true},
		{method: "GET", pattern: ofFeed + "/{path}", action: actPackages + "/read", handle: (*Server).readFeed},
		{method: "PUT", pattern: ofFeed + "/v3/publish", action: actPackages + "/write", handle: (*Server).pushPackage},
		{method: "PUT", pattern: ofFeed + "/v3/import", action: actPackages + "/write", handle: (*Server).importPackage},

		// The package repository for those who push and review.
		{method: "GET", pattern: ownPackages, action: actPackages + "/read", handle: (*Server).listVersions, foreign: true},
		{method: "GET", pattern: ownPackage, action: actPackages + "/read", handle: (*Server).getVersion, foreign: true},
		{method: "GET", pattern: ownPackage + "/content", action: actPackages + "/read", handle: (*Server).getVersionContent, foreign: true},
		{method: "POST", pattern: ownPackage + "/approve", action: actPackages + "/approve/action", handle: (*Server).approvePackage, foreign: true},
		{method: "POST", pattern: ownPackage + "/reject", action: actPackages + "/reject/action", handle: (*Server).rejectPackage, foreign: true},
		{method: "POST", pattern: ownPackage + "/deprecate", action: actPackages + "/deprecate/action", handle: (*Server).deprecatePackage, foreign: true},
		{method: "POST", pattern: ownPackage + "/promote", action: actPackages + "/promote/action", handle: (*Server).promotePackage, foreign: true},

		// Principals of Airlock's own, and what they prove themselves by.
		{method: "GET", pattern: servicePrincipals, action: actPrincipal + "/read", handle: (*Server).listServicePrincipals, foreign: true},
		{method: "GET", pattern: servicePrincipal, action: actPrincipal + "/read", handle: (*Server).getServicePrincipal, foreign: true},
		{method: "PUT", pattern: servicePrincipal, action: actPrincipal + "/write", handle: (*Server).putServicePrincipal, foreign: true},
		{method: "DELETE", pattern: servicePrincipal, action: actPrincipal + "/delete", handle: (*Server).deleteServicePrincipal, foreign: true},
		{method: "POST", pattern: servicePrincipal + "/addSecret", action: actPrincipal + "/addSecret/action", handle: (*Server).addSecret, foreign: true},
		{method: "POST", pattern: servicePrincipal + "/removeSecret", action: actPrincipal + "/removeSecret/action", handle: (*Server).removeSecret, foreign: true},
		{method: "GET", pattern: staticTokens, action: actToken + "/read", handle: (*Server).listTokens, foreign: true},
		{method: "POST", pattern: staticTokens, action: actToken + "/write", handle: (*Server).postStaticToken, foreign: true},
		{method: "DELETE", pattern: staticTokens + "/{token}", action: actToken + "/delete", handle: (*Server).deleteStaticToken, foreign: true},

		// Where tokens come from: as OAuth has it, AD FS and Entra (arm-contract.md, "The real az").
		{method: "GET", pattern: metadataPath, handle: (*Server).getResourceMetadata, public: true},
		{method: "GET", pattern: "/.well-known/jwks.json", handle: (*Server).getSigningKeys, public: true},
		{method: "GET", pattern: "/.well-known/oauth-authorization-server", handle: (*Server).getDiscovery, public: true},
		{method: "GET", pattern: discovery, handle: (*Server).getDiscovery, public: true},
		{method: "GET", pattern: "/adfs/{tenant}" + discovery, handle: (*Server).getTenant, public: true},
		{method: "GET", pattern: "/{tenant}" + discovery, handle: (*Server).getDiscovery, public: true},
		{method: "GET", pattern: "/{tenant}/v2.0" + discovery, handle: (*Server).getDiscovery, public: true},
		{method: "POST", pattern: "/{tenant}/oauth2/token", action: ownProvider + "/token/action", handle: (*Server).postToken, public: true},
		{method: "POST", pattern: "/{tenant}/oauth2/v2.0/token", action: ownProvider + "/token/action", handle: (*Server).postToken, public: true},
	}
	table = append(table, foreignRoutes()...)
	for i := range table {
		table[i].segments = strings.Split(table[i].pattern[1:], "/")
	}
	return table
}

// foreignRoutes are those of ARM's own resource providers, as far as az and the SDKs ask for them.
func foreignRoutes() []route {
	const (
		registered  = ofSub + "/providers/Microsoft.Features/providers/" + provider + "/features"
		actFeature  = "Microsoft.Features/providers/features"
		actProvider = actSubscription + "/providers/read"
	)
	table := []route{
		{method: "GET", pattern: "/tenants", action: "Microsoft.Resources/tenants/read", open: true, handle: (*Server).listTenants},
		{method: "GET", pattern: "/subscriptions", action: actSubscription + "/read", open: true, handle: (*Server).listSubscriptions},
		{method: "GET", pattern: ofSub, action: actSubscription + "/read", open: true, handle: (*Server).getSubscription},
		{method: "GET", pattern: ofSub + "/resourceGroups", action: actGroup + "/read", open: true, handle: (*Server).listGroups},
		{method: "GET", pattern: ofGroup, action: actGroup + "/read", open: true, handle: (*Server).getGroup},
		{method: "GET", pattern: ofSub + "/resources", action: actSubscription + "/resources/read", open: true, handle: (*Server).listResources},
		{method: "GET", pattern: ofGroup + "/resources", action: actGroup + "/resources/read", open: true, handle: (*Server).listResources},
		{method: "GET", pattern: ofSub + "/providers", action: actProvider, open: true, handle: (*Server).listProviders},
		{method: "GET", pattern: ofSub + ofProvider, action: actProvider, open: true, handle: (*Server).getProvider},
		{method: "POST", pattern: ofSub + ofProvider + "/register", action: provider + "/register/action", handle: (*Server).getProvider},

		{method: "GET", pattern: ofSub + "/providers/Microsoft.Features/features", action: actFeature + "/read", handle: (*Server).listFeatures},
		{method: "GET", pattern: registered, action: actFeature + "/read", handle: (*Server).listFeatures},
		{method: "GET", pattern: registered + "/{feature}", action: actFeature + "/read", handle: (*Server).getFeature},
		{method: "POST", pattern: registered + "/{feature}/register", action: actFeature + "/register/action", handle: (*Server).registerFeature},
		{method: "POST", pattern: registered + "/{feature}/unregister", action: actFeature + "/unregister/action", handle: (*Server).unregisterFeature},
	}
	for _, scope := range []string{"", ofSub, ofGroup, ofCloud} {
		const (
			actRole       = actAuthorization + "/roleDefinitions"
			actAssignment = actAuthorization + "/roleAssignments"
		)
		roles, assignments := scope+"/providers/"+actRole, scope+"/providers/"+actAssignment
		table = append(table,
			route{method: "GET", pattern: roles, action: actRole + "/read", open: true, handle: (*Server).listRoles},
			route{method: "GET", pattern: roles + "/{roleDefinition}", action: actRole + "/read", open: true, handle: (*Server).getRole},
			route{method: "GET", pattern: assignments, action: actAssignment + "/read", handle: (*Server).listAssignments},
			route{method: "GET", pattern: assignments + "/{roleAssignment}", action: actAssignment + "/read", handle: (*Server).getAssignment},
			route{method: "PUT", pattern: assignments + "/{roleAssignment}", action: actAssignment + "/write", handle: (*Server).putAssignment},
			route{method: "DELETE", pattern: assignments + "/{roleAssignment}", action: actAssignment + "/delete", handle: (*Server).deleteAssignment})
	}
	for i := range table {
		table[i].foreign = true
	}
	return table
}

// find looks up the route of a request. Where only the method is wrong, it returns the methods that are right.
func (s *Server) find(method, escapedPath string) (found *route, vars map[string]string, allowed []string) {
	path, ok := pathSegments(escapedPath)
	if !ok {
		return nil, nil, nil
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for i := range s.routes {
		r := &s.routes[i]
		vars, ok := r.match(path)
		if ok && r.method == method {
			return r, vars, nil
		}
		if ok {
			allowed = append(allowed, r.method)
		}
	}
	if slices.Contains(allowed, http.MethodGet) {
		allowed = append(allowed, http.MethodHead)
	}
	return nil, nil, allowed
}

// pathSegments splits a path and then decodes its segments, so that a name keeps whatever it has in it: clients
// write the @ of a package as %40. Slashes before and one after the path do not matter.
func pathSegments(escaped string) ([]string, bool) {
	segments := strings.Split(strings.TrimSuffix(strings.TrimLeft(escaped, "/"), "/"), "/")
	for i, segment := range segments {
		plain, err := url.PathUnescape(segment)
		if err != nil {
			return nil, false
		}
		segments[i] = plain
	}
	return segments, true
}

func (r *route) match(path []string) (map[string]string, bool) {
	if last := len(r.segments) - 1; r.segments[last] == "{path}" && len(path) > last {
		path = append(slices.Clone(path[:last]), strings.Join(path[last:], "/"))
	}
	if len(path) != len(r.segments) {
		return nil, false
	}
	vars := map[string]string{}
	for i, segment := range r.segments {
		if name, variable := strings.CutPrefix(segment, "{"); variable && path[i] != "" {
			vars[strings.TrimSuffix(name, "}")] = path[i]
		} else if !strings.EqualFold(segment, path[i]) {
			return nil, false
		}
	}
	return vars, true
}
