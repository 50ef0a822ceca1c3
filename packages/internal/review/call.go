package review

import (
	"strings"

	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// given are the labels of a command's arguments.
type given struct {
	named      map[string]labels
	positional []labels
	piped      labels
	all        labels // of arguments, named and not
}

func (c *code) given(s *scope, a arguments, piped labels) given {
	g := given{named: map[string]labels{}, piped: piped, all: labels{}}
	for name, v := range a.named {
		if v != nil {
			g.named[name] = c.eval(s, v)
			g.all = g.all.with(g.named[name])
		}
	}
	for _, v := range a.positional {
		l := c.eval(s, v)
		g.positional = append(g.positional, l)
		g.all = g.all.with(l)
	}
	for _, splat := range a.splats {
		name, own := plainName(strings.ToLower(splat.Text)), labels{}
		for _, v := range c.known(s, name) {
			for key, l := range v.fields {
				g.named[key] = g.named[key].with(l)
			}
			own = own.with(v.own)
		}
		g.positional = append(g.positional, own)
		g.all = g.all.with(c.lookup(s, name))
	}
	return g
}

// of are the labels of a parameter that is given by one of its names, or by its position; -1 for by name only.
func (g given) of(position int, names ...string) labels {
	for _, name := range names {
		for key, l := range g.named {
			if key == name || len(key) >= 2 && strings.HasPrefix(name, key) {
				return l
			}
		}
	}
	if position >= 0 && position < len(g.positional) {
		return g.positional[position]
	}
	return nil
}

// pipe reads commands that are joined, each of which gets what the one before gives.
func (c *code) pipe(s *scope, n *syntax.Node) labels {
	var l labels
	for i, k := range n.Kids {
		switch {
		case i == 0:
			l = c.eval(s, k)
		default:
			piped := l
			c.with(piped, func() {
				if k.Kind == syntax.Command {
					l = c.call(s, k, piped)
				} else {
					l = c.eval(s, k)
				}
			})
		}
	}
	return l
}

// call reads a command and returns the labels of what it outputs.
func (c *code) call(s *scope, n *syntax.Node, piped labels) labels {
	if len(n.Kids) == 0 {
		return nil
	}
	a := c.arguments(n)
	g := c.given(s, a, piped)
	name := c.command(n)
	if name == "" { // & { … }, or computed
		return c.eval(s, n.Kids[0]).with(g.all)
	}
	c.sink(s, n, name, g)
	var l labels
	if functions := c.functions[name]; len(functions) > 0 {
		const most = 10 // of the same name; PowerShell takes the last
		for _, f := range functions[max(0, len(functions)-most):] {
			l = l.with(c.enterFunction(s, n, f, g))
		}
	} else {
		l = c.outcome(s, name, a, g)
	}
	for _, k := range n.Kids {
		if k.Kind == syntax.Redirection && strings.HasPrefix(k.Text, ">") || k.Kind == syntax.Redirection && strings.HasPrefix(k.Text, "*>") {
			return nil // into a file, or nowhere
		}
	}
	return l
}

// enterFunction reads a call of one of the package's own functions: its parameters end where the function brings them.
func (c *code) enterFunction(s *scope, n *syntax.Node, f *scope, g given) labels {
	c.work -= len(f.params) * (1 + len(g.named))
	bound := map[string]labels{"$_": g.piped}
	next := 0
	for i, p := range f.params {
		l := g.of(-1, strings.ToLower(p.Name))
		if l == nil && next < len(g.positional) {
			l, next = g.positional[next], next+1
		}
		if fromPipeline(p) {
			l = l.with(g.piped)
		}
		bound[f.parameter(i)] = bound[f.parameter(i)].with(l)
	}
	for sink := range f.sinks {
		parameter, where, _ := strings.Cut(sink, ">")
		switch where {
		case "code":
			c.runs(s, n, f.name, bound[parameter])
		case "stream":
			c.stream(s, n, f.name, bound[parameter])
		case "account":
			c.useAccount(s, n, bound[parameter])
		}
	}
	l := labels{}
	for name := range f.returns {
		if name[0] == '$' {
			l = l.with(bound[name])
		} else {
			l = l.with(label(name))
		}
	}
	return l
}

func fromPipeline(p *syntax.Param) bool {
	for _, a := range p.Attributes {
		if a.Kind != syntax.Attribute || !a.Is("Parameter") {
			continue
		}
		for _, named := range a.Attr.Named {
			if strings.HasPrefix(strings.ToLower(named.Name), "valuefrompipeline") {
				return true
			}
		}
	}
	return false
}

// through are commands whose output is made of what they get.
var through = set(`write-output join-path out-string join-string convertto-json convertto-csv convertto-xml convertto-html
	select-object sort-object tee-object get-unique group-object format-list format-table format-wide format-custom
	invoke-command select-string split-path convert-path`)

// lookups are commands that give what they are asked for by its name.
var lookups = set(`get-virole get-ssogroup get-ssopersonuser get-viaccount get-vipermission get-viprivilege`)

// outcome are the labels of what a command outputs that is not of the package.
func (c *code) outcome(s *scope, name string, a arguments, g given) labels {
	switch {
	case through[name]:
		return g.all.with(g.piped)
	case lookups[name]:
		if g.all[admins] || g.piped[admins] {
			return label(admins)
		}
	case name == "where-object":
		return g.piped
	case name == "foreach-object":
		if block := a.get(0, "process"); block != nil && block.Kind == syntax.ScriptBlock {
			return g.all
		}
		return g.all.with(g.piped)
	case name == "convertfrom-securestring":
		if !a.has("key") && !a.has("securekey") { // without a key it is no encryption on Linux
			return label(secret)
		}
	case name == "get-secret" && a.has("asplaintext"):
		return label(secret)
	case name == "new-sshshellstream":
		return label(sshShell)
	case name == "get-ovfconfiguration":
		return label(ovf)
	case name == "get-variable":
		if text, ok := a.get(0, "name").Constant(); ok {
			return c.lookup(s, strings.ToLower(text))
		}
	case name == "set-variable" || name == "new-variable":
		if text, ok := a.get(0, "name").Constant(); ok {
			c.set(s, plainName(strings.ToLower(text)), "", g.of(1, "value").with(g.piped))
		}
	case name == "new-object":
		return c.made(s, a, g)
	}
	return nil
}

// made are the labels of a new object.
func (c *code) made(s *scope, a arguments, g given) labels {
	text, _ := a.get(0, "typename").Constant()
	switch typeName(text) {
	case "networkcredential":
		return g.all.with(label(networkLogin))
	case "pscredential":
		return g.all.without(account, secret)
	}
	return g.all
}

// invoke reads a method's call.
func (c *code) invoke(s *scope, n *syntax.Node) labels {
	m, args := n.Kids[0], labels{}
	for _, k := range n.Kids[1:] {
		args = args.with(c.eval(s, k))
	}
	if m.Kind != syntax.Member || len(m.Kids) != 2 {
		return args.with(c.eval(s, m))
	}
	name, ok := field(m)
	if !ok {
		return args.with(c.kids(s, m))
	}
	if m.Text == "::" && m.Kids[0].Kind == syntax.Type {
		return c.static(s, n, typeName(m.Kids[0].Text), name, args)
	}
	target := c.eval(s, m.Kids[0])
	c.method(s, n, m.Kids[0], name, target, args)
	switch name {
	case "getnetworkcredential":
		return target.without(account).with(label(networkLogin))
	case "replace":
		if len(n.Kids) > 1 && quotes(n.Kids[1]) {
			target = target.without("$")
		}
	case "equals", "contains", "startswith", "endswith", "indexof", "gethashcode", "gettype", "compareto", "containskey":
		return nil
	case "add", "append", "appendline", "insert", "addrange", "set_item", "enqueue", "push":
		if v := plainName(strings.ToLower(base(m.Kids[0]))); v != "" {
			c.set(c.home(s, m.Kids[0]), v, "", args)
		}
	}
	return target.with(args)
}

// static reads the call of a static method.
func (c *code) static(s *scope, n *syntax.Node, of, name string, args labels) labels {
	switch {
	case of == "marshal" && strings.HasPrefix(name, "ptrtostring"):
		return label(secret)
	case of == "networkcredential" && name == "new":
		return args.with(label(networkLogin))
	case of == "pscredential" && name == "new":
		c.useAccount(s, n, args)
		return args.without(account, secret)
	case of == "scriptblock" && name == "create":
		c.runs(s, n, "[scriptblock]::Create", args)
		return nil
	case of == "console" && strings.HasPrefix(name, "write"):
		c.stream(s, n, "[Console]::"+name, args)
		return nil
	case of == "codegeneration":
		return args.without("$")
	case strong[of]:
		return args.without("$", secret)
	}
	return args
}
