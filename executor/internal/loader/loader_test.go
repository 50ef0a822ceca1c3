package loader_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/executor/internal/loader"
)

// What is found for a program of this machine is what the linker itself says that it loads, each with the links that lead
// to it.
func TestAsTheLinker(t *testing.T) {
	t.Parallel()
	compared := 0
	for _, name := range []string{"sh", "git", "gcc", "node", "openssl", "curl"} {
		program, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		f, err := loader.New(program)
		if err != nil {
			t.Logf("%s: %v", program, err)
			continue
		}
		f.AddProgram(program)
		found := f.Paths()
		out, err := exec.Command("ldd", program).Output()
		if err != nil {
			t.Logf("%s: %v", program, err)
			continue
		}
		if len(f.Search()) > 0 {
			t.Logf("%s: the linker is told of %v", name, f.Search())
		}
		compared++
		for _, word := range strings.Fields(string(out)) {
			if !filepath.IsAbs(word) {
				continue
			}
			real, err := filepath.EvalSymlinks(word)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(found, real) {
				t.Errorf("%s: %s was not found among %v", name, word, found)
			}
		}
	}
	if compared == 0 {
		t.Skip("there is no dynamic program, or no ldd to ask")
	}
}

// Every symbolic link of a list leads, through others of it, to something of it.
func TestLinks(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"opt/pwsh/7", "bin", "elsewhere"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"bin/pwsh": "../opt/current/pwsh", "opt/current": dir + "/opt/pwsh/7", "opt/pwsh/7/pwsh": exe, "sbin": "bin",
		"opt/pwsh/7/libssl.so.1": "../../../elsewhere/libssl.so", "loop": "loop", "gone": "nowhere",
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "elsewhere", "libssl.so"), []byte("no library"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := loader.New(exe)
	if err != nil {
		t.Fatal(err)
	}
	real, err := f.Add(filepath.Join(dir, "sbin", "pwsh"))
	if want, _ := filepath.EvalSymlinks(exe); err != nil || real != want {
		t.Errorf("it leads to %s, %v", real, err)
	}
	for _, path := range []string{"loop", "gone", "bin/nothing"} {
		if real, err := f.Add(filepath.Join(dir, path)); err == nil {
			t.Errorf("%s leads to %s", path, real)
		}
	}
	if _, err := f.Add("relative"); err == nil {
		t.Error("a relative path was taken")
	}
	f.AddTree(filepath.Join(dir, "opt", "current"))
	paths := f.Paths()
	for _, want := range []string{"sbin", "bin/pwsh", "opt/current", "opt/pwsh/7", "elsewhere/libssl.so"} {
		if !slices.Contains(paths, filepath.Join(dir, want)) {
			t.Errorf("%s is not among %v", want, paths)
		}
	}
	for _, path := range paths {
		if strings.HasPrefix(path, filepath.Join(dir, "opt/pwsh/7")+"/") {
			t.Errorf("%s is there twice", path)
		}
	}
}

func TestNoProgram(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{script, script + "-missing", "/"} {
		if _, err := loader.New(path); err == nil {
			t.Errorf("%s was taken for a program", path)
		}
	}
}
