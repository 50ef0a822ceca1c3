package clixml

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of one document: how deep values nest, and how many there are. PowerShell nests hashtables and
// PSCustomObjects to any depth, other objects to one level.
const (
	MaxDepth  = 128
	MaxValues = 1 << 18 // names of types and lists of them included
	MaxTypes  = 64      // names of one type: a value can be referred to often, and each time they are looked through
)

// Decode reads one value. A byte order mark before it is passed over.
func Decode(data []byte) (*Value, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("clixml: it is not UTF-8")
	}
	r := reader{b: bytes.TrimPrefix(data, []byte("\ufeff")), objects: map[string]*Value{}, types: map[string][]string{}}
	t, err := r.open()
	if err != nil {
		return nil, r.fail(err)
	}
	v, err := r.value(t, 0)
	if err != nil {
		return nil, r.fail(err)
	}
	if r.skipSpace(); r.i != len(r.b) {
		return nil, r.fail(errors.New("there is something after the value"))
	}
	return v, nil
}

type reader struct {
	b       []byte
	i       int
	values  int
	objects map[string]*Value   // by RefId
	types   map[string][]string // by RefId of their TN
}

// tag is one start tag.
type tag struct {
	name    string
	n, ref  string // the attributes N and RefId
	isEmpty bool
}

var errForm = errors.New("it is not CLIXML")

func (r *reader) fail(err error) error { return fmt.Errorf("clixml: byte %d: %w", r.i, err) }

// value reads what the start tag t began.
func (r *reader) value(t tag, depth int) (*Value, error) {
	if err := r.count(); err != nil {
		return nil, err
	}
	if depth > MaxDepth {
		return nil, fmt.Errorf("values nest deeper than %d", MaxDepth)
	}
	switch {
	case t.name == object:
		return r.object(t, depth)
	case t.name == "Ref":
		v, known := r.objects[t.ref]
		if !known {
			return nil, fmt.Errorf("the reference %.20q is to nothing", t.ref)
		}
		return v, r.end(t)
	case primitives[t.name]:
		v := &Value{Tag: t.name}
		var err error
		v.Text, err = r.text(t)
		return v, err
	}
	return nil, fmt.Errorf("the element %.20q is unknown", t.name)
}

// count counts one more of what takes memory.
func (r *reader) count() error {
	if r.values++; r.values > MaxValues {
		return fmt.Errorf("there are more than %d values", MaxValues)
	}
	return nil
}

// typeNames reads a TN.
func (r *reader) typeNames(t tag) (names []string, err error) {
	if err := r.count(); err != nil {
		return nil, err
	}
	err = r.children(t, func(name tag) error {
		s, err := r.text(name)
		if names = append(names, s); len(names) > MaxTypes && err == nil {
			err = fmt.Errorf("an object has more than %d types", MaxTypes)
		}
		return errors.Join(err, r.count())
	})
	r.types[t.ref] = names
	return names, err
}

// object reads the parts of an Obj, which come in any order.
func (r *reader) object(t tag, depth int) (*Value, error) {
	v := &Value{Tag: object}
	if t.ref != "" {
		r.objects[t.ref] = v
	}
	return v, r.children(t, func(c tag) (err error) {
		switch c.name {
		case "TN":
			v.Types, err = r.typeNames(c)
		case "TNRef":
			known := false
			if v.Types, known = r.types[c.ref]; !known {
				return fmt.Errorf("the reference %.20q is to no type", c.ref)
			}
			err = r.end(c)
		case "ToString":
			var s string
			s, err = r.text(c)
			v.String = &s
		case "Props", "MS":
			err = r.children(c, func(p tag) error {
				value, err := r.value(p, depth+1)
				v.Props = append(v.Props, Property{p.n, value, c.name == "Props"})
				return err
			})
		case "DCT":
			v.Held = Dictionary
			err = r.children(c, func(e tag) error { return r.entry(e, v, depth) })
		case "LST", "IE", "STK", "QUE":
			v.Held = Held(c.name)
			err = r.children(c, func(item tag) error {
				value, err := r.value(item, depth+1)
				v.Items = append(v.Items, value)
				return err
			})
		default:
			if !primitives[c.name] {
				return fmt.Errorf("an object wraps the element %.20q, which is no primitive", c.name)
			}
			v.Base, err = r.value(c, depth+1)
		}
		return err
	})
}

// entry reads an En of a dictionary: a value named Key and one named Value.
func (r *reader) entry(e tag, into *Value, depth int) error {
	if e.name != "En" {
		return fmt.Errorf("a dictionary holds the element %.20q", e.name)
	}
	var pair Pair
	err := r.children(e, func(c tag) error {
		value, err := r.value(c, depth+1)
		switch c.n {
		case "Key":
			pair.Key = value
		case "Value":
			pair.Value = value
		default:
			err = errors.Join(err, fmt.Errorf("an entry of a dictionary has the part %.20q", c.n))
		}
		return err
	})
	if err == nil && (pair.Key == nil || pair.Value == nil) {
		err = errors.New("an entry of a dictionary lacks its key or value")
	}
	into.Pairs = append(into.Pairs, pair)
	return err
}

// children calls read for each child of t, of which it reads all, until t ends.
func (r *reader) children(t tag, read func(tag) error) error {
	if t.isEmpty {
		return nil
	}
	for {
		if r.skipSpace(); bytes.HasPrefix(r.b[r.i:], []byte("</")) {
			return r.close(t.name)
		}
		c, err := r.open()
		if err != nil {
			return err
		}
		if err := read(c); err != nil {
			return err
		}
	}
}

// end passes over the end of an element that has no content.
func (r *reader) end(t tag) error {
	if t.isEmpty {
		return nil
	}
	return r.close(t.name)
}

func (r *reader) close(name string) error {
	rest := r.b[r.i:]
	if len(rest) < len(name)+3 || rest[0] != '<' || rest[1] != '/' || string(rest[2:2+len(name)]) != name || rest[2+len(name)] != '>' {
		return errForm
	}
	r.i += len(name) + 3
	return nil
}

func (r *reader) skipSpace() {
	for r.i < len(r.b) && strings.IndexByte(" \t\r\n", r.b[r.i]) >= 0 {
		r.i++
	}
}

// open reads a start tag.
func (r *reader) open() (t tag, err error) {
	if r.skipSpace(); r.i >= len(r.b) || r.b[r.i] != '<' {
		return t, errForm
	}
	r.i++
	t.name = intern(r.word())
	if t.name == "" {
		return t, errForm
	}
	for {
		r.skipSpace()
		switch {
		case bytes.HasPrefix(r.b[r.i:], []byte("/>")):
			r.i += 2
			t.isEmpty = true
			return t, nil
		case bytes.HasPrefix(r.b[r.i:], []byte(">")):
			r.i++
			return t, nil
		}
		if err := r.attribute(&t); err != nil {
			return t, err
		}
	}
}

// word is the name that comes next.
func (r *reader) word() []byte {
	from := r.i
	for r.i < len(r.b) && (r.b[r.i] >= 'A' && r.b[r.i] <= 'Z' || r.b[r.i] >= 'a' && r.b[r.i] <= 'z' || r.b[r.i] >= '0' && r.b[r.i] <= '9') {
		r.i++
	}
	return r.b[from:r.i]
}

func (r *reader) attribute(t *tag) error {
	name := string(r.word())
	rest := r.b[r.i:]
	if len(rest) < 3 || rest[0] != '=' || rest[1] != '"' && rest[1] != '\'' {
		return errForm
	}
	end := bytes.IndexByte(rest[2:], rest[1])
	if end < 0 {
		return errForm
	}
	value, err := unescape(rest[2 : 2+end])
	r.i += end + 3
	switch name {
	case "N":
		t.n = value
	case "RefId":
		t.ref = value
	default:
		return fmt.Errorf("the attribute %.20q is unknown", name)
	}
	return err
}

// text reads the content of an element that has no children.
func (r *reader) text(t tag) (string, error) {
	if t.isEmpty {
		return "", nil
	}
	end := bytes.IndexByte(r.b[r.i:], '<')
	if end < 0 {
		return "", errForm
	}
	s, err := unescape(r.b[r.i : r.i+end])
	r.i += end
	if err != nil {
		return "", err
	}
	return s, r.close(t.name)
}

// unescape resolves XML's references, then CLIXML's own _xHHHH_, in which UTF-16 units come that XML has no form for.
// Half of a surrogate pair becomes U+FFFD, for Go's strings cannot hold it.
func unescape(b []byte) (string, error) {
	if bytes.IndexByte(b, '&') < 0 && !bytes.Contains(b, []byte("_x")) {
		return string(b), nil
	}
	var out strings.Builder
	out.Grow(len(b))
	var high uint16 // the first half of a pair, where the last escape was one
	put := func(unit uint16) {
		switch {
		case high != 0 && utf16.IsSurrogate(rune(unit)) && unit >= 0xDC00:
			out.WriteRune(utf16.DecodeRune(rune(high), rune(unit)))
			high = 0
			return
		case high != 0:
			out.WriteRune(utf8.RuneError)
			high = 0
		}
		switch {
		case unit >= 0xD800 && unit < 0xDC00:
			high = unit
		case utf16.IsSurrogate(rune(unit)):
			out.WriteRune(utf8.RuneError)
		default:
			out.WriteRune(rune(unit))
		}
	}
	for len(b) > 0 {
		if unit, is := escaped(b); is {
			put(unit)
			b = b[len("_xHHHH_"):]
			continue
		}
		if high != 0 {
			out.WriteRune(utf8.RuneError)
			high = 0
		}
		if b[0] == '&' {
			c, n, err := reference(b)
			if err != nil {
				return "", err
			}
			out.WriteRune(c)
			b = b[n:]
			continue
		}
		n := 1 // up to what may be an escape
		for n < len(b) && b[n] != '&' && b[n] != '_' {
			n++
		}
		out.Write(b[:n])
		b = b[n:]
	}
	if high != 0 {
		out.WriteRune(utf8.RuneError)
	}
	return out.String(), nil
}

// escaped reads an _xHHHH_ at the beginning of b.
func escaped(b []byte) (unit uint16, is bool) {
	if len(b) < 7 || b[0] != '_' || b[1] != 'x' || b[6] != '_' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			unit = unit<<4 | uint16(c-'0')
		case c >= 'A' && c <= 'F':
			unit = unit<<4 | uint16(c-'A'+10)
		case c >= 'a' && c <= 'f':
			unit = unit<<4 | uint16(c-'a'+10)
		default:
			return 0, false
		}
	}
	return unit, true
}

var entities = map[string]rune{"lt": '<', "gt": '>', "amp": '&', "quot": '"', "apos": '\''}

// reference reads an &…; at the beginning of b, and returns how long it is.
func reference(b []byte) (c rune, n int, err error) {
	end := bytes.IndexByte(b[:min(len(b), 12)], ';')
	if end < 2 {
		return 0, 0, errForm
	}
	name := string(b[1:end])
	if c, known := entities[name]; known {
		return c, end + 1, nil
	}
	digits, base := strings.TrimPrefix(name, "#"), 10
	if hex, is := strings.CutPrefix(digits, "x"); is {
		digits, base = hex, 16
	}
	number, err := strconv.ParseUint(digits, base, 32)
	if err != nil || name[0] != '#' || number > utf8.MaxRune || utf16.IsSurrogate(rune(number)) {
		return 0, 0, errForm
	}
	return rune(number), end + 1, nil
}

// names are kept once, for each element has one.
var names = func() map[string]string {
	m := map[string]string{}
	for _, n := range []string{object, "Ref", "TN", "TNRef", "T", "ToString", "Props", "MS", "DCT", "LST", "IE", "STK", "QUE", "En"} {
		m[n] = n
	}
	for n := range primitives {
		m[n] = n
	}
	return m
}()

func intern(b []byte) string {
	if s, known := names[string(b)]; known {
		return s
	}
	return string(b)
}
