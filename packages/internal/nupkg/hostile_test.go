package nupkg_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/packages/internal/nupkg"
)

// metered counts what is read of an archive.
type metered struct {
	io.ReaderAt
	read int64
}

func (m *metered) ReadAt(p []byte, at int64) (int, error) {
	n, err := m.ReaderAt.ReadAt(p, at)
	m.read += int64(n)
	return n, err
}

// zeros is a large file of nothing but its end.
type zeros struct {
	size int64
	end  []byte
}

func (z zeros) ReadAt(p []byte, at int64) (int, error) {
	clear(p)
	if begins := z.size - int64(len(z.end)); at+int64(len(p)) > begins {
		copy(p[max(0, begins-at):], z.end[max(0, at-begins):])
	}
	return len(p), nil
}

// deflatedZeros is the deflate stream of so many MiB of zeros. After the first, each MiB is the same few bytes.
func deflatedZeros(t *testing.T, mib int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, 1<<20)
	next := func() []byte {
		b.Reset()
		_, _ = w.Write(piece) // a Buffer takes everything
		_ = w.Flush()
		return bytes.Clone(b.Bytes())
	}
	first, second, third := next(), next(), next()
	if !bytes.Equal(second, third) {
		t.Fatal("the second MiB and the third are not the same")
	}
	b.Reset()
	_ = w.Close()
	return bytes.Join([][]byte{first, bytes.Repeat(second, mib-1), b.Bytes()}, nil)
}

// bomb makes an archive with an entry of 5 GiB of zeros that says it has a size.
func bomb(t *testing.T, says uint64) []byte {
	t.Helper()
	packed := deflatedZeros(t, 5<<10)
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	nuspec, err := z.Create("P.nuspec")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(nuspec, spec)
	w, err := z.CreateRaw(&zip.FileHeader{Name: "bomb", Method: zip.Deflate, CRC32: 1, CompressedSize64: uint64(len(packed)), UncompressedSize64: says})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(packed)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// overlapping makes an archive whose entries all have the same packed bytes (Fifield, "A better zip bomb", 2019).
func overlapping(t *testing.T, entries int) []byte {
	t.Helper()
	var packed bytes.Buffer
	f, _ := flate.NewWriter(&packed, flate.BestCompression)
	content := make([]byte, 1<<20)
	_, _ = f.Write(content)
	_ = f.Close()
	var b bytes.Buffer
	local := make([]byte, 30)
	copy(local, "PK\x03\x04")
	binary.LittleEndian.PutUint16(local[8:], zip.Deflate)
	binary.LittleEndian.PutUint16(local[26:], 1)
	b.Write(append(append(local, 'a'), packed.Bytes()...))
	start := b.Len()
	for i := range entries {
		record := make([]byte, 46)
		copy(record, "PK\x01\x02")
		binary.LittleEndian.PutUint16(record[10:], zip.Deflate)
		binary.LittleEndian.PutUint32(record[16:], crc32.ChecksumIEEE(content))
		binary.LittleEndian.PutUint32(record[20:], uint32(packed.Len()))
		binary.LittleEndian.PutUint32(record[24:], uint32(len(content)))
		binary.LittleEndian.PutUint16(record[28:], 2)
		b.Write(append(record, byte('a'+i/26), byte('a'+i%26)))
	}
	b.Write(end(entries, b.Len()-start, start))
	return b.Bytes()
}

// end is the record at an archive's end.
func end(entries, size, offset int) []byte {
	b := make([]byte, 22)
	copy(b, "PK\x05\x06")
	binary.LittleEndian.PutUint16(b[8:], uint16(entries))
	binary.LittleEndian.PutUint16(b[10:], uint16(entries))
	binary.LittleEndian.PutUint32(b[12:], uint32(size))
	binary.LittleEndian.PutUint32(b[16:], uint32(offset))
	return b
}

// What attacks cost: bytes read and bytes allocated, which are the same on every machine. It does not run beside others,
// whose allocations would be counted.
func TestAttacksAreBounded(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name            string
		archive         func() (io.ReaderAt, int64)
		read, allocated int64 // at most
		says            string
	}{
		{"1e6 entries", func() (io.ReaderAt, int64) { return plain(many(t, 1_000_000)) }, 1 << 10, 1 << 18, "at most"},
		{"65,636 entries that say they are 100", func() (io.ReaderAt, int64) { return plain(many(t, 65_636)) }, 5 * mib, 64 * mib, "at most 10000"},
		{"512 MiB that say they have 65,534 entries", func() (io.ReaderAt, int64) {
			return zeros{nupkg.MaxSize, end(65_534, 0, nupkg.MaxSize-22)}, nupkg.MaxSize
		}, 1 << 10, 1 << 18, "at most 10000"},
		{"512 MiB that leave their number to the zip64 form", func() (io.ReaderAt, int64) {
			return zeros{nupkg.MaxSize, end(0xffff, 0, 0xffffffff)}, nupkg.MaxSize
		}, 1 << 10, 1 << 18, "at most 10000"},
		{"more than 512 MiB", func() (io.ReaderAt, int64) { return zeros{nupkg.MaxSize + 1, end(0, 0, 0)}, nupkg.MaxSize + 1 }, 0, 1 << 18, "at most"},
		{"5 GB declared", func() (io.ReaderAt, int64) { return plain(claimed(t, 5<<30)) }, 1 << 14, 1 << 18, "unpacks to more than"},
		{"5 GiB of zeros that say so", func() (io.ReaderAt, int64) { return plain(bomb(t, 5<<30)) }, 1 << 17, 1 << 18, `"bomb"`},
		{"5 GiB of zeros that say they are 1 MiB", func() (io.ReaderAt, int64) { return plain(bomb(t, mib)) }, 1 << 17, 16 * mib, `"bomb"`},
		{"300 entries of 1 MiB each that overlap", func() (io.ReaderAt, int64) { return plain(overlapping(t, 300)) }, 1 << 17, 4 * mib, "times its size"},
		{"a nuspec of 5 MiB", func() (io.ReaderAt, int64) {
			var b bytes.Buffer
			z := zip.NewWriter(&b)
			w, err := z.CreateHeader(&zip.FileHeader{Name: "P.nuspec", Method: zip.Store})
			if err != nil {
				t.Fatal(err)
			}
			_, _ = w.Write(make([]byte, 5*mib))
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			return plain(b.Bytes())
		}, 1 << 14, 1 << 18, `"P.nuspec" has 5242880 bytes; at most`},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, size := c.archive()
			r := &metered{ReaderAt: data}
			dir := t.TempDir()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			a, err := nupkg.Open(r, size)
			if err == nil {
				_, err = a.ReadFile("bomb", 4*mib)
				if err == nil {
					t.Error("the entry was read")
				}
				err = a.LayOut(t.Context(), dir, nothing)
			}
			runtime.ReadMemStats(&after)
			allocated := int64(after.TotalAlloc - before.TotalAlloc)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want an error that says %s", err, c.says)
			}
			if r.read > c.read || allocated > c.allocated {
				t.Errorf("of %d bytes it read %d and allocated %d; at most %d and %d are to be", size, r.read, allocated, c.read, c.allocated)
			}
			t.Logf("%d bytes: read %d, allocated %d: %v", size, r.read, allocated, err)
		})
	}
}

func plain(data []byte) (io.ReaderAt, int64) { return bytes.NewReader(data), int64(len(data)) }

// TestFlippedBits flips each bit of an archive: what is read under the names that were packed is what was packed, or an
// error.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("content ", 20)
	data := archive(t, entry{name: "a/x", content: content})
	refused := 0
	for i := range len(data) * 8 {
		flipped := bytes.Clone(data)
		flipped[i/8] ^= 1 << (i % 8)
		a, err := open(flipped)
		if err != nil {
			refused++
			continue
		}
		if got, err := a.ReadFile("a/x", 1<<20); err != nil {
			refused++
		} else if string(got) != content {
			t.Errorf("bit %d of byte %d: read %q", i%8, i/8, got)
		}
	}
	t.Logf("%d of %d archives were refused; the others differ in what nobody reads", refused, len(data)*8)
}
