package goruntime_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Secrets leave their type where this list says, and nowhere else in the executor: none of these places is a process's
// arguments or environment, which sandbox.Command has no room for. To scripts they go through wire.EncodeStart.
var reveals = map[string]string{
	"../../end.go":                         "into the intent, which is stored sealed only",
	"../../prepare.go":                     "to search for the lines of a key one by one",
	"../../internal/powershell/globals.go": "persistent secrets, over the process's standard input",
	"../../internal/powershell/left.go":    "opens what the process sealed, into a secret again",
	"../../internal/psrp/key.go":           "sealed with the session key of the process that the script runs in",
}

func TestWhereSecretsAreRevealed(t *testing.T) {
	found := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "runtimetest") || strings.Contains(path, "pwshdouble") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Reveal" {
				found[path] = true
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path := range found {
		if reveals[path] == "" {
			t.Errorf("%s reveals a secret", path)
		}
	}
	for path := range reveals {
		if !found[path] {
			t.Errorf("%s reveals no secret any more: take it from the list", path)
		}
	}
}
