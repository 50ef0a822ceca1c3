package powershell_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/airlock-run/airlock/packages/internal/powershell"
)

// What is exported by a root module beside a.ps1 (Get-A) and b.ps1 (Get-B), and where a finding says that it cannot be told
// ("?LINE" after the names).
func TestFollowsWhatAnImportDoes(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		". $PSScriptRoot/a.ps1":  "Get-A",
		". $PSScriptRoot\\a.ps1": "Get-A",
		". (Join-Path (Split-Path -Parent $PSCommandPath) 'b.ps1')": "Get-B",
		". $x":                                 "?1",
		". ./a.ps1":                            "?1",
		"$n = 'a'; . \"$PSScriptRoot/$n.ps1\"": "Get-A",
		"$n = 'a'; $n = Get-It; . \"$PSScriptRoot/$n.ps1\"":                                            "?1",
		"foreach ($f in 'a', 'b') { if ($f -eq 'b') { break }; . \"$PSScriptRoot/$f.ps1\" }":           "Get-A",
		"'a', 'b' | ForEach-Object { if ($_ -eq 'a') { return }; . \"$PSScriptRoot/$_.ps1\" }":         "Get-B",
		"gci $PSScriptRoot -Filter *.ps1 | % { . $_.FullName }":                                        "Get-A Get-B",
		"if (Test-Path $PSScriptRoot/a.ps1) { . $PSScriptRoot/a.ps1 }":                                 "Get-A",
		"if ($env:X) { function Get-X { } }":                                                           "Get-X ?1",
		"if ($env:X) { return }\nfunction Get-X { }":                                                   "Get-X ?1",
		"if ($env:X) { throw }\nfunction Get-X { }":                                                    "Get-X",
		"function Get-X { }; function Get-Y { }; Export-ModuleMember Get-X":                            "Get-X",
		"function Get-X { }; $s = @{ Function = 'Get-X' }; $s.Function = 'No'; Export-ModuleMember @s": "Get-X ?1",
		"function Get-X { }; $l = 'No'; & { $l = 'Get-X' }; Export-ModuleMember $l":                    "",
		"function Get-X { }; function S { $script:l = 'Get-X' }; $l = 'No'; S; Export-ModuleMember $l": "Get-X S ?1",
		"try { throw 'x' } catch { }; function Get-X { }":                                              "Get-X",
		"function Stop { throw 'x' }; Stop; function Get-X { }":                                        "?",
		"Import-Module VMware.VimAutomation.Core; function Get-X { }":                                  "Get-X ?1",
		"& { function Get-X { } }; . { function Get-Y { } }":                                           "Get-Y",
		"$f = 'a'; while ($true) { $f = Get-Next; break }; . \"$PSScriptRoot/$f.ps1\"":                 "?1",
	} {
		m, err := powershell.Read(fstest.MapFS{"M.psm1": {Data: []byte(script)}, "a.ps1": {Data: []byte("function Get-A { }")}, "b.ps1": {Data: []byte("function Get-B { }")}}, "M")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range m.Functions {
			got = append(got, f.Name)
		}
		if len(m.Findings) > 0 {
			got = append(got, "?")
			if m.Findings[0].Line == 1 {
				got[len(got)-1] = "?1"
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s\ngot  %v %v\nwant %s", script, got, m.Findings, want)
		}
	}
}
