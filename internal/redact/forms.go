package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// forms returns what is searched for to find a value, without line breaks; some forms may be in it more than once.
// A value that ends in a line break, as one read from a file does, is also searched for without it.
func forms(value string) []string {
	all := []string{Visible(significant([]byte(value)))}
	for _, v := range []string{value, strings.Trim(value, "\r\n")} {
		all = append(all, string(significant([]byte(v))))
		all = append(all, base64Forms(v)...)
		all = append(all, jsonForms(v)...)
	}
	return all
}

// base64Forms returns how a value looks in base64 (RFC 4648, sections 4 and 5) of any text that holds it: three bytes
// make four characters, so there are three ways to begin. Characters that also depend on neighbours are left out.
// Where nothing follows the value the last character depends on it alone: it is in a second form, with its padding.
func base64Forms(value string) []string {
	var all []string
	for before := range 3 {
		begin := (before*8 + 5) / 6 // characters that hold bits of what stands before
		whole := (before + len(value)) * 8 / 6
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			s := encoding.EncodeToString(append(make([]byte, before), value...))
			all = append(all, s[begin:whole], s[begin:])
			if whole < len(s) {
				all = append(all, s[begin:whole+1])
			}
		}
	}
	return all
}

// netEscape escapes what System.Text.Json does besides what Go does.
var netEscape = strings.NewReplacer(`\\`, `\\`, `\"`, `\u0022`, `'`, `\u0027`, `+`, `\u002B`, "`", `\u0060`, "\x7f", `\u007F`)

var jsonEscape = regexp.MustCompile(`\\(?:u[0-9a-f]{4}|.)`)

// jsonForms returns how JSON encoders write a value inside a string (RFC 8259, section 7): with and without escapes of
// what is special in HTML, of all that is not ASCII, in hexadecimal of either case, and of the slash; and as .NET does.
func jsonForms(value string) []string {
	var all []string
	for _, html := range []bool{false, true} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(html)
		if err := e.Encode(value); err != nil {
			panic(err) // a string has a JSON form, and a Buffer takes it
		}
		s := strings.TrimSuffix(b.String(), "\n")
		s = s[1 : len(s)-1]
		upper := jsonEscape.ReplaceAllStringFunc(s, func(escape string) string {
			if len(escape) < 6 {
				return escape
			}
			return `\u` + strings.ToUpper(escape[2:])
		})
		net := netEscape.Replace(upper)
		for _, form := range []string{s, ascii(s, `\u%04x`), ascii(upper, `\u%04X`), ascii(net, `\u%04X`)} {
			all = append(all, form, strings.ReplaceAll(form, "/", `\/`))
		}
	}
	return all
}

// ascii escapes what is not ASCII in UTF-16 code units.
func ascii(s, format string) string {
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, format, unit)
		}
	}
	return b.String()
}

// significant returns text without line breaks: text itself where it has none.
func significant(text []byte) []byte {
	if bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') < 0 {
		return text
	}
	out := make([]byte, 0, len(text))
	for _, b := range text {
		if !lineBreak(b) {
			out = append(out, b)
		}
	}
	return out
}

func lineBreak(b byte) bool { return b == '\n' || b == '\r' }
