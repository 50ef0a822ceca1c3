package cli

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// hunt looks for values in whatever form they may have, all in one pass over the data.
type hunt struct {
	first  [1 << 20]bool // by the hash of the first 8 bytes of a form
	traces map[uint64][]trace
}

// trace is one form of one value.
type trace struct {
	what, form string
	bytes      []byte
}

// finds are the forms that were found, by value.
type finds map[string]map[string]bool

func (f finds) add(more finds) {
	for what, forms := range more {
		for form := range forms {
			f.note(what, form)
		}
	}
}

func (f finds) note(what, form string) {
	if f[what] == nil {
		f[what] = map[string]bool{}
	}
	f[what][form] = true
}

const (
	prefix   = 8  // bytes by which a form is recognised, and the least that a value has
	maxTrace = 48 // bytes of a form that are looked for: they are random enough
)

// newHunt looks for values, by what they are.
func newHunt(t testing.TB, values map[string]string) *hunt {
	t.Helper()
	h := &hunt{traces: map[uint64][]trace{}}
	for what, value := range values {
		if len(value) < 2*prefix {
			t.Fatalf("%s, %q, is too short to look for", what, value)
		}
		for form, text := range guises(value) {
			text = text[:min(len(text), maxTrace)]
			var key uint64
			for _, b := range []byte(text[:prefix]) {
				key = key>>8 | uint64(b)<<56
			}
			h.first[slot(key)] = true
			h.traces[key] = append(h.traces[key], trace{what, form, []byte(text)})
		}
	}
	return h
}

func slot(key uint64) uint64 { return key * 0x9E3779B97F4A7C15 >> 44 }

// guises are the forms of a value, always by the same names, without those that look like another one.
func guises(value string) map[string]string {
	var wide, escaped, plain bytes.Buffer
	for _, u := range utf16.Encode([]rune(value)) {
		wide.Write([]byte{byte(u), byte(u >> 8)})
	}
	_ = xml.EscapeText(&escaped, []byte(value))
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(value)
	quoted, _ := json.Marshal(value)
	all := [][2]string{
		{"raw", value}, {"hex", hex.EncodeToString([]byte(value))}, {"HEX", fmt.Sprintf("%X", value)},
		{"URL query", url.QueryEscape(value)}, {"URL path", url.PathEscape(value)},
	}
	if utf8.ValidString(value) { // of bytes these lose what they are
		all = append(all, [][2]string{
			{"UTF-16LE", wide.String()}, {"XML", escaped.String()},
			{"JSON", inQuotes(quoted)}, {"plain JSON", inQuotes(bytes.TrimSpace(plain.Bytes()))},
		}...)
	}
	for shift := range 3 { // base64 of something that contains it looks different by where it begins
		for n, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			b := encoding.EncodeToString([]byte("xx"[:shift] + value))
			name := []string{"base64", "URL base64"}[n]
			all = append(all, [2]string{fmt.Sprintf("%s at %d", name, shift), b[[]int{0, 2, 3}[shift] : len(b)-len(b)%4-4]})
		}
	}
	forms, seen := map[string]string{}, map[string]bool{}
	for _, form := range all {
		if !seen[form[1]] {
			seen[form[1]], forms[form[0]] = true, form[1]
		}
	}
	return forms
}

func inQuotes(s []byte) string { return string(s[1 : len(s)-1]) }

// in looks through data.
func (h *hunt) in(data []byte) finds {
	found := finds{}
	var key uint64
	for i, b := range data {
		key = key>>8 | uint64(b)<<56
		if !h.first[slot(key)] || i < prefix-1 {
			continue
		}
		for _, c := range h.traces[key] {
			if bytes.HasPrefix(data[i-prefix+1:], c.bytes) {
				found.note(c.what, c.form)
			}
		}
	}
	return found
}

// memory looks through all that a process could read of its own memory.
func (h *hunt) memory(process string) (found finds, size int, err error) {
	maps, err := os.Open(filepath.Join(process, "maps"))
	if err != nil {
		return nil, 0, err
	}
	defer maps.Close()
	mem, err := os.Open(filepath.Join(process, "mem"))
	if err != nil {
		return nil, 0, err
	}
	defer mem.Close()
	p := pages{hunt: h, found: finds{}}
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to int64
		var mode, name string
		_, _ = fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode)
		if fields := strings.Fields(lines.Text()); len(fields) == 6 {
			name = fields[5]
		}
		if !strings.HasPrefix(mode, "r") || strings.HasPrefix(name, "[v") { // what the kernel maps: vvar, vdso, vsyscall
			continue
		}
		for buffer := make([]byte, 1<<20); from < to; {
			n, err := mem.ReadAt(buffer[:min(int64(len(buffer)), to-from)], from)
			if n == 0 {
				return nil, 0, fmt.Errorf("%s at %x: %w", lines.Text(), from, err)
			}
			p.take(from, buffer[:n])
			from += int64(n)
		}
	}
	p.flush()
	return p.found, p.size, nil
}

// pages looks through memory that comes piece by piece. Pages of zeros, of which there are many, have nothing.
type pages struct {
	hunt  *hunt
	found finds
	size  int
	run   []byte // that is not searched yet
	end   int64  // address behind it
}

var zeros [4 << 10]byte

func (p *pages) take(at int64, data []byte) {
	for page := range slices.Chunk(data, len(zeros)) {
		if at != p.end {
			p.flush()
		}
		at += int64(len(page))
		if bytes.Equal(page, zeros[:len(page)]) {
			continue
		}
		p.run, p.end = append(p.run, page...), at
	}
}

func (p *pages) flush() {
	p.found.add(p.hunt.in(p.run))
	p.size += len(p.run)
	p.run = p.run[:0]
}

// files looks through the names and contents of all files below a directory, but for those below what is left out.
func (h *hunt) files(t testing.TB, dir string, without ...string) finds {
	t.Helper()
	found := finds{}
	err := filepath.WalkDir(dir+"/", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if slices.Contains(without, rel) {
			return fs.SkipDir
		}
		found.add(h.in([]byte(rel)))
		info, err := os.Lstat(path) // the entry is what a device is mounted on
		switch {
		case err != nil:
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			found.add(h.in([]byte(link)))
			return err
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			found.add(h.in(data))
			return err
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return found
}

// process looks through what /proc says of a process beside its memory.
func (h *hunt) process(t testing.TB, process string) finds {
	t.Helper()
	found := finds{}
	for _, name := range []string{"environ", "cmdline", "comm", "maps", "mountinfo", "status", "cgroup"} {
		data, err := os.ReadFile(filepath.Join(process, name))
		if err != nil || len(data) == 0 {
			t.Errorf("%s of the script: %d bytes, %v", name, len(data), err)
		}
		found.add(h.in(data))
	}
	open, err := os.ReadDir(filepath.Join(process, "fd"))
	if err != nil || len(open) == 0 {
		t.Errorf("the script has %d files open, %v", len(open), err)
	}
	for _, f := range open {
		if link, err := os.Readlink(filepath.Join(process, "fd", f.Name())); err == nil {
			found.add(h.in([]byte(link)))
		}
	}
	return found
}

// none reports all that was found.
func (f finds) none(t testing.TB, where string) {
	t.Helper()
	for _, what := range slices.Sorted(maps.Keys(f)) {
		t.Errorf("%s: %s, %v", where, what, slices.Sorted(maps.Keys(f[what])))
	}
}

// The same value has the same forms by the same names each time: the controls ask for them by name.
func TestGuisesAreTheSameEachTime(t *testing.T) {
	t.Parallel()
	first := guises("of letters only")
	for range 50 {
		if again := guises("of letters only"); !maps.Equal(first, again) {
			t.Fatalf("once %v, once %v", first, again)
		}
	}
}
