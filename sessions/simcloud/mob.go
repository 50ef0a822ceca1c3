package simcloud

import (
	"cmp"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Paths and names of the managed object browser of the authorization service, which vcsim lacks. It behaves as
// administrators' scripts expect it to that are published: HTTP Basic once, then a cookie; each page has a nonce of the
// session in a hidden field; a form with it carries out the page's method.
const (
	mobPath   = "/invsvc/mob3/"
	mobCookie = "JSESSIONID"
	mobNonce  = "vmware-session-nonce"
	mobMoid   = "authorizationService"
)

// GlobalPermission is what a user or a group may do everywhere.
type GlobalPermission struct {
	Name      string `xml:"principal>name"`
	Group     bool   `xml:"principal>group"`
	Role      int32  `xml:"roles"`
	Propagate bool   `xml:"propagate"`
}

// browser is that managed object browser.
type browser struct {
	people *people
	census *census

	mu     sync.Mutex
	nonces map[string]string // by session
	grants []GlobalPermission
}

// GlobalPermissions are those that were granted, by name.
func (c *Cloud) GlobalPermissions() []GlobalPermission {
	b := c.vc.browser
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(slices.Values(b.grants), func(x, y GlobalPermission) int { return cmp.Compare(x.Name, y.Name) })
}

// ServeHTTP implements http.Handler.
func (b *browser) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	session, nonce := b.session(w, r)
	if session == "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="VMware HTTP server"`)
		http.Error(w, "401 Unauthorized", http.StatusUnauthorized)
		return
	}
	if r.URL.Path == mobPath+"logout" {
		b.forget(func(id string) bool { return id == session })
		return
	}
	q := r.URL.Query()
	method := strings.TrimPrefix(q.Get("method"), "AuthorizationService.")
	switch {
	case r.URL.Path != mobPath || q.Has("moid") && q.Get("moid") != mobMoid:
		http.NotFound(w, r)
	case r.Method == http.MethodPost && r.PostFormValue(mobNonce) != nonce:
		http.Error(w, "the nonce is not that of the session", http.StatusForbidden)
	case r.Method == http.MethodPost:
		if err := b.call(method, r.PostForm.Get("permissions"), r.PostForm.Get("principals")); err != nil {
			fmt.Fprintf(w, "<html><body>Method Invocation Result: %s</body></html>", html.EscapeString(err.Error()))
			return
		}
		fmt.Fprint(w, "<html><body>Method Invocation Result: void</body></html>")
	default:
		fmt.Fprintf(w, `<html><body><form method="post"><input name="%s" type="hidden" value="%s"></form></body></html>`, mobNonce, nonce)
	}
}

// session finds the session of a request, or makes one for a user and a password.
func (b *browser) session(w http.ResponseWriter, r *http.Request) (id, nonce string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c, err := r.Cookie(mobCookie); err == nil && b.nonces[c.Value] != "" {
		return c.Value, b.nonces[c.Value]
	}
	user, password, given := r.BasicAuth()
	if !given || !b.people.valid(user, password) {
		return "", ""
	}
	id, nonce = rand.Text(), rand.Text()
	b.nonces[id] = nonce
	b.census.add(1, 0)
	http.SetCookie(w, &http.Cookie{Name: mobCookie, Value: id, Path: "/invsvc", Secure: true, HttpOnly: true})
	return id, nonce
}

// forget ends sessions.
func (b *browser) forget(ends func(id string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.nonces {
		if ends(id) {
			delete(b.nonces, id)
			b.census.add(-1, 0)
		}
	}
}

func (b *browser) call(method, permissions, principals string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch method {
	case "AddGlobalAccessControlList":
		var args struct {
			Permissions []GlobalPermission `xml:"permissions"`
		}
		if err := xml.Unmarshal([]byte("<a>"+permissions+"</a>"), &args); err != nil {
			return err
		}
		for _, grant := range args.Permissions {
			b.grants = append(slices.DeleteFunc(b.grants, func(g GlobalPermission) bool { return strings.EqualFold(g.Name, grant.Name) }), grant)
		}
	case "RemoveGlobalAccess":
		var args struct {
			Principals []struct {
				Name string `xml:"name"`
			} `xml:"principals"`
		}
		if err := xml.Unmarshal([]byte("<a>"+principals+"</a>"), &args); err != nil {
			return err
		}
		for _, who := range args.Principals {
			b.grants = slices.DeleteFunc(b.grants, func(g GlobalPermission) bool { return strings.EqualFold(g.Name, who.Name) })
		}
	default:
		return fmt.Errorf("there is no method %q", method)
	}
	return nil
}
