package vcproxy

import (
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// service is a kind of endpoint of vCenter: it decides how a request is judged and how a refusal looks.
type service int

const (
	none    service = iota // every path that is not named below
	public                 // answered before any login
	soap                   // vim25 and the services beside it
	sso                    // SSO administration, which has sessions of its own
	rest                   // vAPI, answers wrapped
	api                    // vAPI since 7.0, answers bare
	content                // files of datastores, leases and libraries
)

var versionsPath = regexp.MustCompile(`^/sdk/[a-z]+ServiceVersions\.xml$`)

// classify finds the service of a path. What is not listed is closed, among it the MOB (/mob), VI-JSON
// (/sdk/vim25/…) and the JSON-RPC endpoint (/api itself), through which calls would pass unjudged.
func classify(u *url.URL) service {
	p := u.Path
	if !plain(u) {
		return none
	}
	switch p {
	case "/about":
		return public
	case "/sdk", "/sdk/vimService", "/pbm", "/pbm/sdk", "/sms/sdk", "/vslm/sdk", "/lookupservice/sdk", "/sts/STSService":
		return soap
	case "/sso-adminserver/sdk":
		return sso
	case "/folder":
		return content
	}
	switch {
	case versionsPath.MatchString(p):
		return public
	case strings.HasPrefix(p, "/sts/STSService/"):
		return soap
	case strings.HasPrefix(p, "/sso-adminserver/sdk/"):
		return sso
	case within(p, "/rest/"):
		return rest
	case within(p, "/api/"):
		return api
	case within(p, "/folder/"), within(p, "/nfc/"), within(p, "/cls/"):
		return content
	}
	return none
}

func within(p, dir string) bool { return len(p) > len(dir) && strings.HasPrefix(p, dir) }

// plain says whether all servers understand the path in the same way: nothing to clean, no separator in disguise.
func plain(u *url.URL) bool {
	if u.Path == "" || strings.ContainsAny(u.Path, "\\;\x00") {
		return false
	}
	raw := strings.ToLower(u.EscapedPath())
	for _, disguised := range []string{"%2f", "%5c", "%2e", "%25"} {
		if strings.Contains(raw, disguised) {
			return false
		}
	}
	clean := path.Clean(u.Path)
	return u.Path == clean || u.Path == clean+"/"
}

// beforeLogin are the SOAP methods that clients call before they have a session.
var beforeLogin = map[string]bool{"RetrieveServiceContent": true}

// Rules by which calls are refused, as the audit has them.
const (
	ruleSession = "no-session"        // without the execution's token, or with another one
	rulePath    = "path-closed"       // the path is not among those that are open
	ruleForm    = "form"              // the request cannot be judged
	ruleLogin   = "no-other-login"    // a login with other credentials, or another form of one
	ruleTicket  = "no-tickets"        // a ticket or clone would outlive the execution or go round the broker
	ruleOthers  = "no-others-session" // acting on others' sessions, or as somebody else
	ruleOwnUser = "no-own-user"       // changing the user by which Airlock logs in, its password above all
)

var closedMethods = map[string]string{
	"clonesession":     ruleTicket,
	"impersonateuser":  ruleOthers,
	"terminatesession": ruleOthers,
}

// closedMethod returns the rule that refuses a SOAP method, "" for none.
func closedMethod(method string) string {
	m := strings.ToLower(method)
	switch {
	case strings.HasPrefix(m, "login"), // Login, LoginByToken, LoginExtension…
		strings.HasPrefix(m, "requestsecuritytoken"): // WS-Trust at the STS
		return ruleLogin
	case strings.HasPrefix(m, "acquire") && strings.HasSuffix(m, "ticket"): // for a clone, a service, a host, a console
		return ruleTicket
	}
	return closedMethods[m]
}

// closedREST returns the rule that refuses a vAPI request and what was asked for, "" for none. logout is set for the
// end of the session, which is answered here.
func closedREST(r *http.Request) (rule, what string, logout bool) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return ruleForm, "a query that cannot be read", false
	}
	if query.Has("~method") { // lets a POST be something else
		return ruleForm, "the query parameter ~method", false
	}
	p := strings.ToLower(strings.TrimSuffix(r.URL.Path, "/"))
	switch {
	case strings.HasSuffix(p, "/session"): // /rest/com/vmware/cis/session, /api/session
		asks := query["~action"] // /api has no such parameter, and would pass over it
		switch {
		case r.Method == http.MethodDelete:
			return "", "", true
		case r.Method == http.MethodGet, r.Method == http.MethodPost && within(p, "/rest/") && len(asks) == 1 && asks[0] == "get":
			return "", "", false
		}
		return ruleLogin, "a new session", false
	case strings.Contains(p, "/tokenservice/"), strings.HasSuffix(p, "/vcenter/authentication/token"):
		return ruleLogin, "a token exchange", false
	}
	return "", "", false
}
