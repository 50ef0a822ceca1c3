package vcproxy

import (
	"bytes"
	"context"
	"encoding/xml"
	"io"
	"mime"
	"net/http"
	"strings"
)

// A vCenter drops sessions: it was restarted, somebody has ended one, or it was idle for too long. A call that is
// answered so is sent once more, in a new session, if its body is in hand; a transfer never is.

// passage is a request on its way to the vCenter.
type passage struct {
	service
	call *judged
}

type passageKey struct{}

// again sends what the proxy passes on.
type again struct{ p *proxy }

// maxFault is the most bytes of a SOAP fault that are looked at.
const maxFault = 64 << 10

// RoundTrip implements http.RoundTripper.
func (a again) RoundTrip(r *http.Request) (*http.Response, error) {
	transport := a.p.logins.transport
	res, err := transport.RoundTrip(r)
	g, ok := r.Context().Value(passageKey{}).(*passage)
	if err != nil || !ok || !g.call.tokens.any() || !dropped(res) || !a.p.logins.renew(r.Context(), g.call.used) {
		return res, err
	}
	if g.call.body == nil && r.Body != nil && r.Body != http.NoBody {
		return res, nil
	}
	_ = res.Body.Close()
	next := r.Clone(r.Context())
	if no := a.p.authorize(next, g.service, g.call); no != nil {
		return nil, loginFailed{no}
	}
	for _, name := range []string{"Connection", "Upgrade"} { // those that upgrade has set
		if v, set := r.Header[name]; set {
			next.Header[name] = v
		}
	}
	return transport.RoundTrip(next)
}

// loginFailed is the error of a call that was not sent again.
type loginFailed struct{ *refusal }

func (f loginFailed) Error() string { return f.message }

// hold takes the body of a REST call into hand, if it is small and known to be.
func (p *proxy) hold(r *http.Request, s service, j *judged) *refusal {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if s != rest && s != api || kind != "application/json" || r.ContentLength <= 0 || r.ContentLength > maxSOAP || j.body != nil {
		return nil
	}
	if err := p.bodies.Acquire(r.Context(), r.ContentLength); err != nil {
		return &refusal{"", http.StatusServiceUnavailable, "The execution has ended."}
	}
	j.held += r.ContentLength
	body, err := io.ReadAll(r.Body) // ends at ContentLength
	if err != nil {
		return &refusal{ruleForm, http.StatusBadRequest, "This REST call could not be read whole."}
	}
	j.body = body
	return nil
}

// dropped says whether an answer is that of a vCenter which does not know the session. It leaves the answer whole.
func dropped(res *http.Response) bool {
	if res.StatusCode != http.StatusInternalServerError {
		return res.StatusCode == http.StatusUnauthorized
	}
	head, err := io.ReadAll(io.LimitReader(res.Body, maxFault))
	res.Body = rejoined{io.MultiReader(bytes.NewReader(head), res.Body), res.Body}
	var f struct {
		Body struct {
			Fault struct {
				Detail struct {
					Faults []struct {
						XMLName xml.Name
						Type    string `xml:"http://www.w3.org/2001/XMLSchema-instance type,attr"`
					} `xml:",any"`
				} `xml:"detail"`
			}
		}
	}
	if err != nil || xml.Unmarshal(head, &f) != nil {
		return false
	}
	for _, d := range f.Body.Fault.Detail.Faults {
		if strings.Contains(d.XMLName.Local, "NotAuthenticated") || strings.HasSuffix(d.Type, "NotAuthenticated") {
			return true
		}
	}
	return false
}

// rejoined is a body of which the beginning was read.
type rejoined struct {
	io.Reader
	io.Closer
}

// renew forgets those of the sessions that the vCenter does not know any more, so that their next use makes new ones,
// and says whether there were any. It asks first: a script could provoke an answer that only looks like it.
func (l *logins) renew(ctx context.Context, s sessions) (forgotten bool) {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	if s.vim != nil && s.vim.dropped(ctx) {
		l.vim.Forget(func(v *vimLogin) bool { return v == s.vim })
		forgotten = true
	}
	if s.rest != nil && restDropped(ctx, s.rest) {
		l.rest.Forget(func(v *restLogin) bool { return v == s.rest })
		forgotten = true
	}
	if s.sso != nil && ssoDropped(ctx, s.sso, l.c.User) {
		l.sso.Forget(func(v *ssoLogin) bool { return v == s.sso })
		forgotten = true
	}
	if s.mob != nil && s.mob.dropped(ctx) {
		l.mob.Forget(func(v *mobLogin) bool { return v == s.mob })
		forgotten = true
	}
	return forgotten
}
