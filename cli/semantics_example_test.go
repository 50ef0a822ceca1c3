package cli

import (
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages"
)

const powerShellExample = "../examples/powershell-inventory"

// The example for PowerShell modules is as its review wants it: no errors, and every cmdlet and parameter is described.
func TestPowerShellExampleChecked(t *testing.T) {
	t.Parallel()
	findings, err := packages.Check(t.Context(), powerShellExample, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		// It runs nowhere but here, and its cmdlets do not install anything.
		known := f.Rule == "management-missing" || f.Rule == "lifecycle-missing"
		if f.Severity == domain.SeverityError || f.Severity == domain.SeverityWarning && !known {
			t.Errorf("%s:%d: %s: %s [%s]", f.File, f.Line, f.Severity, f.Message, f.Rule)
		}
	}
	packed, err := packages.Pack(t.Context(), powerShellExample, t.TempDir(), packages.PackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(packed.Manifest.Cmdlets) != 5 {
		t.Errorf("it has %d cmdlets, want 5", len(packed.Manifest.Cmdlets))
	}
	for _, c := range packed.Manifest.Cmdlets {
		if c.Description == "" || c.TimeoutSeconds == 0 {
			t.Errorf("%s has no description or no timeout", c.Name)
		}
		for _, p := range c.Parameters {
			if p.Description == "" {
				t.Errorf("%s of %s is not described", p.Name, c.Name)
			}
		}
	}
}

// The example's cmdlets do what they say: what keeps a secret, fails or waits everywhere, and what needs PowerCLI says so.
func TestPowerShellExample(t *testing.T) {
	wantPowerShell(t)
	b := newSemanticsBench(t, 1)
	if _, err := b.packages.PushPath(t.Context(), powerShellExample); err != nil {
		t.Fatal(err)
	}
	seconds, wrong := "600", "no name"
	for at, c := range []specifiedCall{
		{
			cmdlet: "Set-ServicePassword", state: "Succeeded", named: map[string]string{"account": "svc-airlock", "password": "created"},
			records: []record{{Stream: "Output", Text: "account svc-airlock: password created"}},
		},
		{
			cmdlet: "Set-ServicePassword", state: "Succeeded", named: map[string]string{"account": "svc-airlock", "password": "reused"},
			records: []record{{Stream: "Output", Text: "account svc-airlock: password reused"}},
		},
		{
			cmdlet: "Set-ServicePassword", state: "Failed", code: "ScriptFailed", says: []string{"Cannot validate argument on parameter 'Name'"},
			parameters: []parameter{{Name: "Name", Type: "Value", Value: &wrong}},
		},
		{
			cmdlet: "Invoke-Failure", state: "Failed", code: "ScriptFailed", says: []string{"This cmdlet always fails"}, gone: []string{"never-kept"},
			records: []record{
				{Stream: "Output", Text: "one line of output"}, {Stream: "Information", Text: `{"step":1}`},
				{Stream: "Warning", Text: "the next step will fail"}, {Stream: "Error", Text: "the next step failed"},
			},
		},
		{
			cmdlet: "Start-Sleep", state: "Canceled", cancelAfter: "sleeping for 600 s",
			parameters: []parameter{{Name: "Seconds", Type: "Value", Value: &seconds}},
			records:    []record{{Stream: "Output", Text: "sleeping for 600 s"}, {Stream: "Warning", Text: "asked to end"}},
		},
		{cmdlet: "Get-Inventory", state: "Failed", code: "ScriptFailed", says: []string{"needs the module VMware.VimAutomation.Core"}},
		{cmdlet: "Set-ServiceAccount", state: "Failed", code: "ScriptFailed", says: []string{"needs the module VMware.VimAutomation.Core"}},
	} {
		c.pkg, c.line = "Airlock.Examples.PowerShell", at
		t.Run(c.cmdlet, func(t *testing.T) { b.check(t, c) })
	}
}
