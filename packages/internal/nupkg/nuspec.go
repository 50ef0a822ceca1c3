package nupkg

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Nuspec is what a package says of itself ("nuspec File Reference", learn.microsoft.com/nuget/reference/nuspec).
type Nuspec struct {
	ID          string
	Version     string
	Description string
	Authors     string // NuGet demands them
	Owners      string // where PowerShell's modules have their company
	ProjectURL  string
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
	m, n := spec.Metadata[0], Nuspec{}
	for _, e := range []struct {
		name   string
		values []string
		into   *string
		needed bool
	}{
		{"id", m.ID, &n.ID, true}, {"version", m.Version, &n.Version, true}, {"description", m.Description, &n.Description, false},
		{"authors", m.Authors, &n.Authors, false}, {"owners", m.Owners, &n.Owners, false}, {"projectUrl", m.ProjectURL, &n.ProjectURL, false},
	} {
		if len(e.values) > 1 {
			return Nuspec{}, fmt.Errorf("the nuspec has the element %s %d times", e.name, len(e.values))
		}
		*e.into = strings.TrimSpace(strings.Join(e.values, ""))
		if e.needed && *e.into == "" {
			return Nuspec{}, fmt.Errorf("the nuspec has no %s", e.name)
		}
	}
	return n, nil
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
}

// Encode writes the nuspec as ParseNuspec reads it.
func (n Nuspec) Encode() ([]byte, error) {
	data, err := xml.MarshalIndent(writtenSpec{
		Namespace: namespace, ID: n.ID, Version: n.Version, Authors: n.Authors, Owners: n.Owners,
		ProjectURL: n.ProjectURL, Description: n.Description,
	}, "", "  ")
	return append([]byte(xml.Header), append(data, '\n')...), err
}
