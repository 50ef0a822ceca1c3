package syntax

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// variable reads $name, ${name}, $drive:name; nil if there is none.
func (p *parser) variable() *Node {
	if p.at(0) != '$' {
		return nil
	}
	n := &Node{Kind: Var, Pos: p.pos}
	s := p.rest()
	switch c := p.at(1); {
	case c == '{':
		name, length := braced(s[2:])
		if length < 0 {
			p.fail(p.pos, "The closing '}' of a variable's name is missing.")
			length = len(s) - 2
		}
		n.Text = name
		p.pos += 2 + length
	case c == '$' || c == '?' || c == '^':
		n.Text = string(c)
		p.pos += 2
	default:
		length := variableLen(s[1:])
		if length == 0 {
			return nil
		}
		n.Text = s[1 : 1+length]
		p.pos += 1 + length
	}
	n.End = p.pos
	return n
}

// braced is the name before the closing brace of ${name}, and the length with it; -1 if there is none.
func braced(s string) (string, int) {
	var name strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '}':
			return name.String(), i + 1
		case '`':
			if i++; i < len(s) {
				name.WriteByte(s[i])
			}
		default:
			name.WriteByte(s[i])
		}
	}
	return name.String(), -1
}

// variableLen is the length of the name of a variable that s begins with. One colon may be in it, after a scope or drive.
func variableLen(s string) int {
	length, colon := 0, false
	for length < len(s) {
		r, n := utf8.DecodeRuneInString(s[length:])
		switch {
		case identPart(r) || r == '?':
		case r == ':' && !colon && length > 0 && partAt(s[length+1:]):
			colon = true
		default:
			return length
		}
		length += n
	}
	return length
}

func partAt(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return s != "" && (identPart(r) || r == '?')
}

// quoted reads 'text' or "text".
func (p *parser) quoted() *Node {
	start := p.pos
	kind, n := quote(p.rest())
	p.pos += n
	if kind == '"' {
		return p.expandable(start, false)
	}
	var text strings.Builder
	for !p.eof() {
		if k, n := quote(p.rest()); k == '\'' {
			p.pos += n
			if k, n := quote(p.rest()); k == '\'' {
				text.WriteString(p.src[p.pos : p.pos+n])
				p.pos += n
				continue
			}
			return p.constantString(start, text.String())
		}
		n := max(p.runeLen(), 1)
		text.WriteString(p.src[p.pos : p.pos+n])
		p.pos += n
	}
	p.fail(start, "The string is missing the terminator: '.")
	return p.constantString(start, text.String())
}

func (p *parser) constantString(start int, text string) *Node {
	return &Node{Kind: String, Pos: start, End: p.pos, Text: text, Value: text}
}

// here reads @' … '@ or @" … "@; nil if what begins here is none.
func (p *parser) here() *Node {
	start := p.pos
	kind, n := quote(p.rest()[1:])
	p.pos += 1 + n
	for p.at(0) == ' ' || p.at(0) == '\t' {
		p.pos++
	}
	if !newline(p.at(0)) {
		p.fail(p.pos, "No characters are allowed after a here-string header but before the end of the line.")
		p.pos = start
		return nil
	}
	p.lineEnd()
	if kind == '"' {
		return p.expandable(start, true)
	}
	from := p.pos
	for !p.eof() {
		if n := p.footer('\''); n > 0 {
			text := p.src[from:max(p.pos, from)]
			p.pos += n
			if from == p.pos-n {
				text = ""
			}
			return p.constantString(start, trimLineEnd(text))
		}
		p.nextLine()
	}
	p.unclosedHere(start, '\'')
	return p.constantString(start, p.src[from:p.pos])
}

func trimLineEnd(s string) string { return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r") }

// footer is the length of a here-string's end, which may only be at the start of a line; 0 for none.
func (p *parser) footer(kind byte) int {
	if k, n := quote(p.rest()); k == kind && p.at(n) == '@' {
		return n + 1
	}
	return 0
}

func (p *parser) nextLine() {
	for !p.eof() && !newline(p.at(0)) {
		p.pos++
	}
	p.lineEnd()
}

// expandable reads a double-quoted string from after its opening quote, or a here-string from its first line.
func (p *parser) expandable(start int, here bool) *Node {
	n := &Node{Kind: Expand, Pos: start}
	from := p.pos
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			s := text.String()
			n.Kids = append(n.Kids, &Node{Kind: String, Pos: from, End: p.pos, Text: s, Value: s})
			text.Reset()
		}
	}
	finish := func() *Node {
		n.End = p.pos
		if len(n.Kids) == 0 {
			n.Kind, n.Text, n.Value = String, text.String(), text.String()
		} else {
			flush()
		}
		return n
	}
	lineStart := here
	for !p.eof() {
		if here && lineStart {
			if length := p.footer('"'); length > 0 {
				s := trimLineEnd(text.String())
				text.Reset()
				text.WriteString(s)
				p.pos += length
				return finish()
			}
		}
		c := p.at(0)
		lineStart = newline(c)
		k, length := quote(p.rest())
		switch {
		case !here && k == '"':
			p.pos += length
			if k, again := quote(p.rest()); k == '"' {
				text.WriteString(p.src[p.pos : p.pos+again])
				p.pos += again
				continue
			}
			return finish()
		case c == '`' && p.pos+1 < p.end:
			p.escape(&text)
		case c == '$' && p.at(1) == '(':
			flush()
			n.Kids = append(n.Kids, p.embedded(here))
			from = p.pos
		case c == '$':
			at := p.pos
			v := p.variable()
			if v == nil {
				text.WriteByte('$')
				p.pos++
				continue
			}
			now := p.pos
			p.pos = at
			flush()
			p.pos = now
			n.Kids = append(n.Kids, v)
			from = p.pos
		case here && newline(c):
			before := p.pos
			p.lineEnd()
			text.WriteString(p.src[before:p.pos])
		default:
			length := max(p.runeLen(), 1)
			text.WriteString(p.src[p.pos : p.pos+length])
			p.pos += length
		}
	}
	if here {
		p.unclosedHere(start, '"')
	} else {
		p.fail(start, "The string is missing the terminator: \".")
	}
	return finish()
}

// unclosedHere reports a here-string without an end: most often it has one that is indented.
func (p *parser) unclosedHere(start int, kind byte) {
	for from := start; from < p.end; {
		line, _, _ := strings.Cut(p.src[from:p.end], "\n")
		s := strings.TrimLeft(line, " \t")
		if k, n := quote(s); k == kind && from > start && strings.HasPrefix(s[n:], "@") {
			p.fail(from+len(line)-len(s), "White space is not allowed before the string terminator.")
			return
		}
		from += len(line) + 1
	}
	p.fail(start, "The string is missing the terminator: "+string(kind)+"@.")
}

// embedded reads $( … ) in a string. PowerShell looks for its end first, by counting parentheses; it knows strings
// there, but no comments.
func (p *parser) embedded(here bool) *Node {
	defer p.leave()
	n := &Node{Kind: SubExpr, Pos: p.pos}
	if !p.enter() {
		return n
	}
	p.pos += 2
	from := p.pos
	if !p.closing() {
		p.fail(n.Pos, "$(subexpression) is missing the closing ')'.")
	}
	end, after := p.end, p.pos
	p.pos, p.end = from, max(p.pos-1, from)
	for {
		n.Kids = append(n.Kids, p.statements()...)
		if p.eof() {
			break
		}
		p.fail(p.pos, "Unexpected token '"+string(p.at(0))+"' in expression or statement.")
		p.pos++
	}
	if p.stopped {
		end = 0
	}
	p.pos, p.end = after, end
	n.End = p.pos
	return n
}

// closing goes behind the parenthesis that closes the $( before it.
func (p *parser) closing() bool {
	for open := 1; !p.eof(); {
		p.work--
		k, _ := quote(p.rest())
		switch c := p.at(0); {
		case k != 0:
			p.scanString()
			continue
		case c == '`':
			p.pos++
		case c == '(':
			open++
		case c == ')':
			if open--; open == 0 {
				p.pos++
				return true
			}
		}
		p.pos = min(p.pos+max(p.runeLen(), 1), p.end)
	}
	return false
}

// scanString goes over a string without reading what is in it, but for where its own $( ) end.
func (p *parser) scanString() {
	defer p.leave()
	if !p.enter() {
		return
	}
	kind, n := quote(p.rest())
	p.pos += n
	for !p.eof() {
		k, n := quote(p.rest())
		switch {
		case k == kind:
			p.pos += n
			if again, n := quote(p.rest()); again != kind {
				return
			} else {
				p.pos += n
			}
		case kind == '"' && p.at(0) == '`':
			p.pos = min(p.pos+2, p.end)
		case kind == '"' && p.at(0) == '$' && p.at(1) == '(':
			p.pos += 2
			p.closing()
		default:
			p.pos += max(p.runeLen(), 1)
		}
	}
}

var escapes = map[byte]string{'0': "\x00", 'a': "\a", 'b': "\b", 'e': "\x1b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v"}

// escape reads what a backtick begins.
func (p *parser) escape(text *strings.Builder) {
	p.pos++
	c := p.at(0)
	if s, ok := escapes[c]; ok {
		text.WriteString(s)
		p.pos++
		return
	}
	if c == 'u' && p.at(1) == '{' {
		i := strings.IndexByte(p.rest(), '}')
		if i > 0 && i < 9 {
			if v, err := strconv.ParseUint(p.rest()[2:i], 16, 32); err == nil && v <= utf8.MaxRune {
				text.WriteRune(rune(v))
				p.pos += i + 1
				return
			}
		}
		p.fail(p.pos-1, "The Unicode escape sequence is not valid.")
	}
	n := max(p.runeLen(), 1)
	text.WriteString(p.src[p.pos:min(p.pos+n, p.end)])
	p.pos = min(p.pos+n, p.end)
}
