package nupkg_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/packages/internal/nupkg"
)

func nuspec(namespace, metadata string) string {
	return fmt.Sprintf(`<?xml version="1.0" encoding="utf-8"?>
<package xmlns=%q><metadata>%s</metadata></package>`, namespace, metadata)
}

const (
	schema  = "http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"
	minimum = "<id>P</id><version>1.0</version>"
)

func TestParseNuspec(t *testing.T) {
	t.Parallel()
	for _, year := range []string{"2010/07", "2011/08", "2011/10", "2012/06", "2013/01", "2013/05"} {
		got, err := nupkg.ParseNuspec([]byte("\ufeff" + nuspec("http://schemas.microsoft.com/packaging/"+year+"/nuspec.xsd", `
			<id> Contoso.Tools </id><version>1.2</version><authors>Jane</authors><owners>Contoso</owners>
			<projectUrl>https://example.com/</projectUrl><description>a &lt;b&gt;</description>
			<tags>PSModule</tags><dependencies><dependency id="Other" version="[1.0]"/></dependencies>`) + "\n<!-- end -->\n"))
		want := nupkg.Nuspec{ID: "Contoso.Tools", Version: "1.2", Description: "a <b>", Authors: "Jane", Owners: "Contoso", ProjectURL: "https://example.com/"}
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", year, got, err)
		}
	}
}

func TestParseNuspecRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, says string }{
		{"", "well-formed"},
		{"PK\x03\x04", "well-formed"},
		{nuspec(schema, minimum)[:80], "well-formed"},
		{nuspec("http://example.com/nuspec.xsd", minimum), "namespace"},
		{"<package><metadata>" + minimum + "</metadata></package>", "namespace"},
		{nuspec(schema, "<version>1.0</version>"), "no id"},
		{nuspec(schema, "<id>P</id><version> </version>"), "no version"},
		{nuspec(schema, minimum+"<id>Q</id>"), "the element id 2 times"},
		{nuspec(schema, minimum+"</metadata><metadata>"), "2 elements named metadata"},
		{nuspec(schema, minimum) + "<more/>", "after its end"},
		{nuspec(schema, minimum) + "more", "after its end"},
		{nuspec(schema, minimum+"<description>&xxe;</description>"), "well-formed"},
		{`<?xml version="1.0" encoding="utf-16"?>` + "<package/>", "well-formed"},
		{`<!DOCTYPE package [<!ENTITY a "b">]>` + nuspec(schema, minimum+"<description>&a;</description>")[38:], "well-formed"},
		{strings.Repeat("<a>", 80_000), "well-formed"},
	} {
		got, err := nupkg.ParseNuspec([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.200s: %+v, %v; want an error that says %q", c.text, got, err, c.says)
		}
	}
}

func FuzzParseNuspec(f *testing.F) {
	f.Add([]byte(nuspec(schema, minimum)))
	f.Add([]byte("\ufeff" + nuspec(schema, minimum+"<authors>A</authors><description>&#x41;<![CDATA[x]]></description>")))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := nupkg.ParseNuspec(data)
		if err != nil {
			return
		}
		written, err := n.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := nupkg.ParseNuspec(written); err != nil || again != n {
			t.Errorf("%+v came back as %+v, %v", n, again, err)
		}
	})
}
