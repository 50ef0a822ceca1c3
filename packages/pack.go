package packages

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages/internal/gosource"
	"github.com/airlock-run/airlock/packages/internal/nupkg"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// PackOptions are the choices of Pack.
type PackOptions struct {
	Platforms []string          // such as linux/amd64 and linux/arm64; none means Linux on this machine's processor
	Progress  func(what string) // is told what begins, in a few words; may be nil
}

// Packed is what Pack made.
type Packed struct {
	Path     string // of the .nupkg
	Digest   string // SHA-256 of the .nupkg, lower-case hex
	Manifest manifest.Manifest
}

// Pack makes the .nupkg of the package in the directory dir, and puts it into the directory out under its usual name,
// Name.Version.nupkg, in place of one that is there.
//
// A directory that holds an airlock.json or a PowerShell module is packed as it is, but for .nupkg files at its root; a
// module's RequiredModules become the package's dependencies. Any other holds the Go source of a main package that uses
// the SDK: its declarations are read from the source, nothing of it is run, and a static binary is built for each
// platform, which needs the go command. The same source gives the same digest, where the versions of Go and Airlock are
// the same.
//
// What is wrong with the package is errors.InvalidPackage, with file and line where it is about source.
func Pack(ctx context.Context, dir, out string, o PackOptions) (Packed, error) {
	progress := func(format string, args ...any) {
		if o.Progress != nil {
			o.Progress(fmt.Sprintf(format, args...))
		}
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return Packed{}, errors.Because(err, errors.InvalidPackage, "%s is no directory; name the one that holds the package's source.", dir)
	}
	m, spec, err := asItIs(dir)
	if err != nil {
		return Packed{}, invalid(err)
	}
	if m.Name == "" {
		stage, err := os.MkdirTemp("", "airlock-pack-")
		if err != nil {
			return Packed{}, outputFailed(err)
		}
		defer os.RemoveAll(stage)
		if err := build(ctx, dir, stage, o.Platforms, progress); err != nil {
			return Packed{}, err
		}
		dir = stage
		if m, err = prebuilt(os.DirFS(dir)); err != nil {
			return Packed{}, invalid(err)
		}
	} else if len(o.Platforms) > 0 {
		return Packed{}, errors.Newf(errors.InvalidPackage, "%s holds %s and is packed as it is: leave the platforms out.", dir, packedSource(m))
	}
	progress("writing %s", fileName(m))
	return write(ctx, os.DirFS(dir), out, m, spec)
}

// asItIs is what a directory declares that is packed as it is: what is built already, or a PowerShell module. The manifest
// has no name where the directory holds neither.
func asItIs(dir string) (m manifest.Manifest, spec domain.Spec, err error) {
	if _, err := os.Lstat(filepath.Join(dir, manifest.File)); !errors.Is(err, fs.ErrNotExist) {
		m, err = prebuilt(os.DirFS(dir))
		return m, spec, err
	}
	name, err := moduleName(dir)
	if err != nil || name == "" {
		return m, spec, err
	}
	s, err := moduleIn(dir, name)
	if err == nil {
		err = checkModule(s)
	}
	if err == nil {
		_, err = parseVersion(s.Manifest.Version)
	}
	return s.Manifest, s.Spec, err
}

func packedSource(m manifest.Manifest) string {
	if m.Runtime == manifest.PowerShell {
		return "a PowerShell module"
	}
	return "an " + manifest.File
}

// build fills stage with the manifest and the binaries of the Go package in dir.
func build(ctx context.Context, dir, stage string, platforms []string, progress func(string, ...any)) error {
	if _, err := exec.LookPath("go"); err != nil {
		return errors.Because(err, errors.InvalidPackage, "%s holds no %s, and to build it as Go source the go command is missing: install Go, or pack what is built already.", dir, manifest.File)
	}
	if len(platforms) == 0 {
		platforms = []string{hostPlatform()}
	}
	platforms = slices.Compact(slices.Sorted(slices.Values(platforms)))
	m, err := declarations(ctx, dir, platforms, progress)
	if err != nil {
		return sourceFailed(ctx, err)
	}
	m.Binaries = map[string]string{}
	for _, platform := range platforms {
		progress("building for %s", platform)
		name := "bin/" + strings.ReplaceAll(platform, "/", "-")
		if err := compile(ctx, dir, filepath.Join(stage, name), platform); err != nil {
			return sourceFailed(ctx, err)
		}
		m.Binaries[platform] = name
	}
	data, err := m.Encode()
	if err != nil {
		return invalid(err)
	}
	if err := os.WriteFile(filepath.Join(stage, manifest.File), data, 0o600); err != nil {
		return outputFailed(err)
	}
	return nil
}

// declarations reads what the Go package in dir declares, which must be the same on all platforms.
func declarations(ctx context.Context, dir string, platforms []string, progress func(string, ...any)) (m manifest.Manifest, err error) {
	for i, platform := range platforms {
		if err := checkPlatform(platform); err != nil {
			return m, err
		}
		progress("reading the declarations for %s", platform)
		declared, err := gosource.Read(ctx, dir, platform)
		if err != nil {
			return m, err
		}
		if i > 0 && !reflect.DeepEqual(declared, m) {
			return m, fmt.Errorf("what it declares on %s differs from what it declares on %s", platform, platforms[0])
		}
		m = declared
	}
	return m, nil
}

// compile builds the main package in dir.
func compile(ctx context.Context, dir, out, platform string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	args := append([]string{"build"}, gosource.Flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "-ldflags=-s -w -buildid=", "-o", out, ".")...)
	cmd.Dir, cmd.Env = dir, gosource.Environment(platform)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		const most = 2000
		text := strings.TrimSpace(said.String())
		return fmt.Errorf("it does not build for %s: %s (%w)", platform, text[:min(most, len(text))], err)
	}
	return nil
}

func sourceFailed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return invalid(err)
}

// prebuilt reads and checks the manifest and the binaries of a package that is built.
func prebuilt(dir fs.FS) (manifest.Manifest, error) {
	data, err := fs.ReadFile(dir, manifest.File)
	if err != nil {
		return manifest.Manifest{}, err
	}
	m, err := manifest.Parse(data)
	if err != nil {
		return manifest.Manifest{}, err
	}
	if _, err := parseVersion(m.Version); err != nil {
		return manifest.Manifest{}, fmt.Errorf("%s: %w", manifest.File, err)
	}
	return m, checkBinaries(m, dir)
}

func fileName(m manifest.Manifest) string {
	return m.Name + "." + normalised(m.Version) + ".nupkg"
}

// write writes the package of the files in dir into the directory out, and looks at it as Push will.
func write(ctx context.Context, dir fs.FS, out string, m manifest.Manifest, spec domain.Spec) (Packed, error) {
	f, err := os.CreateTemp(out, temporary+"*.nupkg")
	if err != nil {
		return Packed{}, outputFailed(err)
	}
	defer os.Remove(f.Name()) // after the rename there is nothing left to remove
	defer f.Close()
	authors := cmp.Or(spec.Authors, m.Company, m.Name) // NuGet demands some
	h := sha256.New()
	err = nupkg.Write(ctx, io.MultiWriter(f, h), nupkg.Nuspec{
		ID: m.Name, Version: normalised(m.Version), Description: m.Description,
		Authors: authors, Owners: m.Company, ProjectURL: m.ProjectURI, Tags: spec.Tags, Dependencies: spec.Dependencies,
	}, dir)
	if err != nil {
		return Packed{}, sourceFailed(ctx, err)
	}
	archive, err := openContent(f)
	if err == nil {
		_, _, err = describe(archive)
	}
	if err != nil {
		return Packed{}, invalid(err)
	}
	path := filepath.Join(out, fileName(m))
	if err = errors.Join(f.Chmod(0o644), f.Sync()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return Packed{}, outputFailed(err)
	}
	return Packed{Path: path, Digest: hex.EncodeToString(h.Sum(nil)), Manifest: m}, nil
}

func outputFailed(err error) error {
	return errors.Because(err, errors.InvalidPackage, "The packed file cannot be written: %v.", err)
}
