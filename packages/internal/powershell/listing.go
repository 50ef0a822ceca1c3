package powershell

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

func intText(n int64) string { return strconv.FormatInt(n, 10) }

// result is what a command returns, for those that find files.
func (r *runner) result(n *syntax.Node) (any, bool) {
	if n.Text != "" || len(n.Kids) == 0 {
		return nil, false
	}
	c := call(r.file, n, nil)
	switch strings.ToLower(c.Name) {
	case "get-childitem", "gci", "dir", "ls":
		return r.childItems(c)
	case "join-path":
		var parts []string
		for i, name := range []string{"Path", "ChildPath", "AdditionalChildPath"} {
			v, known := r.eval(c.Arg(name, i))
			if !known {
				return nil, false
			}
			if list := flatten(v); len(list) > 1 && i < 2 {
				return nil, false // a path for each
			}
			for _, e := range flatten(v) {
				parts = append(parts, text(e))
			}
		}
		return strings.Join(parts, "/"), len(c.Args) == len(parts)
	case "split-path":
		for _, a := range c.Args {
			v, known := r.eval(a.Value)
			if a.Name != "" && !strings.EqualFold(a.Name, "parent") && !strings.EqualFold(a.Name, "path") {
				return nil, false
			}
			if s, isText := v.(string); a.Value != nil && (a.Name == "" || strings.EqualFold(a.Name, "parent") || strings.EqualFold(a.Name, "path")) && isText {
				p, inside := inModule(s)
				return here + path.Dir(p), known && inside && p != "." && len(c.Args) <= 2
			}
		}
	case "test-path":
		v, known := r.eval(c.Arg("Path", 0))
		if p, inside := inModule(v); known && inside && len(c.Args) == 1 {
			there := r.m.file(p) != nil || len(r.below(p)) > 0
			return there, there || script(p)
		}
	}
	return nil, false
}

// pipe is what comes out of a command of a pipeline.
func (r *runner) pipe(n *syntax.Node, v any, known bool) (any, bool) {
	if !known || n.Kind != syntax.Command || n.Text != "" {
		return nil, false
	}
	c := call(r.file, n, nil)
	switch strings.ToLower(c.Name) {
	case "sort-object", "sort":
		for _, a := range c.Args {
			if a.Name != "" && !strings.EqualFold(a.Name, "Property") && !strings.EqualFold(a.Name, "Descending") {
				return nil, false // it may leave some out
			}
		}
		for _, e := range flatten(v) {
			if _, file := e.(item); !file { // whose order is taken as not known
				return nil, false
			}
		}
		return v, true
	case "select-object", "select":
		if name, ok := c.Arg("ExpandProperty", -1).Constant(); ok && len(c.Args) == 1 {
			return propertyOf(v, name)
		}
	case "foreach-object", "foreach", "%":
		if len(c.Args) != 1 || c.Args[0].Value == nil {
			return nil, false
		}
		if name, ok := c.Args[0].Value.Constant(); ok {
			return propertyOf(v, name)
		}
		b := c.Args[0].Value
		if b.Kind != syntax.ScriptBlock || len(b.Block.Body) != 1 || len(b.Block.Named) > 0 {
			return nil, false
		}
		old, had := r.vars["_"]
		defer func() {
			if delete(r.vars, "_"); had {
				r.vars["_"] = old
			}
		}()
		out := []any{}
		for _, e := range flatten(v) {
			r.vars["_"] = e
			x, ok := r.eval(b.Block.Body[0])
			if !ok {
				return nil, false
			}
			out = append(out, flatten(x)...)
		}
		return out, true
	}
	return nil, false
}

// childItems does Get-ChildItem, of the module's scripts only: others cannot be dot-sourced.
func (r *runner) childItems(c Call) (any, bool) {
	var dir, filter string
	var include, exclude []any
	recurse, given, force := false, false, false
	for _, a := range c.Args {
		v, known := r.eval(a.Value)
		name := strings.ToLower(a.Name)
		switch name {
		case "erroraction", "ea":
			continue
		case "recurse", "file", "force":
			recurse, force = recurse || name == "recurse", force || name == "force"
			if a.Value == nil || a.Value.Kind == syntax.Redirection {
				continue
			}
			name = "" // the value is not the switch's
		}
		if !known {
			return nil, false
		}
		switch name {
		case "", "path", "literalpath":
			p, inside := inModule(v)
			if !inside || given {
				return nil, false
			}
			dir, given = p, true
		case "filter":
			filter = text(v)
		case "include":
			include = flatten(v)
		case "exclude":
			exclude = flatten(v)
		default:
			return nil, false
		}
	}
	if !given {
		return nil, false
	}
	if len(include) > 0 && !recurse && !strings.ContainsAny(dir, "*?[") {
		return nil, false // it finds nothing then
	}
	return r.list(dir, filter, include, exclude, recurse, force), true
}

func (r *runner) list(dir, filter string, include, exclude []any, recurse, force bool) any {
	pattern := "*"
	if base := path.Base(dir); strings.ContainsAny(base, "*?[") || len(r.below(dir)) == 0 {
		dir, pattern = path.Dir(dir), base
	}
	out := []any{}
	for _, f := range r.below(dir) {
		base := path.Base(f.Path)
		hidden := strings.Contains("/"+strings.TrimPrefix(f.Path, dir+"/"), "/.")
		direct := strings.EqualFold(path.Dir(f.Path), dir)
		if (direct || recurse) && (force || !hidden) && like(pattern, base) && (filter == "" || like(filter, base)) &&
			(len(include) == 0 || matches(include, base)) && !matches(exclude, base) {
			out = append(out, item(f.Path))
		}
	}
	return out
}

func matches(patterns []any, name string) bool {
	return slices.ContainsFunc(patterns, func(p any) bool { return like(text(p), name) })
}

// below are the module's scripts in a directory and those below it, but for its data files.
func (r *runner) below(dir string) (all []*File) {
	*r.steps += 1 + len(r.m.Files)/10
	for _, f := range r.m.Files {
		inside := dir == "." || len(f.Path) > len(dir) && strings.EqualFold(f.Path[:len(dir)+1], dir+"/")
		if inside {
			all = append(all, f)
		}
	}
	return all
}

// like is PowerShell's -like: *, ? and [ ] are wildcards, a backtick escapes, case does not matter.
func like(pattern, s string) bool {
	return likeRunes([]rune(strings.ToLower(pattern)), []rune(strings.ToLower(s)))
}

func likeRunes(pattern, s []rune) bool {
	star, from := -1, 0 // where to go on after a * that took too little
	p, i := 0, 0
	for i < len(s) {
		if p < len(pattern) {
			if pattern[p] == '*' {
				star, from = p, i
				p++
				continue
			}
			if n, ok := likeOne(pattern[p:], s[i]); ok {
				p, i = p+n, i+1
				continue
			}
		}
		if star < 0 {
			return false
		}
		from++
		p, i = star+1, from
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// likeOne matches one character, and returns how much of the pattern did so.
func likeOne(pattern []rune, c rune) (int, bool) {
	switch pattern[0] {
	case '?':
		return 1, true
	case '`':
		if len(pattern) > 1 {
			return 2, pattern[1] == c
		}
	case '[':
		end := slices.Index(pattern[1:], ']')
		if end < 1 {
			break
		}
		set := pattern[1 : 1+end]
		for i := 0; i < len(set); i++ {
			if i+2 < len(set) && set[i+1] == '-' {
				if set[i] <= c && c <= set[i+2] {
					return end + 2, true
				}
				i += 2
			} else if set[i] == c {
				return end + 2, true
			}
		}
		return end + 2, false
	}
	return 1, pattern[0] == c
}
