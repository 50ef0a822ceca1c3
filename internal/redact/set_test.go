package redact

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/airlock-run/airlock/sdk/secret"
)

func TestForms(t *testing.T) {
	t.Parallel()
	const value = "Pä</s+w>ö\"r?d&\\😀~~~/\u2028?x"
	marshalled, err := json.Marshal(map[string]string{"password": value})
	if err != nil {
		t.Fatal(err)
	}
	s := setOf(t, value, "-----BEGIN KEY-----\nAAAA//8=\n-----END KEY-----\n", "fromfile\n", "bad\xffutf", "it's `this`")
	for _, test := range []struct{ text, want string }{
		{value, "[redacted]"},
		{base64.StdEncoding.EncodeToString([]byte(value)), "[redacted]"},
		{base64.RawURLEncoding.EncodeToString([]byte(value)), "[redacted]"},
		{base64.StdEncoding.EncodeToString([]byte("a:" + value)), "YTp[redacted]"},
		{base64.URLEncoding.EncodeToString([]byte("ab:" + value + ".")), "YWI6[redacted]Lg=="},
		{base64.StdEncoding.EncodeToString([]byte("abc:" + value + "..")), "YWJjOl[redacted]C4u"},
		{wrap(base64.StdEncoding.EncodeToString([]byte(value)), 7), "[redacted]"},
		{string(marshalled), `{"password":"[redacted]"}`},
		{`"P\u00e4</s+w>\u00f6\"r?d&\\\ud83d\ude00~~~/\u2028?x"`, `"[redacted]"`},                         // Python
		{`"P\u00e4<\/s+w>\u00f6\"r?d&\\\ud83d\ude00~~~\/\u2028?x"`, `"[redacted]"`},                       // PHP
		{`"P\u00E4\u003C/s+w\u003E\u00F6\"r?d\u0026\\\uD83D\uDE00~~~/\u2028?x"`, `"[redacted]"`},          // upper case
		{`"P\u00E4\u003C/s\u002Bw\u003E\u00F6\u0022r?d\u0026\\\uD83D\uDE00~~~/\u2028?x"`, `"[redacted]"`}, // .NET
		{`it\u0027s \u0060this\u0060`, "[redacted]"},
		{`{"k":"-----BEGIN KEY-----\nAAAA//8=\n-----END KEY-----\n"}`, `{"k":"[redacted]"}`},
		{"-----BEGIN KEY-----\r\nAAAA//8=\r\n-----END KEY-----\r\n", "[redacted]\r\n"},
		{`fromfile`, "[redacted]"},
		{base64.StdEncoding.EncodeToString([]byte("fromfile")), "[redacted]"},
		{base64.StdEncoding.EncodeToString([]byte("fromfile\n")), "[redacted]"},
		{`bad\xffutf`, "[redacted]"},
		{"Password", "Password"},
	} {
		if got := s.String(test.text); got != test.want {
			t.Errorf("%q shows as %q, want %q", test.text, got, test.want)
		}
	}
}

func wrap(s string, width int) string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 && i%width == 0 {
			b.WriteString("\r\n")
		}
		b.WriteRune(r)
	}
	return b.String()
}

func TestBeginning(t *testing.T) {
	t.Parallel()
	s := NewSet()
	if err := s.Add(secret.New("first-half\nsecond-half")); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"login failed with first-half":            "login failed with [redacted]",
		"login failed with fir":                   "login failed with fir",
		"first-half is not at the end":            "first-half is not at the end",
		"all of it: first-half\nsecond-half, yes": "all of it: [redacted], yes",
	} {
		if got := s.Beginning(text); got != want {
			t.Errorf("%q shows as %q, want %q", text, got, want)
		}
	}
}

func TestAddBounds(t *testing.T) {
	t.Parallel()
	s := NewSet()
	for _, test := range []struct {
		value string
		want  error
	}{
		{"", nil}, {"abc", ErrTooShort}, {"äöü", ErrTooShort}, {"\n\r\n\n\r", ErrTooShort}, {"a\nb\nc\n", ErrTooShort},
		{"abcd", nil}, {"äöüß", nil}, {strings.Repeat("x", MaxBytes-len("abcd")), ErrTooMuch},
	} {
		if err := s.Add(secret.New(test.value)); !errors.Is(err, test.want) {
			t.Errorf("Add(%.20q) = %v, want %v", test.value, err, test.want)
		}
	}
	if got := s.String("abc abcd äöü äöüß xxxxx"); got != "abc [redacted] äöü [redacted] xxxxx" {
		t.Errorf("shows %q", got)
	}
	for i := range 2 * MaxValues {
		if err := s.Add(secret.New(fmt.Sprintf("v%04d", i))); (err == nil) != (i < MaxValues-2) {
			t.Fatalf("value %d: %v", i, err)
		}
	}
	if err := s.Add(secret.New("abcd")); err != nil {
		t.Errorf("a value that a full set has: %v", err)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	s := setOf(t, "hunter22")
	r := s.NewRedactor()
	r.Push(Record{Text: []byte("hunter22")})
	if got := fmt.Sprintf("%v %+v %#v %v", s, s, r, r); strings.Trim(got, " ") != strings.Repeat(" [redacted]", 4)[1:] {
		t.Errorf("printed %s", got)
	}
}

func TestSetIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	s := setOf(t, "hunter22")
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			r := s.NewRedactor()
			for k := range 20 {
				value := fmt.Sprintf("value-%d-%d", i, k)
				if err := s.Add(secret.New(value)); err != nil {
					t.Error(err)
				}
				r.Push(Record{Text: []byte(value + " hunter22 ")})
				if got := string(r.Flush(Release)[0].Text); got != "[redacted] [redacted] " {
					t.Errorf("gave %q", got)
				}
			}
		})
	}
	all.Wait()
}

func TestVisible(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{"", ""}, {"ä\x00\x1b\t\n😀\uFFFD", "ä\x00\x1b\t\n😀\uFFFD"},
		{"a\xffb\xc3", `a\xffb\xc3`}, {"\xe2\x82€\xed\xa0\x80", `\xe2\x82€\xed\xa0\x80`},
	} {
		if got := Visible([]byte(test.text)); got != test.want {
			t.Errorf("%q shows as %q, want %q", test.text, got, test.want)
		}
	}
}
