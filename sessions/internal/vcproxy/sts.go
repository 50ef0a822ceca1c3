package vcproxy

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Nothing is passed on to the vCenter's own security token service.

// assertionLife is what an assertion says of its own life, longer than an execution's: it ends with that.
const assertionLife = 2 * time.Hour

// issue answers Issue and Renew of WS-Trust 1.3: the execution's user and token, or the assertion that it got for them,
// give an assertion (SAML 2.0, bearer) that this proxy takes for a login. Anywhere else it opens nothing: nobody has
// signed it.
func (p *proxy) issue(w http.ResponseWriter, j *judged) {
	c, err := readCredentials(j.body)
	kind := c.Body.RequestSecurityToken.RequestType
	kind = kind[strings.LastIndexByte(kind, '/')+1:]
	valid := kind == "Renew" && p.issued(c.Body.RequestSecurityToken.RenewTarget.Assertion)
	if s := c.Header.Security; kind == "Issue" && s != nil {
		valid = s.UsernameToken != nil && p.owns(s.UsernameToken.Username, s.UsernameToken.Password) ||
			s.UsernameToken == nil && p.issued(s.Assertion)
	}
	if err != nil || !valid {
		j.refused = ruleLogin
		writeXML(w, http.StatusInternalServerError, fmt.Appendf(nil, failedAuthentication, escaped(p.otherLogin())))
		return
	}
	now := time.Now().UTC()
	created, expires := now.Format(samlTime), now.Add(assertionLife).Format(samlTime)
	domain := ssoDomain(p.c.User)
	a := fmt.Sprintf(assertionForm, escaped(p.assertion.Reveal()), created, escaped(p.c.Host), escaped(domain), escaped(p.c.ScriptUser), expires)
	answer := fmt.Sprintf(tokenResponse, a, created, expires)
	if kind == "Issue" {
		answer = `<wst:RequestSecurityTokenResponseCollection xmlns:wst="` + wst + `">` + answer + `</wst:RequestSecurityTokenResponseCollection>`
	}
	writeXML(w, http.StatusOK, []byte(xml.Header+soapOpen+answer+soapClose))
}

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

const (
	samlTime = "2006-01-02T15:04:05.000Z"
	wst      = "http://docs.oasis-open.org/ws-sx/ws-trust/200512"

	soapOpen  = `<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body>`
	soapClose = `</S:Body></S:Envelope>`

	failedAuthentication = xml.Header + soapOpen + `<S:Fault><faultcode xmlns:wst="` + wst + `">wst:FailedAuthentication</faultcode>` +
		`<faultstring>Invalid credentials: %s</faultstring></S:Fault>` + soapClose

	tokenResponse = `<wst:RequestSecurityTokenResponse xmlns:wst="` + wst + `">` +
		`<wst:TokenType>urn:oasis:names:tc:SAML:2.0:assertion</wst:TokenType>` +
		`<wst:RequestedSecurityToken>%s</wst:RequestedSecurityToken>` +
		`<wst:Lifetime xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd">` +
		`<wsu:Created>%s</wsu:Created><wsu:Expires>%s</wsu:Expires></wst:Lifetime></wst:RequestSecurityTokenResponse>`

	// assertionForm takes id, beginning, host, SSO domain, user and end.
	assertionForm = `<saml2:Assertion xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion" ID="%[1]s" IssueInstant="%[2]s" Version="2.0">` +
		`<saml2:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">https://%[3]s/websso/SAML2/Metadata/%[4]s</saml2:Issuer>` +
		`<saml2:Subject><saml2:NameID Format="http://schemas.xmlsoap.org/claims/UPN">%[5]s@%[4]s</saml2:NameID>` +
		`<saml2:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml2:SubjectConfirmationData NotOnOrAfter="%[6]s"/></saml2:SubjectConfirmation></saml2:Subject>` +
		`<saml2:Conditions NotBefore="%[2]s" NotOnOrAfter="%[6]s"/>` +
		`<saml2:AuthnStatement AuthnInstant="%[2]s"><saml2:AuthnContext><saml2:AuthnContextClassRef>` +
		`urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement></saml2:Assertion>`
)
