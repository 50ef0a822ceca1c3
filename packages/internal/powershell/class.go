package powershell

import (
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// classes checks what PowerShell checks of classes when it parses them, beside their syntax.
func (m *Module) classes(f *File) {
	names := map[string]bool{}
	f.Walk(func(n, _ *syntax.Node) bool {
		if n.Kind != syntax.TypeDef {
			return true
		}
		key := strings.ToLower(n.Text)
		if names[key] {
			m.refuse(f, n, "The type '"+n.Text+"' is already defined.")
		}
		names[key] = true
		for _, k := range n.Kids {
			switch k.Kind {
			case syntax.Type:
				m.typed(f, k)
			case syntax.FuncDef:
				m.method(f, k)
			}
		}
		return true
	})
}

func (m *Module) refuse(f *File, n *syntax.Node, message string) {
	m.find("syntax", domain.SeverityError, f.At(n), "PowerShell does not accept this script: %s Correct it.", message)
}

func (m *Module) method(f *File, n *syntax.Node) {
	for _, p := range n.Func.Inline {
		for _, a := range p.Attributes {
			if a.Kind == syntax.Type {
				m.typed(f, a)
			}
		}
	}
	void := n.Func.Returns == nil || n.Func.Returns.Is("void", "System.Void")
	returns := false
	for _, k := range n.Func.Body.Kids {
		k.Walk(func(k *syntax.Node) bool {
			switch {
			case k.Kind == syntax.ScriptBlock || k.Kind == syntax.FuncDef:
				return false
			case k.Kind == syntax.Jump && k.Text == "return" && len(k.Kids) > 0:
				if returns = true; void {
					m.refuse(f, k, "Invalid return statement within void method.")
				}
			case k.Kind == syntax.Jump && k.Text == "throw":
				returns = true
			case k.Kind == syntax.Var && k.Is("this") && n.Func.Static:
				m.refuse(f, k, "Cannot access the non-static member 'this' in a static method.")
			}
			return true
		})
	}
	if !void && !returns {
		m.refuse(f, n, "Not all code path returns value within method '"+n.Func.Name+"'.")
	} else if !void && !always(n.Func.Body.Block.Body) {
		m.find("unchecked", domain.SeverityNote, f.At(n), "Whether all ways through the method %s return a value, without which PowerShell does not accept the script, was not checked.", n.Func.Name)
	}
}

// always says whether statements end with return or throw on all ways that are easy to see.
func always(all []*syntax.Node) bool {
	if len(all) == 0 {
		return false
	}
	last := all[len(all)-1]
	switch last.Kind {
	case syntax.Jump:
		return last.Text == "return" || last.Text == "throw"
	case syntax.If:
		if len(last.Kids)%2 == 0 { // no else
			return false
		}
		for i := 1; i < len(last.Kids); i += 2 {
			if !always(last.Kids[i].Kids) {
				return false
			}
		}
		return always(last.Kids[len(last.Kids)-1].Kids)
	}
	return false
}
