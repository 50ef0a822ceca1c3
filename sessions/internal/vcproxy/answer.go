package vcproxy

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sessions/internal/envelope"
)

// clean takes from an answer what would tell a session.
func clean(r *http.Response) error {
	r.Header.Del("Set-Cookie")
	r.Header.Del("Set-Cookie2")
	r.Header.Del(restSession)
	return nil
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
