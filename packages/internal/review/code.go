package review

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/airlock-run/airlock/packages/internal/powershell"
	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// scope is what has variables of its own: a function, or a file's statements outside of functions.
type scope struct {
	file     *powershell.File
	name     string // of the function, "" for a file
	body     *syntax.Node
	params   []*syntax.Param
	inline   bool // the parameters stand after the name, outside of the body
	exported bool // a cmdlet, whose parameters come from whoever runs it

	assigned map[string][]*syntax.Node // what its variables are set to, by their names in lower case
	vars     map[string]*variable      // what is known of their values
	returns  labels
	blocks   map[string]bool // parameters, its own and those of script blocks in it, that are script blocks
	sinks    map[string]bool // which parameters end up where: "$name>code"
}

// code is all PowerShell of a package.
type code struct {
	*report
	module    *powershell.Module
	scopes    []*scope
	functions map[string][]*scope   // by name in lower case
	aliases   map[string]string     // of the package's own, in lower case
	tainted   map[string]bool       // variables that hold what cannot be told to be a block, in lower case
	twice     map[*syntax.Node]bool // that set an alias to something else than before
	files     map[string]bool       // paths of the scripts, in lower case
	global    *scope                // variables that functions share
	final     bool                  // findings are kept only in the last round
	changed   bool
	pipeline  []labels // what comes down the pipelines that are being read, the innermost last
	injected  map[*syntax.Node]bool
	found     map[found]bool
	work      int                     // how much may still be read
	values    map[*syntax.Node]labels // of the fields of hash literals
	asked     map[string]bool         // variables of which isBlock is being asked
}

// found tells findings apart.
type found struct {
	rule, message string
	node          *syntax.Node
}

// find reports what is found at a node, once.
func (c *code) find(rule Rule, s *scope, n *syntax.Node, format string, args ...any) {
	f := found{rule.ID, fmt.Sprintf(format, args...), n}
	if !c.found[f] {
		c.found[f] = true
		if c.room(rule.ID) { // a place costs time
			c.keep(rule, s.file.At(n), f.message)
		}
	}
}

// variable is what is known of a variable's values.
type variable struct {
	own    labels
	fields map[string]labels
	all    labels // of both
}

// read finds the scopes of the module.
func read(r *report, m *powershell.Module) *code {
	c := &code{
		report: r, module: m, tainted: map[string]bool{}, twice: map[*syntax.Node]bool{}, functions: map[string][]*scope{}, aliases: map[string]string{}, files: map[string]bool{}, injected: map[*syntax.Node]bool{},
		global: &scope{vars: map[string]*variable{}, assigned: map[string][]*syntax.Node{}}, asked: map[string]bool{}, found: map[found]bool{}, values: map[*syntax.Node]labels{}, work: maxWork,
	}
	exported := map[*syntax.Node]bool{}
	for _, f := range m.Functions {
		exported[f.Def] = true
	}
	for _, f := range m.Files {
		if path.Ext(strings.ToLower(f.Path)) == ".psd1" {
			continue // data, which the analysis has judged
		}
		c.files[strings.ToLower(f.Path)] = true
		c.enter(&scope{file: f, body: f.Root, params: f.Root.Block.Params}, exported)
	}
	for _, s := range c.scopes {
		s.each(func(n *syntax.Node) { c.note(s, n) })
	}
	return c
}

// enter adds a scope and those inside it.
func (c *code) enter(s *scope, exported map[*syntax.Node]bool) {
	s.assigned, s.vars, s.returns = map[string][]*syntax.Node{}, map[string]*variable{}, labels{}
	s.sinks, s.blocks = map[string]bool{}, map[string]bool{}
	s.noteBlocks(s.params)
	c.scopes = append(c.scopes, s)
	s.body.Walk(func(n *syntax.Node) bool {
		if n.Kind != syntax.FuncDef {
			return true
		}
		inner := &scope{file: s.file, name: plainName(n.Func.Name), body: n.Func.Body, params: n.Func.Params(), inline: n.Func.HasInline, exported: exported[n]}
		if n.Func.Keyword != "method" {
			key := strings.ToLower(inner.name)
			c.functions[key] = append(c.functions[key], inner)
		}
		c.enter(inner, exported)
		return false
	})
}

// each visits the nodes of a scope, without those of the functions inside it.
func (s *scope) each(visit func(*syntax.Node)) {
	look := func(n *syntax.Node) bool {
		if n.Kind == syntax.FuncDef {
			return false
		}
		visit(n)
		return true
	}
	s.body.Walk(look)
	if s.inline {
		for _, p := range s.params {
			for _, a := range p.Attributes {
				a.Walk(look)
			}
			p.Default.Walk(look)
		}
	}
}

// note keeps what a node says of aliases, and of what variables are set to.
func (c *code) note(s *scope, n *syntax.Node) {
	switch n.Kind {
	case syntax.ScriptBlock:
		if n != s.body {
			s.noteBlocks(n.Block.Params)
		}
	case syntax.Assign:
		c.noteSet(s, n.Kids[0], n.Kids[1])
	case syntax.Invoke: // of a method that may put something in
		if name, _ := field(n.Kids[0]); len(n.Kids) > 1 && fills[name] {
			for _, v := range n.Kids[1:] {
				if _, key := v.Constant(); !key || v == n.Kids[len(n.Kids)-1] {
					c.noteSet(s, n.Kids[0].Kids[0], v)
				}
			}
		}
	case syntax.Cast:
		if n.Kids[0].Is("ref") {
			c.taint(base(n.Kids[1]))
		}
	case syntax.Loop:
		if n.Text == "foreach" && len(n.Kids) == 3 && n.Kids[0].Kind == syntax.Var {
			name, _ := variableName(n.Kids[0])
			s.assigned[name] = append(s.assigned[name], n.Kids[1])
		}
	case syntax.Command:
		a := c.arguments(n)
		c.noteNamed(n, a)
		if c.command(n) != "set-alias" && c.command(n) != "new-alias" {
			return
		}
		name, ok1 := a.get(0, "name").Constant()
		value, ok2 := a.get(1, "value").Constant()
		if ok1 && ok2 {
			if old, ok := c.aliases[strings.ToLower(name)]; ok && !strings.EqualFold(old, value) {
				c.twice[n] = true
			}
			c.aliases[strings.ToLower(name)] = value
		}
	}
}

// fills are methods that put something into what they are called on.
var fills = set("add set_item insert addrange enqueue push tryadd")

// noteSet keeps what a variable, or a part of it, is set to.
func (c *code) noteSet(s *scope, target, value *syntax.Node) {
	for (target.Kind == syntax.Cast || target.Kind == syntax.Paren) && len(target.Kids) > 0 {
		target = target.Kids[len(target.Kids)-1]
	}
	if target.Kind == syntax.List { // which value is whose is not looked at
		for _, k := range target.Kids {
			c.noteSet(s, k, value)
		}
		return
	}
	if name := plainName(strings.ToLower(base(target))); name != "" {
		to := c.home(s, target)
		to.assigned[name] = append(to.assigned[name], value)
	}
}

// noteNamed notes the variables that a command sets by their names.
func (c *code) noteNamed(n *syntax.Node, a arguments) {
	switch c.command(n) {
	case "set-variable", "new-variable", "get-variable":
		if name, ok := a.get(0, "name").Constant(); ok {
			c.taint(name)
		}
	}
	for parameter, v := range a.named {
		if name, ok := v.Constant(); ok && (strings.HasSuffix(parameter, "variable") || strings.HasPrefix(parameter, "outv") || setters[parameter]) {
			c.taint(strings.TrimPrefix(name, "+"))
		}
	}
}

// setters are short names of parameters that name a variable to be set.
var setters = set("ov ev wv iv pv sv")

func (c *code) taint(name string) { c.tainted[plainName(strings.ToLower(name))] = true }

// noteBlocks keeps which parameters are script blocks: the others may hold anything.
func (s *scope) noteBlocks(params []*syntax.Param) {
	for _, p := range params {
		s.blocks[strings.ToLower(p.Name)] = typed(p, "scriptblock")
	}
}

// home is the scope that a variable belongs to: what is marked as shared, or set by a file, is everybody's.
func (c *code) home(s *scope, target *syntax.Node) *scope {
	full := strings.ToLower(base(target))
	if s.name == "" || strings.HasPrefix(full, "script:") || strings.HasPrefix(full, "global:") {
		return c.global
	}
	return s
}

// base is the name, as written, of the variable that a target is, or is a part of; "" for none.
func base(n *syntax.Node) string {
	for n != nil {
		switch {
		case n.Kind == syntax.Var:
			return n.Text
		case n.Kind == syntax.Cast && len(n.Kids) == 2:
			n = n.Kids[1]
		case (n.Kind == syntax.Member || n.Kind == syntax.Index || n.Kind == syntax.Paren) && len(n.Kids) > 0:
			n = n.Kids[0]
		default:
			return ""
		}
	}
	return ""
}

// variableName is the plain name, in lower case, of the variable that a target is.
func variableName(n *syntax.Node) (string, bool) {
	for n.Kind == syntax.Cast && len(n.Kids) == 2 {
		n = n.Kids[1]
	}
	if n.Kind != syntax.Var {
		return "", false
	}
	return plainName(strings.ToLower(n.Text)), true
}

// plainName is a function's or a variable's name without the scope before it.
func plainName(name string) string {
	before, rest, ok := strings.Cut(name, ":")
	switch strings.ToLower(before) {
	case "global", "script", "local", "private", "using":
		if ok {
			return rest
		}
	}
	return name
}

// assignments are what a variable is set to as far as can be seen from a scope.
func (c *code) assignments(s *scope, name string) []*syntax.Node {
	if own := s.assigned[name]; len(own) > 0 {
		return own
	}
	return c.global.assigned[name]
}

// command is the command's own name, in lower case, without module and through aliases; "" where it is computed.
func (c *code) command(n *syntax.Node) string {
	if len(n.Kids) == 0 {
		return ""
	}
	written, ok := n.Kids[0].Constant()
	if !ok {
		return ""
	}
	return c.resolve(written)
}

// dashes are what PowerShell takes for a hyphen, in names as well.
var dashes = strings.NewReplacer("–", "-", "—", "-", "―", "-")

var qualified = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*\\([^\\/]+)$`)

// resolve is the command that a name stands for, in lower case.
func (c *code) resolve(name string) string {
	name = dashes.Replace(name)
	if m := qualified.FindStringSubmatch(name); m != nil {
		return strings.ToLower(m[1])
	}
	name = plainName(strings.ToLower(name))
	for range 10 { // aliases of aliases, which may go round in a circle
		if to, ok := c.aliases[name]; ok {
			name = strings.ToLower(to)
		} else if to, ok := builtin[name]; ok { // which PowerShell finds before a function
			name = to
		} else {
			break
		}
	}
	if m := qualified.FindStringSubmatch(name); m != nil {
		name = m[1]
	}
	return name
}

// arguments are those of a command.
type arguments struct {
	named      map[string]*syntax.Node // by parameter in lower case; nil for a switch
	positional []*syntax.Node
	splats     []*syntax.Node
}

// switches are parameters that take no value, so that what follows is an argument of its own.
var switches = set(`passthru force confirm whatif verbose debug nonewline asplaintext asjob wait append noclobber asstring
	useglobal global runasync enableexception raw stream asarray compress usenewenvironment nonewwindow allowclobber
	novmtoolsinstallercheck`)

func (c *code) arguments(n *syntax.Node) arguments {
	a := arguments{named: map[string]*syntax.Node{}}
	for i := 1; i < len(n.Kids); i++ {
		switch k := n.Kids[i]; k.Kind {
		case syntax.Redirection:
		case syntax.Splat:
			a.splats = append(a.splats, k)
		case syntax.Argument:
			key := strings.ToLower(k.Text)
			a.named[key] = nil
			if len(k.Kids) > 0 {
				a.named[key] = k.Kids[0]
			} else if i+1 < len(n.Kids) && !switches[key] && value(n.Kids[i+1]) {
				i++
				a.named[key] = n.Kids[i]
			}
		default:
			a.positional = append(a.positional, k)
		}
	}
	return a
}

func value(n *syntax.Node) bool {
	return n.Kind != syntax.Argument && n.Kind != syntax.Redirection && n.Kind != syntax.Splat && n.Kind != syntax.Verbatim
}

// has says whether a parameter is given, in full or by its beginning.
func (a arguments) has(parameter string) bool {
	_, ok := a.find(parameter)
	return ok
}

func (a arguments) find(parameter string) (*syntax.Node, bool) {
	if v, ok := a.named[parameter]; ok {
		return v, true
	}
	for name, v := range a.named {
		if len(name) >= 2 && strings.HasPrefix(parameter, name) {
			return v, true
		}
	}
	return nil, false
}

// get is the value of the first of the parameters that is given by name, else the one at the position, else nil.
func (a arguments) get(position int, parameters ...string) *syntax.Node {
	for _, parameter := range parameters {
		if v, ok := a.find(parameter); ok {
			return v
		}
	}
	if position >= 0 && position < len(a.positional) {
		return a.positional[position]
	}
	return nil
}
