package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"time"

	"github.com/airlock-run/airlock/internal/errors"
)

// Where packages go: the feed's own route for pushes, and the one beside it for libraries.
const (
	publishing = "/nuget/v3/publish"
	importing  = "/nuget/v3/import"
)

// inspection is how long the server may take, once it has a package, to look through it.
const inspection = 10 * time.Minute

// upload sends the .nupkg at path as NuGet's clients do, and returns the version that it is now.
func (c *client) upload(ctx context.Context, target, path string, progress func(what string)) (version resource, err error) {
	f, err := os.Open(path)
	if err != nil {
		return version, errors.Because(err, errors.Usage, "The package cannot be read: %v.", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return version, errors.Because(err, errors.Usage, "%s is no file.", path)
	}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	_, _ = w.CreatePart(textproto.MIMEHeader{ // a Buffer takes everything
		"Content-Type": {"application/octet-stream"}, "Content-Disposition": {`form-data; name="package"; filename="package.nupkg"`},
	})
	head := bytes.Clone(form.Bytes())
	form.Reset()
	_ = w.Close()

	content := &counted{from: io.LimitReader(f, info.Size()), size: info.Size(), name: filepath.Base(path), progress: progress}
	req, err := c.request(ctx, http.MethodPut, target, io.MultiReader(bytes.NewReader(head), content, &form))
	if err != nil {
		return version, err
	}
	req.ContentLength = int64(len(head)) + info.Size() + int64(form.Len())
	req.Header.Set("Content-Type", w.FormDataContentType())
	req.Header.Set("Expect", "100-continue") // who may not push learns it before he has sent everything
	transport := c.http.Transport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = inspection
	defer transport.CloseIdleConnections()
	header, err := c.send(req, &http.Client{Transport: transport, CheckRedirect: c.http.CheckRedirect}, nil)
	if err != nil {
		return version, err
	}
	_, err = c.do(ctx, http.MethodGet, header.Get("Location"), nil, &version)
	return version, err
}

// counted says how much of a file has been read, each time that it is a quarter more.
type counted struct {
	from     io.Reader
	size     int64
	name     string
	progress func(what string)

	read, told int64
}

func (c *counted) Read(p []byte) (n int, err error) {
	n, err = c.from.Read(p)
	c.read += int64(n)
	if quarter := 4 * c.read / max(c.size, 1); quarter > c.told {
		c.told = quarter
		what := fmt.Sprintf("%s: %d%% of %d KiB sent", c.name, 25*quarter, (c.size+1023)/1024)
		if quarter == 4 {
			what += "; the server looks through it"
		}
		c.progress(what)
	}
	return n, err
}
