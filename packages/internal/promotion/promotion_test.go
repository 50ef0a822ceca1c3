package promotion

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/packages/internal/nupkg"
)

const module = `# Made by hand; Prerelease = 'none' here.
@{
	RootModule        = 'P.psm1'
	ModuleVersion     = '1.0.0' # the version
	FunctionsToExport = @('Get-It', "Set-It") <# Prerelease = 'b' #>
	Description = @'
    ModuleVersion = '9'
'@
	PrivateData = @{
		PSData = @{
			Tags       = @('PSModule')
			Prerelease = 'preview'
			ProjectUri = 'https://example.com/#x'
		}
	}
}
`

// pack makes the .nupkg of a module with the manifest.
func pack(t *testing.T, version, manifest string) *nupkg.Archive {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range map[string]string{
		"P.nuspec": "\ufeff" + `<package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata><id>P</id><version>` + version + `</version></metadata></package>`,
		"p.PSD1":   manifest, "P.psm1": "function Get-It {}",
	} {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	a, err := nupkg.Open(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestModules(t *testing.T) {
	t.Parallel()
	const line = "\t\t\tPrerelease = 'preview'\n"
	a := pack(t, "1.0.0-preview", module)
	for name, c := range map[string]struct {
		old, new string
		same     bool
	}{
		"the label is empty":           {"'preview'", "''", true},
		"the label in other quotes":    {"'preview'", `""`, true},
		"the label of another ring":    {"'preview'", "'dev.3'", true},
		"the line is gone":             {line, "", true},
		"the line is another":          {line, "Prerelease='';\n", false},
		"the version":                  {"'1.0.0'", `"1.0"`, true},
		"a signature at the end":       {"\t}\n}\n", "\t}\n}\n\n# SIG # Begin signature block\n# MIIx\n# SIG # End signature block\n", true},
		"code after the end":           {"\t}\n}\n", "\t}\n}\n; @{}\n", false},
		"code after a comment's end":   {"\t}\n}\n", "\t}\n}\n# SIG #\r@{ RootModule = 'Other.psm1' }\n", false},
		"a command as the label":       {"'preview'", "$(Get-It)", false},
		"a variable in the label":      {"'preview'", `"$x"`, false},
		"a command after the label":    {"'preview'", "''; Tags = @()", false},
		"a label that is joined":       {"'preview'", "'' + 'x'", false},
		"a label in a here-string":     {"'preview'", "@'\n'@", false},
		"a label with a line in it":    {"'preview'", "'a\nb'", false},
		"the label elsewhere":          {"RootModule        =", "Prerelease = 'preview'\n\tRootModule        =", false},
		"the comment after a version":  {"# the version", "# The version", false},
		"the comment at the beginning": {"'none'", "'some'", false},
		"a version in a text":          {"ModuleVersion = '9'", "ModuleVersion = '8'", false},
		"a comment within":             {"'b' #>", "'c' #>", false},
		"a fragment in a text":         {"#x'", "#y'", false},
		"another function":             {"Set-It", "Set-At", false},
		"quotes that are not read":     {"'https", "\u2018https", false},
	} {
		changed := strings.Replace(module, c.old, c.new, 1)
		if changed == module {
			t.Fatalf("%s changes nothing", name)
		}
		if why := Differs(a, pack(t, "1.0.0", changed)); (why == nil) != c.same {
			t.Errorf("%s: %v", name, why)
		}
	}
}

// What is written is the same but for its version, and has no label any more.
func TestWrite(t *testing.T) {
	t.Parallel()
	a := pack(t, "1.0.0-preview", module)
	var b bytes.Buffer
	if err := Write(&b, a, "1.0.0"); err != nil {
		t.Fatal(err)
	}
	written, err := nupkg.Open(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if why := Differs(a, written); why != nil || written.Nuspec.Version != "1.0.0" {
		t.Errorf("%s: %v", written.Nuspec.Version, why)
	}
	data, err := written.ReadFile("p.PSD1", maxFile)
	if err != nil || string(data) != strings.Replace(module, "'preview'", "''", 1) {
		t.Errorf("the manifest is %s, %v", data, err)
	}
}

// FuzzReadModule finds no fields but literals, in places that do not overlap, and without them finds the others again.
func FuzzReadModule(f *testing.F) {
	f.Add([]byte(module))
	f.Add([]byte("@{ModuleVersion='1';PrivateData=@{PSData=@{Prerelease=\"\"}}}"))
	f.Add([]byte("@{ModuleVersion=\n'1'`\n}#"))
	f.Add([]byte("@{a=@'\n'@;'ModuleVersion'='1'}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fields := readModule(data)
		for _, s := range fields.version {
			if !moduleVersion.Match(data[s.from:s.to]) {
				t.Errorf("the version is %q", data[s.from:s.to])
			}
		}
		for _, s := range fields.prerelease {
			if !prerelease.Match(data[s.from:s.to]) {
				t.Errorf("the label is %q", data[s.from:s.to])
			}
		}
		all := append(append(append([]span{}, fields.version...), fields.statements...), fields.trailer...)
		if cut := without(data, all); len(cut) > len(data) { // replace panics where spans overlap
			t.Errorf("%q becomes %q", data, cut)
		}
		again := readModule(replace(data, fields.prerelease, "''"))
		if len(again.version) != len(fields.version) || len(again.prerelease) != len(fields.prerelease) {
			t.Errorf("%q: %+v becomes %+v", data, fields, again)
		}
	})
}
