package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
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

// A secret leaves its type only through Reveal. Each file outside tests and examples that calls it stands here with
// where the value goes. None of these places is a process's arguments or environment.
var revealing = map[string]string{
	"cli/demo.go":                              "the bearer token, to the demo's own client",
	"cli/environment.go":                       "the bearer token and client secrets, into dev.env and provider.env",
	"cli/internal/login/login.go":              "the client secret, to the token endpoint",
	"executor/end.go":                          "changed secrets, into the sealed intent",
	"executor/prepare.go":                      "the grant's key, into redaction line by line",
	"executor/internal/powershell/globals.go":  "persistent secrets, over the process's standard input",
	"executor/internal/psrp/key.go":            "secure parameters, sealed with the session key of the process",
	"internal/redact/set.go":                   "values to look for",
	"internal/seal/datakey.go":                 "the data key into sealed bytes, a new master key into its file",
	"internal/seal/keys.go":                    "the key of an execution, into sealed bytes",
	"internal/seal/seal.go":                    "the key, into AES and HMAC",
	"internal/seal/values.go":                  "secure parameters, into sealed bytes",
	"packages/internal/nuget/nuget.go":         "the credential of a feed, to the feed's own host",
	"sdk/secret/secret.go":                     "the type itself",
	"sdk/ssh.go":                               "the grant's key, into the SSH client",
	"sdk/vcenter/vcenter.go":                   "the grant's token, as session id to the broker",
	"sdk/wire/messages.go":                     "arguments, secrets and grant, over the inherited socket",
	"secrets/file.go":                          "persistent secrets, into sealed bytes",
	"secrets/keyvault.go":                      "persistent secrets, to the key vault over TLS",
	"secrets/secrets.go":                       "checks of a value's size and form",
	"server/auth.go":                           "the bearer token, compared by digest",
	"server/submission.go":                     "secure parameters, into the keyed digest",
	"sessions/connection.go":                   "Airlock's SSH key, parsed",
	"sessions/internal/sshproxy/connect.go":    "Airlock's password, to the host",
	"sessions/internal/vcproxy/login.go":       "Airlock's password and session ids, to the vCenter",
	"sessions/internal/vcproxy/scriptlogin.go": "the execution's own token, to who has logged in with it",
	"sessions/internal/vcproxy/sts.go":         "the execution's own assertion, likewise",
	"sessions/simcloud/people.go":              "passwords, into the simulated SSO",
	"sessions/simcloud/vcenter.go":             "the password, into the simulated vCenter",
}

// reveals says whether a file calls Reveal without arguments, which is a secret's, or takes it as a value.
func reveals(t *testing.T, path string) (found bool) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	others := map[ast.Node]bool{} // psrp.Client's, which makes a secret of what a process has sealed
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			others[n.Fun] = len(n.Args) > 0
		case *ast.SelectorExpr:
			found = found || n.Sel.Name == "Reveal" && !others[n]
		}
		return true
	})
	return found
}

func TestSecretsAreRevealedInFewPlaces(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	for _, p := range list(t, "./...") {
		if part(p.ImportPath) == "examples" || strings.Contains(p.ImportPath, "test") { // suites that only tests import
			continue
		}
		for _, name := range p.GoFiles {
			path := filepath.Join(p.Dir, name)
			if !reveals(t, path) {
				continue
			}
			root, err := os.Getwd()
			if err != nil {
				t.Fatal(err)
			}
			short, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			found[short] = true
			if revealing[short] == "" {
				t.Errorf("%s reveals a secret; name it above with where the value goes, or find another way", short)
			}
		}
	}
	for name := range revealing {
		if !found[name] {
			t.Errorf("%s reveals no secret any more; take it off the list", name)
		}
	}
}
