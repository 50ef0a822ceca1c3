// Package gosource reads what a Go package of cmdlets declares from its source, by type checking it and evaluating its
// constants. Nothing of the package is run, so that looking at a package needs no trust in it.
//
// What it reads is the one call of sdk.Main: a literal of sdk.Package, then literals of sdk.Cmdlet. Each may also be
// a variable that is set once, by such a literal. Everything that this cannot see through is an error with file and
// line, never a guess: what it reads is exactly what the program declares when it runs.
package gosource

import (
	"context"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/sdk/manifest"
	"golang.org/x/tools/go/packages"
)

// sdkPath is the package whose declarations are read.
const sdkPath = "github.com/airlock-run/airlock/sdk"

// Flags of the go command that loading and building share, so that the one finds in the build cache what the other
// made. Without the version control's stamp the same source gives the same program.
var Flags = []string{"-trimpath", "-buildvcs=false"}

// Environment is the environment of the go command that loading and building for a platform (GOOS/GOARCH) share.
func Environment(platform string) []string {
	goos, goarch, _ := strings.Cut(platform, "/")
	return append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "GOAMD64=v1", "GOARM64=v8.0", "CGO_ENABLED=0", "GOPACKAGESDRIVER=off")
}

// Read reads the declarations of the main package in dir, as it is built for a platform. The manifest has no binaries.
func Read(ctx context.Context, dir, platform string) (manifest.Manifest, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return manifest.Manifest{}, err
	}
	// Only the package itself is parsed; what it imports comes as the compiler's export data.
	const need = packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports |
		packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo
	list, err := packages.Load(&packages.Config{Context: ctx, Mode: need, Dir: dir, Env: Environment(platform), BuildFlags: Flags}, ".")
	if ctx.Err() != nil {
		return manifest.Manifest{}, ctx.Err()
	}
	if err != nil {
		return manifest.Manifest{}, fmt.Errorf("the source in %s cannot be loaded: %w", dir, err)
	}
	if len(list) != 1 {
		return manifest.Manifest{}, fmt.Errorf("%s holds no Go package: it needs Go files, and a go.mod there or above", dir)
	}
	r := reader{pkg: list[0], dir: dir}
	if err := r.sound(); err != nil {
		return manifest.Manifest{}, err
	}
	m, err := r.manifest()
	if err != nil {
		return manifest.Manifest{}, err
	}
	return m, m.Validate()
}

// reader reads one package.
type reader struct {
	pkg *packages.Package
	dir string
}

// sound says whether the package is a program that compiles.
func (r *reader) sound() error {
	if failures := r.pkg.Errors; len(failures) > 0 {
		inSource := func(e packages.Error) bool { return e.Kind == packages.ParseError || e.Kind == packages.TypeError }
		if slices.ContainsFunc(failures, inSource) { // then the go command's own errors say the same again
			failures = slices.DeleteFunc(slices.Clone(failures), func(e packages.Error) bool { return !inSource(e) })
		}
		const most = 5
		var lines []string
		for _, e := range failures[:min(most, len(failures))] {
			lines = append(lines, strings.ReplaceAll(e.Error(), r.dir+string(filepath.Separator), ""))
		}
		return fmt.Errorf("the source does not compile: %s", strings.Join(lines, "; "))
	}
	if r.pkg.Name != "main" {
		return fmt.Errorf("%s holds the Go package %s, want main: a script package is a program", r.dir, r.pkg.Name)
	}
	return nil
}

// errorf is an error about a place in the source.
func (r *reader) errorf(at ast.Node, format string, args ...any) error {
	pos := r.pkg.Fset.Position(at.Pos())
	name, err := filepath.Rel(r.dir, pos.Filename)
	if err != nil {
		name = pos.Filename
	}
	return fmt.Errorf("%s:%d: %s", name, pos.Line, fmt.Sprintf(format, args...))
}

// each calls visit for every node of the package.
func (r *reader) each(visit func(ast.Node)) {
	for _, file := range r.pkg.Syntax {
		ast.Inspect(file, func(n ast.Node) bool {
			visit(n)
			return true
		})
	}
}

// mainCall finds the one call of sdk.Main.
func (r *reader) mainCall() (call *ast.CallExpr, err error) {
	var uses []*ast.Ident
	r.each(func(n ast.Node) {
		switch n := n.(type) {
		case *ast.Ident:
			if f, ok := r.pkg.TypesInfo.Uses[n].(*types.Func); ok && isSDK(f, "Main") {
				uses = append(uses, n)
			}
		case *ast.CallExpr:
			if f, ok := r.pkg.TypesInfo.Uses[callee(n)].(*types.Func); ok && isSDK(f, "Main") {
				call = n
			}
		}
	})
	switch {
	case len(uses) == 0:
		return nil, fmt.Errorf("the program in %s does not call sdk.Main", r.dir)
	case len(uses) > 1:
		return nil, r.errorf(uses[1], "sdk.Main is used a second time; a program calls it once")
	case call == nil:
		return nil, r.errorf(uses[0], "sdk.Main is not called here; call it directly, with literals of sdk.Package and sdk.Cmdlet")
	}
	return call, nil
}

func callee(call *ast.CallExpr) *ast.Ident {
	switch f := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		return f
	case *ast.SelectorExpr:
		return f.Sel
	}
	return nil
}

func isSDK(o types.Object, name string) bool {
	return o != nil && o.Pkg() != nil && o.Pkg().Path() == sdkPath && o.Name() == name
}

// manifest reads the arguments of sdk.Main.
func (r *reader) manifest() (manifest.Manifest, error) {
	call, err := r.mainCall()
	if err != nil {
		return manifest.Manifest{}, err
	}
	if len(call.Args) == 0 || (call.Ellipsis != token.NoPos && len(call.Args) != 2) {
		return manifest.Manifest{}, r.errorf(call, "sdk.Main is called in a form that cannot be read; give it an sdk.Package and the cmdlets")
	}
	m, err := r.packageOf(call.Args[0])
	if err != nil {
		return manifest.Manifest{}, err
	}
	cmdlets := call.Args[1:]
	if call.Ellipsis != token.NoPos {
		list, err := r.literal(call.Args[1])
		if err != nil {
			return manifest.Manifest{}, err
		}
		cmdlets = list.Elts
	}
	for _, arg := range cmdlets {
		if kv, ok := arg.(*ast.KeyValueExpr); ok {
			return manifest.Manifest{}, r.errorf(kv, "the list of cmdlets has a key; list the cmdlets without keys")
		}
		c, err := r.cmdletOf(arg)
		if err != nil {
			return manifest.Manifest{}, err
		}
		m.Cmdlets = append(m.Cmdlets, c)
	}
	return m, nil
}

// literal finds the composite literal that an expression is: written there, or as the only value of a variable.
func (r *reader) literal(e ast.Expr) (*ast.CompositeLit, error) {
	e = ast.Unparen(e)
	if and, ok := e.(*ast.UnaryExpr); ok && and.Op == token.AND {
		e = ast.Unparen(and.X)
	}
	switch x := e.(type) {
	case *ast.CompositeLit:
		return x, nil
	case *ast.Ident:
		if v, ok := r.pkg.TypesInfo.Uses[x].(*types.Var); ok {
			value, err := r.onlyValue(v)
			if err != nil {
				return nil, err
			}
			if value != nil {
				return r.literal(value)
			}
		}
	}
	return nil, r.errorf(e, "this is not known before the program runs; write the literal here, or a variable that is set to it once")
}

// onlyValue returns the expression that sets a variable of this package, or nil where there is none. It is an error
// where the variable could have another value later.
func (r *reader) onlyValue(v *types.Var) (value ast.Expr, err error) {
	uses := 0
	r.each(func(n ast.Node) {
		switch n := n.(type) {
		case *ast.Ident:
			if r.pkg.TypesInfo.Uses[n] != v {
				return
			}
			switch v.Type().Underlying().(type) {
			case *types.Slice, *types.Pointer, *types.Interface: // a copy shares the memory
				if uses++; uses > 1 {
					err = r.errorf(n, "%s is used here too, where it could be changed; use it in the call of sdk.Main only", v.Name())
				}
			}
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if r.pkg.TypesInfo.Defs[name] == v && len(n.Values) == len(n.Names) {
					value = n.Values[i]
				}
			}
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				name := root(left)
				switch {
				case name == nil:
				case r.pkg.TypesInfo.Defs[name] == v && len(n.Lhs) == len(n.Rhs):
					value = n.Rhs[i]
				case r.pkg.TypesInfo.Uses[name] == v:
					err = r.errorf(n, "%s is changed here; set it once, by a literal", v.Name())
				}
			}
		case *ast.IncDecStmt:
			if name := root(n.X); name != nil && r.pkg.TypesInfo.Uses[name] == v {
				err = r.errorf(n, "%s is changed here; set it once, by a literal", v.Name())
			}
		case *ast.RangeStmt:
			for _, left := range []ast.Expr{n.Key, n.Value} {
				if name := root(left); name != nil && r.pkg.TypesInfo.Uses[name] == v {
					err = r.errorf(n, "%s is changed here; set it once, by a literal", v.Name())
				}
			}
		case *ast.UnaryExpr:
			if name := root(n.X); n.Op == token.AND && name != nil && r.pkg.TypesInfo.Uses[name] == v {
				err = r.errorf(n, "the address of %s is taken, so that it could be changed; pass it as it is", v.Name())
			}
		}
	})
	return value, err
}

// root is the variable that an assignable expression lies in.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.ParenExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		default:
			return nil
		}
	}
}
