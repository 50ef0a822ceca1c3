package powershell

import (
	"strings"
	"unicode"

	"github.com/airlock-run/airlock/sdk/manifest"
)

// Declare is what the module offers through the API: its exported functions. One whose name, or a parameter whose name,
// the API cannot carry is left out, with a finding.
func (m *Module) Declare() []manifest.Cmdlet {
	var all []manifest.Cmdlet
	for _, f := range m.Functions {
		at := f.File.At(f.Def)
		if !manifest.ValidCmdlet(f.Name) {
			m.unknown(at, "The function %s is exported, but cannot be a cmdlet: name it Verb-Noun, or do not export it.", f.Name)
			continue
		}
		c := manifest.Cmdlet{Name: f.Name, Description: clean(f.Help.Synopsis), Parameters: []manifest.Parameter{}}
		if c.Description == "" {
			c.Description = clean(f.Help.Description)
		}
		if f.AVS != nil {
			c.TimeoutSeconds, c.UpdatesSDDC, c.AutomationOnly = 60*f.AVS.Minutes, f.AVS.UpdatesSDDC, f.AVS.AutomationOnly
		}
		if manifest.Lifecycle(f.Name).Valid() {
			c.Lifecycle = manifest.Lifecycle(f.Name)
		}
		seen := map[string]bool{}
		for _, p := range f.Parameters {
			if key := strings.ToLower(p.Name); !manifest.ValidParameter(p.Name) || seen[key] {
				m.unknown(Place{at.File, p.Line, p.Column}, "The parameter %s of %s cannot be given through the API. Name it with letters, digits and '_'.", p.Name, f.Name)
			} else {
				seen[key] = true
				c.Parameters = append(c.Parameters, p.declare())
			}
		}
		all = append(all, c)
	}
	return all
}

func (p Parameter) declare() manifest.Parameter {
	out := manifest.Parameter{Name: p.Name, Description: clean(p.HelpMessage), Required: p.Mandatory, Default: clean(p.Default)}
	if out.Description == "" {
		out.Description = clean(p.Help)
	}
	var known bool
	if out.Type, known = apiType(p.Type); !known && p.Type != "" {
		out.Note = clean("The value goes as text to the PowerShell type " + p.Type + ".")
	}
	if out.Type.Secret() {
		out.Default = ""
	}
	return out
}

// apiType is the API's type for one of PowerShell, and whether it carries the same values; everything else goes as text.
func apiType(name string) (t manifest.Type, known bool) {
	name = strings.TrimPrefix(strings.ToLower(strings.ReplaceAll(name, " ", "")), "system.")
	switch strings.TrimPrefix(name, "management.automation.") {
	case "string":
		return manifest.String, true
	case "securestring", "security.securestring":
		return manifest.SecureString, true
	case "pscredential":
		return manifest.Credential, true
	case "int", "int32":
		return manifest.Int, true
	case "bool", "boolean", "switch", "switchparameter":
		return manifest.Bool, true
	case "double", "float", "single", "decimal":
		return manifest.Float, true
	}
	return manifest.String, false
}

// clean is text for people, within the bounds of a manifest.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' {
			return -1
		}
		return r
	}, s)
	const most = 4000
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + " …"
	}
	return s
}

// Package is the declaration of the whole package: what its manifest says, and its cmdlets.
func (m *Module) Package() manifest.Manifest {
	out := manifest.Manifest{ManifestVersion: manifest.Version, Name: m.Name, Runtime: manifest.PowerShell, Cmdlets: m.Declare()}
	if m.Manifest != nil {
		out.Version = m.Manifest.Version()
		out.Description = clean(m.Manifest.Data.Text("Description"))
		out.Company = clean(m.Manifest.Data.Text("CompanyName"))
		out.ProjectURI = clean(m.Manifest.PSData().Text("ProjectUri"))
	}
	return out
}
