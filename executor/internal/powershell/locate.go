package powershell

import (
	"os"
	"path/filepath"
)

// Variable is that of the environment that names the path of pwsh.
const Variable = "AIRLOCK_PWSH"

// usual is where packages of PowerShell, a snap (whose command is no program of its own) and .NET's tools have it.
var usual = []string{
	"/opt/microsoft/powershell/7/pwsh", "/opt/microsoft/powershell/7-lts/pwsh", "/usr/bin/pwsh", "/usr/local/bin/pwsh",
	"/snap/powershell/current/opt/powershell/pwsh",
}

// Locate is the path of this machine's PowerShell: what Variable names, whether it is there or not, else the first pwsh of PATH
// and of the usual places; "" where there is none.
func Locate(getenv func(string) string) string {
	if path := getenv(Variable); path != "" {
		if absolute, err := filepath.Abs(path); err == nil {
			return absolute
		}
	}
	var places []string
	for _, dir := range filepath.SplitList(getenv("PATH")) {
		places = append(places, filepath.Join(dir, "pwsh"))
	}
	places = append(places, usual...)
	if home := getenv("HOME"); home != "" {
		places = append(places, filepath.Join(home, ".dotnet", "tools", "pwsh"))
	}
	for _, path := range places {
		real, err := filepath.EvalSymlinks(path)
		if err != nil || !filepath.IsAbs(path) || filepath.Base(real) == "snap" {
			continue
		}
		if info, err := os.Stat(real); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return path
		}
	}
	return ""
}
