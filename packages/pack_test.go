package packages_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages"
	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/google/go-cmp/cmp"
)

// TestPackSource packs a Go package, pushes it, and looks at what an execution would find.
func TestPackSource(t *testing.T) {
	t.Parallel()
	var steps []string
	out := t.TempDir()
	packed, err := packages.Pack(t.Context(), "testdata/hello", out, packages.PackOptions{Progress: func(what string) { steps = append(steps, what) }})
	if err != nil {
		t.Fatal(err)
	}
	binary := "bin/linux-" + runtime.GOARCH
	want := manifest.Manifest{
		ManifestVersion: manifest.Version, Name: "Contoso.Hello", Version: "1.0", Description: "Greets.", Runtime: manifest.Go,
		Binaries: map[string]string{host: binary},
		Cmdlets: []manifest.Cmdlet{{Name: "Show-Hello", Description: "Greets somebody.", Parameters: []manifest.Parameter{
			{Name: "Name", Description: "who is greeted", Type: manifest.String, Required: true},
		}}},
	}
	if diff := cmp.Diff(want, packed.Manifest); diff != "" {
		t.Error(diff)
	}
	if want := filepath.Join(out, "Contoso.Hello.1.0.0.nupkg"); packed.Path != want {
		t.Errorf("it is %s, want %s", packed.Path, want)
	}
	if want := []string{"reading the declarations for " + host, "building for " + host, "writing Contoso.Hello.1.0.0.nupkg"}; !slices.Equal(steps, want) {
		t.Errorf("the progress was %q", steps)
	}
	again, err := packages.Pack(t.Context(), "testdata/hello", out, packages.PackOptions{Platforms: []string{host, host}})
	if err != nil || again.Digest != packed.Digest {
		t.Errorf("the same source gave the digests %s and %s, %v", packed.Digest, again.Digest, err)
	}
	if left, _ := os.ReadDir(out); len(left) != 1 {
		t.Errorf("the directory holds %v, want the package only", left)
	}

	r, _ := repository(t)
	p, err := r.PushPath(t.Context(), packed.Path)
	if err != nil || p.Digest != packed.Digest || p.Ref() != "Contoso.Hello@1.0.0" {
		t.Fatalf("%+v, %v", p, err)
	}
	laid, err := r.Layout(t.Context(), p.Digest)
	if err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), filepath.Join(laid, binary)).CombinedOutput() // by hand, as a vendor might
	if !bytes.Contains(said, []byte("Contoso.Hello 1.0")) || !bytes.Contains(said, []byte("Show-Hello")) {
		t.Errorf("the program says %s, %v", said, err)
	}
	if bytes.Contains(said, []byte("mistake")) {
		t.Errorf("the SDK judges the declarations otherwise: %s", said)
	}
}

func TestPackPrebuilt(t *testing.T) {
	t.Parallel()
	source := directory(t, declared("Contoso.Tools", "1.2-dev"), map[string]string{"data/x.txt": "text"})
	packed, err := packages.Pack(t.Context(), source, source, packages.PackOptions{}) // into itself
	if err != nil {
		t.Fatal(err)
	}
	if packed.Path != filepath.Join(source, "Contoso.Tools.1.2.0-dev.nupkg") {
		t.Errorf("it is %s", packed.Path)
	}
	again, err := packages.Pack(t.Context(), source, t.TempDir(), packages.PackOptions{})
	if err != nil || again.Digest != packed.Digest {
		t.Errorf("the same directory gave the digests %s and %s, %v", packed.Digest, again.Digest, err)
	}
	if err := os.WriteFile(filepath.Join(source, "data/x.txt"), []byte("TEXT"), 0o600); err != nil {
		t.Fatal(err)
	}
	if other, err := packages.Pack(t.Context(), source, t.TempDir(), packages.PackOptions{}); err != nil || other.Digest == packed.Digest {
		t.Errorf("another content gave the same digest, %v", err)
	}
}

func TestPackRefuses(t *testing.T) {
	t.Parallel()
	sound := declared("P", "1.0.0")
	with := func(files map[string]string) string { return directory(t, sound, files) }
	linked := with(nil)
	if err := os.Symlink("/etc/passwd", filepath.Join(linked, "link")); err != nil {
		t.Fatal(err)
	}
	unlabelled := declared("P", "1.0.0-beta")
	for name, c := range map[string]struct {
		dir  string
		o    packages.PackOptions
		says string
	}{
		"not there":         {filepath.Join(t.TempDir(), "none"), packages.PackOptions{}, "is no directory"},
		"a file":            {"pack.go", packages.PackOptions{}, "is no directory"},
		"empty":             {t.TempDir(), packages.PackOptions{}, "go.mod"},
		"no program":        {"internal/nupkg", packages.PackOptions{}, "want main"},
		"platform":          {"testdata/hello", packages.PackOptions{Platforms: []string{"windows/amd64"}}, `"windows/amd64" is not known`},
		"broken manifest":   {with(map[string]string{manifest.File: "{"}), packages.PackOptions{}, manifest.File},
		"misspelt manifest": {with(map[string]string{manifest.File: `{"nam": "P"}`}), packages.PackOptions{}, `"nam"`},
		"label":             {directory(t, unlabelled, nil), packages.PackOptions{}, "-dev or -preview"},
		"no binary":         {with(map[string]string{"bin/program": "#!/bin/sh"}), packages.PackOptions{}, "no ELF executable"},
		"a link":            {linked, packages.PackOptions{}, "link is no regular file"},
		"a hidden file":     {with(map[string]string{".git/config": ""}), packages.PackOptions{}, ".git is hidden"},
		"its own nuspec":    {with(map[string]string{"P.nuspec": ""}), packages.PackOptions{}, "packing writes it itself"},
		"prebuilt platform": {with(nil), packages.PackOptions{Platforms: []string{host}}, "leave the platforms out"},
	} {
		out := t.TempDir()
		_, err := packages.Pack(t.Context(), c.dir, out, c.o)
		if !errors.Has(err, errors.InvalidPackage) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want InvalidPackage with %q", name, err, c.says)
		}
		if left, _ := os.ReadDir(out); len(left) > 0 {
			t.Errorf("%s: it left %v", name, left)
		}
	}
	if _, err := packages.Pack(t.Context(), with(nil), filepath.Join(t.TempDir(), "none"), packages.PackOptions{}); !errors.Has(err, errors.InvalidPackage) {
		t.Errorf("into a directory that is not there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := packages.Pack(ctx, "testdata/hello", t.TempDir(), packages.PackOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}

// TestPackForTwoPlatforms compiles for a foreign processor, which takes a while where nothing is cached.
func TestPackForTwoPlatforms(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("compiles for a foreign processor")
	}
	both := packages.PackOptions{Platforms: []string{"linux/arm64", "linux/amd64"}}
	packed, err := packages.Pack(t.Context(), "testdata/hello", t.TempDir(), both)
	want := map[string]string{"linux/amd64": "bin/linux-amd64", "linux/arm64": "bin/linux-arm64"}
	if err != nil || !cmp.Equal(packed.Manifest.Binaries, want) {
		t.Errorf("the binaries are %v, %v", packed.Manifest.Binaries, err)
	}
	_, err = packages.Pack(t.Context(), "internal/gosource/testdata/platforms", t.TempDir(), both)
	if !errors.Has(err, errors.InvalidPackage) || !strings.Contains(err.Error(), "declares on linux/arm64 differs") {
		t.Errorf("declarations that depend on the platform: %v", err)
	}
}

func BenchmarkPackSource(b *testing.B) {
	for b.Loop() {
		if _, err := packages.Pack(b.Context(), "testdata/hello", b.TempDir(), packages.PackOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// A PowerShell module is packed as it is, and what its manifest says is what the nuspec says.
func TestPackModule(t *testing.T) {
	t.Parallel()
	dir, out := t.TempDir(), t.TempDir()
	for name, content := range map[string]string{
		"Contoso.Pod.psm1": "function Install-Pod { . $PSScriptRoot/parts/more.ps1 }", "parts/more.ps1": "1",
		"Contoso.Pod.psd1": `@{ RootModule = 'Contoso.Pod.psm1'; ModuleVersion = '1.2'; Author = 'A. Author'; CompanyName = 'Contoso'; FunctionsToExport = 'Install-Pod'
			RequiredModules = 'Any', @{ ModuleName = 'Least'; ModuleVersion = '1.0' }, @{ ModuleName = 'Exact'; RequiredVersion = '2.0' },
				@{ ModuleName = 'Between'; ModuleVersion = '1.0'; MaximumVersion = '3.0' }
			PrivateData = @{ PSData = @{ Prerelease = 'preview'; Tags = 'backup', 'pods'; ProjectUri = 'https://example.com' } } }`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	packed, err := packages.Pack(t.Context(), dir, out, packages.PackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(out, "Contoso.Pod.1.2.0-preview.nupkg"); packed.Path != want || len(packed.Manifest.Cmdlets) != 1 {
		t.Errorf("it is %s with %+v, want %s", packed.Path, packed.Manifest, want)
	}
	r, _ := repository(t)
	content, err := os.ReadFile(packed.Path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Push(t.Context(), bytes.NewReader(content), domain.Principal{})
	if err != nil || p.Digest != packed.Digest {
		t.Errorf("pushed it is %+v, %v", p, err)
	}
	want := domain.Spec{Authors: "A. Author", ProjectURL: "https://example.com", Tags: []string{"backup", "pods"}, Dependencies: []domain.Dependency{
		{ID: "Any"}, {ID: "Least", Range: "1.0"}, {ID: "Exact", Range: "[2.0]"}, {ID: "Between", Range: "[1.0,3.0]"},
	}}
	if diff := cmp.Diff(want, p.Spec); diff != "" {
		t.Error(diff)
	}
	if _, err := packages.Pack(t.Context(), dir, out, packages.PackOptions{Platforms: []string{host}}); err == nil || !strings.Contains(err.Error(), "holds a PowerShell module and is packed as it is") {
		t.Errorf("for a platform: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Contoso.Pod.psm1"), []byte("function Get-Other { }"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := packages.Pack(t.Context(), dir, out, packages.PackOptions{}); !errors.Has(err, errors.InvalidPackage) || !strings.Contains(err.Error(), "no cmdlets") {
		t.Errorf("without cmdlets: %v", err)
	}
}
