package seal_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/google/go-cmp/cmp"
)

func TestSealOpens(t *testing.T) {
	t.Parallel()
	k := seal.NewKey()
	for _, plain := range []string{"", "x", strings.Repeat("long ", 10_000)} {
		sealed, err := k.Seal([]byte(plain), []byte("here"))
		if err != nil {
			t.Fatal(err)
		}
		if len(plain) > 1 && bytes.Contains(sealed, []byte(plain[:5])) {
			t.Error("the plaintext is in the sealed bytes")
		}
		got, err := k.Open(sealed, []byte("here"))
		if err != nil || string(got) != plain {
			t.Errorf("%d bytes came back as %d bytes, %v", len(plain), len(got), err)
		}
		again, _ := k.Seal([]byte(plain), []byte("here"))
		if bytes.Equal(sealed, again) {
			t.Error("the same plaintext was sealed to the same bytes twice")
		}
	}
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	const text = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	path := filepath.Join(t.TempDir(), "private", "key")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	fromFile, err := seal.LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := seal.ParseKey(secret.New(" " + text + "\n"))
	if err != nil || !bytes.Equal(parsed.Digest([]byte("x")), fromFile.Digest([]byte("x"))) {
		t.Errorf("the key from base64 is another one than that from the file (%v)", err)
	}
	for _, bad := range []string{"", text[:40], text + "MDEy", "0123456789abcdef0123456789abcdef", "-" + text[1:]} {
		if _, err := seal.ParseKey(secret.New(bad)); !errors.Has(err, errors.Usage) || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	k := seal.NewKey()
	sealed, err := k.Seal([]byte("hello"), []byte("here"))
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]seal.Key{"another key": seal.NewKey(), "a derived key": k.Derive("x")} {
		if _, err := other.Open(sealed, []byte("here")); !errors.Is(err, seal.ErrWrongKey) {
			t.Errorf("%s: %v, want ErrWrongKey", name, err)
		}
	}
	if _, err := k.Open(sealed, []byte("there")); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("other associated data: %v, want ErrDamaged", err)
	}
	for i := range sealed {
		if _, err := k.Open(sealed[:i], []byte("here")); err == nil {
			t.Errorf("the first %d bytes opened", i)
		}
		flipped := bytes.Clone(sealed)
		flipped[i] ^= 1
		if _, err := k.Open(flipped, []byte("here")); err == nil {
			t.Errorf("it opened with byte %d changed", i)
		}
	}
	if _, err := (seal.Key{}).Seal([]byte("x"), nil); err == nil {
		t.Error("the zero key sealed")
	}
	if _, err := (seal.Key{}).Open(sealed, []byte("here")); err == nil {
		t.Error("the zero key opened")
	}
}

func TestDerivedKeysDiffer(t *testing.T) {
	t.Parallel()
	k := seal.NewKey()
	seen := map[string]string{}
	for name, key := range map[string]seal.Key{"itself": k, "a": k.Derive("a"), "b": k.Derive("b"), "a of a": k.Derive("a").Derive("a"), "other": seal.NewKey().Derive("a")} {
		d := string(key.Digest([]byte("same")))
		if before, ok := seen[d]; ok {
			t.Errorf("%s and %s digest alike", name, before)
		}
		seen[d] = name
	}
	if !bytes.Equal(k.Derive("a").Digest([]byte("x")), k.Derive("a").Digest([]byte("x"))) {
		t.Error("the same label gave two keys")
	}
	if bytes.Equal(k.Digest([]byte("x")), k.Digest([]byte("y"))) {
		t.Error("two contents have the same digest")
	}
}

func TestAssociatedKeepsPartsApart(t *testing.T) {
	t.Parallel()
	seen := map[string][]string{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"ab"}, {"a", "b"}, {"ab", ""}, {"", "ab"}, {"\x01a", "b"}} {
		a := string(seal.Associated(parts...))
		if other, ok := seen[a]; ok {
			t.Errorf("%q and %q give the same", parts, other)
		}
		seen[a] = parts
	}
}

func TestKeyIsNeverPrinted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d", "key")
	k, err := seal.LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb, k, &k, struct{ k seal.Key }{k})
	}
	if err := json.NewEncoder(&out).Encode(map[string]any{"k": k}); err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "k", k)
	for _, form := range []string{string(raw), fmt.Sprintf("%x", raw), fmt.Sprint(raw), strings.Trim(fmt.Sprint(raw[:8]), "[]")} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the key is in %s", out.String())
		}
	}
}

func TestLoadOrCreate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "key")
	digests := make([]string, 8)
	var wg sync.WaitGroup
	for i := range digests { // all that start at once get the one key
		wg.Go(func() {
			k, err := seal.LoadOrCreate(path)
			if err != nil {
				t.Error(err)
				return
			}
			digests[i] = string(k.Digest(nil))
		})
	}
	wg.Wait()
	for _, d := range digests {
		if d != digests[0] {
			t.Fatal("two callers have two keys")
		}
	}
	for p, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has the mode %v, %v; want %v", p, info.Mode(), err, want)
		}
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("the directory holds %v, want the key only", entries)
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(path string) error
		says  string
	}{
		"open file":      {func(p string) error { return os.Chmod(p, 0o640) }, "chmod go="},
		"open directory": {func(p string) error { return os.Chmod(filepath.Dir(p), 0o755) }, "chmod go="},
		"short":          {func(p string) error { return os.Truncate(p, 31) }, "31 bytes"},
		"empty":          {func(p string) error { return os.Truncate(p, 0) }, "0 bytes"},
		"long":           {func(p string) error { return os.Truncate(p, 33) }, "33 bytes"},
		"symbolic link": {func(p string) error {
			if err := os.Rename(p, p+"2"); err != nil {
				return err
			}
			return os.Symlink(p+"2", p)
		}, "symbolic link"},
		"directory": {func(p string) error {
			if err := os.Remove(p); err != nil {
				return err
			}
			return os.Mkdir(p, 0o700)
		}, "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "d", "key")
			if _, err := seal.LoadOrCreate(path); err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(path)
			_, err := seal.LoadOrCreate(path)
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), filepath.Dir(path)) {
				t.Errorf("%v; want an error that says %q and names the path", err, c.says)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	k := seal.NewKey()
	values := domain.SecureValues{"password": {Password: secret.New("p\xffw")}, "login": {Username: "root", Password: secret.New("")}}
	sealed, err := seal.SealValues(k, "id-1", values)
	if err != nil {
		t.Fatal(err)
	}
	got, err := seal.OpenValues(k, "id-1", sealed)
	equal := cmp.Comparer(func(a, b secret.Text) bool { return a.Equal(b) })
	if diff := cmp.Diff(values, got, equal); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if _, err := seal.OpenValues(k, "id-2", sealed); !errors.Has(err, errors.SecretStoreFailed) {
		t.Errorf("opened for another execution: %v", err)
	}
	if _, err := seal.OpenValues(seal.NewKey(), "id-1", sealed); !errors.Has(err, errors.SecretStoreFailed) || !strings.Contains(err.Error(), "another key") {
		t.Errorf("another key: %v", err)
	}
	if got, err := seal.OpenValues(k, "id-1", nil); err != nil || len(got) != 0 {
		t.Errorf("nothing sealed: %v, %v", got, err)
	}
}

// TestLoadNeedsNoRoom needs root for its small file system.
func TestLoadNeedsNoRoom(t *testing.T) {
	t.Parallel()
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		t.Skip("a tmpfs cannot be mounted here:", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(mount, syscall.MNT_DETACH) })
	path := filepath.Join(mount, "key")
	k, err := seal.LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = os.WriteFile(filepath.Join(mount, "full"), make([]byte, 1<<20), 0o600) // as much as fits
	again, err := seal.LoadOrCreate(path)
	if err != nil {
		t.Fatalf("the key that is there, on a full disk: %v", err)
	}
	if !bytes.Equal(again.Digest(nil), k.Digest(nil)) {
		t.Error("it is another key")
	}
}
