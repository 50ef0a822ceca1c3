package vcproxy

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions/internal/envelope"
	"github.com/airlock-run/airlock/sessions/internal/policy"
)

// maxSOAP bounds a SOAP request, which is buffered to be judged.
const maxSOAP = 4 << 20

const (
	soapCookie  = "vmware_soap_session"
	restSession = "vmware-api-session-id" // a header, and a cookie
)

// refusal says why a request does not go on.
type refusal struct {
	rule    string // "" for what is no rule's doing
	status  int
	message string
}

// carried says where a request carries the token.
type carried struct {
	soapCookie, restCookie, restHeader, mob bool
	envelope                                []envelope.Span
}

func (c carried) any() bool {
	return c.soapCookie || c.restCookie || c.restHeader || c.mob || len(c.envelope) > 0
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := newRecord(w, r)
	var call judged
	rule := ""
	defer func() { p.c.Audit(c.event(p.c.Host, r, &call, rule)) }()
	s, no := p.judge(c, r, &call)
	defer func() {
		p.bodies.Release(call.held)
		if call.alone {
			p.alone.Release(1)
		}
	}()
	if no == nil && call.answered {
		rule = call.refused
		return
	}
	if no == nil {
		no = p.hold(r, s, &call)
	}
	upgrades := webSocket(r, s)
	if no == nil {
		no = p.authorize(r, s, &call)
	}
	passing := r.WithContext(context.WithValue(r.Context(), passageKey{}, &passage{s, &call}))
	if no == nil && upgrades {
		if no = p.upgrade(c, passing); no == nil {
			return
		}
	}
	if no != nil {
		rule = no.rule
		p.refuse(c, s, *no)
		return
	}
	p.forward.ServeHTTP(c, passing)
}

// judged is a request that policy lets pass, or that has been answered.
type judged struct {
	envelope.Call
	asked    policy.Service
	body     []byte // in hand: of a SOAP call, and of a REST call that is small
	held     int64  // of proxy.bodies, until the call is answered
	tokens   carried
	used     sessions // that took the token's place
	alone    bool     // until the call is answered, no other one goes on that is judged by roles and permissions
	answered bool
	refused  string // the rule, of what was answered with a refusal
}

// judge applies the policy, checks the token, and answers what is answered here.
func (p *proxy) judge(w http.ResponseWriter, r *http.Request, j *judged) (service, *refusal) {
	asked, closed := p.c.Policy.Path(r.URL)
	s := serviceOf(asked)
	j.asked = asked
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default: // TRACE would show the session
		return s, &refusal{ruleForm, http.StatusMethodNotAllowed, fmt.Sprintf("Airlock does not pass the HTTP method %.20q on.", r.Method)}
	}
	if closed != nil {
		return s, refused(r.Method+" "+shown(r.URL.Path), closed)
	}
	if s == mob {
		return s, p.judgeMOB(w, r, j)
	}
	if s == soap || s == sso {
		if no := p.readCall(w, r, j); no != nil {
			return s, no
		}
	}
	if s == public { // without a session, for what is sent there is not judged
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			return s, &refusal{ruleForm, http.StatusMethodNotAllowed, fmt.Sprintf("%s can only be read.", shown(r.URL.Path))}
		}
		return s, nil
	}
	valid := p.tokens(r, j)
	if p.scriptLogin(w, r, asked, j) {
		return s, nil
	}
	var need policy.Need
	if j.Method != "" {
		var no *policy.Refusal
		if need, no = p.c.Policy.Method(asked, j.Method); no != nil {
			return s, refused(j.Method, no)
		}
	}
	if s == sso {
		asserted, no := p.assertedSSO(j)
		if no != nil {
			return s, no
		}
		valid = valid && asserted
	}
	if !j.tokens.any() && beforeLogin(asked, j.Method) {
		return s, nil
	}
	if !valid || !j.tokens.any() {
		return s, &refusal{ruleSession, http.StatusUnauthorized,
			"This is not a session of the execution; use the token that Airlock gave it as the vCenter session, and log in nowhere."}
	}
	if need.Arguments {
		if no := p.judgeArguments(r.Context(), asked, j, need); no != nil {
			return s, no
		}
	}
	if s == rest || s == api {
		if no := p.c.Policy.REST(r.Method, r.URL); no != nil {
			return s, refused(r.Method+" "+shown(r.URL.Path), no)
		}
	}
	j.answered = answerHere(w, r, s, asked, j.Method)
	return s, nil
}

// answerHere answers a logout: the session is the execution's, and ends with it.
func answerHere(w http.ResponseWriter, r *http.Request, s service, asked policy.Service, method string) bool {
	session := strings.HasSuffix(strings.ToLower(strings.TrimSuffix(r.URL.Path, "/")), "/session") // as the policy reads it
	switch {
	case method == "Logout" || method == "VslmLogout":
		writeXML(w, http.StatusOK, envelope.Empty(method, asked.Namespace()))
	case r.Method == http.MethodDelete && s == api && session:
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodDelete && s == rest && session:
		w.WriteHeader(http.StatusOK)
	default:
		return false
	}
	return true
}

// readCall reads and scans the body of a SOAP request.
func (p *proxy) readCall(w http.ResponseWriter, r *http.Request, j *judged) *refusal {
	if r.Method != http.MethodPost {
		return &refusal{ruleForm, http.StatusMethodNotAllowed, "SOAP calls are sent with POST."}
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return &refusal{ruleForm, http.StatusUnsupportedMediaType, fmt.Sprintf("Airlock cannot read SOAP calls in the content encoding %.20q; send them plain.", e)}
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || kind != "text/xml" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return &refusal{ruleForm, http.StatusUnsupportedMediaType, "SOAP calls are sent as text/xml in UTF-8."}
	}
	size := int64(maxSOAP)
	if r.ContentLength >= 0 {
		size = min(size, r.ContentLength)
	}
	if err := p.bodies.Acquire(r.Context(), size); err != nil {
		return &refusal{"", http.StatusServiceUnavailable, "The execution has ended."}
	}
	j.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxSOAP))
	j.held = int64(len(j.body))
	p.bodies.Release(size - j.held)
	if err != nil {
		return &refusal{ruleForm, http.StatusRequestEntityTooLarge, "This SOAP call could not be read whole; Airlock takes at most 4 MiB."}
	}
	if j.Call, err = envelope.Scan(j.body); err != nil {
		return unreadable(err)
	}
	return nil
}

// tokens finds where the request carries a session. It returns false if one of them is not the execution's token.
func (p *proxy) tokens(r *http.Request, j *judged) bool {
	valid := true
	check := func(v string) bool {
		valid = valid && p.c.Token.Equal(secret.New(v))
		return true
	}
	for _, cookie := range r.Cookies() {
		switch cookie.Name {
		case soapCookie:
			j.tokens.soapCookie = check(cookie.Value)
		case restSession:
			j.tokens.restCookie = check(cookie.Value)
		}
	}
	for _, v := range r.Header.Values(restSession) {
		j.tokens.restHeader = check(v)
	}
	for _, span := range j.Sessions {
		check(string(j.body[span.From:span.To]))
	}
	j.tokens.envelope = j.Sessions
	return valid
}

// authorize takes everything from the request by which somebody could be known, and puts Airlock's own sessions
// where the execution's token was.
func (p *proxy) authorize(r *http.Request, s service, j *judged) *refusal {
	for _, name := range []string{"Cookie", restSession, "Authorization", "Proxy-Authorization", "Upgrade", "Connection",
		"X-Http-Method", "X-Http-Method-Override", "X-Method-Override",
		"Vapi-Service", "Vapi-Operation"} { // which could name another method
		r.Header.Del(name)
	}
	used, err := p.logins.use(r.Context(), s, j.tokens)
	if err != nil {
		return notReached(err)
	}
	j.used = used
	var cookie []string
	body := j.body
	if used.sso != nil {
		cookie = append(cookie, cookies(used.sso.Client))
	}
	if used.vim != nil {
		if j.tokens.soapCookie {
			cookie = append(cookie, used.vim.cookies)
		}
		body = exchange(body, j.tokens.envelope, used.vim.id)
	}
	if j.tokens.restCookie {
		cookie = append(cookie, (&http.Cookie{Name: restSession, Value: used.rest.SessionID()}).String())
	}
	if j.tokens.restHeader {
		r.Header.Set(restSession, used.rest.SessionID())
	}
	if used.mob != nil {
		cookie = append(cookie, used.mob.cookies)
	}
	if len(cookie) > 0 {
		r.Header.Set("Cookie", strings.Join(cookie, "; "))
	}
	if body == nil {
		return nil
	}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	r.ContentLength, r.TransferEncoding, r.Trailer = int64(len(body)), nil, nil
	kind := map[service]string{soap: "text/xml; charset=utf-8", sso: "text/xml; charset=utf-8", mob: formType}[s]
	if kind != "" {
		r.Header.Set("Content-Type", kind) // a second one could say another thing
		r.Header.Del("Content-Encoding")
	}
	return nil
}

// exchange puts the session id into the places of the envelope that carried the token.
func exchange(body []byte, places []envelope.Span, id string) []byte {
	if len(places) == 0 {
		return body
	}
	var out bytes.Buffer
	at := 0
	for _, place := range places {
		out.Write(body[at:place.From])
		_ = xml.EscapeText(&out, []byte(id)) // a Buffer takes everything
		at = place.To
	}
	out.Write(body[at:])
	return out.Bytes()
}

// rewrite sends a request to the vCenter, whatever host it names.
func (p *proxy) rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "https", p.c.Host, ""
	if g, ok := r.Out.Context().Value(passageKey{}).(*passage); ok && (g.call.leases() || g.call.registrations()) {
		r.Out.Header.Del("Accept-Encoding") // the answer is read here
	}
}

// shown is a path for a message or an audit event.
func shown(path string) string {
	const most = 200
	if len(path) > most {
		path = path[:most] + "…"
	}
	return (&url.URL{Path: strings.ToValidUTF8(path, "")}).EscapedPath()
}

// done says whether the execution has ended, so that nobody waits for an answer.
func done(ctx context.Context) bool { return ctx.Err() != nil }
