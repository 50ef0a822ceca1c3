package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/executor"
)

// canaries are the secrets of TestNothingLeaks: each has something that JSON escapes.
var canaries = map[string]string{
	"parameter":  `canary-"one"-parameter`,
	"credential": `canary\two\credential`,
	"kept":       "canary\nthree <kept>",
	"failed":     `canary-four-"of a failure"`,
}

var noCore = regexp.MustCompile(`(?m)^Max core file size +0 +0 `)

// forms are the ways in which a canary would show.
func forms(value string) map[string]string {
	escaped, _ := json.Marshal(value)
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(value)
	return map[string]string{
		"as it is":       value,
		"JSON":           strings.Trim(string(escaped), `"`),
		"JSON, plain":    strings.Trim(strings.TrimSpace(plain.String()), `"`),
		"base64":         base64.StdEncoding.EncodeToString([]byte(value)),
		"its first half": value[:len(value)/2],
		"its other half": value[len(value)/2:],
	}
}

func search(t *testing.T, where string, data []byte) {
	t.Helper()
	for name, value := range canaries {
		for form, text := range forms(value) {
			if at := bytes.Index(data, []byte(text)); at >= 0 {
				t.Errorf("%s shows the canary %s %s: %q", where, name, form, data[max(0, at-60):min(len(data), at+len(text)+20)])
			}
		}
	}
}

// reversed spells a value backwards, byte by byte, so that it does not stand in a plain parameter.
func reversed(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// Secure parameters and persistent secrets that scripts print in every way read as [redacted] everywhere, in rooms and
// without.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	for _, how := range slices.Compact([]executor.Isolation{executor.IsolationNone, isolation()}) {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			testNothingLeaks(t, how)
		})
	}
}

func testNothingLeaks(t *testing.T, how executor.Isolation) {
	dir := stateDir(t)
	p := serveDev(t, dir, "--isolation", string(how), "--package", nupkg(t, "torture"))

	// A secret that the script makes itself, kept; another one whose script fails.
	p.put(t, 1, "make", torture(1, "New-Secret", "Name=kept", "Reversed="+reversed(canaries["kept"])))
	p.put(t, 1, "fail", torture(1, "New-Secret", "Name=failed", "Fail=true", "Reversed="+reversed(canaries["failed"])))
	// The kept one, and secure parameters, whichever array they come in.
	body := torture(1, "Write-Secret", "SecretName=kept")
	key, user, password := canaries["parameter"], "user", canaries["credential"]
	body.Properties.Parameters = append(body.Properties.Parameters, parameter{Name: "Key", Type: "SecureValue", SecureValue: &key})
	body.Properties.HiddenParameters = []parameter{{Name: "Login", Type: "Credential", Username: &user, Password: &password}}
	p.put(t, 1, "print", body)
	for name, state := range map[string]string{"make": "Succeeded", "fail": "Failed", "print": "Succeeded"} {
		x := p.ended(t, 1, name)
		if x.ProvisioningState != state {
			t.Fatalf("%s: %s %s", name, x.ProvisioningState, x.FailureReason)
		}
		if !x.wrote("[redacted]") || !x.wrote("in a sentence: ") {
			t.Errorf("%s has not printed its secret: the test shows nothing", name)
		}
	}

	// While a script of the package runs, it holds the kept secret: not in its arguments or environment.
	p.put(t, 1, "hold", torture(1, "Write-Log", "Milliseconds=60000"))
	p.started(t, 1, "hold")
	scripts := scriptsOf(t, dir)
	if len(scripts) != 1 {
		t.Fatalf("one script runs, but its processes are %v", scripts)
	}
	for _, process := range append(scripts, "/proc/"+itoa(p.cmd.Process.Pid)) {
		for _, file := range []string{"cmdline", "environ"} {
			data, err := os.ReadFile(filepath.Join(process, file))
			if err != nil || len(data) == 0 {
				t.Errorf("%s of %s: %v, %d bytes", file, process, err, len(data))
			}
			search(t, file+" of "+process, data)
		}
		limits, err := os.ReadFile(filepath.Join(process, "limits"))
		if err != nil || !noCore.Match(limits) {
			t.Errorf("%s can leave a core dump: %v\n%s", process, err, limits)
		}
	}
	if _, err := p.do(t.Context(), http.MethodPost, cloudPath(1)+"/scriptExecutions/hold/cancel", nil, nil); err != nil {
		t.Fatal(err)
	}
	p.ended(t, 1, "hold")

	for _, name := range []string{"make", "fail", "print", "hold"} {
		path := cloudPath(1) + "/scriptExecutions/" + name
		search(t, "GET "+name, p.raw(t, http.MethodGet, path))
		search(t, "streams of "+name, p.raw(t, http.MethodGet, path+"/streams"))
		search(t, "log of "+name, p.raw(t, http.MethodPost, path+"/getExecutionLogs"))
	}
	search(t, "the list", p.raw(t, http.MethodGet, cloudPath(1)+"/scriptExecutions"))

	p.stop(t)
	if left, err := os.ReadDir(filepath.Join(dir, "keys")); err != nil || len(left) > 0 {
		t.Errorf("of executions that have ended there are still keys: %v, %v", left, err)
	}
	search(t, "the server's log", []byte(p.log.String()))
	searchFiles(t, dir)
}

// searchFiles searches all files below dir, and makes sure that what is stored of executions is among what it searches.
// (Their output is sealed there.)
func searchFiles(t *testing.T, dir string) {
	t.Helper()
	seen := false
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || strings.HasPrefix(path, filepath.Join(dir, "packages")) {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen = seen || bytes.Contains(data, []byte("scriptCmdlets/Write-Secret"))
		search(t, path, data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !seen {
		t.Error("no file holds the executions: the search has shown nothing")
	}
}
