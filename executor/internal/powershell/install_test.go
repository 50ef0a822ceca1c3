package powershell

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/errors"
)

// tree makes files in a new directory: of the name pwsh or dotnet programs, "->" links, "=" others with a text in which DIR is the
// directory.
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
	for _, file := range files {
		name, to, link := strings.Cut(file, "->")
		name, text, other := strings.Cut(name, "=")
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch base := filepath.Base(name); {
		case err != nil:
		case link:
			err = os.Symlink(to, path)
		case other:
			err = os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o755)
		case base == "pwsh" || base == "dotnet":
			err = os.WriteFile(path, exe, 0o755)
		default:
			err = os.WriteFile(path, []byte("MZ"), 0o644)
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
	dotnet := tree(t, "dotnet", "host/fxr/10.0.12/libhostfxr.so", "shared/Microsoft.NETCore.App/10.0.12/libcoreclr.so", "sdk/10.0.100/dotnet.dll")
	t.Setenv("DOTNET_ROOT", dotnet)
	const tool = "tools/.store/powershell/7.6.5/powershell/7.6.5/tools/net10.0/any/"
	for name, c := range map[string]struct {
		files         []string
		path          string
		program, home string
		args          []string
		inside        []string // what the room gets of the directory
		theirs        bool
	}{
		"an archive": {
			files: []string{"opt/7/pwsh", "opt/7/pwsh.dll", "opt/7/libcoreclr.so", "opt/7/Modules/x", "bin/pwsh->../opt/7/pwsh", "opt/other"},
			path:  "bin/pwsh", program: "opt/7/pwsh", home: "opt/7", inside: []string{"opt/7"},
		},
		"one that uses the machine's .NET": {
			files: []string{"lib/pwsh", "lib/pwsh.dll"},
			path:  "lib/pwsh", program: "lib/pwsh", home: "lib", inside: []string{"lib"}, theirs: true,
		},
		"a .NET tool": {
			files: []string{"tools/pwsh", "tools/other", tool + "pwsh.dll", tool + "Modules/x"},
			path:  "tools/pwsh", program: "tools/pwsh", home: strings.TrimSuffix(tool, "/"),
			inside: []string{"tools/.store/powershell", "tools/pwsh"}, theirs: true,
		},
		"a program among others": {
			files: []string{"bin/pwsh", "bin/other"}, path: "bin/pwsh", program: "bin/pwsh", home: "bin", inside: []string{"bin/pwsh"},
		},
		"a script": {
			files: []string{"bin/pwsh=#!/bin/sh -e\n# starts /nothing/pwsh\nDOTNET_ROOT=/nothing exec -a \"$0\" 'DIR/lib/pwsh' \"$@\"\n", "lib/pwsh", "lib/pwsh.dll"},
			path:  "bin/pwsh", program: "lib/pwsh", home: "lib", inside: []string{"lib"}, theirs: true,
		},
		"a script that starts .NET": {
			files: []string{"bin/pwsh=#!/bin/bash\nexport DOTNET_ROOT=\"DIR/net\"\nexec \"$DOTNET_ROOT/dotnet\" DIR/lib/pwsh.dll \"$@\"",
				"net/dotnet", "net/host/fxr/x", "net/shared/Microsoft.NETCore.App/x", "lib/pwsh.dll"},
			path: "bin/pwsh", program: "net/dotnet", args: []string{"lib/pwsh.dll"}, home: "lib",
			inside: []string{"lib", "net/dotnet", "net/host", "net/shared/Microsoft.NETCore.App"},
		},
		"an application": {
			files: []string{"lib/pwsh.dll"}, path: "lib/pwsh.dll", program: dotnet + "/dotnet", args: []string{"lib/pwsh.dll"}, home: "lib",
			inside: []string{"lib"}, theirs: true,
		},
	} {
		dir := tree(t, c.files...)
		under := func(path string) string {
			if filepath.IsAbs(path) {
				return path
			}
			return filepath.Join(dir, path)
		}
		i, err := Find(under(c.path))
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
		if !slices.Equal(inside, c.inside) {
			t.Errorf("%s: of the directory the room gets %v", name, inside)
		}
		if got := i.modulePath("/modules"); got != "/modules:"+under(c.home)+"/Modules" {
			t.Errorf("%s: modules are looked for in %s", name, got)
		}
		command := i.command("/modules", []string{"HTTPS_PROXY=x"})
		args := []string{"-s", "-NoLogo", "-NoProfile"}
		for _, a := range c.args {
			args = append([]string{under(a)}, args...)
		}
		if command.Path != under(c.program) || !slices.Equal(command.Args, args) {
			t.Errorf("%s: started is %s with %v", name, command.Path, command.Args)
		}
		for _, want := range []string{dotnet + "/host", dotnet + "/shared/Microsoft.NETCore.App"} {
			if slices.Contains(i.Files, want) != c.theirs || slices.Contains(command.Env, "DOTNET_ROOT="+dotnet) != c.theirs {
				t.Errorf("%s: it has the environment %v and the files %v", name, command.Env, i.Files)
			}
		}
		for _, want := range []string{"HTTPS_PROXY=x", "DOTNET_EnableDiagnostics=0", "POWERSHELL_TELEMETRY_OPTOUT=1", "POWERSHELL_UPDATECHECK=Off", "PSModulePath=/modules"} {
			if !slices.Contains(command.Env, want) {
				t.Errorf("%s: the environment %v lacks %s", name, command.Env, want)
			}
		}
		for _, path := range []string{"/", "/usr", "/usr/lib", "/etc", dotnet, dir} {
			if slices.Contains(i.Files, path) {
				t.Errorf("%s: the room sees %v", name, i.Files)
			}
		}
	}
	if _, err := Find(""); !errors.Has(err, errors.ScriptRuntimeMissing) {
		t.Error(err)
	}
}
