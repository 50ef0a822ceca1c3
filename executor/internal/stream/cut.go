package stream

import (
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/redact"
	"github.com/airlock-run/airlock/sdk/secret"
)

// escaped is how long a byte is that redact.Visible has to show as \xNN.
const escaped = len(`\xNN`)

// growth is more than how many times as long a record becomes that is redacted and made visible: the shortest secret has
// 4 bytes, "[redacted]" with an escaped byte between it and the next one 14.
const growth = 3

// fit returns how many bytes from the begin of text on make a record: all, or whole characters that have at most
// domain.MaxRecord bytes once they are redacted and made visible.
func fit(text []byte, secrets *redact.Set) int {
	n := fitVisible(text)
	for n > domain.MaxRecord/growth {
		plain := string(text[:n])
		redacted := secrets.String(plain)
		// One more secret may straddle each end.
		if redacted == plain || len(redact.Visible([]byte(redacted)))+2*len(secret.Redacted) <= domain.MaxRecord {
			break
		}
		n = characters(text, n/2)
	}
	return n
}

// characters returns the length of the whole characters in the first n of more bytes.
func characters[T string | []byte](text T, n int) int {
	for i := range utf8.UTFMax {
		if utf8.RuneStart(text[n-i]) {
			return n - i
		}
	}
	return n // not UTF-8
}

// fitVisible is fit without redaction.
func fitVisible(text []byte) int {
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

// bounded cuts a text that redaction has made too long, because of a secret that was not known when it was written.
func bounded(text string) string {
	if len(text) <= domain.MaxRecord {
		return text
	}
	const note = "… (the end of this record is left out: with its secrets redacted it was longer than 1 MiB)"
	return text[:characters(text, domain.MaxRecord-len(note))] + note
}
