package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRotationWhileExecutionsRun changes the master key again and again while executions keep secrets and have secure
// parameters: none of it is lost, over a restart and over a kill. A key that is wrong or missing is an error at the start
// that changes nothing.
func TestRotationWhileExecutionsRun(t *testing.T) {
	t.Parallel()
	dir, j := stateDir(t), newJournal(t)
	p := serveDev(t, dir, notIsolated, "--package", nupkg(t, "torture"))
	rotate := func() {
		t.Helper()
		before, err := os.ReadFile(filepath.Join(dir, "key"))
		if err != nil {
			t.Fatal(err)
		}
		mustAirlock(t, "secrets", "rotate-key", "--state", dir)
		if after, err := os.ReadFile(filepath.Join(dir, "key")); err != nil || string(after) == string(before) {
			t.Fatalf("the master key is the same after the rotation, %v", err)
		}
	}
	secure := func(name string) executionBody { // prints the secret, and its own secure parameter
		body, key := torture(1, "Write-Secret", "SecretName="+name), "a-secure-"+name
		body.Properties.Parameters = append(body.Properties.Parameters, parameter{Name: "Key", Type: "SecureValue", SecureValue: &key})
		return body
	}
	p.put(t, 1, "make-first", torture(1, "New-Secret", "Name=first", "Reversed=terces-tsrif"))
	p.put(t, 1, "hold", torture(1, "Write-Log", "File="+j.path, "Milliseconds=100"))
	p.put(t, 1, "use-first", secure("first")) // waits, with its parameters sealed, while the key changes
	rotate()
	j.next(t)
	rotate()
	p.put(t, 1, "make-second", torture(1, "New-Secret", "Name=second", "Reversed=terces-dnoces"))
	rotate()
	for _, name := range []string{"make-first", "hold", "use-first", "make-second"} {
		if x := p.ended(t, 1, name); x.ProvisioningState != "Succeeded" {
			t.Fatalf("%s: %s %s", name, x.ProvisioningState, x.FailureReason)
		}
	}
	p.put(t, 1, "hold-2", torture(1, "Write-Log", "File="+j.path, "Milliseconds=60000"))
	p.put(t, 1, "use-second", secure("second"))
	j.next(t)
	rotate()
	p.kill9()
	rotate()

	files := func() string {
		var all strings.Builder
		for _, name := range []string{"key", "key.sealed", "key.check", "airlock.db", "airlock.db-wal"} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			all.WriteString(name + string(data))
		}
		return all.String()
	}
	key, right := filepath.Join(dir, "key"), filepath.Join(t.TempDir(), "right")
	if err := os.Rename(key, right); err != nil {
		t.Fatal(err)
	}
	for what, content := range map[string]string{"a missing key": "", "a wrong key": strings.Repeat("k", 32)} {
		if content != "" {
			if err := os.WriteFile(key, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before := files()
		out, code := airlock(t, nil, "serve", "--dev", "--state", dir, "--listen", "127.0.0.1:0", notIsolated)
		if code != 2 || !strings.Contains(out, "key") || !strings.Contains(out, "before") && !strings.Contains(out, "from a copy") {
			t.Errorf("%s: exit %d\n%s", what, code, out)
		}
		if files() != before {
			t.Errorf("%s changed the state", what)
		}
		_ = os.Remove(key)
	}
	if err := os.Rename(right, key); err != nil {
		t.Fatal(err)
	}

	p = serveDev(t, dir, notIsolated)
	if x := p.ended(t, 1, "hold-2"); x.FailureCode != "ExecutorLost" {
		t.Errorf("what ran at the kill is %s %s", x.ProvisioningState, x.FailureCode)
	}
	p.put(t, 1, "use-first-again", secure("first"))
	for _, name := range []string{"use-second", "use-first-again"} {
		if x := p.ended(t, 1, name); x.ProvisioningState != "Succeeded" || !x.wrote("[redacted]") {
			t.Errorf("%s after the restart: %s %s", name, x.ProvisioningState, x.FailureReason)
		}
	}
	if x := p.ended(t, 1, "make-first"); x.ProvisioningState != "Succeeded" || len(x.records) == 0 {
		t.Errorf("the record of before the rotations: %s, %d records", x.ProvisioningState, len(x.records))
	}
}
