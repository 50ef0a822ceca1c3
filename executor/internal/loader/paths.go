package loader

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// builtin are the directories in which linkers look by themselves: those of glibc with Debian's and others' layout, and of
// musl.
func builtin(m elf.Machine) []string {
	dirs := []string{"/lib", "/usr/lib", "/lib64", "/usr/lib64"}
	switch m {
	case elf.EM_X86_64:
		dirs = append(dirs, "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu")
	case elf.EM_AARCH64:
		dirs = append(dirs, "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu")
	}
	return dirs
}

// configured are the directories that a file in the form of /etc/ld.so.conf names (ldconfig(8)), and those of the
// files that it includes.
func configured(file string, includes bool) (dirs []string) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		pattern, included := strings.CutPrefix(line, "include ")
		if !included {
			if filepath.IsAbs(line) {
				dirs = append(dirs, filepath.Clean(line))
			}
			continue
		}
		if pattern = strings.TrimSpace(pattern); !filepath.IsAbs(pattern) {
			pattern = filepath.Join(filepath.Dir(file), pattern)
		}
		if more, _ := filepath.Glob(pattern); includes {
			for _, one := range more {
				dirs = append(dirs, configured(one, false)...)
			}
		}
	}
	return dirs
}

// maxLinks is how many symbolic links may be on the way to a file (path_resolution(7)).
const maxLinks = 40

// follow resolves an absolute path, and names the symbolic links on the way, each by where it lies.
func follow(path string) (real string, links []string, err error) {
	if !filepath.IsAbs(path) {
		return "", nil, fmt.Errorf("%s is not absolute", path)
	}
	real = "/"
	rest := strings.Split(filepath.Clean(path), "/")
	for len(rest) > 0 {
		at := filepath.Join(real, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(at)
		if err != nil {
			return "", nil, err
		}
		if info.Mode()&os.ModeSymlink == 0 {
			real = at
			continue
		}
		if links = append(links, at); len(links) > maxLinks {
			return "", nil, fmt.Errorf("too many symbolic links on the way to %s", path)
		}
		to, err := os.Readlink(at)
		if err != nil {
			return "", nil, err
		}
		if filepath.IsAbs(to) {
			real = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return real, links, nil
}

// number reads a version of one number.
func number(version string) (n int, is bool) {
	n, err := strconv.Atoi(version)
	return n, err == nil && n >= 0
}
