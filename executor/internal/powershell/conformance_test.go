package powershell_test

import (
	"cmp"
	"os"
	"os/exec"
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
	found, _ := exec.LookPath("pwsh")
	pwsh := cmp.Or(os.Getenv("AIRLOCK_PWSH"), found)
	if pwsh == "" {
		t.Skip("no pwsh: neither AIRLOCK_PWSH nor PATH names one")
	}
	runtimetest.Run(t, suite(t, pwsh))
}
