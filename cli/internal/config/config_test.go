package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

const example = "../../../docs/airlock.example.yaml"

// The example that users start from holds every key: what it sets has the defaults, and the rest is right once it is
// not commented out any more.
func TestTheExample(t *testing.T) {
	t.Parallel()
	c, err := Load(example)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Default(), c); d != "" {
		t.Errorf("the example has other values than the defaults (-default +example):\n%s", d)
	}
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`(?m)^#(\s*\S)`).ReplaceAllStringFunc(string(data), func(s string) string {
		if strings.HasPrefix(s, "# ") && !strings.HasPrefix(s, "#  ") { // a sentence
			return s
		}
		return s[1:]
	})
	// Of two keys that exclude each other one is checked, but both have to be known.
	both := Default()
	lines := map[string]int{}
	if err := decode([]byte(all), &both, lines); err != nil {
		t.Fatalf("with all keys set: %v", err)
	}
	c, err = Parse("all", []byte(regexp.MustCompile(`(?m)^  (environment|command): .*$`).ReplaceAllString(all, "")))
	if err != nil {
		t.Fatalf("with all keys set: %v", err)
	}
	if c.Issuers[0].Name != "corp" || c.URL != "https://airlock.example.com:8443" || c.Executor.Node != "airlock-1" {
		t.Errorf("with all keys set it reads %+v", c)
	}
	have := map[string]bool{}
	for key := range lines {
		have[regexp.MustCompile(`\[\d+\]`).ReplaceAllString(key, "[]")] = true
	}
	for _, key := range allKeys(reflect.TypeFor[Config](), "") {
		if !have[key] {
			t.Errorf("the example lacks the key %s", key)
		}
	}
}

func TestWhatIsWrong(t *testing.T) {
	t.Parallel()
	const issuer = "issuers:\n  - name: corp\n    url: https://login.example\n    audiences: [airlock]\n"
	for yaml, want := range map[string]string{
		// unknown keys
		"state: /s\nlimts:\n  memory: 1GiB":   `line 2: there is no key "limts"; the nearest is limits`,
		"limits:\n  memroy: 1GiB":             `line 2: there is no key "limits.memroy"; the nearest is limits.memory`,
		"limits:\n  openfiles: 100":           `line 2: there is no key "limits.openfiles"; the nearest is limits.openFiles`,
		"\n\nopenFiles: 100":                  `line 3: there is no key "openFiles"; the nearest is limits.openFiles`,
		"tls:\n  cert: /x":                    `line 2: there is no key "tls.cert"; there are tls.certificate, tls.key`,
		"masterkey:\n  file: /x":              `line 1: there is no key "masterkey"; the nearest is masterKey`,
		"issuers:\n  - nmae: x":               `line 2: there is no key "issuers[0].nmae"; the nearest is issuers[0].name`,
		"frobnicate: 1":                       `line 1: there is no key "frobnicate"; there are state, listen`,
		"\"\\e[2J\": 1":                       `line 1: there is no key "\x1b[2J"`,
		strings.Repeat("x", 5000) + ": 1":     `line 1: there is no key "xxx`,
		"<<: {state: /x}":                     `line 1: there is no key "<<"`,
		"state: /s\nlimits:\n  threads: &a 9": "line 3: limits.threads is a whole number",

		// not YAML, or not this form
		"state: [":                              "airlock.yaml",
		"state: /a\nstate: /b":                  `line 2: it is not YAML: mapping key "state" already defined`,
		"state: /a\n---\nurl: x":                "more than one document",
		"just text":                             "has keys of its own: state",
		"- a\n- b":                              "has keys of its own: state",
		"limits: 5":                             "line 1: limits has keys of its own: memory",
		"limits:":                               "line 1: limits has keys of its own: memory",
		"issuers: corp":                         "issuers is a list",
		"providers: [[a]]":                      "providers[0] has keys of its own",
		"state: 5":                              "state is text",
		"state: \"\"":                           "state is text",
		"state:":                                "state is text",
		"limits:\n  memory: lots":               "line 2: limits.memory is a number of bytes, such as 512MiB",
		"limits:\n  memory: 1gb":                "limits.memory is a number of bytes",
		"limits:\n  memory: -1":                 "limits.memory is a number of bytes",
		"limits:\n  memory: 1.5GiB":             "limits.memory is a number of bytes",
		"limits:\n  memory: 999999999999999TiB": "limits.memory is a number of bytes",
		"limits:\n  threads: many":              "limits.threads is a whole number",
		"limits:\n  threads: 99999999999999999999": "limits.threads is a whole number",

		// values
		"state: var/lib":                    "line 1: state must be an absolute path",
		"listen: 8443":                      "listen is text",
		"listen: \"8443\"":                  `line 1: listen is host:port, such as 0.0.0.0:8443, not "8443"`,
		"listen: localhost:http":            "listen is host:port",
		"listen: localhost:70000":           "listen is host:port",
		"listen: 0.0.0.0:8443":              "url must say how clients reach the server",
		"listen: \":8443\"":                 "url must say how clients reach the server",
		"url: http://airlock.example":       "line 1: url is https://host or https://host:port",
		"url: https://airlock.example/x":    "url is https://host",
		"url: https://a:b@airlock.example":  "url is https://host",
		"url: https://airlock.example?x=y":  "url is https://host",
		"tls:\n  certificate: /c":           "line 1: tls needs both certificate and key",
		"tls:\n  certificate: c\n  key: /k": "line 2: tls.certificate must be an absolute path",
		"powershell: pwsh":                  `line 1: powershell must be an absolute path, not "pwsh"`,
		"isolation: some":                   `isolation is sandbox or none, not "some"`,
		"executor:\n  concurrency: 0":       "line 2: executor.concurrency is between 1 and 1000, not 0",
		"executor:\n  node: a b":            "executor.node has 1 to 63",
		"limits:\n  memory: 1MiB":           "line 2: limits.memory is at least 67108864 bytes, not 1048576",
		"limits:\n  output: 1":              "limits.output is at least 65536 bytes",
		issuer + "  - name: corp\n    url: https://x\n    audiences: [a]": `line 5: issuers[1].name is wrong: The issuer "corp" cannot be used: another one has the same name`,
		strings.Replace(issuer, "corp", "airlock", 1):                     "line 2: issuers[0].name is wrong",
		strings.Replace(issuer, "https:", "http:", 1):                     "line 3: issuers[0].url is wrong",
		strings.Replace(issuer, "[airlock]", "[]", 1):                     "line 4: issuers[0].audiences is wrong",
		"url: https://login.example\n" + issuer:                           "line 4: issuers[0].url is wrong",
		"issuers:\n  - name: corp\n    url: https://x":                    "issuers[0].audiences is wrong",
		issuer + "    tenant: example.com\n":                              "line 5: issuers[0].tenant is wrong",
		issuer + "    ca: ca.pem\n":                                       "line 5: issuers[0].ca must be an absolute path",
		issuer + "providers: [{id: 'other:x', type: User}]":               "line 5: providers[0].id is the name of an issuer (airlock, token, corp), a colon and an id",
		issuer + "providers: [{id: 'corp:', type: User}]":                 "providers[0].id is the name of an issuer",
		issuer + "providers: [{id: 'corp:x'}]":                            "providers[0].type is User, Group or ServicePrincipal",
		issuer + "providers: [corp]":                                      "line 5: providers[0] has keys of its own: id, type",
		"masterKey:\n  file: /k\n  environment: K":                        "line 1: masterKey is in a file, in the environment or a command's output: name one of them",
		"masterKey:\n  environment: a-b":                                  "masterKey.environment must be the name of a variable",
		"log:\n  level: loud":                                             `log.level is one of debug, info, warn, error, not "loud"`,
		"sessions:\n  policy: p.yaml":                                     "sessions.policy must be an absolute path",
		"audit:\n  file: audit.log":                                       "audit.file must be an absolute path",
	} {
		_, err := Parse("airlock.yaml", []byte(yaml))
		if !errors.Has(err, errors.Usage) || !strings.Contains(errors.For(err, "").Message, want) {
			t.Errorf("%.60q: %v, want %q", yaml, err, want)
		} else if m := errors.For(err, "").Message; !strings.HasPrefix(m, "airlock.yaml") || len(m) > 400 || strings.Count(m, "\n") > 0 {
			t.Errorf("%.60q: not one sentence about the file: %q", yaml, m)
		}
	}
}

func TestWhatIsRight(t *testing.T) {
	t.Parallel()
	c, err := Parse("x", []byte("# nothing\n"))
	if d := cmp.Diff(Default(), c); d != "" || err != nil {
		t.Errorf("an empty file: %v %s", err, d)
	}
	c, err = Parse("x", []byte("listen: '[::]:8443'\nurl: https://airlock.example/\nlimits: {memory: 1 GiB, output: 70000}\nproviders: [{id: 'airlock:1', type: ServicePrincipal}]\n"))
	if err != nil || c.URL != "https://airlock.example" || c.Limits.Memory != 1<<30 || c.Limits.Output != 70_000 || !slices.Equal(c.Providers, []Provider{{"airlock:1", domain.ServicePrincipal}}) {
		t.Errorf("%+v %v", c, err)
	}
	if c.Limits.Threads != Default().Limits.Threads {
		t.Error("a key that is left out has lost its default")
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "airlock.yaml")
	if _, err := Load(path); !errors.Has(err, errors.Usage) || !strings.Contains(err.Error(), path) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("# much\n", 200_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); !errors.Has(err, errors.Usage) || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("a large file: %v", err)
	}
}
