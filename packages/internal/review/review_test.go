package review_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages/internal/powershell"
	"github.com/airlock-run/airlock/packages/internal/review"
	"github.com/airlock-run/airlock/sdk/manifest"
)

const (
	name = "Contoso.Backup"
)

// known is what the repository knows in these tests.
var known = review.Known{
	Management: "8.0.0",
	Previous: &manifest.Manifest{Name: name, Version: "1.4.0", Cmdlets: []manifest.Cmdlet{
		{Name: "Get-Backup", Parameters: []manifest.Parameter{{Name: "Name", Type: manifest.String}}},
	}},
}

var function = regexp.MustCompile(`(?m)^function ([\w-]+)`)

// check reviews a module. One without a manifest gets one that exports all its functions, and asks for an old
// Microsoft.AVS.Management.
func check(t *testing.T, files map[string]string, k review.Known) []domain.ReviewFinding {
	t.Helper()
	fsys := fstest.MapFS{}
	for path, text := range files {
		fsys[path] = &fstest.MapFile{Data: []byte(text)}
	}
	if fsys[name+".psd1"] == nil {
		var exported []string
		for _, m := range function.FindAllStringSubmatch(files[name+".psm1"], -1) {
			exported = append(exported, "'"+m[1]+"'")
		}
		fsys[name+".psd1"] = &fstest.MapFile{Data: fmt.Appendf(nil, `@{
    RootModule = 'Contoso.Backup.psm1'
    ModuleVersion = '1.5.0'
    FunctionsToExport = @(%s)
    RequiredModules = @(@{ ModuleName = 'Microsoft.AVS.Management'; ModuleVersion = '7.0.169' })
    PrivateData = @{ PSData = @{ ProjectUri = 'https://contoso.example' } }
}
`, strings.Join(exported, ", "))}
	}
	m, err := powershell.Read(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	s := review.Subject{Manifest: m.Package(), Spec: m.Manifest.Spec(), Module: m}
	return review.Check(s, k)
}

// places are where findings of a rule are, as FILE:LINE.
func places(findings []domain.ReviewFinding, rule string) []string {
	var all []string
	for _, f := range findings {
		if f.Rule == rule {
			all = append(all, fmt.Sprintf("%s:%d", f.File, f.Line))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// marked are the places of files that bear a mark of the rule: #! id
func marked(files map[string]string, rule string) []string {
	var all []string
	for path, text := range files {
		for i, line := range strings.Split(text, "\n") {
			if strings.HasSuffix(line, "#! "+rule) {
				all = append(all, fmt.Sprintf("%s:%d", path, i+1))
			}
		}
	}
	slices.Sort(all)
	return all
}

// Each rule has a module that trips it, just where it is marked, and one that comes near and does not.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, rule := range review.Rules {
		t.Run(rule.ID, func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(filepath.Join("testdata", "rules", rule.ID+".txtar"))
			if err != nil {
				t.Fatalf("the rule has no module to trip it: %v", err)
			}
			trips, misses := map[string]string{}, map[string]string{}
			for _, f := range archive.Files {
				if path, ok := strings.CutPrefix(f.Name, "trips/"); ok {
					trips[path] = string(f.Data)
				} else if path, ok := strings.CutPrefix(f.Name, "misses/"); ok {
					misses[path] = string(f.Data)
				} else {
					t.Fatalf("%s is neither in trips nor in misses", f.Name)
				}
			}
			want := marked(trips, rule.ID)
			if len(want) == 0 || len(misses) == 0 {
				t.Fatal("a module that trips the rule, with marks, and one that does not are needed")
			}
			found := check(t, trips, known)
			if got := places(found, rule.ID); !slices.Equal(got, want) {
				t.Errorf("found at %v\nwant        %v", got, want)
			}
			for _, f := range found {
				if f.Rule == rule.ID && (f.Severity != rule.Severity || !strings.HasSuffix(f.Message, ".")) {
					t.Errorf("%s %q: the severity has to be the rule's, the message a sentence", f.Severity, f.Message)
				}
			}
			for _, f := range check(t, misses, known) {
				if f.Rule == rule.ID {
					t.Errorf("%s:%d:%d trips it too: %s", f.File, f.Line, f.Column, f.Message)
				}
			}
		})
	}
	files, err := fs.Glob(os.DirFS("testdata/rules"), "*.txtar")
	if err != nil || len(files) != len(review.Rules) {
		t.Errorf("%d files for %d rules, %v", len(files), len(review.Rules), err)
	}
}

var (
	heading = regexp.MustCompile(`(?m)^## (.+)$`)
	snippet = regexp.MustCompile("(?s)```powershell\n(.*?)```")
)

// docs/rules.md has a section for each rule and no other, with its severity, and examples that do what they say.
func TestPage(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	at := heading.FindAllStringSubmatchIndex(page, -1)
	var ids []string
	for i, h := range at {
		end := len(page)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		id := page[h[2]:h[3]]
		ids = append(ids, id)
		j := slices.IndexFunc(review.Rules, func(r review.Rule) bool { return r.ID == id })
		if j < 0 {
			t.Errorf("the page explains %s, which is no rule", id)
			continue
		}
		t.Run(id, func(t *testing.T) { section(t, review.Rules[j], page[h[1]:end]) })
	}
	for i, r := range review.Rules {
		if i >= len(ids) || ids[i] != r.ID {
			t.Errorf("the page lacks %s, or has it in another order", r.ID)
		}
	}
}

func section(t *testing.T, rule review.Rule, text string) {
	text = strings.TrimSpace(text)
	word := map[domain.Severity]string{domain.SeverityError: "**Error.** ", domain.SeverityWarning: "*Warning.* ", domain.SeverityNote: "*Note.* "}[rule.Severity]
	if !strings.HasPrefix(text, word) {
		t.Errorf("it should begin with %s", word)
	}
	examples := snippet.FindAllStringSubmatch(text, -1)
	if len(examples) != 2 {
		t.Fatalf("it has %d examples, want one that trips and one that passes", len(examples))
	}
	for i, e := range examples {
		files := map[string]string{name + ".psm1": e[1]}
		if strings.HasPrefix(e[1], "@{") {
			files = map[string]string{name + ".psd1": e[1], name + ".psm1": "function Get-Backup { 1 }\n"}
		}
		if tripped := len(places(check(t, files, known), rule.ID)) > 0; tripped != (i == 0) {
			t.Errorf("example %d trips the rule: %v", i+1, tripped)
		}
	}
}
