package clixml

import (
	"bytes"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	for xml, want := range map[string]string{
		`<S>a &lt;b&gt; &amp;amp; &quot;&apos;</S>`: `a <b> &amp; "'`,
		`<S>line_x000A_next_x000D__x0009_.</S>`:     "line\nnext\r\t.",
		`<S>_x005F_x000A_ _x00 _xZZZZ_ _</S>`:       "_x000A_ _x00 _xZZZZ_ _",
		`<S>_xD83D__xDE00_</S>`:                     "😀",
		`<S>_xD83D_ and _xDE00_ apart</S>`:          "\ufffd and \ufffd apart",
		`<S>_xD83D__xD83D__xDE00_</S>`:              "\ufffd😀",
		`<S>&#xFFFE;&#65;</S>`:                      "\ufffeA",
		`<S />`:                                     "",
		"\ufeff<S>after a mark</S>":                 "after a mark",
	} {
		v, err := Decode([]byte(xml))
		if err != nil || v.Str() != want {
			t.Errorf("%s reads %q, %v; want %q", xml, v.Str(), err, want)
		}
	}
}

func TestReferences(t *testing.T) {
	v, err := Decode([]byte(`<Obj RefId="0"><TN RefId="0"><T>A</T><T>B</T></TN><MS><Obj N="child" RefId="1"><TNRef RefId="0" /><MS><Ref N="parent" RefId="0" /></MS></Obj></MS></Obj>`))
	if err != nil {
		t.Fatal(err)
	}
	if child := v.Get("child"); !child.Is("B") || child.Get("parent") != v {
		t.Errorf("the child is %+v", child)
	}
	if again, err := Decode(Encode(v)); err != nil || again.Get("child").Get("parent") != again {
		t.Errorf("written and read again: %+v, %v", again, err)
	}
}

func TestRefused(t *testing.T) {
	for what, xml := range map[string]string{
		"nothing":                 "",
		"two values":              "<S>a</S><S>b</S>",
		"an unknown element":      "<Objs><S>a</S></Objs>",
		"a comment":               "<!-- --><S>a</S>",
		"a DTD":                   `<!DOCTYPE S [<!ENTITY e "x">]><S>&e;</S>`,
		"an entity":               "<S>&e;</S>",
		"a surrogate's reference": "<S>&#xD800;</S>",
		"another end":             "<S>a</T>",
		"no end":                  `<Obj RefId="0"><MS>`,
		"a reference to nothing":  `<Ref RefId="7" />`,
		"types of nothing":        `<Obj RefId="0"><TNRef RefId="7" /></Obj>`,
		"an object in itself":     `<Obj RefId="0"><Ref RefId="0" /></Obj>`,
		"an entry without value":  `<Obj RefId="0"><DCT><En><S N="Key">k</S></En></DCT></Obj>`,
		"no UTF-8":                "<S>\xff</S>",
		"depth":                   strings.Repeat(`<Obj RefId="0"><LST>`, MaxDepth+2) + strings.Repeat("</LST></Obj>", MaxDepth+2),
		"types":                   `<Obj RefId="0"><TN RefId="0">` + strings.Repeat("<T>t</T>", MaxTypes+1) + "</TN></Obj>",
		"number of types":         `<Obj RefId="0">` + strings.Repeat(`<TN RefId="0"><T>t</T></TN>`, MaxValues/2) + "</Obj>",
		"number":                  `<Obj RefId="0"><LST>` + strings.Repeat("<Nil />", MaxValues) + "</LST></Obj>",
	} {
		if v, err := Decode([]byte(xml)); err == nil {
			t.Errorf("%s reads as %+v", what, v)
		}
	}
}

// TestLaughs: a document that is small and a tree of 2^40 is read and written in no time.
func TestLaughs(t *testing.T) {
	var b strings.Builder
	b.WriteString(`<Obj RefId="r"><LST><Obj RefId="0"><LST /></Obj>`)
	for i := range 40 {
		fmt.Fprintf(&b, `<Obj RefId="%d"><LST><Ref RefId="%d" /><Ref RefId="%[2]d" /></LST></Obj>`, i+1, i)
	}
	b.WriteString("</LST></Obj>")
	v, err := Decode([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(Encode(v)); n > 2*b.Len() {
		t.Errorf("%d bytes are written as %d", b.Len(), n)
	}
	if v.Str() != "" || v.Number() != "" {
		t.Error("a list has a text")
	}
}

// TestMemory: a document of the largest message costs some hundred bytes a value beside its own.
func TestMemory(t *testing.T) {
	const message = 32 << 20
	for what, unit := range map[string]string{
		"values":              "<Nil />",
		"strings":             "<S>a</S>",
		"objects":             `<Obj RefId="%d"><MS><Nil /></MS></Obj>`,
		"types":               `<Obj><TN RefId="%d"><T>a</T></TN></Obj>`,
		"dictionaries":        `<Obj><DCT><En><S N="Key">a</S><S N="Value">b</S></En></DCT></Obj>`,
		"references":          `<Ref RefId="a" />`,
		"empty parts":         `<Obj><MS /><LST /><DCT /><Props /></Obj>`,
		"parts of one object": `<Obj RefId="a">` + strings.Repeat("<MS /><ToString>x</ToString>", 1000) + `</Obj>`,
	} {
		var b strings.Builder
		b.WriteString(`<Obj RefId="a"><LST>`)
		for i := 0; i <= MaxValues && b.Len() < message; i++ {
			b.WriteString(strings.ReplaceAll(unit, "%d", strconv.Itoa(i)))
		}
		data := []byte(b.String())
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode(data)
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		if t.Logf("%s: %d MiB are allocated, %v", what, allocated>>20, err); allocated > 400*MaxValues+message || err == nil {
			t.Errorf("%s: %d MiB are allocated, %v", what, allocated>>20, err)
		}
	}
}

// FuzzDecode: what is read can be written, and reads the same again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`<Obj RefId="0"><TN RefId="0"><T>T</T></TN><ToString>s_x000A_</ToString><Props><I32 N="a">1</I32></Props><MS><Ref N="b" RefId="0" /></MS></Obj>`))
	f.Add([]byte(`<Obj RefId="0"><DCT><En><S N="Key">k</S><Nil N="Value" /></En></DCT></Obj>`))
	f.Add([]byte("\ufeff<S>_xD83D__x005F_xDE00_&#xFFFE;</S>"))
	f.Add([]byte(`<Obj RefId="0"><MS><Nil N="a" /></MS><Props><Nil N="b" /></Props><LST /><DCT /></Obj>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Decode(data)
		if err != nil {
			return
		}
		_, _ = v.Str(), v.Number()
		written := Encode(v)
		again, err := Decode(written)
		if err != nil {
			t.Fatalf("%q is written as %q: %v", data, written, err)
		}
		if twice := Encode(again); !bytes.Equal(written, twice) { // parts come in any order, and are written in one
			t.Errorf("%q is written as %q, and that as %q", data, written, twice)
		}
	})
}
