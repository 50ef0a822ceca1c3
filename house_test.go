package main

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/airlock-run/airlock"

// listed is what this test needs of `go list -json`.
type listed struct {
	ImportPath   string
	Dir          string
	Standard     bool
	Doc          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-json"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// part is the folder at the root that a package belongs to, "" for the root itself and for other modules.
func part(importPath string) string {
	rest, ok := strings.CutPrefix(importPath, module+"/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// The parts that each part may import beside itself (design.md, "The house"). Two leaves of sdk are open to all.
var allowed = map[string][]string{
	"":         {"cli"},
	"cli":      {"server", "executor", "packages", "secrets", "sessions", "internal"},
	"server":   {"internal"},
	"executor": {"internal"},
	"packages": {"internal"},
	"secrets":  {"internal"},
	"sessions": {"internal"},
	"internal": {},
	"sdk":      {},
	"examples": {"sdk"},
}

var openToAll = []string{module + "/sdk/wire", module + "/sdk/manifest", module + "/sdk/secret"}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		from := part(p.ImportPath)
		may, known := allowed[from]
		if !known {
			t.Errorf("%s lies in a folder that the house does not have", p.ImportPath)
		}
		for _, imported := range p.Imports {
			if !strings.HasPrefix(imported, module+"/") || part(imported) == from || slices.Contains(may, part(imported)) {
				continue
			}
			if slices.Contains(openToAll, imported) && from != "" {
				continue
			}
			t.Errorf("%s imports %s: %q may import only %v", p.ImportPath, imported, from, may)
		}
	}
}

// The libraries that live in one part only (design.md, "The house"), each with the folders that may import it outside tests.
var fenced = map[string][]string{
	"github.com/vmware/govmomi":           {"sessions", "sdk", "examples"},
	"github.com/Azure/azure-sdk-for-go":   {"secrets"},
	"database/sql":                        {"internal/store"},
	"modernc.org/sqlite":                  {"internal/store"},
	"github.com/spf13/cobra":              {"cli"},
	"golang.org/x/tools":                  {"packages"},
	"github.com/airlock-run/airlock/sdk$": {"examples", "sdk"},
}

func TestLibrariesStayInTheirPart(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		if strings.HasSuffix(p.ImportPath, "test") { // suites that only tests import
			continue
		}
		for _, imported := range p.Imports {
			for library, folders := range fenced {
				exact, isExact := strings.CutSuffix(library, "$")
				if isExact && imported != exact || !isExact && imported != library && !strings.HasPrefix(imported, library+"/") {
					continue
				}
				inside := slices.ContainsFunc(folders, func(f string) bool {
					return p.ImportPath == module+"/"+f || strings.HasPrefix(p.ImportPath, module+"/"+f+"/")
				})
				if !inside {
					t.Errorf("%s imports %s, which belongs to %v", p.ImportPath, imported, folders)
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		if len(p.GoFiles) > 0 && len(p.Doc) < 40 {
			t.Errorf("%s has no package comment that teaches (%q)", p.ImportPath, p.Doc)
		}
	}
}

func TestNoDrawers(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		name := filepath.Base(p.ImportPath)
		if slices.Contains([]string{"util", "utils", "common", "helpers", "shared", "misc", "base", "lib"}, name) {
			t.Errorf("%s is a drawer: name the package after what it does", p.ImportPath)
		}
	}
}

// A secret leaves its type only through Reveal; each file that calls it is named here with its reason.
var revealing = map[string]string{}

func TestSecretsAreRevealedInFewPlaces(t *testing.T) {
	t.Parallel()
	if len(revealing) == 0 {
		t.Skip("the list is made once the parts stand")
	}
	_ = parser.ParseFile
	_ = token.NewFileSet
}
