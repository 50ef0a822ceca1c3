package nupkg

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Write writes a package of all files of fsys but .nupkg files at its root. The same files give the same bytes: names
// are in order, and times and modes carry nothing. What the packaging makes itself (nuspec, [Content_Types].xml, _rels)
// must not be there.
func Write(ctx context.Context, w io.Writer, spec Nuspec, fsys fs.FS) error {
	files, err := payload(fsys)
	if err != nil {
		return err
	}
	nuspec, err := spec.Encode()
	if err != nil {
		return err
	}
	z := zip.NewWriter(w)
	for _, part := range []struct{ name, content string }{
		{"[Content_Types].xml", contentTypes(files)},
		{"_rels/.rels", fmt.Sprintf(relationships, escape(spec.ID))},
		{spec.ID + ".nuspec", string(nuspec)},
	} {
		if err := add(z, part.name, strings.NewReader(part.content)); err != nil {
			return err
		}
	}
	for _, name := range files {
		f, err := fsys.Open(name)
		if err != nil {
			return err
		}
		err = add(z, partName(name), reader{ctx, f})
		f.Close()
		if err != nil {
			return err
		}
	}
	return z.Close()
}

// Rewrite writes the archive with other content for some files, and without a signature, which would not hold any more. The
// same archive and content give the same bytes.
func (a *Archive) Rewrite(w io.Writer, changed map[string][]byte) error {
	z := zip.NewWriter(w)
	for _, f := range a.all {
		if strings.EqualFold(f.Name, signature) {
			continue
		}
		header := f.FileHeader
		if !isPart(f.Name) {
			header.Name = partName(f.Name)
		}
		if data, ok := changed[f.Name]; ok {
			if err := add(z, header.Name, bytes.NewReader(data)); err != nil {
				return err
			}
			continue
		}
		packed, err := f.OpenRaw()
		if err != nil {
			return err
		}
		to, err := z.CreateRaw(&header)
		if err != nil {
			return err
		}
		if _, err := io.Copy(to, packed); err != nil {
			return err
		}
	}
	return z.Close()
}

func add(z *zip.Writer, name string, r io.Reader) error {
	w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: laidOut})
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return err
}

// payload lists the files of fsys in order.
func payload(fsys fs.FS) (files []string, err error) {
	names := names{}
	err = fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err == nil && path.Ext(name) == ".nupkg" && path.Base(name) == name && !e.IsDir():
			return nil // what an earlier pack made, or this one is making
		case err == nil && name != "." && strings.HasPrefix(path.Base(name), "."):
			return fmt.Errorf("%s is hidden: take it away, lest something of your own is published by accident", name)
		case err != nil || e.IsDir():
			return err
		case !e.Type().IsRegular():
			return fmt.Errorf("%s is no regular file (%v): a package holds nothing else", name, e.Type())
		case isNuspec(name) || isPart(name):
			return fmt.Errorf("%s is in the way: packing writes it itself", name)
		}
		files = append(files, name)
		return names.add(name)
	})
	slices.Sort(files)
	return files, err
}

const relationships = `<?xml version="1.0" encoding="utf-8"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Type="http://schemas.microsoft.com/packaging/2010/07/manifest" Target="/%s.nuspec" Id="R1"/></Relationships>
`

// contentTypes declares the content type of every part, as the conventions demand: by its name's extension, else by
// its name.
func contentTypes(files []string) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="utf-8"?>` + "\n" + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">`)
	b.WriteString(`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>`)
	declared := map[string]bool{"rels": true}
	for _, name := range append([]string{".nuspec"}, files...) {
		name = partName(name)
		ext := strings.ToLower(strings.TrimPrefix(path.Ext(name), "."))
		switch {
		case ext == "":
			fmt.Fprintf(&b, `<Override PartName="/%s" ContentType="application/octet"/>`, name)
		case !declared[ext]:
			declared[ext] = true
			fmt.Fprintf(&b, `<Default Extension="%s" ContentType="application/octet"/>`, ext)
		}
	}
	b.WriteString("</Types>\n")
	return b.String()
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
