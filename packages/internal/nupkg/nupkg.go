// Package nupkg reads and writes NuGet packages: zip archives in the Open Packaging Conventions (ECMA-376 part 2) with
// a nuspec at the root.
//
// What it reads may come from anybody. An archive is refused as a whole, with an error that names the entry, before
// anything of it is written; time and memory are bounded by constants, whatever the archive claims.
package nupkg

import (
	"archive/zip"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of an archive.
const (
	MaxSize = 512 << 20 // bytes of the .nupkg

	maxDirectory = 4 << 20 // bytes of the zip's directory
	maxEntries   = 10_000  // in the zip's directory; also files and folders, named there or not
	maxUnpacked  = 2 << 30 // bytes of all entries
	maxRatio     = 100     // unpacked to packed bytes, over the whole archive …
	freeUnpacked = 1 << 20 // … beyond so many bytes
	maxName      = 512     // bytes of an entry's name
	maxDepth     = 32      // folders that lie in one another
	maxNuspec    = 256 << 10
)

// Archive is a package that is open and was found sound.
type Archive struct {
	Nuspec Nuspec
	all    []*zip.File
	spec   *zip.File
	files  []*zip.File // the payload: files but for the package's own parts, by name
}

// Open reads the directory and the nuspec of a package of size bytes, and checks all that can be checked without
// unpacking. The rest, lengths and checksums of the content, is checked as it is read.
func Open(r io.ReaderAt, size int64) (*Archive, error) {
	if size > MaxSize {
		return nil, fmt.Errorf("the archive has %d bytes; at most %d are allowed", size, MaxSize)
	}
	if err := checkEnd(r, size); err != nil {
		return nil, err
	}
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("it is no zip archive, or a damaged one: %w", err)
	}
	for _, f := range z.File {
		f.Name = unescape(f.Name)
	}
	if err := checkEntries(z.File, size); err != nil {
		return nil, err
	}
	a := &Archive{all: z.File}
	for _, f := range z.File {
		switch {
		case strings.HasSuffix(f.Name, "/") || isPart(f.Name):
		case !isNuspec(f.Name):
			a.files = append(a.files, f)
		case a.spec != nil:
			return nil, fmt.Errorf("there are two nuspecs, %s and %s", a.spec.Name, f.Name)
		default:
			a.spec = f
		}
	}
	if a.spec == nil {
		return nil, errors.New("there is no nuspec at the archive's root")
	}
	data, err := read(a.spec, maxNuspec)
	if err != nil {
		return nil, err
	}
	if a.Nuspec, err = ParseNuspec(data); err != nil {
		return nil, fmt.Errorf("%s: %w", a.spec.Name, err)
	}
	slices.SortFunc(a.files, func(x, y *zip.File) int { return cmp.Compare(x.Name, y.Name) })
	return a, nil
}

// checkEnd reads the record at the archive's end (APPNOTE.TXT 4.3.16) and holds it to the form in which every reader
// finds the same directory: at the very end, right behind the directory, and without the extensions for archives that
// are larger than these may be. So what was reviewed is what any client unpacks, and nothing is read or allocated for a
// directory that is too large.
func checkEnd(r io.ReaderAt, size int64) error {
	const length = 22
	b := make([]byte, length)
	if size < length {
		return errors.New("it is no zip archive, or a truncated one")
	}
	if _, err := r.ReadAt(b, size-length); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("it cannot be read: %w", err)
	}
	u16 := func(at int) int64 { return int64(binary.LittleEndian.Uint16(b[at:])) }
	u32 := func(at int) int64 { return int64(binary.LittleEndian.Uint32(b[at:])) }
	entries, directory, offset := u16(10), u32(12), u32(16)
	switch {
	case string(b[:4]) != "PK\x05\x06" || u16(20) != 0:
		return errors.New("it is no zip archive, or a truncated one, or has a comment behind its end")
	case entries > maxEntries:
		return fmt.Errorf("the archive has %d or more entries; at most %d are allowed", entries, maxEntries)
	case directory > maxDirectory:
		return fmt.Errorf("the archive's directory is too large: %d bytes; at most %d are allowed", directory, maxDirectory)
	case u16(4) != 0 || u16(6) != 0 || u16(8) != entries || offset+directory != size-length:
		return errors.New("the archive is in several parts, or something lies before it or behind its directory")
	}
	return nil
}

// escaped is a byte in the form in which NuGet's clients write most of those of names that are not a letter or digit.
var escaped = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// unescape is the name that an entry's name stands for: parts are named by URIs (ECMA-376 part 2, section 6.2.2), and
// NuGet's clients write a%20b and read it as "a b".
func unescape(entry string) string {
	return escaped.ReplaceAllStringFunc(entry, func(s string) string {
		b, _ := strconv.ParseUint(s[1:], 16, 8) // the form leaves no error
		return string([]byte{byte(b)})
	})
}

// partName is the name of the entry for a file: what unescape gives back.
func partName(file string) string {
	var b strings.Builder
	for _, c := range []byte(file) {
		if c == '/' || strings.IndexByte(unreserved, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// unreserved are the characters that a URI has for themselves only (RFC 3986, section 2.3).
const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

func isNuspec(name string) bool {
	return !strings.Contains(name, "/") && strings.EqualFold(path.Ext(name), ".nuspec")
}

// signature is NuGet's own, of the whole package ("Package Signatures Technical Details", github.com/NuGet/Home/wiki).
const signature = ".signature.p7s"

// isPart says whether an entry belongs to the packaging, not to what is packed.
func isPart(name string) bool {
	lower := strings.ToLower(name)
	return lower == "[content_types].xml" || lower == signature || strings.HasPrefix(lower, "_rels/") || strings.HasPrefix(lower, "package/services/metadata/")
}

func checkEntries(files []*zip.File, size int64) error {
	if len(files) > maxEntries { // the record at the end has this number modulo 65,536
		return fmt.Errorf("the archive has %d entries; at most %d are allowed", len(files), maxEntries)
	}
	names := names{}
	var unpacked uint64
	for _, f := range files {
		if err := checkEntry(f); err != nil {
			return err
		}
		if err := names.add(f.Name); err != nil {
			return err
		}
		if len(names) > maxEntries {
			return fmt.Errorf("with the entry %q the archive has more than %d files and folders", f.Name, maxEntries)
		}
		if unpacked += f.UncompressedSize64; f.UncompressedSize64 > maxUnpacked || unpacked > maxUnpacked {
			return fmt.Errorf("with the entry %q the archive unpacks to more than %d bytes", f.Name, maxUnpacked)
		}
		// Over the archive's size, so that entries cannot share their packed bytes.
		if unpacked > freeUnpacked && unpacked > maxRatio*uint64(size) {
			return fmt.Errorf("with the entry %q the archive unpacks to more than %d times its size", f.Name, maxRatio)
		}
	}
	return nil
}

func checkEntry(f *zip.File) error {
	folder := strings.HasSuffix(f.Name, "/")
	switch mode := f.Mode(); {
	case f.Flags&1 != 0:
		return fmt.Errorf("the entry %q is encrypted", f.Name)
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return fmt.Errorf("the entry %q is compressed by the method %d; store and deflate are known", f.Name, f.Method)
	case folder && !mode.IsDir(), !folder && !mode.IsRegular():
		return fmt.Errorf("the entry %q is no regular file (%v)", f.Name, mode.Type())
	case folder && f.UncompressedSize64 != 0:
		return fmt.Errorf("the entry %q is a folder with content", f.Name)
	}
	return nil
}

// names knows the names of an archive, folders included, by what they are where case does not matter.
type names map[string]string

// add takes the name of an entry, a folder's with a slash at its end, and says what is wrong with it.
func (n names) add(name string) error {
	plain := strings.TrimSuffix(name, "/")
	switch {
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("the entry %q has a name that is not plain UTF-8", name)
	case len(name) > maxName:
		return fmt.Errorf("the entry %q has a name of %d bytes; at most %d are allowed", name, len(name), maxName)
	case !fs.ValidPath(plain) || plain == "." || strings.Contains(name, `\`):
		return fmt.Errorf("the entry %q has a name that leads out of the package, or is not in its plain form", name)
	case strings.Count(name, "/") > maxDepth:
		return fmt.Errorf("the entry %q lies in more than %d folders", name, maxDepth)
	}
	for i, c := range plain {
		if c != '/' {
			continue
		}
		folder := name[:i+1]
		if other, ok := n[fold(folder)]; ok && other != folder {
			return fmt.Errorf("the entries %q and %q differ by case only, or are file and folder at once", other, name)
		}
		n[fold(folder)] = folder
	}
	other, ok := n[fold(name)]
	switch {
	case ok && other == name && plain != name: // a folder that entries were already in
	case ok && other == name:
		return fmt.Errorf("the entry %q is there twice", name)
	case ok:
		return fmt.Errorf("the entries %q and %q differ by case only, or are file and folder at once", other, name)
	}
	n[fold(name)] = name
	return nil
}

// fold is the form in which names are compared: without case, and a folder as a file of its name.
func fold(name string) string {
	return strings.ToLower(strings.ToUpper(strings.TrimSuffix(name, "/")))
}

// read returns the content of an entry of at most max bytes.
func read(f *zip.File, max uint64) ([]byte, error) {
	if f.UncompressedSize64 > max {
		return nil, fmt.Errorf("the entry %q has %d bytes; at most %d are allowed", f.Name, f.UncompressedSize64, max)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("the entry %q: %w", f.Name, err)
	}
	defer r.Close()
	data, err := io.ReadAll(r) // ends with an error where there are more bytes than the entry's size says
	if err != nil {
		return nil, fmt.Errorf("the entry %q: %w", f.Name, err)
	}
	return data, nil
}

// find finds a file of the payload.
func (a *Archive) find(name string) (*zip.File, error) {
	i, ok := slices.BinarySearchFunc(a.files, name, func(f *zip.File, name string) int { return cmp.Compare(f.Name, name) })
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return a.files[i], nil
}

// ReadFile returns the content of a file of at most max bytes. Where there is none, the error is fs.ErrNotExist.
func (a *Archive) ReadFile(name string, max uint64) ([]byte, error) {
	f, err := a.find(name)
	if err != nil {
		return nil, err
	}
	return read(f, max)
}

// Open opens a file. Where there is none, the error is fs.ErrNotExist.
func (a *Archive) Open(name string) (io.ReadCloser, error) {
	f, err := a.find(name)
	if err != nil {
		return nil, err
	}
	return f.Open()
}

// Files are the names of the payload's files, in order.
func (a *Archive) Files() []string {
	names := make([]string, 0, len(a.files))
	for _, f := range a.files {
		names = append(names, f.Name)
	}
	return names
}

// ReadNuspec returns the name and the content of the nuspec.
func (a *Archive) ReadNuspec() (name string, data []byte, err error) {
	data, err = read(a.spec, maxNuspec)
	return a.spec.Name, data, err
}
