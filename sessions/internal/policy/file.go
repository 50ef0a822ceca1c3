package policy

import (
	_ "embed"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
)

//go:embed rules.yaml
var shipped []byte

// maxFile bounds a provider's file.
const maxFile = 1 << 20

// airlockUser is the name, after a $, of the user by which Airlock logs in.
const airlockUser = "airlock"

// file is the form of rules.yaml.
type file struct {
	Off   []string            `yaml:"off"` // of a provider's file: shipped rules that do not hold
	Paths []filePath          `yaml:"paths"`
	Names map[string][]string `yaml:"names"`
	Open  fileOpen            `yaml:"open"`
	Rules []rule              `yaml:"rules"`
}

type filePath struct {
	Service Service  `yaml:"service"`
	Path    []string `yaml:"path"`
}

type fileOpen struct {
	SOAP []string `yaml:"soap"`
	REST []string `yaml:"rest"`
}

// rule is an entry under rules: as it is written, and as it is used.
type rule struct {
	Name   string              `yaml:"name"`
	Says   string              `yaml:"says"`
	Path   []string            `yaml:"path"`
	SOAP   []string            `yaml:"soap"`
	REST   []string            `yaml:"rest"`
	Unless []string            `yaml:"unless"`
	ESXCLI []string            `yaml:"esxcli"`
	Where  map[string][]string `yaml:"where"`
	Holds  []string            `yaml:"holds"`
	Check  string              `yaml:"check"`

	path, soap, esxcli matchers
	rest, unless       []request
	where              []condition
}

// condition is an entry of where: a text at one of the places is one of these, or in one of the lists of names.
type condition struct {
	at    [][]string
	texts matcher
	lists []string
}

func newCondition(where string, is []string) (c condition) {
	for at := range strings.SplitSeq(where, "|") {
		c.at = append(c.at, strings.Split(at, "."))
	}
	var texts []string
	for _, text := range is {
		if list, ok := strings.CutPrefix(text, "$"); ok {
			c.lists = append(c.lists, list)
		} else {
			texts = append(texts, text)
		}
	}
	c.texts = glob(texts...)
	return c
}

// always says whether the rule goes by the method alone.
func (r rule) always() bool { return len(r.Where) == 0 && len(r.Holds) == 0 && r.Check == "" }

// opening is a path that is open.
type opening struct {
	path    matchers
	service Service
}

// Shipped is the policy that ships with Airlock.
func Shipped() *Policy {
	p, err := new(Policy).with(shipped)
	if err != nil {
		panic(err) // a test reads it
	}
	return p
}

// Extend adds a provider's file to a policy. Its errors say the line and what is wrong there.
func (p *Policy) Extend(path string) (*Policy, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, err
	}
	p, err = p.with(data)
	if err != nil {
		return nil, fmt.Errorf("%s %w", filepath.Base(path), err)
	}
	return p, nil
}

// with is the policy and a file's entries.
func (p *Policy) with(data []byte) (*Policy, error) {
	var f file
	if err := yaml.UnmarshalWithOptions(data, &f, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("cannot be read: %s", strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	b := builder{data: data, extends: p.rules != nil, p: &Policy{
		paths: slices.Clone(p.paths), open: slices.Clone(p.open), known: slices.Clone(p.known), openREST: slices.Clone(p.openREST),
		rules: slices.Clone(p.rules), names: map[string][]string{}, lists: map[string]matcher{},
	}}
	for name, is := range p.names {
		b.p.names[name] = slices.Clone(is)
	}
	b.build(f)
	if b.err != nil {
		return nil, b.err
	}
	for list, names := range b.p.names {
		var bare []string
		for _, name := range names {
			bare = append(bare, bareName(name))
		}
		b.p.lists[list] = glob(bare...)
	}
	exact := map[string]Service{}
	for _, path := range slices.Concat(slices.Collect(maps.Keys(p.exact)), literals(f.Paths)) {
		if s, no := b.p.Path(&url.URL{Path: path}); no == nil {
			exact[path] = s
		}
	}
	b.p.exact = exact
	return b.p, nil
}

// literals are the paths that are no pattern.
func literals(paths []filePath) (all []string) {
	for _, p := range paths {
		for _, path := range p.Path {
			if !strings.Contains(path, "*") {
				all = append(all, path)
			}
		}
	}
	return all
}

// builder makes a policy of a file, up to the first thing that is wrong.
type builder struct {
	data []byte
	p    *Policy
	err  error

	extends bool // a policy that ships
}

// wrong notes what is wrong with the entry at a path of the file, as yaml.PathString has it.
func (b *builder) wrong(at, format string, args ...any) {
	if b.err != nil {
		return
	}
	line := ""
	if where, err := yaml.PathString("$." + at); err == nil {
		if parsed, err := parser.ParseBytes(b.data, 0); err == nil {
			if node, err := where.FilterFile(parsed); err == nil && node != nil {
				line = fmt.Sprintf("line %d: ", node.GetToken().Position.Line)
			}
		}
	}
	b.err = fmt.Errorf("%s%s %s", line, at, fmt.Sprintf(format, args...))
}

func (b *builder) build(f file) {
	b.off(f.Off)
	for i, path := range f.Paths {
		at := fmt.Sprintf("paths[%d]", i)
		if !slices.Contains(services, path.Service) {
			b.wrong(at+".service", "is one of %s, not %.40q", join(services), path.Service)
		}
		b.p.paths = append(b.p.paths, opening{b.pathGlobs(at+".path", path.Path), path.Service})
	}
	for _, name := range slices.Sorted(maps.Keys(f.Names)) {
		if name == airlockUser {
			b.wrong("names."+name, "is not for a file to say")
		}
		refers := func(r rule) bool {
			return slices.ContainsFunc(slices.Concat(slices.Collect(maps.Values(r.Where))...), func(is string) bool { return is == "$"+name })
		}
		if b.extends && b.p.names[name] == nil && !slices.ContainsFunc(f.Rules, refers) {
			b.wrong("names."+name, "is a list that no rule refers to; there are %s", join(slices.Sorted(maps.Keys(b.p.names))))
		}
		b.p.names[name] = append(b.p.names[name], f.Names[name]...)
	}
	for i, r := range f.Rules {
		b.rule(fmt.Sprintf("rules[%d]", i), r)
	}
	b.open(f.Open)
}

// off takes away shipped rules.
func (b *builder) off(names []string) {
	for i, name := range names {
		had := len(b.p.rules)
		b.p.rules = slices.DeleteFunc(b.p.rules, func(r rule) bool { return r.Name == name })
		if len(b.p.rules) == had {
			b.wrong(fmt.Sprintf("off[%d]", i), "is not the name of a shipped rule: %.60q", name)
		}
	}
}

var (
	ruleName    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)
	soapPattern = regexp.MustCompile(`^(\*|[a-z]+)/[A-Za-z0-9_*]+$`)
)

// rule adds one that refuses.
func (b *builder) rule(at string, r rule) {
	if !ruleName.MatchString(r.Name) {
		b.wrong(at, "needs a name of 1 to 40 lower-case letters, digits and hyphens, not %.60q", r.Name)
	}
	if r.Says == "" {
		b.wrong(at, "needs says, the end of the sentence \"Airlock does not let scripts …\"")
	}
	if len(r.Path)+len(r.SOAP)+len(r.REST)+len(r.ESXCLI) == 0 {
		b.wrong(at, "needs path, soap, rest or esxcli: what it is about")
	}
	if !r.always() && len(r.SOAP) == 0 {
		b.wrong(at, "has where, holds or check, which are for soap alone")
	}
	if _, there := checks[r.Check]; r.Check != "" && !there {
		b.wrong(at+".check", "is one of %s, not %.40q", join(slices.Sorted(maps.Keys(checks))), r.Check)
	}
	for _, where := range slices.Sorted(maps.Keys(r.Where)) {
		if len(r.Where[where]) == 0 {
			b.wrong(at+".where", "says of %s not what it is", where)
		}
		for _, is := range r.Where[where] {
			if name, ok := strings.CutPrefix(is, "$"); ok && name != airlockUser && b.p.names[name] == nil {
				b.wrong(at+".where", "refers to %.40q, which is not among the names", is)
			}
		}
		c := newCondition(where, r.Where[where])
		for _, id := range r.SOAP {
			service, method, _ := strings.Cut(id, "/")
			if of := requestType(Service(service), method); of != nil && !slices.ContainsFunc(c.at, func(at []string) bool { return hasArgument(of, at) }) {
				b.wrong(at+".where", "looks at %s, which %s does not have", where, id)
			}
		}
		r.where = append(r.where, c)
	}
	for i, name := range r.Holds {
		if !isType(name) {
			b.wrong(fmt.Sprintf("%s.holds[%d]", at, i), "is a type of the vSphere API, not %.60q", name)
		}
	}
	r.path = b.pathGlobs(at+".path", r.Path)
	r.soap = b.methods(at+".soap", r.SOAP)
	r.rest, r.unless = b.requests(at+".rest", r.REST), b.requests(at+".unless", r.Unless)
	for _, pattern := range r.ESXCLI {
		r.esxcli = append(r.esxcli, glob(pattern))
	}
	b.p.rules = append(b.p.rules, r)
}

// open adds what may be called. What a rule refuses stays refused, and the file should not pretend otherwise.
func (b *builder) open(o fileOpen) {
	for i, m := range b.methods("open.soap", o.SOAP) {
		service, method, _ := strings.Cut(o.SOAP[i], "/")
		if method == "known" {
			b.p.known = append(b.p.known, Service(service))
			continue
		}
		for _, r := range b.p.rules {
			if r.always() && r.soap.has(o.SOAP[i]) {
				b.wrong(fmt.Sprintf("open.soap[%d]", i), "is refused by the rule %s; name that under off, if it shall not hold", r.Name)
			}
		}
		b.p.open = append(b.p.open, m)
	}
	b.p.openREST = append(b.p.openREST, b.requests("open.rest", o.REST)...)
}

func (b *builder) pathGlobs(at string, patterns []string) (all matchers) {
	for i, pattern := range patterns {
		if !strings.HasPrefix(pattern, "/") {
			b.wrong(fmt.Sprintf("%s[%d]", at, i), "begins with a slash")
		}
		all = append(all, glob(pattern))
	}
	return all
}

func (b *builder) methods(at string, patterns []string) (all matchers) {
	for i, pattern := range patterns {
		service, _, _ := strings.Cut(pattern, "/")
		if !soapPattern.MatchString(pattern) || service != "*" && !Service(service).SOAP() && Service(service) != MOB {
			b.wrong(fmt.Sprintf("%s[%d]", at, i), "is service/Method, the service one of %s, not %.60q",
				join(slices.Sorted(maps.Keys(namespaces))), pattern)
		}
		all = append(all, glob(pattern))
	}
	return all
}

func (b *builder) requests(at string, patterns []string) (all []request) {
	for i, pattern := range patterns {
		r, wrong := parseRequest(pattern)
		if wrong != "" {
			b.wrong(fmt.Sprintf("%s[%d]", at, i), "%s", wrong)
		}
		all = append(all, r)
	}
	return all
}

// services are those that a path can have.
var services = append(slices.Sorted(maps.Keys(namespaces)), Public, REST, API, Content, MOB)

func join[T ~string](all []T) string {
	var b []string
	for _, one := range all {
		b = append(b, string(one))
	}
	return strings.Join(b, ", ")
}

func isType(name string) bool {
	t, found := typeOf(name)
	return found && t.Kind() == reflect.Struct
}
