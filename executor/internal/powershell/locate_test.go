package powershell

import (
	"path/filepath"
	"testing"
)

func TestLocate(t *testing.T) {
	t.Parallel()
	dir := tree(t, "one/pwsh.dll", "two/pwsh/directory", "three/snap", "three/pwsh->snap", "four/pwsh->../five/pwsh", "five/pwsh",
		"home/.dotnet/tools/pwsh", "six/pwsh->nowhere")
	path := dir + "/one:" + dir + "/two:" + dir + "/three:" + dir + "/six::relative"
	for want, environment := range map[string]map[string]string{
		dir + "/named":                   {"AIRLOCK_PWSH": dir + "/named", "PATH": dir + "/four"},
		dir + "/four/pwsh":               {"PATH": path + ":" + dir + "/four:" + dir + "/five", "HOME": dir + "/home"},
		dir + "/home/.dotnet/tools/pwsh": {"PATH": path, "HOME": dir + "/home"},
		"":                               {"PATH": path},
	} {
		getenv := func(name string) string { return environment[name] }
		if other := Locate(func(string) string { return "" }); other != "" && filepath.Dir(want) != dir+"/four" && want != dir+"/named" {
			continue // this machine has one in a usual place
		}
		if got := Locate(getenv); got != want {
			t.Errorf("%v: %q, not %q", environment, got, want)
		}
	}
	relative := Locate(func(name string) string { return map[string]string{"AIRLOCK_PWSH": "here/pwsh"}[name] })
	if !filepath.IsAbs(relative) || filepath.Base(filepath.Dir(relative)) != "here" {
		t.Errorf("%q", relative)
	}
}
