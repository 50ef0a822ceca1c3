package syntax

import "strings"

// expression reads an expression; nil, without having moved, if there is none.
func (p *parser) expression() *Node {
	defer p.leave()
	if !p.enter() {
		return nil
	}
	n := p.binary(0)
	if n == nil {
		return nil
	}
	m := p.mark()
	p.skip()
	if p.at(0) != '?' || p.at(1) == '?' {
		p.reset(m)
		return n
	}
	p.pos++
	p.skipLines()
	t := &Node{Kind: Ternary, Pos: n.Pos, Kids: []*Node{n}}
	if a := p.expression(); a != nil {
		t.Kids = append(t.Kids, a)
	}
	end := p.pos
	p.skipLines()
	if p.expect(':', min(end+1, p.pos), "Missing ':' in the ternary expression.") {
		p.skipLines()
		if b := p.expression(); b != nil {
			t.Kids = append(t.Kids, b)
		} else {
			p.fail(p.pos, "Missing expression after ':' in the ternary expression.")
		}
	}
	t.End = p.pos
	return t
}

// Precedence of operators; those that are words stand without their dash, and without the c or i that begins some.
var precedence = map[string]int{
	"and": 1, "or": 1, "xor": 1,
	"band": 2, "bor": 2, "bxor": 2,
	"is": 3, "isnot": 3, "as": 3, "eq": 3, "ne": 3, "gt": 3, "ge": 3, "lt": 3, "le": 3, "like": 3, "notlike": 3, "match": 3,
	"notmatch": 3, "contains": 3, "notcontains": 3, "in": 3, "notin": 3, "replace": 3, "split": 3, "join": 3, "shl": 3, "shr": 3,
	"??": 4,
	"+":  5, "-": 5,
	"*": 6, "/": 6, "%": 6,
	"f":  7,
	"..": 8,
}

// operator is the binary operator here and its length; "" for none.
func (p *parser) operator() (op string, length int) {
	switch c := p.at(0); {
	case c == '?' && p.at(1) == '?' && p.at(2) != '=':
		return "??", 2
	case c == '.' && p.at(1) == '.':
		return "..", 2
	case (c == '+' || c == '*' || c == '/' || c == '%') && p.at(1) != '=':
		return string(c), 1
	}
	d := p.dash()
	if d == 0 || p.at(d) == '=' {
		return "", 0
	}
	w, n := wordOperator(p.rest()[d:])
	if precedence[w] > 0 {
		return w, d + n
	}
	return "-", d
}

// wordOperator is the operator that s begins with, without a c or i before it.
func wordOperator(s string) (string, int) {
	n := 0
	for n < len(s) && (s[n]|0x20 >= 'a' && s[n]|0x20 <= 'z') {
		n++
	}
	if n == 0 || n > 12 || n < len(s) && (s[n] == '_' || s[n] >= '0' && s[n] <= '9') {
		return "", 0
	}
	w := strings.ToLower(s[:n])
	if precedence[w] == 0 && (w[0] == 'c' || w[0] == 'i') && (precedence[w[1:]] == 3) {
		w = w[1:]
	}
	return w, n
}

func (p *parser) binary(least int) *Node {
	left := p.list()
	for links := 0; left != nil; links++ {
		if p.work--; links > maxDepth {
			p.stop(tooDeep)
		}
		m := p.mark()
		p.skip()
		op, n := p.operator()
		if op == "" || precedence[op] <= least {
			p.reset(m)
			return left
		}
		p.pos += n
		after := p.pos
		p.skipLines()
		right := p.binary(precedence[op])
		if right == nil {
			p.fail(after, "You must provide a value expression following the '"+op+"' operator.")
			right = &Node{Kind: Error, Pos: p.pos, End: p.pos}
		}
		left = &Node{Kind: Binary, Pos: left.Pos, End: p.pos, Text: op, Kids: []*Node{left, right}}
	}
	return left
}

// list reads values that are joined by commas.
func (p *parser) list() *Node {
	n := p.unary()
	if n == nil || p.noComma {
		return n
	}
	return p.joined(n, p.unary, "Missing expression after ','.")
}

// joined reads what comes after the first of values that are joined by commas. One alone stays what it is.
func (p *parser) joined(first *Node, read func() *Node, missing string) *Node {
	list := &Node{Kind: List, Pos: first.Pos, Kids: []*Node{first}}
	for {
		m := p.mark()
		p.skip()
		if p.at(0) != ',' {
			p.reset(m)
			break
		}
		p.pos++
		after := p.pos
		p.skipLines()
		next := read()
		if next == nil {
			p.fail(after, missing)
			break
		}
		list.Kids = append(list.Kids, next)
	}
	if list.End = p.pos; len(list.Kids) == 1 {
		return first
	}
	return list
}

// unaryOperator is the one here and its length; "" for none.
func (p *parser) unaryOperator() (string, int) {
	switch {
	case p.at(0) == '!':
		return "!", 1
	case p.at(0) == ',':
		return ",", 1
	case p.at(0) == '+' && p.at(1) == '+':
		return "++", 2
	case p.at(0) == '+':
		return "+", 1
	}
	d := p.dash()
	if d == 0 {
		return "", 0
	}
	if d2 := dashLen(p.rest()[d:]); d2 > 0 {
		return "--", d + d2
	}
	switch w, n := wordOperator(p.rest()[d:]); w {
	case "not", "bnot", "split", "join":
		return w, d + n
	case "":
		return "-", d
	}
	return "", 0
}

func (p *parser) unary() *Node {
	defer p.leave()
	if !p.enter() {
		return nil
	}
	if p.at(0) == '[' {
		return p.typed()
	}
	op, n := p.unaryOperator()
	if op == "" || op == "," && p.noComma {
		return p.primary()
	}
	start := p.pos
	if op == "-" || op == "+" {
		if c := p.at(n); c >= '0' && c <= '9' || c == '.' {
			p.pos += n
			if number := p.number(); number != nil {
				number.Pos, number.Text = start, p.src[start:p.pos]
				if op == "-" {
					number.Value = negative(number.Value)
				}
				return p.postfix(number)
			}
			p.pos = start
		}
	}
	p.pos += n
	after := p.pos
	p.skipLines()
	child := p.unary()
	if child == nil {
		p.fail(after, "Missing expression after unary operator '"+op+"'.")
		child = &Node{Kind: Error, Pos: p.pos, End: p.pos}
	} else if (op == "++" || op == "--") && !assignable(child) {
		p.fail(child.Pos, "The '"+op+"' operator works only on variables or on properties.")
	}
	return &Node{Kind: Unary, Pos: start, End: p.pos, Text: op, Kids: []*Node{child}}
}

// typed reads [type], [type]value or [attribute()]value.
func (p *parser) typed() *Node {
	start := p.pos
	t := p.attribute()
	if t == nil {
		p.pos = max(p.pos, start+1)
		return &Node{Kind: Error, Pos: start, End: p.pos}
	}
	if c, c2 := p.at(0), p.at(1); t.Kind == Type && (c == ':' && c2 == ':' || c == '.' && c2 != '.') {
		return p.postfix(t)
	}
	m := p.mark()
	p.skip()
	for newline(p.at(0)) { // between attributes of one value
		p.skipLines()
		if p.at(0) != '[' {
			p.reset(m)
			break
		}
	}
	if c := p.at(0); !p.eof() && c != ',' && !newline(c) {
		if child := p.unary(); child != nil {
			if t.Kind == Type && t.Is("ordered") && child.Kind != Hash {
				p.fail(t.Pos, "The ordered attribute can be specified only on a hash literal node.")
			}
			if t.Kind == Attribute && !assignable(child) {
				p.fail(start, "Unexpected attribute '"+t.Text+"'.")
			}
			return &Node{Kind: Cast, Pos: start, End: p.pos, Kids: []*Node{t, child}}
		}
	}
	p.reset(m)
	if t.Kind == Attribute {
		p.fail(start, "Unexpected attribute '"+t.Text+"'.")
	}
	return t
}

func (p *parser) primary() *Node {
	start := p.pos
	c := p.at(0)
	if kind, _ := quote(p.rest()); kind != 0 {
		return p.postfix(p.quoted())
	}
	switch {
	case c == '$' && p.at(1) == '(':
		return p.postfix(p.group(SubExpr, 2))
	case c == '$':
		if v := p.variable(); v != nil {
			return p.postfix(v)
		}
	case c == '@':
		if kind, _ := quote(p.src[min(p.pos+1, p.end):p.end]); kind != 0 {
			if s := p.here(); s != nil {
				return p.postfix(s)
			}
			return nil
		}
		switch {
		case p.at(1) == '(':
			return p.postfix(p.group(ArrayOf, 2))
		case p.at(1) == '{':
			return p.postfix(p.hash())
		case identPart(rune(p.at(1))):
			p.pos++
			p.fail(start, "The splatting operator '@' cannot be used to reference variables in an expression.")
			n := &Node{Kind: Var, Pos: start, Text: p.word()}
			p.pos += max(len(n.Text), 1)
			n.End = p.pos
			return n
		}
	case c == '(':
		return p.postfix(p.paren())
	case c == '{':
		n := p.block()
		return p.postfix(n)
	case c >= '0' && c <= '9' || c == '.':
		if n := p.number(); n != nil {
			return p.postfix(n)
		}
	}
	return nil
}

// group reads $( … ) or @( … ).
func (p *parser) group(kind Kind, open int) *Node {
	n := &Node{Kind: kind, Pos: p.pos}
	p.pos += open
	n.Kids = p.statements()
	p.expect(')', p.pos, "Missing closing ')' in subexpression.")
	n.End = p.pos
	return n
}

func (p *parser) paren() *Node {
	n := &Node{Kind: Paren, Pos: p.pos}
	defer func(c bool) { p.noComma = c }(p.noComma)
	p.noComma = false
	p.pos++
	after := p.pos
	p.skipLines()
	if s := p.chain(); s != nil {
		n.Kids = []*Node{s}
	} else {
		p.fail(after, "An expression was expected after '('.")
	}
	end := p.pos
	p.skipLines()
	p.expect(')', end, "Missing closing ')' in expression.")
	n.End = p.pos
	return n
}

// hash reads @{ key = value … }.
func (p *parser) hash() *Node {
	n := &Node{Kind: Hash, Pos: p.pos}
	defer p.leave()
	if !p.enter() {
		return n
	}
	defer func(c bool) { p.noComma = c }(p.noComma)
	p.noComma = false
	p.pos += 2
	seen := map[string]bool{}
	for {
		p.skipSeparators()
		if p.eof() || p.at(0) == '}' {
			break
		}
		key := p.hashKey()
		if key == nil {
			p.fail(p.pos, "The hash literal was incomplete.")
			break
		}
		if s := keyText(key); s != "" {
			if seen[s] {
				p.fail(key.Pos, "Duplicate keys '"+p.src[key.Pos:key.End]+"' are not allowed in hash literals.")
			}
			seen[s] = true
		}
		end := p.pos
		p.skipLines()
		if !p.expect('=', end, "Missing '=' operator after key in hash literal.") {
			break
		}
		after := p.pos
		p.skipLines()
		value := p.statement()
		if value == nil {
			p.fail(after, "Missing statement after '=' in hash literal.")
			value = &Node{Kind: Error, Pos: p.pos, End: p.pos}
		}
		n.Kids = append(n.Kids, key, value)
	}
	p.expect('}', n.Pos, "Missing closing '}' in hash literal.")
	n.End = p.pos
	return n
}

// keyText tells constant keys apart, as PowerShell does: strings without their case, numbers by their value.
func keyText(key *Node) string {
	if s, ok := key.Constant(); ok {
		return "s" + strings.ToLower(s)
	}
	if key.Kind == Number {
		return "n" + key.Text
	}
	return ""
}

func (p *parser) hashKey() *Node {
	if w := p.word(); w != "" {
		n := &Node{Kind: String, Pos: p.pos, End: p.pos + len(w), Text: w, Value: w}
		p.pos += len(w)
		return n
	}
	defer func(c bool) { p.noComma = c }(p.noComma)
	p.noComma = true
	return p.unary()
}

func assignable(n *Node) bool {
	switch n.Kind {
	case Var, Member, Index:
		return true
	case Cast:
		return assignable(n.Kids[1])
	case Paren:
		return len(n.Kids) == 1 && assignable(n.Kids[0])
	case List:
		for _, k := range n.Kids {
			if !assignable(k) {
				return false
			}
		}
		return true
	}
	return false
}
