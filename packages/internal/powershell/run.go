package powershell

import (
	"strings"

	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// What following a module's scripts may cost.
const (
	maxSteps = 200_000 // statements and commands
	maxCalls = 40      // of functions, files and blocks in one another
)

// runner follows what the scripts of one module do when it is imported, as far as that defines and exports functions.
// What it cannot follow is a finding.
type runner struct {
	m        *Module
	file     *File
	vars     map[string]any // in lower case; what is not known is not there
	funcs    map[string]definition
	imported map[string]definition // from modules that this one imports
	exported map[string]bool       // by Export-ModuleMember
	exports  bool                  // Export-ModuleMember was called
	foreign  []Place               // where modules are imported that are not in the package
	wild     bool                  // Export-ModuleMember was called with a pattern
	halted   bool                  // by a throw in a function or file that it uses
	outer    []map[string]any      // the variables of the scopes around this one
	aliases  []alias               // that it sets

	maybe, child, unordered, tried int // > 0: it may not happen; in a scope of its own; in an order that is not known; before a catch
	steps, calls                   *int
}

// definition is a function that the module has defined.
type definition struct {
	name string
	file *File
	node *syntax.Node
}

// alias is one that the module sets.
type alias struct {
	name string // in lower case, "" if it is computed
	at   Place
}

func newRunner(m *Module) *runner {
	return &runner{m: m, vars: map[string]any{}, funcs: map[string]definition{}, imported: map[string]definition{},
		exported: map[string]bool{}, steps: new(int), calls: new(int)}
}

// flow is how a statement ends.
type flow int

const (
	next  flow = iota
	leave      // return: the file or function ends
	halt       // throw: the import fails
	out        // break
	again      // continue
)

// unknown is a finding that the list of exported functions is uncertain because of n, one for each place.
func (r *runner) unknown(n *syntax.Node, format string, args ...any) {
	at := r.file.At(n)
	for _, f := range r.m.Findings {
		if f.File == at.File && f.Line == at.Line && f.Column == at.Column {
			return
		}
	}
	r.m.unknown(at, format, args...)
}

// enter bounds the work.
func (r *runner) enter(n *syntax.Node) bool {
	*r.calls++
	if *r.steps++; *r.steps > maxSteps || *r.calls > maxCalls {
		r.unknown(n, "What the module does from here on is too much to be followed, so its exported functions cannot be told for certain. Define them in plain files that are dot-sourced.")
		return false
	}
	return true
}

func (r *runner) script(f *File) flow {
	defer func(old *File) { r.file = old; *r.calls-- }(r.file)
	r.file = f
	if !r.enter(f.Root) {
		return next
	}
	return r.block(f.Root)
}

// scoped runs something in a scope of its own, with these variables.
func (r *runner) scoped(vars map[string]any, run func() flow) {
	old := r.vars
	r.outer = append(r.outer, old)
	r.vars = vars
	r.child++
	if run() == halt {
		r.halt()
	}
	r.child--
	r.vars, r.outer = old, r.outer[:len(r.outer)-1]
}

// halt notes that the import fails, if nothing catches that.
func (r *runner) halt() { r.halted = r.halted || r.maybe == 0 && r.tried == 0 }

// forget drops what is known of a variable.
func (r *runner) forget(name string) {
	name = strings.ToLower(name)
	if rest, script := strings.CutPrefix(name, "script:"); script {
		name = rest
		for _, vars := range r.outer {
			delete(vars, name)
		}
	}
	delete(r.vars, strings.TrimPrefix(strings.TrimPrefix(name, "local:"), "variable:"))
}

// forgetChanges drops what is known of the variables that something in n may change.
func (r *runner) forgetChanges(n *syntax.Node) {
	n.Walk(func(n *syntax.Node) bool {
		switch {
		case n.Kind == syntax.Assign, n.Kind == syntax.Invoke, n.Kind == syntax.Unary && strings.HasSuffix(n.Text, "+"), n.Kind == syntax.Unary && strings.HasSuffix(n.Text, "-"):
			r.forget(changed(n.Kids[0]))
		}
		return true
	})
}

// changed is the variable that an assignment to n changes, or that a method of it may change; "" for none.
func changed(n *syntax.Node) string {
	for {
		switch n.Kind {
		case syntax.Var:
			return n.Text
		case syntax.Member, syntax.Index, syntax.Invoke, syntax.Paren:
			if len(n.Kids) == 0 {
				return ""
			}
			n = n.Kids[0]
		case syntax.Cast:
			n = n.Kids[1]
		default:
			return ""
		}
	}
}

// block runs a script block's statements.
func (r *runner) block(n *syntax.Node) flow {
	for _, p := range n.Block.Params {
		delete(r.vars, strings.ToLower(p.Name))
		if p.Default != nil {
			r.maybe++ // it may be given
			r.effects(p.Default)
			r.maybe--
		}
	}
	for _, b := range n.Block.Named {
		if b.Name == "begin" || b.Name == "process" || b.Name == "end" {
			if f := r.statements(b.Body.Kids); f != next {
				return f
			}
		}
	}
	return r.statements(n.Block.Body)
}

func (r *runner) statements(all []*syntax.Node) flow {
	for _, n := range all {
		if f := r.statement(n); f != next {
			if r.maybe == 0 {
				return f
			}
			if f == leave { // after a throw nothing is imported, and nothing is wrong with what was read
				r.unknown(n, "Whether the module ends here cannot be told, so neither can which functions it defines afterwards.")
			}
			return next
		}
	}
	return next
}

func (r *runner) statement(n *syntax.Node) flow {
	if *r.steps++; *r.steps > maxSteps {
		r.unknown(n, "What the module does from here on is too much to be followed, so its exported functions cannot be told for certain.")
		return next
	}
	switch n.Kind {
	case syntax.FuncDef:
		r.define(n)
	case syntax.If:
		return r.branch(n)
	case syntax.Loop:
		return r.loop(n)
	case syntax.Switch:
		r.switches(n)
	case syntax.Try:
		return r.try(n)
	case syntax.Catch: // of trap
		r.perhaps(n.Kids[len(n.Kids)-1].Kids)
	case syntax.Assign:
		r.assign(n)
	case syntax.Jump:
		for _, k := range n.Kids {
			r.effects(k)
		}
		switch n.Text {
		case "return":
			return leave
		case "throw", "exit":
			return halt
		case "continue":
			return again
		}
		return out
	case syntax.Statements:
		return r.statements(n.Kids)
	default:
		r.effects(n)
	}
	return next
}

// perhaps runs what may not happen.
func (r *runner) perhaps(all []*syntax.Node) {
	r.maybe++
	r.statements(all)
	r.maybe--
}

func (r *runner) branch(n *syntax.Node) flow {
	certain := true
	kids := n.Kids
	for len(kids) >= 2 {
		v, known := r.truth(kids[0])
		r.effects(kids[0])
		switch {
		case !known:
			certain = false
			r.perhaps(kids[1].Kids)
		case v && certain:
			return r.statements(kids[1].Kids)
		case v:
			r.perhaps(kids[1].Kids)
			return next
		}
		kids = kids[2:]
	}
	if len(kids) == 0 {
		return next
	}
	if certain {
		return r.statements(kids[0].Kids)
	}
	r.perhaps(kids[0].Kids)
	return next
}

func (r *runner) loop(n *syntax.Node) flow {
	body := n.Kids[len(n.Kids)-1]
	if n.Text == "foreach" && len(n.Kids) == 3 {
		r.effects(n.Kids[1])
		v, known := r.eval(n.Kids[1])
		return r.each(n.Kids[0].Text, v, known, body.Kids, false)
	}
	if n.Text == "while" || n.Text == "do" {
		v, known := r.truth(n.Kids[0])
		if known && !v && n.Text == "while" {
			return next
		}
		r.forgetChanges(body)
		defer r.forgetChanges(body)
		if known && v || n.Text == "do" {
			if f := r.statements(body.Kids); f == leave || f == halt {
				return f
			}
			return next
		}
	}
	r.forgetChanges(body)
	r.perhaps(body.Kids)
	return next
}

// each runs statements for each of the values. In a block that a command runs, return ends the one run.
func (r *runner) each(name string, v any, known bool, body []*syntax.Node, block bool) flow {
	name = strings.ToLower(name)
	old, had := r.vars[name]
	defer func() {
		if delete(r.vars, name); had && name == "_" {
			r.vars[name] = old
		}
	}()
	if !known {
		delete(r.vars, name)
		r.perhaps(body)
		return next
	}
	list := flatten(v)
	for _, e := range list {
		if *r.steps++; *r.steps > maxSteps {
			break
		}
		_, isItem := e.(item)
		r.vars[name] = e
		if isItem && len(list) > 1 {
			r.unordered++
		}
		f := r.statements(body)
		if isItem && len(list) > 1 {
			r.unordered--
		}
		switch {
		case f == leave && block:
		case f == leave || f == halt:
			return f
		case f == out:
			return next
		}
	}
	return next
}

func (r *runner) switches(n *syntax.Node) {
	if len(n.Kids) == 0 {
		return
	}
	value, known := r.eval(n.Kids[0])
	pairs := n.Kids[1:]
	matched := false
	for ; len(pairs) >= 2; pairs = pairs[2:] {
		c, constant := r.eval(pairs[0])
		switch {
		case !known || !constant:
			known = false
			r.perhaps(pairs[1].Kids)
		case pairs[0].Is("default") && !matched, text(c) != "" && strings.EqualFold(text(c), text(value)):
			matched = true
			if f := r.statements(pairs[1].Kids); f != next {
				return
			}
		}
	}
}

// try takes it that what is tried succeeds, as far as that matters.
func (r *runner) try(n *syntax.Node) flow {
	f := next
	for i, k := range n.Kids {
		switch {
		case k.Kind == syntax.Catch:
			if f == halt {
				f = next
			}
			if !harmless(n.Kids[0]) {
				r.perhaps(k.Kids[len(k.Kids)-1].Kids)
			}
		case i == 0:
			catch := n.Kids[min(1, len(n.Kids)-1)].Kind == syntax.Catch
			if catch {
				r.tried++
			}
			f = r.statements(k.Kids)
			if catch {
				r.tried--
			}
		default:
			if g := r.statements(k.Kids); g != next {
				f = g
			}
		}
	}
	return f
}

// harmless says whether statements only define functions.
func harmless(n *syntax.Node) bool {
	for _, k := range n.Kids {
		if k.Kind != syntax.FuncDef {
			return false
		}
	}
	return true
}

func (r *runner) define(n *syntax.Node) {
	name := n.Func.Name
	scope, rest, found := strings.Cut(name, ":")
	scope = strings.ToLower(scope)
	if found && rest != "" && (scope == "script" || scope == "local" || scope == "private" || scope == "global") {
		name = rest
	} else {
		scope = ""
	}
	if scope == "global" || r.child > 0 && scope != "script" {
		return
	}
	key := strings.ToLower(name)
	old, there := r.funcs[key]
	switch {
	case r.maybe > 0:
		r.unknown(n, "Whether the function %s is defined here when the module is imported cannot be told. Define it unconditionally.", name)
	case there && r.unordered > 0 && old.file != r.file:
		r.unknown(n, "The function %s is defined in %s too, and in which order the files are read cannot be told. Remove one.", name, old.file.Path)
	}
	if there {
		name = old.name // PowerShell keeps the first one's case
	}
	r.funcs[key] = definition{name, r.file, n}
}

func (r *runner) assign(n *syntax.Node) {
	target, value := n.Kids[0], n.Kids[1]
	for target.Kind == syntax.Cast {
		target = target.Kids[1]
	}
	switch value.Kind {
	case syntax.If, syntax.Loop, syntax.Switch, syntax.Try, syntax.Assign:
		r.statement(value)
	default:
		r.effects(value)
	}
	if target.Kind == syntax.List {
		for _, k := range target.Kids {
			r.forget(changed(k))
			if strings.HasPrefix(strings.ToLower(changed(k)), "function:") {
				r.unknown(n, "A function is made by an assignment to $%s, whose declaration is not read. Write function %s { … }.", changed(k), changed(k)[len("function:"):])
			}
		}
	}
	if target.Kind != syntax.Var {
		r.effects(target)
		r.forget(changed(target))
		return
	}
	name := strings.ToLower(target.Text)
	if strings.HasPrefix(name, "function:") {
		r.unknown(n, "A function is made by an assignment to $%s, whose declaration is not read. Write function %s { … }.", target.Text, target.Text[len("function:"):])
		return
	}
	v, known := r.eval(value)
	bare := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(name, "script:"), "local:"), "variable:")
	old, had := r.vars[bare]
	r.forget(name)
	name = bare
	switch {
	case !known || r.maybe > 0:
	case n.Text == "=":
		r.vars[name] = v
	case n.Text == "+=" && had:
		if sum, ok := add(old, v); ok {
			r.vars[name] = sum
		}
	}
}
