package vcproxy

import (
	"bytes"
	"encoding/xml"
	"io"
	"testing"
)

func TestRetrust(t *testing.T) {
	t.Parallel()
	const head, tail = `<?xml version="1.0"?><s:Envelope xmlns:s="x"><s:Body><ListResponse xmlns="urn:lookup"><returnval>`, `</returnval></ListResponse></s:Body></s:Envelope>`
	for in, want := range map[string]string{
		`<serviceEndpoints><url>https://VC.example:443/sdk</url><sslTrust>AAAA</sslTrust><sslTrust>BBBB</sslTrust></serviceEndpoints>`:                                                     `<serviceEndpoints><url>https://VC.example:443/sdk</url><sslTrust>own</sslTrust><sslTrust>own</sslTrust></serviceEndpoints>`,
		`<serviceEndpoints><sslTrust><![CDATA[AAAA]]></sslTrust><url> https://vc.example/ </url></serviceEndpoints>`:                                                                       `<serviceEndpoints><sslTrust>own</sslTrust><url> https://vc.example/ </url></serviceEndpoints>`,
		`<serviceEndpoints><url>https://psc.example/</url><sslTrust>AAAA</sslTrust></serviceEndpoints>`:                                                                                    ``,
		`<serviceEndpoints><url>https://vc.example/</url><sslTrust/></serviceEndpoints>`:                                                                                                   ``,
		`<url>https://vc.example/</url><sslTrust>AAAA</sslTrust>`:                                                                                                                          ``,
		`<serviceEndpoints><data><url>https://vc.example/</url></data><sslTrust>AAAA</sslTrust></serviceEndpoints>`:                                                                        ``,
		`<serviceEndpoints><url>https://vc.example/</url><sslTrust>AAAA</sslTrust></serviceEndpoints></returnval>`:                                                                         ``,
		`<serviceEndpoints><url>https://vc.example/</url><sslTrust>AAAA</sslTrust></serviceEndpoints>&unknown;`:                                                                            ``,
		`<serviceEndpoints><url>https://psc.example/</url><sslTrust>AAAA</sslTrust></serviceEndpoints><serviceEndpoints><sslTrust>A</sslTrust><url>//vc.example</url></serviceEndpoints>x`: `<serviceEndpoints><url>https://psc.example/</url><sslTrust>AAAA</sslTrust></serviceEndpoints><serviceEndpoints><sslTrust>own</sslTrust><url>//vc.example</url></serviceEndpoints>x`,
	} {
		if want == "" {
			want = in
		}
		if got := string(retrust([]byte(head+in+tail), "vc.example", "own")); got != head+want+tail {
			t.Errorf("%s became %s", in, got)
		}
	}
}

// Whatever the vCenter answers, nothing is lost but text of certificates, and what cannot be read is not touched.
func FuzzRetrust(f *testing.F) {
	f.Add([]byte(`<a><serviceEndpoints><url>https://vc.example/sdk</url><sslTrust>AAAA</sslTrust></serviceEndpoints></a>`))
	f.Add([]byte(`<a><serviceEndpoints><sslTrust>A<b/>A</sslTrust><url>https://vc.example</url><serviceEndpoints/></serviceEndpoints>`))
	f.Fuzz(func(t *testing.T, in []byte) {
		out := retrust(bytes.Clone(in), "vc.example", "own")
		before, err := marks(in)
		if err != nil {
			if !bytes.Equal(in, out) {
				t.Fatalf("what cannot be read became %q", out)
			}
			return
		}
		after, err := marks(out)
		if err != nil || before != after {
			t.Fatalf("%q became %q: %v", in, out, err)
		}
	})
}

// marks are the elements of a document but those in certificates.
func marks(doc []byte) (string, error) {
	d := xml.NewDecoder(bytes.NewReader(doc))
	var all bytes.Buffer
	for inside := 0; ; {
		t, err := d.Token()
		if err == io.EOF {
			return all.String(), nil
		} else if err != nil {
			return "", err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if inside > 0 || t.Name.Local == "sslTrust" {
				inside++
			} else {
				all.WriteString("<" + t.Name.Local)
			}
		case xml.EndElement:
			if inside > 0 {
				inside--
			} else {
				all.WriteString(">")
			}
		}
	}
}
