package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/errors"
)

// What of PowerShell's is the same wherever it is said.
const (
	powershellLost = "cmdlets of PowerShell modules do not run"
	powershellFix  = "install PowerShell 7.6 (https://aka.ms/install-powershell), or name its pwsh: powershell in the configuration, or the variable AIRLOCK_PWSH"
	powershellHint = "7.6 is what Airlock is made for"
)

// lookAtPowerShell logs which PowerShell there is, and what is wrong with it.
func (i *installation) lookAtPowerShell(ctx context.Context) {
	if i.powershell == "" {
		i.log.Info("there is no PowerShell: " + powershellLost)
		return
	}
	version, tried, err := executor.CheckPowerShell(ctx, i.powershell, i.cfg.Isolation)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		i.log.Warn("PowerShell does not work: "+powershellLost, "path", i.powershell, "error", explained(err))
	case !tried:
		i.log.Warn("this PowerShell may behave in another way: "+powershellHint, "path", i.powershell, "version", version)
	default:
		i.log.Info("PowerShell was found", "path", i.powershell, "version", version)
	}
}

// powershellCheck tries out the PowerShell that a server would find.
func (a *app) powershellCheck(ctx context.Context, chosen string) check {
	path := executor.FindPowerShell(chosen, a.getenv)
	c := check{Name: "PowerShell", Lost: powershellLost, Fix: powershellFix}
	if path == "" {
		return c
	}
	isolation := executor.IsolationSandbox
	if missingForIsolation(ctx) != "" {
		isolation = executor.IsolationNone
	}
	version, tried, err := executor.CheckPowerShell(ctx, path, isolation)
	switch {
	case err != nil:
		c.Name, c.Fix = "PowerShell at "+path, strings.TrimSuffix(explained(err), ".")+"; "+powershellFix
	case !tried:
		c.Found, c.Name = true, fmt.Sprintf("PowerShell %s at %s; %s", version, path, powershellHint)
	default:
		c.Found, c.Name = true, fmt.Sprintf("PowerShell %s at %s", version, path)
	}
	return c
}

// explained is an error in a sentence; where it has none for users, as the program sees it, for whoever asks here runs it.
func explained(err error) string {
	if errors.CodeOf(err) == errors.InternalError {
		return err.Error()
	}
	return errors.For(err, "").Message
}
