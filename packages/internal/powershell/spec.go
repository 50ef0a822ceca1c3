package powershell

import "github.com/airlock-run/airlock/internal/domain"

// Spec is what a nuspec made of the manifest says: whose the project is and where, and on which modules the package depends.
func (m *Manifest) Spec() domain.Spec {
	s := domain.Spec{Authors: m.Data.Text("Author"), ProjectURL: m.PSData().Text("ProjectUri"), Tags: m.PSData().List("Tags")}
	for _, r := range m.RequiredModules() {
		d := domain.Dependency{ID: r.Name, Range: r.Minimum}
		switch {
		case r.Exact != "":
			d.Range = "[" + r.Exact + "]"
		case r.Maximum != "":
			d.Range = "[" + r.Minimum + "," + r.Maximum + "]"
		}
		s.Dependencies = append(s.Dependencies, d)
	}
	return s
}
