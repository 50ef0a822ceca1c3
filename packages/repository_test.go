package packages_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages"
	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/google/go-cmp/cmp"
)

// push pushes a package that is sound.
func push(t *testing.T, r *packages.Repository, name, version string) domain.Package {
	t.Helper()
	p, err := r.PushPath(t.Context(), directory(t, declared(name, version), nil))
	if err != nil {
		t.Fatalf("pushing %s %s: %v", name, version, err)
	}
	return p
}

// files lists what lies in a directory, with sizes.
func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		list = append(list, fmt.Sprint(p, " ", info.Size()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestPush(t *testing.T) {
	t.Parallel()
	r, dir := repository(t)
	source := directory(t, declared("Contoso.Tools", "1.2"), map[string]string{"docs/read.me": "text"})
	packed, err := packages.Pack(t.Context(), source, t.TempDir(), packages.PackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.PushPath(t.Context(), packed.Path)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(packed.Path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	found, err := packages.Check(t.Context(), packed.Path, "")
	if err != nil || len(found) == 0 {
		t.Fatal(found, err)
	}
	want := domain.Package{Name: "Contoso.Tools", Version: "1.2.0", Findings: found, Digest: hex.EncodeToString(sum[:]), Size: int64(len(data)), Pushed: p.Pushed,
		Review: domain.Review{State: domain.Approved, Time: p.Review.Time}, Manifest: declared("Contoso.Tools", "1.2"), Spec: domain.Spec{Authors: "Contoso.Tools", Description: "of a test", Tags: []string{}}}
	if diff := cmp.Diff(want, p); diff != "" || p.Pushed.IsZero() {
		t.Error(diff, p.Pushed)
	}
	before := files(t, dir)
	for name, again := range map[string]func() (domain.Package, error){
		"its file":      func() (domain.Package, error) { return r.PushPath(t.Context(), packed.Path) },
		"its bytes":     func() (domain.Package, error) { return r.Push(t.Context(), bytes.NewReader(data), domain.Principal{}) },
		"its directory": func() (domain.Package, error) { return r.PushPath(t.Context(), source) },
	} {
		if got, err := again(); err != nil || !cmp.Equal(got, p) {
			t.Errorf("%s again: %+v, %v", name, got, err)
		}
	}
	if after := files(t, dir); !slices.Equal(before, after) {
		t.Errorf("the same again changed %v to %v", before, after)
	}
	if len(before) != 4 { // the .nupkg, and laid out its manifest, its program and its document
		t.Errorf("the repository holds %v", before)
	}
	if kept, err := os.ReadFile(filepath.Join(dir, "content", p.Digest+".nupkg")); err != nil || !bytes.Equal(kept, data) {
		t.Errorf("the content is kept as %d bytes, %v", len(kept), err)
	}
}

func TestPushConflict(t *testing.T) {
	t.Parallel()
	r, dir := repository(t)
	push(t, r, "Contoso.Tools", "1.2")
	before := files(t, dir)
	_, err := r.PushPath(t.Context(), directory(t, declared("contoso.tools", "1.2.0.0"), nil))
	if !errors.Has(err, errors.Conflict) || !strings.Contains(err.Error(), "Contoso.Tools@1.2.0 is there already") {
		t.Errorf("other content for a version that is there: %v", err)
	}
	if after := files(t, dir); !slices.Equal(before, after) {
		t.Errorf("a refused push changed %v to %v", before, after)
	}
	p := push(t, r, "CONTOSO.tools", "1.3")
	if p.Name != "Contoso.Tools" {
		t.Errorf("the name is %s, want it in the case of the first push", p.Name)
	}
}

func TestPushRefuses(t *testing.T) {
	t.Parallel()
	r, dir := repository(t)
	text := func(m manifest.Manifest) string {
		data, err := json.Marshal(m) // as it is, also where it is not sound
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	// of makes the .nupkg of a manifest, with a program and a nuspec that agrees.
	of := func(change func(m *manifest.Manifest), more ...[2]string) []byte {
		m := declared("P", "1.0.0")
		change(&m)
		nuspec := strings.NewReplacer("ID", m.Name, "VERSION", m.Version).Replace(nuspecForm)
		return archive(t, append([][2]string{{"P.nuspec", nuspec}, {manifest.File, text(m)}, {"bin/program", string(static())}}, more...)...)
	}
	// with makes the .nupkg of a sound manifest with another program.
	with := func(program []byte) []byte {
		return archive(t, [2]string{"P.nuspec", strings.NewReplacer("ID", "P", "VERSION", "1.0.0").Replace(nuspecForm)},
			[2]string{manifest.File, text(declared("P", "1.0.0"))}, [2]string{"bin/program", string(program)})
	}
	sound := of(func(*manifest.Manifest) {})
	flipped := bytes.Clone(sound)
	flipped[bytes.Index(flipped, []byte("bin/program"))+30] ^= 0xff
	other := elf.EM_X86_64
	if hostMachine == other {
		other = elf.EM_AARCH64
	}
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"no zip":             {[]byte("hello"), "no zip archive"},
		"truncated":          {sound[:len(sound)-30], "no zip archive"},
		"flipped":            {flipped, `"bin/program"`},
		"traversal":          {of(func(*manifest.Manifest) {}, [2]string{"../../x", "x"}), `"../../x"`},
		"no nuspec":          {archive(t, [2]string{manifest.File, "{}"}), "no nuspec"},
		"no manifest":        {archive(t, [2]string{"P.nuspec", nuspecForm}, [2]string{"P.psd1", ""}), "airlock package pack"},
		"manifest is broken": {archive(t, [2]string{"P.nuspec", nuspecForm}, [2]string{manifest.File, "{"}), manifest.File},
		"two manifests":      {of(func(*manifest.Manifest) {}, [2]string{"AIRLOCK.json", ""}), "differ by case"},
		"another name": {archive(t, [2]string{"P.nuspec", strings.NewReplacer("ID", "Q", "VERSION", "1.0.0").Replace(nuspecForm)},
			[2]string{manifest.File, text(declared("P", "1.0.0"))}), `names it "Q"`},
		"another version": {archive(t, [2]string{"P.nuspec", strings.NewReplacer("ID", "P", "VERSION", "1.0.1").Replace(nuspecForm)},
			[2]string{manifest.File, text(declared("P", "1.0.0"))}), `the version "1.0.1"`},
		"Airlock's own":      {of(func(m *manifest.Manifest) { m.Name = "Airlock" }), "no package can be called Airlock"},
		"label":              {of(func(m *manifest.Manifest) { m.Version = "1.0.0-beta" }), "-dev or -preview"},
		"no version":         {of(func(m *manifest.Manifest) { m.Version = "latest" }), `"latest"`},
		"timeout":            {of(func(m *manifest.Manifest) { m.Cmdlets[0].TimeoutSeconds = 3601 }), "longer than 1h0m0s"},
		"no cmdlets":         {of(func(m *manifest.Manifest) { m.Cmdlets = nil }), "no cmdlets"},
		"runtime":            {of(func(m *manifest.Manifest) { m.Runtime = "python" }), `"python"`},
		"no binaries":        {of(func(m *manifest.Manifest) { m.Binaries = nil }), "no binary for " + host},
		"not for here":       {of(func(m *manifest.Manifest) { m.Binaries = map[string]string{"linux/riscv64": "bin/program"} }), "no binary for " + host},
		"unknown platform":   {of(func(m *manifest.Manifest) { m.Binaries["plan9/386"] = "bin/program" }), `"plan9/386" is not known`},
		"binary is missing":  {of(func(m *manifest.Manifest) { m.Binaries[host] = "bin/none" }), "bin/none for " + host + " is missing"},
		"binary is outside":  {of(func(m *manifest.Manifest) { m.Binaries[host] = "../../../../../../bin/sh" }), "leads out of the package"},
		"binary is a path":   {of(func(m *manifest.Manifest) { m.Binaries[host] = "/bin/sh" }), "leads out of the package"},
		"binary is a folder": {of(func(m *manifest.Manifest) { m.Binaries[host] = "bin" }), "no regular file"},
		"script":             {with([]byte("#!/bin/sh\n")), "no ELF executable"},
		"empty":              {with(nil), "no ELF executable"},
		"cut short":          {with(static()[:80]), "no ELF executable"},
		"dynamic":            {with(program(hostMachine, elf.ET_DYN, elf.PT_LOAD, elf.PT_INTERP)), "CGO_ENABLED=0"},
		"another machine":    {with(program(other, elf.ET_EXEC, elf.PT_LOAD)), "another machine"},
		"object file":        {with(program(hostMachine, elf.ET_REL)), "no executable"},
		"bomb":               {of(func(*manifest.Manifest) {}, [2]string{"zeros", strings.Repeat("\x00", 2<<20)}), "times its size"},
		"link":               {linked(t), "is no regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Push(t.Context(), bytes.NewReader(c.data), domain.Principal{})
			var e *errors.Error
			if !errors.As(err, &e) || e.Code != errors.InvalidPackage || !strings.Contains(e.Message, c.says) {
				t.Errorf("%v; want InvalidPackage with %q", err, c.says)
			}
			if e != nil && strings.Contains(e.Message, dir) {
				t.Errorf("the message names a path of the server: %s", e.Message)
			}
			if left := files(t, dir); len(left) > 0 {
				t.Fatalf("it left %v", left)
			}
		})
	}
	if list, err := r.List(t.Context(), domain.PrivateCloud{}, true); err != nil || len(list) > 0 {
		t.Errorf("the repository lists %v, %v", list, err)
	}
	if _, err := r.Push(t.Context(), bytes.NewReader(sound), domain.Principal{}); err != nil {
		t.Error("what the others were made of is refused itself:", err)
	}
}

func TestPushBrokenOff(t *testing.T) {
	t.Parallel()
	r, dir := repository(t)
	half := io.MultiReader(strings.NewReader("PK\x03\x04"), iotest.ErrReader(errors.New("connection reset")))
	if _, err := r.Push(t.Context(), half, domain.Principal{}); !errors.Has(err, errors.InvalidPackage) || !strings.Contains(err.Error(), "did not arrive") {
		t.Errorf("a push that broke off: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Push(ctx, strings.NewReader("PK"), domain.Principal{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
	if _, err := r.PushPath(t.Context(), filepath.Join(dir, "none")); !errors.Has(err, errors.InvalidPackage) {
		t.Errorf("a file that is not there: %v", err)
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("%v was left", left)
	}
}

// TestPushAtOnce pushes the same and other packages side by side.
func TestPushAtOnce(t *testing.T) {
	t.Parallel()
	r, dir := repository(t)
	var sources []string
	for _, name := range []string{"A", "B", "C"} {
		sources = append(sources, directory(t, declared(name, "1.0.0"), nil))
	}
	rival := directory(t, declared("A", "1.0.0"), map[string]string{"other": "content"})
	var all sync.WaitGroup
	var mu sync.Mutex
	won := map[string]int{}
	for range 3 {
		for _, source := range append(sources, rival) {
			all.Go(func() {
				p, err := r.PushPath(t.Context(), source)
				if err != nil && !errors.Has(err, errors.Conflict) {
					t.Error(err)
				}
				if err == nil {
					if _, err := r.Layout(t.Context(), p.Digest); err != nil {
						t.Error(err)
					}
					mu.Lock()
					won[p.Digest]++
					mu.Unlock()
				}
			})
		}
	}
	all.Wait()
	if len(won) != 3 {
		t.Errorf("%d packages were pushed, want one for each of the three versions", len(won))
	}
	if content, _ := os.ReadDir(filepath.Join(dir, "content")); len(content) != 3 {
		t.Errorf("the repository holds %v", content)
	}
}

func TestLayout(t *testing.T) {
	t.Parallel()
	r, dir := repository(t)
	p := push(t, r, "P", "1.0.0")
	laid, err := r.Layout(t.Context(), p.Digest)
	if err != nil || laid != filepath.Join(dir, "layout", p.Digest) {
		t.Fatalf("%s, %v", laid, err)
	}
	sound := func() {
		t.Helper()
		for name, mode := range map[string]fs.FileMode{".": fs.ModeDir | 0o555, manifest.File: 0o444, "bin": fs.ModeDir | 0o555, "bin/program": 0o555} {
			if info, err := os.Lstat(filepath.Join(laid, name)); err != nil || info.Mode() != mode {
				t.Errorf("%s: %v, %v; want the mode %v", name, info, err, mode)
			}
		}
		if data, err := os.ReadFile(filepath.Join(laid, "bin/program")); err != nil || !bytes.Equal(data, static()) {
			t.Errorf("the program has %d bytes, %v", len(data), err)
		}
	}
	sound()
	for name, spoil := range map[string]func() error{
		"gone": func() error {
			return errors.Join(os.Chmod(filepath.Join(laid, "bin"), 0o755), os.Chmod(laid, 0o755), os.RemoveAll(laid))
		},
		"changed": func() error {
			path := filepath.Join(laid, "bin/program")
			return errors.Join(os.Chmod(path, 0o755), os.WriteFile(path, bytes.Repeat([]byte("x"), len(static())), 0), os.Chmod(path, 0o555))
		},
		"changed, and its time put back": func() error {
			path := filepath.Join(laid, "bin/program")
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return errors.Join(os.Chmod(path, 0o755), os.WriteFile(path, bytes.Repeat([]byte("x"), len(static())), 0), os.Chmod(path, info.Mode()),
				os.Chtimes(path, info.ModTime(), info.ModTime()))
		},
		"half": func() error { return errors.Join(os.Chmod(laid, 0o755), os.Remove(filepath.Join(laid, manifest.File))) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Layout(t.Context(), p.Digest); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		sound()
	}
	for _, digest := range []string{"", "..", strings.Repeat("0", 64), strings.ToUpper(p.Digest)} {
		if got, err := r.Layout(t.Context(), digest); !errors.Has(err, errors.ResourceNotFound) {
			t.Errorf("%q: %s, %v; want ResourceNotFound", digest, got, err)
		}
	}
}

func TestLayoutOfDamagedContent(t *testing.T) {
	t.Parallel()
	r, dir := repository(t)
	source := directory(t, declared("P", "1.0.0"), map[string]string{"stored": strings.Repeat("text ", 100)})
	p, err := r.PushPath(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	content, laid := filepath.Join(dir, "content", p.Digest+".nupkg"), filepath.Join(dir, "layout", p.Digest)
	data, err := os.ReadFile(content)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() error{
		"another digest": func() error {
			return os.WriteFile(content, append(bytes.Clone(data[:len(data)-2]), 1, 0, 'x'), 0o600) // with a zip comment
		},
		"truncated": func() error { return os.Truncate(content, 50) },
		"gone":      func() error { return os.Remove(content) },
	} {
		if err := errors.Join(os.Chmod(laid, 0o755), os.Remove(filepath.Join(laid, "stored")), spoil()); err != nil {
			t.Fatal(name, err)
		}
		var e *errors.Error
		if _, err := r.Layout(t.Context(), p.Digest); !errors.As(err, &e) || e.Code != errors.ServiceUnavailable || !strings.Contains(e.Message, "Push the same package again") {
			t.Errorf("%s: %v", name, err)
		}
		if again, err := r.PushPath(t.Context(), source); err != nil || again.Digest != p.Digest { // mends it
			t.Errorf("%s: pushed again: %v", name, err)
		}
		if _, err := r.Layout(t.Context(), p.Digest); err != nil {
			t.Errorf("%s: mended: %v", name, err)
		}
	}
}

func TestOpenRemovesWhatACrashLeft(t *testing.T) {
	t.Parallel()
	r, dir := repository(t)
	p := push(t, r, "P", "1.0.0")
	before := files(t, dir)
	half := filepath.Join(dir, "layout", ".tmp-1", "bin")
	if err := errors.Join(os.MkdirAll(half, 0o755), os.WriteFile(filepath.Join(half, "program"), nil, 0o555), os.Chmod(half, 0o555),
		os.WriteFile(filepath.Join(dir, "content", ".tmp-2"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := packages.Open(dir, nil); err != nil {
		t.Fatal(err)
	}
	if after := files(t, dir); !slices.Equal(before, after) {
		t.Errorf("the repository holds %v, want %v", after, before)
	}
	if _, err := r.Layout(t.Context(), p.Digest); err != nil {
		t.Error(err)
	}
}

// TestLayoutAfterARestart changes a package and its layout alike while no repository is open.
func TestLayoutAfterARestart(t *testing.T) {
	t.Parallel()
	r, dir := repository(t)
	p := push(t, r, "P", "1.0.0")
	laid, content := filepath.Join(dir, "layout", p.Digest), filepath.Join(dir, "content", p.Digest+".nupkg")
	rival, err := packages.Pack(t.Context(), directory(t, declared("P", "1.0.0"), map[string]string{"bin/program": string(static()) + "x"}), t.TempDir(), packages.PackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(rival.Path)
	program := filepath.Join(laid, "bin/program")
	info, statErr := os.Stat(program)
	if err := errors.Join(err, statErr, os.WriteFile(content, data, 0o600), os.Chmod(program, 0o755), os.WriteFile(program, append(static(), 'x'), 0),
		os.Chmod(program, 0o555), os.Chtimes(program, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Layout(t.Context(), p.Digest); !errors.Has(err, errors.ServiceUnavailable) || !strings.Contains(err.Error(), "is damaged in the repository") {
		t.Errorf("%s, %v; want an error that says what is damaged", got, err)
	}
}

func TestLayoutIsReadOnceOnly(t *testing.T) {
	t.Parallel()
	r, dir := repository(t)
	p := push(t, r, "P", "1.0.0")
	laid, err := r.Layout(t.Context(), p.Digest)
	if err := errors.Join(err, os.Remove(filepath.Join(dir, "content", p.Digest+".nupkg"))); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Layout(t.Context(), p.Digest); err != nil {
		t.Errorf("a layout that nobody touched was read again: %v", err)
	}
	if err := os.Chtimes(filepath.Join(laid, "bin/program"), time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Layout(t.Context(), p.Digest); !errors.Has(err, errors.ServiceUnavailable) {
		t.Errorf("a layout that somebody touched: %v; want the error of a package whose content is gone", err)
	}
}

func TestOpenInADirectoryOfAnyName(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state [a-")
	left := filepath.Join(dir, "content", ".tmp-1")
	if err := errors.Join(os.MkdirAll(filepath.Dir(left), 0o700), os.WriteFile(left, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := packages.Open(dir, nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a crash left is still there: %v", err)
	}
}

func TestOpenRefusesADirectoryOpenToOthers(t *testing.T) {
	t.Parallel()
	for _, sub := range []string{".", "content", "layout"} {
		dir := filepath.Join(t.TempDir(), "packages")
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, sub), 0o700), os.Chmod(filepath.Join(dir, sub), 0o777)); err != nil {
			t.Fatal(err)
		}
		if _, err := packages.Open(dir, nil); !errors.Has(err, errors.Usage) || !strings.Contains(err.Error(), "chmod go=") {
			t.Errorf("%s: %v; want an error that says what to do", sub, err)
		}
	}
}

func TestListAndResolve(t *testing.T) {
	t.Parallel()
	r, _ := repository(t)
	cloud := domain.PrivateCloud{}
	resolve := func(ref string) string {
		p, err := r.Resolve(t.Context(), cloud, ref)
		if err != nil {
			return err.Error()
		}
		return p.Ref()
	}
	if got := resolve("Zebra@1.*"); !strings.Contains(got, "ResourceNotFound") || !strings.Contains(got, "push one first") {
		t.Errorf("in an empty repository: %s", got)
	}
	for _, version := range []string{"1.2.0", "1.10", "1.9.0", "2.0.0-dev", "2.0.0-preview2", "1.9.0.5"} {
		push(t, r, "Zebra", version)
	}
	push(t, r, "apple", "0.1.0")
	push(t, r, "Only.Dev", "1.0.0-dev.1")

	refs := func(all bool) (refs []string) {
		list, err := r.List(t.Context(), cloud, all)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list {
			refs = append(refs, p.Ref())
		}
		return refs
	}
	if got, want := refs(false), strings.Fields("apple@0.1.0 Zebra@1.10.0"); !slices.Equal(got, want) {
		t.Errorf("the highest are %v, want %v", got, want)
	}
	if got, want := refs(true), strings.Fields("apple@0.1.0 Zebra@1.10.0 Zebra@1.9.0.5 Zebra@1.9.0 Zebra@1.2.0"); !slices.Equal(got, want) {
		t.Errorf("all are %v, want %v", got, want)
	}
	for ref, want := range map[string]string{
		"Zebra@1.2.0":          "Zebra@1.2.0",
		"zebra@1.2":            "Zebra@1.2.0",
		"ZEBRA@1.2.0.0":        "Zebra@1.2.0",
		"Zebra@1.*":            "Zebra@1.10.0",
		"Zebra@1.9.*":          "Zebra@1.9.0.5",
		"Zebra@*":              "Zebra@1.10.0",
		"Zebra":                "Zebra@1.10.0",
		"APPLE":                "apple@0.1.0",
		"Zebra@2.0.0-preview2": "PackageNotAllowed: Zebra@2.0.0-preview2 is a version of the preview ring",
		"Zebra@2.0-dev":        "PackageNotAllowed: Zebra@2.0.0-dev is a version of the dev ring",
		"Zebra@2.*":            "ResourceNotFound: There is no script package Zebra@2.*: the versions of Zebra are 1.10.0, 1.9.0.5, 1.9.0, 1.2.0.",
		"Zebra@1.2.1":          "the versions of Zebra are 1.10.0",
		"Zebr@1.2.0":           "ResourceNotFound: There is no script package Zebr@1.2.0: there are apple@0.1.0, Zebra@1.10.0.",
		"Only.Dev@*":           "ResourceNotFound",
		"Only.Dev@1.0.0-dev.1": "PackageNotAllowed",
		"Zebra@1.2.0-beta":     "InvalidResourceName",
		"Zebra@latest":         "InvalidResourceName",
		"../Zebra@1.2.0":       "InvalidResourceName",
	} {
		if got := resolve(ref); !strings.Contains(got, want) {
			t.Errorf("%s: %s; want %s", ref, got, want)
		}
	}
}

// Who has opened a ring to a private cloud sees its versions, and names them: a pattern means the general ring.
func TestRings(t *testing.T) {
	t.Parallel()
	r, _ := repository(t)
	for _, version := range []string{"1.0.0", "2.0.0-dev", "2.0.0-preview2", "2.0.0-preview"} {
		push(t, r, "Zebra", version)
	}
	for _, c := range []struct {
		cloud              domain.PrivateCloud
		list, dev, preview string
	}{
		{domain.PrivateCloud{}, "1.0.0", "provider sets its dev flag", "registers the feature Microsoft.AVS/scriptingPreview"},
		{domain.PrivateCloud{Dev: true}, "2.0.0-dev 1.0.0", "2.0.0-dev", "registers the feature Microsoft.AVS/scriptingPreview"},
		{domain.PrivateCloud{Preview: true}, "2.0.0-preview2 1.0.0", "provider sets its dev flag", "2.0.0-preview"},
		{domain.PrivateCloud{Dev: true, Preview: true}, "2.0.0-preview2 2.0.0-dev 1.0.0", "2.0.0-dev", "2.0.0-preview"},
	} {
		list, err := r.List(t.Context(), c.cloud, false)
		if err != nil {
			t.Fatal(err)
		}
		var versions []string
		for _, p := range list {
			versions = append(versions, p.Version)
		}
		if got := strings.Join(versions, " "); got != c.list {
			t.Errorf("%+v has %s, want %s", c.cloud, got, c.list)
		}
		for ref, want := range map[string]string{"Zebra@2.0.0-dev": c.dev, "Zebra@2.0.0-preview": c.preview, "Zebra@*": "1.0.0", "Zebra@2.*": "ResourceNotFound"} {
			p, err := r.Resolve(t.Context(), c.cloud, ref)
			if err != nil && !strings.Contains(err.Error(), want) || err == nil && p.Version != want {
				t.Errorf("dev %v, preview %v: %s is %s, %v", c.cloud.Dev, c.cloud.Preview, ref, p.Version, err)
			}
		}
	}
}

// TestPushOnAFullDisk needs root for its small file system.
func TestPushOnAFullDisk(t *testing.T) {
	t.Parallel()
	r, dir := repository(t)
	for _, sub := range []string{"content", "layout"} { // the layout needs more than the content
		mount := filepath.Join(dir, sub)
		if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
			t.Skip("a tmpfs cannot be mounted here:", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(mount, syscall.MNT_DETACH) })
	}
	source := directory(t, declared("P", "1.0.0"), map[string]string{"big": strings.Repeat("text of a file ", 10_000)})
	if _, err := r.PushPath(t.Context(), source); !errors.Has(err, errors.ServiceUnavailable) || !strings.Contains(err.Error(), "disk of the package repository is full") {
		t.Errorf("%v; want ServiceUnavailable that names the disk", err)
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("%v was left", left)
	}
	push(t, r, "P", "1.0.0") // a smaller one fits
}
