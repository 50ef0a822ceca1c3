package clixml

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Encode writes a value. A value that occurs twice is written once and then referred to, so one that holds itself can be
// written too.
func Encode(v *Value) []byte {
	w := writer{objects: map[*Value]int{}, types: map[string]int{}}
	w.value(v, "")
	return w.out.Bytes()
}

type writer struct {
	out     bytes.Buffer
	objects map[*Value]int
	types   map[string]int
}

func (w *writer) value(v *Value, name string) {
	n := ""
	if name != "" {
		n = ` N="` + escape(name) + `"`
	}
	if v == nil {
		v = Null()
	}
	if v.Tag != object {
		if v.Text == "" && v.Tag != "S" {
			fmt.Fprintf(&w.out, "<%s%s />", v.Tag, n)
			return
		}
		fmt.Fprintf(&w.out, "<%s%s>%s</%s>", v.Tag, n, escape(v.Text), v.Tag)
		return
	}
	if id, written := w.objects[v]; written {
		fmt.Fprintf(&w.out, `<Ref RefId="%d"%s />`, id, n)
		return
	}
	id := len(w.objects)
	w.objects[v] = id
	fmt.Fprintf(&w.out, `<Obj RefId="%d"%s>`, id, n)
	w.parts(v)
	w.out.WriteString("</Obj>")
}

// parts writes what an object consists of, in the order in which PowerShell's own client does.
func (w *writer) parts(v *Value) {
	if v.Base != nil {
		w.value(v.Base, "")
	}
	w.typeNames(v.Types)
	switch v.Held {
	case None:
	case Dictionary:
		w.out.WriteString("<DCT>")
		for _, p := range v.Pairs {
			w.out.WriteString("<En>")
			w.value(p.Key, "Key")
			w.value(p.Value, "Value")
			w.out.WriteString("</En>")
		}
		w.out.WriteString("</DCT>")
	default:
		fmt.Fprintf(&w.out, "<%s>", v.Held)
		for _, item := range v.Items {
			w.value(item, "")
		}
		fmt.Fprintf(&w.out, "</%s>", v.Held)
	}
	w.properties(v.Props, "Props", true)
	w.properties(v.Props, "MS", false)
	if v.String != nil {
		fmt.Fprintf(&w.out, "<ToString>%s</ToString>", escape(*v.String))
	}
}

func (w *writer) typeNames(types []string) {
	if len(types) == 0 {
		return
	}
	key := strings.Join(types, "\x00")
	if id, written := w.types[key]; written {
		fmt.Fprintf(&w.out, `<TNRef RefId="%d" />`, id)
		return
	}
	id := len(w.types)
	w.types[key] = id
	fmt.Fprintf(&w.out, `<TN RefId="%d">`, id)
	for _, t := range types {
		fmt.Fprintf(&w.out, "<T>%s</T>", escape(t))
	}
	w.out.WriteString("</TN>")
}

func (w *writer) properties(props []Property, element string, own bool) {
	begun := false
	for _, p := range props {
		if p.Own != own {
			continue
		}
		if !begun {
			begun = true
			w.out.WriteString("<" + element + ">")
		}
		w.value(p.Value, p.Name)
	}
	if begun {
		w.out.WriteString("</" + element + ">")
	}
}

// escape writes text so that unescape reads the same: XML's own marks as references, control characters and what reads
// like an escape as _xHHHH_. Bytes that are no UTF-8 become U+FFFD.
func escape(s string) string {
	var out strings.Builder
	for i, c := range s {
		switch {
		case c == '<':
			out.WriteString("&lt;")
		case c == '>':
			out.WriteString("&gt;")
		case c == '&':
			out.WriteString("&amp;")
		case c == '"':
			out.WriteString("&quot;")
		case c == '_' && strings.HasPrefix(s[i:], "_x"), c == '_' && strings.HasPrefix(s[i:], "_X"):
			unit(&out, uint16(c))
		case c < 0x20, c >= 0x7f && c < 0xa0, c == 0xfffe, c == 0xffff:
			unit(&out, uint16(c))
		case c == utf8.RuneError:
			out.WriteRune(c)
		case c > 0xffff && c&0xfffe == 0xfffe: // noncharacters of the higher planes
			high, low := utf16.EncodeRune(c)
			unit(&out, uint16(high))
			unit(&out, uint16(low))
		default:
			out.WriteRune(c)
		}
	}
	return out.String()
}

func unit(out *strings.Builder, u uint16) {
	hex := strings.ToUpper(strconv.FormatUint(uint64(u), 16))
	out.WriteString("_x" + "0000"[len(hex):] + hex + "_")
}
