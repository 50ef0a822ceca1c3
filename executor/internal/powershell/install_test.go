package powershell

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/errors"
)

// tree makes files of the test binary and empty ones ("/" at the end: directories, "->": links) in a new directory.
func tree(t *testing.T, files ...string) (dir string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		name, to, link := strings.Cut(name, "->")
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case err != nil:
		case link:
			err = os.Symlink(to, path)
		case filepath.Base(name) == "pwsh":
			err = os.WriteFile(path, exe, 0o755)
		default:
			err = os.WriteFile(path, nil, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Of each form in which PowerShell is given out its own directory is found, and .NET's where that is elsewhere, and nothing
// beside them.
func TestFind(t *testing.T) {
	dotnet := tree(t, "host/fxr/10.0.12/libhostfxr.so", "shared/Microsoft.NETCore.App/10.0.12/libcoreclr.so", "sdk/10.0.100/dotnet.dll")
	t.Setenv("DOTNET_ROOT", dotnet)
	theirs := []string{dotnet + "/host", dotnet + "/shared/Microsoft.NETCore.App"}
	const tool = "tools/.store/powershell/7.6.5/powershell/7.6.5/tools/net10.0/any/"
	for name, c := range map[string]struct {
		files      []string
		path, home string
		inside     []string // what the room gets of the directory
		theirs     bool
	}{
		"an archive": {
			[]string{"opt/7/pwsh", "opt/7/pwsh.dll", "opt/7/libcoreclr.so", "opt/7/Modules/x", "bin/pwsh->../opt/7/pwsh", "opt/other"},
			"bin/pwsh", "opt/7", []string{"opt/7"}, false,
		},
		"one that uses the machine's .NET": {[]string{"lib/pwsh", "lib/pwsh.dll"}, "lib/pwsh", "lib", []string{"lib"}, true},
		"a .NET tool": {
			[]string{"tools/pwsh", "tools/other", tool + "pwsh.dll", tool + "Modules/x"}, "tools/pwsh", strings.TrimSuffix(tool, "/"),
			[]string{"tools/.store/powershell", "tools/pwsh"}, true,
		},
		"a program among others": {[]string{"bin/pwsh", "bin/other"}, "bin/pwsh", "bin", []string{"bin/pwsh"}, false},
	} {
		dir := tree(t, c.files...)
		i, err := Find(filepath.Join(dir, c.path))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var inside []string
		for _, f := range i.Files {
			if rel, err := filepath.Rel(dir, f); err == nil && filepath.IsLocal(rel) {
				inside = append(inside, rel)
			}
		}
		if !slices.Equal(inside, c.inside) || i.Path != filepath.Join(dir, strings.Replace(c.path, "bin/pwsh", c.inside[0]+"/pwsh", 1)) && c.inside[0] != "bin/pwsh" {
			t.Errorf("%s: at %s, of the directory %v", name, i.Path, inside)
		}
		if got := i.modulePath("/modules"); got != "/modules:"+filepath.Join(dir, c.home, "Modules") {
			t.Errorf("%s: modules are looked for in %s", name, got)
		}
		command := i.command("/modules", []string{"HTTPS_PROXY=x"})
		if slices.Contains(command.Env, "DOTNET_ROOT="+dotnet) != c.theirs || slices.Contains(i.Files, theirs[0]) != c.theirs || slices.Contains(i.Files, theirs[1]) != c.theirs {
			t.Errorf("%s: it has the environment %v and the files %v", name, command.Env, i.Files)
		}
		for _, want := range []string{"HTTPS_PROXY=x", "DOTNET_EnableDiagnostics=0", "POWERSHELL_TELEMETRY_OPTOUT=1", "POWERSHELL_UPDATECHECK=Off", "PSModulePath=" + i.modulePath("/modules")} {
			if !slices.Contains(command.Env, want) {
				t.Errorf("%s: the environment %v lacks %s", name, command.Env, want)
			}
		}
		if slices.Contains(i.Files, "/") || slices.Contains(i.Files, "/usr") || slices.Contains(i.Files, "/usr/lib") {
			t.Errorf("%s: the room sees %v", name, i.Files)
		}
	}
	if _, err := Find(""); !errors.Has(err, errors.ScriptRuntimeMissing) {
		t.Error(err)
	}
}
