package vcproxy

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/xml"
	"io"
	"strings"

	"github.com/airlock-run/airlock/sdk/secret"
)

// credentials is what a SOAP call carries to log in with: of the vSphere API in its body, of the STS and SSO
// administration in the header Security (WS-Security 1.1, SAML token profile). What a call says twice is read as its
// last word, which does no harm, for none of it goes on.
type credentials struct {
	Header struct {
		Security *struct {
			UsernameToken *struct{ Username, Password string }
			Assertion     *samlID
		}
	}
	Body struct {
		Login struct {
			UserName string `xml:"userName"`
			Password string `xml:"password"`
		}
		RequestSecurityToken struct { // WS-Trust 1.3
			RequestType string
			RenewTarget struct{ Assertion *samlID }
		}
	}
}

type samlID struct {
	ID string `xml:"ID,attr"`
}

func readCredentials(body []byte) (c credentials, err error) {
	err = xml.Unmarshal(body, &c)
	return c, err
}

// owns says whether user and password are the execution's own. The user may come with a domain, which some clients ask
// for.
func (p *proxy) owns(user, password string) bool {
	return p.c.Token.Equal(secret.New(password)) && strings.EqualFold(bareName(user), p.c.ScriptUser)
}

// bareName is the name of a user without its domain: name, name@domain or DOMAIN\name.
func bareName(user string) string {
	user = user[strings.LastIndexByte(user, '\\')+1:]
	name, _, _ := strings.Cut(user, "@")
	return name
}

// issued says whether an assertion is the one that the proxy's STS issues.
func (p *proxy) issued(a *samlID) bool { return a != nil && p.assertion.Equal(secret.New(a.ID)) }

// signed says the same of what a REST login carries: SIGN token="base64 of gzip of the assertion", ….
func (p *proxy) signed(authorization string) bool {
	_, rest, _ := strings.Cut(authorization, `token="`)
	text, _, _ := strings.Cut(rest, `"`)
	zipped, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(text)))
	if err != nil {
		return false
	}
	var a samlID
	return xml.NewDecoder(io.LimitReader(zipped, maxHeader)).Decode(&a) == nil && p.issued(&a)
}

// withoutHeader cuts the Header out of an envelope that Scan has taken.
func withoutHeader(body []byte) ([]byte, error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	for depth, from := 0, int64(-1); ; {
		before := d.InputOffset()
		t, err := d.Token()
		if err == io.EOF {
			return body, nil
		} else if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth == 1 && t.Name.Local == "Header" {
				from = before
			}
			depth++
		case xml.EndElement:
			depth--
			if depth == 1 && from >= 0 {
				return append(bytes.Clone(body[:from]), body[d.InputOffset():]...), nil
			}
		}
	}
}
