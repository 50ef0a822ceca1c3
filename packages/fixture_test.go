package packages_test

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/packages"
	"github.com/airlock-run/airlock/sdk/manifest"
)

const nuspecForm = `<?xml version="1.0"?><package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata><id>ID</id><version>VERSION</version></metadata></package>`

var host = "linux/" + runtime.GOARCH

var hostMachine = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]

// program makes an ELF file that holds nothing but headers.
func program(machine elf.Machine, kind elf.Type, headers ...elf.ProgType) []byte {
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(kind), Machine: uint16(machine), Version: 1, Ehsize: 64, Phoff: 64, Phentsize: 56, Phnum: uint16(len(headers))}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	_ = binary.Write(&b, binary.LittleEndian, h) // a Buffer takes everything
	for _, p := range headers {
		_ = binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(p)})
	}
	return b.Bytes()
}

func static() []byte { return program(hostMachine, elf.ET_EXEC, elf.PT_LOAD) }

// declared is a manifest that is sound.
func declared(name, version string) manifest.Manifest {
	return manifest.Manifest{
		ManifestVersion: manifest.Version, Name: name, Version: version, Runtime: manifest.Go, Description: "of a test",
		Binaries: map[string]string{host: "bin/program"},
		Cmdlets:  []manifest.Cmdlet{{Name: "Get-It", Parameters: []manifest.Parameter{}}},
	}
}

// directory makes a package that is built.
func directory(t *testing.T, m manifest.Manifest, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{manifest.File: string(data), "bin/program": string(static())}
	for name, content := range files {
		all[name] = content
	}
	for name, content := range all {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// archive makes a .nupkg of any files, sound or not.
func archive(t *testing.T, files ...[2]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		w, err := z.Create(f[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// repository opens a repository with a real store as its index.
func repository(t *testing.T) (*packages.Repository, string) {
	t.Helper()
	return repositoryIn(t, t.TempDir())
}

// repositoryOn opens a repository, and gives its index too.
func repositoryOn(t *testing.T) (*packages.Repository, packages.Index) {
	t.Helper()
	dir := t.TempDir()
	index := indexIn(t, dir)
	r, err := packages.Open(filepath.Join(dir, "packages"), index)
	if err != nil {
		t.Fatal(err)
	}
	return r, index
}

func indexIn(t *testing.T, dir string) packages.Index {
	t.Helper()
	index, err := store.Open(t.Context(), store.Config{Path: filepath.Join(dir, "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := index.Close(); err != nil {
			t.Error(err)
		}
	})
	return index
}

// repositoryIn opens a repository and its store in a directory.
func repositoryIn(t *testing.T, dir string) (*packages.Repository, string) {
	t.Helper()
	index := indexIn(t, dir)
	dir = filepath.Join(dir, "packages")
	r, err := packages.Open(dir, index)
	if err != nil {
		t.Fatal(err)
	}
	unlock(t, dir)
	return r, dir
}

// unlock opens layouts at the test's end: they are read-only directories, which the removal of the test's directory cannot enter
// unless as root.
func unlock(t *testing.T, dir string) {
	t.Cleanup(func() {
		_ = filepath.WalkDir(dir, func(p string, e os.DirEntry, _ error) error {
			if e != nil && e.IsDir() {
				return os.Chmod(p, 0o700)
			}
			return nil
		})
	})
}

// linked makes a .nupkg whose program is a symbolic link.
func linked(t *testing.T) []byte {
	t.Helper()
	m, err := declared("P", "1.0.0").Encode()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range [][2]string{{"P.nuspec", nuspecForm}, {manifest.File, string(m)}, {"bin/program", "/bin/sh"}} {
		h := &zip.FileHeader{Name: f[0]}
		if f[0] == "bin/program" {
			h.SetMode(os.ModeSymlink | 0o777)
		}
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
