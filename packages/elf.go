package packages

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
// else it needed would be missing in the sandbox.
func checkStatic(root fs.FS, name string, machine elf.Machine) error {
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("is missing")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	file, ok := f.(interface {
		ReadAt(p []byte, off int64) (int, error)
	})
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || !ok {
		return errors.New("is no regular file")
	}
	e, err := elf.NewFile(file)
	if err != nil {
		return fmt.Errorf("is no ELF executable: %w", err)
	}
	switch {
	case e.Class != elf.ELFCLASS64 || e.Machine != machine:
		return fmt.Errorf("is for another machine (%v)", e.Machine)
	case e.OSABI != elf.ELFOSABI_NONE && e.OSABI != elf.ELFOSABI_LINUX:
		return fmt.Errorf("is for another system (%v)", e.OSABI)
	case e.Type != elf.ET_EXEC && e.Type != elf.ET_DYN:
		return fmt.Errorf("is no executable (%v)", e.Type)
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("is linked dynamically: build it with CGO_ENABLED=0")
		}
	}
	if needed, err := e.DynValue(elf.DT_NEEDED); err != nil || len(needed) > 0 {
		return errors.New("needs shared libraries: build it with CGO_ENABLED=0")
	}
	return nil
}
