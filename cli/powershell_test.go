package cli

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/cli/internal/config"
	"github.com/airlock-run/airlock/executor"
)

// A server's log says which PowerShell it has, and what is wrong with it.
func TestLogOfPowerShell(t *testing.T) {
	t.Parallel()
	dir := badPowerShells(t)
	ended, end := context.WithCancel(t.Context())
	end()
	for name, want := range map[string]string{
		"":              `level=INFO msg="there is no PowerShell: cmdlets of PowerShell modules do not run"`,
		"version-7.6.5": `level=INFO msg="PowerShell was found" path=` + dir + `/version-7.6.5 version=7.6.5`,
		"version-7.5.4": `level=WARN msg="this PowerShell may behave in another way: 7.6 is what Airlock is made for" path=` + dir + `/version-7.5.4 version=7.5.4`,
		"version-7.3.9": `level=WARN msg="PowerShell does not work: cmdlets of PowerShell modules do not run" path=` + dir + `/version-7.3.9 error="The PowerShell at ` + dir + `/version-7.3.9 is version`,
		"stopped":       "", // the server ends before it answers
	} {
		var log bytes.Buffer
		i := &installation{log: slog.New(slog.NewTextHandler(&log, nil)), cfg: installationConfig{Config: config.Default()}}
		i.cfg.Isolation = executor.IsolationNone
		ctx := t.Context()
		if name != "" {
			i.powershell = filepath.Join(dir, name)
		}
		if name == "stopped" {
			ctx, i.powershell = ended, filepath.Join(dir, "version-7.6.5")
		}
		i.lookAtPowerShell(ctx)
		if got := log.String(); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %s, not %s", name, got, want)
		}
	}
}
