package sessions_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/lookup"
	lookuptypes "github.com/vmware/govmomi/lookup/types"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/pbm"
	pbmtypes "github.com/vmware/govmomi/pbm/types"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/session/cache"
	"github.com/vmware/govmomi/ssoadmin"
	"github.com/vmware/govmomi/sts"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vslm"

	"github.com/airlock-run/airlock/sdk/secret"
)

// visitor is a client that has not logged in and carries nothing.
func (s *script) visitor(t testing.TB) *vim25.Client {
	t.Helper()
	sc := s.soapClient(t)
	sc.Jar.SetCookies(sc.URL(), []*http.Cookie{{Name: soap.SessionCookieName, Path: "/", MaxAge: -1}})
	c, err := vim25.NewClient(t.Context(), sc)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// login is what a vendor's client asks for: user and password.
func (s *script) login() *url.Userinfo { return url.UserPassword(s.User, s.Token.Reveal()) }

// assertion asks the STS for one.
func (s *script) assertion(t testing.TB, c *vim25.Client) (*sts.Client, *sts.Signer) {
	t.Helper()
	tokens, err := sts.NewClient(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := tokens.Issue(t.Context(), sts.TokenRequest{Userinfo: s.login(), Renewable: true})
	if err != nil {
		t.Fatal(err)
	}
	return tokens, signer
}

// worksSOAP makes calls that need a session, of the vSphere API and of the services beside it.
func worksSOAP(ctx context.Context, c *vim25.Client) error {
	if _, err := methods.GetCurrentTime(ctx, c); err != nil {
		return err
	}
	if _, err := object.NewRootFolder(c).Children(ctx); err != nil {
		return err
	}
	policies, err := pbm.NewClient(ctx, c)
	if err != nil {
		return err
	}
	if ids, err := policies.QueryProfile(ctx, pbmtypes.PbmProfileResourceType{ResourceType: "STORAGE"}, ""); err != nil || len(ids) == 0 {
		return fmt.Errorf("storage policies: %d, %w", len(ids), err)
	}
	disks, err := vslm.NewClient(ctx, c)
	if err != nil {
		return err
	}
	_, err = vslm.NewGlobalObjectManager(disks).ListObjectsForSpec(ctx, nil, 10)
	return err
}

// Whatever way a client logs in with what the execution was given, it works, and its Logout ends nothing.
func TestEachWayToLogIn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, end := f.open(t, "one")
	s := &script{Grant: g}
	for name, ask := range map[string]func(*testing.T, *vim25.Client) error{
		"Login": func(t *testing.T, c *vim25.Client) error { return session.NewManager(c).Login(t.Context(), s.login()) },
		"Login with a domain": func(t *testing.T, c *vim25.Client) error {
			return session.NewManager(c).Login(t.Context(), url.UserPassword(strings.ToUpper(s.User)+"@vsphere.local", s.Token.Reveal()))
		},
		"LoginByToken": func(t *testing.T, c *vim25.Client) error {
			_, signer := s.assertion(t, c)
			return session.NewManager(c).LoginByToken(c.WithHeader(t.Context(), soap.Header{Security: signer}))
		},
		"renewed token": func(t *testing.T, c *vim25.Client) error {
			tokens, signer := s.assertion(t, c)
			renewed, err := tokens.Renew(t.Context(), sts.TokenRequest{Userinfo: url.User(""), Token: signer.Token})
			if err != nil {
				return err
			}
			return session.NewManager(c).LoginByToken(c.WithHeader(t.Context(), soap.Header{Security: renewed}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.visitor(t)
			if err := worksSOAP(t.Context(), c); !fault.Is(err, &types.NotAuthenticated{}) {
				t.Fatalf("before the login: %v", err)
			}
			if err := ask(t, c); err != nil {
				t.Fatal(err)
			}
			if err := worksSOAP(t.Context(), c); err != nil {
				t.Error(err)
			}
			if err := session.NewManager(c).Logout(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	for name, ask := range map[string]func(*testing.T, *rest.Client) error{
		"REST": func(t *testing.T, c *rest.Client) error { return c.Login(t.Context(), s.login()) },
		"REST by token": func(t *testing.T, c *rest.Client) error {
			_, signer := s.assertion(t, s.visitor(t))
			return c.LoginByToken(c.WithSigner(t.Context(), signer))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := rest.NewClient(s.visitor(t))
			if _, err := tags.NewManager(c).ListTags(t.Context()); !rest.IsStatusError(err, 401) {
				t.Fatalf("before the login: %v", err)
			}
			if err := ask(t, c); err != nil {
				t.Fatal(err)
			}
			if _, err := tags.NewManager(c).ListTags(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("/api", func(t *testing.T) {
		r, _ := http.NewRequest("POST", "https://vc", nil)
		r.SetBasicAuth(s.User, s.Token.Reveal())
		status, body := s.ask(t, "POST", "/api/session", "", "Authorization", r.Header.Get("Authorization"))
		if status != 201 || strings.TrimSpace(body) != `"`+s.Token.Reveal()+`"` {
			t.Errorf("%d %s; want 201 and a session", status, body)
		}
	})
	t.Run("SSO administration", func(t *testing.T) {
		c := s.visitor(t)
		admin, err := ssoadmin.NewClient(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		_, signer := s.assertion(t, c)
		signed := admin.WithHeader(t.Context(), soap.Header{Security: signer})
		if _, err := admin.FindPersonUser(t.Context(), "scripting"); !fault.Is(err, &types.NotAuthenticated{}) {
			t.Fatalf("before the login: %v", err)
		}
		if u, err := admin.FindPersonUser(signed, "scripting"); err != nil || u == nil { // as PowerCLI's module does
			t.Errorf("with the assertion in each call: %v, %v", u, err)
		}
		if err := admin.Login(signed); err != nil {
			t.Fatal(err)
		}
		if u, err := admin.FindPersonUser(t.Context(), "scripting"); err != nil || u == nil {
			t.Errorf("after the login: %v, %v", u, err)
		}
	})
	t.Run("lookup", func(t *testing.T) {
		l, err := lookup.NewClient(t.Context(), s.visitor(t))
		if err != nil {
			t.Fatal(err)
		}
		all, err := l.List(t.Context(), &lookuptypes.LookupServiceRegistrationFilter{})
		if err != nil || len(all) == 0 {
			t.Errorf("%d services, %v", len(all), err)
		}
	})
	t.Run("govc", func(t *testing.T) { sessionOfGovc(t, s) })
	for action, want := range map[string]int{"vcenter/login": 1, "vcenter/login-rest": 1, "vcenter/login-sso": 1} {
		if n := f.events.count(action, "ok"); n != want {
			t.Errorf("%d events %s; want %d", n, action, want)
		}
	}
	for what, bad := range credentials(f) {
		if forms := leaks(s.received.String(), bad); len(forms) > 0 {
			t.Errorf("the script received %s: %v", what, forms)
		}
	}
	end()
	f.nothingLeft(t)
}

// sessionOfGovc logs in as govc does: with user and password, and again from the sessions that it has kept in files.
func sessionOfGovc(t *testing.T, s *script) {
	dir := t.TempDir()
	u := &url.URL{Scheme: "https", Host: s.VCenter.Host, Path: vim25.Path, User: s.login()}
	kept := &cache.Session{URL: u, DirSOAP: filepath.Join(dir, "soap"), DirREST: filepath.Join(dir, "rest")}
	config := func(c *soap.Client) error {
		s.dial(t, c)
		return nil
	}
	for range 2 {
		vc, rc := new(vim25.Client), new(rest.Client)
		if err := kept.Login(t.Context(), vc, config); err != nil {
			t.Fatal(err)
		}
		if err := kept.Login(t.Context(), rc, config); err != nil {
			t.Fatal(err)
		}
		if err := worksSOAP(t.Context(), vc); err != nil {
			t.Error(err)
		}
		if _, err := tags.NewManager(rc).ListTags(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// Who does not have both the user and the token gets the answer of a vCenter to wrong credentials, even if it has
// Airlock's own.
func TestWrongCredentials(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "one")
	other, _ := f.open(t, "two")
	s := &script{Grant: g}
	vcenter := f.cloud.VCenter()
	_, foreign := (&script{Grant: other}).assertion(t, (&script{Grant: other}).visitor(t))
	for name, login := range map[string]*url.Userinfo{
		"no password":       url.UserPassword(g.User, ""),
		"wrong password":    url.UserPassword(g.User, "wrong"),
		"another's token":   url.UserPassword(g.User, other.Token.Reveal()),
		"another user":      url.UserPassword(other.User, g.Token.Reveal()),
		"no user":           url.UserPassword("", g.Token.Reveal()),
		"another execution": url.UserPassword(other.User, other.Token.Reveal()),
		"Airlock's own":     url.UserPassword(vcenter.User, vcenter.Password.Reveal()),
	} {
		c := s.visitor(t)
		before := f.events.count("vcenter/refused", "no-other-login")
		if err := session.NewManager(c).Login(t.Context(), login); !fault.Is(err, &types.InvalidLogin{}) || !strings.Contains(err.Error(), "as execution-one") {
			t.Errorf("%s: Login = %v; want InvalidLogin that says whom it takes", name, err)
		}
		if err := rest.NewClient(c).Login(t.Context(), login); !rest.IsStatusError(err, 401) {
			t.Errorf("%s: REST = %v; want 401", name, err)
		}
		tokens, err := sts.NewClient(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tokens.Issue(t.Context(), sts.TokenRequest{Userinfo: login}); err == nil || !strings.Contains(err.Error(), "Invalid credentials") {
			t.Errorf("%s: STS = %v; want invalid credentials", name, err)
		}
		if n := f.events.count("vcenter/refused", "no-other-login"); n != before+3 {
			t.Errorf("%s: %d refusals are audited; want 3", name, n-before)
		}
	}
	forged := *foreign
	forged.Token = strings.ReplaceAll(foreign.Token, other.User, g.User)
	for name, signer := range map[string]*sts.Signer{"another execution's": foreign, "a forged": &forged, "no": {Token: "<none/>"}} {
		c := s.visitor(t)
		if err := session.NewManager(c).LoginByToken(c.WithHeader(t.Context(), soap.Header{Security: signer})); !fault.Is(err, &types.InvalidLogin{}) {
			t.Errorf("%s assertion: LoginByToken = %v; want InvalidLogin", name, err)
		}
		rc := rest.NewClient(c)
		if err := rc.LoginByToken(rc.WithSigner(t.Context(), signer)); !rest.IsStatusError(err, 401) {
			t.Errorf("%s assertion: REST = %v; want 401", name, err)
		}
		admin, err := ssoadmin.NewClient(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		signed := admin.WithHeader(t.Context(), soap.Header{Security: signer})
		if err := admin.Login(signed); !fault.Is(err, &types.InvalidLogin{}) {
			t.Errorf("%s assertion: SSO = %v; want InvalidLogin", name, err)
		}
		if _, err := admin.FindPersonUser(signed, "scripting"); !fault.Is(err, &types.NotAuthenticated{}) {
			t.Errorf("%s assertion in a call: %v; want NotAuthenticated", name, err)
		}
	}
	if f.events.count("vcenter/login", "ok") != 0 {
		t.Error("a stranger made the broker log in")
	}
	// Beside a token that is right, another's assertion is none the better.
	ours := (&script{Grant: g}).vim(t)
	admin, err := ssoadmin.NewClient(t.Context(), ours)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.FindPersonUser(admin.WithHeader(t.Context(), soap.Header{Security: foreign}), "scripting"); !fault.Is(err, &types.NotAuthenticated{}) {
		t.Errorf("another execution's assertion beside the token: %v; want NotAuthenticated", err)
	}
	// What opens the execution's vCenter opens no other.
	_, own := s.assertion(t, s.visitor(t))
	direct := &script{Grant: g}
	direct.CA, direct.VCenter.Addr, direct.Token = vcenter.CA, vcenter.Addr, secret.New("x")
	c := direct.visitor(t)
	if err := session.NewManager(c).LoginByToken(c.WithHeader(t.Context(), soap.Header{Security: own})); !fault.Is(err, &types.InvalidLogin{}) {
		t.Errorf("the vCenter takes the broker's assertion: %v", err)
	}
}
