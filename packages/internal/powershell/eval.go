package powershell

import (
	"path"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// Values are string, int64, float64, bool, nil, []any, map[string]any (of a hash literal) and item. A path in the module
// begins with here.

const here = "\x00/"

// item is a file that Get-ChildItem found.
type item string // its path in the module

// flatten is a value as a list.
func flatten(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

// text is a value as text, "" for what is not.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case item:
		return here + string(v)
	}
	if n, ok := v.(int64); ok {
		return intText(n)
	}
	return ""
}

// inModule is a value as a path in the module.
func inModule(v any) (string, bool) {
	s, ok := strings.CutPrefix(strings.ReplaceAll(text(v), `\`, "/"), here)
	return path.Clean(s), ok
}

// truth is the condition's value, if it can be told.
func (r *runner) truth(n *syntax.Node) (v, known bool) {
	x, known := r.eval(n)
	switch x := x.(type) {
	case bool:
		return x, known
	case string:
		return x != "", known
	case int64:
		return x != 0, known
	case nil:
		return false, known
	}
	return false, false
}

// eval is the value of an expression, if it can be told.
func (r *runner) eval(n *syntax.Node) (any, bool) {
	if n == nil {
		return nil, true
	}
	if *r.steps++; *r.steps > maxSteps {
		return nil, false
	}
	switch n.Kind {
	case syntax.String:
		return n.Value, true
	case syntax.Number:
		return n.Value, n.Value != nil
	case syntax.Var:
		return r.variable(n)
	case syntax.Expand:
		return r.expand(n)
	case syntax.Paren, syntax.SubExpr:
		if len(n.Kids) == 1 {
			return r.eval(n.Kids[0])
		}
	case syntax.ArrayOf, syntax.List:
		return r.all(n.Kids, n.Kind == syntax.ArrayOf)
	case syntax.Hash:
		return r.hash(n)
	case syntax.Cast:
		if n.Kids[0].Is("string", "string[]", "array", "object[]") {
			return r.eval(n.Kids[1])
		}
	case syntax.Unary:
		if n.Text == "!" || n.Text == "not" {
			b, known := r.truth(n.Kids[0])
			return !b, known
		}
	case syntax.Binary:
		return r.operation(n)
	case syntax.Member:
		return r.property(n)
	case syntax.Pipeline:
		v, known := r.eval(n.Kids[0])
		for _, k := range n.Kids[1:] {
			v, known = r.pipe(k, v, known)
		}
		return v, known
	case syntax.Command:
		return r.result(n)
	}
	return nil, false
}

func (r *runner) variable(n *syntax.Node) (any, bool) {
	switch name := strings.ToLower(n.Text); name {
	case "true":
		return true, true
	case "false", "iswindows", "ismacos":
		return false, true
	case "islinux", "iscoreclr":
		return true, true
	case "null":
		return nil, true
	case "psscriptroot":
		return here + path.Dir(r.file.Path), true
	case "pscommandpath":
		return here + r.file.Path, true
	default:
		v, known := r.vars[strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(name, "script:"), "local:"), "variable:")]
		return v, known
	}
}

func (r *runner) expand(n *syntax.Node) (any, bool) {
	var out strings.Builder
	for _, k := range n.Kids {
		v, known := r.eval(k)
		s := text(v)
		if !known || s == "" && v != "" {
			return nil, false
		}
		if out.Len()+len(s) > 1<<12 {
			return nil, false
		}
		out.WriteString(s)
	}
	return out.String(), true
}

func (r *runner) all(nodes []*syntax.Node, join bool) (any, bool) {
	out := []any{}
	for _, k := range nodes {
		v, known := r.eval(k)
		if !known {
			return nil, false
		}
		if list, ok := v.([]any); ok && join {
			out = append(out, list...)
		} else if !join || v != nil {
			out = append(out, v)
		}
	}
	return out, len(out) < maxFiles*2
}

func (r *runner) hash(n *syntax.Node) (any, bool) {
	h := map[string]any{}
	for pair := range slices.Chunk(n.Kids, 2) {
		key, ok := pair[0].Constant()
		v, known := r.eval(pair[1])
		if !ok || !known {
			return nil, false
		}
		h[strings.ToLower(key)] = v
	}
	return h, true
}

func (r *runner) operation(n *syntax.Node) (any, bool) {
	a, okA := r.eval(n.Kids[0])
	b, okB := r.eval(n.Kids[1])
	if !okA || !okB {
		return nil, false
	}
	switch n.Text {
	case "+":
		return add(a, b)
	case "f":
		s, ok := a.(string)
		if !ok || len(s) > 1<<12 || strings.Count(s, "{") > 20 {
			return nil, false
		}
		for i, v := range flatten(b) {
			if text(v) == "" && v != "" || strings.ContainsAny(text(v), "{}") {
				return nil, false
			}
			s = strings.ReplaceAll(s, "{"+intText(int64(i))+"}", text(v))
		}
		return s, len(s) < 1<<12 && !strings.ContainsAny(s, "{}")
	case "..":
		x, okX := a.(int64)
		y, okY := b.(int64)
		if okX && okY && y-x < 1000 && y >= x {
			list := []any{}
			for ; x <= y; x++ {
				list = append(list, x)
			}
			return list, true
		}
	case "eq", "ne":
		x, okX := a.(string)
		y, okY := b.(string)
		return strings.EqualFold(x, y) == (n.Text == "eq"), okX && okY
	}
	return nil, false
}

// add is a + b, of texts and lists that are not long.
func add(a, b any) (any, bool) {
	if s, ok := a.(string); ok {
		t := text(b)
		if len(s)+len(t) > 1<<12 || t == "" && b != "" && b != nil {
			return nil, false
		}
		return s + t, true
	}
	list, ok := a.([]any)
	if !ok || len(list)+len(flatten(b)) > maxFiles*2 {
		return nil, false
	}
	return slices.Concat(list, flatten(b)), true
}

// property is that of a file, or of each of a list's.
func (r *runner) property(n *syntax.Node) (any, bool) {
	name, ok := n.Kids[1].Constant()
	if !ok {
		return nil, false
	}
	if r.file.Source(n) != "" && strings.EqualFold(r.file.Source(n), "$MyInvocation.MyCommand.Path") || strings.EqualFold(r.file.Source(n), "$MyInvocation.MyCommand.Definition") {
		return here + r.file.Path, true
	}
	v, known := r.eval(n.Kids[0])
	if !known {
		return nil, false
	}
	return propertyOf(v, name)
}

func propertyOf(v any, name string) (any, bool) {
	switch v := v.(type) {
	case []any:
		out := []any{}
		for _, e := range v {
			file, isItem := e.(item)
			p, ok := propertyOf(file, name)
			if !ok || !isItem {
				return nil, false
			}
			out = append(out, p)
		}
		return out, true
	case item:
		base := path.Base(string(v))
		switch strings.ToLower(name) {
		case "fullname", "pspath", "path":
			return here + string(v), true
		case "name":
			return base, true
		case "basename":
			return strings.TrimSuffix(base, path.Ext(base)), true
		case "directoryname":
			return here + path.Dir(string(v)), true
		}
	}
	return nil, false
}
