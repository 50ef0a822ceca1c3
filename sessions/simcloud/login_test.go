package simcloud_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/event"
	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/ssoadmin"
	"github.com/vmware/govmomi/sts"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/airlock-run/airlock/sessions/simcloud"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	c := start(t)
	t.Run("password", func(t *testing.T) { loginByPassword(t, c) })
	t.Run("token", func(t *testing.T) { loginByToken(t, c) })
	t.Run("none", func(t *testing.T) { strangerSeesNothing(t, c) })
	t.Run("cookie", func(t *testing.T) { cookieIsNotTheSessionKey(t, c) })
	t.Run("REST session", func(t *testing.T) { restSessionIsNotVcsims(t, c) })
}

func loginByPassword(t *testing.T, c *simcloud.Cloud) {
	password := c.VCenter().Password.Reveal()
	for _, user := range []string{"scripting@vsphere.local", "scripting", `VSPHERE.LOCAL\Scripting`} {
		vc := stranger(t, c)
		if err := vc.Login(t.Context(), url.UserPassword(user, password)); err != nil {
			t.Errorf("%s: %v", user, err)
		}
		_ = vc.Logout(t.Context())
	}
	for _, u := range []*url.Userinfo{
		url.UserPassword("scripting@vsphere.local", "wrong"), url.UserPassword("scripting@vsphere.local", ""),
		url.UserPassword("administrator@vsphere.local", password), url.UserPassword("scripting@localos", password),
		url.UserPassword("user", "pass"), url.UserPassword("root", "vmware"),
	} {
		vc := stranger(t, c)
		if err := vc.Login(t.Context(), u); !fault.Is(err, &types.InvalidLogin{}) {
			t.Errorf("SOAP login as %s: %v", u.Username(), err)
		}
		if err := rest.NewClient(vc.Client).Login(t.Context(), u); !rest.IsStatusError(err, http.StatusUnauthorized) {
			t.Errorf("REST login as %s: %v", u.Username(), err)
		}
		tokens, err := sts.NewClient(t.Context(), vc.Client)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tokens.Issue(t.Context(), sts.TokenRequest{Userinfo: u}); err == nil || !strings.Contains(err.Error(), "Invalid credentials") {
			t.Errorf("STS login as %s: %v", u.Username(), err)
		}
	}
	if open := c.Open(); open != (simcloud.Open{}) {
		t.Errorf("%+v open after refused logins and logouts", open)
	}
}

// Without a session vCenter tells its service content and nothing else.
func strangerSeesNothing(t *testing.T, c *simcloud.Cloud) {
	vc := stranger(t, c)
	_, err := object.NewRootFolder(vc.Client).Children(t.Context())
	if !fault.Is(err, &types.NotAuthenticated{}) {
		t.Errorf("the inventory without a session: %v", err)
	}
	if s, err := vc.SessionManager.UserSession(t.Context()); s != nil || err != nil {
		t.Errorf("the session of a stranger: %v, %v", s, err)
	}
	_, err = methods.LoginExtensionByCertificate(t.Context(), vc.Client, &types.LoginExtensionByCertificate{
		This: *vc.ServiceContent.SessionManager, ExtensionKey: "x",
	})
	if err == nil {
		t.Error("an extension logs in")
	}
	admin, err := ssoadmin.NewClient(t.Context(), vc.Client)
	if err == nil {
		_, err = admin.FindPersonUser(t.Context(), "scripting")
	}
	if !fault.Is(err, &types.NotAuthenticated{}) {
		t.Errorf("the SSO without a session: %v", err)
	}
}

func loginByToken(t *testing.T, c *simcloud.Cloud) {
	vc := stranger(t, c)
	tokens, err := sts.NewClient(t.Context(), vc.Client)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := tokens.Issue(t.Context(), sts.TokenRequest{Userinfo: credentials(c), Renewable: true})
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := tokens.Renew(t.Context(), sts.TokenRequest{Userinfo: url.User(""), Token: signer.Token})
	if err != nil {
		t.Fatal(err)
	}
	forged := *signer
	forged.Token = strings.Replace(signer.Token, "scripting@", "administrator@", 1)
	guessed := *signer
	guessed.Token = strings.ReplaceAll(signer.Token, tokenID(t, signer.Token), "_1881a9ba-4a76-4baa-839b-36e2cba10743")
	for _, tt := range []struct {
		name   string
		signer *sts.Signer
		ok     bool
	}{{"issued", signer, true}, {"renewed", renewed, true}, {"other user", &forged, false}, {"other id", &guessed, false}} {
		vc := stranger(t, c)
		err := vc.SessionManager.LoginByToken(vc.WithHeader(t.Context(), soap.Header{Security: tt.signer}))
		if tt.ok && err != nil || !tt.ok && !fault.Is(err, &types.InvalidLogin{}) {
			t.Errorf("SOAP, %s: %v", tt.name, err)
		}
		if tt.ok {
			s, err := vc.SessionManager.UserSession(t.Context())
			if err != nil || s.UserName != "scripting@vsphere.local" {
				t.Errorf("%s: the session's user is %+v, %v", tt.name, s, err)
			}
		}
		r := rest.NewClient(vc.Client)
		err = r.LoginByToken(r.WithSigner(t.Context(), tt.signer))
		if tt.ok && err != nil || !tt.ok && !rest.IsStatusError(err, http.StatusUnauthorized) {
			t.Errorf("REST, %s: %v", tt.name, err)
		}
	}
	if _, err := tokens.Renew(t.Context(), sts.TokenRequest{Userinfo: url.User(""), Token: guessed.Token}); err == nil {
		t.Error("a token that was never issued is renewed")
	}
}

func tokenID(t *testing.T, token string) string {
	t.Helper()
	_, rest, _ := strings.Cut(token, ` ID="`)
	id, _, ok := strings.Cut(rest, `"`)
	if !ok {
		t.Fatal("the token has no id")
	}
	return id
}

// The session's key is in ids, URLs and events. It must not be of use to who reads it there.
func cookieIsNotTheSessionKey(t *testing.T, c *simcloud.Cloud) {
	vc := login(t, c)
	s, err := vc.SessionManager.UserSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cookie := vc.SessionCookie().Value
	if strings.Contains(cookie, s.Key) || strings.Contains(s.Key, cookie) {
		t.Error("the cookie shows the session's key")
	}

	events, err := event.NewManager(vc.Client).QueryEvents(t.Context(), types.EventFilterSpec{})
	if err != nil {
		t.Fatal(err)
	}
	seen, err := json.Marshal(events)
	if err != nil || !bytes.Contains(seen, []byte(s.Key)) || bytes.Contains(seen, []byte(cookie)) {
		t.Errorf("events: has the key %v, has the cookie %v (%v)", bytes.Contains(seen, []byte(s.Key)), bytes.Contains(seen, []byte(cookie)), err)
	}

	thief := stranger(t, c)
	thief.Jar.SetCookies(thief.URL(), []*http.Cookie{{Name: soap.SessionCookieName, Value: s.Key, Path: "/"}})
	if _, err := object.NewRootFolder(thief.Client).Children(t.Context()); !fault.Is(err, &types.NotAuthenticated{}) {
		t.Errorf("with the key as a cookie: %v", err)
	}
	if err := thief.SessionManager.CloneSession(t.Context(), s.Key); !fault.Is(err, &types.InvalidLogin{}) {
		t.Errorf("with the key as a ticket: %v", err)
	}

	ticket, err := vc.SessionManager.AcquireCloneTicket(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := thief.SessionManager.CloneSession(t.Context(), ticket); err != nil {
		t.Errorf("with a real ticket: %v", err)
	}
	if _, err := object.NewRootFolder(thief.Client).Children(t.Context()); err != nil {
		t.Errorf("in the cloned session: %v", err)
	}
}

func restSessionIsNotVcsims(t *testing.T, c *simcloud.Cloud) {
	vc := login(t, c)
	r := rest.NewClient(vc.Client)
	if err := r.Login(t.Context(), credentials(c)); err != nil {
		t.Fatal(err)
	}
	if s, err := r.Session(t.Context()); err != nil || s == nil || s.User != c.VCenter().User {
		t.Errorf("the session is %+v, %v", s, err)
	}
	for name, h := range map[string]string{"no": "", "no such": "1"} {
		if status, _ := get(t, vc, "/rest/com/vmware/cis/tagging/tag", h); status != http.StatusUnauthorized {
			t.Errorf("with %s id: %d", name, status)
		}
	}
	if status, body := get(t, vc, "/rest/com/vmware/cis/tagging/tag", r.SessionID()); status != http.StatusOK {
		t.Errorf("with its own id: %d %s", status, body)
	}
	// vcsim takes a POST to a path that ends like the session's for a login.
	res, err := (&http.Client{Transport: vc.DefaultTransport()}).Post(
		"https://"+vc.URL().Host+"/rest/com/vmware/content/library/com/vmware/cis/session", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a path that ends like a login's: %s", res.Status)
	}
	// At the first vcsim makes sessions without a login, at the third it shows their ids.
	for _, path := range []string{"/api", "/api/session", "/rest/vc-sim/debug/echo", "/rest/vcenter/certificate-authority/get-root"} {
		if status, body := get(t, vc, path, r.SessionID()); status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// get asks with an HTTP client as it is, and a REST session's id.
func get(t *testing.T, vc *govmomi.Client, path, session string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+vc.URL().Host+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if session != "" {
		req.Header.Set("vmware-api-session-id", session)
	}
	res, err := (&http.Client{Transport: vc.DefaultTransport()}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestOpenCounts(t *testing.T) {
	t.Parallel()
	c := start(t)
	one, two := login(t, c), login(t, c)
	r := rest.NewClient(one.Client)
	if err := r.Login(t.Context(), credentials(c)); err != nil {
		t.Fatal(err)
	}
	if open := c.Open(); open != (simcloud.Open{Sessions: 3}) {
		t.Errorf("%+v open, want 3 sessions", open)
	}
	s, err := two.SessionManager.UserSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := one.SessionManager.TerminateSession(t.Context(), []string{s.Key}); err != nil {
		t.Fatal(err)
	}
	if open := c.Open(); open != (simcloud.Open{Sessions: 2}) {
		t.Errorf("%+v open after one was terminated, want 2 sessions", open)
	}
	if _, err := methods.GetCurrentTime(t.Context(), two.Client); !fault.Is(err, &types.NotAuthenticated{}) {
		t.Errorf("in the terminated session: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.WaitIdle(ctx); err == nil {
		t.Error("idle, though sessions are open")
	}
	if err := r.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := one.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitIdle(t.Context()); err != nil {
		t.Error(err)
	}
}
