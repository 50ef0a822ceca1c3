package cli

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/packages"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// semantics is where the cmdlets are that say what Airlock promises of PowerShell; its README.md explains their lines of "#:".
const semantics = "../examples/powershell-semantics"

// semanticsLibrary is the package that is imported, because another one requires it.
const semanticsLibrary = "Semantics.Library"

// specified is a cmdlet with what is expected of it.
type specified struct {
	name, declares string
	finds          []string // rules that it breaks
	calls          []specifiedCall
	line           int // of its function
}

// specifiedCall is one call of a cmdlet and what it shows.
type specifiedCall struct {
	pkg, cmdlet      string
	line             int
	parameters       []parameter
	from             []string
	records          []record
	anyOrder         bool
	state, code      string
	says             []string
	refused          string
	named, had, kept map[string]string
	gone             []string
	cancelAfter      string
	timeout          string
	isolated         bool
}

// readSemantics reads what a module's file says of its functions.
func readSemantics(t *testing.T, pkg string) (all []specified) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(semantics, pkg, pkg+".psm1"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	var next specified
	for i, text := range lines {
		if said, ok := strings.CutPrefix(text, "#: "); ok {
			if err := next.read(said, lines, i); err != nil {
				t.Fatalf("%s.psm1:%d: %v", pkg, i+1, err)
			}
		} else if name, ok := strings.CutPrefix(text, "function "); ok && len(next.calls) > 0 {
			next.name, _, _ = strings.Cut(name, " ")
			next.line = i + 1
			for c := range next.calls {
				next.calls[c].pkg, next.calls[c].cmdlet = pkg, next.name
			}
			all, next = append(all, next), specified{}
		}
	}
	return all
}

// read reads one line of "#:".
func (s *specified) read(said string, lines []string, at int) error {
	word, rest, _ := strings.Cut(said, " ")
	switch word {
	case "declares":
		s.declares = rest
		return nil
	case "finds":
		s.finds = append(s.finds, rest)
		return nil
	case "call":
		c := specifiedCall{line: at + 1, state: "Succeeded", named: map[string]string{}, had: map[string]string{}, kept: map[string]string{}}
		s.calls = append(s.calls, c)
		return s.calls[len(s.calls)-1].readArguments(rest)
	}
	if len(s.calls) == 0 {
		return fmt.Errorf("%q stands before a call", said)
	}
	return s.calls[len(s.calls)-1].read(word, rest, lines, at)
}

func (c *specifiedCall) read(word, rest string, lines []string, at int) (err error) {
	switch word {
	case "from":
		c.from = strings.Fields(rest)
	case "Output", "Information", "Warning", "Error":
		rest, err = literal(rest)
		c.records = append(c.records, record{Stream: word, Text: rest})
	case "in":
		c.anyOrder = rest == "any order"
	case "ends":
		c.state, c.code, _ = strings.Cut(rest, " ")
		if c.state == "Failed" && c.code == "" {
			c.code = "ScriptFailed"
		}
	case "says":
		here := at + 1 + slices.IndexFunc(lines[at:], func(l string) bool { return strings.HasSuffix(l, "# here") })
		c.says = append(c.says, strings.ReplaceAll(rest, "{here}", fmt.Sprint(here)))
	case "named", "had", "kept":
		name, value, _ := strings.Cut(rest, " = ")
		value, err = literal(value)
		map[string]map[string]string{"named": c.named, "had": c.had, "kept": c.kept}[word][name] = value
	case "gone":
		c.gone = append(c.gone, rest)
	case "refused":
		c.refused = rest
	case "cancel":
		c.cancelAfter = strings.TrimPrefix(rest, "after ")
	case "timeout":
		c.timeout = rest
	case "isolated":
		c.isolated = true
	default:
		err = fmt.Errorf("%q is no word of README.md", word)
	}
	return err
}

// literal is a text as it stands, or as JSON where it begins with a quotation mark.
func literal(text string) (string, error) {
	if !strings.HasPrefix(text, `"`) {
		return text, nil
	}
	err := json.Unmarshal([]byte(text), &text)
	return text, err
}

func (c *specifiedCall) readArguments(text string) error {
	if text == "" {
		return nil
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &given); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		value := string(given[name])
		p := parameter{Name: name, Type: "Value", Value: &value}
		switch value[0] {
		case '"':
			if err := json.Unmarshal(given[name], &value); err != nil {
				return err
			}
		case '{':
			var secure struct{ Secret, User *string }
			if err := json.Unmarshal(given[name], &secure); err != nil {
				return err
			}
			p = parameter{Name: name, Type: "SecureValue", SecureValue: secure.Secret}
			if secure.User != nil {
				p = parameter{Name: name, Type: "Credential", Username: secure.User, Password: secure.Secret}
			}
		}
		c.parameters = append(c.parameters, p)
	}
	return nil
}

// declaration is what `declares` says.
func declaration(c manifest.Cmdlet) string {
	var all []string
	for _, p := range c.Parameters {
		text := p.Name + " " + string(p.Type)
		if p.Required {
			text += " required"
		}
		all = append(all, text)
	}
	if c.TimeoutSeconds != 0 {
		all = append(all, fmt.Sprintf("timeout %d", c.TimeoutSeconds))
	}
	if c.UpdatesSDDC {
		all = append(all, "updates SDDC")
	}
	return strings.Join(all, "; ")
}

// semanticsPackages are the packages of the suite, those that others require first.
func semanticsPackages(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(semantics)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{semanticsLibrary}
	for _, e := range entries {
		if e.IsDir() && e.Name() != semanticsLibrary {
			all = append(all, e.Name())
		}
	}
	return all
}

// pushSemantics puts a package of the suite into a repository.
func pushSemantics(t *testing.T, r *packages.Repository, pkg string) domain.Package {
	t.Helper()
	dir := filepath.Join(semantics, pkg)
	if pkg != semanticsLibrary {
		p, err := r.PushPath(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	packed, err := packages.Pack(t.Context(), dir, t.TempDir(), packages.PackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(packed.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := r.Import(t.Context(), f, domain.Principal{})
	if err == nil {
		p, err = r.Approve(t.Context(), p.Ref(), domain.Principal{}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every module of the suite can be packed and pushed, and the analysis finds in it the cmdlets and the parameters that the
// lines beside them say, and no errors but those.
func TestPowerShellSemanticsDeclared(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	index, err := store.Open(t.Context(), store.Config{Path: filepath.Join(dir, "airlock.db"), Key: seal.NewKey()})
	if err != nil {
		t.Fatal(err)
	}
	defer index.Close()
	r, err := packages.Open(filepath.Join(dir, "packages"), index)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = removeState(filepath.Join(dir, "packages")) }) // layouts are read-only
	known := recordingNames(t)
	cmdlets, calls := 0, 0
	for _, name := range semanticsPackages(t) {
		p := pushSemantics(t, r, name)
		wanted := readSemantics(t, name)
		var names []string
		for _, c := range p.Manifest.Cmdlets {
			names = append(names, c.Name)
			at := slices.IndexFunc(wanted, func(s specified) bool { return s.name == c.Name })
			if at < 0 {
				t.Errorf("%s: nothing is expected of %s", name, c.Name)
				continue
			}
			if got := declaration(c); got != wanted[at].declares {
				t.Errorf("%s: %s declares %q, want %q", name, c.Name, got, wanted[at].declares)
			}
		}
		for _, s := range wanted {
			if !slices.Contains(names, s.name) {
				t.Errorf("%s: %s is expected, and not declared", name, s.name)
			}
			for _, c := range s.calls {
				calls++
				for _, from := range c.from {
					if !known[from] {
						t.Errorf("%s.psm1:%d: there is no recording %s", name, c.line, from)
					}
				}
				for _, r := range c.records {
					if pattern, ok := strings.CutPrefix(r.Text, "~ "); ok {
						regexp.MustCompile(pattern)
					}
				}
			}
		}
		cmdlets += len(wanted)
		checkFindings(t, p, wanted)
	}
	t.Logf("%d cmdlets with %d calls", cmdlets, calls)
	if cmdlets < 60 {
		t.Errorf("there are %d cmdlets, want 60 at least", cmdlets)
	}
}

// checkFindings compares the errors of a review with those that the functions say, each found after its function begins.
func checkFindings(t *testing.T, p domain.Package, wanted []specified) {
	t.Helper()
	found, said := []string{}, []string{}
	for _, f := range p.Findings {
		if f.Severity != domain.SeverityError {
			continue
		}
		in := ""
		for _, s := range wanted {
			if s.line <= f.Line {
				in = s.name
			}
		}
		found = append(found, in+" "+f.Rule)
	}
	for _, s := range wanted {
		for _, rule := range s.finds {
			said = append(said, s.name+" "+rule)
		}
	}
	slices.Sort(found)
	slices.Sort(said)
	if !slices.Equal(found, said) {
		t.Errorf("%s: the review finds the errors %q, want %q", p.Name, found, said)
	}
}

// recordingNames are the names of the recordings of a real PowerShell.
func recordingNames(t *testing.T) map[string]bool {
	t.Helper()
	f, err := os.Open("../executor/internal/psrp/psrptest/testdata/recordings.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	in := bufio.NewScanner(z)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var r struct{ Name string }
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		names[r.Name] = true
	}
	if in.Err() != nil || len(names) == 0 {
		t.Fatalf("%d recordings, %v", len(names), in.Err())
	}
	return names
}
