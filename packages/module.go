package packages

import (
	"errors"
	"fmt"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages/internal/nupkg"
	"github.com/airlock-run/airlock/packages/internal/powershell"
)

// errNoModule says that an archive holds no PowerShell module.
var errNoModule = errors.New("there is no module's manifest")

// describeModule reads what a PowerShell module offers from its source: the module that has the package's name, whose
// manifest lies at the archive's root. The error is errNoModule where there is none.
func describeModule(archive *nupkg.Archive) (domain.Package, error) {
	id := archive.Nuspec.ID
	name := ""
	for _, f := range archive.Files() {
		if strings.EqualFold(f, id+".psd1") {
			name = f[:len(id)]
		}
	}
	if name == "" {
		return domain.Package{}, errNoModule
	}
	module, err := powershell.ReadFiles(archive.Files(), archive.Open, name)
	if err != nil {
		return domain.Package{}, err
	}
	m := module.Package()
	m.Name = id
	if len(m.Cmdlets) == 0 || module.Manifest == nil {
		return domain.Package{}, withoutCmdlets(module)
	}
	if err := m.Validate(); err != nil {
		return domain.Package{}, err
	}
	p, err := described(archive, m)
	p.Findings = module.Findings
	return p, err
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
