package simcloud

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"encoding/xml"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// tokens are those that the STS has issued: who holds the id of one is its user.
type tokens struct {
	mu   sync.Mutex
	byID map[string]token
}

type token struct {
	user    string
	expires time.Time
}

// lifetime is what vcsim's STS says of its tokens.
const lifetime = 5 * time.Minute

func (t *tokens) issue(user string) (id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for id, k := range t.byID {
		if now.After(k.expires) {
			delete(t.byID, id)
		}
	}
	id = "_" + rand.Text()
	t.byID[id] = token{user, now.Add(lifetime)}
	return id
}

// user is the holder of a token, "" where there is no such token any more.
func (t *tokens) user(id string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k, ok := t.byID[id]; ok && time.Now().Before(k.expires) {
		return k.user
	}
	return ""
}

func (t *tokens) valid(id, user string) bool { return user != "" && t.user(id) == user }

// signed checks the token of a REST login: Authorization: SIGN token="base64 of gzip of the assertion", ….
func (t *tokens) signed(authorization string) bool {
	_, rest, _ := strings.Cut(authorization, `token="`)
	text, _, _ := strings.Cut(rest, `"`)
	zipped, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(text)))
	if err != nil {
		return false
	}
	var a struct {
		ID   string `xml:"ID,attr"`
		User string `xml:"Subject>NameID"`
	}
	return xml.NewDecoder(io.LimitReader(zipped, maxMessage)).Decode(&a) == nil && t.valid(a.ID, a.User)
}

// tokenRequest is what matters here of a WS-Trust 1.3 request: who asks, or the token to renew.
type tokenRequest struct {
	Header struct {
		Security struct {
			UsernameToken struct{ Username, Password string }
			Assertion     assertionID
		}
	}
	Body struct {
		RequestSecurityToken struct {
			RenewTarget struct{ Assertion assertionID }
		}
	}
}

type assertionID struct {
	ID string `xml:"ID,attr"`
}

// requester is the user that the token is for, "" for none.
func (v *vcenter) requester(body []byte) string {
	var q tokenRequest
	if xml.Unmarshal(body, &q) != nil {
		return ""
	}
	if login := q.Header.Security.UsernameToken; login.Username != "" {
		if v.people.valid(login.Username, login.Password) {
			return account(login.Username)
		}
		return ""
	}
	if id := q.Body.RequestSecurityToken.RenewTarget.Assertion.ID; id != "" {
		return v.tokens.user(id)
	}
	return v.tokens.user(q.Header.Security.Assertion.ID)
}

// vcsim answers with one and the same assertion for everybody.
var (
	assertionForm = regexp.MustCompile(`<saml2:Assertion [^>]*\bID="([^"]+)"`)
	nameIDForm    = regexp.MustCompile(`(<saml2:NameID [^>]*>)[^<]*<`)
)

const failedAuthentication = `<?xml version="1.0" encoding="UTF-8"?>
<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body><S:Fault><faultcode xmlns:wst="http://docs.oasis-open.org/ws-sx/ws-trust/200512">wst:FailedAuthentication</faultcode><faultstring>Invalid credentials</faultstring></S:Fault></S:Body></S:Envelope>`

// sts checks who asks vcsim's STS, which takes anybody, and makes the token one of that user.
func (v *vcenter) sts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
		if err != nil {
			http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
			return
		}
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		user := v.requester(body)
		if user == "" {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, failedAuthentication)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var a answer
		next.ServeHTTP(&a, r)
		if m := assertionForm.FindSubmatch(a.body.Bytes()); m != nil {
			out := bytes.ReplaceAll(a.body.Bytes(), m[1], []byte(v.tokens.issue(user)))
			var name bytes.Buffer
			_ = xml.EscapeText(&name, []byte(user))
			a.body = *bytes.NewBuffer(nameIDForm.ReplaceAll(out, []byte("${1}"+name.String()+"<")))
		}
		a.send(w)
	})
}
