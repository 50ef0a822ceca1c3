package syntax

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// parser reads a file. Where it stands is pos; it reads up to end, which is before the end of the text inside of a
// string's $( ).
type parser struct {
	file      *File
	src       string
	pos, end  int
	depth     int
	work      int  // steps that are left
	stopped   bool // for good
	noComma   bool // a comma ends the expression: in defaults, and arguments of attributes and methods
	outerType bool // a comma after a type name begins its assembly: not in a list of type arguments
}

func (p *parser) fail(pos int, message string) {
	if len(p.file.Errors) < maxErrors && !p.stopped {
		p.file.Errors = append(p.file.Errors, SyntaxError{pos, message})
	}
}

// stop ends the reading for good.
func (p *parser) stop(message string) {
	if !p.stopped {
		p.stopped = true
		p.file.Errors = append([]SyntaxError{{min(p.pos, p.end), message}}, p.file.Errors...)
	}
	p.end = 0 // nothing is left; nested readings take over that end
}

// enter begins a level of nesting, which leave ends.
func (p *parser) enter() bool {
	p.depth++
	p.work--
	switch {
	case p.depth > maxDepth:
		p.stop(tooDeep)
	case p.work <= 0:
		p.stop("The script is too tangled to be read in bounded time.")
	}
	return p.pos < p.end
}

const tooDeep = "The script is nested too deeply to be read."

func (p *parser) leave() { p.depth-- }

// mark and reset go back, and forget errors met since.
type mark struct{ pos, errors int }

func (p *parser) mark() mark { return mark{p.pos, len(p.file.Errors)} }

func (p *parser) reset(m mark) {
	if !p.stopped {
		p.pos, p.file.Errors = m.pos, p.file.Errors[:m.errors]
	}
}

func (p *parser) eof() bool { return p.pos >= p.end }

// at is the byte n places ahead, 0 at the end.
func (p *parser) at(n int) byte {
	if p.pos+n >= p.end {
		return 0
	}
	return p.src[p.pos+n]
}

func (p *parser) rest() string {
	if p.eof() {
		return ""
	}
	return p.src[p.pos:p.end]
}

func (p *parser) has(s string) bool { return strings.HasPrefix(p.rest(), s) }

func (p *parser) rune() rune {
	r, _ := utf8.DecodeRuneInString(p.rest())
	return r
}

func (p *parser) runeLen() int {
	_, n := utf8.DecodeRuneInString(p.rest())
	return n
}

// dash is the length of a dash: PowerShell takes en and em dashes and the horizontal bar too.
func (p *parser) dash() int { return dashLen(p.rest()) }

func dashLen(s string) int {
	if s == "" {
		return 0
	}
	if s[0] == '-' {
		return 1
	}
	if strings.HasPrefix(s, "–") || strings.HasPrefix(s, "—") || strings.HasPrefix(s, "―") {
		return 3
	}
	return 0
}

// quote is the kind of the quote that s begins with, ' or ", and its length; curly ones count as straight ones.
func quote(s string) (kind byte, length int) {
	r, n := utf8.DecodeRuneInString(s)
	switch r {
	case '\'', '‘', '’', '‚', '‛':
		return '\'', n
	case '"', '“', '”', '„':
		return '"', n
	}
	return 0, 0
}

func newline(c byte) bool { return c == '\n' || c == '\r' }

func space(r rune) bool {
	switch r {
	case ' ', '\t', '\v', '\f', '\u0085', '\u00a0':
		return true
	}
	return r > 0x7f && unicode.Is(unicode.Zs, r)
}

// ends says whether a bare word ends before s.
func ends(s string) bool {
	if s == "" {
		return true
	}
	switch s[0] {
	case 0, '\n', '\r', '(', ')', '{', '}', ',', ';', '|', '&', '<', '>', ' ', '\t':
		return true
	}
	r, _ := utf8.DecodeRuneInString(s)
	return space(r)
}

func identStart(r rune) bool { return r == '_' || unicode.IsLetter(r) }
func identPart(r rune) bool  { return identStart(r) || unicode.Is(unicode.Nd, r) }

// skip goes over white space and comments on the line.
func (p *parser) skip() {
	for !p.eof() {
		c := p.at(0)
		switch {
		case c == '`' && newline(p.at(1)):
			p.pos++
			p.lineEnd()
		case c == '#':
			start := p.pos
			for !p.eof() && !newline(p.at(0)) {
				p.pos++
			}
			p.comment(start)
		case c == '<' && p.at(1) == '#':
			start := p.pos
			i := strings.Index(p.rest()[2:], "#>")
			if i < 0 {
				p.fail(start, "The terminator '#>' is missing from the block comment.")
				p.pos = p.end
			} else {
				p.pos += i + 4
			}
			p.comment(start)
		case space(p.rune()):
			p.pos += p.runeLen()
		default:
			return
		}
	}
}

func (p *parser) comment(start int) {
	all := p.file.Comments
	if len(all) == 0 || all[len(all)-1].Pos < start {
		p.file.Comments = append(all, Comment{start, p.pos})
	}
}

// lineEnd goes over one end of line.
func (p *parser) lineEnd() {
	if p.at(0) == '\r' && p.at(1) == '\n' {
		p.pos++
	}
	if !p.eof() {
		p.pos++
	}
}

// skipLines goes over white space, comments and ends of lines.
func (p *parser) skipLines() {
	for p.skip(); newline(p.at(0)); p.skip() {
		p.lineEnd()
	}
}

// skipSeparators goes over what stands between statements.
func (p *parser) skipSeparators() {
	for p.skip(); newline(p.at(0)) || p.at(0) == ';'; p.skip() {
		p.pos++
	}
}

// word is the identifier here, "" for none.
func (p *parser) word() string {
	s := p.rest()
	for i, r := range s {
		if !identPart(r) || i == 0 && !identStart(r) {
			return s[:i]
		}
	}
	return s
}

// keyword is the word here in lower case, if it stands alone as a command's name would.
func (p *parser) keyword() string {
	w := p.word()
	if w == "" || len(w) > 20 || !ends(p.rest()[len(w):]) {
		return ""
	}
	return strings.ToLower(w)
}

// expect goes over c, or reports that it is missing.
func (p *parser) expect(c byte, pos int, message string) bool {
	if p.at(0) == c {
		p.pos++
		return true
	}
	p.fail(pos, message)
	return false
}
