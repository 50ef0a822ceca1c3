package packages_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages"
	"github.com/airlock-run/airlock/sdk/manifest"
)

const (
	moduleManifest = `@{
    RootModule = 'Contoso.Backup.psm1'
    ModuleVersion = '1.5.0'
    FunctionsToExport = 'Get-Backup'
    RequiredModules = @(@{ ModuleName = 'Microsoft.AVS.Management'; RequiredVersion = '8.0.0' })
}
`
	moduleScript = `function Get-Backup {
    [CmdletBinding()]
    [AVSAttribute(10)]
    param([string] $Name)
    Connect-VIServer -Server $Name
}
`
	moduleNuspec = `<?xml version="1.0"?><package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata><id>Contoso.Backup</id><version>1.5.0</version><dependencies><dependency id="Microsoft.AVS.Management" version="[8.0.0]" /></dependencies></metadata></package>`
)

func writeFiles(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func found(findings []domain.ReviewFinding) []string {
	var all []string
	for _, f := range findings {
		all = append(all, fmt.Sprintf("%s:%d %s", f.File, f.Line, f.Rule))
	}
	return all
}

// A PowerShell module is checked in its directory as in its .nupkg.
func TestCheckModule(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, t.TempDir(), map[string]string{"Contoso.Backup.psd1": moduleManifest, "Contoso.Backup.psm1": moduleScript})
	file := filepath.Join(t.TempDir(), "x.nupkg")
	packed := archive(t, [2]string{"Contoso.Backup.nuspec", moduleNuspec}, [2]string{"Contoso.Backup.psd1", moduleManifest}, [2]string{"Contoso.Backup.psm1", moduleScript})
	if err := os.WriteFile(file, packed, 0o644); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"Contoso.Backup.psd1:1 lifecycle-missing", "Contoso.Backup.psd1:1 project-uri",
		"Contoso.Backup.psm1:1 cmdlet-help", "Contoso.Backup.psm1:1 parameter-help", "Contoso.Backup.psm1:5 login",
	}
	for _, path := range []string{dir, file} {
		findings, err := packages.Check(t.Context(), path, "")
		if got := found(findings); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v\nwant %v", path, got, err, want)
		}
	}
}

// A package in Go is checked as it is built, and against the version before.
func TestCheckAgainstPrevious(t *testing.T) {
	t.Parallel()
	now, before := declared("Contoso.Tools", "1.3.0"), declared("Contoso.Tools", "1.2.0")
	before.Cmdlets = append(before.Cmdlets, manifest.Cmdlet{Name: "Get-More", Parameters: []manifest.Parameter{}})
	findings, err := packages.Check(t.Context(), directory(t, now, nil), directory(t, before, nil))
	if got := found(findings); err != nil || !slices.Contains(got, "airlock.json:0 interface-break") || !slices.Contains(got, "airlock.json:12 cmdlet-help") {
		t.Errorf("%v, %v", got, err)
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	several := writeFiles(t, t.TempDir(), map[string]string{"A.psd1": "@{}", "B.psd1": "@{}"})
	text := filepath.Join(writeFiles(t, t.TempDir(), map[string]string{"x.txt": "text"}), "x.txt")
	for path, says := range map[string]string{several: "several .psd1", text: "no zip archive", "/nowhere": "no such file"} {
		if _, err := packages.Check(t.Context(), path, ""); !errors.Has(err, errors.InvalidPackage) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", path, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := packages.Check(ctx, t.TempDir(), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// A push keeps what the review found, which compares with the version that users of the ring have.
func TestPushReviews(t *testing.T) {
	t.Parallel()
	r, _ := repository(t)
	push := func(version string, cmdlets ...string) domain.Package {
		t.Helper()
		m := declared("Contoso.Tools", version)
		m.Cmdlets = nil
		for _, name := range cmdlets {
			m.Cmdlets = append(m.Cmdlets, manifest.Cmdlet{Name: name, Description: "does it", Parameters: []manifest.Parameter{}})
		}
		packed, err := packages.Pack(t.Context(), directory(t, m, nil), t.TempDir(), packages.PackOptions{})
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(packed.Path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := r.Push(t.Context(), bytes.NewReader(data), domain.Principal{ID: "vendor"})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	push("1.0.0", "Get-A", "Get-B", "Get-C")
	if _, err := r.Approve(t.Context(), "Contoso.Tools@1.0.0", domain.Principal{ID: "reviewer"}, nil); err != nil {
		t.Fatal(err)
	}
	push("1.1.0-preview", "Get-A", "Get-B")
	push("1.2.0", "Get-A") // 1.1.0-preview is not approved, and of a ring that its users do not see
	p := push("1.3.0", "Get-A", "Get-B")
	if got := p.Errors(); !slices.Equal(got, []string{"interface-break"}) {
		t.Errorf("%v in %v", got, p.Findings)
	}
	if _, err := r.Approve(t.Context(), p.Ref(), domain.Principal{ID: "reviewer"}, nil); !errors.Has(err, errors.InvalidRequest) {
		t.Errorf("an approval without an acknowledgement: %v", err)
	}
	if _, err := r.Approve(t.Context(), p.Ref(), domain.Principal{ID: "reviewer"}, []string{"interface-break"}); err != nil {
		t.Error(err)
	}
	if p := push("2.0.0", "Get-A"); len(p.Errors()) > 0 {
		t.Errorf("a new major version has the errors %v", p.Errors())
	}
}
