package powershell_test

import (
	"testing"
	"testing/fstest"

	"github.com/airlock-run/airlock/packages/internal/powershell"
)

func TestReadsAModule(t *testing.T) {
	t.Parallel()
	m, err := powershell.Read(fstest.MapFS{
		"M.psd1": {Data: []byte("@{ RootModule = 'M.psm1'; ModuleVersion = '1.0'; FunctionsToExport = 'Set-It'; PrivateData = @{ PSData = @{ Prerelease = 'dev' } } }")},
		"M.psm1": {Data: []byte(`function Set-It {
    [CmdletBinding()] [AVSAttribute(10 + 5, UpdatesSDDC = $true)]
    param([Parameter(Mandatory)][securestring]$Secret, [int]$Count = 3)
    Get-VM -Name x | Remove-VM -Confirm:$false; & $SSH_Sessions
}`)}}, "M")
	if err != nil || len(m.Findings) > 0 || len(m.Functions) != 1 {
		t.Fatalf("%+v, %v", m, err)
	}
	f := m.Functions[0]
	if f.Name != "Set-It" || !f.CmdletBinding || *f.AVS != (powershell.AVS{Line: 2, Minutes: 15, UpdatesSDDC: true}) || len(f.Parameters) != 2 ||
		!f.Parameters[0].Mandatory || f.Parameters[1].Default != "3" || m.Manifest.Version() != "1.0-dev" || !m.UsesSSH || m.UsesSFTP {
		t.Errorf("%+v", f)
	}
	var names []string
	m.Files[1].Commands(func(c powershell.Call) { names = append(names, c.Operator+c.Name) })
	if len(names) != 3 || names[0] != "Get-VM" || names[1] != "Remove-VM" || names[2] != "&" {
		t.Errorf("commands %q", names)
	}
}
