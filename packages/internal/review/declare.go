package review

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/packages/internal/powershell"
	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// verbNoun is the form of a cmdlet's name in PowerShell, where manifests have it.
var verbNoun = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*-[A-Za-z][A-Za-z0-9]*$`)

// checkFunctions applies the rules on cmdlets in PowerShell.
func (r *report) checkFunctions(s Subject) {
	cmdlets := map[string]manifest.Cmdlet{}
	for _, c := range s.Manifest.Cmdlets {
		cmdlets[strings.ToLower(c.Name)] = c
	}
	for _, f := range s.Module.Functions {
		at := f.File.At(f.Def)
		if !verbNoun.MatchString(f.Name) && !slices.Contains(kinds, manifest.Lifecycle(strings.ToLower(f.Name))) {
			r.add(cmdletName, at, "%s is not of the form Verb-Noun, in letters and digits, which the API demands: rename it.", f.Name)
		}
		if !f.CmdletBinding {
			r.add(cmdletBinding, at, "%s takes arguments that it does not have, and knows no -ErrorAction: write [CmdletBinding()] over its param block.", f.Name)
		}
		switch {
		case f.AVS == nil:
			r.add(avsAttribute, at, "%s does not say how long it may take, and is ended after 30 minutes: write [AVSAttribute(minutes)] over its param block.", f.Name)
		case f.AVS.Minutes > 60:
			r.add(timeoutLimit, powershell.Place{File: at.File, Line: f.AVS.Line}, "%s asks for %d minutes, and 60 are the most: split its work.", f.Name, f.AVS.Minutes)
		}
		for _, b := range f.Def.Func.Body.Block.Named {
			if b.Name == "dynamicparam" {
				line, column := f.File.Place(b.Pos)
				r.add(dynamicParameters, powershell.Place{File: at.File, Line: line, Column: column}, "What this adds is not declared, so that nobody can give it: declare all parameters of %s.", f.Name)
			}
		}
		r.checkParameters(f, cmdlets[strings.ToLower(f.Name)])
	}
}

func (r *report) checkParameters(f *powershell.Function, c manifest.Cmdlet) {
	var inSets []powershell.Parameter
	for _, p := range f.Parameters {
		at := powershell.Place{File: f.File.Path, Line: p.Line, Column: p.Column}
		if q, _ := c.Parameter(p.Name); q.Note != "" {
			r.add(parameterType, at, "%s of %s goes as text, which PowerShell has to make a %s of: take a string, int, double, bool, switch, securestring or pscredential.", p.Name, f.Name, p.Type)
		}
		if slices.ContainsFunc(p.Sets, func(s powershell.Set) bool { return s.Name != powershell.AllSets }) {
			inSets = append(inSets, p)
		}
	}
	if len(inSets) > 0 {
		at := powershell.Place{File: f.File.Path, Line: inSets[0].Line, Column: inSets[0].Column}
		r.add(parameterSets, at, "%s has parameter sets, of which the API knows nothing: make a cmdlet of each set, or check in the body.", f.Name)
	}
}

// places says where the package's manifest and its cmdlets are.
func (s Subject) places() (home powershell.Place, at func(cmdlet string) powershell.Place) {
	if s.Module == nil {
		if s.Declared != nil {
			home.File = manifest.File
		}
		return home, func(cmdlet string) powershell.Place {
			i := bytes.Index(s.Declared, []byte(`"`+cmdlet+`"`))
			if i < 0 {
				return home
			}
			return powershell.Place{File: home.File, Line: 1 + bytes.Count(s.Declared[:i], []byte("\n"))}
		}
	}
	home = powershell.Place{File: s.Module.Name + ".psd1", Line: 1}
	if s.Module.Manifest != nil {
		home.File = s.Module.Manifest.File.Path
	}
	functions := map[string]*powershell.Function{} // there may be very many
	for _, f := range s.Module.Functions {
		functions[strings.ToLower(f.Name)] = f
	}
	return home, func(cmdlet string) powershell.Place {
		if f := functions[strings.ToLower(cmdlet)]; f != nil {
			return f.File.At(f.Def)
		}
		return home
	}
}

// checkLoads looks for what manifests load that is no script.
func (r *report) checkLoads(m *powershell.Module) {
	for _, f := range m.Files {
		for _, n := range f.Root.Kids {
			if n.Kind != syntax.Hash || !strings.EqualFold(path.Ext(f.Path), ".psd1") {
				continue
			}
			for pair := range slices.Chunk(n.Kids, 2) {
				key, _ := pair[0].Constant()
				pair[len(pair)-1].Walk(func(v *syntax.Node) bool {
					if text, ok := v.Constant(); ok && loads(strings.ToLower(key), strings.ToLower(path.Ext(text))) {
						r.add(foreignCode, f.At(v), "%s loads %.100q, which may hold code that this review does not read: write it in PowerShell scripts, or tell the reviewer where its source is.", key, text)
					}
					return true
				})
			}
		}
	}
}

// loads says whether a manifest's entry loads code from a file that is no script, by the file's extension.
func loads(key, extension string) bool {
	switch key {
	case "typestoprocess", "formatstoprocess", "requiredassemblies":
		return true
	case "rootmodule", "moduletoprocess", "nestedmodules":
		return extension == ".dll" || extension == ".exe" || extension == ".cdxml" || extension == ".xaml"
	}
	return false
}

// usesMOB is where the module uses $MOB_Connection first, nil for nowhere.
func usesMOB(m *powershell.Module) *powershell.Place {
	for _, f := range m.Files {
		var first *powershell.Place
		f.Root.Walk(func(n *syntax.Node) bool {
			if first == nil && n.Kind == syntax.Var && strings.EqualFold(plainName(n.Text), "MOB_Connection") {
				at := f.At(n)
				first = &at
			}
			return first == nil
		})
		if first != nil {
			return first
		}
	}
	return nil
}
