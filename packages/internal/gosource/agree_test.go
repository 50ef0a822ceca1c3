package gosource

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/google/go-cmp/cmp"
)

// TestSourceAndProgramAgree compares what is read from a package's source with what the SDK derives by reflection when
// the program runs. The program is built with an SDK whose Main prints that in place of serving Airlock.
func TestSourceAndProgramAgree(t *testing.T) {
	t.Parallel()
	overlay := printingSDK(t)
	for _, dir := range []string{"testdata/full", "../../testdata/hello", "../../../examples/inventory", "../../../examples/torture"} {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			here := "linux/" + runtime.GOARCH
			read, err := Read(t.Context(), dir, here)
			if err != nil {
				t.Fatal(err)
			}
			program := filepath.Join(t.TempDir(), "program")
			build := exec.CommandContext(t.Context(), "go", append(append([]string{"build"}, Flags...), "-overlay", overlay, "-o", program, ".")...)
			build.Dir, build.Env = dir, Environment(here)
			if said, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			var said strings.Builder
			run := exec.CommandContext(t.Context(), program)
			run.Stderr = &said
			printed, err := run.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, &said)
			}
			derived, err := manifest.Parse(printed)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(derived, read); diff != "" {
				t.Errorf("the program declares (-), the source was read as (+)\n%s", diff)
			}
		})
	}
}

// printingSDK makes an overlay for the go command, in which sdk.Main prints the manifest and ends the program, and
// testdata/full can be run.
func printingSDK(t *testing.T) (path string) {
	t.Helper()
	const begin = "func Main(p Package, cmdlets ...Declared) {\n"
	dir, replaced := t.TempDir(), map[string]string{}
	for _, edit := range []struct{ file, old, new string }{
		{"../../../sdk/sdk.go", begin, begin + `
			m, err := declarations(p, cmdlets)
			if err != nil {
				panic(err)
			}
			data, err := m.Encode()
			if err != nil {
				panic(err)
			}
			os.Stdout.Write(data)
			os.Exit(0)
		}

		func _(p Package, cmdlets ...Declared) {
`},
		{"testdata/full/main.go", "func init() {", "func _() {"},
	} {
		original, err := filepath.Abs(edit.file)
		if err != nil {
			t.Fatal(err)
		}
		source, err := os.ReadFile(original)
		if err != nil || strings.Count(string(source), edit.old) != 1 {
			t.Fatalf("%s does not hold %q once (%v)", edit.file, edit.old, err)
		}
		replaced[original] = filepath.Join(dir, filepath.Base(edit.file))
		if err := os.WriteFile(replaced[original], []byte(strings.Replace(string(source), edit.old, edit.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
