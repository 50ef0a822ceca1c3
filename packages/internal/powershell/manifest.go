package powershell

import (
	"fmt"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// Manifest is a module's .psd1, as data.
type Manifest struct {
	File *File
	Data *Hash
}

// Hash is a hash literal. Values are string, int64, float64, bool, nil, []any and *Hash.
type Hash struct {
	Keys   []string // as written
	Values []any
	Nodes  []*syntax.Node // the values' source
}

// Get is the value of a key, whose case does not matter; nil if there is none.
func (h *Hash) Get(key string) any {
	v, _ := h.Lookup(key)
	return v
}

// Lookup tells a key that is missing from one that is $null.
func (h *Hash) Lookup(key string) (any, bool) {
	if h != nil {
		for i, k := range h.Keys {
			if strings.EqualFold(k, key) {
				return h.Values[i], true
			}
		}
	}
	return nil, false
}

// Text is the key's value as text, "" for what has none.
func (h *Hash) Text(key string) string {
	switch v := h.Get(key).(type) {
	case string:
		return v
	case int64, float64:
		return fmt.Sprint(v)
	}
	return ""
}

// List is the key's value as a list of texts; one text is a list of one.
func (h *Hash) List(key string) (all []string) {
	switch v := h.Get(key).(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				all = append(all, s)
			}
		}
	}
	return all
}

// At is where the value of a key stands, or the manifest itself.
func (m *Manifest) At(key string) Place {
	for i, k := range m.Data.Keys {
		if strings.EqualFold(k, key) {
			return m.File.At(m.Data.Nodes[i])
		}
	}
	return Place{File: m.File.Path}
}

// PSData is PrivateData.PSData, where projects' addresses, tags and labels are; nil if there is none.
func (m *Manifest) PSData() *Hash {
	private, _ := m.Data.Get("PrivateData").(*Hash)
	data, _ := private.Get("PSData").(*Hash)
	return data
}

// Version is ModuleVersion and the label Prerelease after it, "" if there is none.
func (m *Manifest) Version() string {
	v := m.Data.Text("ModuleVersion")
	if label := strings.TrimPrefix(m.PSData().Text("Prerelease"), "-"); v != "" && label != "" {
		v += "-" + label
	}
	return v
}

// Requirement is an entry of RequiredModules.
type Requirement struct {
	Place
	Name             string
	Minimum, Maximum string // ModuleVersion and MaximumVersion
	Exact            string // RequiredVersion
}

// RequiredModules are the modules that the manifest requires.
func (m *Manifest) RequiredModules() (all []Requirement) {
	v := m.Data.Get("RequiredModules")
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	at := m.At("RequiredModules")
	for _, e := range list {
		switch e := e.(type) {
		case string:
			all = append(all, Requirement{Place: at, Name: e})
		case *Hash:
			all = append(all, Requirement{at, e.Text("ModuleName"), e.Text("ModuleVersion"), e.Text("MaximumVersion"), e.Text("RequiredVersion")})
		}
	}
	return all
}

// readManifest finds the module's manifest and reads it as Import-PowerShellDataFile does: nothing but literals.
func (m *Module) readManifest() {
	f := m.file(m.Name + ".psd1")
	if f == nil {
		return
	}
	statements := f.Root.Block.Body
	switch {
	case len(f.Errors) > 0:
		return
	case len(statements) != 1 || statements[0].Kind != syntax.Hash || len(f.Root.Kids) != 1:
		m.unknown(Place{f.Path, 1, 1}, "The manifest has to consist of one hash literal, @{ … }, and nothing else.")
		return
	}
	v, bad := literal(statements[0])
	if bad != nil {
		m.unknown(f.At(bad), "The manifest may hold only literals, arrays and hashes; %.60q is computed. Write the value itself.", f.Source(bad))
		return
	}
	m.Manifest = &Manifest{f, v.(*Hash)}
	m.checkManifest()
}

// literal is the value of a literal, or the part of it that is none.
func literal(n *syntax.Node) (any, *syntax.Node) {
	switch n.Kind {
	case syntax.String:
		return n.Value, nil
	case syntax.Number:
		if n.Value != nil {
			return n.Value, nil
		}
	case syntax.Var:
		switch strings.ToLower(n.Text) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		case "null":
			return nil, nil
		}
	case syntax.Paren:
		if len(n.Kids) == 1 {
			return literal(n.Kids[0])
		}
	case syntax.List:
		return literals(n.Kids)
	case syntax.ArrayOf: // each statement's values are the array's elements
		all := []any{}
		for _, k := range n.Kids {
			v, bad := literal(k)
			if bad != nil {
				return nil, bad
			}
			if list, ok := v.([]any); ok {
				all = append(all, list...)
			} else {
				all = append(all, v)
			}
		}
		return all, nil
	case syntax.Hash:
		h := &Hash{}
		for pair := range slices.Chunk(n.Kids, 2) {
			key, ok := pair[0].Constant()
			if !ok {
				return nil, pair[0]
			}
			v, bad := literal(pair[1])
			if bad != nil {
				return nil, bad
			}
			h.Keys, h.Values, h.Nodes = append(h.Keys, key), append(h.Values, v), append(h.Nodes, pair[1])
		}
		return h, nil
	}
	return nil, n
}

func literals(nodes []*syntax.Node) (any, *syntax.Node) {
	all := []any{}
	for _, k := range nodes {
		v, bad := literal(k)
		if bad != nil {
			return nil, bad
		}
		all = append(all, v)
	}
	return all, nil
}
