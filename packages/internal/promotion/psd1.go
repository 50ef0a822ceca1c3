package promotion

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// span is a range of bytes.
type span struct{ from, to int }

// moduleFields are the version fields of a module's manifest.
type moduleFields struct {
	version    []span // ModuleVersion: its value, with the quotes
	prerelease []span // PrivateData.PSData.Prerelease: its value, with the quotes
	statements []span // the same with the key, and the line that it has to itself
	trailer    []span // comments after the end, where a signature is
}

var (
	moduleVersion = regexp.MustCompile(`^['"][0-9.]+['"]$`)
	prerelease    = regexp.MustCompile(`^['"]-?[0-9A-Za-z.]*['"]$`)
	// other are characters that PowerShell takes for quotes too (about_Quoting_Rules), or for the end of a line and so of a
	// comment (a CR by itself), and which are not read here.
	other = regexp.MustCompile(`[\x{2018}-\x{201E}\x00]|\r(?:[^\n]|$)`)
)

// readModule finds the version fields of a module's manifest (about_Module_Manifests): a hash literal of constants. What
// is written in another way than usual is not found, and then not taken for a version field.
func readModule(data []byte) (f moduleFields) {
	if other.Match(data) {
		return f
	}
	tokens := scan(data)
	type frame struct {
		hash bool
		key  string // of the entry that is being read
	}
	var stack []frame
	path := func() string {
		var keys []string
		for _, one := range stack {
			keys = append(keys, strings.ToLower(one.key))
		}
		return strings.Join(keys, "/")
	}
	for i, t := range tokens {
		switch t.kind {
		case '{', '(':
			stack = append(stack, frame{hash: t.kind == '{'})
		case '}', ')':
			if len(stack) == 0 {
				return moduleFields{}
			}
			if stack = stack[:len(stack)-1]; len(stack) == 0 && onlyComments(tokens[i+1:]) {
				f.trailer = []span{{t.to, len(data)}}
				return f
			}
		case 'w', '"':
			// A key is what begins a statement and is followed by =.
			if len(stack) == 0 || !stack[len(stack)-1].hash || !beginsStatement(tokens[:i]) || i+1 == len(tokens) || tokens[i+1].kind != '=' {
				continue
			}
			stack[len(stack)-1].key = strings.Trim(string(data[t.from:t.to]), `'"`)
			value, ends := valueOf(tokens[i+2:])
			if !ends {
				continue
			}
			switch text := data[value.from:value.to]; path() {
			case "moduleversion":
				if moduleVersion.Match(text) {
					f.version = append(f.version, value)
				}
			case "privatedata/psdata/prerelease":
				if prerelease.Match(text) {
					f.prerelease = append(f.prerelease, value)
					f.statements = append(f.statements, wholeLine(data, span{t.from, value.to}))
				}
			}
		}
	}
	return moduleFields{} // it has no end
}

// valueOf is the value of an entry that is one string, after which the statement ends.
func valueOf(tokens []token) (value span, ends bool) {
	i := slices.IndexFunc(tokens, func(t token) bool { return t.kind != '\n' })
	if i < 0 || tokens[i].kind != '"' || i+1 == len(tokens) {
		return span{}, false
	}
	next := tokens[i+1].kind
	return tokens[i].span, next == '\n' || next == ';' || next == '}' || next == '#'
}

func beginsStatement(before []token) bool {
	for _, t := range slices.Backward(before) {
		switch t.kind {
		case '#':
		case '{', ';', '\n':
			return true
		default:
			return false
		}
	}
	return false
}

func onlyComments(tokens []token) bool {
	return !slices.ContainsFunc(tokens, func(t token) bool { return t.kind != '#' && t.kind != '\n' })
}

// wholeLine widens a span to the line, with its end, that nothing else is on, and else to the semicolon behind it.
func wholeLine(data []byte, s span) span {
	from, to := s.from, s.to
	for from > 0 && (data[from-1] == ' ' || data[from-1] == '\t') {
		from--
	}
	for to < len(data) && (data[to] == ' ' || data[to] == '\t' || data[to] == '\r') {
		to++
	}
	switch {
	case to < len(data) && data[to] == '\n' && (from == 0 || data[from-1] == '\n'):
		return span{from, to + 1}
	case to < len(data) && data[to] == ';':
		return span{s.from, to + 1}
	}
	return s
}

// token is a piece of a manifest: a string ("), a word (w), a comment (#), the end of a line (\n), or the character itself.
type token struct {
	kind byte
	span
}

// scan cuts a manifest into tokens.
func scan(data []byte) (tokens []token) {
	for at := 0; at < len(data); {
		rest := data[at:]
		kind, n := byte(0), 1
		switch c := rest[0]; {
		case c == ' ' || c == '\t' || c == '\r':
		case c == '`': // with the character that it escapes: at the end of a line, the line goes on
			if n = min(2, len(rest)); bytes.HasPrefix(rest, []byte("`\r\n")) {
				n = 3
			}
		case c == '#':
			kind, n = '#', until(rest, 1, "\n", false)
		case bytes.HasPrefix(rest, []byte("<#")):
			kind, n = '#', until(rest, 2, "#>", true)
		case bytes.HasPrefix(rest, []byte("@'")):
			kind, n = '"', until(rest, 2, "\n'@", true)
		case bytes.HasPrefix(rest, []byte(`@"`)):
			kind, n = '"', until(rest, 2, "\n\"@", true)
		case c == '\'' || c == '"':
			kind, n = '"', quoted(rest)
		case c == '@' && len(rest) > 1 && (rest[1] == '{' || rest[1] == '('):
			kind, n = rest[1], 2
		case strings.IndexByte("{}()=;,\n", c) >= 0:
			kind = c
		default:
			if n = bytes.IndexAny(rest, " \t\r\n`'\"{}()=;,"); n <= 0 {
				n = len(rest)
			}
			kind = 'w'
		}
		if kind != 0 {
			tokens = append(tokens, token{kind, span{at, at + n}})
		}
		at += n
	}
	return tokens
}

// until is the length up to the end mark, which is of it or not.
func until(data []byte, from int, mark string, with bool) int {
	i := bytes.Index(data[from:], []byte(mark))
	switch {
	case i < 0:
		return len(data)
	case with:
		return from + i + len(mark)
	}
	return from + i
}

// quoted is the length of a string in quotes, of which doubled ones stand for one, and in "…" one may be escaped.
func quoted(data []byte) int {
	for i := 1; i < len(data); i++ {
		switch {
		case data[i] == '`' && data[0] == '"':
			i++
		case data[i] == data[0] && i+1 < len(data) && data[i+1] == data[0]:
			i++
		case data[i] == data[0]:
			return i + 1
		}
	}
	return len(data)
}
