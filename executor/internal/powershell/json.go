package powershell

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
	"github.com/airlock-run/airlock/internal/domain"
)

// What stands in JSON in place of a value that is left out, so that nobody takes the rest for all.
const (
	markItself = "… (holds itself)"
	markDeep   = "… (nested too deep)"
	markCut    = "… (cut)"
)

// mostJSON leaves room behind it for the marks and the ends of everything that is open.
const mostJSON = domain.MaxRecord - clixml.MaxDepth*2*len(markCut+`,"":""}`)

// writer writes a value as compact JSON. What is given to it may hold one value in many places and itself: references
// cost the sender nothing, so depth and length are bounded.
type writer struct {
	out  []byte
	open []*clixml.Value // the containers that are being written, outermost first
}

func (w *writer) isFull() bool { return len(w.out) >= mostJSON }

func (w *writer) value(v *clixml.Value) {
	switch {
	case v.IsNull():
		w.out = append(w.out, "null"...)
	case slices.Contains(w.open, v):
		w.text(markItself)
	case len(w.open) >= clixml.MaxDepth:
		w.text(markDeep)
	case v.Held == clixml.Dictionary:
		w.object(v, len(v.Pairs), func(i int) (string, *clixml.Value) { return key(v.Pairs[i].Key), v.Pairs[i].Value })
	case isList(v):
		w.array(v, len(v.Items), func(i int) { w.value(v.Items[i]) })
	case v.Base != nil && !v.Is(typeEnum):
		w.value(v.Base)
	case isCustom(v):
		w.object(v, len(v.Props), func(i int) (string, *clixml.Value) { return v.Props[i].Name, v.Props[i].Value })
	default:
		w.primitive(v)
	}
}

func (w *writer) primitive(v *clixml.Value) {
	switch v.Tag {
	case "B":
		if v.Text == "true" || v.Text == "false" {
			w.out = append(w.out, v.Text...)
			return
		}
	case "By", "SB", "I16", "U16", "I32", "U32", "I64", "U64", "Db", "Sg", "D":
		if isNumber(v.Text) {
			w.out = append(w.out, v.Text...)
			return
		}
	case "BA":
		// Base64 may be of line breaks only, which would be read each time and write nothing.
		if b, err := base64.StdEncoding.DecodeString(v.Text); err == nil && base64.StdEncoding.EncodedLen(len(b)) == len(v.Text) {
			w.array(v, len(b), func(i int) { w.out = strconv.AppendUint(w.out, uint64(b[i]), 10) })
			return
		}
	}
	w.text(plain(v))
}

// isNumber says whether a text is a number of JSON's, as all but INF and NaN are that PowerShell sends.
func isNumber(s string) bool {
	return s != "" && len(s) <= longestNumber && (s[0] == '-' || s[0] >= '0' && s[0] <= '9') && json.Valid([]byte(s))
}

func (w *writer) array(v *clixml.Value, n int, item func(int)) {
	w.open = append(w.open, v)
	w.out = append(w.out, '[')
	for i := range n {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if w.isFull() {
			w.text(markCut)
			break
		}
		item(i)
	}
	w.out = append(w.out, ']')
	w.open = w.open[:len(w.open)-1]
}

func (w *writer) object(v *clixml.Value, n int, entry func(int) (string, *clixml.Value)) {
	w.open = append(w.open, v)
	w.out = append(w.out, '{')
	for i := range n {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if w.isFull() {
			w.out = append(w.out, `"…":`...)
			w.text(markCut)
			break
		}
		name, value := entry(i)
		w.text(name)
		w.out = append(w.out, ':')
		w.value(value)
	}
	w.out = append(w.out, '}')
	w.open = w.open[:len(w.open)-1]
}

// text writes a string, of one that is too long its begin and a mark.
func (w *writer) text(s string) {
	from, room := len(w.out), max(mostJSON-len(w.out), len(`""`+markCut))
	w.quote(s)
	for n := min(len(s), room-len(`""`+markCut)); len(w.out)-from > room; n /= 2 {
		for n > 0 && n < len(s) && !utf8.RuneStart(s[n]) {
			n--
		}
		w.out = w.out[:from]
		w.quote(s[:n] + markCut)
	}
}

// quote writes a string as encoding/json does, without its care for HTML.
func (w *writer) quote(s string) {
	isSpecial := func(c rune) bool { return c < ' ' || c == '"' || c == '\\' || c == '\u2028' || c == '\u2029' }
	if strings.IndexFunc(s, isSpecial) < 0 {
		w.out = append(w.out, '"')
		w.out = append(w.out, s...)
		w.out = append(w.out, '"')
		return
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err == nil { // of a string there is none
		w.out = append(w.out, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
	}
}
