package powershell

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/executor/internal/runtimetest"
	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/internal/errors"
)

// badProgram builds what the PowerShells that do not work are made of.
func badProgram(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "program")
	build := exec.Command("go", "build", "-o", program, runtimetest.BadPath)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// bad makes PowerShells that do not work, in a directory of their own.
func bad(t *testing.T, program string, names ...string) (dir string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.Link(program, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, edit := range map[string]func([]byte) []byte{
		"other":  func(b []byte) []byte { b[18], b[19] = 0xf3, 0; return b }, // e_machine: RISC-V
		"short":  func(b []byte) []byte { return b[:100] },
		"text":   func([]byte) []byte { return []byte(strings.Repeat("PowerShell", 100)) },
		"script": func([]byte) []byte { return []byte("#!/bin/sh\nexec pwsh /nothing/pwsh \"$@\"\n") },
		"empty":  func([]byte) []byte { return nil },
	} {
		b, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), edit(b), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "data"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Each PowerShell that does not work is told of in one sentence that names it and what it does, in bounded time, and leaves
// nothing.
func TestBroken(t *testing.T) {
	t.Parallel()
	const (
		soon  = 2 * time.Second // for those that never answer
		never = 24 * time.Hour  // for those that are not waited for
	)
	says := map[string]struct {
		want    string
		startup time.Duration
	}{
		"missing": {"There is no PowerShell at ", 0},
		".":       {" is no file", 0},
		"data":    {" is not executable", 0},
		"script":  {" is a script in which no program of PowerShell is named: name that program in its place", 0},
		"text":    {" is no program for this machine (it is no whole ELF file: bad magic number", 0},
		"empty":   {" is no program for this machine (it is no whole ELF file: EOF)", 0},
		"short":   {" is no program for this machine (it is no whole ELF file: ", 0},
		"other":   {" is no program for this machine (it is EM_RISCV, ELFCLASS64, ET_EXEC)", 0},

		"ends":         {` ended (exit code 131) before it answered and wrote "You must install .NET [31mto run this application. xxx`, 0},
		"leaves":       {" ended (exit code 0) before it answered and wrote nothing", 0},
		"hangs":        {" did not answer within 2s and wrote nothing", soon},
		"acknowledges": {" did not answer within 2s and wrote nothing", soon},
		"lines":        {` speaks something else than PowerShell's remoting protocol and wrote "PowerShell 7.6.5 PS /> PowerShell`, never},
		"bytes":        {" speaks something else than PowerShell's remoting protocol and wrote nothing", never},
		"complains":    {` speaks something else than PowerShell's remoting protocol and wrote "something is wrong something`, never},

		"version-5.1.26100.1": {` is version "5.1.26100.1", and has to be 7.4 or newer`, 0},
		"version-7.3.9":       {` is version "7.3.9", and has to be 7.4 or newer`, 0},
		"version-7":           {` is version "7", and has to be 7.4 or newer`, 0},
		"version-x.y":         {` is version "x.y", and has to be 7.4 or newer`, 0},
		"version-7.4.0":       {"", 0},
		"version-7.6.5":       {"", 0},
		"version-8.0.1":       {"", 0},
	}
	var names []string
	for name, s := range says {
		if !strings.HasPrefix(s.want, " is no program") && name != "missing" && name != "." && name != "data" && name != "script" {
			names = append(names, name)
		}
	}
	program := badProgram(t)
	for sandboxName, open := range sandboxes {
		dir := bad(t, program, names...)
		for name, s := range says {
			t.Run(sandboxName+" "+name, func(t *testing.T) {
				t.Parallel()
				sb, err := open()
				if err != nil {
					t.Fatal(err)
				}
				defer sb.Close()
				path := filepath.Join(dir, name)
				version, err := Runtime{Path: path, Startup: s.startup}.Check(t.Context(), sb, t.TempDir())
				if s.want == "" {
					if err != nil || "version-"+version != name {
						t.Errorf("version %q, %v", version, err)
					}
					return
				}
				message := errors.For(err, "").Message
				if !errors.Has(err, errors.ScriptRuntimeMissing) || !strings.Contains(message, s.want) || !strings.Contains(message, path) {
					t.Errorf("%v: %q, not %q", err, message, s.want)
				}
				if len(message) > 1000 || strings.Contains(message, "\x1b") || !strings.Contains(message, "airlock doctor") {
					t.Errorf("it is told in %q", message)
				}
				wantNone(t, path)
			})
		}
	}
}

var sandboxes = map[string]func() (sandbox.Sandbox, error){
	"none":     func() (sandbox.Sandbox, error) { return sandbox.NewNone() },
	"isolated": func() (sandbox.Sandbox, error) { return sandbox.NewIsolated(sandbox.Limits{}) },
}

// wantNone checks that no process runs a program.
func wantNone(t *testing.T, program string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil || len(all) == 0 {
		t.Fatal("there are no processes", err)
	}
	for _, exe := range all {
		if to, err := os.Readlink(exe); err == nil && to == program {
			t.Errorf("%s is still there", exe)
		}
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for version, want := range map[string][2]bool{ // suits, was tried
		"7.6.5": {true, true}, "7.6": {true, true}, "7.6.0-preview.1": {true, true}, "7.4.1": {true, false}, "7.5.0": {true, false},
		"7.7.0": {true, false}, "7.10.0": {true, false}, "8.0.0": {true, false}, "10.1": {true, false}, "7.1000.0": {true, false},
		"": {}, "7": {}, "7.": {}, "7.3.9": {}, "6.9": {}, "5.1": {}, "-7.6": {}, "7.-6": {}, "a.b": {}, "99999999999999999999.1": {},
	} {
		if err := (Install{}).suits(version); (err == nil) != want[0] {
			t.Errorf("%q: %v", version, err)
		}
		if got := Tried(version); got != want[1] {
			t.Errorf("%q was tried: %v", version, got)
		}
	}
	if err := (Install{Path: "/p"}).suits(""); !strings.Contains(errors.For(err, "").Message, "/p does not say which version it is") {
		t.Error(err)
	}
}

func TestNotStarted(t *testing.T) {
	t.Parallel()
	for errno, want := range map[error]string{
		unix.ENOENT: "the dynamic linker", unix.ENOEXEC: "no program for this machine", unix.EACCES: "let all users read and execute it",
	} {
		err := Install{Path: "/p"}.notStarted(fmt.Errorf("start: %w", errno))
		if !errors.Has(err, errors.ScriptRuntimeMissing) || !strings.Contains(errors.For(err, "").Message, want) {
			t.Errorf("%v: %v", errno, err)
		}
	}
	if err := (Install{}).notStarted(os.ErrClosed); err != os.ErrClosed {
		t.Error(err)
	}
}
