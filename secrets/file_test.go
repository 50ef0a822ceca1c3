package secrets_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/secrets"
	"github.com/airlock-run/airlock/secrets/secretstest"
)

func TestFile(t *testing.T) {
	secretstest.Run(t, func(t *testing.T) func() secretstest.Store {
		dir, key := filepath.Join(t.TempDir(), "secrets"), seal.NewKey()
		return func() secretstest.Store { return open(t, dir, key) }
	})
}

func open(t *testing.T, dir string, key seal.Key) *secrets.File {
	t.Helper()
	s, err := secrets.OpenFile(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// written makes a store with secrets of the package P in cloud a, and says where its one file is.
func written(t *testing.T, dir string, key seal.Key) (*secrets.File, string) {
	t.Helper()
	s := open(t, dir, key)
	if err := s.Write(t.Context(), secretstest.Cloud("a"), "P", "1.0.0", secretstest.Set("one", "canary-one", "two", "canary-two")); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("the store has the files %v, %v; want one", files, err)
	}
	return s, filepath.Join(dir, files[0].Name())
}

func TestFileHoldsNoPlainValue(t *testing.T) {
	t.Parallel()
	_, path := written(t, filepath.Join(t.TempDir(), "s"), seal.NewKey())
	data, err := os.ReadFile(path)
	if err != nil || bytes.Contains(data, []byte("canary")) || !bytes.Contains(data, []byte("one")) {
		t.Errorf("%s, %v; want names and no values", data, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has the mode %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("the directory has the mode %v, %v", info.Mode(), err)
	}
}

// edit changes the file as JSON.
func edit(t *testing.T, path string, change func(m map[string]any)) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	change(m)
	if data, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFileRefusesWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	list := func(m map[string]any) []any { return m["secrets"].([]any) }
	for name, c := range map[string]struct {
		spoil func(t *testing.T, path string)
		says  string
	}{
		"truncated": {func(t *testing.T, path string) { _ = os.Truncate(path, 100) }, "damaged"},
		"empty":     {func(t *testing.T, path string) { _ = os.Truncate(path, 0) }, "damaged"},
		"huge":      {func(t *testing.T, path string) { _ = os.Truncate(path, 1<<30) }, "at most"},
		"a secret removed": {func(t *testing.T, path string) {
			edit(t, path, func(m map[string]any) { m["secrets"] = list(m)[:1] })
		}, "damaged"},
		"values swapped": {func(t *testing.T, path string) {
			edit(t, path, func(m map[string]any) {
				a, b := list(m)[0].(map[string]any), list(m)[1].(map[string]any)
				a["sealed"], b["sealed"] = b["sealed"], a["sealed"]
			})
		}, "damaged"},
		"renamed": {func(t *testing.T, path string) {
			edit(t, path, func(m map[string]any) { list(m)[0].(map[string]any)["name"] = "ONE" })
		}, "damaged"},
		"of another cloud": {func(t *testing.T, path string) {
			edit(t, path, func(m map[string]any) { m["cloud"] = secretstest.Cloud("b").Key() })
		}, "damaged"},
		"a later version": {func(t *testing.T, path string) {
			edit(t, path, func(m map[string]any) { m["version"] = 3 })
		}, "damaged"},
		"open to others": {func(t *testing.T, path string) { _ = os.Chmod(path, 0o644) }, "chmod go="},
		"a directory": {func(t *testing.T, path string) {
			_ = os.Remove(path)
			_ = os.Mkdir(path, 0o700)
		}, "not a regular file"},
		"a link": {func(t *testing.T, path string) {
			_ = os.Rename(path, path+"2")
			_ = os.Symlink(path+"2", path)
		}, "symbolic link"},
		"a pipe": {func(t *testing.T, path string) {
			_ = os.Remove(path)
			_ = syscall.Mkfifo(path, 0o600)
		}, "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, cloud := filepath.Join(t.TempDir(), "s"), secretstest.Cloud("a")
			s, path := written(t, dir, seal.NewKey())
			c.spoil(t, path)
			before := snapshot(t, dir)
			_, err := s.Read(t.Context(), cloud, "P")
			expectFailed(t, err, c.says)
			expectFailed(t, s.Write(t.Context(), cloud, "P", "1.0.0", secretstest.Set("one", "changed")), c.says)
			if after := snapshot(t, dir); after != before {
				t.Errorf("the store was changed from\n%.500s\nto\n%.500s", before, after)
			}
			secretstest.Expect(t, s, cloud, "Another") // others do not suffer
		})
	}
}

func expectFailed(t *testing.T, err error, says string) {
	t.Helper()
	var e *errors.Error
	ok := errors.As(err, &e)
	if !ok || e.Code != errors.SecretStoreFailed || !strings.Contains(e.Message, says) || strings.Contains(e.Message, os.TempDir()) {
		t.Errorf("%v; want SecretStoreFailed with %q, and no path of the server", err, says)
	}
}

// snapshot is all that is in a directory, as text.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(e.Name() + " " + info.Mode().String() + " " + info.ModTime().String() + "\n")
		if info.Mode().IsRegular() && info.Size() < 1<<20 {
			data, _ := os.ReadFile(filepath.Join(dir, e.Name()))
			b.Write(data)
		}
	}
	return b.String()
}

func TestFileWithAnotherKey(t *testing.T) {
	t.Parallel()
	dir, key, cloud := filepath.Join(t.TempDir(), "s"), seal.NewKey(), secretstest.Cloud("a")
	written(t, dir, key)
	before := snapshot(t, dir)
	other := open(t, dir, seal.NewKey())
	_, err := other.Read(t.Context(), cloud, "P")
	expectFailed(t, err, "another key. Start Airlock with the key")
	expectFailed(t, other.Write(t.Context(), cloud, "P", "1.0.0", secretstest.Set("one", "changed")), "another key")
	if snapshot(t, dir) != before {
		t.Error("the store was changed")
	}
	secretstest.Expect(t, open(t, dir, key), cloud, "P", "one", "canary-one", "two", "canary-two")
}

func TestOpenFile(t *testing.T) {
	t.Parallel()
	dir, key := filepath.Join(t.TempDir(), "s"), seal.NewKey()
	_, path := written(t, dir, key)
	left := filepath.Join(dir, ".tmp-123") // a crash in the middle of a write
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, key)
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a crash left is still there: %v", err)
	}
	secretstest.Expect(t, s, secretstest.Cloud("a"), "P", "one", "canary-one", "two", "canary-two")

	if _, err := secrets.OpenFile(path, key); !errors.Has(err, errors.SecretStoreFailed) {
		t.Errorf("a file as the directory: %v", err)
	}
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.OpenFile(dir, key); !errors.Has(err, errors.SecretStoreFailed) || !strings.Contains(err.Error(), "chmod go=") {
		t.Errorf("a directory open to others: %v", err)
	}
}

// TestFileOnAFullDisk needs root for its small file system.
func TestFileOnAFullDisk(t *testing.T) {
	t.Parallel()
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=256k,mode=0700"); err != nil {
		t.Skip("a tmpfs cannot be mounted here:", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(mount, syscall.MNT_DETACH) })
	dir, key, cloud := filepath.Join(mount, "s"), seal.NewKey(), secretstest.Cloud("a")
	s, _ := written(t, dir, key)
	before := snapshot(t, dir)
	big := strings.Repeat("v", secrets.MaxValue)
	changes := []string{"one", "changed"}
	for _, name := range strings.Split("a b c d e f g h i j", " ") {
		changes = append(changes, name, big)
	}
	expectFailed(t, s.Write(t.Context(), cloud, "P", "1.0.0", secretstest.Set(changes...)), "Make room on that disk")
	if after := snapshot(t, dir); after != before {
		t.Errorf("the store was changed from\n%.500s\nto\n%.500s", before, after)
	}
	if err := s.Write(t.Context(), cloud, "P", "1.0.0", secretstest.Set("one", "fits")); err != nil {
		t.Error(err)
	}
	secretstest.Expect(t, s, cloud, "P", "one", "fits", "two", "canary-two")
}

// TestFileOfVersion1 reads and rewrites a file from before secrets had a version and a time.
func TestFileOfVersion1(t *testing.T) {
	t.Parallel()
	dir, key, cloud := filepath.Join(t.TempDir(), "s"), seal.NewKey(), secretstest.Cloud("a")
	s, path := written(t, dir, key)
	edit(t, path, func(m map[string]any) {
		parts := []string{"persistent secrets", cloud.Key(), "p"}
		for _, e := range m["secrets"].([]any) {
			e := e.(map[string]any)
			delete(e, "version")
			delete(e, "changed")
			sealed, err := base64.StdEncoding.DecodeString(e["sealed"].(string))
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, e["name"].(string), string(sealed))
		}
		m["version"], m["digest"] = 1, key.Digest(seal.Associated(parts...))
	})
	secretstest.Expect(t, s, cloud, "P", "one", "canary-one", "two", "canary-two")
	if infos, err := s.List(t.Context(), cloud, "P"); err != nil || len(infos) != 2 || infos[0] != (domain.PersistentSecret{Name: "one"}) {
		t.Errorf("listed are %v, %v", infos, err)
	}
	if err := s.Write(t.Context(), cloud, "P", "2.0.0", secretstest.Set("two", "changed")); err != nil {
		t.Fatal(err)
	}
	secretstest.Expect(t, open(t, dir, key), cloud, "P", "one", "canary-one", "two", "changed")
}
