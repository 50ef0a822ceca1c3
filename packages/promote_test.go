package packages_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// of makes the .nupkg of a package in Go with more files, and the nuspec and the manifest changed.
func of(t *testing.T, version string, spec, manifest *strings.Replacer, more ...[2]string) []byte {
	t.Helper()
	same := strings.NewReplacer()
	if spec == nil {
		spec = same
	}
	if manifest == nil {
		manifest = same
	}
	return archive(t, append([][2]string{{"P.nuspec", spec.Replace(nuspecOf("P", version, "L 1.0"))}, {"airlock.json", manifest.Replace(manifestText(t, "P", version))},
		{"bin/program", string(static())}}, more...)...)
}

// A version without a label has the files of the preview that it was tried as. Each way round that is tried.
func TestPromotionByAPush(t *testing.T) {
	t.Parallel()
	docs := [2]string{"docs/a.txt", "text"}
	for name, c := range map[string]struct {
		data []byte
		says string // "" where it is a promotion
	}{
		"the same files":               {of(t, "1.0.0", nil, nil, docs), ""},
		"versions in other words":      {of(t, "1.0", strings.NewReplacer("<version>1.0<", "<version>  1.0.0.0 <"), nil, docs), ""},
		"parts of the packaging":       {of(t, "1.0.0", nil, nil, docs, [2]string{"_rels/.rels", "x"}, [2]string{"package/services/metadata/core-properties/a.psmdcp", "x"}), ""},
		"a file changed":               {of(t, "1.0.0", nil, nil, [2]string{"docs/a.txt", "texT"}), "docs/a.txt has another content"},
		"a file cut":                   {of(t, "1.0.0", nil, nil, [2]string{"docs/a.txt", "tex"}), "docs/a.txt has another content"},
		"a file more":                  {of(t, "1.0.0", nil, nil, docs, [2]string{"b", ""}), "b is new"},
		"a file less":                  {of(t, "1.0.0", nil, nil), "docs/a.txt is missing"},
		"another name":                 {of(t, "1.0.0", nil, nil, [2]string{"Docs/a.txt", "text"}), "docs/a.txt is missing"},
		"the program":                  {of(t, "1.0.0", nil, nil, docs, [2]string{"bin/other", string(static())}), "bin/other is new"},
		"another declaration":          {of(t, "1.0.0", nil, strings.NewReplacer("Get-It", "Get-That"), docs), "airlock.json differs in more than its version"},
		"white space":                  {of(t, "1.0.0", nil, strings.NewReplacer(`"runtime": "go"`, `"runtime":  "go"`), docs), "airlock.json differs in more than its version"},
		"a version in a description":   {of(t, "1.0.0", nil, strings.NewReplacer("of a test", "of 1.0.0"), docs), "airlock.json differs in more than its version"},
		"another range":                {of(t, "1.0.0", strings.NewReplacer(`"L" version="1.0"`, `"L" version="0.9"`), nil, docs), "the nuspec differs in more than its version"},
		"another author":               {of(t, "1.0.0", strings.NewReplacer("<authors>A<", "<authors>B<"), nil, docs), "the nuspec differs in more than its version"},
		"a note in the nuspec":         {of(t, "1.0.0", strings.NewReplacer("<authors>", "<releaseNotes>out</releaseNotes><authors>"), nil, docs), "the nuspec differs in more than its version"},
		"a version beside the version": {of(t, "1.0.0", strings.NewReplacer("</metadata>", "</metadata><version>1</version>"), nil, docs), "the nuspec differs in more than its version"},
		"more numbers":                 {of(t, "1.0.0.1", nil, nil, docs, [2]string{"b", ""}), ""}, // another version: it promotes nothing
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.bring("L", "1.0.0")
			if _, err := b.Push(t.Context(), bytes.NewReader(of(t, "1.0.0-preview", nil, nil, docs)), anna); err != nil {
				t.Fatal(err)
			}
			p, err := b.Push(t.Context(), bytes.NewReader(c.data), anna)
			switch {
			case c.says != "":
				if !errors.Has(err, errors.Conflict) || !strings.Contains(err.Error(), "P@1.0.0 would be what P@1.0.0-preview was tried for, and must have its files: "+c.says) {
					t.Errorf("%v; want %s", err, c.says)
				}
			case err != nil:
				t.Error(err)
			case name == "more numbers" && p.Promotes != "" || name != "more numbers" && p.Promotes != "1.0.0-preview":
				t.Errorf("it promotes %q", p.Promotes)
			case p.Review.State != domain.Submitted || p.Review.By.ID != "":
				t.Errorf("its review is spared: %+v", p.Review)
			}
		})
	}
}

// Which versions bind the one without a label: previews that nobody has rejected, in any order of pushes.
func TestWhatAPromotionIsBoundTo(t *testing.T) {
	t.Parallel()
	pushed := func(b bench, version, content string) (domain.Package, error) {
		return b.Push(t.Context(), bytes.NewReader(of(t, version, nil, nil, [2]string{"content", content})), anna)
	}
	for name, c := range map[string]struct {
		before   string // pushes: version=content, ! after it for one that is then rejected
		version  string
		promotes string // or what the refusal says
	}{
		"dev does not bind":                  {"1.0.0-dev=a", "1.0.0=b", ""},
		"dev is recognised":                  {"1.0.0-dev=a 1.0.0-dev.2=b", "1.0.0=a", "1.0.0-dev"},
		"dev as a preview":                   {"1.0.0-dev=a", "1.0.0-preview=a", "1.0.0-dev"},
		"other content as a preview":         {"1.0.0-dev=a", "1.0.0-preview=b", ""},
		"one of two previews":                {"1.0.0-preview=a 1.0.0-preview2=b", "1.0.0=a", "1.0.0-preview"},
		"none of two":                        {"1.0.0-preview=a 1.0.0-preview2=b", "1.0.0=c", "P@1.0.0-preview2 was tried for"},
		"a preview, before a dev":            {"1.0.0-dev=a 1.0.0-preview=a", "1.0.0=a", "1.0.0-preview"},
		"a dev, past its preview":            {"1.0.0-dev=b 1.0.0-preview=a", "1.0.0=b", "P@1.0.0-preview was tried for"},
		"a rejected one does not bind":       {"1.0.0-preview=a!", "1.0.0=b", ""},
		"a rejected one is recognised":       {"1.0.0-preview=a!", "1.0.0=a", "1.0.0-preview"},
		"a rejected one, past another":       {"1.0.0-preview=a! 1.0.0-preview2=b", "1.0.0=a", "P@1.0.0-preview2 was tried for"},
		"a preview after it":                 {"1.0.0=a", "1.0.0-preview=b", "P@1.0.0 is there already, and nothing comes before it any more"},
		"the same as a preview after it":     {"1.0.0=a", "1.0.0-preview=a", "nothing comes before it any more"},
		"a dev after it":                     {"1.0.0=a", "1.0.0-dev=b", "nothing comes before it any more"},
		"after one that was rejected":        {"1.0.0=a!", "1.0.0-preview=b", "nothing comes before it any more"},
		"the numbers in another form":        {"1.0.0-preview=a", "1=b", "was tried for"},
		"with a fourth number":               {"1.0-preview=a", "1.0.0.0=b", "was tried for"},
		"other numbers":                      {"1.0.1-preview=a", "1.0.0=b", ""},
		"a preview of the same name's other": {"1.1.0-preview=a 1.0.0-preview=b", "1.1.0=b", "P@1.1.0-preview was tried for"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			for _, one := range strings.Fields(c.before) {
				one, reject := strings.CutSuffix(one, "!")
				version, content, _ := strings.Cut(one, "=")
				b.bring("L", "1.0.0")
				p, err := pushed(b, version, content)
				if err == nil && reject {
					_, err = b.Reject(t.Context(), p.Ref(), bert, "no")
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			version, content, _ := strings.Cut(c.version, "=")
			p, err := pushed(b, version, content)
			if err == nil && p.Promotes != c.promotes || err != nil && (!errors.Has(err, errors.Conflict) || c.promotes == "" || !strings.Contains(err.Error(), c.promotes)) {
				t.Errorf("it promotes %q, %v; want %q", p.Promotes, err, c.promotes)
			}
		})
	}
}

// A version of a package does not get round its review, nor round its previews, as a library that another approval brings in.
func TestNoLibraryUnderAPackagesName(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	for _, p := range []domain.Package{b.approve(b.submit("X", "1.0.0")), b.submit("Y", "1.0.0")} {
		got := says(b.Import(ctx, bytes.NewReader(library(t, p.Name, "99.0.0")), anna))
		if !strings.Contains(got, "Conflict: "+p.Name+" is a script package") {
			t.Error(got)
		}
	}
	if q := b.approve(b.submit("Q", "1.0.0", "X 1.0")); locked(q) != "X@1.0.0" {
		t.Errorf("the lock is %s", locked(q))
	}
	if _, err := b.Reject(ctx, "Y@1.0.0", bert, "A mistake."); err != nil {
		t.Fatal(err)
	}
	b.bring("Y", "1.0.1") // the name was taken by mistake
}

// A preview and other content without the label are pushed at the same time: one of them comes too late.
func TestPromotionAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var all sync.WaitGroup
	var first, other error
	all.Go(func() {
		_, first = b.Push(t.Context(), bytes.NewReader(of(t, "1.0.0-preview", nil, nil)), anna)
	})
	all.Go(func() {
		_, other = b.Push(t.Context(), bytes.NewReader(of(t, "1.0.0", nil, nil, [2]string{"more", ""})), anna)
	})
	all.Wait()
	if (first == nil) == (other == nil) || !errors.Has(errors.Join(first, other), errors.Conflict) {
		t.Errorf("the preview: %v; the other: %v", first, other)
	}
}

const module = `# A module.
@{
    RootModule = 'P.psm1'
    ModuleVersion = '1.0.0' # the version
    PrivateData = @{ PSData = @{
        Tags = @('PSModule')
        Prerelease = 'preview'
    } }
}
`

// Promote makes the version without a label itself, also of a signed package of NuGet's and of a module, and its review is
// for somebody who has pushed neither.
func TestPromote(t *testing.T) {
	t.Parallel()
	r, dir := repository(t)
	b := bench{r, t}
	ctx := t.Context()
	carl := domain.Principal{ID: "entra:carl", Type: domain.User}
	b.bring("L", "1.0.0")
	preview, err := b.Push(ctx, bytes.NewReader(of(t, "1.0.0-preview", nil, nil, [2]string{"P.psd1", module}, [2]string{"docs/ä b.txt", "text"},
		[2]string{".signature.p7s", "signed"}, [2]string{"folder/", ""})), anna)
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Promote(ctx, "p@1.0-preview", bert)
	if err != nil {
		t.Fatal(err)
	}
	if p.Ref() != "P@1.0.0" || p.Promotes != "1.0.0-preview" || p.PushedBy != bert || p.Review.State != domain.Submitted || p.Manifest.Version != "1.0.0" {
		t.Errorf("%+v", p)
	}
	again, err := b.Promote(ctx, preview.Ref(), carl)
	if err != nil || again.Digest != p.Digest || again.PushedBy != bert {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	for _, by := range []domain.Principal{anna, bert} {
		if _, err := b.accept(p.Ref(), by); !errors.Has(err, errors.AuthorizationFailed) {
			t.Errorf("%s approves it: %v", by.ID, err)
		}
	}
	if _, err := b.accept(p.Ref(), carl); err != nil {
		t.Error(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "content", p.Digest+".nupkg"))
	if err != nil || bytes.Contains(data, []byte(".signature.p7s")) {
		t.Errorf("the signature of another version is still there, or %v", err)
	}
	for ref, want := range map[string]string{
		"P@1.0.0":     "InvalidRequest: P@1.0.0 has no label",
		"P@2.0.0-dev": "ResourceNotFound",
		"P@1.*":       "InvalidResourceName",
		"L@1.0.0":     "InvalidRequest",
	} {
		if got := says(b.Promote(ctx, ref, anna)); !strings.Contains(got, want) {
			t.Errorf("%s: %s; want %s", ref, got, want)
		}
	}
}

func TestPromoteRefuses(t *testing.T) {
	t.Parallel()
	signed := module + "\n# SIG # Begin signature block\n# MII\n# SIG # End signature block\n"
	for name, c := range map[string]struct{ file, content, says string }{
		"a signed manifest":   {"P.psd1", signed, "P.psd1 is signed"},
		"a catalogue":         {"P.cat", "x", "the catalogue P.cat"},
		"a computed label":    {"P.psd1", strings.Replace(module, "'preview'", "$x", 1), "no Prerelease that can be taken away"},
		"a label elsewhere":   {"P.psd1", "@{ Prerelease = 'preview' }", "no Prerelease that can be taken away"},
		"what is no manifest": {"P.psd1", "@{ PrivateData = @{ PSData = @{ Prerelease = 'preview' ", "no Prerelease that can be taken away"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			p, err := b.Push(t.Context(), bytes.NewReader(of(t, "1.0.0-preview", nil, nil, [2]string{c.file, c.content})), anna)
			if err != nil {
				t.Fatal(err)
			}
			if got := says(b.Promote(t.Context(), p.Ref(), anna)); !strings.Contains(got, "Conflict: P@1.0.0-preview cannot be promoted: ") || !strings.Contains(got, c.says) {
				t.Errorf("%s; want %s", got, c.says)
			}
		})
	}
	b := newBench(t)
	p := b.submit("P", "1.0.0-preview")
	if _, err := b.Reject(t.Context(), p.Ref(), bert, "It leaks."); err != nil {
		t.Fatal(err)
	}
	if got := says(b.Promote(t.Context(), p.Ref(), anna)); got != "Conflict: P@1.0.0-preview was rejected: It leaks." {
		t.Error(got)
	}
}

// A module is promoted by the server, and by its vendor, who empties Prerelease or takes its line away.
func TestPromoteAModule(t *testing.T) {
	t.Parallel()
	const line = "        Prerelease = 'preview'\n"
	preview := strings.Replace(module, "ModuleVersion", "FunctionsToExport = 'Get-It'\n    ModuleVersion", 1)
	of := func(version, manifest string) []byte {
		return archive(t, [2]string{"P.nuspec", nuspecOf("P", version)}, [2]string{"P.psd1", manifest},
			[2]string{"P.psm1", "function Get-It { [CmdletBinding()] [AVSAttribute(10)] param() 'it' }"})
	}
	ways := map[string]func(b bench) (domain.Package, error){
		"by the server": func(b bench) (domain.Package, error) { return b.Promote(t.Context(), "P@1.0.0-preview", anna) },
		"emptied": func(b bench) (domain.Package, error) {
			return b.Push(t.Context(), bytes.NewReader(of("1.0.0", strings.Replace(preview, "'preview'", "''", 1))), anna)
		},
		"taken away": func(b bench) (domain.Package, error) {
			return b.Push(t.Context(), bytes.NewReader(of("1.0.0", strings.Replace(preview, line, "", 1))), anna)
		},
	}
	for name, promote := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if _, err := b.Push(t.Context(), bytes.NewReader(of("1.0.0-preview", preview)), anna); err != nil {
				t.Fatal(err)
			}
			// The label in one place only is neither version.
			for version, manifest := range map[string]string{"1.0.0": preview, "1.0.0-preview2": preview, "1.1.0-preview": strings.Replace(preview, line, "", 1)} {
				if _, err := b.Push(t.Context(), bytes.NewReader(of(version, manifest)), anna); !errors.Has(err, errors.InvalidPackage) {
					t.Errorf("a nuspec of %s: %v", version, err)
				}
			}
			if p, err := promote(b); err != nil || p.Ref() != "P@1.0.0" || p.Promotes != "1.0.0-preview" || p.Manifest.Version != "1.0.0" {
				t.Errorf("%s promotes %q, %v", p.Ref(), p.Promotes, err)
			}
		})
	}
}
