// Package loader finds the files of the machine that dynamic programs need, as the dynamic linker would (ld.so(8)), so that
// they can be shown in a room one by one, and not the machine's directories.
//
// It does without the linker itself: a program that is asked what it needs (ldd(1)) is a program that is run.
package loader

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Finder collects files. What is missing is left out: the linker says so better, when the program is started, or the
// program does without.
type Finder struct {
	machine elf.Machine
	class   elf.Class
	dirs    []string        // in which libraries are looked for
	paths   map[string]bool // what was found, true for a directory
	read    map[string]bool // files whose needs are known
	search  []string
}

// machines are the names of this machine in ELF.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// New returns a Finder for programs of the kind of the one given, and an error that says what it is where it is none for this
// machine.
func New(program string) (*Finder, error) {
	f, err := elf.Open(program)
	if err != nil {
		return nil, fmt.Errorf("it is no whole ELF file: %w", err)
	}
	defer f.Close()
	if f.Machine != machines[runtime.GOARCH] || f.Class != elf.ELFCLASS64 || f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return nil, fmt.Errorf("it is %v, %v, %v", f.Machine, f.Class, f.Type)
	}
	return &Finder{
		machine: f.Machine, class: f.Class, dirs: append(configured("/etc/ld.so.conf", true), builtin(f.Machine)...),
		paths: map[string]bool{}, read: map[string]bool{},
	}, nil
}

// Add adds a file or directory, and the symbolic links on the way to it. It returns where they lead.
func (f *Finder) Add(path string) (real string, err error) {
	real, links, err := follow(path)
	if err != nil {
		return "", err
	}
	info, err := os.Lstat(real)
	if err != nil {
		return "", err
	}
	for _, link := range links {
		f.paths[link] = false
	}
	f.paths[real] = info.IsDir()
	return real, nil
}

// AddProgram adds a program or library, and what it needs.
func (f *Finder) AddProgram(path string) {
	if real, err := f.Add(path); err == nil {
		f.addNeeds(real)
	}
}

// AddTree adds a directory, and what the libraries below it need.
func (f *Finder) AddTree(dir string) {
	real, err := f.Add(dir)
	if err != nil {
		return
	}
	_ = filepath.WalkDir(real, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(d.Name(), ".so") {
			f.AddProgram(path)
		}
		return nil
	})
}

// AddLibrary adds a library that is found by its name, as by dlopen(3), and says whether it is there.
func (f *Finder) AddLibrary(name string) bool { return f.find(name, nil) }

// AddNewest adds the libraries with these names followed by a version, each of the same and the highest that is there of
// the first, and says whether there is one: {"libicuuc.so.", "libicui18n.so."}.
func (f *Finder) AddNewest(names ...string) bool {
	newest, most := "", -1
	for _, dir := range f.dirs {
		all, _ := filepath.Glob(filepath.Join(dir, names[0]+"*"))
		for _, path := range all {
			version := strings.TrimPrefix(filepath.Base(path), names[0])
			if n, is := number(version); is && n > most {
				newest, most = version, n
			}
		}
	}
	found := most >= 0
	for _, name := range names {
		found = found && f.AddLibrary(name+newest)
	}
	return found
}

// Paths are what was found, for a room's Runtime: what lies in one of the directories is left out.
func (f *Finder) Paths() []string {
	var all []string
	for path := range f.paths {
		if !f.within(filepath.Dir(path)) {
			all = append(all, path)
		}
	}
	slices.Sort(all)
	return all
}

// within says whether a path is, or is in, a directory that was added.
func (f *Finder) within(path string) bool {
	for ; path != "/" && path != "."; path = filepath.Dir(path) {
		if f.paths[path] {
			return true
		}
	}
	return false
}

// Search are the directories that the linker has to be told of (LD_LIBRARY_PATH): a room has no cache of libraries.
func (f *Finder) Search() []string { return f.search }

// addNeeds adds what a file needs.
func (f *Finder) addNeeds(path string) {
	if f.read[path] {
		return
	}
	f.read[path] = true
	file, err := elf.Open(path)
	if err != nil {
		return
	}
	defer file.Close()
	if file.Machine != f.machine || file.Class != f.class {
		return
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			name := make([]byte, min(p.Filesz, 4096))
			if n, err := p.ReadAt(name, 0); err == nil || n == len(name) {
				f.AddProgram(strings.TrimRight(string(name), "\x00"))
			}
		}
	}
	needed, _ := file.ImportedLibraries()
	for _, name := range needed {
		f.find(name, own(file, filepath.Dir(path)))
	}
}

// own are the directories that a file names for what it needs.
func own(file *elf.File, origin string) (dirs []string) {
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		lists, _ := file.DynString(tag)
		for _, list := range lists {
			for _, dir := range strings.Split(list, ":") {
				dir = strings.NewReplacer("${ORIGIN}", origin, "$ORIGIN", origin).Replace(dir)
				if filepath.IsAbs(dir) {
					dirs = append(dirs, filepath.Clean(dir))
				}
			}
		}
	}
	return dirs
}

// find adds a library that is found by its name, first in the directories given.
func (f *Finder) find(name string, first []string) bool {
	if strings.Contains(name, "/") {
		return false
	}
	for i, dir := range slices.Concat(first, f.dirs) {
		path := filepath.Join(dir, name)
		if !f.fits(path) {
			continue
		}
		if i >= len(first) && !slices.Contains(builtin(f.machine), dir) && !slices.Contains(f.search, dir) {
			f.search = append(f.search, dir)
		}
		f.AddProgram(path)
		return true
	}
	return false
}

// fits says whether there is a library of the right kind.
func (f *Finder) fits(path string) bool {
	file, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	return file.Machine == f.machine && file.Class == f.class
}
