package sessions_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/ssoadmin"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/airlock-run/airlock/internal/ca"
	"github.com/airlock-run/airlock/sdk/secret"
)

// credentials are the passwords of the private cloud, by what they are, and the address that is the broker's secret.
func credentials(f *fixture) map[string]string {
	all := map[string]string{"the vCenter's password": f.cloud.VCenter().Password.Reveal(), "the vCenter's real address": f.cloud.VCenter().Addr}
	for _, e := range f.cloud.SSH() {
		all["the password of "+e.Name] = e.Password.Reveal()
	}
	return all
}

// wire stands between the broker and the vCenter, and keeps what passes.
type wire struct {
	mu       sync.Mutex
	requests []*http.Request // with headers only
	bodies   []string
}

// listenIn puts a wire in front of the fixture's vCenter, which also says in each answer which session it took.
func listenIn(t testing.TB, f *fixture) *wire {
	t.Helper()
	w := &wire{}
	authority, certificate, err := ca.Issue(ca.Request{Name: "a wire", Hosts: []string{f.up.VCenter}, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	behind, real := f.up.Addr, f.up.RootCAs
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: real, ServerName: f.up.VCenter}}
	transport := &http.Transport{DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", behind)
	}}
	srv := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Transport: transport,
		ErrorLog:  log.New(io.Discard, "", 0),
		ModifyResponse: func(r *http.Response) error {
			for _, c := range r.Request.Cookies() {
				r.Header.Add("Set-Cookie", c.String())
			}
			r.Header.Set("vmware-api-session-id", r.Request.Header.Get("vmware-api-session-id"))
			return nil
		},
		Rewrite: func(r *httputil.ProxyRequest) {
			body, _ := io.ReadAll(r.In.Body)
			r.Out.Body = io.NopCloser(bytes.NewReader(body))
			r.Out.URL.Scheme, r.Out.URL.Host = "https", f.up.VCenter
			w.mu.Lock()
			defer w.mu.Unlock()
			w.requests, w.bodies = append(w.requests, r.In), append(w.bodies, string(body))
		},
	})
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	srv.StartTLS()
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close(); transport.CloseIdleConnections() })
	f.up.Addr, f.up.RootCAs = srv.Listener.Addr().String(), x509.NewCertPool()
	f.up.RootCAs.AppendCertsFromPEM(authority)
	return w
}

var inAssertion = regexp.MustCompile(`<saml2:Assertion [^>]*\bID="([^"]+)"`)

var inHeader = regexp.MustCompile(`<vcSessionCookie[^>]*>([^<]*)<`)

// sessions are the ids by which the broker is known to vCenter.
func (w *wire) sessions() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := map[string]string{}
	for i, r := range w.requests {
		for _, c := range r.Cookies() {
			ids["the session in "+c.Name+" for "+r.URL.Path] = c.Value
		}
		if id := r.Header.Get("vmware-api-session-id"); id != "" {
			ids["the REST session"] = id
		}
		if m := inHeader.FindStringSubmatch(w.bodies[i]); m != nil {
			ids["the session in the SOAP header"] = m[1]
		}
		if m := inAssertion.FindStringSubmatch(w.bodies[i]); m != nil {
			ids["the SSO assertion"] = m[1]
		}
		if basic, found := strings.CutPrefix(r.Header.Get("Authorization"), "Basic "); found && strings.HasSuffix(r.URL.Path, "/cis/session") {
			ids["the login to REST"] = basic
		}
	}
	return ids
}

// What a script receives, over everything it can call, has no credential of Airlock's in any form; what vCenter
// receives has nothing that the script carries.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	secrets := credentials(f)
	w := listenIn(t, f)
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	vc, rc := s.vim(t), s.rest(t)

	echoToken(t, vc, g.Token.Reveal())
	if _, err := ssoadmin.NewClient(t.Context(), vc); err != nil {
		t.Fatal(err)
	}
	if _, err := rc.Session(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := worksSOAP(t.Context(), vc); err != nil {
		t.Error(err)
	}
	each := s.visitor(t)
	_, signer := s.assertion(t, each)
	admin, err := ssoadmin.NewClient(t.Context(), each)
	if err != nil {
		t.Fatal(err)
	}
	login := rest.NewClient(each)
	mover, moving := newCarrier(t.Context(), vc, rc)
	if moving == nil {
		moving = mover.all(t.Context(), "leaks")
	}
	for what, err := range map[string]error{
		"Login": session.NewManager(each).Login(t.Context(), s.login()), "REST login": login.Login(t.Context(), s.login()),
		"SSO login":    admin.Login(admin.WithHeader(t.Context(), soap.Header{Security: signer})),
		"LoginByToken": session.NewManager(each).LoginByToken(each.WithHeader(t.Context(), soap.Header{Security: signer})), "transfers": moving,
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if u, err := admin.FindPersonUser(t.Context(), "scripting"); err != nil || u == nil {
		t.Errorf("the user: %v, %v", u, err)
	}
	for _, path := range []string{"/sdk", "/rest/com/vmware/cis/session", "/api/session", "/folder/x", "/about"} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "TRACE"} {
			req, err := http.NewRequestWithContext(t.Context(), method, "https://"+g.VCenter.Host+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.SetBasicAuth("somebody", "else")
			req.Header.Set("vmware-api-session-id", g.Token.Reveal())
			req.Header.Set("Connection", "Cookie, vmware-api-session-id, X-Kept")
			if res, err := vc.Client.Client.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		}
	}

	s.ask(t, "GET", "/api/session", "", "Vmware-Api-Session-Id", g.Token.Reveal(), "Cookie", "other=theirs")

	ids := w.sessions()
	for _, what := range []string{
		"the session in vmware_soap_session for /sdk", "the session in vmware_soap_session for /sso-adminserver/sdk/vsphere.local",
		"the REST session", "the session in the SOAP header", "the SSO assertion", "the login to REST",
	} {
		if ids[what] == "" {
			t.Errorf("%s did not go to vCenter: the test shows nothing", what)
		}
	}
	for what, id := range ids {
		secrets[what] = id
		if g.Token.Equal(secret.New(id)) {
			t.Errorf("the execution's token went to vCenter as %s", what)
		}
	}
	for what, bad := range secrets {
		if forms := leaks(s.received.String(), bad); len(forms) > 0 {
			t.Errorf("the script received %s: %v", what, forms)
		}
		for _, e := range f.events.list() {
			if len(leaks(fmt.Sprintf("%+v", e), bad)) > 0 {
				t.Errorf("the audit event %s has %s", e.Action, what)
			}
		}
	}
	for _, r := range w.requests {
		if _, _, basic := r.BasicAuth(); basic && !strings.HasSuffix(r.URL.Path, "/cis/session") {
			t.Errorf("%s %s arrived with the script's Authorization", r.Method, r.URL.Path)
		}
		if _, err := r.Cookie("other"); err == nil {
			t.Errorf("%s %s arrived with a cookie of the script's own", r.Method, r.URL.Path)
		}
		if strings.Contains(fmt.Sprint(r.Header), g.Token.Reveal()) {
			t.Errorf("%s %s arrived with the execution's token", r.Method, r.URL.Path)
		}
	}
}

// vCenter is told once how to read a SOAP call, and as the broker read it.
func TestCallsAreReadInOneWay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := listenIn(t, f)
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	req, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+g.VCenter.Host+"/sdk", strings.NewReader(call("CurrentTime")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Content-Type":     {"text/xml", "text/xml; charset=utf-7"},
		"Content-Encoding": {"identity", "gzip"},
		"Cookie":           {"vmware_soap_session=" + g.Token.Reveal()},
	}
	res, err := s.soapClient(t).DefaultTransport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	last := w.requests[len(w.requests)-1]
	if got := last.Header["Content-Type"]; len(got) != 1 || got[0] != "text/xml; charset=utf-8" || last.Header["Content-Encoding"] != nil {
		t.Errorf("vCenter was told %v, %v", got, last.Header["Content-Encoding"])
	}
}

// echoToken stores the token in a VM's annotation and reads it back: it must come back as it is.
func echoToken(t *testing.T, vc *vim25.Client, token string) {
	t.Helper()
	finder := find.NewFinder(vc)
	vms, err := finder.VirtualMachineList(t.Context(), "/*/vm/*")
	if err != nil || len(vms) == 0 {
		t.Fatalf("no VM: %v", err)
	}
	task, err := vms[0].Reconfigure(t.Context(), types.VirtualMachineConfigSpec{Annotation: token})
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	var vm mo.VirtualMachine
	if err := vms[0].Properties(t.Context(), vms[0].Reference(), []string{"config.annotation"}, &vm); err != nil {
		t.Fatal(err)
	}
	if vm.Config.Annotation != token {
		t.Errorf("the annotation reads %q; want the token as it was written", vm.Config.Annotation)
	}
}

// leaks returns the forms in which secret occurs in text.
func leaks(text, secret string) []string {
	quoted, _ := json.Marshal(secret)
	forms := map[string]string{
		"plain": secret, "hexadecimal": hex.EncodeToString([]byte(secret)), "HEXADECIMAL": fmt.Sprintf("%X", secret), "URL": url.QueryEscape(secret), "JSON": strings.Trim(string(quoted), `"`),
	}
	for shift := range 3 { // base64 of something that contains it looks different by where it begins
		b := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
		forms["base64"+strings.Repeat("'", shift)] = b[[]int{0, 2, 3}[shift] : len(b)-len(b)%4-4]
	}
	var found []string
	for name, form := range forms {
		if form != "" && strings.Contains(text, form) {
			found = append(found, name)
		}
	}
	return found
}

func TestLeaksFindsEachForm(t *testing.T) {
	t.Parallel()
	const secret = `p"ä/ss word&0123456789`
	quoted, _ := json.Marshal("x" + secret)
	for _, text := range []string{
		"a " + secret + " b", hex.EncodeToString([]byte("x" + secret)), fmt.Sprintf("%X", secret), "a=" + url.QueryEscape(secret), string(quoted),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte("a" + secret + "b")),
		base64.StdEncoding.EncodeToString([]byte("ab" + secret)),
	} {
		if len(leaks(text, secret)) == 0 {
			t.Errorf("a leak in %q is not found", text)
		}
	}
	if found := leaks("nothing here", secret); len(found) > 0 {
		t.Errorf("found %v in a text without the secret", found)
	}
}
