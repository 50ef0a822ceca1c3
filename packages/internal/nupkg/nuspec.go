package nupkg

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"deps.dev/util/semver"
	"github.com/airlock-run/airlock/internal/domain"
)

// Nuspec is what a package says of itself ("nuspec File Reference", learn.microsoft.com/nuget/reference/nuspec).
type Nuspec struct {
	ID          string
	Version     string
	Description string
	Authors     string // NuGet demands them
	Owners      string // where PowerShell's modules have their company
	ProjectURL  string
	Tags        []string

	Dependencies []domain.Dependency // of all target frameworks together, each id once
}

// namespaces are those of the schemas that NuGet's clients have written over the years. The content that is read here
// is the same in all.
var namespaces = []string{
	"http://schemas.microsoft.com/packaging/2010/07/nuspec.xsd",
	"http://schemas.microsoft.com/packaging/2011/08/nuspec.xsd",
	"http://schemas.microsoft.com/packaging/2011/10/nuspec.xsd",
	"http://schemas.microsoft.com/packaging/2012/06/nuspec.xsd",
	"http://schemas.microsoft.com/packaging/2013/01/nuspec.xsd",
	"http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd",
}

// namespace is the one that is written.
const namespace = "http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"

// readSpec and readMetadata take every element as often as it occurs, so that doubled ones are seen.
type readSpec struct {
	XMLName  xml.Name
	Metadata []readMetadata `xml:"metadata"`
}

type readMetadata struct {
	ID          []string `xml:"id"`
	Version     []string `xml:"version"`
	Description []string `xml:"description"`
	Authors     []string `xml:"authors"`
	Owners      []string `xml:"owners"`
	ProjectURL  []string `xml:"projectUrl"`
	Tags        []string `xml:"tags"`

	Dependencies []readDependencies `xml:"dependencies"`
}

// readDependencies are flat, or since 2011/10 in groups by target framework.
type readDependencies struct {
	Flat   []readDependency `xml:"dependency"`
	Groups []struct {
		Dependencies []readDependency `xml:"dependency"`
	} `xml:"group"`
}

type readDependency struct {
	ID      string `xml:"id,attr"`
	Version string `xml:"version,attr"`
}

// ParseNuspec reads a nuspec. Id and version must be there; what occurs twice is refused.
func ParseNuspec(data []byte) (Nuspec, error) {
	dec := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(string(data), "\ufeff")))
	var spec readSpec
	if err := dec.Decode(&spec); err != nil {
		return Nuspec{}, fmt.Errorf("the nuspec is not well-formed XML in UTF-8: %w", err)
	}
	if err := onlyBlank(dec); err != nil {
		return Nuspec{}, err
	}
	if spec.XMLName.Local != "package" || !slices.Contains(namespaces, spec.XMLName.Space) {
		return Nuspec{}, fmt.Errorf("the nuspec begins with the element %.100q of the namespace %.100q, which is not known", spec.XMLName.Local, spec.XMLName.Space)
	}
	if len(spec.Metadata) != 1 {
		return Nuspec{}, fmt.Errorf("the nuspec has %d elements named metadata, want one", len(spec.Metadata))
	}
	m, n, tags := spec.Metadata[0], Nuspec{}, ""
	for _, e := range []struct {
		name   string
		values []string
		into   *string
		needed bool
	}{
		{"id", m.ID, &n.ID, true}, {"version", m.Version, &n.Version, true}, {"description", m.Description, &n.Description, false},
		{"authors", m.Authors, &n.Authors, false}, {"owners", m.Owners, &n.Owners, false}, {"projectUrl", m.ProjectURL, &n.ProjectURL, false},
		{"tags", m.Tags, &tags, false},
	} {
		if len(e.values) > 1 {
			return Nuspec{}, fmt.Errorf("the nuspec has the element %s %d times", e.name, len(e.values))
		}
		*e.into = strings.TrimSpace(strings.Join(e.values, ""))
		if e.needed && *e.into == "" {
			return Nuspec{}, fmt.Errorf("the nuspec has no %s", e.name)
		}
	}
	if !validID(n.ID) {
		return Nuspec{}, fmt.Errorf("the nuspec has the id %.200q, which %s", n.ID, idRule)
	}
	n.Tags = strings.FieldsFunc(tags, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) // commas are of old clients
	if len(m.Dependencies) > 1 {
		return Nuspec{}, fmt.Errorf("the nuspec has the element dependencies %d times", len(m.Dependencies))
	}
	for _, d := range m.Dependencies {
		var err error
		if n.Dependencies, err = d.read(); err != nil {
			return Nuspec{}, err
		}
	}
	return n, nil
}

// idForm is that of a package's id (NuGet.Packaging, PackageIdValidator), in ASCII.
var idForm = regexp.MustCompile(`^[A-Za-z0-9_]+([.-][A-Za-z0-9_]+)*$`)

const idRule = "is not of letters, digits and '_', joined by single '.' or '-', in at most 100 characters"

func validID(id string) bool { return len(id) <= 100 && idForm.MatchString(id) }

// maxDependencies bounds the dependencies of one package; all of PowerCLI are some 80.
const maxDependencies = 500

// read returns all dependencies, each id once.
func (r readDependencies) read() (all []domain.Dependency, err error) {
	lists := [][]readDependency{r.Flat}
	for _, g := range r.Groups {
		lists = append(lists, g.Dependencies)
	}
	seen := map[string]domain.Dependency{} // by id in lower case
	for _, list := range lists {
		here := map[string]bool{}
		for _, found := range list {
			d := domain.Dependency{ID: strings.TrimSpace(found.ID)}
			if !validID(d.ID) {
				return nil, fmt.Errorf("the nuspec has a dependency with the id %.200q, which %s", d.ID, idRule)
			}
			if d.Range, err = versionRange(found.Version); err != nil {
				return nil, fmt.Errorf("the nuspec's dependency %s: %w", d.ID, err)
			}
			key := strings.ToLower(d.ID)
			before, there := seen[key]
			switch {
			case here[key]:
				return nil, fmt.Errorf("the nuspec has the dependency %s twice", d.ID)
			case there && before.Range != d.Range:
				return nil, fmt.Errorf("the nuspec has the dependency %s with two ranges, %q and %q", d.ID, before.Range, d.Range)
			case !there && len(all) == maxDependencies:
				return nil, fmt.Errorf("the nuspec has more than %d dependencies", maxDependencies)
			case !there:
				all = append(all, d)
			}
			seen[key], here[key] = d, true
		}
	}
	return all, nil
}

// versionForm is a version of NuGet's, which semver.NuGet alone takes in more forms.
var versionForm = regexp.MustCompile(`^[0-9]+(\.[0-9]+){0,3}(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z.-]+)?$`)

func parseVersion(s string) (*semver.Version, error) {
	if !versionForm.MatchString(s) {
		return nil, fmt.Errorf("%.100q is no version", s)
	}
	return semver.NuGet.Parse(s)
}

// versionRange reads a range of versions ("Package versioning", learn.microsoft.com/nuget/concepts/package-versioning)
// and writes it without blanks, "" for any version.
func versionRange(text string) (string, error) {
	s := strings.Join(strings.Fields(text), "")
	wrong := func(why string) (string, error) {
		return "", fmt.Errorf("its version range %.200q %s", text, why)
	}
	if s == "" || s == "(,)" {
		return "", nil
	}
	opened, closed := s[0] == '[' || s[0] == '(', s[len(s)-1] == ']' || s[len(s)-1] == ')'
	if !opened && !closed {
		if _, err := parseVersion(s); err != nil {
			return wrong("is neither a version nor an interval")
		}
		return s, nil
	}
	if !opened || !closed || len(s) < 3 {
		return wrong("is not an interval such as [1.0,2.0)")
	}
	low, high, interval := strings.Cut(s[1:len(s)-1], ",")
	if !interval {
		high = low
	}
	var ends [2]*semver.Version
	for i, end := range []string{low, high} {
		if end == "" && interval {
			continue
		}
		v, err := parseVersion(end)
		if err != nil {
			return wrong("has an end that is no version")
		}
		ends[i] = v
	}
	if ends[0] == nil && ends[1] == nil {
		return "", nil
	}
	exclusive := s[0] == '(' || s[len(s)-1] == ')'
	if ends[0] != nil && ends[1] != nil {
		if c := ends[0].Compare(ends[1]); c > 0 || c == 0 && exclusive {
			return wrong("holds no version")
		}
	}
	return s, nil
}

// onlyBlank reads to the end and refuses everything but white space and comments.
func onlyBlank(dec *xml.Decoder) error {
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the nuspec is not well-formed XML in UTF-8: %w", err)
		}
		switch token := token.(type) {
		case xml.Comment:
		case xml.CharData:
			if strings.TrimSpace(string(token)) != "" {
				return errors.New("the nuspec goes on after its end")
			}
		default:
			return errors.New("the nuspec goes on after its end")
		}
	}
}

type writtenSpec struct {
	XMLName     xml.Name `xml:"package"`
	Namespace   string   `xml:"xmlns,attr"`
	ID          string   `xml:"metadata>id"`
	Version     string   `xml:"metadata>version"`
	Authors     string   `xml:"metadata>authors"`
	Owners      string   `xml:"metadata>owners,omitempty"`
	ProjectURL  string   `xml:"metadata>projectUrl,omitempty"`
	Description string   `xml:"metadata>description"`
	Tags        string   `xml:"metadata>tags,omitempty"`

	Dependencies *writtenDependencies `xml:"metadata>dependencies"`
}

// writtenDependencies are flat, as in PowerShell's modules.
type writtenDependencies struct {
	All []writtenDependency `xml:"dependency"`
}

type writtenDependency struct {
	ID      string `xml:"id,attr"`
	Version string `xml:"version,attr,omitempty"`
}

// Encode writes the nuspec as ParseNuspec reads it.
func (n Nuspec) Encode() ([]byte, error) {
	w := writtenSpec{
		Namespace: namespace, ID: n.ID, Version: n.Version, Authors: n.Authors, Owners: n.Owners,
		ProjectURL: n.ProjectURL, Description: n.Description, Tags: strings.Join(n.Tags, " "),
	}
	for _, d := range n.Dependencies {
		if w.Dependencies == nil {
			w.Dependencies = &writtenDependencies{}
		}
		w.Dependencies.All = append(w.Dependencies.All, writtenDependency{d.ID, d.Range})
	}
	data, err := xml.MarshalIndent(w, "", "  ")
	return append([]byte(xml.Header), append(data, '\n')...), err
}
