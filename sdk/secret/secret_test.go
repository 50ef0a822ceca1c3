package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/sdk/secret"
)

type holder struct {
	Public  secret.Text
	private secret.Text
	Pointer *secret.Text
	Map     map[string]secret.Text
}

type element struct{ S secret.Text }

func TestNoFormatShowsTheValue(t *testing.T) {
	t.Parallel()
	const canary = "hunter-two-and-a-half"
	s := secret.New(canary)
	h := holder{s, s, &s, map[string]secret.Text{"k": s}}

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3s", "%T", "%p"} {
		fmt.Fprintf(&out, verb+"\n", s)
		fmt.Fprintf(&out, verb+"\n", h)
		fmt.Fprintf(&out, verb+"\n", []any{s, &s, &h})
	}
	fmt.Fprintln(&out, s, h, errors.Join(fmt.Errorf("a %v b %w", s, errors.New("c"))))
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("m", "s", s, "h", h, "p", &s)
	}
	for _, encode := range []func(any) error{json.NewEncoder(&out).Encode, gob.NewEncoder(&out).Encode} {
		if err := encode(h.Public); err != nil {
			t.Fatal(err)
		}
	}
	if err := xml.NewEncoder(&out).Encode(element{s}); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the value was shown as %q in:\n%s", form, out.String())
		}
	}
	if n := strings.Count(out.String(), secret.Redacted); n < 30 {
		t.Errorf("%d times %s, want it wherever a secret stood", n, secret.Redacted)
	}
}

func TestValue(t *testing.T) {
	t.Parallel()
	var zero secret.Text
	if zero.Reveal() != "" || !zero.IsEmpty() || !zero.Equal(secret.New("")) {
		t.Error("the zero Text is not the empty secret")
	}
	if s := secret.New("a"); s.Reveal() != "a" || s.IsEmpty() || s.Equal(zero) || !s.Equal(secret.New("a")) {
		t.Error("Reveal, IsEmpty and Equal disagree")
	}
	var read struct{ S secret.Text }
	if err := json.Unmarshal([]byte(`{"S":"ü\n"}`), &read); err != nil || read.S.Reveal() != "ü\n" {
		t.Errorf("read %q, %v", read.S.Reveal(), err)
	}
}
