package packages_test

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/errors"
)

// swollen makes a program whose table of section names claims size bytes, in a few that are compressed.
func swollen(t *testing.T, size int) []byte {
	t.Helper()
	var names bytes.Buffer
	_ = binary.Write(&names, binary.LittleEndian, elf.Chdr64{Type: uint32(elf.COMPRESS_ZLIB), Size: uint64(size), Addralign: 1})
	z := zlib.NewWriter(&names)
	if _, err := z.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(hostMachine), Version: 1, Ehsize: 64,
		Phoff: 64, Phentsize: 56, Phnum: 1, Shoff: 120, Shentsize: 64, Shnum: 2, Shstrndx: 1}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	var b bytes.Buffer
	for _, part := range []any{h, elf.Prog64{Type: uint32(elf.PT_LOAD)}, elf.Section64{},
		elf.Section64{Type: uint32(elf.SHT_STRTAB), Flags: uint64(elf.SHF_COMPRESSED), Off: 248, Size: uint64(names.Len())}, names.Bytes()} {
		_ = binary.Write(&b, binary.LittleEndian, part) // a Buffer takes everything
	}
	return b.Bytes()
}

// TestProgramsAreReadInBoundedMemory measures, so that nothing may run beside it.
func TestProgramsAreReadInBoundedMemory(t *testing.T) {
	r, _ := repository(t)
	const claimed = 16 << 20
	source := directory(t, declared("P", "1.0.0"), map[string]string{"bin/program": string(swollen(t, claimed))})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := r.PushPath(t.Context(), source)
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > claimed/2 {
		t.Errorf("looking at a program of a few KiB allocated %d KiB (%v)", allocated>>10, err)
	}
}

func TestSharedLibraryIsNoProgram(t *testing.T) {
	t.Parallel()
	r, _ := repository(t)
	library := program(hostMachine, elf.ET_DYN, elf.PT_DYNAMIC)
	binary.LittleEndian.PutUint64(library[64+8:], uint64(len(library))) // where its dynamic section begins, and how long it is
	binary.LittleEndian.PutUint64(library[64+32:], 32)
	library = binary.LittleEndian.AppendUint64(library, uint64(elf.DT_NEEDED))
	library = append(library, make([]byte, 24)...)
	_, err := r.PushPath(t.Context(), directory(t, declared("P", "1.0.0"), map[string]string{"bin/program": string(library)}))
	if !errors.Has(err, errors.InvalidPackage) || !strings.Contains(err.Error(), "needs shared libraries") {
		t.Errorf("%v; want InvalidPackage that says what it needs", err)
	}
}
