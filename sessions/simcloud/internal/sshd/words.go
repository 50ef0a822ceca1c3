package sshd

import (
	"errors"
	"fmt"
	"strings"
)

var errQuote = errors.New("unterminated quoted string")

// split cuts a command line into words: blanks separate, '…' is literal, "…" keeps blanks, \ takes the next
// character as it is (in "…" only before ", \, $ and `). What a real shell would act upon beyond that is an error and
// not taken literally, so that nobody believes that it ran. The rules are POSIX's, Shell Command Language 2.2.
func split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	open := false // a word has begun, perhaps an empty one
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			if open {
				words = append(words, word.String())
				word.Reset()
				open = false
			}
			continue
		case c == '\'':
			n := strings.IndexByte(line[i+1:], '\'')
			if n < 0 {
				return nil, errQuote
			}
			word.WriteString(line[i+1 : i+1+n])
			i += n + 1
		case c == '"':
			n, err := quoted(&word, line[i+1:])
			if err != nil {
				return nil, err
			}
			i += n
		case c == '\\':
			i++
			if i == len(line) {
				return nil, errors.New(`\ at the end of the line`)
			}
			word.WriteByte(line[i])
		case c == '#' && !open:
			return words, nil
		case strings.IndexByte("|&;<>()$`*?[", c) >= 0:
			return nil, fmt.Errorf("%q is not simulated: quote it, or run one plain command", c)
		default:
			word.WriteByte(c)
		}
		open = true
	}
	if open {
		words = append(words, word.String())
	}
	return words, nil
}

// quoted reads up to the closing double quote and says how many bytes that took.
func quoted(word *strings.Builder, rest string) (int, error) {
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; c {
		case '"':
			return i + 1, nil
		case '\\':
			if i+1 < len(rest) && strings.IndexByte("\"\\$`", rest[i+1]) >= 0 {
				i++
			}
			word.WriteByte(rest[i])
		case '$', '`':
			return 0, fmt.Errorf("%q is not simulated: quote it with '…'", c)
		default:
			word.WriteByte(c)
		}
	}
	return 0, errQuote
}
