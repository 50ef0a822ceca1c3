package executor

import (
	"context"
	"os"
	"strings"

	"github.com/airlock-run/airlock/executor/internal/powershell"
	"github.com/airlock-run/airlock/internal/errors"
)

// FindPowerShell is the path of this machine's pwsh: the one that was chosen, else what the variable AIRLOCK_PWSH names, else the
// first in PATH and in the usual places. It is "" where there is none, and need not be one that works.
func FindPowerShell(chosen string, getenv func(string) string) string {
	if chosen != "" {
		return chosen
	}
	return powershell.Locate(getenv)
}

// CheckPowerShell starts the pwsh at a path as an execution does, and says which version it is, and whether that is one that
// Airlock was tried with. The error is for a user, and says what is wrong with it.
func CheckPowerShell(ctx context.Context, path string, i Isolation) (version string, tried bool, err error) {
	dir, err := os.MkdirTemp("", "airlock-powershell-")
	if err != nil {
		return "", false, err
	}
	defer os.RemoveAll(dir)
	s, err := openSandbox(i, Limits{})
	if err != nil {
		return "", false, err
	}
	defer s.Close()
	version, err = powershell.Runtime{Path: path}.Check(ctx, s, dir)
	if errors.Has(err, errors.ScriptRuntimeMissing) { // without the advice to do what is being done
		return "", false, errors.Because(err, errors.ScriptRuntimeMissing, "%s.", strings.TrimSuffix(errors.For(err, "").Message, powershell.Advice))
	}
	return version, powershell.Tried(version), err
}
