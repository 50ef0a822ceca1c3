// Package secret has the one type that holds a secret in memory.
//
// A Text prints as "[redacted]" through fmt, log/slog, encoding/json, encoding/xml, text marshalling and gob, also
// when it sits in an unexported field of something that is printed. Reveal is the only way to the value, so that
// a search for Reveal finds each place where a secret leaves the type.
//
// The type guards against accidents, not against code that means harm: whoever holds a Text can call Reveal.
package secret

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what stands in the place of a secret wherever one would have been shown.
const Redacted = "[redacted]"

// Text is a secret string. The zero Text is the empty secret.
type Text struct {
	// A pointer, because fmt cannot call methods on unexported fields: it prints the address there, not the value.
	value *string
}

// New makes a Text of a plain string.
func New(s string) Text { return Text{&s} }

// Reveal returns the value.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// Len is the number of bytes of the value.
func (t Text) Len() int { return len(t.Reveal()) }

// IsEmpty says whether the secret is the empty string.
func (t Text) IsEmpty() bool { return t.Reveal() == "" }

// Equal compares two secrets in a time that depends on their lengths only.
func (t Text) Equal(o Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(o.Reveal())) == 1
}

// String returns Redacted.
func (Text) String() string { return Redacted }

// Format writes Redacted for every verb and flag.
func (Text) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, Redacted) }

// LogValue returns Redacted.
func (Text) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText writes Redacted.
func (Text) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// MarshalJSON writes Redacted.
func (Text) MarshalJSON() ([]byte, error) { return json.Marshal(Redacted) }

// GobEncode writes Redacted.
func (Text) GobEncode() ([]byte, error) { return []byte(Redacted), nil }

// UnmarshalText reads the plain value: reading a secret is meant, writing one would be an accident.
func (t *Text) UnmarshalText(b []byte) error {
	*t = New(string(b))
	return nil
}
