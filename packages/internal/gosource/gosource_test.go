package gosource

import (
	"context"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/go/packages"
)

const platform = "linux/amd64"

func TestRead(t *testing.T) {
	t.Parallel()
	got, err := Read(t.Context(), "testdata/full", platform)
	if err != nil {
		t.Fatal(err)
	}
	want := manifest.Manifest{
		ManifestVersion: 1, Runtime: manifest.Go,
		Name: "Contoso.Full", Version: "1.2.0-dev.3", Description: "a package\nof tests", Company: "Contoso", ProjectURI: "https://example.com/",
		Cmdlets: []manifest.Cmdlet{
			{
				Name: "Set-Everything", Description: "sets Contoso.Full", TimeoutSeconds: 300, UpdatesSDDC: true, AutomationOnly: true, Lifecycle: manifest.Install,
				Parameters: []manifest.Parameter{
					{Name: "Cluster", Description: "which cluster", Type: manifest.String, Required: true},
					{Name: "count", Description: "how many", Type: manifest.Int},
					{Name: "Port", Type: manifest.Int},
					{Name: "Ratio", Type: manifest.Float, Required: true},
					{Name: "Force", Type: manifest.Bool},
					{Name: "Password", Type: manifest.SecureString, Required: true},
					{Name: "Token", Description: "a token", Type: manifest.SecureString},
					{Name: "login", Type: manifest.Credential},
					{Name: "Alias", Type: manifest.String, Required: true},
					{Name: "Aliased", Type: manifest.SecureString, Required: true},
				},
			},
			{Name: "Get-Second", Parameters: []manifest.Parameter{}},
			{Name: "Get-Third", Lifecycle: manifest.Diagnostics, Parameters: []manifest.Parameter{{Name: "Host", Description: "which host", Type: manifest.String, Required: true}}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for dir, says := range map[string]string{
		"testdata/broken":  "does not compile: main.go:7:",
		"testdata/library": "the Go package library, want main",
		"testdata":         "no Go files",
		t.TempDir():        "go.mod", // outside of any module
	} {
		if _, err := Read(t.Context(), dir, platform); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want an error that says %q", dir, err, says)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, "testdata/full", platform); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}

// exports finds what the compiler exports of the packages that the snippets below import.
var exports = sync.OnceValues(func() (map[string]string, error) {
	list, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.NeedExportFile, Env: Environment(platform), BuildFlags: Flags},
		sdkPath, sdkPath+"/manifest", "context", "time", "os")
	files := map[string]string{}
	for _, p := range list {
		files[p.PkgPath] = p.ExportFile
	}
	return files, err
})

// check type checks a program as Read does.
func check(t *testing.T, body string) *reader {
	t.Helper()
	files, err := exports()
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "/src/main.go", `package main; import ("context"; "time"; "os"; "github.com/airlock-run/airlock/sdk"); `+
		`var _ = time.Second; var _ = os.Args; type none = struct{}; func run(context.Context, *sdk.Execution, none) error { return nil }; `+
		`var pkg = sdk.Package{Name: "P", Version: "1.0.0"}`+"\n"+body, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(files[path]) })}
	p, err := conf.Check("example.com/main", fset, []*ast.File{file}, info)
	if err != nil {
		t.Fatal(err)
	}
	return &reader{dir: "/src", pkg: &packages.Package{Name: "main", Fset: fset, Syntax: []*ast.File{file}, Types: p, TypesInfo: info}}
}

const cmdlet = `sdk.Cmdlet[none]{Name: "Get-It", Run: run}`

// TestForms reads programs that differ in how they hand their declarations over.
func TestForms(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`func main() { sdk.Main(pkg, ` + cmdlet + `) }`,
		`func main() { sdk.Main((pkg), &` + cmdlet + `) }`,
		`var c = ` + cmdlet + `; func main() { sdk.Main(pkg, c) }`,
		`func main() { c := ` + cmdlet + `; sdk.Main(pkg, c) }`,
		`func main() { a, c := 1, &` + cmdlet + `; _ = a; sdk.Main(pkg, c) }`,
		`func main() { sdk.Main(pkg, []sdk.Declared{` + cmdlet + `}...) }`,
		`var list = []sdk.Declared{` + cmdlet + `}; func main() { sdk.Main(pkg, list...) }`,
		`type C = sdk.Cmdlet[none]; func main() { sdk.Main(pkg, C{Name: "Get-It", Run: run}) }`,
		`func main() { if len(os.Args) > 0 { defer sdk.Main(pkg, ` + cmdlet + `) } }`,
	} {
		m, err := check(t, body).manifest()
		if err != nil || m.Name != "P" || len(m.Cmdlets) != 1 || m.Cmdlets[0].Name != "Get-It" {
			t.Errorf("%s\n%+v, %v", body, m, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, says string }{
		{`func main() {}`, "does not call sdk.Main"},
		{`func main() { sdk.Main(pkg); sdk.Main(pkg) }`, "main.go:2: sdk.Main is used a second time"},
		{`func main() { f := sdk.Main; f(pkg) }`, "main.go:2: sdk.Main is not called here"},
		{`func main() { sdk.Main(pkg, cs()...) }; func cs() []sdk.Declared { return nil }`, "not known before the program runs"},
		{`func main() { sdk.Main(both()) }; func both() (sdk.Package, sdk.Declared) { panic(0) }`, "main.go:2: this is not known"},
		{`func main() { sdk.Main(func() sdk.Package { return pkg }()) }`, "main.go:2: this is not known"},
		{`func main() { sdk.Main(sdk.Package{Name: os.Args[0]}) }`, "main.go:2: the field Name is not constant"},
		{"func main() { sdk.Main(pkg,\n sdk.Cmdlet[none]{Name: \"Get-It\",\n Description: os.Getenv(\"X\"), Run: run}) }", "main.go:4: the field Description is not constant"},
		{`var d = time.Minute; func main() { sdk.Main(pkg, sdk.Cmdlet[none]{Name: "Get-It", Timeout: d, Run: run}) }`, "the field Timeout is not constant"},
		{`func main() { sdk.Main(pkg, sdk.Cmdlet[none]{Name: "Get-It", UpdatesSDDC: len(os.Args) > 1, Run: run}) }`, "the field UpdatesSDDC is not constant"},
		{`func main() { sdk.Main(pkg, sdk.Cmdlet[none]{Name: "Get-It", Timeout: 61 * time.Minute, Run: run}) }`, "main.go:2: Get-It: the timeout 1h1m0s"},
		{`func main() { sdk.Main(pkg, sdk.Cmdlet[none]{Name: "Get-It", Lifecycle: "often", Run: run}) }`, "main.go:2: Get-It: the lifecycle kind"},
		{`func main() { sdk.Main(pkg, sdk.Cmdlet[none]{Name: "getit", Run: run}) }`, "main.go:2: the cmdlet name"},
		{`func main() { sdk.Main(pkg, sdk.Cmdlet[none]{Name: "Get-It"}) }`, "main.go:2: the cmdlet Get-It has no Run"},
		{`func main() { sdk.Main(pkg, sdk.Cmdlet[none]{Name: "Get-It", Run: nil}) }`, "the cmdlet Get-It has no Run"},
		{`func main() { sdk.Main(pkg, sdk.Cmdlet[int]{Name: "Get-It", Run: func(context.Context, *sdk.Execution, int) error { return nil }}) }`, "main.go:2: the parameters have the type int"},
		{"type p struct {\n A []string }\nfunc main() { sdk.Main(pkg, sdk.Cmdlet[p]{Name: \"Get-It\", Run: func(context.Context, *sdk.Execution, p) error { return nil }}) }", "main.go:3: the field A has the type []string"},
		{"type p struct { sdk.Credential; a int }\nfunc main() { sdk.Main(pkg, sdk.Cmdlet[p]{Name: \"Get-It\", Run: func(context.Context, *sdk.Execution, p) error { return nil }}) }", "main.go:2: the field a "},
		{`type text string; type p struct { A text }; func main() { sdk.Main(pkg, sdk.Cmdlet[p]{Name: "Get-It", Run: func(context.Context, *sdk.Execution, p) error { return nil }}) }`, "type example.com/main.text"},
		{`func main() { sdk.Main(pkg, nil) }`, "not known before the program runs"},

		// A variable that does not keep its value.
		{`func main() { pkg.Name = "Q"; sdk.Main(pkg) }`, "main.go:2: pkg is changed here"},
		{`func main() { pkg = sdk.Package{}; sdk.Main(pkg) }`, "main.go:2: pkg is changed here"},
		{`func init() { p := &pkg; p.Name = "Q" }; func main() { sdk.Main(pkg) }`, "the address of pkg is taken"},
		{`func init() { p := &(pkg.Name); *p = "Q" }; func main() { sdk.Main(pkg) }`, "the address of pkg is taken"},
		{`func init() { for _, pkg.Name = range os.Args {} }; func main() { sdk.Main(pkg) }`, "pkg is changed here"},
		{`func main() { c := ` + cmdlet + `; c.Name = "Get-Other"; sdk.Main(pkg, c) }`, "main.go:2: c is changed here"},
		{`func main() { c := ` + cmdlet + `; for range int(time.Minute) { c.Timeout++ }; sdk.Main(pkg, c) }`, "main.go:2: c is changed here"},
		{`var c sdk.Declared = &` + cmdlet + `; func init() { c.(*sdk.Cmdlet[none]).Name = "Get-Other" }; func main() { sdk.Main(pkg, c) }`, "c is used here too"},
		{`func main() { c := &` + cmdlet + `; d := c; d.Name = "Get-Other"; sdk.Main(pkg, c) }`, "c is used here too"},
		{`func main() { l := []sdk.Declared{` + cmdlet + `}; l[0] = sdk.Cmdlet[none]{}; sdk.Main(pkg, l...) }`, "l is"},
		{`func main() { l := []sdk.Declared{` + cmdlet + `}; m := l; m[0] = sdk.Cmdlet[none]{}; sdk.Main(pkg, l...) }`, "l is used here too"},
		{`func main() { l := []sdk.Declared{` + cmdlet + `}; l = append(l, sdk.Cmdlet[none]{}); sdk.Main(pkg, l...) }`, "l is"},
		{`func main() { var c sdk.Cmdlet[none]; sdk.Main(pkg, c) }`, "main.go:2: this is not known"},
		{`func main() { with(sdk.Cmdlet[none]{}) }; func with(c sdk.Cmdlet[none]) { sdk.Main(pkg, c) }`, "main.go:2: this is not known"},
		{`func main() { sdk.Main(pkg, []sdk.Declared{0: ` + cmdlet + `}...) }`, "has a key"},
	} {
		m, err := check(t, c.body).manifest()
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s\n%+v, %v; want an error that says %q", c.body, m, err, c.says)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for b.Loop() {
		if _, err := Read(b.Context(), "testdata/full", platform); err != nil {
			b.Fatal(err)
		}
	}
}
