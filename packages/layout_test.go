package packages_test

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

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
