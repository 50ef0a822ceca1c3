package loader

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestConfigured(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"ld.so.conf":           "# comment\n/opt/first/ # another\ninclude ld.so.conf.d/*.conf\n\nrelative\n/opt/last\n",
		"ld.so.conf.d/a.conf":  "/opt/a\ninclude " + dir + "/ld.so.conf\n",
		"ld.so.conf.d/b.conf":  "/opt/b",
		"ld.so.conf.d/c.other": "/opt/c",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := configured(filepath.Join(dir, "ld.so.conf"), true), []string{"/opt/first", "/opt/a", "/opt/b", "/opt/last"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := configured(filepath.Join(dir, "nothing"), true); got != nil {
		t.Errorf("%q", got)
	}
}
