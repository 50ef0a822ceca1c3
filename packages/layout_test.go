package packages_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/packages"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// largePackage packs 200 MB that nothing compresses, in 200 files.
func largePackage(tb testing.TB) (path string, size int64) {
	tb.Helper()
	dir := tb.TempDir()
	m, err := declared("Large", "1.0.0").Encode()
	if err != nil {
		tb.Fatal(err)
	}
	noise := make([]byte, 1<<20)
	write := func(name string, data []byte) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	write(manifest.File, m)
	write("bin/program", static())
	for i := range 200 {
		_, _ = rand.Read(noise)
		write(filepath.Join("data", string(rune('a'+i%20)), string(rune('a'+i/20))), noise)
	}
	packed, err := packages.Pack(context.Background(), dir, tb.TempDir(), packages.PackOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	info, err := os.Stat(packed.Path)
	if err != nil {
		tb.Fatal(err)
	}
	return packed.Path, info.Size()
}

// BenchmarkLayout is what a package of 200 MB costs an execution: used is one that was used before, first the first use
// after a start of the server, at which every byte is compared, push its push with all of its checks.
func BenchmarkLayout(b *testing.B) {
	path, size := largePackage(b)
	index, err := store.Open(b.Context(), store.Config{Path: filepath.Join(b.TempDir(), "state.db")})
	if err != nil {
		b.Fatal(err)
	}
	where := filepath.Join(b.TempDir(), "packages")
	r, err := packages.Open(where, index)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = filepath.WalkDir(where, func(p string, e os.DirEntry, _ error) error { return os.Chmod(p, 0o700) })
		_ = index.Close()
	})
	p, err := r.PushPath(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	if kept, err := os.ReadDir(filepath.Join(where, "content")); err != nil || len(kept) != 1 {
		b.Fatalf("the package is kept as %v, %v", kept, err)
	}
	layout := func(b *testing.B, r *packages.Repository) {
		if _, err := r.Layout(b.Context(), p.Digest); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("used", func(b *testing.B) {
		layout(b, r)
		for b.Loop() {
			layout(b, r)
		}
	})
	b.Run("first", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			again, err := packages.Open(where, index)
			if err != nil {
				b.Fatal(err)
			}
			layout(b, again)
		}
	})
	b.Run("push", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			if _, err := r.PushPath(b.Context(), path); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// leaving is an index whose caller is gone after so many questions.
type leaving struct {
	packages.Index
	after int
	leave context.CancelFunc
}

func (l *leaving) Packages(ctx context.Context, name string) ([]domain.Package, error) {
	all, err := l.Index.Packages(ctx, name)
	if l.after--; l.after == 0 {
		l.leave()
	}
	return all, err
}

// Who pushes again what is there, and is gone before the end, takes no files away from executions that run.
func TestAPushThatIsGivenUpLeavesTheLayout(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	index := &leaving{Index: indexIn(t, dir)}
	unlock(t, dir)
	r, err := packages.Open(filepath.Join(dir, "packages"), index)
	if err != nil {
		t.Fatal(err)
	}
	data := withNeeds(t, "P", "1.0.0")
	p, err := r.Push(t.Context(), bytes.NewReader(data), anna)
	if err != nil {
		t.Fatal(err)
	}
	path, err := r.Layout(t.Context(), p.Digest)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for after := 1; ; after++ {
		ctx, leave := context.WithCancel(t.Context())
		index.after, index.leave = after, leave
		_, err := r.Push(ctx, bytes.NewReader(data), anna)
		leave()
		if after == 1 && err == nil {
			t.Error("a push that is given up is a success")
		}
		now, statErr := os.Stat(path)
		if statErr != nil || !os.SameFile(before, now) {
			t.Fatalf("given up after question %d, the layout is another: %v", after, statErr)
		}
		if index.after > 0 { // so many are not asked
			break
		}
	}
}
