package sessions_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// wcf is a SOAP call as .NET's clients write it: PowerCLI's and those of VMware.vSphere.SsoAdmin.
func wcf(header, body string) string {
	if header != "" {
		header = "<s:Header>" + header + "</s:Header>"
	}
	return `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">` + header +
		`<s:Body xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">` + body + `</s:Body></s:Envelope>`
}

// TestConnectVIServer: what PowerCLI asks when it is given the token as a session, before and with it.
func TestConnectVIServer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, end := f.open(t, "one")
	s := &script{Grant: g}
	const operation = `<operationID xmlns="urn:vim25">Connect-VIServer-1</operationID>`
	const content = `<RetrieveServiceContent xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></RetrieveServiceContent>`
	const current = `<RetrieveProperties xmlns="urn:vim25"><_this type="PropertyCollector">propertyCollector</_this><specSet>` +
		`<propSet><type>SessionManager</type><all>false</all><pathSet>currentSession</pathSet></propSet>` +
		`<objectSet><obj type="SessionManager">SessionManager</obj><skip>false</skip></objectSet></specSet></RetrieveProperties>`
	soap := []string{"Content-Type", "text/xml; charset=utf-8", "SOAPAction", `"urn:vim25/8.0.1.0"`}
	if status, body := s.ask(t, http.MethodGet, "/sdk/vimServiceVersions.xml", ""); status != http.StatusOK {
		t.Errorf("versions: %d %.200s", status, body)
	}
	if status, body := s.ask(t, http.MethodPost, "/sdk", wcf(operation, content), soap...); status != http.StatusOK || !strings.Contains(body, "sessionManager") {
		t.Errorf("content: %d %.200s", status, body)
	}
	if n := f.events.count("vcenter/login", "ok"); n != 0 {
		t.Errorf("%d logins were made before a session was asked for", n)
	}
	for _, cookie := range []string{"vmware_soap_session=" + g.Token.Reveal(), `vmware_soap_session="` + g.Token.Reveal() + `"`} {
		status, body := s.ask(t, http.MethodPost, "/sdk", wcf(operation, current), append(soap, "Cookie", cookie)...)
		if status != http.StatusOK || !strings.Contains(body, "<userName>") {
			t.Errorf("the session: %d %.400s", status, body)
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

// TestConnectSsoAdminServer: what VMware.vSphere.SsoAdmin asks: where the services are, an assertion for user and token, and
// then each call with it.
func TestConnectSsoAdminServer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	ask := func(path, action, header, body string) string {
		t.Helper()
		status, answer := s.ask(t, http.MethodPost, path, wcf(header, body), "Content-Type", "text/xml; charset=utf-8", "SOAPAction", `"`+action+`"`)
		if status != http.StatusOK {
			t.Fatalf("%s %s: %d %.400s", path, body, status, answer)
		}
		return answer
	}
	ask("/lookupservice/sdk", "urn:lookup/3.0", "",
		`<RetrieveServiceContent xmlns="urn:lookup"><_this type="LookupServiceInstance">ServiceInstance</_this></RetrieveServiceContent>`)
	services := map[string]string{} // their paths
	for _, kind := range []string{"cs.identity", "sso:admin"} {
		list := ask("/lookupservice/sdk", "urn:lookup/3.0", "", `<List xmlns="urn:lookup"><_this type="LookupServiceRegistration">ServiceRegistration</_this>`+
			`<filterCriteria><serviceType><product>com.vmware.cis</product><type>`+kind+`</type></serviceType><searchAllSsoDomains>true</searchAllSsoDomains></filterCriteria></List>`)
		endpoint := regexp.MustCompile(`<url>https://` + regexp.QuoteMeta(g.VCenter.Host) + `(/[^<]+)</url>`).FindStringSubmatch(list)
		if endpoint == nil {
			t.Fatalf("%s is answered %.400s", kind, list)
		}
		services[kind] = endpoint[1]
	}
	now := time.Now().UTC()
	at := func(d time.Duration) string { return now.Add(d).Format("2006-01-02T15:04:05.000Z") }
	const secext = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
	const utility = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
	security := func(inner string) string {
		return fmt.Sprintf(`<Security xmlns="%s"><Timestamp p3:Id="_0" xmlns:p3="%s" xmlns="%[2]s"><Created>%s</Created><Expires>%s</Expires></Timestamp>%s</Security>`,
			secext, utility, at(0), at(10*time.Minute), inner)
	}
	issued := ask(services["cs.identity"], "http://docs.oasis-open.org/ws-sx/ws-trust/200512/RST/Issue",
		security(`<UsernameToken><Username>`+g.User+`</Username><Password>`+g.Token.Reveal()+`</Password></UsernameToken>`),
		`<RequestSecurityToken xmlns="http://docs.oasis-open.org/ws-sx/ws-trust/200512"><TokenType>urn:oasis:names:tc:SAML:2.0:assertion</TokenType>`+
			`<RequestType>http://docs.oasis-open.org/ws-sx/ws-trust/200512/Issue</RequestType>`+
			`<Lifetime><Created xmlns="`+utility+`">`+at(0)+`</Created><Expires xmlns="`+utility+`">`+at(10*time.Minute)+`</Expires></Lifetime>`+
			`<Delegatable>false</Delegatable><Renewing Allow="false" OK="false" /><KeyType>http://docs.oasis-open.org/ws-sx/ws-trust/200512/Bearer</KeyType></RequestSecurityToken>`)
	assertion := regexp.MustCompile(`(?s)<saml2:Assertion.*</saml2:Assertion>`).FindString(issued)
	if assertion == "" {
		t.Fatalf("the STS answers %s", issued)
	}
	found := ask(services["sso:admin"], "urn:sso/version3_5", security(assertion),
		`<FindPersonUser xmlns="urn:sso"><_this type="SsoAdminPrincipalDiscoveryService">principalDiscoveryService</_this>`+
			`<userId><name>scripting</name><domain>vsphere.local</domain></userId></FindPersonUser>`)
	if !strings.Contains(found, "scripting") {
		t.Errorf("the user is answered %.400s", found)
	}
}

// TestConnectVcenterServerMOB: PowerShell's web cmdlets send a credential only when they were asked for it, and then go by the
// cookie.
func TestConnectVcenterServerMOB(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "one")
	b := newBrowser(t, g)
	res, err := b.http.Do(b.request(http.MethodGet, addGlobal, ""))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if challenge := res.Header.Get("WWW-Authenticate"); res.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(challenge, "Basic ") {
		t.Fatalf("the first request is answered %s, %q", res.Status, challenge)
	}
	b.page(g.User, g.Token.Reveal())
	if status, body := b.do(b.request(http.MethodGet, addGlobal, "")); status != http.StatusOK || !nonceField.MatchString(body) {
		t.Errorf("with the cookie: %d %.400s", status, body)
	}
}
