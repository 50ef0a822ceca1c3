package seal_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
)

// place is a state directory with a data key.
type place struct {
	t    *testing.T
	dir  string
	from seal.Master
}

func newPlace(t *testing.T) place {
	dir := filepath.Join(t.TempDir(), "state")
	return place{t, dir, seal.Master{File: filepath.Join(dir, "key")}}
}

func (p place) path() string { return filepath.Join(p.dir, "key.sealed") }

func anyKey(seal.Key) error { return nil }

// open opens the data key and returns what it is known by.
func (p place) open(from seal.Master, fresh bool) (string, error) {
	k, err := seal.DataKey(p.t.Context(), p.path(), from, fresh, anyKey)
	if err != nil {
		return "", err
	}
	return string(k.Digest([]byte("x"))), nil
}

func (p place) mustOpen(from seal.Master, fresh bool) string {
	p.t.Helper()
	id, err := p.open(from, fresh)
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}

func (p place) files() map[string]string {
	p.t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(p.dir, e.Name()))
		if err != nil {
			p.t.Fatal(err)
		}
		all[e.Name()] = string(data)
	}
	return all
}

func TestRotation(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	id := p.mustOpen(p.from, true)
	for range 3 {
		before := p.files()
		if err := seal.Rotate(t.Context(), p.path(), p.from, p.from); err != nil {
			t.Fatal(err)
		}
		after := p.files()
		if before["key"] == after["key"] || before["key.sealed"] == after["key.sealed"] || len(after) != 2 {
			t.Error("the files are the same after the rotation, or there are others")
		}
		if p.mustOpen(p.from, false) != id {
			t.Error("the data key is another one after the rotation")
		}
		old := seal.Master{File: filepath.Join(t.TempDir(), "old")}
		if err := os.WriteFile(old.File, []byte(before["key"]), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := p.open(old, false); !errors.Has(err, errors.Usage) || !strings.Contains(err.Error(), "with the key that it had before") {
			t.Errorf("with the old master key: %v", err)
		}
	}
}

// TestRotationMidway puts together what a crash can leave: the data key sealed twice, the old or the new key in the file.
func TestRotationMidway(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	id := p.mustOpen(p.from, true)
	before := p.files()
	if err := seal.Rotate(t.Context(), p.path(), p.from, p.from); err != nil {
		t.Fatal(err)
	}
	after := p.files()
	list := func(s string) string { return s[strings.Index(s, "[")+1 : strings.Index(s, "]")] }
	both := fmt.Sprintf(`{"version":1,"keys":[%s,%s]}`, list(after["key.sealed"]), list(before["key.sealed"]))
	for what, key := range map[string]string{"before": before["key"], "after": after["key"]} {
		if err := errors.Join(os.WriteFile(p.path(), []byte(both), 0o600), os.WriteFile(p.from.File, []byte(key), 0o600)); err != nil {
			t.Fatal(err)
		}
		if p.mustOpen(p.from, false) != id {
			t.Errorf("a crash %s the change of the key file lost the data key", what)
		}
		if err := seal.Rotate(t.Context(), p.path(), p.from, p.from); err != nil || p.mustOpen(p.from, false) != id {
			t.Errorf("rotated again after a crash %s the change of the key file: %v", what, err)
		}
	}
}

const rotateDir = "SEAL_TEST_ROTATE_DIR"

// TestRotationKilled kills a process that rotates again and again.
func TestRotationKilled(t *testing.T) {
	if dir := os.Getenv(rotateDir); dir != "" {
		p := place{t, dir, seal.Master{File: filepath.Join(dir, "key")}}
		for {
			if err := seal.Rotate(t.Context(), p.path(), p.from, p.from); err != nil {
				panic(err)
			}
			fmt.Println("rotated")
		}
	}
	t.Parallel()
	p := newPlace(t)
	id := p.mustOpen(p.from, true)
	for round := range 8 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestRotationKilled$")
		cmd.Env = append(os.Environ(), rotateDir+"="+p.dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := make([]byte, 8*(1+round))
		_, readErr := out.Read(said)
		if err := errors.Join(readErr, cmd.Process.Kill()); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait()
		if p.mustOpen(p.from, false) != id {
			t.Fatal("the data key is another one")
		}
	}
}

func TestMasterFromElsewhere(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	id := p.mustOpen(p.from, true)
	text := base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	env := seal.Master{Environment: "MASTER", Getenv: func(name string) string { return map[string]string{"MASTER": text}[name] }}
	command := seal.Master{Command: []string{"/bin/sh", "-c", "echo working >&2; echo " + text}}
	if err := seal.Rotate(t.Context(), p.path(), p.from, env); err != nil {
		t.Fatal(err)
	}
	for _, from := range []seal.Master{env, command} {
		if p.mustOpen(from, false) != id {
			t.Errorf("%s gives another data key", from)
		}
	}
	if _, err := p.open(p.from, false); !errors.Has(err, errors.Usage) {
		t.Errorf("with the file's key: %v", err)
	}
	if err := seal.Rotate(t.Context(), p.path(), command, p.from); err != nil || p.mustOpen(p.from, false) != id {
		t.Errorf("back to the file: %v", err)
	}
	for says, from := range map[string]seal.Master{
		"It failed: exit status 3":         {Command: []string{"/bin/sh", "-c", "echo complaint >&2; exit 3"}},
		"must be 32 random bytes":          {Command: []string{"/bin/echo", "canary"}},
		"no such file":                     {Command: []string{"/does/not/exist"}},
		"the environment variable NOTHING": {Environment: "NOTHING", Getenv: func(string) string { return "" }},
	} {
		before := p.files()
		_, err := p.open(from, false)
		if e, ok := errors.AsType[*errors.Error](err); !ok || e.Code != errors.Usage || !strings.Contains(e.Message, says) || strings.Contains(e.Message, "canary") {
			t.Errorf("%v; want %q", err, says)
		}
		if err := seal.Rotate(t.Context(), p.path(), p.from, from); err == nil {
			t.Errorf("rotated to %s", from)
		}
		if fmt.Sprint(p.files()) != fmt.Sprint(before) {
			t.Errorf("%s changed the files", from)
		}
	}
}

// TestDataKeyRefuses: a wrong or missing key is an error, and changes nothing.
func TestDataKeyRefuses(t *testing.T) {
	t.Parallel()
	other := []byte("0123456789abcdef0123456789abcdef")
	for name, c := range map[string]struct {
		spoil func(p place) error
		says  string
	}{
		"a wrong key":        {func(p place) error { return os.WriteFile(p.from.File, other, 0o600) }, "is not the one that the state"},
		"a missing key":      {func(p place) error { return os.Remove(p.from.File) }, "put it back from a copy"},
		"a short key":        {func(p place) error { return os.Truncate(p.from.File, 31) }, "has 31 bytes"},
		"a key open to all":  {func(p place) error { return os.Chmod(p.from.File, 0o644) }, "chmod go="},
		"no sealed key":      {func(p place) error { return os.Truncate(p.path(), 0) }, "put the file back"},
		"a sealed key of v2": {func(p place) error { return os.WriteFile(p.path(), []byte(`{"version":2,"keys":["AA=="]}`), 0o600) }, "put the file back"},
		"a damaged sealed key": {func(p place) error {
			data, err := os.ReadFile(p.path())
			data = bytes.Replace(data, []byte(`"]`), []byte(`AAAA"]`), 1)
			return errors.Join(err, os.WriteFile(p.path(), data, 0o600))
		}, "is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.mustOpen(p.from, true)
			if err := c.spoil(p); err != nil {
				t.Fatal(err)
			}
			before := fmt.Sprint(p.files())
			for _, fresh := range []bool{false, true} {
				if _, err := p.open(p.from, fresh); !errors.Has(err, errors.Usage) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("fresh %v: %v, want %q", fresh, err, c.says)
				}
			}
			if err := seal.Rotate(t.Context(), p.path(), p.from, p.from); err == nil {
				t.Error("rotated")
			}
			if after := fmt.Sprint(p.files()); after != before {
				t.Error("the files were changed")
			}
		})
	}
}

// TestDataKeyOfOldState: where there was only a master key, it becomes the data key; and is refused where it is wrong.
func TestDataKeyOfOldState(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	if _, err := p.open(p.from, false); !errors.Has(err, errors.Usage) || len(p.files()) > 0 {
		t.Errorf("state without any key: %v, %v", err, p.files())
	}
	old, err := seal.LoadOrCreate(p.from.File)
	if err != nil {
		t.Fatal(err)
	}
	wrong := errors.Newf(errors.Usage, "Another key.")
	if _, err := seal.DataKey(t.Context(), p.path(), p.from, false, func(seal.Key) error { return wrong }); !errors.Is(err, wrong) || len(p.files()) != 1 {
		t.Errorf("a key that is refused: %v, %d files", err, len(p.files()))
	}
	id := p.mustOpen(p.from, false)
	if id != string(old.Digest([]byte("x"))) {
		t.Error("the data key is not the master key that there was")
	}
	if err := seal.Rotate(t.Context(), p.path(), p.from, p.from); err != nil || p.mustOpen(p.from, false) != id {
		t.Errorf("the rotation of old state: %v", err)
	}
}

func TestKeysOfExecutions(t *testing.T) {
	t.Parallel()
	dir, k := filepath.Join(t.TempDir(), "keys"), seal.NewKey()
	open := func(k seal.Key) *seal.Keys {
		keys, err := seal.OpenKeys(dir, k)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	keys := open(k)
	first, err := keys.Make("a-1")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := first.Seal([]byte("canary"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, get := range []func(string) (seal.Key, error){open(k).Get, open(k).Make} {
		again, err := get("a-1")
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := again.Open(sealed, nil); err != nil || string(plain) != "canary" {
			t.Errorf("%q, %v", plain, err)
		}
	}
	if _, err := open(seal.NewKey()).Get("a-1"); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("under another key: %v", err)
	}
	if err := os.Rename(filepath.Join(dir, "a-1"), filepath.Join(dir, "b-2")); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Get("b-2"); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("another execution's: %v", err)
	}
	if _, err := keys.Make("c-3"); err != nil {
		t.Fatal(err)
	}
	if err := keys.Sweep(func(id string) (bool, error) { return id == "c-3", nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Get("c-3"); err != nil {
		t.Errorf("one that is needed: %v", err)
	}
	for range 2 {
		if err := keys.Destroy("c-3"); err != nil {
			t.Error(err)
		}
	}
	for _, id := range []string{"a-1", "b-2", "c-3", "", "../x"} {
		if _, err := keys.Get(id); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := keys.Make("../x"); err == nil {
		t.Error("a key outside of the directory")
	}
}
