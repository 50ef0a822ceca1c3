package powershell_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/airlock-run/airlock/executor/internal/powershell"
	"github.com/airlock-run/airlock/executor/internal/runtimetest"
	"github.com/airlock-run/airlock/sdk/manifest"
)

func TestMain(m *testing.M) {
	runtimetest.Main(m, func(dir string) { double = filepath.Join(dir, "pwshdouble") }, runtimetest.DoublePath)
}

var double string // path of what takes the place of pwsh

func suite(t *testing.T, pwsh string) runtimetest.Suite {
	t.Helper()
	dir, err := filepath.Abs("testdata/Torture")
	if err != nil {
		t.Fatal(err)
	}
	return runtimetest.Suite{Runtime: powershell.Runtime{Path: pwsh}, Package: dir, Manifest: manifest.Manifest{
		Name: "Torture", Runtime: manifest.PowerShell, Cmdlets: runtimetest.Cmdlets(),
	}}
}

func TestRuntime(t *testing.T) { runtimetest.Run(t, suite(t, double)) }

// TestPowerShellRuntime is the same with a real pwsh.
func TestPowerShellRuntime(t *testing.T) {
	pwsh := powershell.Locate(os.Getenv)
	if pwsh == "" {
		t.Skip("no pwsh: neither AIRLOCK_PWSH nor PATH names one, and the usual places have none")
	}
	runtimetest.Run(t, suite(t, pwsh))
}
