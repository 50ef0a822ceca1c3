package powershell

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// Limits of a module: what lies beyond them is not read, and is a finding.
const (
	maxFiles = 2000
	maxBytes = 8 << 20 // of all scripts; a tree takes up to a hundred times as much memory

	maxFindings = 1000
)

// Read reads the module called name, whose files lie at the root of fsys. Its error is that of reading files; all that
// is wrong with the module is in its findings.
func Read(fsys fs.FS, name string) (*Module, error) {
	var files []string
	err := fs.WalkDir(fsys, ".", func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, p)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return ReadFiles(files, func(p string) (io.ReadCloser, error) { return fsys.Open(p) }, name)
}

// ReadFiles reads the module called name, of whose files only the scripts are opened.
func ReadFiles(files []string, open func(name string) (io.ReadCloser, error), name string) (*Module, error) {
	m := &Module{Name: name, byPath: map[string]*File{}, sourced: map[*syntax.Node]bool{}}
	total := 0
	for _, p := range slices.Sorted(slices.Values(files)) {
		if !script(p) {
			continue
		}
		if len(m.Files) == maxFiles || total > maxBytes {
			m.unknown(Place{File: p}, "The module has more than %d scripts or %d MiB of them; this one and what follows it were not read.", maxFiles, maxBytes>>20)
			break
		}
		f, err := readFile(open, p)
		if err != nil {
			return nil, err
		}
		total += len(f.Text)
		m.Files = append(m.Files, f)
		m.byPath[strings.ToLower(p)] = f
	}
	for _, f := range m.Files {
		for _, e := range f.Errors {
			line, column := f.Place(e.Pos)
			m.find("syntax", domain.SeverityError, Place{f.Path, line, column}, "PowerShell does not accept this script: %s Correct it.", e.Message)
		}
		m.uses(f)
		m.classes(f)
	}
	m.readManifest()
	m.readExports()
	slices.SortStableFunc(m.Findings, compareFindings)
	return m, nil
}

func compareFindings(a, b domain.ReviewFinding) int {
	if a.File != b.File {
		return strings.Compare(a.File, b.File)
	}
	return a.Line - b.Line
}

func script(p string) bool {
	switch strings.ToLower(path.Ext(p)) {
	case ".psd1", ".psm1", ".ps1":
		return true
	}
	return false
}

func readFile(open func(string) (io.ReadCloser, error), p string) (*File, error) {
	r, err := open(p)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, syntax.MaxSize+1))
	if err != nil {
		return nil, err
	}
	return &File{p, syntax.Parse(data)}, nil
}

func (m *Module) find(rule string, severity domain.Severity, at Place, format string, args ...any) {
	switch len(m.Findings) {
	case maxFindings:
		rule, severity, at, format, args = "unknown-declaration", domain.SeverityError, Place{}, "The module has more than %d findings; the rest is left out.", []any{maxFindings}
	case maxFindings + 1:
		return
	}
	m.Findings = append(m.Findings, domain.ReviewFinding{Rule: rule, Severity: severity, File: at.File, Line: at.Line, Column: at.Column,
		Message: fmt.Sprintf(format, args...)})
}

// unknown is a finding that something cannot be told, or not be used, as it is written.
func (m *Module) unknown(at Place, format string, args ...any) {
	m.find("unknown-declaration", domain.SeverityError, at, format, args...)
}

// open is a finding about what the module exports without naming it.
func (m *Module) open(at Place, format string, args ...any) {
	m.find("exports-open", domain.SeverityWarning, at, format, args...)
}

// uses looks for the platform's sessions.
func (m *Module) uses(f *File) {
	f.Walk(func(n, _ *syntax.Node) bool {
		name := ""
		switch n.Kind {
		case syntax.Var, syntax.Splat:
			name = n.Text[strings.IndexByte(n.Text, ':')+1:]
		case syntax.String:
			name = n.Text
		}
		m.UsesSSH = m.UsesSSH || strings.EqualFold(name, "SSH_Sessions")
		m.UsesSFTP = m.UsesSFTP || strings.EqualFold(name, "SFTP_Sessions")
		return true
	})
}

// file is the module's file at p, whose separators may be of both kinds and whose case does not matter; nil for none.
func (m *Module) file(p string) *File {
	return m.byPath[strings.ToLower(path.Clean(strings.ReplaceAll(p, `\`, "/")))]
}
