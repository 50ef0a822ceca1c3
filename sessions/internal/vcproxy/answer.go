package vcproxy

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sessions/internal/envelope"
	"github.com/airlock-run/airlock/sessions/internal/policy"
)

// clean takes from an answer what would tell a session.
func clean(r *http.Response) error {
	r.Header.Del("Set-Cookie")
	r.Header.Del("Set-Cookie2")
	r.Header.Del(restSession)
	return nil
}

// answer is what a script gets of the vCenter's answer.
func (p *proxy) answer(r *http.Response) error {
	g, ok := r.Request.Context().Value(passageKey{}).(*passage)
	switch {
	case !ok || r.StatusCode != http.StatusOK:
	case g.call.leases():
		body, whole, err := take(r, maxLease)
		if err != nil {
			return err
		}
		if whole {
			p.leases.learn(body)
		}
	case g.call.registrations():
		if err := p.retrust(r); err != nil {
			return err
		}
	}
	return clean(r)
}

// leases says whether a call is answered with a lease, and registrations whether with those of the lookup service.
func (j *judged) leases() bool { return j.asked == policy.Vim && makesLease[j.Method] }
func (j *judged) registrations() bool {
	return j.asked == policy.Lookup && (j.Method == "List" || j.Method == "Get")
}

// retrust makes an answer of the lookup service name the certificate that the script is shown. What is too large or cannot be
// read goes on as it is.
func (p *proxy) retrust(r *http.Response) error {
	if err := p.answers.Acquire(r.Request.Context(), maxRegistrations); err != nil {
		return err
	}
	release := sync.OnceFunc(func() { p.answers.Release(maxRegistrations) })
	body, whole, err := take(r, maxRegistrations)
	if whole && err == nil {
		body = retrust(body, p.c.Host, base64.StdEncoding.EncodeToString(p.c.Certificate.Certificate[0]))
		r.Body = rejoined{bytes.NewReader(body), r.Body}
		r.ContentLength = int64(len(body))
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	r.Body = releasing{r.Body, release}
	return err
}

// releasing is a body for which memory was set apart.
type releasing struct {
	io.ReadCloser
	release func()
}

func (b releasing) Close() error {
	b.release()
	return b.ReadCloser.Close()
}

// take reads an answer of most bytes at most, and leaves it whole to be read again.
func take(r *http.Response, most int64) (body []byte, whole bool, err error) {
	body, err = io.ReadAll(io.LimitReader(r.Body, most+1))
	r.Body = rejoined{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	return body, int64(len(body)) <= most, err
}

// refuse answers a request that does not go on, in the form of its service. What a rule refuses names it.
func (p *proxy) refuse(w http.ResponseWriter, s service, no refusal) {
	if no.rule != "" {
		no.message = strings.TrimSuffix(no.message, ".") + " (rule " + no.rule + ")."
	}
	switch s {
	case soap, sso:
		f := envelope.Refused(no.message)
		switch {
		case no.rule == ruleSession:
			f = envelope.NotAuthenticated(no.message)
		case no.rule == "":
			f = envelope.Failed(no.message)
		}
		writeXML(w, http.StatusInternalServerError, f.Bytes())
	case rest, api:
		writeREST(w, s, no.status, no.message)
	default:
		http.Error(w, no.message, no.status)
	}
}

// writeREST answers with an error of vAPI.
func writeREST(w http.ResponseWriter, s service, status int, message string) {
	if s == api {
		writeJSON(w, status, map[string]any{"error_type": restError(status), "messages": messages(message)})
		return
	}
	writeJSON(w, status, map[string]any{"type": "com.vmware.vapi.std.errors." + strings.ToLower(restError(status)),
		"value": map[string]any{"messages": messages(message)}})
}

// restError is the name that vAPI has for a status.
func restError(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden:
		return "UNAUTHORIZED"
	case http.StatusServiceUnavailable:
		return "SERVICE_UNAVAILABLE"
	}
	return "INVALID_REQUEST"
}

func messages(text string) []any {
	return []any{map[string]any{"id": "airlock.refused", "default_message": text, "args": []string{}}}
}

func writeXML(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// notReached is the refusal of a request for which Airlock could not log in.
func notReached(err error) *refusal {
	return &refusal{"", http.StatusServiceUnavailable, errors.For(err, "session").Message}
}

// unreachable answers a request that vCenter did not answer.
func (p *proxy) unreachable(w http.ResponseWriter, r *http.Request, err error) {
	if done(r.Context()) {
		panic(http.ErrAbortHandler) // nobody is there any more
	}
	p.c.Log.WarnContext(r.Context(), "vCenter did not answer", slog.String("host", p.c.Host), slog.Any("error", err))
	no := &refusal{"", http.StatusServiceUnavailable,
		"The vCenter " + p.c.Host + " does not answer; try again, and ask the provider if it stays so."}
	if login, failed := errors.AsType[loginFailed](err); failed {
		no = login.refusal
	}
	s, _ := p.c.Policy.Path(r.URL)
	p.refuse(w, serviceOf(s), *no)
}
