package powershell

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// effects runs the commands in an expression or pipeline, and what its $( ) and @( ) consist of.
func (r *runner) effects(n *syntax.Node) {
	switch n.Kind {
	case syntax.TypeDef:
		if at := defining(n, true); at != nil {
			r.unknown(at, "This runs when the class is used, and whether that is while the module is imported cannot be told. Define and export functions outside of classes.")
		}
	case syntax.FuncDef, syntax.ScriptBlock, syntax.Data, syntax.Using:
	case syntax.Member:
		if n.Kids[1].Is("InvokeProvider") {
			r.unknown(n, "Whether functions are changed through InvokeProvider cannot be told. Write function NAME { … }.")
		}
		r.effects(n.Kids[0])
		r.effects(n.Kids[1])
	case syntax.If, syntax.Loop, syntax.Switch, syntax.Try, syntax.Assign, syntax.Jump:
		r.statement(n)
	case syntax.SubExpr, syntax.ArrayOf:
		r.statements(n.Kids)
	case syntax.Chain:
		if n.Text == "&" { // another process does it
			return
		}
		r.effects(n.Kids[0])
		r.perhaps(n.Kids[1:])
	case syntax.Pipeline:
		r.pipeline(n)
	case syntax.Command:
		r.command(n, nil, false)
	case syntax.Invoke:
		r.invoke(n)
	case syntax.Unary:
		r.effects(n.Kids[0])
		if strings.HasSuffix(n.Text, "++") || strings.HasSuffix(n.Text, "--") {
			r.forget(changed(n.Kids[0]))
		}
	default:
		for _, k := range n.Kids {
			r.effects(k)
		}
	}
}

// invoke looks at the calls of methods that run scripts.
func (r *runner) invoke(n *syntax.Node) {
	for _, k := range n.Kids {
		r.effects(k)
	}
	name, constant := n.Kids[0].Kids[1].Constant()
	target := n.Kids[0].Kids[0]
	switch strings.ToLower(name) {
	case "foreach", "where":
		v, known := r.eval(target)
		for _, k := range n.Kids[1:] {
			if k.Kind == syntax.ScriptBlock {
				r.each("_", v, known, k.Block.Body, true)
			}
		}
		return
	case "invoke", "invokereturnasis", "invokewithcontext", "invokescript", "addscript", "newboundscriptblock":
		r.unknown(n, "A script that is not read runs here when the module is imported (%s); whether it defines or exports functions cannot be told. Call functions by their names.", name)
	case "":
		if !constant {
			r.unknown(n, "A computed method is called here when the module is imported; whether it defines or exports functions cannot be told.")
		}
	}
	r.forget(changed(target)) // the method may have changed it
}

func (r *runner) pipeline(n *syntax.Node) {
	r.effects(n.Kids[0])
	v, known := r.eval(n.Kids[0])
	for _, k := range n.Kids[1:] {
		if k.Kind != syntax.Command || len(k.Kids) == 0 {
			r.effects(k)
			v, known = nil, false
			continue
		}
		r.command(k, v, known)
		v, known = r.pipe(k, v, known)
	}
}

func (r *runner) command(n *syntax.Node, input any, known bool) {
	if len(n.Kids) == 0 {
		return
	}
	for _, k := range n.Kids {
		if k.Kind == syntax.Argument && len(k.Kids) > 0 {
			k = k.Kids[0]
		}
		r.effects(k)
	}
	c := call(r.file, n, nil)
	r.variables(c)
	target := n.Kids[0]
	if n.Text != "" && c.Name == "" {
		r.operator(c, target)
		return
	}
	if n.Text == "." && strings.ContainsAny(c.Name, `./\`) {
		r.source(n, target)
		return
	}
	switch name := strings.ToLower(c.Name); name {
	case "export-modulemember":
		r.export(c, input, known)
	case "foreach-object", "foreach", "%", "where-object", "where", "?":
		for _, a := range c.Args {
			if member, constant := a.Value.Constant(); constant && strings.HasPrefix(strings.ToLower(member), "invoke") {
				r.unknown(n, "A script that is not read runs here when the module is imported (%s); whether it defines or exports functions cannot be told. Call functions by their names.", member)
			}
			if a.Value != nil && a.Value.Kind == syntax.ScriptBlock {
				switch strings.ToLower(a.Name) {
				case "begin", "end":
					r.statements(a.Value.Block.Body)
				case "parallel":
				default:
					r.each("_", input, known, a.Value.Block.Body, true)
				}
			}
		}
	case "import-module", "ipmo":
		r.importModule(c)
	case "invoke-expression", "iex", "new-module", "nmo":
		r.unknown(n, "%s makes functions from text or blocks when the module is imported, which are not read. Define functions in the module's files.", c.Name)
	case "set-item", "si", "new-item", "ni", "set-content", "copy-item", "cpi", "cp", "copy", "rename-item", "rni", "ren", "move-item", "mi", "mv", "move",
		"remove-item", "ri", "rm", "del", "erase", "rd", "rmdir", "clear-item", "cli":
		r.items(c)
	case "invoke-command", "icm":
		for _, a := range c.Args {
			if len(a.Name) > 1 && strings.HasPrefix("nonewscope", strings.ToLower(a.Name)) {
				r.unknown(n, "A block runs in the module's own scope here; whether it defines functions cannot be told.")
			}
			if a.Value != nil && a.Value.Kind == syntax.ScriptBlock {
				r.scoped(maps.Clone(r.vars), func() flow { return r.block(a.Value) })
			}
		}
	case "set-variable", "new-variable", "get-variable", "sv", "nv", "gv", "set", "clear-variable", "clv", "remove-variable", "rv":
		name, ok := c.Arg("Name", 0).Constant() // Get-Variable gives an object whose value can be set
		r.forgetAll(name, ok && !strings.ContainsAny(name, "*?["))
	case "set-alias", "new-alias", "sal", "nal":
		r.alias(c)
	case "set-location", "push-location", "sl", "cd", "chdir", "pushd", "new-psdrive", "ndr", "mount":
		for _, a := range c.Args {
			if v, known := r.eval(a.Value); known && functionDrive(text(v)+":") {
				r.unknown(n, "What is done on the function: drive is not followed. Write function NAME { … }.")
				return
			}
		}
	case "":
		r.unknown(n, "A computed command runs here when the module is imported; whether it defines or exports functions cannot be told. Name it.")
	default:
		r.callFunction(n, name)
		for _, k := range n.Kids[1:] {
			if at := defining(k, false); at != nil {
				r.unknown(at, "Whether this runs while the module is imported, and in which scope, %s decides. Define and export functions outside of its arguments.", c.Name)
			}
		}
	}
}

// defining is a place in a node where functions of the module are defined or exported if what is there runs; nil for none.
// inner says that it runs in a scope of its own.
func defining(n *syntax.Node, inner bool) (at *syntax.Node) {
	n.Walk(func(k *syntax.Node) bool {
		if k.Kind == syntax.FuncDef && k.Func.Keyword != "method" && (!inner || strings.HasPrefix(strings.ToLower(k.Func.Name), "script:")) {
			at = k
		}
		if k.Kind == syntax.Command && len(k.Kids) > 0 {
			name, _ := k.Kids[0].Constant()
			if _, command, found := strings.Cut(name, `\\`); found {
				name = command
			}
			if k.Text == "." && !inner || strings.EqualFold(name, "Export-ModuleMember") {
				at = k
			}
		}
		return at == nil
	})
	return at
}

// variables forgets what a command sets by the names of variables: -OutVariable and its like.
func (r *runner) variables(c Call) {
	for _, a := range c.Args {
		name := strings.ToLower(a.Name)
		if strings.HasSuffix(name, "variable") || slices.Contains([]string{"ov", "ev", "wv", "iv", "pv", "sv"}, name) || strings.HasPrefix(name, "outv") {
			set, known := a.Value.Constant()
			r.forgetAll(strings.TrimPrefix(set, "+"), known)
		}
	}
}

// forgetAll drops what is known of a variable in all scopes; of all variables if its name is not known.
func (r *runner) forgetAll(name string, known bool) {
	for _, vars := range append(slices.Clone(r.outer), r.vars) {
		if known {
			_, plain, found := strings.Cut(name, ":")
			if !found {
				plain = name
			}
			delete(vars, strings.ToLower(plain))
		} else {
			clear(vars)
		}
	}
}

// alias reports aliases that stand for what the runner follows by its name. One that hides a function is judged at the end.
func (r *runner) alias(c Call) {
	to, constant := c.Arg("Value", 1).Constant()
	if i := strings.LastIndexByte(to, '\\'); i >= 0 {
		to = to[i+1:]
	}
	followed := []string{"export-modulemember", "invoke-expression", "import-module", "new-module", "invoke-command", "set-item", "new-item", "set-alias", "new-alias"}
	if constant && slices.Contains(followed, strings.ToLower(to)) {
		r.unknown(c.Node, "An alias stands for %s here, so that its calls cannot be told. Call it by its name.", to)
	}
	name, _ := c.Arg("Name", 0).Constant()
	r.aliases = append(r.aliases, alias{strings.ToLower(name), c.Place})
}

// operator runs what & and . are given, if it is no name.
func (r *runner) operator(c Call, target *syntax.Node) {
	switch {
	case target.Kind == syntax.ScriptBlock && c.Operator == ".":
		if r.block(target) == halt {
			r.halt()
		}
	case target.Kind == syntax.ScriptBlock:
		r.scoped(maps.Clone(r.vars), func() flow { return r.block(target) })
	case c.Operator == ".":
		r.source(c.Node, target)
	default:
		r.unknown(c.Node, "A computed command runs here when the module is imported; whether it defines or exports functions cannot be told. Name it.")
	}
}

// callFunction follows a function of the module that is called during the import.
func (r *runner) callFunction(n *syntax.Node, name string) {
	d, there := r.funcs[name]
	if !there {
		d, there = r.imported[name]
	}
	if !there || !r.enter(n) {
		return
	}
	defer func(file *File) { r.file = file; *r.calls-- }(r.file)
	r.file = d.file
	r.scoped(map[string]any{}, func() flow { return r.block(d.node.Func.Body) })
}

// source runs the files that are dot-sourced.
func (r *runner) source(n, target *syntax.Node) {
	r.m.sourced[n] = true
	v, known := r.eval(target)
	if !known {
		r.unknown(n, "Which file is dot-sourced here is computed in a way that cannot be followed, so the functions in it are not known. Write its path, as in . $PSScriptRoot/file.ps1.")
		return
	}
	for _, e := range flatten(v) {
		p, inside := inModule(e)
		f := r.m.file(p)
		switch {
		case !inside:
			r.unknown(n, "%q is not a path below $PSScriptRoot, so which file is dot-sourced cannot be told. Begin it with $PSScriptRoot.", text(e))
		case f != nil && f.Path != p:
			r.unknown(n, "The script %s is called %s in the package, and where executions run, case matters.", p, f.Path)
		case f == nil || !strings.EqualFold(path.Ext(p), ".ps1"):
			r.m.unknown(r.file.At(n), "The module has no script %s, which is dot-sourced here.", p)
		default:
			if r.script(f) == halt {
				r.halt()
			}
		}
	}
}

// items looks for commands that change the function: drive.
func (r *runner) items(c Call) {
	for _, a := range c.Args {
		if a.Value == nil {
			continue
		}
		v, known := r.eval(a.Value)
		s := text(v)
		if !known && a.Value.Kind == syntax.Expand && len(a.Value.Kids) > 0 {
			s, _ = a.Value.Kids[0].Constant()
			known = s != ""
		}
		path := a.Name == "" || strings.EqualFold(a.Name, "path") || strings.EqualFold(a.Name, "literalpath")
		if name, found := strings.CutPrefix(strings.ToLower(s), "variable:"); found {
			r.forgetAll(strings.TrimLeft(name, `\/`), true)
		}
		if functionDrive(s) || !known && path && a.Value.Kind != syntax.ScriptBlock && setsBlock(c) {
			r.unknown(c.Node, "%s changes functions through the function: drive, which is not followed. Write function NAME { … }.", c.Name)
			return
		}
	}
}

// functionDrive says whether a path is on the drive of functions, which may be named by its provider.
func functionDrive(path string) bool {
	path = strings.ToLower(path)
	return strings.HasPrefix(path, "function:") || strings.HasPrefix(path, `microsoft.powershell.core\function:`)
}

func setsBlock(c Call) bool {
	for _, a := range c.Args {
		if a.Value != nil && a.Value.Kind == syntax.ScriptBlock {
			return true
		}
	}
	return false
}

// importModule follows a module that this one imports: its functions are exported with this one's.
func (r *runner) importModule(c Call) {
	v, known := r.eval(c.Arg("Name", 0))
	for _, a := range c.Args {
		scope, _ := a.Value.Constant()
		switch name := strings.ToLower(a.Name); {
		case name == "global" || name == "scope" && strings.EqualFold(scope, "global"):
			return
		case !slices.Contains([]string{"", "name", "force", "erroraction", "ea", "disablenamechecking", "verbose", "warningaction", "scope"}, name):
			known = false // it may import a part, or under other names
		}
	}
	for _, e := range flatten(v) {
		p, inside := inModule(e)
		f := r.m.file(p)
		if !inside || f == nil || !strings.EqualFold(path.Ext(p), ".psm1") {
			known = false
			break
		}
		for key, d := range r.m.runNested(r, f) {
			r.imported[key] = d
		}
		if r.maybe > 0 {
			known = false
		}
	}
	if !known {
		r.foreign = append(r.foreign, c.Place)
	}
}

// export does Export-ModuleMember.
func (r *runner) export(c Call, input any, piped bool) {
	r.exports = true
	if r.maybe > 0 {
		r.unknown(c.Node, "Whether Export-ModuleMember is called here cannot be told, so neither can what the module exports. Call it unconditionally.")
	}
	patterns, known := []any{}, true
	if n := c.Arg("Function", 0); n != nil {
		var v any
		v, known = r.eval(n)
		patterns = flatten(v)
	}
	for _, a := range c.Args {
		if a.Value != nil && a.Value.Kind == syntax.Splat {
			h, ok := r.vars[strings.ToLower(a.Value.Text)].(map[string]any)
			known = known && ok
			for key := range h {
				known = known && slices.Contains([]string{"function", "alias", "cmdlet", "variable"}, key) // else perhaps a short form
			}
			patterns = append(patterns, flatten(h["function"])...)
		}
	}
	if piped {
		patterns = append(patterns, flatten(input)...)
	}
	if !known {
		r.unknown(c.Node, "What Export-ModuleMember exports is computed in a way that cannot be followed. Write the names of the functions.")
		patterns = []any{"*"}
	}
	if *r.steps += (len(r.funcs) + len(r.imported)) * len(patterns) / 10; *r.steps > maxSteps {
		r.unknown(c.Node, "The module exports too much for it to be followed.")
		return
	}
	for _, p := range patterns {
		r.wild = r.wild || strings.ContainsAny(text(p), "*?[")
	}
	for _, all := range []map[string]definition{r.funcs, r.imported} {
		for key, d := range all {
			for _, p := range patterns {
				r.exported[key] = r.exported[key] || like(text(p), d.name)
				if _, own := r.funcs[key]; !own && r.exported[key] {
					r.unknown(c.Node, "Whether Export-ModuleMember exports %s, which the module imports, cannot be told. Export functions of the module itself.", d.name)
				}
			}
		}
	}
}

// exportedFunctions are those of the module. Of what was defined again after it was exported, that is the last.
func (r *runner) exportedFunctions() map[string]definition {
	all := map[string]definition{}
	for _, from := range []map[string]definition{r.imported, r.funcs} {
		for key, d := range from {
			if !r.exports || r.exported[key] {
				all[key] = d
			}
		}
	}
	return all
}
