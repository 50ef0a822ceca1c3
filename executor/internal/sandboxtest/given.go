package sandboxtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/executor/internal/sandbox"
)

// testArguments starts a child that is told what to do by its arguments, and has something on its standard input.
func (s Suite) testArguments(t *testing.T) {
	r := s.newRoom(t)
	input, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"describe", "", "a b\n", "-s", "'$(x)'\xff"}
	p, out := r.startCommand(sandbox.Command{Args: args, Stdin: input})
	input.Close()
	if _, err := write.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	write.Close()
	var got description
	if err := json.Unmarshal([]byte(readLine(t, out)), &got); err != nil {
		t.Fatal(err)
	}
	if args[4] = strings.ToValidUTF8(args[4], "\ufffd"); len(got.Args) == 0 || !slices.Equal(got.Args[1:], args) {
		t.Errorf("arguments: %q", got.Args)
	}
	if got.Stdin != 5 || !slices.Equal(got.Descriptors, []int{0, 1, 2}) {
		t.Errorf("it read %d bytes, and has the descriptors %v", got.Stdin, got.Descriptors)
	}
	if end := p.Wait(); end.How != "exit code 0" {
		t.Errorf("%+v", end)
	}
}

func (s Suite) testLongCommand(t *testing.T) {
	r := s.newRoom(t)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	long := strings.Repeat("x", sandbox.MaxCommand-1000) // with the path and what the room adds
	for want, c := range map[string]sandbox.Command{
		"": {Args: []string{"exit", "0", long}, Env: []string{"A=" + strings.Repeat("x", 500)}},
		fmt.Sprint("may have ", sandbox.MaxCommand): {Args: []string{"exit", "0", long + long}},
		"may have":  {Args: []string{"exit", "0"}, Env: []string{"A=" + long, "B=" + long}},
		"has a NUL": {Args: []string{"exit", "0", "a\x00b"}},
	} {
		c.Path, c.Stdout, c.Stderr = r.exe, null, null
		p, err := r.Start(c)
		switch {
		case want == "" && err != nil:
			t.Error(err)
		case want == "":
			if how := p.Wait().How; how != "exit code 0" {
				t.Error(how)
			}
		case err == nil || !strings.Contains(err.Error(), want):
			t.Errorf("%v, not %q", err, want)
		}
	}
}

func (s Suite) testLibraries(t *testing.T) {
	dirs := map[string]string{"One": t.TempDir(), "Two.Part": t.TempDir()}
	for name, dir := range dirs {
		err := errors.Join(os.WriteFile(filepath.Join(dir, "file"), []byte("of "+name), 0o644),
			os.Chmod(filepath.Join(dir, "file"), 0o666), os.Chmod(dir, 0o777)) // only the mount keeps anybody from changing it
		if err != nil {
			t.Fatal(err)
		}
	}
	r := s.newRoomWith(t, dirs)
	p, out := r.startCommand(sandbox.Command{Args: []string{"libraries", r.Libraries()}})
	for _, want := range []string{"One of One", "Two.Part of Two.Part"} {
		if got := readLine(t, out); got != want {
			t.Errorf("the child sees %q, not %q", got, want)
		}
	}
	if s.Children { // nothing keeps it from more
		return
	}
	for range 3 {
		if got := readLine(t, out); !strings.Contains(got, "read-only file system") { // and not Landlock's "permission denied", which comes second
			t.Errorf("of an attempt to change a library the child says %q", got)
		}
	}
	p.Wait()
	if text, err := os.ReadFile(filepath.Join(dirs["One"], "file")); err != nil || string(text) != "of One" {
		t.Errorf("the library has changed to %q, %v", text, err)
	}
}

func (s Suite) testLibraryNames(t *testing.T) {
	sb, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer sb.Close()
	dir, exe := workDir(t), program(t, childName)
	for _, name := range []string{"", ".", "..", "a/../b", "/etc", "../x", "a/b", "a\x00b"} {
		r, err := sb.Open(t.Context(), sandbox.Place{
			Dir: dir, Package: filepath.Dir(exe), Runtime: s.Runtime, Libraries: map[string]string{name: filepath.Dir(exe)},
		})
		if err == nil {
			t.Errorf("the library %q was taken", name)
			_ = r.Close()
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("in the work directory there is %v, %v", entries, err)
	}
}
