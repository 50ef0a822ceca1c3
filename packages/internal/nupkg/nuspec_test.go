package nupkg_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/airlock-run/airlock/internal/domain"
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
			<tags>PSModule  vSphere,NSX
			</tags><dependencies><dependency id="Other" version="[1.0]"/><dependency id="More"/></dependencies>`) + "\n<!-- end -->\n"))
		want := nupkg.Nuspec{
			ID: "Contoso.Tools", Version: "1.2", Description: "a <b>", Authors: "Jane", Owners: "Contoso", ProjectURL: "https://example.com/",
			Tags: []string{"PSModule", "vSphere", "NSX"}, Dependencies: []domain.Dependency{{ID: "Other", Range: "[1.0]"}, {ID: "More"}},
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", year, err, diff)
		}
	}
}

// depends is a nuspec of a package that depends on what the XML says.
func depends(xml string) []byte {
	return []byte(nuspec(schema, minimum+"<dependencies>"+xml+"</dependencies>"))
}

// numbered repeats an element with the numbers below n.
func numbered(form string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, form, i)
	}
	return b.String()
}

func TestRanges(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"": "", " ": "", "(,)": "", "(, )": "", "1.0": "1.0", "13.3.0.24145081": "13.3.0.24145081", "1.1.0-preview": "1.1.0-preview", "[1.0.1]": "[1.0.1]",
		"[1.0.0, 1.0.5]": "[1.0.0,1.0.5]", "(, 1.0.5]": "(,1.0.5]", "( ,1.0)": "(,1.0)", "[1.0, )": "[1.0,)", "(1.0,2.0-beta.1+x)": "(1.0,2.0-beta.1+x)", "[1.0,1.0.0]": "[1.0,1.0.0]",
	} {
		n, err := nupkg.ParseNuspec(depends(fmt.Sprintf("<dependency id='A' version='%s'/>", given)))
		if err != nil || n.Dependencies[0].Range != want {
			t.Errorf("%q: %+v, %v; want %q", given, n.Dependencies, err, want)
		}
	}
	for _, wrong := range []string{
		"1.*", "*", "latest", "v1", "1.2.3.4.5", "1.0-", "(1.0)", "[1.0)", "(1.0]", "[]", "[,", "]", "[", "1.0]", "[2.0,1.0]", "[1.0,1.0)", "(1.0,1.0.0]", "[1.0,2.0,3.0]", "[a,2.0]", "99999999999999999999",
	} {
		if n, err := nupkg.ParseNuspec(depends(fmt.Sprintf("<dependency id='A' version='%s'/>", wrong))); err == nil || !strings.Contains(err.Error(), "dependency A: its version range") {
			t.Errorf("%q: %+v, %v", wrong, n.Dependencies, err)
		}
	}
}

func TestGroupsOfDependencies(t *testing.T) {
	t.Parallel()
	n, err := nupkg.ParseNuspec(depends(`<group targetFramework="net462"><dependency id="A" version="1.0"/><dependency id="B"/></group>
		<group targetFramework="netstandard2.0"><dependency id="a" version="1.0" exclude="Build"/></group><group/>`))
	want := []domain.Dependency{{ID: "A", Range: "1.0"}, {ID: "B"}}
	if diff := cmp.Diff(want, n.Dependencies); diff != "" || err != nil {
		t.Error(err, diff)
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
		{nuspec(schema, "<id>../x</id><version>1.0</version>"), `the id "../x"`},
		{nuspec(schema, "<id>a..b</id><version>1.0</version>"), `the id "a..b"`},
		{nuspec(schema, "<id>"+strings.Repeat("a", 101)+"</id><version>1.0</version>"), "at most 100"},
		{nuspec(schema, minimum+"<tags>a</tags><tags>b</tags>"), "the element tags 2 times"},
		{nuspec(schema, minimum+"<dependencies/><dependencies/>"), "the element dependencies 2 times"},
		{string(depends("<dependency/>")), `a dependency with the id ""`},
		{string(depends(numbered("<dependency id='A%d'/>", 501))), "more than 500 dependencies"},
		{string(depends("<dependency id='a b'/>")), `a dependency with the id "a b"`},
		{string(depends("<dependency id='A'/><dependency id='a' version='1.0'/>")), "the dependency a twice"},
		{string(depends("<group><dependency id='A' version='1.0'/></group><group><dependency id='A' version='2.0'/></group>")), `two ranges, "1.0" and "2.0"`},
	} {
		got, err := nupkg.ParseNuspec([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.200s: %+v, %v; want an error that says %q", c.text, got, err, c.says)
		}
	}
}

func FuzzParseNuspec(f *testing.F) {
	f.Add([]byte(nuspec(schema, minimum)))
	f.Add(depends("<dependency id='A' version='(, 1.0.5]'/><group targetFramework='net8.0'><dependency id='B' version='[1.0.0-a.1, 2)'/></group>"))
	f.Add([]byte(nuspec(schema, minimum+"<tags>PSModule a,b</tags><dependencies><dependency id='A.B-c'/></dependencies>")))
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
		if again, err := nupkg.ParseNuspec(written); err != nil || !cmp.Equal(again, n, cmpopts.EquateEmpty()) {
			t.Errorf("%+v came back as %+v, %v", n, again, err)
		}
	})
}
