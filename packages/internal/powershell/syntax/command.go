package syntax

import (
	"strings"
)

// chain reads pipelines that are joined by && and ||; nil, without having moved, if there is none. What follows on the
// same line and does not belong to it is an error.
func (p *parser) chain() *Node {
	defer p.leave()
	if !p.enter() {
		return nil
	}
	n := p.pipeline()
	if n == nil {
		return nil
	}
	chain := &Node{Kind: Chain, Pos: n.Pos, Kids: []*Node{n}}
	for {
		end := p.pos
		p.skip()
		if !p.has("&&") && !p.has("||") {
			if p.terminated(end) {
				chain.Text = "&"
			}
			break
		}
		at := p.pos
		p.pos += 2
		p.skipLines()
		next := p.pipeline()
		if next == nil {
			p.fail(at, "A pipeline chain operator must be followed by a pipeline.")
			break
		}
		chain.Kids = append(chain.Kids, next)
	}
	chain.End = chain.Kids[len(chain.Kids)-1].End
	if len(chain.Kids) == 1 && chain.Text == "" {
		return n
	}
	return chain
}

// terminated reports what stands where a statement has to end. It says whether the statement ends with &.
func (p *parser) terminated(end int) (background bool) {
	c := p.at(0)
	if c == '&' {
		background = true
		p.pos++
		p.skip()
		c = p.at(0)
	} else if p.eof() || newline(c) || c == ';' || c == ')' || c == '}' {
		p.pos = end
		return false
	}
	if p.eof() || newline(c) || c == ';' || c == ')' || c == '}' {
		return background
	}
	p.fail(p.pos, "Unexpected token '"+string(p.rune())+"' in expression or statement.")
	return background
}

func (p *parser) pipeline() *Node {
	first := p.element()
	if first == nil || first.Kind == Assign {
		return first
	}
	n := &Node{Kind: Pipeline, Pos: first.Pos, Kids: []*Node{first}}
	for {
		m := p.mark()
		p.skipLines()
		if p.at(0) != '|' || p.at(1) == '|' {
			p.reset(m)
			break
		}
		at := p.pos
		p.pos++
		p.skipLines()
		next := p.element()
		if next == nil {
			p.fail(at+1, "An empty pipe element is not allowed.")
			break
		}
		if next.Kind != Command {
			p.fail(next.Pos, "Expressions are only allowed as the first element of a pipeline.")
		}
		n.Kids = append(n.Kids, next)
	}
	n.End = n.Kids[len(n.Kids)-1].End
	if len(n.Kids) == 1 {
		return first
	}
	return n
}

// element reads a command, an expression or an assignment.
func (p *parser) element() *Node {
	if !p.atExpression() {
		return p.command()
	}
	m := p.mark()
	n := p.expression()
	if n == nil {
		p.reset(m)
		return p.command()
	}
	m = p.mark()
	p.skip()
	if op := p.assignment(); op != "" {
		if !assignable(n) {
			p.fail(n.Pos, "The assignment expression is not valid: its target cannot be assigned to.")
		}
		p.pos += len(op)
		after := p.pos
		p.skipLines()
		value := p.statement()
		if value == nil {
			p.fail(after, "You must provide a value expression following the '"+op+"' operator.")
			value = &Node{Kind: Error, Pos: p.pos, End: p.pos}
		}
		return &Node{Kind: Assign, Pos: n.Pos, End: p.pos, Text: op, Kids: []*Node{n, value}}
	}
	p.reset(m)
	if r := p.redirections(); len(r) > 0 {
		n = &Node{Kind: Paren, Pos: n.Pos, End: p.pos, Kids: append([]*Node{n}, r...)}
	}
	return n
}

func (p *parser) redirections() (all []*Node) {
	for {
		m := p.mark()
		p.skip()
		r := p.redirection()
		if r == nil {
			p.reset(m)
			return all
		}
		all = append(all, r)
	}
}

// assignment is the assignment operator here, "" for none.
func (p *parser) assignment() string {
	for _, op := range []string{"??=", "+=", "-=", "*=", "/=", "%=", "="} {
		if p.has(op) {
			return op
		}
	}
	return ""
}

// atExpression says whether a statement that begins here is an expression, and not a command.
func (p *parser) atExpression() bool {
	if kind, _ := quote(p.rest()); kind != 0 {
		return true
	}
	switch c := p.at(0); {
	case p.eof() || c == 0:
		return false
	case strings.IndexByte("$@([{!+,", c) >= 0:
		return true
	case c >= '0' && c <= '9' || c == '.' && p.at(1) >= '0' && p.at(1) <= '9':
		m := p.mark()
		n := p.number()
		p.reset(m)
		return n != nil
	}
	op, n := p.unaryOperator()
	if op != "-" {
		return op != ""
	}
	s := strings.TrimLeft(p.rest()[n:], " \t")
	kind, _ := quote(s)
	return s != "" && (kind != 0 || strings.IndexByte("$@([.0123456789", s[0]) >= 0)
}

// command reads a command with its arguments; nil if there is none.
func (p *parser) command() *Node {
	defer p.leave()
	if !p.enter() {
		return nil
	}
	n := &Node{Kind: Command, Pos: p.pos}
	switch c := p.at(0); {
	case c == '&' && p.at(1) != '&', c == '.' && dotSource(p.rest()[1:]):
		n.Text = string(c)
		p.pos++
		p.skip()
	}
	var name *Node
	if n.Text != "" {
		name = p.argument()
	} else {
		name = p.bareword()
	}
	if name == nil {
		if n.Text != "" {
			p.fail(n.Pos, "Missing expression after '"+n.Text+"' in pipeline element.")
			n.End = p.pos
			return n
		}
		return nil
	}
	n.Kids = []*Node{name}
	for p.commandElement(n) {
	}
	n.End = n.Kids[len(n.Kids)-1].End
	return n
}

// dotSource says whether a dot before s is an operator, and not a part of a path.
func dotSource(s string) bool {
	kind, _ := quote(s)
	return kind != 0 || s != "" && (strings.IndexByte(" \t$({&`", s[0]) >= 0)
}

// commandElement reads the next element of a command into it.
func (p *parser) commandElement(n *Node) bool {
	m := p.mark()
	p.skip()
	c := p.at(0)
	if p.eof() || newline(c) || c == ';' || c == ')' || c == '}' || c == '|' || c == '&' {
		p.reset(m)
		return false
	}
	if r := p.redirection(); r != nil {
		n.Kids = append(n.Kids, r)
		return true
	}
	if p.has("--%") && ends(p.rest()[3:]) {
		n.Kids = append(n.Kids, p.verbatim())
		return true
	}
	if a := p.parameter(); a != nil {
		n.Kids = append(n.Kids, a)
		return true
	}
	v := p.values()
	if v == nil {
		if c == ',' {
			p.fail(p.pos, "Missing an argument in parameter list.")
			p.pos++
			return true
		}
		p.reset(m)
		return false
	}
	n.Kids = append(n.Kids, v)
	return true
}

// values reads an argument, or several that are joined by commas.
func (p *parser) values() *Node {
	v := p.argument()
	if v == nil {
		return nil
	}
	return p.joined(v, p.argument, "Missing an argument in parameter list.")
}

func (p *parser) verbatim() *Node {
	start, quoted := p.pos, false
	for ; !p.eof() && !newline(p.at(0)); p.pos++ {
		if c := p.at(0); c == '"' {
			quoted = !quoted
		} else if !quoted && (c == '|' || c == '&' && p.at(1) == '&') {
			break
		}
	}
	return &Node{Kind: Verbatim, Pos: start, End: p.pos, Text: p.src[start:p.pos]}
}

// parameter reads -Name or -Name:value; nil if there is none.
func (p *parser) parameter() *Node {
	d := p.dash()
	if d == 0 || p.eof() {
		return nil
	}
	s := p.rest()[d:]
	word := strings.IndexFunc(s, func(r rune) bool { return !identPart(r) })
	if r := []rune(s[:min(len(s), 4)] + " ")[0]; !identStart(r) && r != '?' || word == 0 && r != '?' {
		return nil
	}
	length := 0
	for length < len(s) {
		if c := s[length]; ends(s[length:]) || c == ':' || c == '.' || c == '[' {
			break
		}
		if k, _ := quote(s[length:]); k != 0 {
			return nil // a bare word with a string in it
		}
		length++
	}
	n := &Node{Kind: Argument, Pos: p.pos, Text: s[:length]}
	p.pos += d + length
	if p.at(0) == ':' {
		p.pos++
		after := p.pos
		p.skip()
		if v := p.values(); v != nil {
			n.Kids = []*Node{v}
		} else {
			p.fail(after, "Parameter '"+n.Text+"' requires an argument.")
		}
	}
	n.End = p.pos
	return n
}

// redirection reads >, >>, 2>, *>&1 … with what follows; nil if there is none.
func (p *parser) redirection() *Node {
	s, i := p.rest(), 0
	if s == "" {
		return nil
	}
	if s[0] == '*' || s[0] >= '1' && s[0] <= '6' {
		i = 1
	}
	if i >= len(s) || s[i] != '>' {
		if s[0] == '<' {
			p.fail(p.pos, "The '<' operator is reserved for future use.")
			p.pos++
			return &Node{Kind: Redirection, Pos: p.pos - 1, End: p.pos, Text: "<"}
		}
		return nil
	}
	start := p.pos
	i++
	if strings.HasPrefix(s[i:], ">") {
		i++
	}
	n := &Node{Kind: Redirection, Pos: start}
	if strings.HasPrefix(s[i:], "&") && i+1 < len(s) && s[i+1] >= '1' && s[i+1] <= '2' {
		n.Text = s[:i+2]
		p.pos += i + 2
		n.End = p.pos
		return n
	}
	n.Text = s[:i]
	p.pos += i
	p.skip()
	if v := p.argument(); v != nil {
		n.Kids = []*Node{v}
	} else {
		p.fail(p.pos, "Missing file specification after redirection operator.")
	}
	n.End = p.pos
	return n
}

// argument reads a value as commands take them: a bare word, or an expression without operators.
func (p *parser) argument() *Node {
	defer p.leave()
	if !p.enter() {
		return nil
	}
	if kind, _ := quote(p.rest()); kind != 0 {
		return p.postfix(p.quoted())
	}
	switch c, c2 := p.at(0), p.at(1); {
	case c == '$' && c2 == '(', c == '@' && (c2 == '(' || c2 == '{'), c == '(', c == '{':
		return p.primary()
	case c == '@':
		if kind, _ := quote(p.rest()[1:]); kind != 0 {
			if s := p.here(); s != nil {
				return p.postfix(s)
			}
		}
		if w := variableLen(p.rest()[1:]); w > 0 {
			n := &Node{Kind: Splat, Pos: p.pos, End: p.pos + 1 + w, Text: p.rest()[1 : 1+w]}
			p.pos = n.End
			return n
		}
	case c == '$':
		m := p.mark()
		if v := p.variable(); v != nil {
			if c := p.at(0); ends(p.rest()) || c == '.' || c == '[' || p.has("::") {
				return p.postfix(v)
			}
		}
		p.reset(m)
	}
	return p.bareword()
}

// bareword reads a word without quotes, in which there may be strings and variables; nil if there is none.
func (p *parser) bareword() *Node {
	n := &Node{Kind: Expand, Pos: p.pos}
	var text strings.Builder
	from := p.pos
	flush := func(to int) {
		if text.Len() > 0 {
			s := text.String()
			n.Kids = append(n.Kids, &Node{Kind: String, Pos: from, End: to, Text: s, Value: s})
			text.Reset()
		}
	}
	for !ends(p.rest()) {
		at := p.pos
		k, _ := quote(p.rest())
		var part *Node
		switch c := p.at(0); {
		case k != 0:
			part = p.quoted()
		case c == '`':
			if newline(p.at(1)) || p.pos+1 >= p.end {
				if p.pos == n.Pos {
					return nil
				}
				p.pos++
				p.lineEnd()
				break
			}
			p.escape(&text)
			continue
		case c == '$' && p.at(1) == '(':
			part = p.embedded(false)
		case c == '$':
			part = p.variable()
		}
		switch {
		case part == nil && p.pos > at: // a line that goes on after a word's end
			flush(at)
			return p.word1(n)
		case part == nil:
			length := max(p.runeLen(), 1)
			text.WriteString(p.src[p.pos : p.pos+length])
			p.pos += length
		case part.Kind == String:
			text.WriteString(part.Text)
		default:
			flush(at)
			if part.Kind == Expand {
				n.Kids = append(n.Kids, part.Kids...)
			} else {
				n.Kids = append(n.Kids, part)
			}
			from = p.pos
		}
	}
	if p.pos == n.Pos {
		return nil
	}
	flush(p.pos)
	return p.word1(n)
}

// word1 is a bare word that was read: a constant, if it consists of text alone, perhaps a number.
func (p *parser) word1(n *Node) *Node {
	n.End = p.pos
	if len(n.Kids) > 1 || len(n.Kids) == 1 && n.Kids[0].Kind != String {
		return n
	}
	n.Kind, n.Text, n.Value = String, "", ""
	if len(n.Kids) == 1 {
		n.Text, n.Value = n.Kids[0].Text, n.Kids[0].Value
		n.Kids = nil
	}
	return n
}
