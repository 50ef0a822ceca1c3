package review_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Each of these does what a rule is about, in a way that hides it: one of the rules has to say something.
func TestHiddenCalls(t *testing.T) {
	t.Parallel()
	for rules, scripts := range map[string][]string{
		"login computed-call": {
			"& ‘Connect-VIServer’ x", "C`onnect-VIServer x", "VMware.VimAutomation.Core\\Connect-VIServer x", ". 'Connect-VIServer' x",
			"Set-Alias x Connect-VIServer; x a; Set-Alias x Get-Date",
			"$alias:x, $y = 'Connect-VIServer', 1; x-y",
			"Set-Item Microsoft.PowerShell.Core\\Alias::Get-X Connect-VIServer; Get-X",
			"Set-Location Alias:; New-Item Get-X -Value Connect-VIServer; Get-X",
			"New-PSDrive a Alias ''; Set-Item a:Get-X Connect-VIServer; Get-X",
			"Import-Alias $PSScriptRoot/aliases.csv; Get-X",
			"class X { [object] $P = (Connect-VIServer x) }", "class X { M($a = (Connect-VIServer x)) { } }",
			"function F { param([ValidateScript({ Connect-VIServer x })] $a) }", "function F($a = (Connect-VIServer x)) { }",
			"Get-VM > $(Connect-VIServer x)", "@{ (Connect-VIServer x) = 1 }", "\"$(Connect-VIServer x)\"", "@\"\n$(Connect-VIServer x)\n\"@",
			"function F { clean { Connect-VIServer x } }", "switch (1) { { Connect-VIServer x } { } }", "trap { Connect-VIServer x }",
			"Get-VM && Connect-VIServer x", "$a ?? (Connect-VIServer x)", "$a[(Connect-VIServer x)]", "Get-VM -Name:(Connect-VIServer x)",
			"enum E { A = 1 }; [E]::$(Connect-VIServer x)", "filter F { param($x) Connect-VIServer x }",
			"[powershell]::Create().AddCommand('Connect-VIServer')",
		},
		"computed-call": {
			"function iex { }; iex 'Get-VM'",
			"function Get-A { param($c) if (0) { $c = { } }; & $c }",
			"function Get-A { $x = { }; $x, $y = 'Get-VM', 1; & $x }",
			"function Get-A { $x = { }; Set-Variable x Get-VM; & $x }",
			"function Get-A { $x = { }; Write-Output Get-VM -OutVariable x; & $x }",
			"function Get-A { $x = @{ a = { } }; $x.a = 'Get-VM'; & $x.a }",
			"function Get-A { $x = @{ a = { } }; $x['b'] = 'Get-VM'; & $x.b }",
			"function Get-A { $x = @{ a = { } }; $x.Add('b', 'Get-VM'); & $x.b }",
			"$x = 'Get-VM'; function Get-A { $x = { }; & $script:x }",
			"$script:x = { . $script:command }; function Get-A { & $script:x }",
			"$ExecutionContext.InvokeCommand | ForEach-Object InvokeScript $text",
			"$ExecutionContext.InvokeCommand | % -MemberName InvokeScript -ArgumentList $text",
			"$ExecutionContext.InvokeCommand.ForEach('InvokeScript', $text)",
			"1 | % ([Management.Automation.Language.Parser]::ParseInput($a, [ref] $null, [ref] $null).GetScriptBlock())",
			"1 | ? ([Management.Automation.Language.Parser]::ParseInput($a, [ref] $null, [ref] $null).GetScriptBlock())",
			"[powershell]::Create().AddCommand('Invoke-Expression').AddParameter('Command', $a)",
			"$p.BeginInvoke()", "New-Module -ScriptBlock $block", "[scriptblock]::(\"Create\")($a)",
			"Set-Alias Get-X Invoke-Expression; Get-X $a",
		},
		"foreign-code": {
			"[AppDomain]::CurrentDomain.Load($bytes)", "[Runtime.Loader.AssemblyLoadContext]::Default.LoadFromAssemblyPath($p)",
			"[Runtime.InteropServices.NativeLibrary]::Load($p)", "[Runtime.InteropServices.Marshal]::GetDelegateForFunctionPointer($p, $t)",
			"[Reflection.Emit.AssemblyBuilder]::DefineDynamicAssembly($n, 'Run')", "Update-TypeData -AppendPath $PSScriptRoot/x.ps1xml",
			"Add-Type -AssemblyName ./x.dll", "Import-Module a, b.dll",
		},
		"child-process": {"Get-VM &", "function Get-A { openssl & }"},
	} {
		for _, script := range scripts {
			var got []string
			for _, f := range check(t, map[string]string{name + ".psm1": script}, known) {
				got = append(got, f.Rule)
			}
			if !slices.ContainsFunc(strings.Fields(rules), func(rule string) bool { return slices.Contains(got, rule) }) {
				t.Errorf("%s\n\tfound %v, want one of %s", script, got, rules)
			}
		}
	}
}

// A script that runs only when a cmdlet does is not followed at the import, so that what it dot-sources counts as a call.
func TestDotSourcedByOtherScripts(t *testing.T) {
	t.Parallel()
	found := check(t, map[string]string{
		name + ".psm1": "function Get-A { & \"$PSScriptRoot/run.ps1\" }",
		"run.ps1":      "param($Command)\n. $Command",
	}, known)
	if got := places(found, "computed-call"); !slices.Equal(got, []string{"run.ps1:2"}) {
		t.Errorf("found %v", got)
	}
}

// What a manifest loads beside scripts is code that the review does not read.
func TestManifestLoadsForeignCode(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{"RequiredAssemblies = 'x.dll'", "NestedModules = @('x.dll')", "TypesToProcess = 'x.ps1xml'", "NestedModules = @{ ModuleName = 'x.cdxml'; ModuleVersion = '1.0' }"} {
		found := check(t, map[string]string{
			name + ".psd1": fmt.Sprintf("@{\nRootModule = 'Contoso.Backup.psm1'\nModuleVersion = '1.5.0'\nFunctionsToExport = @()\n%s\n}", entry),
			name + ".psm1": "",
		}, known)
		if got := places(found, "foreign-code"); !slices.Equal(got, []string{name + ".psd1:5"}) {
			t.Errorf("%s: found %v", entry, got)
		}
	}
}
