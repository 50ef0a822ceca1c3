// Package policy decides what a script may ask of a vCenter. A decision depends on the request, on what the vCenter says
// of its roles where a rule needs that (Facts), and on nothing else.
//
// The rules stand in rules.yaml, which says how they are read; a provider extends them with a file of the same form
// (Extend). What is not open is refused, so that what a later vCenter brings is closed until somebody has looked at it.
// Two decisions need more than a pattern and are in check.go.
//
// A request is judged in up to three steps, the cheap ones first: Path, then REST or Method, and where that says so
// Arguments, of the call as Decode has read it; what goes on is then what Encode makes of it, never the original, so
// that no server can read a request in another way than it was judged.
package policy

import (
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode"

	vim "github.com/vmware/govmomi/vim25/types"
)

// Service is a kind of endpoint of a vCenter.
type Service string

// The services that a path can lead to.
const (
	Public  Service = "public" // looked at before any login
	Vim     Service = "vim"
	PBM     Service = "pbm"
	SMS     Service = "sms"
	VSLM    Service = "vslm"
	EAM     Service = "eam"
	Lookup  Service = "lookup"
	STS     Service = "sts"
	SSO     Service = "sso"     // SSO administration
	REST    Service = "rest"    // vAPI, answers wrapped
	API     Service = "api"     // vAPI since 7.0, answers bare
	Content Service = "content" // files of datastores, leases and libraries
	MOB     Service = "mob"     // forms of the authorization service, see mob.go
)

// namespaces are those of the services that speak SOAP.
var namespaces = map[Service]string{
	Vim: "urn:vim25", PBM: "urn:pbm", SMS: "urn:sms", VSLM: "urn:vslm", EAM: "urn:eam", Lookup: "urn:lookup", STS: "", SSO: "urn:sso",
}

// SOAP says whether the service speaks SOAP.
func (s Service) SOAP() bool { _, is := namespaces[s]; return is }

// Namespace is that of the methods of a service that speaks SOAP.
func (s Service) Namespace() string { return namespaces[s] }

// Refusal is why a request does not go on.
type Refusal struct {
	Rule string // its name
	Says string // follows "Airlock does not let scripts"
}

// Rules that are no entry of a file.
const (
	RulePath   = "path-closed"
	RuleMethod = "unknown-method"
	RuleForm   = "form" // it cannot be read in one way only
)

// Need is what has to be known of a SOAP call before it is judged whole.
type Need struct {
	Arguments bool // see Arguments
	Facts     bool // among them those of the vCenter
}

// Facts are what some rules go by.
type Facts struct {
	User        string                  // by which Airlock logs in
	Roles       []vim.AuthorizationRole // all that the vCenter has
	Permissions []vim.Permission        // likewise
}

// Policy is a set of rules. It can be used by several goroutines.
type Policy struct {
	paths    []opening
	open     []matcher // SOAP methods, as service/method
	known    []Service // whose methods are open that govmomi knows
	openREST []request
	rules    []rule
	names    map[string][]string
	lists    map[string]matcher // the names of each list, without their domain
	exact    map[string]Service // open paths that are no pattern, of which no rule refuses one

	methods sync.Map // of known methods what Method says, by service/method
}

// Path finds the service that a path leads to. It refuses what is not open.
func (p *Policy) Path(u *url.URL) (Service, *Refusal) {
	if s, found := p.exact[u.Path]; found && u.RawPath == "" {
		return s, nil
	}
	if !plain(u) {
		return "", &Refusal{RuleForm, "use a path that can be read in several ways: with dots, double slashes, or a slash or percent sign in disguise"}
	}
	for _, r := range p.rules {
		if r.path.has(u.Path) {
			return "", &Refusal{r.Name, r.Says}
		}
	}
	i := slices.IndexFunc(p.paths, func(o opening) bool { return o.path.has(u.Path) })
	if i < 0 {
		return "", closedPath
	}
	return p.paths[i].service, nil
}

var closedPath = &Refusal{RulePath, "ask for this path; use the SOAP API at /sdk or REST below /rest and /api, or ask the provider to open it"}

// REST judges a request of vAPI, by its path and its action.
func (p *Policy) REST(method string, u *url.URL) *Refusal {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || query.Has("~method") || len(query["action"])+len(query["~action"]) > 1 {
		return &Refusal{RuleForm, "use a query that can be read in several ways: with ~method, or with more than one action"}
	}
	q := asked{method, strings.TrimSuffix(u.Path, "/"), query.Get("action") + query.Get("~action")}
	if query.Has("action") && strings.HasPrefix(u.Path, "/rest/") || query.Has("~action") && strings.HasPrefix(u.Path, "/api/") {
		q.action = "" // each has its own parameter, and would pass over the other's
	}
	for _, r := range p.rules {
		if anyOf(r.rest, q) && !anyOf(r.unless, q) {
			return &Refusal{r.Name, r.Says}
		}
	}
	if !anyOf(p.openREST, q) {
		return closedPath
	}
	return nil
}

// Method judges a SOAP call by its method, and says what else must be known of it.
func (p *Policy) Method(s Service, method string) (Need, *Refusal) {
	type said struct {
		need Need
		no   *Refusal
	}
	id := string(s) + "/" + method
	if v, found := p.methods.Load(id); found {
		return v.(said).need, v.(said).no
	}
	need, no := p.method(s, method, id)
	if known(s, method) { // those are not endless
		p.methods.Store(id, said{need, no})
	}
	return need, no
}

func (p *Policy) method(s Service, method, id string) (need Need, no *Refusal) {
	for _, r := range p.rules {
		switch {
		case !r.soap.has(id):
		case r.always():
			return Need{}, &Refusal{r.Name, r.Says}
		default:
			need.Arguments = true
			need.Facts = need.Facts || checks[r.Check].facts
		}
	}
	if need.Arguments && !known(s, method) {
		return Need{}, &Refusal{RuleMethod, "call a method whose arguments Airlock does not know"}
	}
	if slices.Contains(p.known, s) && known(s, method) || slices.ContainsFunc(p.open, func(m matcher) bool { return m.MatchString(id) }) {
		return need, nil
	}
	return Need{}, &Refusal{RuleMethod, "call a method that Airlock does not know; ask the provider to open it"}
}

// Arguments judges a SOAP call by its arguments, which Decode has read.
func (p *Policy) Arguments(s Service, method string, args any, f Facts) *Refusal {
	id := string(s) + "/" + method
	for _, r := range p.rules {
		if r.esxcli != nil && s == Vim {
			if call, ok := args.(*executeSoap); ok && r.esxcli.has(strings.TrimPrefix(strings.ToLower(call.Method), esxcliMethod)) {
				return &Refusal{r.Name, r.Says}
			}
		}
		if r.soap.has(id) && p.applies(r, args, f) {
			return &Refusal{r.Name, r.Says}
		}
	}
	return nil
}

// applies says whether the arguments are such that a rule for the method refuses them.
func (p *Policy) applies(r rule, args any, f Facts) bool {
	v := reflect.ValueOf(args)
	for _, c := range r.where {
		is := func(text string) bool { return p.matches(c, text, f) }
		if !slices.ContainsFunc(c.at, func(at []string) bool { return found(v, at, is) }) {
			return false
		}
	}
	if len(r.Holds) > 0 && !holds(v, r.Holds) {
		return false
	}
	if r.Check != "" {
		return checks[r.Check].refuses(p, args, f)
	}
	return true
}

// matches says whether a text is one that a condition is about.
func (p *Policy) matches(c condition, text string, f Facts) bool {
	return c.texts.MatchString(strings.TrimSpace(text)) || slices.ContainsFunc(c.lists, func(list string) bool { return p.named(list, text, f) })
}

// named says whether a text is in a list of the policy's names.
func (p *Policy) named(list, text string, f Facts) bool {
	if list == airlockUser {
		return bareName(text) == bareName(f.User)
	}
	return p.lists[list].MatchString(bareName(text))
}

// plain says whether all servers understand the path in the same way: nothing to clean or to trim, no separator in disguise.
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
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment != strings.TrimSpace(segment) || strings.ContainsFunc(segment, unicode.IsControl) {
			return false
		}
	}
	clean := path.Clean(u.Path)
	return u.Path == clean || u.Path == clean+"/"
}
