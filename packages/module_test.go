package packages_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// moduleFiles are those of a package with a PowerShell module that has one script.
func moduleFiles(script string) [][2]string {
	return [][2]string{
		{"Contoso.Pod.nuspec", strings.NewReplacer("ID", "Contoso.Pod", "VERSION", "1.0.0-dev").Replace(nuspecForm)},
		{"Contoso.Pod.psd1", `@{ RootModule = 'Contoso.Pod.psm1'; ModuleVersion = '1.0.0'; Description = 'Pods.'; CompanyName = 'Contoso'
			FunctionsToExport = 'Install-Pod'; PrivateData = @{ PSData = @{ Prerelease = 'dev'; ProjectUri = 'https://example.com' } } }`},
		{"Contoso.Pod.psm1", script},
	}
}

func TestPushesAModule(t *testing.T) {
	t.Parallel()
	r, _ := repository(t)
	p, err := r.Push(t.Context(), bytes.NewReader(archive(t, moduleFiles(`<#
.SYNOPSIS
  Installs a pod.
.PARAMETER Filter
  Which.
#>
function Install-Pod {
    [CmdletBinding()] [AVSAttribute(10, UpdatesSDDC = $true, AutomationOnly = $true)]
    param([Parameter(Mandatory, HelpMessage = 'Its name')][string]$Name, [securestring]$Secret, [pscredential]$Login, [int]$Count = 3,
        [switch]$Force, [double]$Ratio, [hashtable]$Filter)
}`)...)), domain.Principal{})
	if err != nil {
		t.Fatal(err)
	}
	m := p.Manifest
	if p.Ref() != "Contoso.Pod@1.0.0-dev" || m.Runtime != manifest.PowerShell || m.Company != "Contoso" || m.ProjectURI != "https://example.com" || len(m.Cmdlets) != 1 {
		t.Fatalf("%+v", p)
	}
	c := m.Cmdlets[0]
	want := []manifest.Parameter{
		{Name: "Name", Type: manifest.String, Required: true, Description: "Its name"}, {Name: "Secret", Type: manifest.SecureString},
		{Name: "Login", Type: manifest.Credential}, {Name: "Count", Type: manifest.Int, Default: "3"}, {Name: "Force", Type: manifest.Bool},
		{Name: "Ratio", Type: manifest.Float},
		{Name: "Filter", Type: manifest.String, Description: "Which.", Note: "The value goes as text to the PowerShell type hashtable."},
	}
	if c.Name != "Install-Pod" || c.Description != "Installs a pod." || c.TimeoutSeconds != 600 || !c.UpdatesSDDC || !c.AutomationOnly || !slices.Equal(c.Parameters, want) {
		t.Errorf("%+v", c)
	}
}

func TestRefusesAModule(t *testing.T) {
	t.Parallel()
	r, _ := repository(t)
	for name, c := range map[string]struct {
		files [][2]string
		says  string
	}{
		"too long":     {moduleFiles("function Install-Pod { [AVSAttribute(61)] param() }"), "longer than 1h0m0s"},
		"no functions": {moduleFiles("function Get-Other { }"), "no cmdlets"},
		"broken":       {moduleFiles("function { "), "Contoso.Pod.psm1:1:9: PowerShell does not accept this script"},
		"no manifest":  {moduleFiles("")[:1], "Contoso.Pod.psd1"},
	} {
		_, err := r.Push(t.Context(), bytes.NewReader(archive(t, c.files...)), domain.Principal{})
		if !errors.Has(err, errors.InvalidPackage) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want it to say %q", name, err, c.says)
		}
	}
}
