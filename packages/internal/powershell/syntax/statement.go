package syntax

import "strings"

func (p *parser) statement() *Node {
	defer p.leave()
	if !p.enter() {
		return nil
	}
	m := p.mark()
	if p.at(0) == ':' && identStart(rune(p.at(1))) { // a loop's label
		p.pos++
		p.pos += len(p.word())
		p.skipLines()
		switch p.keyword() {
		case "for", "foreach", "while", "do", "switch":
		default:
			p.reset(m)
			return p.chain()
		}
	}
	var attributes []*Node
	if p.at(0) == '[' {
		attributes = p.leadingAttributes(m)
	}
	start := p.pos
	switch w := p.keyword(); w {
	case "if":
		return p.ifStatement(start)
	case "for", "foreach", "while", "do":
		return p.loop(start, w)
	case "switch":
		return p.switchStatement(start)
	case "try":
		return p.try(start)
	case "trap":
		p.pos += len(w)
		return p.catch(start)
	case "return", "throw", "exit", "break", "continue":
		p.pos += len(w)
		n := &Node{Kind: Jump, Pos: start, Text: w}
		p.skip()
		if c := p.at(0); !p.eof() && !newline(c) && c != ';' && c != '}' && c != ')' {
			if v := p.chain(); v != nil {
				n.Kids = []*Node{v}
			}
		}
		n.End = p.pos
		return n
	case "function", "filter", "workflow", "configuration":
		return p.function(start, w)
	case "class", "enum":
		if n := p.typeDef(start, w, attributes); n != nil {
			return n
		}
	case "data":
		if n := p.data(start); n != nil {
			return n
		}
	case "using":
		p.fail(start, "A 'using' statement must appear before any other statements in a script.")
		return p.using()
	case "from", "define", "var":
		p.fail(start, "The '"+w+"' keyword is not supported in this version of the language.")
	}
	return p.chain()
}

// leadingAttributes reads what stands before class and enum. Before other words attributes are an error; a type begins an
// expression.
func (p *parser) leadingAttributes(m mark) (all []*Node) {
	types := false
	for p.at(0) == '[' {
		a := p.attribute()
		if a == nil {
			p.reset(m)
			return nil
		}
		types = types || a.Kind == Type
		all = append(all, a)
		p.skipLines()
	}
	switch p.keyword() {
	case "class", "enum":
		return all
	case "function", "filter", "workflow", "if", "for", "foreach", "while", "do", "switch", "try", "trap", "return", "throw",
		"exit", "break", "continue", "data", "configuration":
		if !types {
			for _, a := range all {
				p.fail(a.Pos, "Unexpected attribute '"+a.Text+"'.")
			}
			return nil
		}
	}
	p.reset(m)
	return nil
}

// condition reads ( pipeline ).
func (p *parser) condition(of string) *Node {
	after := p.pos
	p.skipLines()
	if p.at(0) != '(' {
		p.fail(after, "Missing '(' after '"+of+"'.")
		return &Node{Kind: Error, Pos: p.pos, End: p.pos}
	}
	p.pos++
	p.skipLines()
	defer func(c bool) { p.noComma = c }(p.noComma)
	p.noComma = false
	n := p.chain()
	if n == nil {
		p.fail(p.pos, "Missing condition in '"+of+"' statement.")
		n = &Node{Kind: Error, Pos: p.pos, End: p.pos}
	}
	end := p.pos
	p.skipLines()
	p.expect(')', end, "Missing closing ')' after expression in '"+of+"' statement.")
	return n
}

func (p *parser) ifStatement(start int) *Node {
	n := &Node{Kind: If, Pos: start}
	for w := "if"; ; {
		p.pos += len(w)
		if w != "else" {
			n.Kids = append(n.Kids, p.condition(w))
		}
		p.skipLines()
		n.Kids = append(n.Kids, p.braces("Missing statement block after '"+w+"'."))
		n.End = p.pos
		if w == "else" {
			return n
		}
		m := p.mark()
		p.skipLines()
		if w = p.keyword(); w != "else" && w != "elseif" {
			p.reset(m)
			return n
		}
	}
}

func (p *parser) loop(start int, w string) *Node {
	n := &Node{Kind: Loop, Pos: start, Text: w}
	defer func() { n.End = p.pos }()
	p.pos += len(w)
	p.skipLines()
	missing := "Missing statement block after '" + w + "'."
	switch w {
	case "while":
		n.Kids = append(n.Kids, p.condition(w))
	case "do":
		body := p.braces(missing)
		p.skipLines()
		end := p.keyword()
		if end != "while" && end != "until" {
			p.fail(p.pos, "Missing while or until keyword in do loop.")
			n.Kids = []*Node{body}
			return n
		}
		p.pos += len(end)
		n.Kids = []*Node{p.condition(end), body}
		return n
	case "for":
		p.forHead(n)
	case "foreach":
		p.foreachHead(n)
	}
	p.skipLines()
	n.Kids = append(n.Kids, p.braces(missing))
	return n
}

func (p *parser) forHead(n *Node) {
	if !p.expect('(', p.pos, "Missing opening '(' after keyword 'for'.") {
		return
	}
	for range 3 {
		p.skipLines()
		if c := p.at(0); c != ';' && c != ')' {
			if s := p.chain(); s != nil {
				n.Kids = append(n.Kids, s)
			}
		}
		p.skip()
		if p.at(0) == ';' || newline(p.at(0)) {
			p.pos++
		}
	}
	p.skipLines()
	p.expect(')', p.pos, "Missing closing ')' after expression in 'for' statement.")
}

func (p *parser) foreachHead(n *Node) {
	for p.dash() > 0 {
		p.fail(p.pos, "Parameters of foreach are reserved for future use.")
		p.pos += p.dash()
		p.pos += len(p.word())
		p.skipLines()
	}
	if !p.expect('(', p.pos, "Missing opening '(' after keyword 'foreach'.") {
		return
	}
	p.skipLines()
	if v := p.variable(); v != nil {
		n.Kids = append(n.Kids, v)
	} else {
		p.fail(p.pos, "Missing variable name after foreach.")
	}
	p.skipLines()
	if p.keyword() == "in" {
		p.pos += 2
	} else {
		p.fail(p.pos, "Missing 'in' after variable in foreach loop.")
	}
	after := p.pos
	p.skipLines()
	if v := p.chain(); v != nil {
		n.Kids = append(n.Kids, v)
	} else {
		p.fail(after, "Missing expression after 'in' in foreach loop.")
	}
	p.skipLines()
	p.expect(')', p.pos, "Missing closing ')' after expression in 'foreach' loop.")
}

func (p *parser) switchStatement(start int) *Node {
	n := &Node{Kind: Switch, Pos: start}
	defer func() { n.End = p.pos }()
	p.pos += len("switch")
	file := false
	for p.skipLines(); p.dash() > 0; p.skipLines() {
		p.pos += p.dash()
		w := p.word()
		p.pos += len(w)
		if strings.EqualFold(w, "file") {
			p.skip()
			v := p.argument()
			if v == nil {
				p.fail(p.pos, "Missing file name after -file in switch statement.")
				v = &Node{Kind: Error, Pos: p.pos, End: p.pos}
			}
			n.Kids, file = append(n.Kids, v), true
		}
	}
	if !file {
		n.Kids = append(n.Kids, p.condition("switch"))
	}
	p.skipLines()
	open := p.pos
	if !p.expect('{', p.pos, "Missing opening '{' in switch statement.") {
		return n
	}
	defaults := 0
	for {
		p.skipSeparators()
		if p.eof() || p.at(0) == '}' {
			break
		}
		before := p.pos
		c := p.argument()
		if c == nil {
			p.fail(p.pos, "Missing condition in switch statement clause.")
			if p.pos == before {
				p.pos++
			}
			continue
		}
		if c.Kind == String && p.src[c.Pos:c.End] == c.Value && c.Is("default") {
			if defaults++; defaults > 1 {
				p.fail(c.Pos, "A switch statement can have only one default clause.")
			}
		}
		p.skipLines()
		n.Kids = append(n.Kids, c, p.braces("Missing statement block in switch statement clause."))
	}
	p.expect('}', open, "Missing closing '}' in switch statement.")
	return n
}

func (p *parser) try(start int) *Node {
	n := &Node{Kind: Try, Pos: start}
	p.pos += len("try")
	p.skipLines()
	n.Kids = append(n.Kids, p.braces("The Try statement is missing its statement block."))
	n.End = p.pos
	m := p.mark()
	for p.skipLines(); p.keyword() == "catch"; p.skipLines() {
		at := p.pos
		p.pos += len("catch")
		n.Kids = append(n.Kids, p.catch(at))
		n.End = p.pos
		m = p.mark()
	}
	if p.keyword() == "finally" {
		p.pos += len("finally")
		p.skipLines()
		n.Kids = append(n.Kids, p.braces("The Finally statement is missing its statement block."))
		n.End = p.pos
		return n
	}
	p.reset(m)
	if len(n.Kids) == 1 {
		p.fail(p.pos, "The Try statement is missing its Catch or Finally block.")
	}
	return n
}

// catch reads [types] { statements }.
func (p *parser) catch(start int) *Node {
	n := &Node{Kind: Catch, Pos: start}
	p.skipLines()
	for p.at(0) == '[' {
		t := p.attribute()
		if t == nil {
			break
		}
		n.Kids = append(n.Kids, t)
		p.skipLines()
		if p.at(0) == ',' {
			p.pos++
			p.skipLines()
		}
	}
	n.Kids = append(n.Kids, p.braces("The statement block is missing."))
	n.End = p.pos
	return n
}

func (p *parser) data(start int) *Node {
	m := p.mark()
	p.pos += len("data")
	p.skipLines()
	if w := p.word(); w != "" {
		p.pos += len(w)
		p.skipLines()
	}
	for p.dash() > 0 {
		p.pos += p.dash()
		p.pos += len(p.word())
		for p.skipLines(); p.at(0) != '{' && p.dash() == 0; p.skipLines() {
			if p.argument() == nil && p.at(0) != ',' {
				p.reset(m)
				return nil
			}
			if p.at(0) == ',' {
				p.pos++
			}
		}
	}
	if p.at(0) != '{' {
		p.reset(m)
		return nil
	}
	n := &Node{Kind: Data, Pos: start}
	n.Kids = []*Node{p.braces("")}
	n.End = p.pos
	return n
}
