package review

import (
	"strings"

	"github.com/airlock-run/airlock/packages/internal/powershell"
	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// rounds bounds how often the code is read until nothing new is learned. Each round carries labels over one more call.
const rounds = 12

// maxWork bounds the reading of a package, in steps: a step is a node in a round, or a label of it.
const maxWork = 10_000_000

// follow reads the code until the labels of all variables are known, and then once more to report.
func (c *code) follow() {
	for round := 0; ; round++ {
		c.changed = false
		for _, s := range c.scopes {
			c.run(s)
		}
		switch {
		case c.work < 0:
			c.add(computedCall, powershell.Place{}, "The code is too tangled to be followed in bounded time, so that nobody can say before what it does: split it into simpler functions.")
			return
		case c.final:
			return
		}
		c.final = !c.changed || round == rounds
	}
}

// run reads one scope.
func (c *code) run(s *scope) {
	for i, p := range s.params {
		l := label(s.parameter(i))
		if checked(p) {
			l = labels{}
		}
		if p.Default != nil {
			l = l.with(c.eval(s, p.Default))
		}
		c.set(s, strings.ToLower(p.Name), "", l)
	}
	returned := c.blockOutput(s, s.body, true)
	if s.name != "" {
		c.learn(&s.returns, returned)
	}
}

// learn adds labels to what is known.
func (c *code) learn(known *labels, more labels) {
	for name := range more {
		if !(*known)[name] {
			if *known == nil {
				*known = labels{}
			}
			(*known)[name] = true
			c.changed = true
		}
	}
}

// set adds labels to a variable, or with a field to that.
func (c *code) set(s *scope, name, field string, l labels) {
	v := s.vars[name]
	if v == nil {
		v = &variable{fields: map[string]labels{}}
		s.vars[name] = v
	}
	if field == "" {
		c.learn(&v.own, l)
	} else {
		known := v.fields[field]
		c.learn(&known, l)
		v.fields[field] = known
	}
	c.learn(&v.all, l)
}

// known is what is known of a variable from a scope, nil for nothing.
func (c *code) known(s *scope, name string) []*variable {
	var all []*variable
	for _, vars := range []map[string]*variable{s.vars, c.global.vars} {
		if v := vars[name]; v != nil {
			all = append(all, v)
		}
	}
	return all
}

// lookup is what is known of a variable, with its fields.
func (c *code) lookup(s *scope, name string) labels {
	l := labels{}
	for _, v := range c.known(s, name) {
		l = l.with(v.all)
	}
	return l
}

// blockOutput reads a script block or statements, and returns the labels of what they output. out says that this is what
// the scope itself outputs.
func (c *code) blockOutput(s *scope, n *syntax.Node, out bool) labels {
	l := labels{}
	for _, k := range n.Kids {
		if n.Kind == syntax.ScriptBlock && n != s.body && isParam(n, k) {
			continue
		}
		l = l.with(c.statement(s, k, out))
	}
	return l
}

// isParam says whether k belongs to the param block of n.
func isParam(n, k *syntax.Node) bool {
	for _, a := range n.Block.Attributes {
		if a == k {
			return true
		}
	}
	for _, p := range n.Block.Params {
		if p.Default == k {
			return false
		}
		for _, a := range p.Attributes {
			if a == k {
				return true
			}
		}
	}
	return false
}

// statement reads a statement and returns the labels of what it outputs.
func (c *code) statement(s *scope, n *syntax.Node, out bool) labels {
	switch n.Kind {
	case syntax.FuncDef, syntax.Using, syntax.Type, syntax.Attribute:
		return nil
	case syntax.TypeDef:
		return nil // its methods are scopes of their own
	case syntax.Statements:
		return c.blockOutput(s, n, out)
	case syntax.If, syntax.Try, syntax.Data:
		return c.branches(s, n.Kids, out)
	case syntax.Switch:
		var l labels
		c.with(c.eval(s, n.Kids[0]), func() { l = c.branches(s, n.Kids[1:], out) })
		return l
	case syntax.Catch: // here $_ is the error
		var l labels
		c.with(nil, func() { l = c.branches(s, n.Kids, out) })
		return l
	case syntax.Loop:
		return c.loop(s, n, out)
	case syntax.Jump:
		return c.jump(s, n, out)
	case syntax.Unary:
		if strings.HasSuffix(n.Text, "++") || strings.HasSuffix(n.Text, "--") {
			return nil
		}
	}
	l := c.eval(s, n)
	if out {
		c.output(s, n, l)
	}
	return l
}

// with reads something while $_ has the labels.
func (c *code) with(l labels, read func()) {
	c.pipeline = append(c.pipeline, l)
	read()
	c.pipeline = c.pipeline[:len(c.pipeline)-1]
}

// branches reads conditions and the blocks that depend on them.
func (c *code) branches(s *scope, kids []*syntax.Node, out bool) labels {
	l := labels{}
	for _, k := range kids {
		switch k.Kind {
		case syntax.Statements, syntax.Catch:
			l = l.with(c.statement(s, k, out))
		case syntax.Type:
		default:
			c.eval(s, k)
		}
	}
	return l
}

func (c *code) loop(s *scope, n *syntax.Node, out bool) labels {
	l := labels{}
	for i, k := range n.Kids {
		switch {
		case k.Kind == syntax.Statements:
			l = l.with(c.statement(s, k, out))
		case n.Text == "foreach" && i == 1:
			values := c.eval(s, k)
			if name, ok := variableName(n.Kids[0]); ok {
				c.set(s, name, "", values)
			}
		default:
			c.eval(s, k)
		}
	}
	return l
}

func (c *code) jump(s *scope, n *syntax.Node, out bool) labels {
	if len(n.Kids) == 0 {
		return nil
	}
	l := c.eval(s, n.Kids[0])
	switch n.Text {
	case "throw":
		c.stream(s, n, "throw", l)
	case "return":
		if out {
			c.output(s, n, l)
		}
		return l
	}
	return nil
}

// eval reads an expression and returns its labels.
func (c *code) eval(s *scope, n *syntax.Node) labels {
	if c.work < 0 {
		return nil
	}
	l := c.evaluate(s, n)
	c.work -= 1 + len(l)
	return l
}

func (c *code) evaluate(s *scope, n *syntax.Node) labels {
	switch n.Kind {
	case syntax.String:
		text, _ := n.Constant()
		return textLabels(text)
	case syntax.Expand:
		return c.expand(s, n)
	case syntax.Var:
		return c.variableLabels(s, n)
	case syntax.ScriptBlock:
		return c.blockOutput(s, n, false)
	case syntax.Pipeline:
		return c.pipe(s, n)
	case syntax.Command:
		return c.call(s, n, nil)
	case syntax.Assign:
		c.assign(s, n)
		return nil
	case syntax.Hash:
		return c.hash(s, n)
	case syntax.Unary:
		l := c.kids(s, n)
		if n.Text == "!" || n.Text == "not" || strings.HasSuffix(n.Text, "++") || strings.HasSuffix(n.Text, "--") {
			return nil
		}
		return l
	case syntax.Binary:
		return c.binary(s, n)
	case syntax.Ternary:
		c.eval(s, n.Kids[0])
		l := labels{}
		for _, k := range n.Kids[1:] {
			l = l.with(c.eval(s, k))
		}
		return l
	case syntax.Cast:
		return c.cast(s, n)
	case syntax.Member:
		return c.member(s, n)
	case syntax.Invoke:
		return c.invoke(s, n)
	case syntax.Index:
		for _, k := range n.Kids[1:] {
			c.eval(s, k) // what chooses an element is not the element
		}
		if name, ok := field(n); ok {
			return c.fieldLabels(s, n.Kids[0], name)
		}
		return c.eval(s, n.Kids[0])
	case syntax.Paren, syntax.SubExpr, syntax.ArrayOf, syntax.List, syntax.Chain, syntax.Error, syntax.Argument, syntax.Redirection:
		return c.kids(s, n)
	case syntax.Number, syntax.Verbatim, syntax.Splat:
		return nil
	}
	return c.statement(s, n, false)
}

// kids are the labels of all that a node consists of.
func (c *code) kids(s *scope, n *syntax.Node) labels {
	l := labels{}
	for _, k := range n.Kids {
		l = l.with(c.statement(s, k, false))
	}
	return l
}

// expand joins the parts of a string.
func (c *code) expand(s *scope, n *syntax.Node) labels {
	var text strings.Builder
	l := labels{}
	for _, k := range n.Kids {
		if constant, ok := k.Constant(); ok {
			text.WriteString(constant)
			continue
		}
		text.WriteString("x") // in place of a value that is not known
		l = l.with(c.eval(s, k))
	}
	return l.without(account, admins, networkLogin, ovf).with(textLabels(text.String()))
}

func (c *code) variableLabels(s *scope, n *syntax.Node) labels {
	switch name := plainName(strings.ToLower(n.Text)); name {
	case "_", "psitem":
		if len(c.pipeline) > 0 {
			return c.pipeline[len(c.pipeline)-1]
		}
		return label("$_") // what comes down the pipeline to the function
	case "psboundparameters", "args":
		l := labels{}
		for _, p := range s.params[:min(len(s.params), maxLabels+1)] {
			l = l.with(c.lookup(s, strings.ToLower(p.Name)))
		}
		return l
	default:
		return c.lookup(s, name)
	}
}

// comparisons give true or false, or what was compared with, which is no part of the value.
var comparisons = set(`and or xor band bor bxor is isnot eq ne gt ge lt le like notlike match notmatch contains notcontains in
	notin shl shr - / % ..`)

func (c *code) binary(s *scope, n *syntax.Node) labels {
	left, right := labels{}, labels{}
	if len(n.Kids) > 0 {
		left = c.eval(s, n.Kids[0])
	}
	for _, k := range n.Kids[min(1, len(n.Kids)):] {
		right = right.with(c.eval(s, k))
	}
	switch {
	case comparisons[n.Text]:
		return nil
	case n.Text == "as" && len(n.Kids) == 2 && n.Kids[1].Kind == syntax.Type:
		return converted(n.Kids[1], left)
	case n.Text == "replace":
		if len(n.Kids) == 2 && quotes(n.Kids[1]) {
			left = left.without("$")
		}
		return left.with(right)
	case n.Text == "+" && len(n.Kids) == 2: // 'cloudadmin@' + $domain
		if text, ok := n.Kids[0].Constant(); ok {
			return left.with(right).with(textLabels(text + "x"))
		}
	}
	return left.with(right)
}

// quotes says whether a replacement is of quotes, so that what it gives can stand between quotes.
func quotes(n *syntax.Node) bool {
	for n.Kind == syntax.List && len(n.Kids) > 0 || n.Kind == syntax.Paren && len(n.Kids) == 1 {
		n = n.Kids[0]
	}
	text, ok := n.Constant()
	return ok && strings.ContainsAny(text, `'"`)
}

func (c *code) cast(s *scope, n *syntax.Node) labels {
	l := labels{}
	for _, k := range n.Kids[min(1, len(n.Kids)):] {
		l = l.with(c.eval(s, k))
	}
	if n.Kids[0].Kind == syntax.Type {
		return converted(n.Kids[0], l)
	}
	return l
}

// converted are the labels of a value that was converted to a type.
func converted(to *syntax.Node, l labels) labels {
	switch name := typeName(to.Text); {
	case name == "void", name == "securestring":
		return nil
	case strong[name] && !strings.Contains(to.Text, "["):
		return l.without("$", secret)
	}
	return l
}

// hash is a hash literal, whose values are all that is known of it.
func (c *code) hash(s *scope, n *syntax.Node) labels {
	l := labels{}
	for i := 0; i+1 < len(n.Kids); i += 2 {
		v := c.statement(s, n.Kids[i+1], false)
		c.values[n.Kids[i+1]] = v
		if accountLike(nameOf(n.Kids[i])) {
			c.useAccount(s, n.Kids[i+1], v)
		}
		l = l.with(v)
	}
	return l
}

// nameOf is the constant that a key is, in lower case.
func nameOf(n *syntax.Node) string {
	text, _ := n.Constant()
	return strings.ToLower(text)
}

// field is the name, in lower case, of the field that a Member or Index means.
func field(n *syntax.Node) (string, bool) {
	if len(n.Kids) != 2 {
		return "", false
	}
	text, ok := n.Kids[1].Constant()
	return strings.ToLower(text), ok
}

// fieldLabels are those of a field of the target.
func (c *code) fieldLabels(s *scope, target *syntax.Node, name string) labels {
	v, ok := variableName(target)
	switch {
	case v == "psboundparameters":
		return c.lookup(s, name)
	case !ok, v == "_", v == "psitem":
		return c.eval(s, target)
	}
	l := labels{}
	for _, known := range c.known(s, v) {
		l = l.with(known.own).with(known.fields[name])
	}
	return l
}

func (c *code) member(s *scope, n *syntax.Node) labels {
	name, ok := field(n)
	if !ok {
		return c.kids(s, n)
	}
	if n.Text == "::" && n.Kids[0].Kind == syntax.Type {
		return nil
	}
	l := c.fieldLabels(s, n.Kids[0], name)
	switch {
	case l[networkLogin] && name == "password":
		return l.without(networkLogin).with(label(secret))
	case l[networkLogin]:
		return l.without(networkLogin)
	case name == "length" || name == "count":
		return nil
	}
	return l
}

// assign sets variables and fields.
func (c *code) assign(s *scope, n *syntax.Node) {
	if len(n.Kids) != 2 {
		return
	}
	target, l := n.Kids[0], c.statement(s, n.Kids[1], false)
	for target.Kind == syntax.Cast && len(target.Kids) == 2 {
		if target.Kids[0].Kind == syntax.Type {
			l = converted(target.Kids[0], l)
		}
		target = target.Kids[1]
	}
	c.assigned(s, n, target, l)
	if target.Kind == syntax.Member || target.Kind == syntax.Index {
		for _, k := range target.Kids {
			c.eval(s, k)
		}
	}
}

func (c *code) assigned(s *scope, n, target *syntax.Node, l labels) {
	to, name := c.home(s, target), plainName(strings.ToLower(base(target)))
	switch target.Kind {
	case syntax.Var:
		if h := hashOf(n.Kids[1]); h == nil {
			c.set(to, name, "", l)
		} else {
			for i := 0; i+1 < len(h.Kids); i += 2 {
				c.set(to, name, nameOf(h.Kids[i]), c.values[h.Kids[i+1]])
			}
		}
	case syntax.Member, syntax.Index:
		key, ok := field(target)
		if _, direct := variableName(target.Kids[0]); !ok || !direct {
			key = ""
		}
		c.set(to, name, key, l)
	case syntax.List, syntax.Paren:
		for _, k := range target.Kids {
			c.assigned(s, n, k, l)
		}
	}
	if name == "namedoutputs" {
		c.stream(s, n, "a named output", l)
	}
	if target.Kind != syntax.Var && (strings.Contains(name, "ovf") || c.lookup(s, name)[ovf] || accountLike(s.file.Source(target))) {
		c.useAccount(s, n, l)
	}
}

// hashOf is the hash literal that a value is.
func hashOf(n *syntax.Node) *syntax.Node {
	for {
		switch {
		case n.Kind == syntax.Hash:
			return n
		case (n.Kind == syntax.Pipeline || n.Kind == syntax.Paren) && len(n.Kids) == 1:
			n = n.Kids[0]
		case n.Kind == syntax.Cast && len(n.Kids) == 2:
			n = n.Kids[1]
		default:
			return nil
		}
	}
}
