package trail

import (
	"strings"
	"unicode/utf8"

	"github.com/airlock-run/airlock/executor/internal/panics"
	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/redact"
	"github.com/airlock-run/airlock/sdk/secret"
)

// MaxText bounds each text of an event as it is kept, in bytes. What is longer ends in "…".
const MaxText = 1024

// maxTaken bounds each text as it waits: more, so that a secret in what is kept is seen whole.
const maxTaken = 4 * MaxText

const dots = "…"

// texts are those of an event that a script may have had a say in. Who acted, what kind of act it was and in which
// private cloud is Airlock's own word.
func texts(e *audit.Event) [5]*string {
	return [...]*string{&e.Host, &e.Method, &e.Target, &e.Result, &e.Detail}
}

// bound cuts the texts of an event to what may wait, and returns their size.
func bound(e *audit.Event) (size int) {
	for _, text := range texts(e) {
		*text = cut(*text, maxTaken)
		size += len(*text)
	}
	return size
}

// hide redacts the texts of an event and cuts them to what is kept.
func (r *Recorder) hide(e *audit.Event) (changed bool) {
	for _, text := range texts(e) {
		before := *text
		*text = r.shown(before)
		changed = changed || *text != before
	}
	return changed
}

// shown is a text as anybody may see it, and nothing of it where that cannot be told. Paths hold secrets also as URLs
// write them; such a text is shown unescaped. One that was cut may end in the begin of a secret.
func (r *Recorder) shown(text string) (shown string) {
	if text == "" {
		return ""
	}
	defer panics.To(func(error) { shown = secret.Redacted })
	shown, wasCut := strings.CutSuffix(text, dots)
	shown = r.cfg.Secrets.Beginning(shown)
	for _, unescape := range []func(string) string{unescapePath, unescapeQuery} {
		if plain := unescape(shown); plain != shown {
			if redacted := r.cfg.Secrets.Beginning(plain); redacted != plain {
				shown = redacted
			}
		}
	}
	shown = redact.Visible([]byte(shown))
	if wasCut {
		shown += dots
	}
	return cut(shown, MaxText)
}

// cut shortens a text to at most n bytes.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n -= len(dots); n > 0 && !utf8.RuneStart(text[n]); n-- {
	}
	return text[:n] + dots
}

// unescapePath undoes the escapes of a URL's path, and leaves alone what is none.
func unescapePath(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if high, low := digit(text[i+1]), digit(text[i+2]); high < 16 && low < 16 {
				b.WriteByte(high<<4 | low)
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// unescapeQuery undoes the escapes of a URL's query, where '+' is a blank.
func unescapeQuery(text string) string {
	return unescapePath(strings.ReplaceAll(text, "+", " "))
}

// digit is the value of a hexadecimal digit, 16 or more for what is none.
func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 16
}
