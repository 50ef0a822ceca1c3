package executor_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
)

// TestKeysEndWithTheirExecution: what was sealed for an execution opens until it has ended, and then no more, however
// it ended and whatever a database keeps of it.
func TestKeysEndWithTheirExecution(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	wanted := func(x domain.Execution) domain.Execution {
		t.Helper()
		if err := h.secure(&x, "secret", "canary of "+x.Name); err != nil {
			t.Fatal(err)
		}
		key, err := h.keys.Get(x.ID)
		if err != nil {
			t.Fatal(err)
		}
		if values, err := seal.OpenValues(key, x.ID, x.Sealed); err != nil || values["secret"].Password.Reveal() != "canary of "+x.Name {
			t.Fatalf("%s before its end: %v", x.Name, err)
		}
		return x
	}
	b := h.start(t)
	log := filepath.Join(t.TempDir(), "log")
	all := []domain.Execution{
		wanted(execution(1, "succeeds", "Write-LogAndSecret", "Log", log, "Milliseconds", "1")), // and has an intent
		wanted(execution(1, "fails", "No-SuchCmdlet")),
	}
	for _, x := range all {
		b.run(x)
	}
	if x, err := h.store.ExecutionByID(t.Context(), all[0].ID); err != nil || x.State != domain.Succeeded || h.kept(t, 1)["succeeds"] == "" {
		t.Fatalf("%v %+v, %v", x.State, x.Failure, err)
	}
	b.stop()
	for name, end := range map[string]func(domain.Execution) error{
		"canceled while it waits": func(x domain.Execution) error {
			_, err := h.store.Cancel(context.Background(), x.Cloud, x.Name)
			return err
		},
		"deleted while it waits": func(x domain.Execution) error {
			_, _, err := h.store.Delete(context.Background(), x.Cloud, x.Name, "00000000-0000-0000-0000-000000000001")
			return err
		},
	} {
		x := wanted(execution(1, name, "Write-LogAndSecret"))
		b.submit(x)
		if _, err := h.keys.Get(x.ID); err != nil {
			t.Fatal(err)
		}
		if err := end(x); err != nil {
			t.Fatal(err)
		}
		all = append(all, x)
	}
	for _, x := range all {
		if _, err := h.keys.Get(x.ID); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s has a key after its end: %v", x.Name, err)
		}
		if _, err := seal.OpenValues(h.key, x.ID, x.Sealed); err == nil {
			t.Errorf("the parameters of %s open with the master key", x.Name)
		}
	}
	if left, err := os.ReadDir(filepath.Join(h.dir, "executions")); err != nil || len(left) > 0 {
		t.Errorf("the keys %v are left, %v", left, err)
	}
}
