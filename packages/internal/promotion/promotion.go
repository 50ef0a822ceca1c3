// Package promotion says whether two versions of a package are the same but for their versions, and makes such a one.
//
// The version of a package stands in its nuspec, and in its airlock.json or the manifest of its module (ModuleVersion, and
// Prerelease in PrivateData.PSData). There, and in the signature at the end of a module's manifest, two versions may differ;
// every other byte is the same.
package promotion

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/airlock-run/airlock/packages/internal/nupkg"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// maxFile bounds files that have version fields.
const maxFile = 4 << 20

// Differs says how b is not the same as a but for version fields; nil where it is.
func Differs(a, b *nupkg.Archive) error {
	before, names := a.Files(), b.Files() // both in order
	for _, name := range before {
		if _, there := slices.BinarySearch(names, name); !there {
			return fmt.Errorf("%s is missing", name)
		}
	}
	for _, name := range names {
		if _, there := slices.BinarySearch(before, name); !there {
			return fmt.Errorf("%s is new", name)
		}
	}
	_, specA, errA := a.ReadNuspec()
	_, specB, errB := b.ReadNuspec()
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	if !bytes.Equal(without(specA, nuspecVersion(specA)), without(specB, nuspecVersion(specB))) {
		return errors.New("the nuspec differs in more than its version")
	}
	for _, name := range names {
		fields := fieldsOf(a, name)
		if fields == nil {
			if err := equal(a, b, name); err != nil {
				return err
			}
			continue
		}
		dataA, errA := a.ReadFile(name, maxFile)
		dataB, errB := b.ReadFile(name, maxFile)
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		if !bytes.Equal(without(dataA, fields(dataA)), without(dataB, fields(dataB))) {
			return fmt.Errorf("%s differs in more than its version", name)
		}
	}
	return nil
}

// fieldsOf is what finds version fields in a file of a package, nil where it has none.
func fieldsOf(a *nupkg.Archive, name string) func(data []byte) []span {
	switch {
	case name == manifest.File:
		return func(data []byte) []span { return manifestVersion(data) }
	case strings.EqualFold(name, a.Nuspec.ID+".psd1"):
		return func(data []byte) []span {
			f := readModule(data)
			return slices.Concat(f.version, f.statements, f.trailer)
		}
	}
	return nil
}

// equal says whether a file has the same content in both.
func equal(a, b *nupkg.Archive, name string) error {
	fileA, err := a.Open(name)
	if err != nil {
		return err
	}
	defer fileA.Close()
	fileB, err := b.Open(name)
	if err != nil {
		return err
	}
	defer fileB.Close()
	bufferA, bufferB := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(fileA, bufferA)
		m, errB := io.ReadFull(fileB, bufferB)
		ended := func(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }
		switch {
		case errA != nil && !ended(errA), errB != nil && !ended(errB):
			return errors.Join(errA, errB)
		case !bytes.Equal(bufferA[:n], bufferB[:m]):
			return fmt.Errorf("%s has another content", name)
		case ended(errA):
			return nil
		}
	}
}

// without cuts spans out. They must not overlap.
func without(data []byte, spans []span) []byte {
	return replace(data, spans, "")
}

func replace(data []byte, spans []span, with string) []byte {
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	var out []byte
	at := 0
	for _, s := range spans {
		out = append(append(out, data[at:s.from]...), with...)
		at = s.to
	}
	return append(out, data[at:]...)
}

// nuspecVersion is what lies between <version> and </version> in a nuspec that was found sound.
func nuspecVersion(data []byte) (spans []span) {
	bom := len(data) - len(bytes.TrimPrefix(data, []byte("\ufeff")))
	dec := xml.NewDecoder(bytes.NewReader(data[bom:]))
	var path []string
	from := 0
	for {
		before := bom + int(dec.InputOffset())
		t, err := dec.Token()
		if err != nil {
			return spans
		}
		switch t := t.(type) {
		case xml.StartElement:
			path = append(path, t.Name.Local)
			from = bom + int(dec.InputOffset())
		case xml.EndElement:
			if strings.Join(path, "/") == "package/metadata/version" {
				spans = append(spans, span{from, before})
			}
			path = path[:len(path)-1]
		}
	}
}

// manifestVersion is what follows the key version in an airlock.json that was found sound.
func manifestVersion(data []byte) (spans []span) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return nil
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil
		}
		from := int(dec.InputOffset())
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil
		}
		if key == "version" {
			spans = append(spans, span{from, int(dec.InputOffset())})
		}
	}
	return spans
}

// Write writes the package under another version without a label, whose numbers are those that it has. A package with
// signatures that would not hold any more is refused.
func Write(w io.Writer, a *nupkg.Archive, version string) error {
	changed := map[string][]byte{}
	change := func(name string, spans func([]byte) []span, with string) error {
		data, err := a.ReadFile(name, maxFile)
		if err == nil {
			changed[name] = replace(data, spans(data), with)
		}
		return err
	}
	name, spec, err := a.ReadNuspec()
	if err != nil {
		return err
	}
	changed[name] = replace(spec, nuspecVersion(spec), version)
	for _, name := range a.Files() {
		var err error
		switch {
		case name == manifest.File:
			err = change(name, manifestVersion, ": "+strconv.Quote(version))
		case strings.EqualFold(name, a.Nuspec.ID+".psd1"):
			if err = change(name, func(data []byte) []span { return readModule(data).prerelease }, "''"); err == nil {
				err = released(name, changed[name])
			}
		case strings.EqualFold(name, a.Nuspec.ID+".cat"):
			err = fmt.Errorf("it has the catalogue %s, which is signed: make the new version where it is signed, and push that", name)
		}
		if err != nil {
			return err
		}
	}
	return a.Rewrite(w, changed)
}

// released says what keeps a module's manifest from being that of a version without a label.
func released(name string, data []byte) error {
	f := readModule(data)
	switch {
	case bytes.Contains(data, []byte("# SIG # Begin signature block")):
		return fmt.Errorf("%s is signed: take its Prerelease away where it is signed, and push that", name)
	case len(f.prerelease) != 1:
		return fmt.Errorf("%s has no Prerelease that can be taken away by itself: take it away in the source, and push that", name)
	}
	return nil
}
