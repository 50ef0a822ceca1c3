package powershell

import "github.com/airlock-run/airlock/packages/internal/powershell/syntax"

// readExports finds the functions that the module exports.
func (m *Module) readExports() {
	root := m.file(m.Name + ".psm1")
	if m.Manifest != nil {
		root = m.file(m.Manifest.Data.Text("RootModule"))
	}
	if root == nil {
		return
	}
	for _, n := range root.Root.Block.Body {
		if n.Kind == syntax.FuncDef {
			m.Functions = append(m.Functions, m.function(root, n, n.Func.Name))
		}
	}
}
