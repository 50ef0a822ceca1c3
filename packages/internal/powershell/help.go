package powershell

import (
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode"

	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// help is the function's comment-based help, found as GetHelpContent finds it (about_Comment_Based_Help): in the
// comments before the function, else at the top of its body, else at its end. A comment with one line that does not fit
// is none.
func (m *Module) help(f *File, def *syntax.Node) Help {
	body := def.Func.Body
	for _, comments := range [][]syntax.Comment{before(f, def.Pos, 2), after(f, body.Pos+1), before(f, body.End-1, -1)} {
		if h, ok := parseHelp(f.File, comments); ok {
			return h
		}
	}
	return Help{}
}

// blank says whether there is nothing between two positions but white space.
func blank(f *File, from, to int) bool {
	for _, r := range f.Text[from:max(from, to)] {
		if !unicode.IsSpace(r) && r != '`' {
			return false
		}
	}
	return from <= to
}

// before are the comments that end at most so many lines before pos, any number for -1, and those that are next to them.
func before(f *File, pos, lines int) (found []syntax.Comment) {
	line, _ := f.Place(pos)
	least := line - lines
	if lines < 0 {
		least = 0
	}
	for i := firstComment(f, pos) - 1; i >= 0; i-- {
		c := f.Comments[i]
		last, _ := f.Place(max(c.End-1, c.Pos))
		if last < least || !blank(f, c.End, pos) || requires(f, c) {
			break
		}
		found = append(found, c)
		first, _ := f.Place(c.Pos)
		least, pos = first-1, c.Pos
	}
	slices.Reverse(found)
	return found
}

// after are the first comments after pos, with no line between them.
func after(f *File, pos int) (found []syntax.Comment) {
	most := -1
	for _, c := range f.Comments[firstComment(f, pos):] {
		first, _ := f.Place(c.Pos)
		if !blank(f, pos, c.Pos) || most >= 0 && first > most || requires(f, c) {
			break
		}
		found = append(found, c)
		last, _ := f.Place(max(c.End-1, c.Pos))
		most, pos = last+1, c.End
	}
	return found
}

// firstComment is the index of the first comment from pos on.
func firstComment(f *File, pos int) int {
	return sort.Search(len(f.Comments), func(i int) bool { return f.Comments[i].Pos >= pos })
}

// requires says whether the comment is a #requires statement.
func requires(f *File, c syntax.Comment) bool {
	s := f.Text[c.Pos:c.End]
	return len(s) > 9 && strings.EqualFold(s[:9], "#requires") && (s[9] == ' ' || s[9] == '\t')
}

var directive = regexp.MustCompile(`^[\s\p{Z}]*\.([\p{L}\p{N}_]+)([\s\p{Z}]+([^\s\p{Z}].*))?[\s\p{Z}]*$`)

// parseHelp reads comments as help.
func parseHelp(f *syntax.File, comments []syntax.Comment) (h Help, found bool) {
	lines := commentLines(f, comments)
	for i := 0; i < len(lines); i++ {
		match := directive.FindStringSubmatch(lines[i])
		if match == nil {
			if strings.TrimSpace(lines[i]) == "" {
				continue
			}
			return Help{}, false
		}
		found = true
		name, argument := strings.ToUpper(match[1]), strings.ToUpper(strings.TrimSpace(match[3]))
		if argument != "" {
			switch name {
			case "PARAMETER":
				text := section(lines, &i)
				if h.Parameters == nil {
					h.Parameters = map[string]string{}
				}
				if _, there := h.Parameters[argument]; !there {
					h.Parameters[argument] = text
				}
			case "FORWARDHELPTARGETNAME", "FORWARDHELPCATEGORY", "REMOTEHELPRUNSPACE", "EXTERNALHELP":
			default:
				return Help{}, false
			}
			continue
		}
		text := section(lines, &i)
		switch name {
		case "SYNOPSIS":
			h.Synopsis = text
		case "DESCRIPTION":
			h.Description = text
		case "NOTES", "LINK", "EXAMPLE", "INPUTS", "OUTPUTS", "COMPONENT", "ROLE", "FUNCTIONALITY":
		default:
			return Help{}, false
		}
	}
	return h, found
}

// commentLines are the lines of comments without their marks.
func commentLines(f *syntax.File, comments []syntax.Comment) (lines []string) {
	for _, c := range comments {
		s := f.Text[c.Pos:c.End]
		if rest, block := strings.CutPrefix(s, "<#"); block {
			rest = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimSuffix(rest, "#>"))
			lines = append(lines, strings.Split(rest, "\n")...)
		} else {
			lines = append(lines, strings.TrimLeft(s, "#"))
		}
	}
	return lines
}

// section is the text up to the next directive, without the first line's indentation.
func section(lines []string, i *int) string {
	indent := func(s string) int { return len(s) - len(strings.TrimLeft(s, " \t\u00a0")) }
	var out []string
	width := 0
	for ; *i+1 < len(lines); *i++ {
		s := lines[*i+1]
		if len(out) == 0 && strings.TrimSpace(s) == "" {
			continue
		}
		if directive.MatchString(s) {
			break
		}
		if len(out) == 0 {
			width = indent(s)
		}
		out = append(out, s[min(width, indent(s)):])
	}
	return strings.TrimSpace(strings.Join(out, "\n"))
}
