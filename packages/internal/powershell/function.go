package powershell

import (
	"slices"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// function describes an exported function.
func (m *Module) function(f *File, def *syntax.Node, name string) *Function {
	line, _ := f.Place(def.Pos)
	fn := &Function{Name: name, File: f, Line: line, Def: def}
	for _, a := range def.Func.Body.Block.Attributes {
		switch {
		case a.Kind != syntax.Attribute:
		case resolves(f, a, "CmdletBinding"):
			fn.CmdletBinding = true
			m.paging(f, a)
		case a.Is("AVSAttribute", "AVS"):
			m.avs(fn, a)
		default:
			m.attribute(f, a)
		}
	}
	fn.Help = m.help(f, def)
	for _, p := range def.Func.Params() {
		fn.Parameters = append(fn.Parameters, m.parameter(fn, p))
	}
	fn.mandatory()
	return fn
}

// paging reports parameters that CmdletBinding adds.
func (m *Module) paging(f *File, a *syntax.Node) {
	for _, arg := range a.Attr.Named {
		if on, known := truth(arg.Value); strings.EqualFold(arg.Name, "SupportsPaging") && (arg.Value == nil || on || !known) {
			m.find("unknown-declaration", domain.SeverityNote, f.At(a), "SupportsPaging adds the parameters First, Skip and IncludeTotalCount, which the API does not offer.")
		}
	}
}

// resolves says whether an attribute is PowerShell's own of that name. Without their namespace, names do not end in
// Attribute.
func resolves(f *File, a *syntax.Node, name string) bool {
	const namespace = "System.Management.Automation."
	const short = "Management.Automation." // PowerShell looks in System for what it does not find
	return a.Is(name, namespace+name, namespace+name+"Attribute", short+name, short+name+"Attribute") || a.Is(name+"Attribute") && f.using(strings.TrimSuffix(namespace, "."))
}

// using says whether the file has a using namespace statement for it.
func (f *File) using(namespace string) bool {
	return slices.ContainsFunc(f.Root.Kids, func(n *syntax.Node) bool {
		if n.Kind != syntax.Using || n.Text != "namespace" || len(n.Kids) == 0 {
			return false
		}
		s, _ := n.Kids[0].Constant()
		return strings.EqualFold(s, namespace)
	})
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
			m.typed(fn.File, a)
		case resolves(fn.File, a, "Parameter"):
			m.parameterAttribute(fn, &out, a)
		default:
			m.attribute(fn.File, a)
		}
	}
	return out
}

func (m *Module) parameterAttribute(fn *Function, out *Parameter, a *syntax.Node) {
	set := Set{Name: AllSets}
	for _, arg := range a.Attr.Named {
		v, known := constant(arg.Value)
		text, isText := v.(string)
		switch strings.ToLower(arg.Name) {
		case "mandatory":
			set.Mandatory = true
			if arg.Value != nil {
				set.Mandatory, known = truth(arg.Value)
			}
		case "helpmessage":
			if isText && text == "" {
				m.unknown(fn.File.At(a), "The help message of the parameter %s is empty, which PowerShell refuses. Write one.", out.Name)
			}
			if n, ok := v.(int64); ok {
				text, isText = intText(n), true
			}
			known = known && isText
			if out.HelpMessage == "" {
				out.HelpMessage = text
			}
		case "parametersetname":
			known = known && isText
			set.Name = text
		default:
			continue
		}
		if !known {
			m.unknown(fn.File.At(a), "%s of the parameter %s is computed, and cannot be told. Write the value itself.", arg.Name, out.Name)
		}
	}
	out.Sets = append(out.Sets, set)
}

// mandatory finds the parameters that are mandatory in every parameter set of the function.
func (fn *Function) mandatory() {
	all := map[string]bool{}
	for _, p := range fn.Parameters {
		for _, s := range p.Sets {
			if s.Name != AllSets {
				all[strings.ToLower(s.Name)] = true
			}
		}
	}
	for i := range fn.Parameters {
		p := &fn.Parameters[i]
		in := map[string]bool{}
		for _, s := range p.Sets {
			in[strings.ToLower(s.Name)] = s.Mandatory
		}
		everywhere := len(all) > 0
		for name := range all {
			everywhere = everywhere && in[name]
		}
		p.Mandatory = in[strings.ToLower(AllSets)] || everywhere
	}
}
