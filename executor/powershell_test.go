package executor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/executor/internal/runtimetest"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// putModule pushes a package with a PowerShell module, in place of all other packages.
func (h *home) putModule(t *testing.T) domain.PackageRef {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Contoso.Pod.psm1"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	h.config.Packages = laidOut(dir)
	ref := domain.PackageRef{Name: "Contoso.Pod", Version: "1.0.0", Digest: strings.Repeat("b", 64)}
	err := h.store.PutPackage(t.Context(), domain.Package{
		Name: ref.Name, Version: ref.Version, Digest: ref.Digest, Pushed: time.Now(), Review: domain.Review{State: domain.Approved},
		Manifest: manifest.Manifest{
			ManifestVersion: 1, Name: ref.Name, Version: ref.Version, Runtime: manifest.PowerShell,
			Cmdlets: append(runtimetest.Cmdlets(), manifest.Cmdlet{Name: "Install-Pod"}),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// A PowerShell finds the package's module in the sandbox and without it, speaks over its standard input and output, and what it
// writes, keeps and leaves is the execution's.
func TestPowerShellRuns(t *testing.T) {
	t.Parallel()
	for isolation, open := range map[executor.Isolation]func(*testing.T) *home{executor.IsolationNone: newHome, executor.IsolationSandbox: isolatedHome} {
		t.Run(string(isolation), func(t *testing.T) {
			t.Parallel()
			h := open(t)
			ref := h.putModule(t)
			h.config.PowerShell = filepath.Join(packageDir, "pwshdouble")
			b := h.start(t)
			x := execution(1, "module", "Write-All")
			x.Package = ref
			x = b.run(x)
			wantSucceeded(t, x)
			streams := map[domain.Stream]int{}
			for _, r := range h.records(t, x.ID) {
				streams[r.Stream]++
			}
			if len(streams) != 4 || len(x.NamedOutputs) == 0 {
				t.Errorf("it wrote to %v, and left %v", streams, x.NamedOutputs)
			}
			b.stop()
			h.wantNothingLeft(t)
		})
	}
}

// An execution that needs a PowerShell which does not work fails and says so, in the sandbox and without it, and leaves nothing.
func TestPowerShellIsBroken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		want    string
		startup time.Duration
	}{
		"missing":       {"There is no PowerShell at ", 0},
		"ends":          {` ended (exit code 131) before it answered and wrote "[redacted] .NET [31mto run this application.`, 0},
		"hangs":         {" did not answer within 2s and wrote nothing; see what `airlock doctor` says on the server.", 2 * time.Second},
		"complains":     {` speaks something else than PowerShell's remoting protocol and wrote "something is wrong`, 0},
		"version-7.3.9": {` is version "7.3.9", and has to be 7.4 or newer; see what`, 0},
	} {
		for isolation, open := range map[executor.Isolation]func(*testing.T) *home{executor.IsolationNone: newHome, executor.IsolationSandbox: isolatedHome} {
			t.Run(string(isolation)+" "+name, func(t *testing.T) {
				t.Parallel()
				h := open(t)
				path := filepath.Join(t.TempDir(), name)
				if name != "missing" {
					program, err := os.ReadFile(filepath.Join(packageDir, "badpwsh"))
					if err == nil {
						err = os.WriteFile(path, program, 0o755)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				ref := h.putModule(t)
				b := h.start(t, func(e *executor.Executor) { e.SetPowerShell(path, c.startup) })
				x := execution(1, "module", "Install-Pod")
				x.Package = ref
				if err := h.secure(&x, "secret", "You must install"); err != nil {
					t.Fatal(err)
				}
				x = b.run(x)
				wantFailed(t, x, errors.ScriptRuntimeMissing)
				if m := x.Failure.Message; !strings.Contains(m, path) || !strings.Contains(m, c.want) || len(m) > 1024 {
					t.Errorf("%q, not %q", m, c.want)
				}
				b.stop()
				h.wantNothingLeft(t)
			})
		}
	}
}
