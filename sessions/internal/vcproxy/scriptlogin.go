package vcproxy

import (
	"encoding/xml"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/vmware/govmomi/vim25/methods"
	vimsoap "github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	vimxml "github.com/vmware/govmomi/vim25/xml"

	"github.com/airlock-run/airlock/sessions/internal/envelope"
	"github.com/airlock-run/airlock/sessions/internal/policy"
)

// A client that does not take a session id logs in with the execution's user and token, in the way of its service, and
// is given the token as its session, or at the STS an assertion. Nothing of it goes on to the vCenter.

// sessionPaths make REST sessions.
var sessionPaths = map[string]bool{"/rest/com/vmware/cis/session": true, "/api/session": true}

// beforeLogin says whether clients make a SOAP call before they have a session, as they may at a vCenter.
func beforeLogin(s policy.Service, method string) bool {
	switch s {
	case policy.SSO:
		return method == "SsoAdminServiceInstance" || method == "SsoGroupcheckServiceInstance"
	case policy.Lookup:
		return method == "RetrieveServiceContent" || method == "List" || method == "GetSiteId"
	}
	return s == policy.Vim && method == "RetrieveServiceContent"
}

// scriptLogin answers a login. It leaves alone what is none.
func (p *proxy) scriptLogin(w http.ResponseWriter, r *http.Request, s policy.Service, j *judged) (answered bool) {
	switch {
	case s == policy.STS && j.Method == "RequestSecurityToken":
		p.issue(w, j)
	case s == policy.Vim && (j.Method == "Login" || j.Method == "LoginByToken"):
		p.loginVim(w, r, j)
	case s == policy.SSO && j.Method == "Login":
		p.loginSSO(w, j)
	case sessionPaths[r.URL.Path] && r.Method == http.MethodPost && r.URL.RawQuery == "" && r.Header.Get("Authorization") != "":
		p.loginREST(w, r, serviceOf(s), j)
	default:
		return false
	}
	j.answered = true
	return true
}

func (p *proxy) loginVim(w http.ResponseWriter, r *http.Request, j *judged) {
	c, err := readCredentials(j.body)
	valid := err == nil && p.owns(c.Body.Login.UserName, c.Body.Login.Password)
	if j.Method == "LoginByToken" {
		valid = err == nil && c.Header.Security != nil && p.issued(c.Header.Security.Assertion)
	}
	if !valid {
		j.refused = ruleLogin
		writeXML(w, http.StatusInternalServerError, envelope.InvalidLogin(p.otherLogin()).Bytes())
		return
	}
	now := time.Now().UTC()
	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	session := types.UserSession{
		Key: p.c.ScriptUser, UserName: p.c.ScriptUser, FullName: p.c.ScriptUser, LoginTime: now, LastActiveTime: now,
		Locale: "en", MessageLocale: "en", IpAddress: from, UserAgent: r.UserAgent(),
	}
	var body vimsoap.HasFault = &methods.LoginBody{Res: &types.LoginResponse{Returnval: session}}
	if j.Method == "LoginByToken" {
		body = &methods.LoginByTokenBody{Res: &types.LoginByTokenResponse{Returnval: session}}
	}
	answer, err := vimxml.Marshal(vimsoap.Envelope{Body: body})
	if err != nil { // a user agent that is no XML
		writeXML(w, http.StatusInternalServerError, envelope.Failed("Airlock cannot answer this login.").Bytes())
		return
	}
	p.giveSession(w, soapCookie, "/")
	writeXML(w, http.StatusOK, append([]byte(xml.Header), answer...))
}

func (p *proxy) loginSSO(w http.ResponseWriter, j *judged) {
	c, err := readCredentials(j.body)
	if err != nil || c.Header.Security == nil || !p.issued(c.Header.Security.Assertion) {
		j.refused = ruleLogin
		writeXML(w, http.StatusInternalServerError, envelope.InvalidLogin(p.otherLogin()).Bytes())
		return
	}
	p.giveSession(w, soapCookie, "/")
	writeXML(w, http.StatusOK, envelope.Empty("Login", "urn:sso"))
}

// assertedSSO takes the assertion of a call of SSO administration in place of a session, as clients may that do not log
// in there. The header that carried it goes no further, whosever it is.
func (p *proxy) assertedSSO(j *judged) (valid bool, no *refusal) {
	c, err := readCredentials(j.body)
	if err == nil && c.Header.Security == nil {
		return true, nil
	}
	var body []byte
	var call envelope.Call
	if err == nil {
		body, err = withoutHeader(j.body)
	}
	if err == nil {
		call, err = envelope.Scan(body)
	}
	if err != nil {
		return false, unreadable(err)
	}
	if !p.issued(c.Header.Security.Assertion) {
		return false, nil
	}
	j.body, j.Call, j.tokens.envelope, j.tokens.soapCookie = body, call, nil, true
	return true, nil
}

// loginREST makes a REST session: for user and password as HTTP Basic (RFC 7617), or for an assertion.
func (p *proxy) loginREST(w http.ResponseWriter, r *http.Request, s service, j *judged) {
	user, password, basic := r.BasicAuth()
	if !(basic && p.owns(user, password)) && !p.signed(r.Header.Get("Authorization")) {
		j.refused = ruleLogin
		w.Header().Set("WWW-Authenticate", `Basic realm="VAPI endpoint"`)
		writeREST(w, s, http.StatusUnauthorized, p.otherLogin())
		return
	}
	if s == rest {
		p.giveSession(w, restSession, "/rest")
		writeJSON(w, http.StatusOK, map[string]string{"value": p.c.Token.Reveal()})
		return
	}
	p.giveSession(w, restSession, "/api")
	writeJSON(w, http.StatusCreated, p.c.Token.Reveal())
}

// giveSession gives the token as a session cookie.
func (p *proxy) giveSession(w http.ResponseWriter, name, path string) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: p.c.Token.Reveal(), Path: path, Secure: true, HttpOnly: true})
}

func (p *proxy) otherLogin() string {
	return fmt.Sprintf("Airlock logs nobody in to the vCenter but the execution itself: as %s, with the token that Airlock gave it (rule %s).", p.c.ScriptUser, ruleLogin)
}
