package executor_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages"
)

// packTorture packs examples/torture, once for all tests.
var packTorture = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "airlock-torture-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	packed, err := packages.Pack(context.Background(), "../examples/torture", dir, packages.PackOptions{})
	if err != nil {
		return nil, err
	}
	return os.ReadFile(packed.Path)
})

// pushTorture pushes examples/torture, and has the executor use the repository that it is in.
func (h *home) pushTorture(t *testing.T) domain.Package {
	t.Helper()
	repository, err := packages.Open(filepath.Join(h.dir, "packages"), h.store)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := packTorture()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "torture.nupkg")
	if err := os.WriteFile(file, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	pkg, err := repository.PushPath(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	h.config.Packages = repository
	return pkg
}

// tortured is an execution of one of the package's cmdlets.
func tortured(pkg domain.Package, cloud int, cmdlet string, parameters ...string) domain.Execution {
	x := execution(cloud, fmt.Sprint(cmdlet, len(parameters), "-", uuid.NewString()), cmdlet, parameters...)
	x.Package = domain.PackageRef{Name: pkg.Name, Version: pkg.Version, Digest: pkg.Digest}
	declared, _ := pkg.Manifest.Cmdlet(cmdlet)
	for i, a := range x.Parameters {
		d, _ := declared.Parameter(a.Name)
		x.Parameters[i].Type = d.Type
	}
	return x
}

// A package as a vendor writes it, packed, pushed and laid out as Airlock does, misbehaves.
func TestTorture(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	pkg := h.pushTorture(t)
	b := h.start(t, func(e *executor.Executor) { e.SetBounds(0, 300*time.Millisecond, 0) })
	run := func(cmdlet string, timeout time.Duration, parameters ...string) domain.Execution {
		t.Helper()
		x := tortured(pkg, 1, cmdlet, parameters...)
		x.Timeout = timeout
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
