package redact

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Visible makes valid UTF-8 of b: each byte that is not part of a valid character shows as \xNN, all else, control
// characters included, stays as it is (JSON escapes them). It comes after redaction.
func Visible(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&out, `\x%02x`, b[0])
		} else {
			out.Write(b[:n])
		}
		b = b[n:]
	}
	return out.String()
}
