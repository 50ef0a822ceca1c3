package powershell_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages/internal/powershell"
)

// What each of these exports or declares differs from what it seems to: it must not stand without a finding.
func TestHiddenDeclarations(t *testing.T) {
	t.Parallel()
	const a = "function Get-A { }\nfunction Get-B { }\n"
	for _, script := range []string{
		a + "Set-Alias e Export-ModuleMember; e Get-A",
		a + "Measure-Command { Export-ModuleMember Get-A }",
		a + "Measure-Command { function Get-A { param($x) } }",
		a + "Invoke-Command -NoNewS { function Get-A { param($x) } }",
		a + "{ Export-ModuleMember Get-A } | % Invoke",
		a + "1 | Sort-Object { Export-ModuleMember Get-A }",
		a + "Set-Item Microsoft.PowerShell.Core\\Function::Get-A { param($x) }",
		a + "Set-Location Function:; Set-Item Get-A { param($x) }",
		a + "New-PSDrive f Function ''; Set-Item f:Get-A { param($x) }",
		a + "${function:Get-A}, $y = { param($x) }, 1",
		a + "$ExecutionContext.SessionState.InvokeProvider.Item.Set('function:Get-A', { param($x) })",
		a + "class X { static [void] Run() { Export-ModuleMember Get-A } }; [X]::Run()",
		a + "$p = @{ Func = 'Get-A' }; Export-ModuleMember @p",
		"param($x = $(function Get-A { }))",
		a + "Set-Alias Get-A Get-B",
		"class P : Management.Automation.ParameterAttribute { P() { $this.Mandatory = $true } }\nfunction Get-A { param([P()] $x) }",
		a + "$n = 'A'; Write-Output B -OutVariable n; Export-ModuleMember \"Get-$n\"",
		a + "$n = 'A'; Set-Item variable:n B; Export-ModuleMember \"Get-$n\"",
		a + "$n = 'A'; (Get-Variable n).Value = 'B'; Export-ModuleMember \"Get-$n\"",
		a + "$n = 'A'; & { Set-Variable n B -Scope 1 }; Export-ModuleMember \"Get-$n\"",
		a + "Export-ModuleMember ('Get-{0}' -f '{1}', 'A')",
		a + "Export-ModuleMember ('Get-A' + $true)",
		". (Get-ChildItem $PSScriptRoot/*.ps1 | Sort-Object Name -Bottom 1).FullName",
		"foreach ($f in (Get-ChildItem $PSScriptRoot/lib -Include *.ps1)) { . $f }",
		". $PSScriptRoot/LIB/a.ps1",
		"Import-Module $PSScriptRoot/lib/c.psm1; function Get-C { param($x) }",
	} {
		m, err := powershell.Read(fstest.MapFS{
			"M.psm1": {Data: []byte(script)}, "lib/a.ps1": {Data: []byte("function Get-A { }")}, "lib/c.psm1": {Data: []byte("function Get-C { }")},
			"a.ps1": {Data: []byte("function Get-A { }")}, "b.ps1": {Data: []byte("function Get-B { }")},
		}, "M")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(m.Findings, func(f domain.ReviewFinding) bool { return f.Rule == "unknown-declaration" }) {
			var names []string
			for _, f := range m.Functions {
				names = append(names, f.Name)
			}
			t.Errorf("%s\n\texports %s, and nothing was found", strings.TrimPrefix(script, a), names)
		}
	}
}

// PowerShell looks for each type in the namespace System too.
func TestAttributesBySystem(t *testing.T) {
	t.Parallel()
	for _, attribute := range []string{"Management.Automation.Parameter", "Management.Automation.ParameterAttribute", "System.Management.Automation.Parameter", "Parameter"} {
		m, err := powershell.Read(fstest.MapFS{"M.psm1": {Data: []byte("function Get-A { param([" + attribute + "(Mandatory = 1)] $x) }")}}, "M")
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Functions) != 1 || !m.Functions[0].Parameters[0].Mandatory {
			t.Errorf("%s does not make the parameter mandatory: %v", attribute, m.Findings)
		}
	}
}
