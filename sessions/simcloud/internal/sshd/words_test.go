package sshd

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// FuzzSplit checks that any line splits or is refused, and that quoted words come back as they were.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "uname -a", "echo 'a b' \"c\\\"d\" e\\ f", "x # y", "'", "\"", "\\", "a;b", "a\x00b", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := split(line)
		if err != nil {
			return
		}
		var again []string
		for _, w := range words {
			again = append(again, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
		}
		got, err := split(strings.Join(again, " "))
		if err != nil || strings.Join(got, "\x00") != strings.Join(words, "\x00") || len(got) != len(words) {
			t.Errorf("%q splits into %q; quoted again into %q, %v", line, words, got, err)
		}
	})
}

// FuzzRun checks that no line panics, leaves the tree or changes it.
func FuzzRun(f *testing.F) {
	for _, s := range []string{"cat /etc/x", "ls -la / ../..", "cat ../../../etc/passwd", "uname -q", "exit 9", "echo -n", "esxcli a b"} {
		f.Add(s)
	}
	dir := f.TempDir()
	if err := os.WriteFile(dir+"/x", []byte("x"), 0o600); err != nil {
		f.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = root.Close() })
	f.Fuzz(func(t *testing.T, line string) {
		var out bytes.Buffer
		sh := &shell{host: Host{Name: "h.test", Root: root}, files: tree{root}, in: strings.NewReader(""), out: &out, err: &out}
		if status, _ := sh.run(line); status < 0 || status > 255 {
			t.Errorf("%q ends with status %d", line, status)
		}
		if entries, err := os.ReadDir(dir); len(entries) != 1 || err != nil {
			t.Errorf("%q leaves %v, %v", line, entries, err)
		}
	})
}
