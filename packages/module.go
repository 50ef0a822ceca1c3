package packages

import (
	"errors"
	"fmt"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages/internal/nupkg"
	"github.com/airlock-run/airlock/packages/internal/powershell"
	"github.com/airlock-run/airlock/packages/internal/review"
)

// errNoModule says that an archive holds no PowerShell module.
var errNoModule = errors.New("there is no module's manifest")

// readModule reads the PowerShell module that has the package's name, and whose manifest lies at the archive's root, from its
// source. The error is errNoModule where there is none.
func readModule(archive *nupkg.Archive) (review.Subject, error) {
	id := archive.Nuspec.ID
	name := ""
	for _, f := range archive.Files() {
		if strings.EqualFold(f, id+".psd1") {
			name = f[:len(id)]
		}
	}
	if name == "" {
		return review.Subject{}, errNoModule
	}
	module, err := powershell.ReadFiles(archive.Files(), archive.Open, name)
	if err != nil {
		return review.Subject{}, err
	}
	m := module.Package()
	m.Name = id
	return review.Subject{Manifest: m, Module: module}, nil
}

// checkModule says why a module cannot be a package.
func checkModule(s review.Subject) error {
	if len(s.Manifest.Cmdlets) == 0 || s.Module.Manifest == nil {
		return withoutCmdlets(s.Module)
	}
	return s.Manifest.Validate()
}

// withoutCmdlets says why a module offers nothing, by the first error that was found in it.
func withoutCmdlets(module *powershell.Module) error {
	for _, f := range module.Findings {
		if f.Severity == domain.SeverityError {
			return fmt.Errorf("no cmdlets were found in the module. %s:%d:%d: %s", f.File, f.Line, f.Column, strings.TrimSuffix(f.Message, "."))
		}
	}
	return errors.New("the module exports no functions, so that it has no cmdlets; import it as a library if others need it")
}
