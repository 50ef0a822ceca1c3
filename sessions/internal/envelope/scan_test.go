package envelope

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	open  = `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">`
	login = `<Login xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this><userName a="1>0" b='"'>x</userName><password/></Login>`
)

func TestScanReads(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"govmomi":        open + `<s:Body>` + login + `</s:Body></s:Envelope>`,
		"header":         open + `<s:Header><operationID>7</operationID></s:Header><s:Body>` + login + `</s:Body></s:Envelope>`,
		"empty header":   open + `<s:Header/><s:Body>` + login + `</s:Body></s:Envelope>`,
		"no declaration": `<Envelope xmlns="e"><Body>` + login + `</Body></Envelope>`,
		"single quotes":  `<?xml version='1.0' encoding='utf-8' standalone='yes' ?><Envelope><Body>` + login + `</Body></Envelope>`,
		"byte order":     "\ufeff" + open + `<s:Body>` + login + `</s:Body></s:Envelope>`,
		"odd prefixes":   open + `<x-1:Body id = "a" ><v.2:Login ></v.2:Login ></x-1:Body></s:Envelope >` + "\n",
		"empty method":   open + `<s:Body><Login/></s:Body></s:Envelope>`,
		"white space":    open + " \r\n<s:Body>\t" + login + " </s:Body>\n</s:Envelope>\n",
		"named alike":    open + `<s:Body><Login><Body>x</Body><Header/><Envelope>y</Envelope></Login></s:Body></s:Envelope>`,
	} {
		c, err := Scan([]byte(body))
		if err != nil || c.Method != "Login" || len(c.Sessions) != 0 {
			t.Errorf("%s: Scan = %+v, %v; want the method Login", name, c, err)
		}
	}
}

func TestScanFindsSessions(t *testing.T) {
	t.Parallel()
	body := []byte(open + `<s:Header><vcSessionCookie> abc </vcSessionCookie><x><vcSessionCookie>no</vcSessionCookie></x>` +
		`<v:vcSessionCookie></v:vcSessionCookie></s:Header><s:Body><F><vcSessionCookie>no</vcSessionCookie></F></s:Body></s:Envelope>`)
	c, err := Scan(body)
	if err != nil || len(c.Sessions) != 2 {
		t.Fatalf("Scan = %+v, %v; want two sessions", c, err)
	}
	for i, want := range []string{"abc", ""} {
		if got := string(body[c.Sessions[i].From:c.Sessions[i].To]); got != want {
			t.Errorf("session %d is %q; want %q", i, got, want)
		}
	}
}

func TestScanFindsThis(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		login: "SessionManager",
		`<a:Login><a:_this type="x"> vm-1 </a:_this><_this>vm-2</_this></a:Login>`: "vm-1",
		`<Login><x><_this>vm-1</_this></x></Login>`:                                "",
		`<Login><_this/></Login>`:                                                  "",
		`<Login/>`:                                                                 "",
	} {
		whole := []byte(open + `<s:Header><_this>no</_this></s:Header><s:Body>` + body + `</s:Body></s:Envelope>`)
		c, err := Scan(whole)
		if got := string(whole[c.This.From:c.This.To]); err != nil || got != want {
			t.Errorf("%s: _this is %q, %v; want %q", body, got, err, want)
		}
	}
}

func TestScanRefuses(t *testing.T) {
	t.Parallel()
	body := func(inner string) string { return open + `<s:Body>` + inner + `</s:Body></s:Envelope>` }
	for name, in := range map[string]string{
		"nothing":            "",
		"text":               "Login",
		"no body":            open + `</s:Envelope>`,
		"empty body":         body(""),
		"unclosed":           open + `<s:Body><Login></Login></s:Body>`,
		"crossed":            open + `<s:Body><Login></s:Body></Login></s:Envelope>`,
		"another prefix":     open + `<s:Body><a:Login></b:Login></s:Body></s:Envelope>`,
		"DTD":                `<!DOCTYPE x [<!ENTITY l "Login">]>` + body(login),
		"DTD after":          `<?xml version="1.0"?><!DOCTYPE x><Envelope><Body><Login/></Body></Envelope>`,
		"comment":            body(`<!-- <Fine/> --><Login/>`),
		"comment inside":     body(`<Fine><!-- > --></Fine>`),
		"CDATA":              body(`<![CDATA[<Fine/>]]><Login/>`),
		"instruction":        body(`<?x <Fine/> ?><Login/>`),
		"two methods":        body(`<Fine/><Login/>`),
		"text beside":        body(`x<Login/>`),
		"two bodies":         open + `<s:Body><Fine/></s:Body><s:Body>` + login + `</s:Body></s:Envelope>`,
		"foreign body":       open + `<x:Body xmlns:x="x"><Fine/></x:Body><s:Body>` + login + `</s:Body></s:Envelope>`,
		"header after":       open + `<s:Body><Fine/></s:Body><s:Header/></s:Envelope>`,
		"two headers":        open + `<s:Header/><s:Header/><s:Body><Fine/></s:Body></s:Envelope>`,
		"something else":     open + `<Fine/><s:Body><Fine/></s:Body></s:Envelope>`,
		"two roots":          body(`<Fine/>`) + body(login),
		"another root":       `<Evil><Body><Fine/></Body></Evil>`,
		"text after":         body(`<Fine/>`) + "x",
		"UTF-16 declared":    `<?xml version="1.0" encoding="UTF-16"?><Envelope><Body><Fine/></Body></Envelope>`,
		"UTF-7 declared":     `<?xml version="1.0" encoding="UTF-7"?><Envelope><Body><Fine/></Body></Envelope>`,
		"version 1.1":        `<?xml version="1.1"?><Envelope><Body><Fine/></Body></Envelope>`,
		"not UTF-8":          body("<Fine>\xff</Fine>"),
		"UTF-16":             "\xfe\xff\x00<\x00E",
		"odd method":         body(`<Logïn/>`),
		"long method":        body(`<` + strings.Repeat("a", 129) + `/>`),
		"two colons":         body(`<a:b:Login/>`),
		"tag in attribute":   body(`<Fine a="<Login/>"/>`),
		"attribute unquoted": body(`<Fine a=b/>`),
		"attributes joined":  body(`<Fine a="1"b="2"/>`),
		"attribute open":     body(`<Fine a="1/>`),
		"session in parts":   open + `<s:Header><vcSessionCookie>&#97;</vcSessionCookie></s:Header><s:Body><Fine/></s:Body></s:Envelope>`,
		"empty session":      open + `<s:Header><vcSessionCookie/></s:Header><s:Body><Fine/></s:Body></s:Envelope>`,
		"deep":               body(strings.Repeat("<a>", 300) + strings.Repeat("</a>", 300)),
	} {
		if c, err := Scan([]byte(in)); err == nil {
			t.Errorf("%s: Scan = %+v; want an error", name, c)
		}
	}
}

// FuzzScan holds the scanner against a full parser, and against vcsim's reading of a request: what the scanner takes
// has the method that they find.
func FuzzScan(f *testing.F) {
	f.Add([]byte(open + `<s:Header><vcSessionCookie> abc </vcSessionCookie></s:Header><s:Body>` + login + `</s:Body></s:Envelope>`))
	f.Add([]byte(open + `<s:Body><a:Logout a='>'><_this type="SessionManager">S</_this></a:Logout></s:Body></s:Envelope>`))
	f.Add([]byte("\ufeff<Envelope><Header/><Body><CloneSession/></Body></Envelope>"))
	f.Add([]byte(open + `<!-- --><s:Body><?x?><![CDATA[<a>]]></s:Body></s:Envelope>`))
	known := types.TypeFunc()
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := Scan(body)
		if err != nil {
			return
		}
		for _, s := range c.Sessions {
			if bytes.ContainsAny(body[s.From:s.To], "<&") {
				t.Errorf("session %q is not plain text", body[s.From:s.To])
			}
		}
		if this := body[c.This.From:c.This.To]; bytes.IndexByte(this, '<') >= 0 {
			t.Errorf("_this is %q", this)
		}
		if method, ok := parse(body); ok && method != c.Method {
			t.Errorf("Scan finds %q, encoding/xml %q", c.Method, method)
		}
		if m, err := unmarshal(known, body); err == nil && m != c.Method {
			t.Errorf("Scan finds %q, vcsim %q", c.Method, m)
		}
	})
}

// parse finds the only element of the only Body with encoding/xml; ok is false for what is not well-formed.
func parse(body []byte) (method string, ok bool) {
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\ufeff"))))
	var path []string
	for {
		t, err := d.Token()
		if err != nil {
			return method, err.Error() == "EOF"
		}
		switch t := t.(type) {
		case xml.StartElement:
			if len(path) == 2 && path[0] == "Envelope" && path[1] == "Body" {
				method += t.Name.Local
			}
			path = append(path, t.Name.Local)
		case xml.EndElement:
			path = path[:len(path)-1]
		}
	}
}

// unmarshal reads the method as vcsim does, which panics on some requests without _this.
func unmarshal(known types.Func, body []byte) (method string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = xml.UnmarshalError("panic")
		}
	}()
	m, err := simulator.UnmarshalBody(known, body)
	if err != nil {
		return "", err
	}
	return m.Name, nil
}

func BenchmarkScan(b *testing.B) {
	body := []byte(open + `<s:Body><RetrievePropertiesEx xmlns="urn:vim25"><_this type="PropertyCollector">propertyCollector</_this><specSet>` +
		strings.Repeat(`<propSet><type>VirtualMachine</type><pathSet>name</pathSet></propSet>`, 4) + `</specSet></RetrievePropertiesEx></s:Body></s:Envelope>`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Scan(body); err != nil {
			b.Fatal(err)
		}
	}
}
