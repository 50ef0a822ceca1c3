package manifest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/airlock-run/airlock/sdk/manifest"
)

func example() manifest.Manifest {
	return manifest.Manifest{
		ManifestVersion: 1, Name: "Contoso.Backup", Version: "1.2.0", Description: "Backs up.", Company: "Contoso", ProjectURI: "https://contoso.test",
		Runtime: manifest.Go, Binaries: map[string]string{"linux/amd64": "bin/linux-amd64/backup"},
		Cmdlets: []manifest.Cmdlet{
			{
				Name: "Start-Backup", Description: "Starts.", TimeoutSeconds: 3600, UpdatesSDDC: true, AutomationOnly: true,
				Parameters: []manifest.Parameter{
					{Name: "Cluster", Description: "which", Type: manifest.String, Required: true},
					{Name: "Key", Type: manifest.SecureString},
				},
			},
			{Name: "preflight-install", Description: "Looks.", Lifecycle: manifest.PreflightInstall, Parameters: []manifest.Parameter{}},
		},
	}
}

func TestManifestComesBack(t *testing.T) {
	t.Parallel()
	data, err := example().Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := manifest.Parse(data)
	if d := cmp.Diff(example(), got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	c, ok := got.Cmdlet("START-backup")
	if p, found := c.Parameter("cluster"); !ok || !found || p.Name != "Cluster" || c.Timeout() != time.Hour {
		t.Errorf("cmdlet %v, parameter %v", c, p)
	}
	if c, _ := got.Cmdlet("preflight-install"); c.Timeout() != manifest.DefaultTimeout {
		t.Errorf("the timeout is %v by default", c.Timeout())
	}
	if _, ok := got.Cmdlet("Stop-Backup"); ok {
		t.Error("a cmdlet that is not there was found")
	}
}

func TestManifestsThatAreRefused(t *testing.T) {
	t.Parallel()
	for says, spoil := range map[string]func(*manifest.Manifest){
		"manifestVersion is 2":             func(m *manifest.Manifest) { m.ManifestVersion = 2 },
		`package name "a b"`:               func(m *manifest.Manifest) { m.Name = "a b" },
		`package name ".a"`:                func(m *manifest.Manifest) { m.Name = ".a" },
		"has no version":                   func(m *manifest.Manifest) { m.Version = "" },
		`runtime "perl"`:                   func(m *manifest.Manifest) { m.Runtime = "perl" },
		"has no cmdlets":                   func(m *manifest.Manifest) { m.Cmdlets = nil },
		"START-BACKUP is there twice":      func(m *manifest.Manifest) { m.Cmdlets = append(m.Cmdlets, manifest.Cmdlet{Name: "START-BACKUP"}) },
		`"Backup" is not of the form Verb`: func(m *manifest.Manifest) { m.Cmdlets[0].Name = "Backup" },
		"the timeout is negative":          func(m *manifest.Manifest) { m.Cmdlets[0].TimeoutSeconds = -1 },
		"3601 s is longer than 1h0m0s":     func(m *manifest.Manifest) { m.Cmdlets[0].TimeoutSeconds = 3601 },
		"18446744074 s is longer than":     func(m *manifest.Manifest) { m.Cmdlets[0].TimeoutSeconds = 18446744074 }, // 0.29 s as a Duration
		"9300000000 s is longer than":      func(m *manifest.Manifest) { m.Cmdlets[0].TimeoutSeconds = 9300000000 },  // and negative
		`lifecycle kind "birth"`:           func(m *manifest.Manifest) { m.Cmdlets[0].Lifecycle = "birth" },
		`parameter name "a-b"`:             func(m *manifest.Manifest) { m.Cmdlets[0].Parameters[0].Name = "a-b" },
		"parameter KEY is there twice": func(m *manifest.Manifest) {
			m.Cmdlets[0].Parameters[0].Name = "key"
			m.Cmdlets[0].Parameters[1].Name = "KEY"
		},
		"description of the package must be": func(m *manifest.Manifest) { m.Description = strings.Repeat("x", 4097) },
		"company of the package must be":     func(m *manifest.Manifest) { m.Company = "a\x1b[2Jb" },
		"description must be at most 4096":   func(m *manifest.Manifest) { m.Cmdlets[0].Description = "a\u009bb" },
		"description of the parameter Key must be": func(m *manifest.Manifest) {
			m.Cmdlets[0].Parameters[0].Name, m.Cmdlets[0].Parameters[0].Description = "Key", "a\x00b"
		},
		`unknown type "Object"`: func(m *manifest.Manifest) { m.Cmdlets[0].Parameters[0].Type = "Object" },
	} {
		m := example()
		spoil(&m)
		if _, err := m.Encode(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want an error that says %q", err, says)
		}
	}
	for says, data := range map[string]string{
		`unknown field "cmdlet"`: `{"manifestVersion":1,"cmdlet":[]}`,
		"after the end":          `{"manifestVersion":1} {}`,
		"something after":        `{"manifestVersion":1}]`,
		"unexpected EOF":         `{"manifestVersion":1`,
	} {
		if _, err := manifest.Parse([]byte(data)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", data, err, says)
		}
	}
}

func TestSecretTypes(t *testing.T) {
	t.Parallel()
	for typ, want := range map[manifest.Type]bool{manifest.String: false, manifest.Int: false, manifest.Float: false, manifest.Bool: false, manifest.SecureString: true, manifest.Credential: true} {
		if typ.Secret() != want {
			t.Errorf("%s: Secret is %v", typ, typ.Secret())
		}
	}
}

// FuzzParse reads whatever bytes; what passes is written and read again as it was.
func FuzzParse(f *testing.F) {
	data, err := example().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"manifestVersion":1,"name":"a","version":"1","runtime":"go","cmdlets":[{"name":"A-b","parameters":null}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := manifest.Parse(data)
		if err != nil {
			return
		}
		again, err := first.Encode()
		if err != nil {
			t.Fatal(err)
		}
		second, err := manifest.Parse(again)
		if d := cmp.Diff(first, second, cmpopts.EquateEmpty()); d != "" || err != nil {
			t.Fatalf("%v\n%s", err, d)
		}
	})
}
