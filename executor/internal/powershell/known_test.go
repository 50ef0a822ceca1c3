package powershell

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A PowerShell that was replaced, moved or lost a part is looked for again.
func TestKnown(t *testing.T) {
	t.Parallel()
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	program, part := filepath.Join(dir, "pwsh"), filepath.Join(dir, "part")
	for path, content := range map[string][]byte{program: exe, part: nil} {
		if err := os.WriteFile(path, content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var k Known
	// knew says whether it was known already: a mark is put on what is.
	knew := func() bool {
		t.Helper()
		i, err := k.find(program)
		if err != nil {
			t.Fatal(err)
		}
		is := slices.Contains(i.Files, part)
		k.install.Files = append(k.install.Files, part)
		return is
	}
	if knew() {
		t.Error("it was known before it was found")
	}
	if !knew() {
		t.Error("it was looked for although it is known")
	}
	if err := os.Chtimes(program, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if knew() {
		t.Error("one that was replaced is still known")
	}
	if err := os.Remove(part); err != nil {
		t.Fatal(err)
	}
	if knew() {
		t.Error("one that lost a part is still known")
	}
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	if _, err := k.find(program); err == nil {
		t.Error("one that is gone is still known")
	}
}
