package server

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/server/internal/role"
)

// request is an authenticated request on its way to the handler of its route.
type request struct {
	*http.Request
	id       string // x-ms-request-id, which the log has too
	identity domain.Identity
	route    *route
	version  string // api-version
	cloud    domain.CloudID
	vars     map[string]string // the variables of the route's pattern, decoded
	scope    domain.Scope      // what the path begins with: where the action is to be allowed
	held     role.Held         // what the identity has been assigned

	feed bool // it comes from a client of NuGet's: see feed.go

	execution string // id, which a handler sets for the audit
	detail    string // what else the audit says, which a handler sets
}

// The api-versions of Microsoft.AVS that have script executions. What differs between them is in resources.go.
var apiVersions = []string{"2021-06-01", "2021-12-01", "2022-05-01", "2023-03-01", "2023-09-01", "2024-09-01", "2025-09-01"}

// since says whether the request's api-version is v or a later one.
func (r *request) since(v string) bool { return r.version >= v }

// ServeHTTP serves one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	r := &request{Request: hr, id: s.cfg.NewID(), feed: forFeed(hr)}
	if r.feed {
		r.bearing()
	}
	a := &answer{ResponseWriter: w, control: http.NewResponseController(w)}
	_ = a.control.SetWriteDeadline(time.Time{}) // one of an earlier request on this connection may be left
	if hr.ContentLength != 0 {
		// Also of a body that nobody reads: the connection's next request comes after it. See readBody.
		_ = a.control.SetReadDeadline(time.Now().Add(bodyPatience))
	}
	setIDs(a.Header(), hr.Header, r.id)
	// No cache and no browser may make anything of an answer.
	a.Header().Set("Cache-Control", "no-store")
	a.Header().Set("X-Content-Type-Options", "nosniff")
	err := s.serve(a, r)
	s.record(r, err)
	if err != nil {
		s.fail(a, r, err)
	}
}

// serve takes the request as far as it gets. A panic is an error like any other.
func (s *Server) serve(a *answer, r *request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	route, vars, allowed := s.find(r.Method, r.URL.EscapedPath())
	if route == nil || !route.public {
		if err := s.authenticate(r); err != nil {
			return err
		}
	}
	switch {
	case route == nil && r.feed && r.Method == http.MethodDelete:
		a.Header().Set("Allow", "GET, HEAD, PUT")
		return errors.Newf(errors.MethodNotAllowed, "A version of a package is never deleted; a reviewer deprecates it with `airlock package deprecate`, and nobody finds it any more who does not ask for exactly that version.")
	case route == nil && allowed != nil:
		a.Header().Set("Allow", strings.Join(allowed, ", "))
		return errors.Newf(errors.MethodNotAllowed, "%.20s is not possible here; %s is.", r.Method, strings.Join(allowed, ", "))
	case route == nil:
		return errors.Newf(errors.ResourceNotFound, "There is nothing at this path; see that it is one of Microsoft.AVS that has to do with script executions.")
	}
	places := s.active
	if route.public {
		places = s.public
	}
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	default:
		a.Header().Set("Retry-After", "1")
		return errors.Newf(errors.TooManyRequests, "The server works on %d requests, the most it does at once; try again in a second.", cap(places))
	}
	r.route, r.vars = route, vars
	if err := r.checkNames(); err != nil {
		return err
	}
	if err := s.authorise(r); err != nil {
		return err
	}
	if err := r.checkVersion(); err != nil {
		return err
	}
	return route.handle(s, a, r)
}

// foreignVersion is the form of every api-version in ARM.
var foreignVersion = regexp.MustCompile(`^20\d\d-\d\d-\d\d(-preview)?$`)

func (r *request) checkVersion() error {
	given := r.URL.Query()["api-version"]
	if r.route.public || r.feed || r.route.foreign && len(given) == 1 && foreignVersion.MatchString(given[0]) {
		return nil
	}
	if len(given) == 0 || len(given) == 1 && given[0] == "" {
		return errors.Newf(errors.MissingAPIVersionParameter, "The query needs an api-version, one of %s.", strings.Join(apiVersions, ", "))
	}
	if len(given) > 1 || !slices.Contains(apiVersions, given[0]) {
		return errors.Newf(errors.InvalidAPIVersionParameter, "The api-version %.40q is not known; use one of %s.", strings.Join(given, ","), strings.Join(apiVersions, ", "))
	}
	r.version = given[0]
	return nil
}

// checkNames holds the path's names to the rules of Microsoft.AVS.
func (r *request) checkNames() error {
	for _, variable := range slices.Sorted(maps.Keys(r.vars)) { // of two that are wrong always the same one is told
		name := r.vars[variable]
		ok, rule := domain.ValidName(name), "at most 128 letters, digits, '-', '.' or '_'"
		switch variable {
		case "path": // the feed looks at it
			ok = true
		case "resourceGroup":
			ok, rule = domain.CloudID{Subscription: "s", ResourceGroup: name, Name: "c"}.Valid(), "at most 90 letters, digits, '-', '.', '_', '(' or ')', with no '.' at the end"
		case "secret":
			ok, rule = secretName.MatchString(name), "1 to 127 letters A to Z, digits or '-'"
		case "package":
			ok, rule = packageName.MatchString(name), "the name of a package without a version: at most 100 letters, digits, '_', '.' or '-'"
		case "scriptPackage":
			ok, rule = domain.ValidPackageRef(name), "Name@1.2.3 or Name@1.*"
		}
		if !ok {
			return errors.Newf(errors.InvalidResourceName, "The %s name %.140q is not allowed; it must be %s.", words(variable), name, rule).At(variable)
		}
	}
	r.cloud = domain.CloudID{Subscription: r.vars["subscription"], ResourceGroup: r.vars["resourceGroup"], Name: r.vars["privateCloud"]}
	r.scope = r.cloud.Scope()
	return nil
}

// packageName is what every store of secrets takes.
var packageName = regexp.MustCompile(`^\w[\w.-]{0,99}$`)

// secretName is what every store of secrets takes (Azure Key Vault).
var secretName = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)

var upper = regexp.MustCompile(`[A-Z]`)

// words makes "script execution" of scriptExecution.
func words(camel string) string {
	return upper.ReplaceAllStringFunc(camel, func(s string) string { return " " + strings.ToLower(s) })
}

// record writes the audit event of a request that may change something, refused ones included. Requests that were
// not authenticated are in the log only: anybody can send as many as they like.
func (s *Server) record(r *request, err error) {
	if r.route == nil || r.identity.Principal.ID == "" || strings.HasSuffix(r.route.action, "/read") {
		return
	}
	e := audit.Event{
		Time: s.cfg.Now(), Execution: r.execution, Actor: actor(r.identity), Action: r.route.action,
		Target: r.URL.EscapedPath(), Result: "ok", Detail: "request " + r.id,
	}
	if r.detail != "" {
		e.Detail += ", " + r.detail
	}
	if r.cloud.Valid() {
		e.Cloud = r.cloud.String()
	}
	if err != nil {
		e.Result = string(errors.CodeOf(err))
	}
	s.cfg.Audit.Write(r.Context(), e)
}

// actor is an identity as the audit shows it. Issuers let people choose their names: the principal's id says who it is.
func actor(i domain.Identity) string {
	if i.Name == i.Principal.ID {
		return i.Name
	}
	return i.Name + " (" + i.Principal.ID + ")"
}

// fail answers with an error in ARM's form; the log has the cause under the request's id. Where the answer has begun
// already, the connection is broken off instead, so that nobody takes half an answer for a whole one.
func (s *Server) fail(a *answer, r *request, err error) {
	e := errors.For(err, r.id)
	level := slog.LevelDebug
	switch {
	case r.Context().Err() != nil || a.broken: // nobody is there any more
	case e.Code.HTTPStatus() >= http.StatusInternalServerError:
		level = slog.LevelError
	case e.Code == errors.AuthenticationFailed:
		level = slog.LevelInfo
	}
	s.cfg.Logger.Log(r.Context(), level, "request failed", "id", r.id, "method", r.Method, "path", r.URL.EscapedPath(),
		"from", r.RemoteAddr, "error", err)
	if a.begun {
		panic(http.ErrAbortHandler)
	}
	h := a.Header()
	h.Set("x-ms-error-code", string(e.Code))
	switch e.Code {
	case errors.AuthenticationFailed:
		h.Set("WWW-Authenticate", challenge(s.cfg.URL, s.cfg.Issuers))
		if r.feed {
			h.Set("WWW-Authenticate", `Basic realm="Airlock", charset="UTF-8"`)
		}
	case errors.TooManyRequests, errors.ServiceUnavailable:
		h.Set("Retry-After", "1")
	}
	body := errorBody{armError{e.Code, e.Message, e.Target}}
	if r.feed && a.refusePush(r, e.Code.HTTPStatus(), e.Message, body) {
		return
	}
	_ = a.send(e.Code.HTTPStatus(), body)
}

type errorBody struct {
	Error armError `json:"error"`
}

type armError struct {
	Code    errors.Code `json:"code"`
	Message string      `json:"message"`
	Target  string      `json:"target,omitempty"`
}

// clientID is what is taken over from a client's id headers: a GUID, or what somebody made of the idea.
var clientID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// setIDs sets the headers by which a request is found again: the server's id always, the client's correlation id (the
// server's where there is none), the client's own id where it asks for it.
func setIDs(answer, request http.Header, id string) {
	answer.Set("x-ms-request-id", id)
	correlation := request.Get("x-ms-correlation-request-id")
	if !clientID.MatchString(correlation) {
		correlation = id
	}
	answer.Set("x-ms-correlation-request-id", correlation)
	client := request.Get("x-ms-client-request-id")
	if strings.EqualFold(request.Get("x-ms-return-client-request-id"), "true") && clientID.MatchString(client) {
		answer.Set("x-ms-client-request-id", client)
	}
}
