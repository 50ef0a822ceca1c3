package executor_test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages"
)

// A package as a vendor writes it, packed, pushed and laid out as Airlock does, misbehaves.
func TestTorture(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	repository, err := packages.Open(filepath.Join(h.dir, "packages"), h.store)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := packages.Pack(t.Context(), "../examples/torture", t.TempDir(), packages.PackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pkg, err := repository.PushPath(t.Context(), packed.Path)
	if err != nil {
		t.Fatal(err)
	}
	h.config.Packages = repository
	b := h.start(t, func(e *executor.Executor) { e.SetBounds(0, 300*time.Millisecond, 0) })
	run := func(cmdlet string, timeout time.Duration, parameters ...string) domain.Execution {
		t.Helper()
		x := execution(1, strings.Join(append(parameters, cmdlet), "-"), cmdlet, parameters...)
		x.Package, x.Timeout = domain.PackageRef{Name: pkg.Name, Version: pkg.Version, Digest: pkg.Digest}, timeout
		declared, _ := pkg.Manifest.Cmdlet(cmdlet)
		for i, a := range x.Parameters {
			d, _ := declared.Parameter(a.Name)
			x.Parameters[i].Type = d.Type
		}
		return b.run(x)
	}

	x := run("Write-Lines", time.Minute, "Count", "10000")
	wantSucceeded(t, x)
	next := map[string]int{}
	records := b.records(t, x.ID)
	for _, r := range records {
		var writer string
		var n int
		if _, err := fmt.Sscanf(r.Text, "line %s %d", &writer, &n); err != nil || n != next[writer+r.Stream.String()] && n%4 != int(r.Stream)-1 {
			t.Fatalf("%+v: %v", r, err)
		}
	}
	if len(records) != 10000 || x.NamedOutputs["lines"] != "10000" {
		t.Errorf("%d lines, named outputs %v", len(records), x.NamedOutputs)
	}

	wantSucceeded(t, run("New-Secret", time.Minute, "Name", "made", "Reversed", "eulav-yranac-wen-a"))
	values := map[string]string{"new secret": "a-new-canary-value"}
	if got, err := h.secrets.Read(t.Context(), cloud(1), pkg.Name); err != nil || got["made"].Reveal() != values["new secret"] {
		t.Errorf("kept: %d secrets, %v", len(got), err)
	}
	x = run("New-Secret", time.Minute, "Name", "other", "Reversed", "eulav-yranac-rehtona", "Fail", "true")
	wantFailed(t, x, errors.ScriptFailed)
	values["other secret"] = "another-canary-value"
	if !strings.Contains(x.Failure.Message, "failing with the secret [redacted]") {
		t.Errorf("it says %q", x.Failure.Message)
	}

	wantFailed(t, run("Stop-Hard", time.Minute, "How", "exit"), errors.ScriptFailed)
	wantFailed(t, run("Stop-Hard", time.Minute, "How", "panic"), errors.ScriptFailed)
	wantFailed(t, run("Stop-Hard", time.Minute, "How", "crash"), errors.ScriptFailed)
	wantFailed(t, run("Stop-Hard", time.Minute, "How", "kill"), errors.ScriptFailed)
	wantFailed(t, run("Set-BigOutput", time.Minute, "Bytes", "40000"), errors.NamedOutputsTooLarge)
	wantFailed(t, run("Ignore-Cancel", 300*time.Millisecond), errors.ScriptTimedOut)
	wantFailed(t, run("No-Such", time.Minute), errors.ScriptRuntimeMissing)
	x = run("Write-Binary", time.Minute)
	wantSucceeded(t, x)
	if text := b.records(t, x.ID)[0].Text; !strings.Contains(text, `caf\xe9`) {
		t.Errorf("it wrote %q", text)
	}

	x = run("Start-Children", time.Minute, "Count", "4")
	wantSucceeded(t, x)
	for pid := range strings.SplitSeq(strings.Trim(b.records(t, x.ID)[0].Text, "[]"), ",") {
		if n, err := strconv.Atoi(pid); err != nil || running(n) {
			t.Errorf("the child %s is left", pid)
		}
	}
	b.wantNothingLeft(t)
	b.stop()
	b.close(t)
	b.wantFilesClean(t, values)
}
