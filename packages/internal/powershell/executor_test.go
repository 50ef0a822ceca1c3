package powershell_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// TestOwnScripts reads what of Airlock itself is PowerShell, which nothing here can run.
func TestOwnScripts(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("../../../executor/internal/powershell/*.ps1")
	if err != nil || len(scripts) < 5 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	for _, path := range scripts {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range syntax.Parse(data).Errors {
			t.Errorf("%s, byte %d: %s", filepath.Base(path), e.Pos, e.Message)
		}
	}
}
