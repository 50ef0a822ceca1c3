package powershell

import (
	"strings"

	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// function describes an exported function.
func (m *Module) function(f *File, def *syntax.Node, name string) *Function {
	line, _ := f.Place(def.Pos)
	fn := &Function{Name: name, File: f, Line: line, Def: def}
	for _, a := range def.Func.Body.Block.Attributes {
		switch {
		case a.Kind != syntax.Attribute:
		case resolves(a, "CmdletBinding"):
			fn.CmdletBinding = true
		case a.Is("AVSAttribute", "AVS"):
			m.avs(fn, a)
		}
	}
	fn.Help = m.help(f, def)
	for _, p := range def.Func.Params() {
		fn.Parameters = append(fn.Parameters, m.parameter(fn, p))
	}
	return fn
}

// resolves says whether an attribute is PowerShell's own of that name. Without their namespace, names do not end in
// Attribute.
func resolves(a *syntax.Node, name string) bool {
	const namespace = "System.Management.Automation."
	return a.Is(name, namespace+name, namespace+name+"Attribute")
}

func (m *Module) parameter(fn *Function, p *syntax.Param) Parameter {
	line, column := fn.File.Place(p.NamePos)
	out := Parameter{Name: p.Name, Line: line, Column: column, Help: fn.Help.Parameters[strings.ToUpper(p.Name)]}
	if p.Default != nil {
		out.Default = fn.File.Source(p.Default)
	}
	for _, a := range p.Attributes {
		switch {
		case a.Kind == syntax.Type:
			if out.Type == "" {
				out.Type = a.Text
			}
		case resolves(a, "Parameter"):
			m.parameterAttribute(fn, &out, a)
		}
	}
	return out
}

func (m *Module) parameterAttribute(fn *Function, out *Parameter, a *syntax.Node) {
	for _, arg := range a.Attr.Named {
		switch strings.ToLower(arg.Name) {
		case "mandatory":
			v, known := true, true
			if arg.Value != nil {
				v, known = truth(arg.Value)
			}
			if !known {
				m.unknown("ps-parameter-unknown", fn.File.At(a), "Whether the parameter %s is mandatory is computed, and cannot be told. Write $true or $false.", out.Name)
			}
			out.Mandatory = out.Mandatory || v
		case "helpmessage":
			s, known := constant(arg.Value)
			text, isText := s.(string)
			if !known || !isText {
				m.unknown("ps-parameter-unknown", fn.File.At(a), "The help message of the parameter %s is computed, and cannot be told. Write the text itself.", out.Name)
			}
			if out.HelpMessage == "" {
				out.HelpMessage = text
			}
		case "parametersetname":
			s, known := constant(arg.Value)
			text, isText := s.(string)
			if !known || !isText {
				m.unknown("ps-parameter-unknown", fn.File.At(a), "A parameter set of the parameter %s is computed, and cannot be told. Write its name.", out.Name)
				continue
			}
			out.Sets = append(out.Sets, text)
		}
	}
}
