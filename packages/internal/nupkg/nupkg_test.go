package nupkg_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages/internal/nupkg"
)

const spec = `<?xml version="1.0"?><package xmlns="http://schemas.microsoft.com/packaging/2011/08/nuspec.xsd"><metadata><id>P</id><version>1.0.0</version></metadata></package>`

// entry is one of an archive that a test makes.
type entry struct {
	name, content string
	change        func(h *zip.FileHeader)
}

// archive makes a zip of a nuspec and the entries.
func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range append([]entry{{name: "P.nuspec", content: spec}}, entries...) {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		if e.change != nil {
			e.change(h)
		}
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(data []byte) (*nupkg.Archive, error) {
	return nupkg.Open(bytes.NewReader(data), int64(len(data)))
}

func nothing(string) bool { return false }

func TestWriteAndRead(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"airlock.json": {Data: []byte("{}")}, "bin/linux-amd64": {Data: bytes.Repeat([]byte("program "), 1000), Mode: 0o755},
		"a b/ü.TXT": {Data: []byte("text")}, "old.nupkg": {Data: []byte("left out")},
		"100%/50%20.txt": {Data: []byte("percent")},
	}
	want := nupkg.Nuspec{
		ID: "Contoso.Tools", Version: "1.2.0-dev", Description: "does <things> & more", Authors: "Contoso", Owners: "Contoso", ProjectURL: "https://example.com/?a&b",
		Tags: []string{"PSModule", "a&b"}, Dependencies: []domain.Dependency{{ID: "A", Range: "[1.0,2.0)"}, {ID: "B.C"}},
	}
	var first, second bytes.Buffer
	if err := errors.Join(nupkg.Write(t.Context(), &first, want, files), nupkg.Write(t.Context(), &second, want, files)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same files gave two archives")
	}
	a, err := open(first.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, a.Nuspec); diff != "" {
		t.Error(diff)
	}
	if data, err := a.ReadFile("airlock.json", 2); err != nil || string(data) != "{}" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := a.ReadFile("airlock.json", 1); err == nil {
		t.Error("a file larger than wanted was read")
	}
	if _, err := a.ReadFile("Contoso.Tools.nuspec", 1000); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the nuspec is part of the payload: %v", err)
	}

	program := func(name string) bool { return name == "bin/linux-amd64" }
	dir := t.TempDir()
	if err := a.LayOut(t.Context(), dir, program); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{
		".": fs.ModeDir | 0o555, "bin": fs.ModeDir | 0o555, "a b": fs.ModeDir | 0o555,
		"airlock.json": 0o444, "a b/ü.TXT": 0o444, "100%/50%20.txt": 0o444, "bin/linux-amd64": 0o555,
	} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v; want the mode %v", name, info, err, mode)
		}
	}
	if data, err := os.ReadFile(filepath.Join(dir, "bin/linux-amd64")); err != nil || !bytes.Equal(data, files["bin/linux-amd64"].Data) {
		t.Errorf("the program came back as %d bytes, %v", len(data), err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 4 {
		t.Errorf("the layout holds %v, want airlock.json and three folders", entries)
	}
	if err := a.Verify(t.Context(), dir, program); err != nil {
		t.Error(err)
	}
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]fstest.MapFS{
		"x.nuspec":              {"x.nuspec": {}},
		"[Content_Types].xml":   {"[Content_Types].xml": {}},
		"_rels/.rels":           {"_rels/.rels": {}},
		"link":                  {"link": {Mode: fs.ModeSymlink}},
		"differ by case":        {"a/x": {}, "A/y": {}},
		`"a\\b"`:                {`a\b`: {}},
		"not plain UTF-8":       {"a\xff": {}},
		"lies in more than":     {strings.Repeat("a/", 33) + "b": {}},
		"at most 512 are allow": {strings.Repeat("a", 513): {}},
	} {
		var b bytes.Buffer
		if err := nupkg.Write(t.Context(), &b, nupkg.Nuspec{ID: "P"}, files); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v; want an error that says %q", err, name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := nupkg.Write(ctx, io.Discard, nupkg.Nuspec{ID: "P"}, fstest.MapFS{"a": {}}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}

func mode(m fs.FileMode) func(*zip.FileHeader) {
	return func(h *zip.FileHeader) { h.SetMode(m) }
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("\x00", 3<<20)
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"nothing":           {nil, "no zip archive"},
		"no zip":            {[]byte(strings.Repeat("airlock", 1000)), "no zip archive"},
		"traversal":         {archive(t, entry{name: "../x"}), `"../x"`},
		"inner traversal":   {archive(t, entry{name: "a/../../x"}), `"a/../../x"`},
		"absolute":          {archive(t, entry{name: "/etc/x"}), `"/etc/x"`},
		"dot":               {archive(t, entry{name: "./x"}), `"./x"`},
		"dot folder":        {archive(t, entry{name: "./"}), `"./"`},
		"slash":             {archive(t, entry{name: "/"}), `"/"`},
		"double slash":      {archive(t, entry{name: "a//x"}), `"a//x"`},
		"escaped traversal": {archive(t, entry{name: "%2e%2E/x"}), `"../x"`},
		"escaped slash":     {archive(t, entry{name: "a%2F..%2Fx"}), `"a/../x"`},
		"escaped backslash": {archive(t, entry{name: "a%5Cx"}), `"a\\x"`},
		"escaped NUL":       {archive(t, entry{name: "a%00"}), `"a\x00"`},
		"escaped twice":     {archive(t, entry{name: "a b"}, entry{name: "a%20b"}), `"a b" is there twice`},
		"comment":           {append(bytes.Clone(archive(t)[:len(archive(t))-2]), 1, 0, 'x'), "a comment behind its end"},
		"something before":  {append([]byte("x"), archive(t)...), "something lies before it"},
		"another directory": {append(bytes.Clone(archive(t)), archive(t)...), "something lies before it"},
		"backslash":         {archive(t, entry{name: `..\x`}), `"..\\x"`},
		"empty name":        {archive(t, entry{name: ""}), `""`},
		"NUL":               {archive(t, entry{name: "a\x00b"}), `"a\x00b"`},
		"newline":           {archive(t, entry{name: "a\nb"}), `"a\nb"`},
		"not UTF-8":         {archive(t, entry{name: "a\xff"}), `"a\xff"`},
		"long name":         {archive(t, entry{name: strings.Repeat("n", 513)}), "513 bytes"},
		"deep":              {archive(t, entry{name: strings.Repeat("d/", 33) + "x"}), "32 folders"},
		"link":              {archive(t, entry{name: "link", content: "/etc/passwd", change: mode(fs.ModeSymlink | 0o777)}), `"link" is no regular file`},
		"device":            {archive(t, entry{name: "dev", change: mode(fs.ModeDevice | 0o600)}), `"dev" is no regular file`},
		"pipe":              {archive(t, entry{name: "pipe", change: mode(fs.ModeNamedPipe | 0o600)}), `"pipe" is no regular file`},
		"twice":             {archive(t, entry{name: "x"}, entry{name: "x"}), `"x" is there twice`},
		"case":              {archive(t, entry{name: "x"}, entry{name: "X"}), `"x" and "X"`},
		"case of a folder":  {archive(t, entry{name: "a/x"}, entry{name: "A/y"}), `"a/" and "A/y"`},
		"file and folder":   {archive(t, entry{name: "a"}, entry{name: "a/y"}), `"a" and "a/y"`},
		"folder and file":   {archive(t, entry{name: "a/y"}, entry{name: "a"}), `"a/" and "a"`},
		"encrypted":         {archive(t, entry{name: "x", change: func(h *zip.FileHeader) { h.Flags |= 1 }}), `"x" is encrypted`},
		"unknown method":    {patched(t, 0x02014b50, 10, 12), `"x" is compressed by the method 12`},
		"two nuspecs":       {archive(t, entry{name: "Q.NUSPEC", content: spec}), "P.nuspec and Q.NUSPEC"},
		"ratio":             {archive(t, entry{name: "zeros", content: zeros}), `"zeros" the archive unpacks to more than 100 times`},
		"too many entries":  {many(t, 10_001), "at most 10000"},
		"1e6 entries":       {many(t, 1_000_000), "at most"},
		"65,636 entries":    {many(t, 65_636), "at most 10000"}, // 100, as far as the record at the end has bits for it
		"5 GB claimed":      {claimed(t, 5<<30), "unpacks to more than"},
		"2^64-1 claimed":    {claimed(t, 1<<64-1), "unpacks to more than"},
		"directory is lost": {archive(t)[:60], "no zip archive"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := open(c.data)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want an error that says %s", err, c.says)
			}
		})
	}
}

// patched makes an archive with an entry x and sets two bytes of its record that begins with the signature.
func patched(t *testing.T, signature uint32, offset int, value uint16) []byte {
	t.Helper()
	data := archive(t, entry{name: "x", content: strings.Repeat("content ", 10)})
	at := bytes.LastIndex(data, binary.LittleEndian.AppendUint32(nil, signature))
	if at < 0 {
		t.Fatal("no such record")
	}
	binary.LittleEndian.PutUint16(data[at+offset:], value)
	return data
}

// many makes an archive whose directory lists n entries, all the same one on disk.
func many(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("PK\x03\x04" + strings.Repeat("\x00", 22) + "\x01\x00\x00\x00x")
	start := b.Len()
	record := append([]byte("PK\x01\x02"), make([]byte, 42)...)
	record[28] = 1
	b.Write(bytes.Repeat(append(record, 'x'), n))
	end := make([]byte, 22)
	copy(end, "PK\x05\x06")
	binary.LittleEndian.PutUint16(end[8:], uint16(n)) // truncated, as the format has it
	binary.LittleEndian.PutUint16(end[10:], uint16(n))
	binary.LittleEndian.PutUint32(end[12:], uint32(b.Len()-start))
	binary.LittleEndian.PutUint32(end[16:], uint32(start))
	b.Write(end)
	return b.Bytes()
}

// claimed makes an archive with an entry that claims to unpack to a size.
func claimed(t *testing.T, size uint64) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateRaw(&zip.FileHeader{Name: "big", Method: zip.Deflate, UncompressedSize64: size, CompressedSize64: 4})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("1234")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadRefusesFalseContent(t *testing.T) {
	t.Parallel()
	const directory = 0x02014b50 // the record's signature; offsets are those of APPNOTE.TXT 4.3.12
	for name, data := range map[string][]byte{
		"false checksum":         patched(t, directory, 16, 0xbeef),
		"more than its size":     patched(t, directory, 24, 8),
		"less than its size":     patched(t, directory, 24, 1000),
		"packed bytes cut short": patched(t, directory, 20, 3),
	} {
		a, err := open(data)
		if err != nil {
			t.Errorf("%s: %v; it shows on reading only", name, err)
			continue
		}
		if _, err := a.ReadFile("x", 1<<20); err == nil || !strings.Contains(err.Error(), `"x"`) {
			t.Errorf("%s: read: %v, want an error that names x", name, err)
		}
		if err := a.LayOut(t.Context(), t.TempDir(), nothing); err == nil || !strings.Contains(err.Error(), `"x"`) {
			t.Errorf("%s: lay out: %v, want an error that names x", name, err)
		}
	}
}

// TestTruncated cuts an archive at every place.
func TestTruncated(t *testing.T) {
	t.Parallel()
	data := archive(t, entry{name: "a/x", content: "content"})
	for i := range data {
		if _, err := open(data[:i]); err == nil {
			t.Errorf("the first %d of %d bytes are an archive", i, len(data))
		}
	}
}

// TestFoldersAreCounted makes an archive of few files, each in 30 folders of its own.
func TestFoldersAreCounted(t *testing.T) {
	t.Parallel()
	var entries []entry
	for i := range 1000 {
		entries = append(entries, entry{name: fmt.Sprint(i, "/") + strings.Repeat("a/", 30) + "x"})
	}
	if _, err := open(archive(t, entries...)); err == nil || !strings.Contains(err.Error(), "more than 10000 files and folders") {
		t.Errorf("31,000 folders: %v; want an error that says how many are allowed", err)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	a, err := open(archive(t, entry{name: "a/x", content: "content"}, entry{name: "y", content: "other"}))
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(dir string) error{
		"changed content": func(dir string) error {
			return errors.Join(os.Chmod(filepath.Join(dir, "y"), 0o644), os.WriteFile(filepath.Join(dir, "y"), []byte("OTHER"), 0), os.Chmod(filepath.Join(dir, "y"), 0o444))
		},
		"changed content with its time": func(dir string) error {
			y := filepath.Join(dir, "y")
			info, err := os.Stat(y)
			if err != nil {
				return err
			}
			return errors.Join(os.Chmod(y, 0o644), os.WriteFile(y, []byte("OTHER"), 0), os.Chmod(y, 0o444), os.Chtimes(y, info.ModTime(), info.ModTime()))
		},
		"another mode":   func(dir string) error { return os.Chmod(filepath.Join(dir, "y"), 0o644) },
		"writable":       func(dir string) error { return os.Chmod(filepath.Join(dir, "a"), 0o755) },
		"a file is gone": func(dir string) error { return os.Remove(filepath.Join(dir, "y")) },
		"a file more":    func(dir string) error { return os.WriteFile(filepath.Join(dir, "z"), nil, 0o444) },
		"a link": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "y")), os.Symlink("a/x", filepath.Join(dir, "y")))
		},
		"gone": func(dir string) error {
			return errors.Join(os.Chmod(filepath.Join(dir, "a"), 0o755), os.RemoveAll(dir))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "layout")
			if err := errors.Join(os.Mkdir(dir, 0o700), a.LayOut(t.Context(), dir, nothing), a.Verify(t.Context(), dir, nothing)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _, _ = os.Chmod(dir, 0o755), os.Chmod(filepath.Join(dir, "a"), 0o755) })
			top, err := os.Stat(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Chmod(dir, 0o755), spoil(dir)); err != nil {
				t.Fatal(err)
			}
			_ = os.Chmod(dir, top.Mode())
			if err := a.Verify(t.Context(), dir, nothing); err == nil {
				t.Error("the difference was not seen")
			}
		})
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(archive(f, entry{name: "a/x", content: "content"}, entry{name: "b", content: strings.Repeat("x", 1000)}))
	f.Add(archive(f, entry{name: "../x"}, entry{name: "link", content: "/", change: mode(fs.ModeSymlink | 0o777)}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if a, err := open(data); err == nil {
			layOutInside(t, a)
		}
	})
}

// FuzzEntries makes archives that are sound but for the names and modes of two entries.
func FuzzEntries(f *testing.F) {
	f.Add("a/x", "a/y", uint32(0o644))
	f.Add("a/../../x", "a", uint32(fs.ModeSymlink|0o777))
	f.Add("%2e%2E/x", "a%2Fb%5C", uint32(0o644))
	f.Add("a%20b", "A b", uint32(0o755))
	f.Fuzz(func(t *testing.T, one, other string, m uint32) {
		if len(one) > 1<<15 || len(other) > 1<<15 || strings.HasSuffix(one, "/") {
			return // what the writer refuses
		}
		a, err := open(archive(t, entry{one, "one", mode(fs.FileMode(m))}, entry{name: other}))
		if err == nil && layOutInside(t, a) != nil {
			t.Errorf("%q and %q opened, but cannot be laid out", one, other)
		}
	})
}

// layOutInside lays an archive out and fails the test where that reaches out of the directory or is not verified.
func layOutInside(t *testing.T, a *nupkg.Archive) error {
	t.Helper()
	parent := t.TempDir()
	dir := filepath.Join(parent, "layout")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	defer func() { // so that the directory can be removed
		_ = filepath.WalkDir(dir, func(p string, e fs.DirEntry, _ error) error {
			if e.IsDir() {
				return os.Chmod(p, 0o700)
			}
			return nil
		})
	}()
	err := a.LayOut(t.Context(), dir, nothing)
	if entries, _ := os.ReadDir(parent); len(entries) != 1 {
		t.Fatalf("%v lie outside the layout", entries)
	}
	if err != nil {
		return err
	}
	if err := a.Verify(t.Context(), dir, nothing); err != nil {
		t.Error(err)
	}
	return nil
}
