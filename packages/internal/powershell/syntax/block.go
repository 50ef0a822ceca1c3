package syntax

import "strings"

// scriptBlock reads attributes, a param block, and named blocks or statements, up to the brace that opened it, or the end.
func (p *parser) scriptBlock(open int, file bool) *Node {
	n := &Node{Kind: ScriptBlock, Pos: open, Block: &Block{}}
	defer func() { n.End = p.pos }()
	if !p.enter() && !p.eof() {
		return n
	}
	defer p.leave()
	if file {
		n.Kids = append(n.Kids, p.usings()...)
	}
	p.paramBlock(n)
	p.skipSeparators()
	if named(p.keyword()) {
		p.namedBlocks(n)
	}
	for {
		body := p.statements()
		n.Block.Body = append(n.Block.Body, body...)
		n.Kids = append(n.Kids, body...)
		if !file || p.eof() {
			break
		}
		p.fail(p.pos, "Unexpected token '"+string(p.at(0))+"' in expression or statement.")
		p.pos++
	}
	if !file {
		p.expect('}', open, "Missing closing '}' in statement block or type definition.")
	}
	return n
}

func (p *parser) usings() (all []*Node) {
	for {
		p.skipSeparators()
		if p.keyword() != "using" {
			return all
		}
		all = append(all, p.using())
	}
}

func (p *parser) using() *Node {
	n := &Node{Kind: Using, Pos: p.pos}
	p.pos += len("using")
	p.skip()
	n.Text = strings.ToLower(p.word())
	p.pos += len(n.Text)
	p.skip()
	for !p.eof() && !newline(p.at(0)) && p.at(0) != ';' {
		before := p.pos
		if v := p.argument(); v != nil {
			n.Kids = append(n.Kids, v)
		}
		p.skip()
		if p.pos == before {
			p.fail(p.pos, "Unexpected token in a using statement.")
			p.pos++
		}
	}
	n.End = p.pos
	return n
}

// paramBlock reads attributes and param( … ), where they are there.
func (p *parser) paramBlock(n *Node) {
	m := p.mark()
	p.skipLines()
	var attributes []*Node
	for p.at(0) == '[' {
		a := p.attribute()
		if a == nil {
			p.reset(m)
			return
		}
		attributes = append(attributes, a)
		p.skipLines()
	}
	pos := p.pos
	if p.keyword() != "param" {
		p.reset(m)
		return
	}
	p.pos += len("param")
	p.skipLines()
	if p.at(0) != '(' {
		p.reset(m)
		return
	}
	n.Block.Attributes, n.Block.HasParam, n.Block.ParamPos = attributes, true, pos
	n.Block.Params = p.params()
	n.Kids = append(n.Kids, attributes...)
	n.Kids = append(n.Kids, paramKids(n.Block.Params)...)
}

func paramKids(params []*Param) (kids []*Node) {
	for _, a := range params {
		kids = append(kids, a.Attributes...)
		if a.Default != nil {
			kids = append(kids, a.Default)
		}
	}
	return kids
}

// params reads ( attributes $name = default, … ).
func (p *parser) params() (all []*Param) {
	p.pos++
	seen := map[string]bool{}
	defer func(c bool) { p.noComma = c }(p.noComma)
	p.noComma = true
	for {
		p.skipLines()
		a := p.param()
		if a == nil {
			if len(all) > 0 {
				p.fail(p.pos, "Missing expression after ','.")
			}
			break
		}
		if key := strings.ToLower(a.Name); seen[key] {
			p.fail(a.NamePos, "Duplicate parameter $"+a.Name+" in parameter list.")
		} else {
			seen[key] = true
		}
		all = append(all, a)
		m := p.mark()
		p.skipLines()
		if p.at(0) != ',' {
			p.reset(m)
			break
		}
		p.pos++
	}
	end := p.pos
	p.skipLines()
	p.expect(')', end, "Missing ')' in function parameter list.")
	return all
}

func (p *parser) param() *Param {
	a := &Param{Pos: p.pos}
	for p.at(0) == '[' {
		t := p.attribute()
		if t == nil {
			return nil
		}
		if t.Kind == Type && t.Is("ordered") {
			p.fail(t.Pos, "The ordered attribute can be specified only on a hash literal node.")
		}
		a.Attributes = append(a.Attributes, t)
		p.skipLines()
	}
	if p.at(0) == '@' && identPart(rune(p.at(1))) {
		p.fail(p.pos, "The splatting operator '@' cannot be used to reference variables in an expression.")
		p.pos++
		a.Name = p.word()
		p.pos += len(a.Name)
		a.End = p.pos
		return a
	}
	a.NamePos = p.pos
	v := p.variable()
	if v == nil {
		if len(a.Attributes) > 0 {
			p.fail(p.pos, "Parameter declarations are a comma-separated list of variable names with optional initializer expressions.")
		}
		return nil
	}
	a.Name, a.End = v.Text, p.pos
	m := p.mark()
	p.skipLines()
	if p.at(0) != '=' {
		p.reset(m)
		return a
	}
	p.pos++
	after := p.pos
	p.skipLines()
	if a.Default = p.expression(); a.Default == nil {
		p.fail(after, "Missing expression after '='.")
	}
	a.End = p.pos
	return a
}

func named(word string) bool {
	switch word {
	case "begin", "process", "end", "clean", "dynamicparam":
		return true
	}
	return false
}

func (p *parser) namedBlocks(n *Node) {
	seen := map[string]bool{}
	for {
		p.skipSeparators()
		w := p.keyword()
		if !named(w) {
			break
		}
		b := NamedBlock{Name: w, Pos: p.pos}
		p.pos += len(w)
		p.skipLines()
		b.Body = p.braces("Missing statement block after '" + w + "'.")
		b.End = p.pos
		if seen[w] {
			p.fail(b.Pos, "Script command clause '"+w+"' has already been defined.")
		}
		seen[w] = true
		n.Block.Named = append(n.Block.Named, b)
		n.Kids = append(n.Kids, b.Body)
	}
	if !p.eof() && p.at(0) != '}' {
		p.fail(p.pos, "Unexpected token, expected 'begin', 'process', 'end', 'clean', or 'dynamicparam'.")
	}
}

// braces reads { statements }.
func (p *parser) braces(missing string) *Node {
	n := &Node{Kind: Statements, Pos: p.pos}
	if p.at(0) != '{' {
		p.fail(p.pos, missing)
		n.End = p.pos
		return n
	}
	defer func(c bool) { p.noComma = c }(p.noComma)
	p.noComma = false
	p.pos++
	n.Kids = p.statements()
	p.expect('}', n.Pos, "Missing closing '}' in statement block or type definition.")
	n.End = p.pos
	return n
}

// statements reads up to a closing brace or parenthesis, or the end.
func (p *parser) statements() (all []*Node) {
	defer p.leave()
	if !p.enter() {
		return nil
	}
	defer func(c bool) { p.noComma = c }(p.noComma)
	p.noComma = false
	for {
		p.skipSeparators()
		if p.eof() || p.at(0) == '}' || p.at(0) == ')' {
			return all
		}
		start := p.pos
		if s := p.statement(); s != nil {
			all = append(all, s)
		}
		if p.pos == start {
			p.fail(p.pos, "Unexpected token '"+string(p.rune())+"' in expression or statement.")
			p.pos += max(p.runeLen(), 1)
		}
	}
}
