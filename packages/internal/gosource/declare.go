package gosource

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"reflect"
	"time"

	"github.com/airlock-run/airlock/sdk/manifest"
)

// packageOf reads a literal of sdk.Package.
func (r *reader) packageOf(e ast.Expr) (manifest.Manifest, error) {
	lit, err := r.literal(e)
	if err != nil {
		return manifest.Manifest{}, err
	}
	if named := r.named(lit); named == nil || !isSDK(named.Obj(), "Package") {
		return manifest.Manifest{}, r.errorf(lit, "the first argument of sdk.Main is no literal of sdk.Package")
	}
	m := manifest.Manifest{ManifestVersion: manifest.Version, Runtime: manifest.Go}
	err = r.constants(lit, map[string]any{
		"Name": &m.Name, "Version": &m.Version, "Description": &m.Description, "Company": &m.Company, "ProjectURI": &m.ProjectURI,
	})
	return m, err
}

// cmdletOf reads a literal of sdk.Cmdlet.
func (r *reader) cmdletOf(e ast.Expr) (manifest.Cmdlet, error) {
	lit, err := r.literal(e)
	if err != nil {
		return manifest.Cmdlet{}, err
	}
	named := r.named(lit)
	if named == nil || !isSDK(named.Obj(), "Cmdlet") || named.TypeArgs().Len() != 1 {
		return manifest.Cmdlet{}, r.errorf(lit, "this argument of sdk.Main is no literal of sdk.Cmdlet")
	}
	var c manifest.Cmdlet
	var lifecycle string
	var timeout time.Duration
	var run ast.Expr
	if err := r.constants(lit, map[string]any{
		"Name": &c.Name, "Description": &c.Description, "Timeout": &timeout, "UpdatesSDDC": &c.UpdatesSDDC,
		"AutomationOnly": &c.AutomationOnly, "Lifecycle": &lifecycle, "Run": &run,
	}); err != nil {
		return manifest.Cmdlet{}, err
	}
	c.Lifecycle = manifest.Lifecycle(lifecycle)
	if run == nil || r.pkg.TypesInfo.Types[run].IsNil() {
		return manifest.Cmdlet{}, r.errorf(lit, "the cmdlet %s has no Run", c.Name)
	}
	if c.TimeoutSeconds, err = manifest.TimeoutSeconds(timeout); err != nil {
		return manifest.Cmdlet{}, r.errorf(lit, "%s: %v", c.Name, err)
	}
	if c.Parameters, err = r.parameters(lit, named.TypeArgs().At(0)); err != nil {
		return manifest.Cmdlet{}, err
	}
	if err := c.Validate(); err != nil {
		return manifest.Cmdlet{}, r.errorf(lit, "%v", err)
	}
	return c, nil
}

func (r *reader) named(lit *ast.CompositeLit) *types.Named {
	t := types.Unalias(r.pkg.TypesInfo.TypeOf(lit))
	if p, ok := t.(*types.Pointer); ok { // a literal in a list of pointers leaves its type out
		t = types.Unalias(p.Elem())
	}
	named, _ := t.(*types.Named)
	return named
}

// constants puts the constant fields of a struct's literal into the variables that are given by the fields' names; a
// field whose variable is an expression need not be constant.
func (r *reader) constants(lit *ast.CompositeLit, into map[string]any) error {
	for i, e := range lit.Elts {
		var name string
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			name, e = kv.Key.(*ast.Ident).Name, kv.Value
		} else {
			name = r.named(lit).Underlying().(*types.Struct).Field(i).Name()
		}
		target, known := into[name]
		if !known {
			return r.errorf(e, "the field %s is not known to this version of Airlock; pack with a newer one", name)
		}
		if expr, ok := target.(*ast.Expr); ok {
			*expr = e
			continue
		}
		value := r.pkg.TypesInfo.Types[e].Value
		if value == nil {
			return r.errorf(e, "the field %s is not constant; write it as a constant, because the package is not run to learn it", name)
		}
		switch target := target.(type) {
		case *string:
			*target = constant.StringVal(value)
		case *bool:
			*target = constant.BoolVal(value)
		case *time.Duration:
			n, _ := constant.Int64Val(constant.ToInt(value)) // the compiler has checked that it fits
			*target = time.Duration(n)
		}
	}
	return nil
}

// parameters reads the fields of a cmdlet's parameter struct.
func (r *reader) parameters(at ast.Node, t types.Type) ([]manifest.Parameter, error) {
	s, ok := t.Underlying().(*types.Struct)
	if !ok {
		return nil, r.errorf(at, "the parameters have the type %s, want a struct", t)
	}
	parameters := make([]manifest.Parameter, s.NumFields())
	for i := range parameters {
		field := s.Field(i)
		p, err := manifest.FieldParameter(field.Name(), typeName(field.Type()), reflect.StructTag(s.Tag(i)))
		if err != nil {
			if field.Pkg() == r.pkg.Types { // else its position is in another package's export data
				return nil, r.errorf(position{field}, "%v", err)
			}
			return nil, r.errorf(at, "%v", err)
		}
		parameters[i] = p
	}
	return parameters, nil
}

// position makes a node of an object.
type position struct{ types.Object }

func (p position) End() token.Pos { return p.Pos() }

// typeName is a type's name in the form that manifest.FieldParameter reads, aliases resolved.
func typeName(t types.Type) string {
	t = types.Unalias(t)
	if p, ok := t.(*types.Pointer); ok {
		return "*" + typeName(p.Elem())
	}
	return types.TypeString(t, nil)
}
