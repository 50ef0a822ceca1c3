package powershell

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// readExports finds the functions that the module exports: those that its scripts define and Export-ModuleMember or its
// absence lets through, and of them those that the manifest names.
func (m *Module) readExports() {
	r := newRunner(m)
	var root *File
	if m.Manifest == nil {
		if m.file(m.Name+".psd1") != nil {
			return // there is an error about it
		}
		if root = m.file(m.Name + ".psm1"); root == nil {
			m.unknown(Place{}, "The module has neither %s.psd1 nor %s.psm1 at its root, so PowerShell does not find it.", m.Name, m.Name)
			return
		}
	} else if m.nested(r); !m.root(&root) {
		return
	}
	if root != nil {
		r.usedModules(root)
		if r.script(root) == halt || r.halted {
			m.unknown(Place{File: root.Path}, "The module ends with throw or exit when it is imported, so nothing of it can be used.")
			return
		}
	}
	m.choose(r, r.exportedFunctions())
}

// choose keeps what the manifest names.
func (m *Module) choose(r *runner, all map[string]definition) {
	prefix, patterns := "", []string{"*"}
	at := Place{}
	if m.Manifest != nil {
		prefix = m.Manifest.Data.Text("DefaultCommandPrefix")
		at = m.Manifest.At("FunctionsToExport")
		v, given := m.Manifest.Data.Lookup("FunctionsToExport")
		switch {
		case !given:
			m.open(at, "The manifest has no FunctionsToExport, so the module exports whatever it defines. Name the functions.")
		case v == nil:
			m.unknown(at, "FunctionsToExport is $null; what the module exports then cannot be told. Name the functions, or write @() for none.")
		default:
			patterns = m.Manifest.Data.List("FunctionsToExport")
		}
	}
	exact, wild := map[string]bool{}, []string{}
	for _, p := range patterns {
		if strings.ContainsAny(p, "*?[") {
			wild = append(wild, p)
			continue
		}
		key := strings.ToLower(p)
		exact[key] = true
		if _, there := all[key]; !there {
			m.find("unknown-declaration", domain.SeverityWarning, at, "FunctionsToExport names %.100q, which the module does not define or does not export.", p)
		}
	}
	if len(wild) > maxPatterns {
		m.unknown(at, "FunctionsToExport has more than %d patterns, so what it exports was not found out. Name the functions.", maxPatterns)
		wild = nil
	}
	if len(wild) > 0 && at.Line > 0 && len(all) > 0 {
		m.open(at, "FunctionsToExport has the pattern %.100q, so each function that is added is exported. Name the functions.", wild[0])
	}
	if len(wild) > 0 && (!r.exports || r.wild) {
		for _, at := range r.foreign {
			m.unknown(at, "A module is imported here that is not in the package or cannot be told; with no names in FunctionsToExport and no Export-ModuleMember, its functions are exported too. Name the functions to export.")
		}
	}
	for _, a := range r.aliases {
		if _, there := all[a.name]; there {
			m.unknown(a.at, "The alias %s hides the function of that name, so that something else is called. Remove it.", a.name)
		}
	}
	for key, d := range r.imported {
		if own, there := r.funcs[key]; there && own.node != d.node {
			m.unknown(own.file.At(own.node), "The function %s is also defined in %s, a module that this one imports, and which of the two counts cannot be told. Remove one.", own.name, d.file.Path)
		}
	}
	for _, d := range named(all) {
		if exact[strings.ToLower(d.name)] || slices.ContainsFunc(wild, func(p string) bool { return like(p, d.name) }) {
			m.Functions = append(m.Functions, m.function(d.file, d.node, prefixed(prefix, d.name)))
		}
	}
}

// maxPatterns is the most patterns in FunctionsToExport that are compared with each function.
const maxPatterns = 50

// named are definitions by name.
func named(all map[string]definition) []definition {
	var list []definition
	for _, d := range all {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b definition) int { return strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name)) })
	return list
}

// prefixed puts DefaultCommandPrefix before a name's noun.
func prefixed(prefix, name string) string {
	if verb, noun, found := strings.Cut(name, "-"); found && prefix != "" {
		return verb + "-" + prefix + noun
	}
	return prefix + name
}

// root finds the manifest's root module; it says whether there is anything to go on with. No root module is nothing wrong.
func (m *Module) root(root **File) bool {
	key := "RootModule"
	name := m.Manifest.Data.Text(key)
	if name == "" {
		key = "ModuleToProcess"
		name = m.Manifest.Data.Text(key)
	}
	if name == "" {
		return true
	}
	at := m.Manifest.At(key)
	f := m.moduleFile(name)
	switch {
	case f != nil && strings.EqualFold(path.Ext(f.Path), ".psm1"):
		*root = f
		return true
	case f != nil && strings.EqualFold(path.Ext(f.Path), ".ps1"):
		m.unknown(at, "The root module %s is a .ps1 script, of which PowerShell exports nothing. Make it a .psm1.", name)
	case f == nil && !strings.EqualFold(path.Ext(name), ".dll"):
		m.unknown(at, "The root module %s is not in the package.", name)
	default:
		m.unknown(at, "The root module %s is not a script, and cannot be read. Make it a .psm1.", name)
	}
	return false
}

// moduleFile is the script that a manifest names, perhaps without its extension.
func (m *Module) moduleFile(name string) *File {
	for _, extension := range []string{"", ".psm1", ".ps1", ".psd1"} {
		if f := m.file(name + extension); f != nil {
			return f
		}
	}
	return nil
}

// nested runs the modules that the manifest nests.
func (m *Module) nested(r *runner) {
	list := m.Manifest.Data.Get("NestedModules")
	for _, e := range flatten(list) {
		name, _ := e.(string)
		if h, ok := e.(*Hash); ok {
			name = h.Text("ModuleName")
		}
		f := m.moduleFile(name)
		at := m.Manifest.At("NestedModules")
		switch {
		case f == nil:
			r.foreign = append(r.foreign, at)
		case strings.EqualFold(path.Ext(f.Path), ".ps1"):
			r.script(f)
		case strings.EqualFold(path.Ext(f.Path), ".psm1"):
			for key, d := range m.runNested(r, f) {
				r.imported[key] = d
			}
		default:
			r.foreign = append(r.foreign, at)
		}
	}
}

// runNested runs a module inside of another one, and returns what it exports.
func (m *Module) runNested(outer *runner, f *File) map[string]definition {
	r := newRunner(m)
	r.steps, r.calls = outer.steps, outer.calls
	r.usedModules(f)
	r.script(f)
	return r.exportedFunctions()
}

// usedModules looks at the modules that a script names in using statements.
func (r *runner) usedModules(f *File) {
	for _, n := range f.Root.Kids {
		if n.Kind != syntax.Using || n.Text != "module" || len(n.Kids) == 0 {
			continue
		}
		name, _ := n.Kids[0].Constant()
		used := r.m.file(path.Join(path.Dir(f.Path), strings.ReplaceAll(name, `\`, "/")))
		if used == nil || used == f || *r.calls > maxCalls {
			r.foreign = append(r.foreign, f.At(n))
			continue
		}
		*r.calls++
		for key, d := range r.m.runNested(r, used) {
			r.imported[key] = d
		}
		*r.calls--
	}
}

var (
	moduleVersion = regexp.MustCompile(`^\d{1,9}(\.\d{1,9}){1,3}$`)
	moduleGUID    = regexp.MustCompile(`^(?i)[{(]?[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}[)}]?$|^[0-9a-f]{32}$`)
)

// manifestKeys are the keys that Import-Module knows, in lower case.
var manifestKeys = strings.Fields(`moduletoprocess nestedmodules guid author companyname copyright moduleversion description powershellversion
	powershellhostname powershellhostversion clrversion dotnetframeworkversion processorarchitecture requiredmodules typestoprocess
	formatstoprocess scriptstoprocess privatedata requiredassemblies modulelist filelist functionstoexport variablestoexport aliasestoexport
	cmdletstoexport dscresourcestoexport compatiblepseditions helpinfouri rootmodule defaultcommandprefix`)

// checkManifest reports what Import-Module refuses.
func (m *Module) checkManifest() {
	data := m.Manifest.Data
	refuse := func(key, format string, args ...any) {
		m.unknown(m.Manifest.At(key), format, args...)
	}
	if v := data.Text("ModuleVersion"); !moduleVersion.MatchString(v) {
		refuse("ModuleVersion", "ModuleVersion is %q; PowerShell needs two to four numbers with dots between them. A label belongs to PrivateData.PSData.Prerelease.", v)
	}
	if v, given := data.Lookup("GUID"); given {
		if s, _ := v.(string); !moduleGUID.MatchString(s) {
			refuse("GUID", "GUID is not a GUID, and PowerShell refuses the manifest.")
		}
	}
	if data.Text("RootModule") != "" && data.Text("ModuleToProcess") != "" {
		refuse("ModuleToProcess", "The manifest has RootModule and ModuleToProcess, and PowerShell refuses that. Remove ModuleToProcess.")
	}
	for _, key := range data.Keys {
		if !slices.Contains(manifestKeys, strings.ToLower(key)) {
			refuse(key, "The manifest has the key %s, which PowerShell does not know there, and refuses. Tags and ProjectUri belong to PrivateData.PSData.", key)
		}
	}
}
