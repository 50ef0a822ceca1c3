package stream

import (
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/domain"
)

// escaped is how long a byte is that redact.Visible has to show as \xNN.
const escaped = len(`\xNN`)

// fit returns how many bytes from the begin of text on make a record: all, or as many whole characters as have
// domain.MaxRecord bytes once they are made visible.
func fit(text []byte) int {
	if len(text)*escaped <= domain.MaxRecord || len(text) <= domain.MaxRecord && utf8.Valid(text) {
		return len(text)
	}
	n, size := 0, 0
	for n < len(text) {
		r, width := utf8.DecodeRune(text[n:])
		visible := width
		if r == utf8.RuneError && width == 1 {
			visible = escaped
		}
		if size+visible > domain.MaxRecord {
			break
		}
		n, size = n+width, size+visible
	}
	return n
}
