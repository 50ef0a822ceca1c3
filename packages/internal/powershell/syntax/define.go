package syntax

import "strings"

// function reads the definition of a function, filter or workflow.
func (p *parser) function(start int, keyword string) *Node {
	n := &Node{Kind: FuncDef, Pos: start, Func: &Func{Keyword: keyword}}
	p.pos += len(keyword)
	if keyword == "workflow" || keyword == "configuration" {
		p.fail(start, "PowerShell 7 knows no "+keyword+".")
	}
	after := p.pos
	p.skipLines()
	at := p.pos
	if kind, _ := quote(p.rest()); kind == 0 && p.at(0) != '$' {
		if name := p.bareword(); name != nil {
			n.Func.Name, _ = name.Constant()
		}
	}
	if n.Func.Name == "" {
		p.pos = at
		p.fail(after, "Missing name after "+keyword+" keyword.")
		n.Kind, n.Func, n.End = Error, nil, p.pos
		return n
	}
	p.functionRest(n)
	return n
}

// functionRest reads parameters in parentheses and the body.
func (p *parser) functionRest(n *Node) {
	f := n.Func
	p.skipLines()
	if p.at(0) == '(' {
		f.HasInline, f.Inline = true, p.params()
		n.Kids = append(n.Kids, paramKids(f.Inline)...)
		p.skipLines()
	}
	if f.Keyword == "method" && p.at(0) == ':' { // : base(…)
		p.pos++
		p.skip()
		p.pos += len(p.word())
		p.skip()
		if p.at(0) == '(' {
			n.Kids = append(n.Kids, p.arguments()...)
		}
		p.skipLines()
	}
	if p.at(0) != '{' {
		p.fail(p.pos, "Missing function body in function declaration.")
		f.Body = &Node{Kind: ScriptBlock, Pos: p.pos, End: p.pos, Block: &Block{}}
		n.End = p.pos
		return
	}
	f.Body = p.block()
	if b := f.Body.Block; f.HasInline && b.HasParam {
		p.fail(b.ParamPos, "The param statement cannot be used if arguments were specified in the function declaration.")
	}
	n.Kids = append(n.Kids, f.Body)
	n.End = p.pos
}

// block reads { … } as a script block.
func (p *parser) block() *Node {
	defer func(c bool) { p.noComma = c }(p.noComma)
	p.noComma = false
	open := p.pos
	p.pos++
	return p.scriptBlock(open, false)
}

// typeDef reads a class or an enum; nil if the word is something else's.
func (p *parser) typeDef(start int, w string, attributes []*Node) *Node {
	m := p.mark()
	n := &Node{Kind: TypeDef, Pos: start, Kids: attributes}
	p.pos += len(w)
	after := p.pos
	p.skipLines()
	n.Text = p.word()
	if n.Text == "" {
		if p.at(0) == '{' {
			p.fail(after, "Missing name after "+w+" keyword.")
		}
		p.reset(mark{m.pos, len(p.file.Errors)})
		return nil
	}
	p.pos += len(n.Text)
	p.skipLines()
	if p.at(0) == ':' {
		p.pos++
		for p.skipLines(); !p.eof() && p.at(0) != '{'; p.skipLines() {
			at := p.pos
			if text := p.typeName(); text != "" {
				n.Kids = append(n.Kids, &Node{Kind: Type, Pos: at, End: p.pos, Text: text})
			} else if p.at(0) == ',' {
				p.pos++
			} else {
				break
			}
		}
	}
	open := p.pos
	if !p.expect('{', p.pos, "Missing type body in "+w+" declaration.") {
		n.End = p.pos
		return n
	}
	for {
		p.skipSeparators()
		if p.eof() || p.at(0) == '}' {
			break
		}
		before := p.pos
		if w == "enum" {
			p.enumMember(n)
		} else {
			p.classMember(n)
		}
		if p.pos == before {
			break
		}
	}
	p.expect('}', open, "Missing closing '}' in statement block or type definition.")
	n.End = p.pos
	return n
}

func (p *parser) enumMember(n *Node) {
	for p.at(0) == '[' {
		if p.attribute() == nil {
			return
		}
		p.skipLines()
	}
	w := p.word()
	if w == "" {
		p.fail(p.pos, "Missing name of an enum's value.")
		return
	}
	p.pos += len(w)
	p.skip()
	if p.at(0) == '=' {
		p.pos++
		p.skipLines()
		if v := p.expression(); v != nil {
			n.Kids = append(n.Kids, v)
		} else {
			p.fail(p.pos, "Missing value in an enum.")
		}
	}
	p.skip()
}

func (p *parser) classMember(n *Node) {
	start, static := p.pos, false
	var returns *Node
	for {
		if p.at(0) == '[' {
			a := p.attribute()
			if a == nil {
				return
			}
			if n.Kids = append(n.Kids, a); a.Kind == Type {
				returns = a
			}
		} else if w := p.keyword(); w == "static" || w == "hidden" {
			p.pos += len(w)
			static = static || w == "static"
		} else {
			break
		}
		p.skipLines()
	}
	if p.at(0) == '$' {
		p.variable()
		m := p.mark()
		p.skip()
		if p.at(0) != '=' {
			p.reset(m)
			return
		}
		p.pos++
		p.skipLines()
		if v := p.expression(); v != nil {
			n.Kids = append(n.Kids, v)
		} else {
			p.fail(p.pos, "Missing expression after '='.")
		}
		return
	}
	name := p.word()
	if name == "" {
		p.fail(p.pos, "Unexpected token in a class.")
		return
	}
	p.pos += len(name)
	after := p.pos
	p.skipLines()
	if p.at(0) != '(' {
		p.fail(after, "Missing '(' in class method parameter list.")
		return
	}
	f := &Node{Kind: FuncDef, Pos: start, Func: &Func{Keyword: "method", Name: name, Static: static, Returns: returns}}
	p.functionRest(f)
	n.Kids = append(n.Kids, f)
}

// attribute reads [name], a Type, or [name(…)], an Attribute; nil, with an error, if it is neither.
func (p *parser) attribute() *Node {
	defer p.leave()
	if !p.enter() {
		return nil
	}
	n := &Node{Kind: Type, Pos: p.pos}
	p.pos++
	p.skipLines()
	defer func(o bool) { p.outerType = o }(p.outerType)
	p.outerType = true
	n.Text = p.typeName()
	p.outerType = false
	if n.Text == "" {
		p.fail(p.pos, "Missing type name after '['.")
		return nil
	}
	end := p.pos
	p.skipLines()
	if p.at(0) == '(' {
		n.Kind = Attribute
		n.Attr = p.attributeArgs()
		n.Kids = append(n.Kids, n.Attr.Positional...)
		for _, v := range n.Attr.Named {
			if v.Value != nil {
				n.Kids = append(n.Kids, v.Value)
			}
		}
		end = p.pos
		p.skipLines()
	}
	if !p.expect(']', end, "Missing ] at end of attribute or type literal.") {
		p.pos = end
	}
	n.End = p.pos
	return n
}

func (p *parser) attributeArgs() *AttributeArgs {
	args := &AttributeArgs{}
	p.pos++
	defer func(c bool) { p.noComma = c }(p.noComma)
	p.noComma = true
	seen := map[string]bool{}
	end := p.pos
	for {
		p.skipLines()
		if p.at(0) == ')' || p.eof() {
			break
		}
		if a, ok := p.namedArg(); ok {
			if key := strings.ToLower(a.Name); seen[key] {
				p.fail(a.Pos, "The named argument '"+a.Name+"' is there twice.")
			} else {
				seen[key] = true
			}
			args.Named = append(args.Named, a)
		} else if v := p.expression(); v != nil {
			p.constant(v)
			args.Positional = append(args.Positional, v)
		} else {
			break
		}
		end = p.pos
		p.skipLines()
		if p.at(0) != ',' {
			break
		}
		p.pos++
		end = p.pos
	}
	p.skipLines()
	if !p.expect(')', end, "Missing closing ')' in the arguments of an attribute.") {
		p.pos = end
	}
	return args
}

func (p *parser) namedArg() (NamedArg, bool) {
	a := NamedArg{Name: p.word(), Pos: p.pos}
	if a.Name == "" {
		return a, false
	}
	m := p.mark()
	p.pos += len(a.Name)
	end := p.pos
	p.skip()
	switch c := p.at(0); {
	case c == '=':
		p.pos++
		after := p.pos
		p.skipLines()
		if a.Value = p.expression(); a.Value == nil {
			p.fail(after, "Missing expression in a named argument.")
			a.Value = &Node{Kind: Error, Pos: p.pos, End: p.pos}
		} else {
			p.constant(a.Value)
		}
	case c == ',' || c == ')' || newline(c):
		p.pos = end
	default:
		p.reset(m)
		return a, false
	}
	return a, true
}
