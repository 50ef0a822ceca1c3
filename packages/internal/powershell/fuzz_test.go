package powershell_test

import (
	"testing"
	"testing/fstest"

	"github.com/airlock-run/airlock/packages/internal/powershell"
	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// readOne reads a module of one script, and checks what holds for all of them.
func readOne(t *testing.T, files fstest.MapFS) *powershell.Module {
	m, err := powershell.Read(files, "M")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range m.Files {
		f.Walk(func(n, _ *syntax.Node) bool {
			if n.Pos < 0 || n.End < n.Pos || n.End > len(f.Text) {
				t.Fatalf("a node of kind %d from %d to %d in %d bytes", n.Kind, n.Pos, n.End, len(f.Text))
			}
			return true
		})
		f.Commands(func(c powershell.Call) { c.Arg("Name", 0) })
	}
	for _, f := range m.Findings {
		if f.Rule == "" || f.Message == "" || f.Line < 0 || f.Column < 0 {
			t.Fatalf("%+v", f)
		}
	}
	for _, f := range m.Functions {
		if f.Name == "" || f.Line < 1 || f.Def == nil {
			t.Fatalf("%+v", f)
		}
	}
	return m
}

func seed(f *testing.F, extension string) {
	for _, fsys := range declarations(f) {
		for p, file := range fsys {
			if len(p) > len(extension) && p[len(p)-len(extension):] == extension && len(file.Data) < 4<<10 {
				f.Add(file.Data)
			}
		}
	}
}

// FuzzManifest reads anything as a module's manifest.
func FuzzManifest(f *testing.F) {
	seed(f, ".psd1")
	f.Fuzz(func(t *testing.T, data []byte) {
		m := readOne(t, fstest.MapFS{"M.psd1": {Data: data}, "M.psm1": {Data: []byte("function Get-A { }")}})
		if m.Manifest == nil && len(m.Findings) == 0 {
			t.Fatal("no manifest, and no finding")
		}
		if m.Manifest != nil {
			m.Manifest.RequiredModules()
			m.Manifest.Version()
		}
	})
}

// FuzzScript reads anything as a module's script.
func FuzzScript(f *testing.F) {
	seed(f, ".psm1")
	f.Fuzz(func(t *testing.T, data []byte) {
		readOne(t, fstest.MapFS{"M.psm1": {Data: data}, "a.ps1": {Data: []byte("function Get-B { }")}})
	})
}
