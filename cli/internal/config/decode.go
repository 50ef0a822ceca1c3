package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/nearest"
)

// decode reads YAML into c, which has the defaults, and enters the lines of keys. Anchors, tags and merges are refused:
// what is read is what is written.
func decode(data []byte, c *Config, lines map[string]int) error {
	file, err := parser.ParseBytes(data, 0)
	if e, ok := errors.AsType[yaml.Error](err); ok {
		p := &problem{text: "it is not YAML: " + e.GetMessage()}
		if t := e.GetToken(); t != nil {
			p.line = t.Position.Line
		}
		return p
	}
	if err != nil {
		return wrong("", "it is not YAML: %v", err)
	}
	if len(file.Docs) > 1 {
		return wrong("", "it has more than one document")
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return nil // only comments
	}
	return set(reflect.ValueOf(c).Elem(), file.Docs[0].Body, "", lines)
}

// set gives a value what a node says.
func set(v reflect.Value, n ast.Node, key string, lines map[string]int) error {
	switch v.Interface().(type) {
	case Bytes:
		b, ok := parseBytes(n)
		v.SetInt(int64(b))
		return orWrong(ok, key, "is a number of bytes, such as 512MiB or 25GB")
	}
	switch v.Kind() {
	case reflect.Struct:
		return setStruct(v, n, key, lines)
	case reflect.Slice:
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			return wrong(key, "is a list")
		}
		v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
		for i, item := range list.Values {
			at := fmt.Sprintf("%s[%d]", key, i)
			lines[at] = item.GetToken().Position.Line
			if err := set(v.Index(i), item, at, lines); err != nil {
				return err
			}
		}
		return nil
	case reflect.Int:
		number, ok := n.(*ast.IntegerNode)
		i, err := strconv.Atoi(fmt.Sprint(value(number)))
		v.SetInt(int64(i))
		return orWrong(ok && err == nil, key, "is a whole number")
	default:
		text, ok := n.(*ast.StringNode)
		if ok {
			v.SetString(text.Value)
		}
		return orWrong(ok && text.Value != "", key, "is text; leave the key out for its default, and put text that looks like something else in quotes")
	}
}

func value(n *ast.IntegerNode) any {
	if n == nil {
		return nil
	}
	return n.Value
}

func orWrong(ok bool, key, text string) error {
	if ok {
		return nil
	}
	return wrong(key, "%s", text)
}

func setStruct(v reflect.Value, n ast.Node, key string, lines map[string]int) error {
	mapping, ok := n.(ast.MapNode)
	if !ok {
		return wrong(key, "has keys of its own: %s", strings.Join(keys(v.Type()), ", "))
	}
	for i := mapping.MapRange(); i.Next(); {
		token := i.Key().GetToken()
		at := strings.TrimPrefix(key+"."+token.Value, ".")
		lines[at] = token.Position.Line
		field := slices.Index(keys(v.Type()), token.Value)
		if field < 0 {
			return &problem{line: token.Position.Line, text: unknown(at, token.Value, key, v.Type())}
		}
		if err := set(v.Field(field), i.Value(), at, lines); err != nil {
			return err
		}
	}
	return nil
}

// keys are the keys of a struct, in the order of its fields.
func keys(t reflect.Type) []string {
	all := make([]string, t.NumField())
	for i := range all {
		all[i] = t.Field(i).Tag.Get("yaml")
	}
	return all
}

// unknown says what to write instead of a key that is not known: the nearest one of those beside it, else one of the
// same name elsewhere, else which there are.
func unknown(at, name, parent string, t reflect.Type) string {
	if len(at) > 100 {
		at = at[:100] + "…"
	}
	text := fmt.Sprintf("there is no key %s", strconv.QuoteToASCII(at))
	there := strings.TrimPrefix(parent+".", ".")
	if best := nearest.Of(name, keys(t)); best != "" {
		return text + "; the nearest is " + there + best
	}
	for _, k := range allKeys(reflect.TypeFor[Config](), "") {
		if last := k[strings.LastIndex(k, ".")+1:]; strings.EqualFold(last, name) {
			return text + "; the nearest is " + k
		}
	}
	return fmt.Sprintf("%s; there are %s%s", text, there, strings.Join(keys(t), ", "+there))
}

// allKeys are the keys of a struct and of all below it, with their paths.
func allKeys(t reflect.Type, parent string) (all []string) {
	for i, k := range keys(t) {
		field := t.Field(i).Type
		all = append(all, parent+k)
		if field.Kind() == reflect.Slice {
			k, field = k+"[]", field.Elem()
		}
		if field.Kind() == reflect.Struct {
			all = append(all, allKeys(field, parent+k+".")...)
		}
	}
	return all
}

// Bytes is a number of bytes, written as a plain number or with a unit: B, kB, MB, GB, TB (powers of 1000), KiB, MiB,
// GiB, TiB (powers of 1024).
type Bytes int64

var (
	bytesForm = regexp.MustCompile(`^([0-9]{1,15}) ?(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB|)$`)
	units     = map[string]int64{"": 1, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
)

func parseBytes(n ast.Node) (Bytes, bool) {
	text := ""
	switch n := n.(type) {
	case *ast.IntegerNode:
		text = fmt.Sprint(n.Value)
	case *ast.StringNode:
		text = n.Value
	}
	m := bytesForm.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	number, err := strconv.ParseInt(m[1], 10, 64)
	unit := units[m[2]]
	return Bytes(number * unit), err == nil && number <= (1<<62)/unit
}
