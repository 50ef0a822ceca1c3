package packages

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/sdk/manifest"
)

// machines are the platforms that a package can have a binary for.
var machines = map[string]elf.Machine{"linux/amd64": elf.EM_X86_64, "linux/arm64": elf.EM_AARCH64}

// hostPlatform is the platform on which executions run: Linux on this machine's processor.
func hostPlatform() string { return "linux/" + runtime.GOARCH }

// checkPlatform says what is wrong with the name of a platform.
func checkPlatform(platform string) error {
	if _, ok := machines[platform]; !ok {
		return fmt.Errorf("the platform %.50q is not known; %s are", platform, strings.Join(slices.Sorted(maps.Keys(machines)), " and "))
	}
	return nil
}

// checkBinaries says what is wrong with the binaries that the manifest of the package at root names: each is a static
// executable for its platform.
func checkBinaries(m manifest.Manifest, root fs.FS) error {
	for _, platform := range slices.Sorted(maps.Keys(m.Binaries)) {
		if err := checkPlatform(platform); err != nil {
			return fmt.Errorf("%s: %w", manifest.File, err)
		}
		name := m.Binaries[platform]
		if !fs.ValidPath(name) {
			return fmt.Errorf("%s: the binary for %s has the path %q, which leads out of the package", manifest.File, platform, name)
		}
		if err := checkStatic(root, name, machines[platform]); err != nil {
			return fmt.Errorf("the binary %s for %s %w", name, platform, err)
		}
	}
	if len(m.Binaries) == 0 {
		return fmt.Errorf("%s: it names no binaries", manifest.File)
	}
	return nil
}

// checkStatic says what keeps a file from being a static ELF executable (System V ABI, chapters 4 and 5): whatever
// else it needed would be missing in the sandbox. It reads what the kernel reads, the program headers: the tables of
// sections beside them may claim any size, also compressed.
func checkStatic(root fs.FS, name string, machine elf.Machine) error {
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("is missing")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	file, ok := f.(io.ReaderAt)
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || !ok {
		return errors.New("is no regular file")
	}
	var h elf.Header64
	if err := readAt(file, 0, &h); err != nil || string(h.Ident[:elf.EI_CLASS]) != elf.ELFMAG {
		return errors.New("is no ELF executable")
	}
	system := elf.OSABI(h.Ident[elf.EI_OSABI])
	switch {
	case elf.Class(h.Ident[elf.EI_CLASS]) != elf.ELFCLASS64 || elf.Data(h.Ident[elf.EI_DATA]) != elf.ELFDATA2LSB || elf.Machine(h.Machine) != machine:
		return fmt.Errorf("is for another machine (%v)", elf.Machine(h.Machine))
	case system != elf.ELFOSABI_NONE && system != elf.ELFOSABI_LINUX:
		return fmt.Errorf("is for another system (%v)", system)
	case elf.Type(h.Type) != elf.ET_EXEC && elf.Type(h.Type) != elf.ET_DYN:
		return fmt.Errorf("is no executable (%v)", elf.Type(h.Type))
	case h.Phnum == 0 || int(h.Phentsize) != binary.Size(elf.Prog64{}):
		return errors.New("is no ELF executable: it has no program headers")
	}
	headers := make([]elf.Prog64, h.Phnum)
	if err := readAt(file, h.Phoff, headers); err != nil {
		return errors.New("is no ELF executable: its program headers are cut short")
	}
	for _, p := range headers {
		if elf.ProgType(p.Type) == elf.PT_INTERP {
			return errors.New("is linked dynamically: build it with CGO_ENABLED=0")
		}
		if elf.ProgType(p.Type) == elf.PT_DYNAMIC {
			if err := checkDynamic(file, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkDynamic says whether a dynamic section, which a program that can lie anywhere in memory has too, names
// libraries.
func checkDynamic(file io.ReaderAt, p elf.Prog64) error {
	const most = 1024 // entries; linkers write some thirty
	for i := range min(p.Filesz/uint64(binary.Size(elf.Dyn64{})), most) {
		var d elf.Dyn64
		if err := readAt(file, p.Off+i*uint64(binary.Size(d)), &d); err != nil {
			return errors.New("is no ELF executable: its dynamic section is cut short")
		}
		switch elf.DynTag(d.Tag) {
		case elf.DT_NULL:
			return nil
		case elf.DT_NEEDED:
			return errors.New("needs shared libraries: build it with CGO_ENABLED=0")
		}
	}
	return nil
}

// readAt fills v, a structure of the ELF specification or a slice of them, from the little-endian bytes at off.
func readAt(r io.ReaderAt, off uint64, v any) error {
	if off > math.MaxInt64 {
		return io.ErrUnexpectedEOF
	}
	return binary.Read(io.NewSectionReader(r, int64(off), int64(binary.Size(v))), binary.LittleEndian, v)
}
