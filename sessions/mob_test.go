package sessions_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/sessions/simcloud"
)

// browser is a client of the authorization service's managed object browser, as administrators' scripts are one.
type browser struct {
	t    *testing.T
	http *http.Client
	base string
	seen bytes.Buffer // all that was answered
}

func newBrowser(t *testing.T, g domain.Grant) *browser {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(g.CA)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: g.VCenter.Host}}
	t.Cleanup(transport.CloseIdleConnections)
	_, port, err := net.SplitHostPort(g.VCenter.Addr)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, http: &http.Client{Transport: transport, Jar: jar}, base: "https://localhost:" + port + "/invsvc/mob3/"}
}

func (b *browser) do(r *http.Request) (status int, body string) {
	b.t.Helper()
	res, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	fmt.Fprintln(&b.seen, res.Header)
	b.seen.Write(content)
	return res.StatusCode, string(content)
}

func (b *browser) request(method, query, body string) *http.Request {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.base+query, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

const (
	addGlobal    = "?moid=authorizationService&method=AuthorizationService.AddGlobalAccessControlList"
	removeGlobal = "?moid=authorizationService&method=AuthorizationService.RemoveGlobalAccess"
)

var nonceField = regexp.MustCompile(`name="vmware-session-nonce" type="hidden" value="([^"]+)"`)

// page logs in and returns the nonce of a page.
func (b *browser) page(user, password string) string {
	b.t.Helper()
	r := b.request(http.MethodGet, addGlobal, "")
	r.SetBasicAuth(user, password)
	status, body := b.do(r)
	m := nonceField.FindStringSubmatch(body)
	if status != http.StatusOK || m == nil {
		b.t.Fatalf("the page is %d %s", status, body)
	}
	return m[1]
}

func (b *browser) post(query, nonce, field, xml string) (int, string) {
	b.t.Helper()
	return b.do(b.request(http.MethodPost, query, url.Values{"vmware-session-nonce": {nonce}, field: {xml}}.Encode()))
}

func permission(name string, role int) string {
	return fmt.Sprintf("<permissions><principal><name>%s</name><group>false</group></principal><roles>%d</roles><propagate>true</propagate></permissions>", name, role)
}

// TestGlobalPermissions: an execution's user and token do what Microsoft.AVS.Management does with $MOB_Connection.
func TestGlobalPermissions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, end := f.open(t, "x1")
	b := newBrowser(t, g)
	nonce := b.page(g.User, g.Token.Reveal())
	if status, body := b.post(addGlobal, nonce, "permissions", permission(`VSPHERE.LOCAL\svc-backup`, -1)); status != http.StatusOK || !strings.Contains(body, "void") {
		t.Fatalf("the form is answered %d %s", status, body)
	}
	want := simcloud.GlobalPermission{Name: `VSPHERE.LOCAL\svc-backup`, Role: -1, Propagate: true}
	if got := f.cloud.GlobalPermissions(); len(got) != 1 || got[0] != want {
		t.Errorf("the vCenter has %+v", got)
	}
	f.cloud.EndSessions() // as its restart does
	nonce = b.page(g.User, g.Token.Reveal())
	const who = `<principals><name>VSPHERE.LOCAL\svc-backup</name><group>false</group></principals>`
	if status, body := b.post(removeGlobal, nonce, "principals", who); status != http.StatusOK || len(f.cloud.GlobalPermissions()) != 0 {
		t.Errorf("the form is answered %d %s, and the vCenter has %+v", status, body, f.cloud.GlobalPermissions())
	}
	if status, _ := b.do(b.request(http.MethodGet, "logout", "")); status != http.StatusOK {
		t.Errorf("logout is answered %d", status)
	}
	for _, secret := range []string{f.cloud.VCenter().Password.Reveal(), "JSESSIONID"} {
		if bytes.Contains(b.seen.Bytes(), []byte(secret)) {
			t.Errorf("the script was shown %q", secret)
		}
	}
	end()
	if open := f.cloud.Open(); open.Sessions != 0 {
		t.Errorf("after the end %d sessions are open", open.Sessions)
	}
}

func TestGlobalPermissionsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "x1")
	b := newBrowser(t, g)
	nonce := b.page(g.User, g.Token.Reveal())
	own := f.cloud.VCenter().User
	for what, c := range map[string]struct{ query, field, xml, rule string }{
		"CloudAdmins as administrators": {addGlobal, "permissions", permission(`VSPHERE.LOCAL\CloudAdmins`, -1), "cloudadmins-rights"},
		"CloudAdmins to read":           {addGlobal, "permissions", permission(`VSPHERE.LOCAL\CloudAdmins`, -2), "cloudadmins-rights"},
		"its first member":              {addGlobal, "permissions", permission(`VSPHERE.LOCAL\cloudadmin`, -1), "cloudadmins-rights"},
		"the second of two":             {addGlobal, "permissions", permission("a", -1) + permission("cloudadmins@vsphere.local", -1), "cloudadmins-rights"},
		"everybody":                     {addGlobal, "permissions", permission("Everyone", -1), "cloudadmins-rights"},
		"CloudAdmins taken away":        {removeGlobal, "principals", "<principals><name>CloudAdmins</name><group>true</group></principals>", "cloudadmins-rights"},
		"an administrator":              {addGlobal, "permissions", permission("Administrators", -5), "administrators"},
		"Airlock's own user":            {removeGlobal, "principals", "<principals><name>" + own + "</name><group>false</group></principals>", "no-own-user"},
		"a name in a comment":           {addGlobal, "permissions", permission("a<!-- -->b", -1), "form"},
		"an entity":                     {addGlobal, "permissions", permission("Cloud&Admins;", -1), "form"},
		"two names":                     {addGlobal, "permissions", permission("a</name><name>CloudAdmins", -1), "cloudadmins-rights"},
		"an unknown element":            {addGlobal, "permissions", permission("a</name><alias>CloudAdmins</alias><name>a", -1), "form"},
		"an element out of its form":    {addGlobal, "permissions", "</form><form>" + permission("a", -1), "form"},
		"no permissions":                {addGlobal, "permissions", "", "form"},
		"another field":                 {addGlobal, "principals", permission("a", -1), "form"},
		"another object":                {"?moid=other&method=AuthorizationService.AddGlobalAccessControlList", "permissions", permission("a", -1), "no-mob"},
		"another method":                {"?moid=authorizationService&method=AuthorizationService.SetEverything", "permissions", permission("a", -1), "unknown-method"},
		"a method twice":                {addGlobal + "&method=AuthorizationService.RemoveGlobalAccess", "permissions", permission("a", -1), "no-mob"},
	} {
		status, body := b.post(c.query, nonce, c.field, c.xml)
		if status < 400 || !strings.Contains(body, "(rule "+c.rule+")") {
			t.Errorf("%s: answered %d %s, want the rule %s", what, status, body, c.rule)
		}
	}
	if got := f.cloud.GlobalPermissions(); len(got) != 0 {
		t.Errorf("the vCenter has %+v", got)
	}
	other, _ := f.open(t, "x2")
	for user, password := range map[string]string{own: f.cloud.VCenter().Password.Reveal(), g.User: other.Token.Reveal(), "": ""} {
		stranger := newBrowser(t, g)
		r := stranger.request(http.MethodGet, addGlobal, "")
		if user != "" {
			r.SetBasicAuth(user, password)
		}
		if status, body := stranger.do(r); status != http.StatusUnauthorized {
			t.Errorf("%q gets %d %s", user, status, body)
		}
	}
}
