package redact

import "unicode/utf8"

// Visible makes valid UTF-8 of b: each byte that is not part of a valid character shows as \xNN, so that b may become
// four times as long; all else, control characters included, stays as it is (JSON escapes them). It comes after
// redaction.
func Visible(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	const digits = "0123456789abcdef"
	out := make([]byte, 0, len(b)+len(b)/8)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			out = append(out, '\\', 'x', digits[b[0]>>4], digits[b[0]&15])
		} else {
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return string(out)
}
