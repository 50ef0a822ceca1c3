package executor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/manifest"
)

func TestAGoodEnd(t *testing.T) {
	t.Parallel()
	b := newHome(t).start(t)
	x := b.run(execution(1, "good", "Write-All"))
	wantSucceeded(t, x)
	if len(x.NamedOutputs) != 2 || x.NamedOutputs["two"] != "zwei" || x.Warning != "" || x.Started.IsZero() || x.Finished.Before(x.Started) {
		t.Errorf("it reads %+v", x)
	}
	var got []string
	for i, r := range b.records(t, x.ID) {
		if r.Seq != int64(i+1) || r.Time.IsZero() {
			t.Errorf("record %d: %+v", i, r)
		}
		got = append(got, r.Stream.String()+" "+r.Text)
	}
	want := []string{"Output stream 1", "Information stream 2", "Warning stream 3", "Error stream 4", "Output ", "Output last"}
	if !slices.Equal(got, want) {
		t.Errorf("output: %q", got)
	}
	b.wantNothingLeft(t)
	b.stop()
	if got := b.trail.of(x.ID); !slices.Equal(got, []string{"executions/claim ok", "executions/start ok", "executions/end ok"}) {
		t.Errorf("audit: %q", got)
	}
}

func TestPersistentSecrets(t *testing.T) {
	t.Parallel()
	b := newHome(t).start(t)
	wantSucceeded(t, b.run(execution(1, "one", "Set-Named", "Name", "Kept", "Value", "first-value")))
	wantSucceeded(t, b.run(execution(1, "two", "Set-Named", "Name", "removed", "Value", "second-value")))
	if got := b.kept(t, 1); len(got) != 2 || got["Kept"] != "first-value" {
		t.Fatalf("kept: %v", got)
	}
	wantSucceeded(t, b.run(execution(1, "three", "Set-Secrets", "Value", "third-value"))) // deletes "removed"
	want := map[string]string{"Kept": "first-value", "made-by-script": "third-value"}
	if got := b.kept(t, 1); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("kept: %v", got)
	}
	wantFailed(t, b.run(execution(1, "four", "Stop-Failing")), errors.ScriptFailed)
	if got := b.kept(t, 1); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("after a failure: %v", got)
	}
	if got := b.kept(t, 2); len(got) != 0 {
		t.Errorf("another private cloud sees %v", got)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.config.MaxOutput = 100_000
	b := h.start(t)
	for cmdlet, want := range map[string]struct {
		parameters []string
		code       errors.Code
		says       string
	}{
		"Stop-Failing": {nil, errors.ScriptFailed, "The disk is too small."},
		"Stop-Hard":    {nil, errors.ScriptFailed, "exit code 3"},
		"Break-Kind":   {nil, errors.ScriptFailed, "docs/wire-protocol.md"},
		"Set-Big":      {[]string{"Count", "32760"}, errors.NamedOutputsTooLarge, "32770 bytes as JSON, the bound is 32768"},
		"Write-Flood":  {nil, errors.OutputTooLarge, "100000 bytes"},
		"Set-Named":    {[]string{"Name", "not valid", "Value", "value"}, errors.SecretNameInvalid, `"not valid"`},
		"No-Such":      {nil, errors.ScriptRuntimeMissing, "no cmdlet No-Such"},
	} {
		x := b.run(execution(1, cmdlet, cmdlet, want.parameters...))
		wantFailed(t, x, want.code)
		if !strings.Contains(x.Failure.Message, want.says) {
			t.Errorf("%s: %q does not say %q", cmdlet, x.Failure.Message, want.says)
		}
	}
	wantSucceeded(t, b.run(execution(1, "just-fits", "Set-Big", "Count", "32758")))
	if got := b.kept(t, 1); len(got) != 0 {
		t.Errorf("kept: %v", got)
	}
	b.wantNothingLeft(t)
}

// A package may keep no more than its next execution can keep out of its output.
func TestSecretsKeptAreBounded(t *testing.T) {
	t.Parallel()
	b := newHome(t).start(t)
	set := func(n int) domain.Execution {
		value := strings.Repeat("0123456789", 2500)
		return b.run(execution(1, fmt.Sprint("set-", n), "Set-Named", "Name", fmt.Sprint("secret-", n), "Value", fmt.Sprint(n, value[1:])))
	}
	for n := range 5 {
		wantSucceeded(t, set(n))
	}
	x := set(5)
	wantFailed(t, x, errors.SecretStoreFailed)
	if !strings.Contains(x.Failure.Message, "6 persistent secrets of 150000 bytes together") || len(b.kept(t, 1)) != 5 {
		t.Errorf("%q; kept %d", x.Failure.Message, len(b.kept(t, 1)))
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	b := newHome(t).start(t, func(e *executor.Executor) { e.SetBounds(0, 500*time.Millisecond, 0) })
	for _, cmdlet := range []string{"Wait-Forever", "Wait-Cancel", "Write-Flood"} {
		x := execution(1, cmdlet, cmdlet)
		x.Timeout = 300 * time.Millisecond
		x = b.run(x)
		wantFailed(t, x, errors.ScriptTimedOut)
		if !strings.Contains(x.Failure.Message, "300ms") {
			t.Errorf("the message %q does not name the timeout", x.Failure.Message)
		}
		if ran := x.Finished.Sub(x.Started); ran < x.Timeout {
			t.Errorf("%s was ended after %v", cmdlet, ran)
		}
	}
	if got := b.kept(t, 1); len(got) != 0 {
		t.Errorf("kept: %v", got)
	}
	b.wantNothingLeft(t)
}

func TestCancelAndDelete(t *testing.T) {
	t.Parallel()
	b := newHome(t).start(t, func(e *executor.Executor) { e.SetBounds(0, 300*time.Millisecond, 0) })
	ctx := context.Background()
	for _, cmdlet := range []string{"Wait-Forever", "Wait-Cancel"} {
		x := b.submit(execution(1, "cancel-"+cmdlet, cmdlet))
		b.hears(t, x.ID, "ready")
		if _, err := b.store.Cancel(ctx, x.Cloud, x.Name); err != nil {
			t.Fatal(err)
		}
		if x = b.until(t, x.ID, final); x.State != domain.Canceled || x.Failure != nil || len(x.NamedOutputs) > 0 {
			t.Errorf("a canceled execution reads %s, %+v, %v", x.State, x.Failure, x.NamedOutputs)
		}

		x = b.submit(execution(1, "delete-"+cmdlet, cmdlet))
		b.hears(t, x.ID, "ready")
		if _, _, err := b.store.Delete(ctx, x.Cloud, x.Name, "delete-of-"+cmdlet); err != nil {
			t.Fatal(err)
		}
		b.untilGone(t, x.ID)
		if op, err := b.store.Operation(ctx, x.ID); err != nil || op.State != domain.Canceled {
			t.Errorf("the operation of a deleted execution reads %+v, %v", op, err)
		}
	}
	if got := b.kept(t, 1); len(got) != 0 {
		t.Errorf("kept: %v", got)
	}
	wantSucceeded(t, b.run(execution(1, "next", "Test-Nothing")))
	b.wantNothingLeft(t)
}

func (h *home) untilGone(t *testing.T, id string) {
	t.Helper()
	changed, stop := h.store.Watch(id)
	defer stop()
	for timeout := time.After(60 * time.Second); ; {
		if _, err := h.store.ExecutionByID(context.Background(), id); errors.Has(err, errors.ResourceNotFound) {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatal("the record does not go")
		}
	}
}

func TestServerStops(t *testing.T) {
	t.Parallel()
	b := newHome(t).start(t, func(e *executor.Executor) { e.SetBounds(0, 300*time.Millisecond, 0) })
	one, two := b.submit(execution(1, "one", "Wait-Forever")), b.submit(execution(2, "two", "Wait-Cancel"))
	waiting := b.submit(execution(1, "three", "Test-Nothing"))
	b.hears(t, one.ID, "ready")
	b.hears(t, two.ID, "ready")
	b.stop()
	for _, id := range []string{one.ID, two.ID} {
		x, err := b.store.ExecutionByID(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		wantFailed(t, x, errors.ExecutorLost)
		if !strings.Contains(x.Failure.Message, "The server was stopped") {
			t.Errorf("it says %q", x.Failure.Message)
		}
	}
	if x, err := b.store.ExecutionByID(context.Background(), waiting.ID); err != nil || x.State != domain.Pending {
		t.Errorf("the waiting one is %s, %v", x.State, err)
	}
	b.wantNothingLeft(t)
}

func TestPrivateCloudUpdating(t *testing.T) {
	t.Parallel()
	b := newHome(t).start(t)
	ctx := context.Background()
	if err := b.addCloud(1); err != nil {
		t.Fatal(err)
	}
	if err := b.store.PutPrivateCloud(ctx, domain.PrivateCloud{ID: cloud(1), State: domain.CloudUpdating, VCenter: "vc.example.test"}); err != nil {
		t.Fatal(err)
	}
	x := b.run(execution(1, "refused", "Test-Nothing"))
	wantFailed(t, x, errors.PrivateCloudUpdating)
	if err := b.store.PutPrivateCloud(ctx, domain.PrivateCloud{ID: cloud(1), State: domain.CloudSucceeded, VCenter: "vc.example.test"}); err != nil {
		t.Fatal(err)
	}

	until := filepath.Join(t.TempDir(), "go-on")
	x = b.submit(execution(1, "updates", "Update-Cloud", "Until", until))
	x = b.until(t, x.ID, func(x domain.Execution) bool { return !x.Started.IsZero() })
	if c, err := b.store.PrivateCloud(ctx, cloud(1)); err != nil || c.State != domain.CloudUpdating || c.UpdatedBy != x.ID {
		t.Errorf("while it runs the private cloud reads %+v, %v", c, err)
	}
	if err := os.WriteFile(until, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantSucceeded(t, b.until(t, x.ID, final))
	if c, err := b.store.PrivateCloud(ctx, cloud(1)); err != nil || c.State != domain.CloudSucceeded || c.UpdatedBy != "" {
		t.Errorf("afterwards the private cloud reads %+v, %v", c, err)
	}
}

// Nothing that the script has started lives on, and the end does not wait for it.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	b := newHome(t).start(t, func(e *executor.Executor) { e.SetBounds(0, 200*time.Millisecond, 0) })
	for _, wait := range []string{"", "for ever"} {
		x := execution(1, "children"+strconv.Itoa(len(wait)), "Start-Children", "Wait", wait)
		if wait != "" {
			x.Timeout = 200 * time.Millisecond
		}
		x = b.run(x)
		children := 0
		for _, r := range b.records(t, x.ID) {
			_, pid, _ := strings.Cut(r.Text, " ")
			if r.Stream != domain.Information {
				continue
			}
			children++
			if n, err := strconv.Atoi(pid); err != nil || running(n) {
				t.Errorf("%q: the child %s is left", wait, r.Text)
			}
		}
		if children != 4 {
			t.Errorf("%d children were started", children)
		}
	}
	b.wantNothingLeft(t)
}

func TestManyLines(t *testing.T) {
	t.Parallel()
	const count = 100_000
	b := newHome(t).start(t)
	x := b.run(execution(1, "lines", "Write-Lines", "Count", strconv.Itoa(count)))
	wantSucceeded(t, x)
	next := map[domain.Stream]int{}
	records := b.records(t, x.ID)
	for i, r := range records {
		if r.Seq != int64(i+1) {
			t.Fatalf("record %d has seq %d", i, r.Seq)
		}
		if want := fmt.Sprintf("line %d of stream %d", next[r.Stream], r.Stream); r.Text != want {
			t.Fatalf("%s: %q in place of %q", r.Stream, r.Text, want)
		}
		next[r.Stream]++
	}
	if len(records) != count {
		t.Errorf("%d of %d lines", len(records), count)
	}
}

// What a script is told is not in sight of other processes.
func TestScriptIsToldAll(t *testing.T) {
	t.Parallel()
	b := newHome(t).start(t)
	x := execution(1, "told", "Write-Start", "Plain", "text")
	if err := b.secure(&x, "Secret", "a-secret-value"); err != nil {
		t.Fatal(err)
	}
	x = b.run(x)
	wantSucceeded(t, x)
	var told struct {
		ExecutionName, VCAddress string
		Parameters               map[string]struct{ Type, Value string }
		Secure                   map[string]string
		Token                    string
		Grant                    struct{ VCenter domain.Endpoint }
	}
	if err := json.Unmarshal([]byte(b.records(t, x.ID)[0].Text), &told); err != nil {
		t.Fatal(err)
	}
	if told.ExecutionName != "told" || told.VCAddress != "vc.example.test" || told.Parameters["Plain"].Value != "text" ||
		told.Secure["Secret"] != "[redacted]" || told.Token != "[redacted]" || !strings.HasPrefix(told.Grant.VCenter.Addr, "127.0.0.1:") {
		t.Errorf("it was told %+v", told)
	}
}

// A package whose runtime this server lacks is told apart from one that is broken.
func TestRuntimeIsMissing(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	module := domain.Package{Name: "Contoso.Pod", Version: "1.0.0", Digest: strings.Repeat("b", 64), Pushed: time.Now(),
		Review: domain.Review{State: domain.Approved}, Manifest: manifest.Manifest{
			ManifestVersion: 1, Name: "Contoso.Pod", Version: "1.0.0", Runtime: manifest.PowerShell, Cmdlets: []manifest.Cmdlet{{Name: "Install-Pod"}},
		}}
	if err := h.store.PutPackage(t.Context(), module); err != nil {
		t.Fatal(err)
	}
	b := h.start(t)
	x := execution(1, "module", "Install-Pod")
	x.Package = domain.PackageRef{Name: module.Name, Version: module.Version, Digest: module.Digest}
	x = b.run(x)
	wantFailed(t, x, errors.ScriptRuntimeMissing)
	if want := "This server has no PowerShell to run the cmdlet; see what `airlock doctor` says on the server."; x.Failure.Message != want {
		t.Errorf("%q, want %q", x.Failure.Message, want)
	}
}
