package powershell_test

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages/internal/powershell"
	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// observed is what PowerShell 7.6.5 said of a module (testdata/README.md).
type observed struct {
	Module    string
	Files     []observedFile
	Manifests []struct {
		Path                     string
		ImportPowerShellDataFile struct {
			OK   bool
			Data map[string]any
		}
	}
	Runtime struct {
		Imported          bool
		ExportedFunctions []string
		Commands          []observedCommand
	}
}

type observedFile struct {
	Path        string
	ParseErrors []struct{ Line, Column int }
	Functions   []observedFunction
}

type observedCommand struct {
	Name            string
	AttributesError any
	Declaration     struct {
		AstName, File string
		StartLine     int
	}
	Attributes []struct {
		Type   string
		Values map[string]any
	}
}

type observedFunction struct {
	Name          string
	Kind          string
	Extent        struct{ StartLine, StartColumn, EndLine, EndColumn int }
	CmdletBinding any
	Attributes    []struct{ Name, Text string }
	Parameters    []struct {
		Name          string
		Line, Column  int
		TypeAsWritten *string
		Default       *struct{ Text string }
		ParameterSets map[string]struct {
			Mandatory   *bool
			HelpMessage *string
		}
	}
	Help *struct {
		Synopsis, Description string
		Parameters            map[string]string
	}
}

// declarations unpacks the modules of the testdata.
func declarations(t testing.TB) map[string]fstest.MapFS {
	t.Helper()
	f, err := os.Open("testdata/declarations.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]fstest.MapFS{}
	for archive := tar.NewReader(z); ; {
		h, err := archive.Next()
		if err == io.EOF {
			return modules
		}
		if err != nil {
			t.Fatal(err)
		}
		rest, inside := strings.CutPrefix(h.Name, "declarations/modules/")
		module, file, found := strings.Cut(rest, "/")
		if !inside || !found || h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if modules[module] == nil {
			modules[module] = fstest.MapFS{}
		}
		modules[module][file] = &fstest.MapFile{Data: data}
	}
}

// count is what the comparison with PowerShell came to.
type count struct{ equal, told int }

func (c count) String() string { return fmt.Sprintf("%d equal, %d told by a finding", c.equal, c.told) }

// comparison compares what was read of one module with what PowerShell said.
type comparison struct {
	*testing.T
	m         *powershell.Module
	want      observed
	functions *count
	told      bool // something of the module was told by a finding
}

// TestReadsAsPowerShellDoes reads 122 modules that use and abuse the language. What is read is what PowerShell said, or a
// finding says that it cannot be told.
func TestReadsAsPowerShellDoes(t *testing.T) {
	t.Parallel()
	var modules, functions, files, broken count
	var names []string
	for name, fsys := range declarations(t) {
		var want observed
		if err := json.Unmarshal(fsys["expected.json"].Data, &want); err != nil {
			t.Fatal(name, err)
		}
		m, err := powershell.Read(fsys, name)
		if err != nil {
			t.Fatal(name, err)
		}
		c := &comparison{T: t, m: m, want: want, functions: &functions}
		c.compareFiles(&files, &broken)
		c.compareManifests()
		c.compareExports()
		if c.told {
			modules.told++
			names = append(names, name)
		} else {
			modules.equal++
		}
	}
	t.Logf("modules: %v (%v)", modules, names)
	t.Logf("functions: %v", functions)
	t.Logf("files that parse: %v", files)
	t.Logf("files that do not parse: %d have a finding at a place that PowerShell names, %d at another", broken.equal, broken.told)
	if total := modules.equal + modules.told; modules.equal*100 < total*80 {
		t.Errorf("only %d of %d modules are read exactly", modules.equal, total)
	}
}

// differs takes a difference: a finding of one of the rules has to account for it.
func (c *comparison) differs(covered bool, format string, args ...any) {
	c.Helper()
	c.told = true
	if !covered {
		c.Errorf("%s: "+format, append([]any{c.want.Module}, args...)...)
	}
}

// says whether a finding of the rule is at the lines of a file.
func (c *comparison) says(rule, file string, from, to int) bool {
	return slices.ContainsFunc(c.m.Findings, func(f domain.ReviewFinding) bool {
		same := f.Rule == rule || rule == "unknown-declaration" && f.Rule == "unchecked"
		return same && f.File == file && from <= f.Line && f.Line <= to
	})
}

const anywhere = 1 << 30

// uncertain says whether a finding is about the module as a whole: it is an error, and not in a function that is exported.
func (c *comparison) uncertain() bool {
	return slices.ContainsFunc(c.m.Findings, func(f domain.ReviewFinding) bool {
		if f.Rule == "syntax" && strings.HasSuffix(f.File, ".psm1") {
			return true // PowerShell does not import it
		}
		return f.Severity == domain.SeverityError && !slices.ContainsFunc(c.m.Functions, func(g *powershell.Function) bool {
			line, column := g.File.Place(g.Def.Pos)
			end, _ := g.File.Place(g.Def.End)
			return f.File == g.File.Path && (line < f.Line && f.Line <= end || line == f.Line && column < f.Column)
		})
	})
}

func (c *comparison) file(p string) *powershell.File {
	i := slices.IndexFunc(c.m.Files, func(f *powershell.File) bool { return f.Path == p })
	if i < 0 {
		c.Fatalf("%s: %s was not read", c.want.Module, p)
	}
	return c.m.Files[i]
}

func (c *comparison) compareFiles(files, broken *count) {
	for _, w := range c.want.Files {
		f := c.file(w.Path)
		if len(w.ParseErrors) > 0 {
			c.compareErrors(f, w, broken)
			continue
		}
		if c.says("syntax", w.Path, 1, anywhere) {
			files.told++
			c.differs(false, "%s parses, but not for the analysis: %v", w.Path, c.m.Findings)
			continue
		}
		files.equal++
		var got []*syntax.Node
		f.Walk(func(n, _ *syntax.Node) bool {
			if n.Kind == syntax.FuncDef {
				got = append(got, n)
			}
			return true
		})
		if len(got) != len(w.Functions) {
			c.Errorf("%s: %s has %d functions, want %d", c.want.Module, w.Path, len(got), len(w.Functions))
			continue
		}
		for i, n := range got {
			c.compareDefinition(f, n, w.Functions[i])
		}
	}
}

func (c *comparison) compareErrors(f *powershell.File, w observedFile, broken *count) {
	c.Helper()
	for _, e := range w.ParseErrors {
		if slices.ContainsFunc(c.m.Findings, func(g domain.ReviewFinding) bool {
			return g.Rule == "syntax" && g.File == f.Path && g.Line == e.Line && g.Column == e.Column
		}) {
			broken.equal++
			return
		}
	}
	broken.told++
	if !c.says("syntax", f.Path, 1, anywhere) && !c.says("unknown-declaration", f.Path, 1, anywhere) {
		c.Errorf("%s: %s does not parse, but is read without a finding", c.want.Module, f.Path)
	}
}

// compareDefinition compares a function's text, wherever it is.
func (c *comparison) compareDefinition(f *powershell.File, n *syntax.Node, w observedFunction) {
	line, column := f.Place(n.Pos)
	endLine, endColumn := f.Place(n.End)
	method := w.Kind == "method" || w.Kind == "constructor"
	if n.Func.Name != w.Name || endLine != w.Extent.EndLine || endColumn != w.Extent.EndColumn ||
		!method && (line != w.Extent.StartLine || column != w.Extent.StartColumn) {
		c.Errorf("%s: %s %s %d:%d-%d:%d, want %s %+v", c.want.Module, f.Path, n.Func.Name, line, column, endLine, endColumn, w.Name, w.Extent)
	}
}

func (c *comparison) compareManifests() {
	for _, w := range c.want.Manifests {
		if w.Path != c.want.Module+".psd1" {
			continue
		}
		refused := c.says("unknown-declaration", w.Path, 0, anywhere) || c.says("syntax", w.Path, 1, anywhere)
		switch {
		case c.m.Manifest == nil && !refused:
			c.Errorf("%s: no manifest, and no finding", c.want.Module)
		case c.m.Manifest == nil && w.ImportPowerShellDataFile.OK:
			c.differs(refused, "the manifest is refused")
		case c.m.Manifest != nil && !w.ImportPowerShellDataFile.OK:
			c.Errorf("%s: a manifest is read that PowerShell refuses", c.want.Module)
		case c.m.Manifest != nil:
			got, _ := json.Marshal(plain(c.m.Manifest.Data))
			want, _ := json.Marshal(w.ImportPowerShellDataFile.Data)
			if string(got) != string(want) {
				c.Errorf("%s: manifest\n%s\nwant\n%s", c.want.Module, got, want)
			}
		}
	}
}

// plain is a manifest's value as JSON would hold it.
func plain(v any) any {
	switch v := v.(type) {
	case *powershell.Hash:
		m := map[string]any{}
		for i, k := range v.Keys {
			m[k] = plain(v.Values[i])
		}
		return m
	case []any:
		all := []any{}
		for _, e := range v {
			all = append(all, plain(e))
		}
		return all
	}
	return v
}

func (c *comparison) compareExports() {
	run := c.want.Runtime
	got := map[string]*powershell.Function{}
	for _, f := range c.m.Functions {
		got[f.Name] = f
	}
	if !run.Imported {
		requires := c.m.Manifest != nil && len(c.m.Manifest.RequiredModules()) > 0 // which were not there when it was observed
		if !requires && !c.uncertain() {
			c.differs(false, "PowerShell does not import it, and there is no finding: %v", c.m.Findings)
		}
		return
	}
	uncertain := c.uncertain()
	for _, name := range run.ExportedFunctions {
		if got[name] == nil {
			c.functions.told++
			c.differs(uncertain, "the exported function %s is missing: %v", name, c.m.Findings)
		}
	}
	for name, f := range got {
		if !slices.Contains(run.ExportedFunctions, name) {
			c.functions.told++
			c.differs(uncertain, "%s is not exported, and was read: %v", name, c.m.Findings)
			continue
		}
		c.compareFunction(f)
	}
}

// compareFunction compares an exported function with its declaration.
func (c *comparison) compareFunction(f *powershell.Function) {
	prefixed := func(m *powershell.Module, name string) string {
		if m.Manifest != nil {
			return strings.Replace(name, "-", "-"+m.Manifest.Data.Text("DefaultCommandPrefix"), 1)
		}
		return name
	}
	i := slices.IndexFunc(c.want.Runtime.Commands, func(w observedCommand) bool {
		return w.Declaration.File == f.File.Path && w.Declaration.StartLine == f.Line && prefixed(c.m, w.Name) == f.Name
	})
	if i < 0 {
		c.functions.told++
		c.differs(c.uncertain(), "%s is not declared at %s:%d", f.Name, f.File.Path, f.Line)
		return
	}
	command := c.want.Runtime.Commands[i]
	wasTold := c.told
	c.told = false
	defer func() {
		if c.told {
			c.functions.told++
		} else {
			c.functions.equal++
		}
		c.told = c.told || wasTold
	}()
	var w observedFunction
	for _, file := range c.want.Files {
		for _, fn := range file.Functions {
			if file.Path == f.File.Path && fn.Extent.StartLine == f.Line && fn.Name == command.Declaration.AstName {
				w = fn
			}
		}
	}
	within := func() bool { return c.says("unknown-declaration", f.File.Path, w.Extent.StartLine, w.Extent.EndLine) }
	if len(w.Parameters) != len(f.Parameters) {
		c.Errorf("%s: %s has %d parameters, want %d", c.want.Module, f.Name, len(f.Parameters), len(w.Parameters))
		return
	}
	if (w.CmdletBinding != nil) != f.CmdletBinding {
		c.differs(false, "%s CmdletBinding %v", f.Name, f.CmdletBinding)
	}
	var help powershell.Help
	if w.Help != nil {
		help = powershell.Help{Synopsis: strings.TrimSpace(w.Help.Synopsis), Description: strings.TrimSpace(w.Help.Description)}
		for k, v := range w.Help.Parameters {
			if help.Parameters == nil {
				help.Parameters = map[string]string{}
			}
			help.Parameters[k] = strings.TrimSpace(v)
		}
	}
	if fmt.Sprintf("%q", help) != fmt.Sprintf("%q", f.Help) {
		c.differs(false, "the help of %s is %q, want %q", f.Name, f.Help, help)
	}
	for i, p := range f.Parameters {
		wp := w.Parameters[i]
		typed, def := "", ""
		if wp.TypeAsWritten != nil {
			typed = *wp.TypeAsWritten
		}
		if wp.Default != nil {
			def = wp.Default.Text
		}
		if p.Name != wp.Name || p.Line != wp.Line || p.Column != wp.Column || p.Type != typed || p.Default != def {
			c.differs(false, "%s parameter %+v, want %+v", f.Name, p, wp)
		}
		got := map[string]bool{}
		for _, s := range p.Sets {
			got[s.Name] = s.Mandatory
		}
		for name, s := range wp.ParameterSets {
			mandatory, there := got[name]
			if !there || s.Mandatory == nil || mandatory != *s.Mandatory {
				c.differs(within(), "%s -%s in %s: mandatory %v %v, want %v", f.Name, p.Name, name, mandatory, there, s.Mandatory)
			}
			if s.HelpMessage != nil && len(wp.ParameterSets) == 1 && *s.HelpMessage != p.HelpMessage {
				c.differs(within(), "%s -%s: help message %q, want %q", f.Name, p.Name, p.HelpMessage, *s.HelpMessage)
			}
		}
		if len(got) != len(wp.ParameterSets) {
			c.differs(within(), "%s -%s: sets %v, want %v", f.Name, p.Name, got, wp.ParameterSets)
		}
	}
	var want *powershell.AVS
	for _, a := range command.Attributes {
		if strings.EqualFold(a.Type, "AVSAttribute") && a.Values != nil {
			minutes, ok := a.Values["TimeoutMinutes"].(float64)
			if !ok {
				minutes, _ = a.Values["Minutes"].(float64)
			}
			if !ok && minutes == 0 {
				minutes, _ = a.Values["M"].(float64)
			}
			yes := func(k string) bool { b, _ := a.Values[k].(bool); return b }
			want = &powershell.AVS{Minutes: int(minutes), UpdatesSDDC: yes("UpdatesSDDC"), AutomationOnly: yes("AutomationOnly")}
		}
	}
	if f.AVS != nil {
		f.AVS.Line = 0
	}
	if command.AttributesError != nil {
		c.differs(within(), "%s: PowerShell finds %v", f.Name, command.AttributesError)
	} else if fmt.Sprint(f.AVS) != fmt.Sprint(want) {
		c.differs(within(), "%s has the AVSAttribute %v, want %v (%v) %v", f.Name, f.AVS, want, command.AttributesError, command.Attributes)
	}
}
