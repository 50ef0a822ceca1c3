package powershell

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
	"github.com/airlock-run/airlock/executor/internal/psrp/psrptest"
	"github.com/airlock-run/airlock/internal/domain"
)

// otherwise lists where a value deliberately reads otherwise than through the converter that was recorded, which turned
// values into text inside PowerShell by ConvertTo-Json and ToString().
var otherwise = map[string]string{
	"arraylist":                "stacks and queues are JSON too, not the names of their types",
	"cyclic":                   "what holds itself is marked where it does, not after eight levels",
	"cyclic-hashtable":         "what holds itself is marked where it does, not after eight levels",
	"datatable":                "collections that are no lists are JSON too",
	"datetime":                 "dates are ISO 8601 with their zone and fractions",
	"format-between":           "Format-* objects become text in PowerShell, by the command behind the cmdlet",
	"format-list":              "Format-* objects become text in PowerShell, by the command behind the cmdlet",
	"format-table":             "Format-* objects become text in PowerShell, by the command behind the cmdlet",
	"format-wide":              "Format-* objects become text in PowerShell, by the command behind the cmdlet",
	"hashtable-nonstring-keys": "keys are text, where ConvertTo-Json refuses them",
	"hashtable-values":         "in JSON too a TimeSpan and a Version are their text, not their properties",
	"iterator":                 "collections that are no lists are JSON too",
	"tostring-throws":          "the converter failed, here it is the name of the type",
	"xml":                      "a document is its XML; an element the nodes in it, of which PowerShell sends no more",
}

// instead is how what stands in otherwise reads.
var instead = map[string][]string{
	"arraylist":                {"[1,2]", `["a"]`, "[]", "[2,1]"},
	"cyclic":                   {`{"Name":"a","Next":{"Name":"b","Next":"… (holds itself)"}}`},
	"cyclic-hashtable":         {`{"n":1,"self":{"n":1,"self":"… (holds itself)"}}`},
	"datatable":                {`["System.Data.DataRow"]`},
	"datetime":                 {"2024-05-06T07:08:09.123+00:00", "2024-05-06T07:08:09Z", "2024-05-06T00:00:00", "2024-05-06T07:08:09+00:00"},
	"hashtable-nonstring-keys": {`{"00000000-0000-0000-0000-000000000001":"g","2.5":"f","1":"one","True":"yes"}`},
	"hashtable-values":         {`{"n":null,"b":true,"d":"2024-05-06T07:08:09+00:00","a":[1,2],"e":[],"s":"","t":"01:02:03","day":"Monday","v":"1.2.3"}`},
	"iterator":                 {"1", "2", "3", "[1,2,3]"},
	"tostring-throws":          {"Bad", "after"},
	"xml":                      {`<a><b c="d">t</b></a>`, `["b"]`},
}

// TestTextAsRecorded compares with what PowerShell's own conversion gave for the same values: each script was recorded
// twice, with a converter behind it and without.
func TestTextAsRecorded(t *testing.T) {
	recordings, err := psrptest.Recordings()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]psrptest.Recording{}
	for _, r := range recordings {
		all[r.Name] = r
	}
	pairs, used := 0, map[string]bool{}
	for name, converted := range all {
		what, is := strings.CutPrefix(name, "convert-")
		raw, found := all["output-"+what]
		if !found {
			raw, found = all["plain-"+what]
		}
		if !is || !found {
			continue
		}
		pairs++
		got, want := []string{}, []string{}
		for _, v := range outputOf(t, raw) {
			got = append(got, Text(v))
		}
		for _, v := range outputOf(t, converted) {
			want = append(want, Text(v))
		}
		if otherwise[what] != "" {
			used[what] = true
			if fmt.Sprint(got) == fmt.Sprint(want) {
				t.Errorf("%s is listed as different, and is not", what)
			}
			if want = instead[what]; want == nil {
				continue
			}
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("%s reads\n%q, want\n%q", what, got, want)
		}
	}
	if t.Logf("%d pairs, %d differ on purpose", pairs, len(used)); pairs != 101 || len(used) != len(otherwise) {
		t.Errorf("%d pairs; %d of %d differences were met", pairs, len(used), len(otherwise))
	}
}

func TestText(t *testing.T) {
	const custom = `<TN RefId="0"><T>Deserialized.System.Management.Automation.PSCustomObject</T><T>Deserialized.System.Object</T></TN>`
	for xml, want := range map[string]string{
		`<Nil />`:       "",
		`<Db>-INF</Db>`: "-Infinity",
		`<Obj RefId="0"><LST><Db>INF</Db><Sg>NaN</Sg><Db>-1E-05</Db><D>79228162514264337593543950335</D></LST></Obj>`: `["Infinity","NaN",-1E-05,79228162514264337593543950335]`,
		`<TS>-P1DT2H3M4.0000001S</TS>`:        "-1.02:03:04.0000001",
		`<TS>P10675199DT2H48M5.4775807S</TS>`: "10675199.02:48:05.4775807",
		`<TS>P1Y</TS>`:                        "P1Y",
		`<C>66000</C>`:                        "66000",
		`<Obj RefId="0">` + custom + `<MS><S N="a&lt;&quot;">&lt;&amp;"\_x0007__x000A_</S><SS N="s">AAAA</SS><C N="c">34</C></MS></Obj>`:                                                                                                        `{"a<\"":"<&\"\\\u0007\n","s":"System.Security.SecureString","c":"\""}`,
		`<Obj RefId="0"><TN RefId="0"><T>Deserialized.System.Collections.Hashtable</T></TN><DCT><En><Obj N="Key" RefId="1"><TN RefId="1"><T>System.Object[]</T></TN><LST><Ref RefId="0" /></LST></Obj><BA N="Value">AQL/</BA></En></DCT></Obj>`: `{"System.Object[]":[1,2,255]}`,
		`<Obj RefId="0"><TN RefId="0"><T>Deserialized.Demo.Thing</T></TN><Props><I32 N="X">1</I32></Props></Obj>`:                                                                                                                               "Demo.Thing",
		`<Obj RefId="0"><TN RefId="0"><T>Deserialized.Demo.Thing</T></TN><ToString>thing 1</ToString><Props><I32 N="X">1</I32></Props></Obj>`:                                                                                                   "thing 1",
		`<Obj RefId="0"><LST><Obj RefId="1"><LST /></Obj><Ref RefId="1" /></LST></Obj>`:                                                                                                                                                         "[[],[]]",
		`<Obj RefId="0"><I32>5</I32><MS><S N="note">n</S></MS></Obj>`:                                                                                                                                                                           "5",
	} {
		v, err := clixml.Decode([]byte(xml))
		if err != nil {
			t.Errorf("%s: %v", xml, err)
			continue
		}
		if got := Text(v); got != want {
			t.Errorf("%s\nreads %s\nwant  %s", xml, got, want)
		}
	}
	if got := Text(nil); got != "" {
		t.Errorf("nothing reads %q", got)
	}
}

// TestTextBounded: a few values that refer to one another stand for text without end; a list that is only long too is cut,
// and both say so.
func TestTextBounded(t *testing.T) {
	bomb := `<Obj RefId="0"><DCT><En><S N="Key">0</S><S N="Value">boom</S></En></DCT></Obj>`
	for i := range 60 {
		bomb += fmt.Sprintf(`<Obj RefId="%d"><DCT><En><S N="Key">a</S><Ref N="Value" RefId="%d" /></En><En><S N="Key">b</S><Ref N="Value" RefId="%d" /></En></DCT></Obj>`, i+1, i, i)
	}
	chain := `<Obj RefId="0"><LST /></Obj>`
	for i := range 1000 {
		chain += fmt.Sprintf(`<Obj RefId="%d"><LST><Ref RefId="%d" /></LST></Obj>`, i+1, i)
	}
	often := func(primitive string) string { // what reads much and writes little would take days
		return `<Obj RefId="x"><LST><Obj RefId="1">` + primitive + `</Obj>` + strings.Repeat(`<Ref RefId="1"/>`, 200_000) + `</LST></Obj>`
	}
	for what, c := range map[string]struct{ xml, mark string }{
		"line breaks":   {often("<BA>" + strings.Repeat("\n", 4<<20) + "</BA>"), `\n… (cut)","… (cut)"]`},
		"zeros":         {often("<C>" + strings.Repeat("0", 4<<20) + "65</C>"), `0… (cut)","… (cut)"]`},
		"days":          {often("<TS>P" + strings.Repeat("1D", 2<<20) + "</TS>"), `… (cut)","… (cut)"]`},
		"a bomb":        {`<Obj RefId="x"><LST>` + bomb + `</LST></Obj>`, `,"…":"… (cut)"}`},
		"a long text":   {`<Obj RefId="x"><LST><S>` + strings.Repeat("é", domain.MaxRecord) + `</S><S>b</S></LST></Obj>`, `é… (cut)","… (cut)"]`},
		"escapes":       {`<Obj RefId="x"><LST><S>` + strings.Repeat("_x0007_", domain.MaxRecord) + `</S></LST></Obj>`, `\u0007… (cut)"]`},
		"many items":    {`<Obj RefId="x"><LST>` + strings.Repeat("<S>12345678</S>", 200_000) + `</LST></Obj>`, `"12345678","… (cut)"]`},
		"many bytes":    {`<BA>` + strings.Repeat("AQL/", domain.MaxRecord) + `</BA>`, `,"… (cut)"]`},
		"a long number": {`<Obj RefId="x"><LST><I32>` + strings.Repeat("1", 2*domain.MaxRecord) + `</I32></LST></Obj>`, `1… (cut)"]`},
		"a deep chain":  {`<Obj RefId="x"><LST>` + chain + `<Obj RefId="y"><LST><Ref RefId="1000" /></LST></Obj></LST></Obj>`, `["… (nested too deep)"]`},
	} {
		v, err := clixml.Decode([]byte(c.xml))
		if err != nil {
			t.Fatal(what, err)
		}
		text := Text(v)
		if len(text) > domain.MaxRecord || !json.Valid([]byte(text)) || !strings.Contains(text, c.mark) {
			t.Errorf("%s reads as %d bytes, JSON: %v, which end with %.80q", what, len(text), json.Valid([]byte(text)), text[max(0, len(text)-200):])
		}
	}
	long := strings.Repeat("x", 3*domain.MaxRecord)
	if got := Text(clixml.Text(long)); got != long {
		t.Errorf("a long string reads as %d bytes", len(got))
	}
}

func TestEntries(t *testing.T) {
	v, err := clixml.Decode([]byte(`<Obj RefId="0"><TN RefId="0"><T>System.Collections.Hashtable</T></TN><DCT>` +
		`<En><S N="Key">text</S><S N="Value">t</S></En><En><S N="Key">empty</S><S N="Value"></S></En><En><S N="Key">null</S><Nil N="Value" /></En>` +
		`<En><I32 N="Key">1</I32><B N="Value">true</B></En><En><S N="Key">list</S><Obj N="Value" RefId="1"><LST><I32>1</I32></LST></Obj></En>` +
		`<En><S N="Key">secret</S><SS N="Value">AAAA</SS></En><En><S N="Key">noted</S><Obj N="Value" RefId="2"><SS>BBBB</SS></Obj></En></DCT></Obj>`))
	if err != nil {
		t.Fatal(err)
	}
	all, err := Entries(v)
	if err != nil || len(all) != 7 {
		t.Fatalf("%+v, %v", all, err)
	}
	for name, want := range map[string]Entry{"text": {Text: "t"}, "empty": {}, "null": {IsNull: true}, "1": {Text: "True"}, "list": {Text: "[1]"}} {
		if all[name] != want {
			t.Errorf("%s is %+v, want %+v", name, all[name], want)
		}
	}
	for name, want := range map[string]string{"secret": "AAAA", "noted": "BBBB"} {
		if e := all[name]; e.Secret.Number() != want || e.Text != "" {
			t.Errorf("%s is %+v", name, e)
		}
	}
	if all, err := Entries(nil); all != nil || err != nil {
		t.Errorf("$null is %v, %v", all, err)
	}
	for xml, want := range map[string]string{
		`<Obj RefId="0"><DCT><En><S N="Key">1</S><S N="Value">` + strings.Repeat("x", domain.MaxRecord) + `</S></En></DCT></Obj>`: "it holds more than 1 MiB of text",
		`<S>x</S>`: "it is a string, not a hashtable",
		`<Obj RefId="0"><TN RefId="0"><T>System.Object[]</T></TN><LST /></Obj>`:                                                    "it is a System.Object[], not a hashtable",
		`<Obj RefId="0"><DCT><En><S N="Key">1</S><Nil N="Value" /></En><En><I32 N="Key">1</I32><Nil N="Value" /></En></DCT></Obj>`: `it has two keys that read "1"`,
	} {
		v, err := clixml.Decode([]byte(xml))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Entries(v); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", xml, err, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte(`<Obj RefId="0"><DCT><En><Ref N="Key" RefId="0" /><Ref N="Value" RefId="0" /></En></DCT></Obj>`))
	f.Add([]byte(`<Obj RefId="0"><LST><Db>INF</Db><TS>P1DT2H3M4.5S</TS><C>55357</C><BA>AQL/</BA><B>x</B><I32>01</I32></LST></Obj>`))
	f.Add([]byte(`<Obj RefId="0"><TN RefId="0"><T>System.Enum</T></TN><ToString>_xD83D_</ToString><I32>1</I32><MS><SS N="a" /></MS></Obj>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := clixml.Decode(data)
		if err != nil {
			return
		}
		text := Text(v)
		if len(text) > max(domain.MaxRecord, len(data)+100) || !utf8.ValidString(text) {
			t.Errorf("%d bytes read as %d, UTF-8: %v", len(data), len(text), utf8.ValidString(text))
		}
		if !v.IsNull() && isContainer(v) && !json.Valid([]byte(text)) {
			t.Errorf("%q reads as %q", data, text)
		}
		_, _ = Entries(v)
	})
}

// BenchmarkText is beside json.Marshal of the same values, which has them as Go's maps and slices.
func BenchmarkText(b *testing.B) {
	var items []*clixml.Value
	var plain []any
	for i := range 100 {
		name := fmt.Sprintf("virtual machine %d", i)
		items = append(items, clixml.Table(clixml.Pair{Key: clixml.Text("Name"), Value: clixml.Text(name)},
			clixml.Pair{Key: clixml.Text("Number"), Value: clixml.Primitive("I32", fmt.Sprint(i))}, clixml.Pair{Key: clixml.Text("On"), Value: clixml.Bool(true)}))
		plain = append(plain, map[string]any{"Name": name, "Number": i, "On": true})
	}
	v := clixml.ListOf(items...)
	b.Run("Text", func(b *testing.B) {
		b.SetBytes(int64(len(Text(v))))
		for b.Loop() {
			Text(v)
		}
	})
	b.Run("json.Marshal", func(b *testing.B) {
		b.SetBytes(int64(len(Text(v))))
		for b.Loop() {
			if _, err := json.Marshal(plain); err != nil {
				b.Fatal(err)
			}
		}
	})
}
