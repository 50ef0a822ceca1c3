package sdk

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// text is how a value reads in a stream and in named outputs: strings and bytes as they are, errors and Stringers by
// their own words, everything else as compact JSON, where what is a JSON string stands without its quotes. A value
// with a form of its own in JSON or text has that (a time.Time reads as RFC 3339).
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	case error:
		return fmt.Sprint(v)
	case json.Marshaler, encoding.TextMarshaler:
	case fmt.Stringer:
		return fmt.Sprint(v)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprintf("(a %T that has no form in JSON: %v)", v, err)
	}
	form := strings.TrimSuffix(b.String(), "\n")
	var plain string
	if strings.HasPrefix(form, `"`) && json.Unmarshal([]byte(form), &plain) == nil {
		return plain
	}
	return form
}

// cut is how many bytes of s go into a part of at most limit bytes without splitting a character; s that is not UTF-8
// there is split anywhere.
func cut(s string, limit int) int {
	if len(s) <= limit {
		return len(s)
	}
	for n := limit; n > limit-utf8.UTFMax && n > 0; n-- {
		if utf8.RuneStart(s[n]) {
			return n
		}
	}
	return limit
}
