package cli

import (
	"archive/zip"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// The commands as their users type them, each file in testdata/script a test, an example and a promise. They share one
// server with three private clouds; a file that changes a private cloud's state has one to itself.
func TestScripts(t *testing.T) {
	t.Parallel()
	torture, inventory := nupkg(t, "torture"), nupkg(t, "inventory")
	args := []string{"--clouds", "3", "--package", inventory, "--package", torture}
	if isolation() == executor.IsolationSandbox {
		args = append(args, "--egress", "mirror.airlock.test:443")
	}
	p := serveDev(t, stateDir(t), args...)
	pwshs := badPowerShells(t)
	second := environmentFile(t, filepath.Join(p.dir, "dev.env")) // another person than the one with the token
	// The scripts are parallel subtests: the group ends before the server does.
	t.Run("group", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir:                 filepath.Join("testdata", "script"),
			RequireExplicitExec: true,
			Setup: func(env *testscript.Env) error {
				for k, v := range map[string]string{
					"AIRLOCK_ENDPOINT": p.endpoint, "AIRLOCK_TOKEN": p.token, "AIRLOCK_CA": filepath.Join(p.dir, "ca.pem"),
					"AIRLOCK_PRIVATE_CLOUD": cloudPath(1), "TORTURE": torture, "INVENTORY": inventory, "STATE": p.dir, "PWSHS": pwshs,
					"SECOND_ID": second["AIRLOCK_CLIENT_ID"], "SECOND_SECRET": second["AIRLOCK_CLIENT_SECRET"],
				} {
					env.Setenv(k, v)
				}
				return nil
			},
			Condition: func(name string) (bool, error) {
				if name != "isolated" {
					return false, fmt.Errorf("unknown condition %s", name)
				}
				return isolation() == executor.IsolationSandbox, nil
			},
			Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "mode": mode, "field": field, "remake": remake, "library": library, "feed": feed},
		})
	})
}

// badPowerShells makes programs that speak as PowerShells of some versions do, and such that do not work, in a directory.
func badPowerShells(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	program := filepath.Join(dir, "program")
	build := exec.Command("go", "build", "-o", program, "github.com/airlock-run/airlock/executor/internal/powershell/badpwsh")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"version-7.6.5", "version-7.5.4", "version-7.3.9", "ends"} {
		if err := os.Link(program, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// exits CODE COMMAND… runs a command that has to end with the exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGUMENT…]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}

// remake DIR NUPKG NAME VERSION [CMDLET] makes a directory of the Go package in a .nupkg, built as it is, with another name and
// version, and without a cmdlet.
func remake(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 || len(args) > 5 {
		ts.Fatalf("usage: remake DIR NUPKG NAME VERSION [CMDLET]")
	}
	dir := ts.MkAbs(args[0])
	z, err := zip.OpenReader(args[1])
	ts.Check(err)
	defer z.Close()
	f, err := z.Open(manifest.File)
	ts.Check(err)
	data, err := io.ReadAll(f)
	ts.Check(err)
	m, err := manifest.Parse(data)
	ts.Check(err)
	m.Name, m.Version = args[2], args[3]
	if len(args) == 5 {
		m.Cmdlets = slices.DeleteFunc(m.Cmdlets, func(c manifest.Cmdlet) bool { return c.Name == args[4] })
	}
	data, err = m.Encode()
	ts.Check(err)
	for _, path := range m.Binaries {
		program, err := fs.ReadFile(z, path)
		ts.Check(err)
		ts.Check(os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755))
		ts.Check(os.WriteFile(filepath.Join(dir, path), program, 0o755))
	}
	ts.Check(os.WriteFile(filepath.Join(dir, manifest.File), data, 0o644))
}

// library FILE NAME VERSION [NEEDED] makes the .nupkg of a library, which may need another one.
func library(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: library FILE NAME VERSION [NEEDED]")
	}
	needs := ""
	if len(args) == 4 {
		needs = "<dependencies><dependency id=\"" + args[3] + "\"/></dependencies>"
	}
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[0])), 0o755))
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	z := zip.NewWriter(f)
	for name, text := range map[string]string{
		args[1] + ".nuspec": "<package xmlns=\"http://schemas.microsoft.com/packaging/2011/08/nuspec.xsd\"><metadata><id>" + args[1] + "</id><version>" + args[2] + "</version><authors>Contoso</authors><description>x</description>" + needs + "</metadata></package>",
		args[1] + ".psm1":   "function Get-It {}",
	} {
		w, err := z.Create(name)
		ts.Check(err)
		_, err = io.WriteString(w, text)
		ts.Check(err)
	}
	ts.Check(z.Close())
	ts.Check(f.Close())
}

// feed DIR PASSWORD sets FEED to a NuGet feed over TLS of the .nupkg files in a directory, laid out as on a package base address, and
// AIRLOCK_FEED_CA to its authority. Who has not the password is refused.
func feed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: feed DIR PASSWORD")
	}
	dir, files := ts.MkAbs(args[0]), http.FileServer(http.Dir(ts.MkAbs(args[0])))
	var server *httptest.Server
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != args[1] {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		var answer any
		switch path, list := strings.CutSuffix(r.URL.Path, "/index.json"); {
		case r.URL.Path == "/v3/index.json":
			answer = map[string]any{"resources": []any{map[string]string{"@id": server.URL + "/", "@type": "PackageBaseAddress/3.0.0"}}}
		case list:
			versions := []string{}
			entries, _ := os.ReadDir(filepath.Join(dir, path)) // none where it is not there
			for _, e := range entries {
				versions = append(versions, e.Name())
			}
			answer = map[string]any{"versions": versions}
		default:
			files.ServeHTTP(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	ts.Defer(server.Close)
	ca := filepath.Join(filepath.Dir(dir), "feed.pem")
	ts.Check(os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	ts.Setenv("FEED", server.URL+"/v3/index.json")
	ts.Setenv("AIRLOCK_FEED_CA", ca)
}

// mode MODE FILE checks a file's mode, in octal.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); (got == args[0]) == neg {
		ts.Fatalf("%s has the mode %s", args[1], got)
	}
}

// field VARIABLE NAME FILE sets a variable to what stands behind the name in a file of pairs.
func field(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: field VARIABLE NAME FILE")
	}
	for line := range strings.Lines(ts.ReadFile(args[2])) {
		if value, ok := strings.CutPrefix(line, args[1]+" "); ok {
			ts.Setenv(args[0], strings.TrimSpace(value))
			return
		}
	}
	ts.Fatalf("%s has no %s", args[2], args[1])
}

// The demo does what it says, from a package that is packed already.
func TestDemo(t *testing.T) {
	t.Parallel()
	var stdout, stderr strings.Builder
	a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }}
	code := run(t.Context(), a, []string{"demo", "--package", nupkg(t, "inventory")})
	for _, want := range []string{"Succeeded", "ScriptTimedOut", "[redacted]", "password = reused", "a cmdlet in PowerShell", "All of it was so"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the transcript lacks %q", want)
		}
	}
	if code != 0 || stderr.Len() > 0 {
		t.Errorf("exit code %d, errors %s", code, &stderr)
	}
	if strings.Contains(stdout.String(), "set by a cmdlet that fails") || t.Failed() {
		t.Errorf("the transcript:\n%s", &stdout)
	}
}

// Where there is a PowerShell, the demo runs a cmdlet with it.
func TestPowerShellDemo(t *testing.T) {
	wantPowerShell(t)
	var stdout, stderr strings.Builder
	a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, getenv: os.Getenv}
	code := run(t.Context(), a, []string{"demo", "--package", nupkg(t, "inventory")})
	if code != 0 || !strings.Contains(stdout.String(), "account svc-airlock: password created") {
		t.Errorf("exit code %d, errors %s, the transcript:\n%s", code, &stderr, &stdout)
	}
}
