package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/durable"
)

func TestWriteAndCreate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	if err := durable.PrivateDir(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "f")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(durable.CreateFile(path, []byte("one")))
	if err := durable.CreateFile(path, []byte("two")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created twice: %v", err)
	}
	if got, err := durable.ReadPrivate(path, 3); err != nil || string(got) != "one" {
		t.Errorf("%q, %v", got, err)
	}
	must(durable.WriteFile(path, []byte("three")))
	if got, err := durable.ReadPrivate(path, 5); err != nil || string(got) != "three" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := durable.ReadPrivate(path, 4); err == nil || !strings.Contains(err.Error(), "at most 4") {
		t.Errorf("larger than allowed: %v", err)
	}
	must(os.WriteFile(filepath.Join(dir, ".tmp-left"), nil, 0o600))
	must(durable.RemoveTemporary(dir))
	if entries, _ := os.ReadDir(dir); len(entries) != 1 || entries[0].Name() != "f" {
		t.Errorf("the directory holds %v, want f only", entries)
	}
}

func TestWriteFailsWithoutTrace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.Mkdir(path, 0o700); err != nil { // a rename cannot replace a directory
		t.Fatal(err)
	}
	if err := durable.WriteFile(path, []byte("x")); err == nil {
		t.Error("a file replaced a directory")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%v was left", entries)
	}
}
