package sessions_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/ssoadmin"
	ssotypes "github.com/vmware/govmomi/ssoadmin/types"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/airlock-run/airlock/sdk/secret"
)

// ask sends one request as it is and returns status and body.
func (s *script) ask(t testing.TB, method, path, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+s.VCenter.Host+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.soapClient(t).DefaultTransport().RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

func envelopeOf(inner string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>` +
		inner + `</soapenv:Body></soapenv:Envelope>`
}

func call(method string) string {
	return envelopeOf(`<` + method + ` xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this></` + method + `>`)
}

func TestWithoutTheToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "one")
	other, _ := f.open(t, "two")
	for name, token := range map[string]secret.Text{
		"no": {}, "a wrong": secret.New("wrong"), "another execution's": other.Token, "a password as": f.cloud.VCenter().Password,
	} {
		stranger := &script{Grant: g}
		stranger.Token = token
		c := stranger.soapClient(t)
		if token.IsEmpty() {
			c.Jar = nil
		}
		_, err := methods.GetCurrentTime(t.Context(), c)
		if !fault.Is(err, &types.NotAuthenticated{}) {
			t.Errorf("%s token: CurrentTime = %v; want NotAuthenticated", name, err)
		}
		rc := stranger.rest(t)
		if _, err := tags.NewManager(rc).ListTags(t.Context()); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("%s token: ListTags = %v; want 401", name, err)
		}
		if status, _ := stranger.ask(t, "GET", "/folder/x?dsName=LocalDS_0", "", "Cookie", "vmware_soap_session="+token.Reveal()); status != 401 {
			t.Errorf("%s token: GET /folder = %d; want 401", name, status)
		}
	}
	if f.cloud.Open().Sessions != 0 || f.events.count("vcenter/login", "ok") != 0 {
		t.Error("a stranger made the broker log in")
	}
	if !f.events.has("vcenter/refused", "no-session", "CurrentTime /sdk") {
		t.Error("the refusals are not audited")
	}
	// What clients call before they log in passes.
	s := &script{Grant: g}
	if status, body := s.ask(t, "POST", "/sdk", envelopeOf(`<RetrieveServiceContent xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></RetrieveServiceContent>`),
		"Content-Type", "text/xml"); status != 200 || !strings.Contains(body, "sessionManager") {
		t.Errorf("RetrieveServiceContent without a session = %d %.200s", status, body)
	}
	if status, body := s.ask(t, "GET", "/sdk/vimServiceVersions.xml", ""); status != 200 || !strings.Contains(body, "urn:vim25") {
		t.Errorf("vimServiceVersions.xml = %d %.200s", status, body)
	}
}

// A script that could set the password by which Airlock logs in would have it. Others' passwords it may set.
func TestAirlocksOwnUserStaysAsItIs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	c, err := ssoadmin.NewClient(t.Context(), s.vim(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CreatePersonUser(t.Context(), "scripting-vendor", ssotypes.AdminPersonDetails{}, "Pa55-word!"); err != nil {
		t.Fatal(err)
	}
	if err := c.ResetPersonPassword(t.Context(), "scripting-vendor", "scripting-Pa55!"); err != nil {
		t.Errorf("another user's password: %v", err)
	}
	if u, err := c.FindPersonUser(t.Context(), "scripting"); err != nil || u == nil {
		t.Errorf("looking at the user: %v, %v", u, err)
	}
	const path = "/sso-adminserver/sdk/vsphere.local"
	for what, inner := range map[string]string{
		"password":   `<ResetLocalPersonUserPassword xmlns="urn:sso"><_this type="x">y</_this><userName>scripting</userName><newPassword>p</newPassword></ResetLocalPersonUserPassword>`,
		"odd form":   `<ResetLocalPersonUserPassword xmlns="urn:sso"><userName> VSPHERE.LOCAL\s&#99;Ripting </userName></ResetLocalPersonUserPassword>`,
		"delete":     `<DeleteLocalPrincipal xmlns="urn:sso"><principalName>scripting</principalName></DeleteLocalPrincipal>`,
		"membership": `<RemovePrincipalsFromLocalGroup xmlns="urn:sso"><principalsIds><name>scripting</name></principalsIds></RemovePrincipalsFromLocalGroup>`,
	} {
		before := f.events.count("vcenter/refused", "no-own-user")
		_, body := s.ask(t, "POST", path, envelopeOf(inner), "Content-Type", "text/xml", "Cookie", "vmware_soap_session="+g.Token.Reveal())
		if !strings.Contains(body, "RestrictedByAdministrator") || !strings.Contains(body, "make a user of your own") {
			t.Errorf("%s: %.400s; want a refusal that says what to do", what, body)
		}
		if f.events.count("vcenter/refused", "no-own-user") != before+1 {
			t.Errorf("%s: the refusal is not audited", what)
		}
	}
	if err := c.ResetPersonPassword(t.Context(), "scripting", "known"); err == nil {
		t.Error("Airlock's own password was set")
	}
}

// What a script calls things by can be long; what is kept of it in the audit is not.
func TestAuditOfRefusalsIsBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	long := strings.Repeat("x", 50_000)
	cookie := []string{"Content-Type", "text/xml", "Cookie", "vmware_soap_session=" + g.Token.Reveal()}
	s.ask(t, long, "/sdk", "", cookie...)
	s.ask(t, "GET", "/"+long, "", cookie...)
	s.ask(t, "POST", "/sdk", call("Login"+long), cookie...)
	if _, _, err := s.ssh(t, "esx01").OpenChannel(long+"\xff", nil); err == nil {
		t.Error("a channel of a made-up type was opened")
	}
	refused := 0
	for _, e := range f.events.list() {
		if size := len(fmt.Sprintf("%+v", e)); size > 1000 || !utf8.ValidString(e.Result) {
			t.Errorf("the event %s has %d bytes: %.200q", e.Action, size, e.Result)
		}
		if strings.HasSuffix(e.Action, "/refused") {
			refused++
		}
	}
	if refused != 4 {
		t.Errorf("%d refusals are audited; want 4", refused)
	}
	if status, _ := s.ask(t, "GET", "/about", "", "X-Long", strings.Repeat("x", 128<<10)); status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of 128 KiB: %d; want 431", status)
	}
}

func TestWaysOutAreClosed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	vc := s.vim(t)
	m := session.NewManager(vc)
	for name, try := range map[string]func() error{
		"AcquireCloneTicket": func() error { _, err := m.AcquireCloneTicket(t.Context()); return err },
		"CloneSession":       func() error { return m.CloneSession(t.Context(), "ticket") },
		"AcquireGenericServiceTicket": func() error {
			_, err := m.AcquireGenericServiceTicket(t.Context(), &types.SessionManagerHttpServiceRequestSpec{})
			return err
		},
		"AcquireLocalTicket": func() error { _, err := m.AcquireLocalTicket(t.Context(), "root"); return err },
		"ImpersonateUser":    func() error { return m.ImpersonateUser(t.Context(), "administrator") },
		"TerminateSession":   func() error { return m.TerminateSession(t.Context(), []string{"x"}) },
	} {
		err := try()
		if !fault.Is(err, &types.RestrictedByAdministrator{}) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s = %v; want a fault RestrictedByAdministrator that names it", name, err)
		}
	}
	for what, refused := range map[string]struct{ method, path, body, rule, says string }{
		"other logins":    {"POST", "/sdk", call("LoginExtensionByCertificate"), "no-other-login", "LoginExtensionByCertificate"},
		"odd case":        {"POST", "/sdk", call("lOGIN"), "no-other-login", "lOGIN"},
		"with a prefix":   {"POST", "/sdk", envelopeOf(`<x:Login xmlns:x="urn:vim25"/>`), "no-other-login", "with the token that Airlock gave it"},
		"below /sdk":      {"POST", "/sdk/vimService", call("Login"), "no-other-login", "with the token that Airlock gave it"},
		"SSO login":       {"POST", "/sso-adminserver/sdk/vsphere.local", call("Login"), "no-other-login", "with the token that Airlock gave it"},
		"STS":             {"POST", "/sts/STSService/vsphere.local", call("RequestSecurityToken"), "no-other-login", "with the token that Airlock gave it"},
		"a console":       {"POST", "/sdk", call("AcquireTicket"), "no-tickets", "AcquireTicket"},
		"tokens":          {"POST", "/sts/STSService", call("RequestSecurityTokenCollection"), "no-other-login", "RequestSecurityTokenCollection"},
		"unreadable":      {"POST", "/sso-adminserver/sdk/vsphere.local", envelopeOf(`<DeleteLocalPrincipal xmlns="urn:sso"><principalName>&own;</principalName></DeleteLocalPrincipal>`), "form", "cannot read"},
		"own password":    {"POST", "/sso-adminserver/sdk/vsphere.local", call("ResetSelfLocalPersonUserPassword"), "no-own-user", "ResetSelf"},
		"two methods":     {"POST", "/sdk", envelopeOf(`<CurrentTime/><Login/>`), "form", "more than one"},
		"a comment":       {"POST", "/sdk", envelopeOf(`<!-- --><Login/>`), "form", "comment"},
		"a DTD":           {"POST", "/sdk", `<!DOCTYPE x>` + call("Login"), "form", "DTD"},
		"not XML":         {"POST", "/sdk", "hello", "form", "cannot read"},
		"too large":       {"POST", "/sdk", strings.Repeat(" ", 4<<20+1), "form", "4 MiB"},
		"SOAP by GET":     {"GET", "/sdk", "", "form", "POST"},
		"VI-JSON":         {"POST", "/sdk/vim25/8.0.1.0/SessionManager/SessionManager/Login", "{}", "no-vi-json", "/sdk/vim25/8.0.1.0"},
		"MOB":             {"GET", "/mob/?moid=SessionManager", "", "no-mob", "/mob/"},
		"JSON-RPC":        {"POST", "/api", "{}", "no-json-rpc", "/api"},
		"JSON-RPC, slash": {"POST", "/api/", "{}", "no-json-rpc", "/api/"},
		"dots":            {"POST", "/rest/../mob", "", "form", ""},
		"hidden dots":     {"GET", "/folder/%2e%2e/mob", "", "form", ""},
		"hidden slash":    {"GET", "/folder/..%2fmob", "", "form", ""},
		"double slash":    {"POST", "//sdk", call("CurrentTime"), "form", ""},
		"the root":        {"GET", "/", "", "path-closed", ""},
		"new session":     {"POST", "/rest/com/vmware/cis/session", "", "no-other-login", "log in"},
		"new API session": {"POST", "/api/session", "", "no-other-login", "log in"},
		"odd slash":       {"POST", "/api/session/", "", "no-other-login", "log in"},
		"get by the API":  {"POST", "/api/session?~action=get", "", "no-other-login", "log in"},
		"session by area": {"POST", "/rest/cis/session", "", "no-other-login", "log in"},
		"two actions":     {"POST", "/rest/com/vmware/cis/session?~action=get&~action=create", "", "form", "more than one action"},
		"other method":    {"POST", "/rest/com/vmware/cis/session?~method=DELETE", "", "form", "~method"},
		"token exchange":  {"POST", "/api/vcenter/tokenservice/token-exchange", "{}", "no-other-login", "log in"},
		"TRACE":           {"TRACE", "/sdk", "", "form", "TRACE"},
	} {
		headers := []string{"Content-Type", "text/xml; charset=utf-8", "Cookie", "vmware_soap_session=" + g.Token.Reveal()}
		if strings.HasPrefix(refused.path, "/rest/") || strings.HasPrefix(refused.path, "/api") {
			headers = []string{"Vmware-Api-Session-Id", g.Token.Reveal()}
		}
		before := f.events.count("vcenter/refused", refused.rule)
		status, body := s.ask(t, refused.method, refused.path, refused.body, headers...)
		if status < 400 || !strings.Contains(body, refused.says) {
			t.Errorf("%s: %s %s = %d %.300s; want a refusal that says %q", what, refused.method, refused.path, status, body, refused.says)
		}
		if f.events.count("vcenter/refused", refused.rule) != before+1 {
			t.Errorf("%s: %s %s is not audited under the rule %s", what, refused.method, refused.path, refused.rule)
		}
	}
	for what, headers := range map[string][]string{
		"gzip":         {"Content-Type", "text/xml", "Content-Encoding", "gzip"},
		"UTF-16":       {"Content-Type", "text/xml; charset=utf-16"},
		"other type":   {"Content-Type", "multipart/related; boundary=x"},
		"no type":      {"Content-Type", ""},
		"second token": {"Content-Type", "text/xml", "Cookie", "vmware_soap_session=" + g.Token.Reveal() + "; vmware_soap_session=other"},
	} {
		headers = append([]string{"Cookie", "vmware_soap_session=" + g.Token.Reveal()}, headers...)
		if status, body := s.ask(t, "POST", "/sdk", call("CurrentTime"), headers...); status != 500 || !strings.Contains(body, "Fault>") {
			t.Errorf("%s: %d %.300s; want a fault", what, status, body)
		}
	}
	if n := f.cloud.Open().Sessions; n != 1 {
		t.Errorf("%d sessions of vCenter are open; want the one of the broker's", n)
	}
}
