package powershell

import (
	"os"
	"path/filepath"

	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/internal/errors"
)

// Install is a PowerShell on this machine.
type Install struct {
	Path  string   // of the program, without symbolic links
	Files []string // what it needs of the machine
}

// Find looks at the PowerShell at a path.
func Find(path string) (Install, error) {
	if path == "" {
		return Install{}, errors.Newf(errors.ScriptRuntimeMissing, "This server has no PowerShell to run the cmdlet%s", Advice)
	}
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		_, err = os.Stat(real)
	}
	if err != nil {
		return Install{}, errors.Because(err, errors.ScriptRuntimeMissing, "There is no PowerShell at %s%s", path, Advice)
	}
	return Install{Path: real, Files: []string{filepath.Dir(real)}}, nil
}

// modulePath is where PowerShell finds modules: the package with its libraries, and PowerShell's own.
func (i Install) modulePath(libraries string) string {
	return libraries + ":" + filepath.Join(filepath.Dir(i.Path), "Modules")
}

// command starts a server of the remoting protocol on standard input and output.
func (i Install) command(libraries string, env []string) sandbox.Command {
	return sandbox.Command{
		Path: i.Path, Args: []string{"-s", "-NoLogo", "-NoProfile"},
		Env: append([]string{
			"PSModulePath=" + i.modulePath(libraries),
			"DOTNET_EnableDiagnostics=0", "POWERSHELL_DIAGNOSTICS_OPTOUT=1", "POWERSHELL_TELEMETRY_OPTOUT=1", "POWERSHELL_UPDATECHECK=Off",
		}, env...),
	}
}

// Advice is how errors about PowerShell end.
const Advice = "; see what `airlock doctor` says on the server."

// broken says for a user that this PowerShell does not work.
func (i Install) broken(err error, how string) error {
	return errors.Because(err, errors.ScriptRuntimeMissing, "The PowerShell at %s %s%s", i.Path, how, Advice)
}
