package vcproxy

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions/internal/lazy"
	"github.com/airlock-run/airlock/sessions/internal/policy"
)

// The managed object browser of the authorization service is where global permissions are made: a client logs in with HTTP
// Basic, reads a nonce from a page, and posts a form with it. The execution's user and token are taken here; behind it
// stands a session of Airlock's own.

const (
	mobPath   = "/invsvc/mob3/"
	mobCookie = "airlock-mob-session" // holds the token, for clients that log in once
	formType  = "application/x-www-form-urlencoded"
	maxForm   = 64 << 10
)

// judgeMOB takes a page or a form of the browser: the policy's methods, written anew, for the execution's own login.
func (p *proxy) judgeMOB(w http.ResponseWriter, r *http.Request, j *judged) *refusal {
	if no := p.loggedInMOB(w, r); no != nil {
		return no
	}
	if strings.HasSuffix(r.URL.Path, "/logout") {
		j.answered = true
		w.WriteHeader(http.StatusOK)
		return nil
	}
	method, err := policy.FormMethod(r.URL.RawQuery)
	if err != nil {
		return &refusal{"no-mob", http.StatusForbidden, fmt.Sprintf("Airlock refuses this page of the managed object browser: %s.", err)}
	}
	j.tokens.mob = true
	switch {
	case method == "" && r.Method == http.MethodGet:
		return nil
	case method == "":
		return &refusal{"no-mob", http.StatusForbidden, "Airlock does not let scripts browse the managed objects of a vCenter."}
	}
	j.Method = method
	need, no := p.c.Policy.Method(policy.MOB, method)
	switch {
	case no != nil:
		return refused(method, no)
	case r.Method == http.MethodGet:
		return nil
	case r.Method != http.MethodPost:
		return &refusal{ruleForm, http.StatusMethodNotAllowed, "Forms are sent with POST."}
	}
	return p.judgeForm(w, r, j, need)
}

// loggedInMOB checks user and token, or the cookie that stands for them.
func (p *proxy) loggedInMOB(w http.ResponseWriter, r *http.Request) *refusal {
	challenge := func(rule, message string) *refusal {
		w.Header().Set("WWW-Authenticate", `Basic realm="VMware HTTP server"`)
		return &refusal{rule, http.StatusUnauthorized, message}
	}
	if user, password, given := r.BasicAuth(); given {
		if !p.owns(user, password) {
			return challenge(ruleLogin, p.otherLogin())
		}
		p.giveSession(w, mobCookie, "/invsvc/mob3")
		return nil
	}
	if c, err := r.Cookie(mobCookie); err == nil && p.c.Token.Equal(secret.New(c.Value)) {
		return nil
	}
	return challenge(ruleSession, "Log in with the user and the token that Airlock gave the execution.")
}

// judgeForm reads a form, judges it by its argument, and puts into its place what was judged.
func (p *proxy) judgeForm(w http.ResponseWriter, r *http.Request, j *judged, need policy.Need) *refusal {
	unreadable := func(err error) *refusal {
		return &refusal{ruleForm, http.StatusBadRequest, fmt.Sprintf("Airlock cannot read this form: %s.", err)}
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || kind != formType || charset != "" && !strings.EqualFold(charset, "utf-8") || r.Header.Get("Content-Encoding") != "" {
		return &refusal{ruleForm, http.StatusUnsupportedMediaType, "Forms are sent as " + formType + " in UTF-8."}
	}
	if err := p.bodies.Acquire(r.Context(), maxForm); err != nil {
		return &refusal{"", http.StatusServiceUnavailable, "The execution has ended."}
	}
	j.held = maxForm
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil {
		return &refusal{ruleForm, http.StatusRequestEntityTooLarge, "This form could not be read whole; Airlock takes at most 64 KiB."}
	}
	args, anew, err := policy.DecodeForm(j.Method, body)
	if err != nil {
		return unreadable(err)
	}
	facts, no := p.facts(r.Context(), j, need)
	if no != nil {
		return no
	}
	if no := p.c.Policy.Arguments(policy.MOB, j.Method, args, facts); no != nil {
		return refused(j.Method, no)
	}
	j.body = anew
	return nil
}

// mobLogin is a session with the browser.
type mobLogin struct {
	l       *logins
	cookies string // Cookie header that carries it
}

func (l *logins) loginMOB(ctx context.Context, user *url.Userinfo) (*mobLogin, error) {
	password, _ := user.Password()
	v := &mobLogin{l: l}
	res, err := v.get(ctx, mobPath, func(r *http.Request) { r.SetBasicAuth(user.Username(), password) })
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		err := errors.Because(fmt.Errorf("the answer is %s", res.Status), errors.SessionFailed,
			"The vCenter %s refused Airlock's own login to its authorization service; ask the provider to check the user and password that Airlock has for it.", l.c.Host)
		return nil, lazy.Final(err)
	}
	var cookies []string
	for _, c := range res.Cookies() {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	if v.cookies = strings.Join(cookies, "; "); v.cookies == "" {
		return nil, errors.New("the answer to the login carries no session cookie")
	}
	return v, nil
}

// get asks for a page in the session, and passes over its content.
func (v *mobLogin) get(ctx context.Context, path string, with func(*http.Request)) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+v.l.c.Host+path, nil)
	if err != nil {
		return nil, err
	}
	if with != nil {
		with(r)
	}
	if v.cookies != "" {
		r.Header.Set("Cookie", v.cookies)
	}
	res, err := bounded{v.l.transport}.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res, err
}

// dropped says whether the vCenter does not know the session any more.
func (v *mobLogin) dropped(ctx context.Context) bool {
	res, err := v.get(ctx, mobPath, nil)
	return err == nil && res.StatusCode == http.StatusUnauthorized
}

func (v *mobLogin) logout(ctx context.Context) error {
	_, err := v.get(ctx, mobPath+"logout", nil)
	return err
}
