package nuget_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages/internal/nuget"
)

// A package that has no end is read as far as is allowed.
func TestDownloadEnds(t *testing.T) {
	t.Parallel()
	var server *httptest.Server
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/index.json" {
			fmt.Fprintf(w, `{"resources":[{"@id":"%s/?key=1","@type":"PackageBaseAddress/3.0.0"}]}`, server.URL)
			return
		}
		if r.URL.Path != "/b/1.0.0-preview/b.1.0.0-preview.nupkg" || r.URL.RawQuery != "key=1" {
			t.Errorf("asked for %s", r.URL)
		}
		for {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	feed, err := nuget.Open(t.Context(), nuget.Source{Index: server.URL + "/index.json", Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	var got bytes.Buffer
	_, err = feed.Download(t.Context(), "B", "1.0.0-Preview", &got, 5000)
	if !errors.Has(err, errors.RequestEntityTooLarge) || got.Len() > 5001 || strings.Contains(err.Error(), "key=1") {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
}
