package syntax

import "strings"

// postfix reads what follows a value without a space: members, calls, indexes, ++ and --.
func (p *parser) postfix(n *Node) *Node {
	if n == nil {
		return nil
	}
	for links := 0; ; links++ {
		if p.work--; links > maxDepth {
			p.stop(tooDeep)
		}
		c, c2 := p.at(0), p.at(1)
		conditional := 0
		if c == '?' && (c2 == '.' && p.at(2) != '.' || c2 == '[') && closed(p.src[:p.pos]) {
			conditional, c, c2 = 1, c2, p.at(2)
		}
		switch {
		case c == '.' && c2 != '.':
			p.pos += conditional + 1
			n = p.member(n, ".")
		case c == ':' && c2 == ':':
			p.pos += 2
			n = p.member(n, "::")
		case c == '[':
			p.pos += conditional + 1
			n = p.index(n)
		case c == '+' && c2 == '+' || c == '-' && c2 == '-':
			if !assignable(n) {
				return n
			}
			p.pos += 2
			n = &Node{Kind: Unary, Pos: n.Pos, End: p.pos, Text: "post" + p.src[p.pos-2:p.pos], Kids: []*Node{n}}
		default:
			return n
		}
	}
}

// closed says whether what was read ends in a way after which ?. and ?[ are operators: a variable's name would take the ?.
func closed(s string) bool {
	return strings.HasSuffix(s, "}") || strings.HasSuffix(s, ")") || strings.HasSuffix(s, "]") || s != "" && quoteEnd(s) ||
		s != "" && identPart(rune(s[len(s)-1]))
}

func quoteEnd(s string) bool { return s[len(s)-1] == '\'' || s[len(s)-1] == '"' }

func (p *parser) index(n *Node) *Node {
	defer func(c bool) { p.noComma = c }(p.noComma)
	p.noComma = false
	after := p.pos
	i := &Node{Kind: Index, Pos: n.Pos, Kids: []*Node{n}}
	p.skipLines()
	if v := p.expression(); v != nil {
		i.Kids = append(i.Kids, v)
	} else {
		p.fail(after, "Array index expression is missing or not valid.")
	}
	p.skipLines()
	p.expect(']', p.pos, "Missing ']' after array index expression.")
	i.End = p.pos
	return i
}

func (p *parser) member(target *Node, op string) *Node {
	n := &Node{Kind: Member, Pos: target.Pos, Text: op}
	after := p.pos
	p.skipLines()
	name := p.memberName()
	if name == nil {
		p.pos = after
		p.fail(after, "Missing property name after reference operator.")
		n.Kids, n.End = []*Node{target, {Kind: Error, Pos: after, End: after}}, after
		return n
	}
	n.Kids, n.End = []*Node{target, name}, p.pos
	if p.at(0) == '[' { // the type arguments of a generic method
		m := p.mark()
		p.pos++
		if text := p.typeList(); text && p.at(0) == ']' && p.at(1) == '(' {
			p.pos++
		} else {
			p.reset(m)
		}
	}
	switch p.at(0) {
	case '(':
		n = &Node{Kind: Invoke, Pos: n.Pos, Kids: append([]*Node{n}, p.arguments()...)}
	case '{':
		n = &Node{Kind: Invoke, Pos: n.Pos, Kids: []*Node{n, p.block()}}
	}
	n.End = p.pos
	return n
}

func (p *parser) memberName() *Node {
	start := p.pos
	if kind, _ := quote(p.rest()); kind != 0 {
		return p.quoted()
	}
	switch c := p.at(0); {
	case c == '$' && p.at(1) == '(':
		return p.group(SubExpr, 2)
	case c == '$':
		return p.variable()
	case c == '(':
		return p.paren()
	case c >= '0' && c <= '9':
		for c := p.at(0); c >= '0' && c <= '9'; c = p.at(0) {
			p.pos++
		}
	default:
		p.pos += len(p.word())
	}
	if p.pos == start {
		return nil
	}
	text := p.src[start:p.pos]
	return &Node{Kind: String, Pos: start, End: p.pos, Text: text, Value: text}
}

// arguments reads ( value, … ).
func (p *parser) arguments() (all []*Node) {
	p.pos++
	defer func(c bool) { p.noComma = c }(p.noComma)
	p.noComma = true
	for {
		after := p.pos
		p.skipLines()
		v := p.expression()
		if v == nil {
			if len(all) > 0 {
				p.fail(after, "Missing expression after ','.")
			}
			break
		}
		all = append(all, v)
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
	p.expect(')', end, "Missing ')' in method call.")
	return all
}

// typeName reads a type's name with its type arguments and dimensions, and returns it as written; "" for none.
func (p *parser) typeName() string {
	start := p.pos
	if !p.simpleTypeName() {
		return ""
	}
	end := p.pos
	for {
		m := p.mark()
		p.skip()
		if p.at(0) != '[' {
			p.reset(m)
			break
		}
		p.pos++
		p.skipLines()
		switch {
		case p.at(0) == ']':
		case p.at(0) == ',':
			for p.at(0) == ',' {
				p.pos++
				p.skipLines()
			}
		case !p.typeList():
			p.reset(m)
			return p.src[start:end]
		}
		p.skipLines()
		if p.at(0) != ']' {
			p.reset(m)
			return p.src[start:end]
		}
		p.pos++
		end = p.pos
	}
	if m := p.mark(); p.assembly() {
		end = p.pos
	} else {
		p.reset(m)
	}
	return p.src[start:end]
}

// assembly reads ", Name, Version=…" after a type's name at the outermost level.
func (p *parser) assembly() bool {
	p.skip()
	if p.at(0) != ',' || p.depth == 0 {
		return false
	}
	i := strings.IndexAny(p.rest(), "][()\n\"'$@{}")
	if i < 0 || p.rest()[i] != ']' || !p.outerType {
		return false
	}
	p.pos += i
	return true
}

func (p *parser) simpleTypeName() bool {
	start := p.pos
	for !p.eof() {
		r := p.rune()
		if !identPart(r) && r != '.' && r != '+' && !(r == '`' && p.at(1) >= '0' && p.at(1) <= '9') {
			break
		}
		p.pos += p.runeLen()
	}
	return p.pos > start
}

// typeList reads type names, perhaps each in brackets, between commas.
func (p *parser) typeList() bool {
	defer p.leave()
	if !p.enter() {
		return false
	}
	defer func(o bool) { p.outerType = o }(p.outerType)
	for {
		p.skipLines()
		bracket := p.at(0) == '['
		if p.outerType = bracket; bracket {
			p.pos++
			p.skipLines()
		}
		if p.typeName() == "" {
			return false
		}
		p.skipLines()
		if bracket {
			if p.at(0) != ']' {
				return false
			}
			p.pos++
			p.skipLines()
		}
		if p.at(0) != ',' {
			return true
		}
		p.pos++
	}
}
