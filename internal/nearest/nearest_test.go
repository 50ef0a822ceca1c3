package nearest_test

import (
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/nearest"
)

func TestOf(t *testing.T) {
	t.Parallel()
	known := []string{"connection", "egress", "dev", "paused", "dnsSuffix", "user"}
	for name, want := range map[string]string{
		"conection": "connection", "CONNECTION": "connection", "connectoin": "connection", "egres": "egress", "ergess": "egress",
		"dve": "dev", "de": "dev", "pause": "paused", "dnssufix": "dnsSuffix", "usr": "user", "users": "user",
		"password": "", "x": "", "": "", "conn": "", "deep": "", strings.Repeat("x", 100): "",
	} {
		if got := nearest.Of(name, known); got != want {
			t.Errorf("%q is near %q, want %q", name, got, want)
		}
	}
}
