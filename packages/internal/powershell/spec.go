package powershell

import "github.com/airlock-run/airlock/internal/domain"

// Spec is what a nuspec made of the manifest says: where the project is, and on which modules the package depends.
func (m *Manifest) Spec() domain.Spec {
	s := domain.Spec{ProjectURL: m.PSData().Text("ProjectUri")}
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
