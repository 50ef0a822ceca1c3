package sdktest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/sdktest"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sdk/wire"
)

// runPython runs the example of docs/wire-protocol.md.
func runPython(ctx context.Context, t *testing.T, h sdktest.Host) sdktest.Result {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not in PATH")
	}
	cmd := exec.Command(python, "../wire/testdata/minimal.py")
	cmd.Stderr = os.Stderr
	h.Start.Cmdlet = "Test-It"
	if h.Start.Parameters == nil {
		h.Start.Parameters = map[string]wire.Argument{}
	}
	h.Start.Parameters["Who"] = wire.Argument{Type: manifest.String, Value: "Zoë"}
	r, err := h.Run(ctx, cmd)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPython(t *testing.T) {
	t.Parallel()
	first := runPython(t.Context(), t, sdktest.Host{})
	if first.End.Failure != "" || first.Text(wire.KindOutput) != "running Test-It for Zoë\n" || len(first.Secrets) != 1 || first.Secrets[0].Value.Reveal() != "made by a script" {
		t.Errorf("%+v", first)
	}
	second := runPython(t.Context(), t, sdktest.Host{Start: wire.Start{Secrets: map[string]secret.Text{"token": *first.Secrets[0].Value}}})
	if second.End.NamedOutputs["who"] != "Zoë" || second.Text(wire.KindWarning) != "the token is kept from last time\n" || len(second.Secrets) != 0 {
		t.Errorf("%+v", second)
	}
}

func TestPythonIsAskedToEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	r := runPython(ctx, t, sdktest.Host{
		Start: wire.Start{Parameters: map[string]wire.Argument{"Wait": {Type: manifest.Bool, Value: "true"}}},
		Watch: func(sdktest.Record) { cancel(errors.New("enough")) },
	})
	if r.End.Failure != "the script was asked to end" {
		t.Errorf("%+v", r)
	}
}

func TestProgramsThatAreNoScripts(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"ends at once": {"-c", "pass"}, "speaks out of place": {"-c", `import os; os.write(3, b"\0\0\0\1\1")`}} {
		python, err := exec.LookPath("python3")
		if err != nil {
			t.Skip("python3 is not in PATH")
		}
		if r, err := (sdktest.Host{}).Run(t.Context(), exec.Command(python, args...)); err == nil {
			t.Errorf("%s: %+v without an error", name, r)
		}
	}
}
