package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// A snapshot has what was durable at its moment and nothing of what was written while it was copied, beside a store
// that goes on. Opened, it is a state like any other.
func TestSnapshotIsOneMoment(t *testing.T) {
	t.Parallel()
	f := newFixture(t, engines[0], Config{})
	c := f.putCloud(1)
	running := f.running(c, "runs")
	waiting := f.submit(c, "waits")
	for seq := range int64(200) {
		random := make([]byte, 30_000) // which no compression makes smaller
		rand.Read(random)
		line := base64.StdEncoding.EncodeToString(random)
		ok(t, f.Append(t.Context(), running.Execution.ID, running.Fence, []domain.Record{{Seq: seq + 1, Time: morning, Stream: domain.Output, Text: line}}))
	}
	into := filepath.Join(t.TempDir(), "copy.db")
	ok(t, Snapshot(t.Context(), f.path, into, func() error {
		f.finish(running, domain.Outcome{State: domain.Succeeded}) // after the moment
		f.submit(c, "too late")
		return nil
	}))
	info, err := os.Stat(into)
	ok(t, err)
	same(t, "mode", info.Mode().Perm(), fs.FileMode(0o600))
	same(t, "more pages than are copied at once", info.Size() > pagesAtOnce*4096, true)
	have := must[int](t)(Check(t.Context(), into))
	same(t, "schema", have, must[int](t)(Schema()))
	same(t, "files beside the copy", left(t, filepath.Dir(into)), []string{"copy.db"})

	other, err := Open(t.Context(), Config{Path: into, Key: testKey})
	ok(t, err)
	defer other.Close()
	same(t, "state in the copy", must[domain.Execution](t)(other.ExecutionByID(t.Context(), running.Execution.ID)).State, domain.Running)
	same(t, "records in the copy", len(must[[]domain.Record](t)(other.Records(t.Context(), running.Execution.ID, 0, 1000, 1<<30))), 200)
	same(t, "state in the copy", must[domain.Execution](t)(other.ExecutionByID(t.Context(), waiting.ID)).State, domain.Pending)
	_, err = other.Execution(t.Context(), c, "too late")
	want(t, err, errors.ResourceNotFound)
	same(t, "state in the store", f.state(running.Execution.ID), domain.Succeeded)
}

// A file that nobody has open can be copied as well.
func TestSnapshotOfAStoppedStore(t *testing.T) {
	t.Parallel()
	f := newFixture(t, engines[0], Config{})
	x := f.submit(f.putCloud(1), "waits")
	ok(t, f.Close())
	into := filepath.Join(t.TempDir(), "copy.db")
	ok(t, Snapshot(t.Context(), f.path, into, func() error { return nil }))
	other, err := Open(t.Context(), Config{Path: into, Key: testKey})
	ok(t, err)
	defer other.Close()
	must[domain.Execution](t)(other.ExecutionByID(t.Context(), x.ID))
}

func TestSnapshotThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, engines[0], Config{})
	dir := t.TempDir()
	into := filepath.Join(dir, "copy.db")
	changed := errors.New("changed")
	if err := Snapshot(t.Context(), f.path, into, func() error { return changed }); !errors.Is(err, changed) {
		t.Fatalf("error is %v, want that of pinned", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := Snapshot(ctx, f.path, into, func() error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v, want that of the context", err)
	}
	want(t, Snapshot(t.Context(), filepath.Join(dir, "missing"), into, func() error { return nil }), errors.ResourceNotFound)
	foreign := filepath.Join(dir, "foreign")
	ok(t, os.WriteFile(foreign, bytes.Repeat([]byte("no database "), 1000), 0o600))
	want(t, Snapshot(t.Context(), foreign, into, func() error { return nil }), errors.Conflict)
	same(t, "files", left(t, dir), []string{"foreign"})
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t, engines[0], Config{})
	c := f.putCloud(1)
	for range 50 {
		f.submit(c, newID())
	}
	sound := filepath.Join(t.TempDir(), "copy.db")
	ok(t, Snapshot(t.Context(), f.path, sound, func() error { return nil }))
	data, err := os.ReadFile(sound)
	ok(t, err)
	userVersion, application := 60, 68 // "Database File Format", 1.3
	for name, change := range map[string]func([]byte) []byte{
		"empty":         func([]byte) []byte { return nil },
		"text":          func([]byte) []byte { return bytes.Repeat([]byte("no database "), 1000) },
		"another's":     func(b []byte) []byte { b[application]++; return b },
		"newer":         func(b []byte) []byte { b[userVersion+3] = 200; return b },
		"cut":           func(b []byte) []byte { return b[:len(b)/2] },
		"pages changed": func(b []byte) []byte { copy(b[8192:], bytes.Repeat([]byte{0xff}, len(b)-8192)); return b },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "state.db")
			ok(t, os.WriteFile(path, change(bytes.Clone(data)), 0o600))
			if _, err := Check(t.Context(), path); errors.CodeOf(err) == errors.InternalError || err == nil {
				t.Errorf("error is %v, want a sentence", err)
			}
		})
	}
}

func left(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	ok(t, err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names
}
