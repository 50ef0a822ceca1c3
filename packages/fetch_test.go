package packages_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages"
	"github.com/airlock-run/airlock/sdk/secret"
)

// shop is a NuGet feed over TLS that serves what it is told to.
type shop struct {
	*httptest.Server
	packages.Source
	files map[string]http.HandlerFunc // by path
}

func openShop(t *testing.T) *shop {
	s := &shop{files: map[string]http.HandlerFunc{}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if serve, ok := s.files[r.URL.Path]; ok {
			serve(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(s.Close)
	s.Source = packages.Source{Index: s.URL + "/v3/index.json", Roots: x509.NewCertPool()}
	s.Roots.AddCert(s.Certificate())
	s.files["/v3/index.json"] = says200(`{"version":"3.0.0","resources":[{"@id":"https://elsewhere.example/","@type":"SearchQueryService"},{"@id":"` + s.URL + `/p","@type":"PackageBaseAddress/3.0.0"}]}`)
	return s
}

func says200(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// endless writes for as long as somebody reads.
func endless(w http.ResponseWriter, _ *http.Request) {
	for piece := bytes.Repeat([]byte(`"1.0.0",`), 1<<12); ; {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	}
}

// stock puts libraries on the shelf, each a line as parsed reads it.
func (s *shop) stock(t *testing.T, lines string) {
	t.Helper()
	versions := map[string][]string{}
	for line := range strings.SplitSeq(lines, "|") {
		id, version, needs := parsed(line)
		lower, v := strings.ToLower(id), strings.ToLower(version)
		s.files["/p/"+lower+"/"+v+"/"+lower+"."+v+".nupkg"] = says200(string(library(t, id, version, needs...)))
		versions[lower] = append(versions[lower], version)
	}
	for id, all := range versions {
		data, err := json.Marshal(map[string][]string{"versions": all})
		if err != nil {
			t.Fatal(err)
		}
		s.files["/p/"+id+"/index.json"] = says200(string(data))
	}
}

// fetch fetches into a directory, and says what came, or the error, after which there must be nothing.
func fetch(t *testing.T, ctx context.Context, from packages.Source, references ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	files, err := packages.Fetch(ctx, from, references, dir, func(string) {})
	var names []string
	for _, file := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".nupkg"))
	}
	left := 0
	walked := filepath.WalkDir(dir, func(path string, e os.DirEntry, _ error) error {
		if path != dir && (err != nil || !e.IsDir()) {
			left++
		}
		return nil
	})
	if walked != nil || left != len(files) {
		t.Errorf("%d files lie in the directory, of which %d were meant; %v", left, len(files), walked)
	}
	return strings.Join(names, " "), err
}

// What is asked of a feed comes with all that it depends on, in the versions that a lock would choose.
func TestFetch(t *testing.T) {
	t.Parallel()
	const many = "B 1.0.1|B 1.0.10|B 1.5.0|B 2.0.0|B 2.0.0.1|B 13.3.0.24145081|B 3.0.0-preview|B 4.0.0-beta1"
	for name, c := range map[string]struct{ feed, references, want string }{
		"the highest":                   {many, "B", "b@13.3.0.24145081"},
		"exactly":                       {many, "B@1.0.1", "b@1.0.1"},
		"exactly, the longer":           {many, "b@1.0.10", "b@1.0.10"},
		"exactly, in another form":      {many, "B@2.0", "b@2.0.0"},
		"a pattern":                     {many, "B@1.0.*", "b@1.0.10"},
		"a pattern of one number":       {many, "B@2.*", "b@2.0.0.1"},
		"an interval":                   {many, "B@[1.0,2.0)", "b@1.5.0"},
		"two wishes for one":            {many, "B@[1.0.1,2.0] B@(,1.5)", "b@1.0.10"},
		"a label is not meant":          {many, "B@[2.1,4.0]", "the import needs B [2.1,4.0], and of it the feed has 13.3.0.24145081, 3.0.0-preview, 2.0.0.1"},
		"a label in the range":          {many, "B@[3.0.0-preview,4.0)", "b@3.0.0-preview"},
		"a label exactly":               {many, "B@3.0.0-preview", "b@3.0.0-preview"},
		"a label that no ring has":      {"B 4.0.0-beta1", "B", "the import needs B, and the feed has no version of it, or only such as have a label other than -dev and -preview"},
		"nothing of it":                 {many, "C", "the import needs C, and the feed has no version of it"},
		"with all that is needed":       {"A 1.0.0: B [1.0]; C|B 1.0.0: D|B 2.0.0|C 1.0.0: D 1.0|D 1.0.0|D 1.1.0|E 1.0.0", "A", "a@1.0.0 b@1.0.0 c@1.0.0 d@1.1.0"},
		"several":                       {"A 1.0.0|B 1.0.0|C 1.0.0", "C A", "a@1.0.0 c@1.0.0"},
		"a lower one fits":              {"B 1.0.0|B 2.0.0: D [2.0]|C 1.0.0: D [1.0]|D 1.0.0|D 2.0.0", "B C", "b@1.0.0 c@1.0.0 d@1.0.0"},
		"missing further on":            {"A 1.0.0: B|B 1.0.0: C [2.0]|C 1.0.0", "A", "A@1.0.0 → B@1.0.0 needs C [2.0], and of it the feed has 1.0.0 only"},
		"a conflict":                    {"B 1.0.0: D [1.0]|C 1.0.0: D [2.0]|D 1.0.0|D 2.0.0", "B C", "C@1.0.0 needs D [2.0], but B@1.0.0 needs another version of it and has got 1.0.0"},
		"a conflict with what is asked": {"B 1.0.0: D [1.0]|D 1.0.0|D 2.0.0", "D@2.0.0 B", "B@1.0.0 needs D [1.0], but the import needs another version of it and has got 2.0.0"},
		"a cycle":                       {"A 1.0.0: B|B 1.0.0: A", "A", "A@1.0.0 → B@1.0.0 needs A, which is a cycle"},
		"names that run into versions":  {"A 1.0.0.1: A.1|A.1 0.0.1", "A", "a.1@0.0.1 a@1.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openShop(t)
			s.stock(t, c.feed)
			got, err := fetch(t, t.Context(), s.Source, strings.Fields(c.references)...)
			if err != nil && errors.Has(err, errors.Conflict) {
				got = err.Error()
			} else if err != nil {
				t.Fatal(err)
			}
			if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
				t.Errorf("%s; want %s", got, c.want)
			}
		})
	}
}

// What is no reference is refused before anything is asked of the feed.
func TestFetchOfNothing(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "@1.0", "../x", "B@", "B@[", "B@[2.0,1.0", "B@(x)", "B@>=1", "B@1.0.0-beta", "../x@[1.0]", "B@[1.*]", "B C"} {
		if got, err := fetch(t, t.Context(), packages.Source{Index: "https://127.0.0.1:1/"}, s); !errors.Has(err, errors.InvalidResourceName) {
			t.Errorf("%q: %s, %v", s, got, err)
		}
	}
}

// A feed that means harm is refused, and leaves nothing.
func TestHostileFeed(t *testing.T) {
	t.Parallel()
	const index, list, file = "/v3/index.json", "/p/b/index.json", "/p/b/1.0.1/b.1.0.1.nupkg"
	other := func(id, version string) http.HandlerFunc { return says200(string(library(t, id, version))) }
	whole := library(t, "B", "1.0.1")
	base := func(address string) http.HandlerFunc {
		return says200(`{"resources":[{"@id":"` + address + `","@type":"PackageBaseAddress/3.0.0"}]}`)
	}
	for name, c := range map[string]struct {
		path string
		with http.HandlerFunc
		want string
	}{
		"another id":          {file, other("C", "1.0.1"), "InvalidPackage: What the feed has as B@1.0.1 cannot be used: its nuspec says that it is C@1.0.1"},
		"another version":     {file, other("B", "1.0.10"), "its nuspec says that it is B@1.0.10"},
		"a version of no use": {file, other("B", "1.0.1-beta"), "is not one to four numbers"},
		"no archive":          {file, says200("hello"), "InvalidPackage: What the feed has as B@1.0.1 cannot be used: it is no zip archive"},
		"half an archive": {file, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
			_, _ = w.Write(whole[:len(whole)/2])
		}, "ServerUnreachable: What the feed has at"},
		"a package that is announced too large": {file, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(1<<30))
			w.WriteHeader(http.StatusOK)
		}, "RequestEntityTooLarge: The feed's answer at"},
		"a listed one that is not there": {file, http.NotFound, "ResourceNotFound: The feed lists b@1.0.1 and has no package at"},
		"an endless index":               {index, endless, "has more than 1048576 bytes"},
		"endless versions":               {list, endless, "has more than 4194304 bytes"},
		"versions without end of a kind": {list, says200(`{"versions":["1.0.1"` + strings.Repeat(`,"x"`, 20_000) + `]}`), "lists more than 20000 versions"},
		"versions that are none":         {list, says200(`{"versions":["../../../1.0.1","1.0.1+x","01.0.1.0.0","","9999999999.0","1.0.1/..","[1.0.1]"]}`), "the feed has no version of it"},
		"versions of another form":       {list, says200(`{"versions":[1,2]}`), "is not what a NuGet feed of version 3 has there"},
		"no index":                       {index, http.NotFound, "ResourceNotFound: The feed has nothing at"},
		"an index of text":               {index, says200("<html>"), "is not what a NuGet feed of version 3 has there"},
		"an index without packages":      {index, says200(`{"resources":[]}`), "is no service index with a PackageBaseAddress/3.0.0"},
		"packages without TLS":           {index, base("http://127.0.0.1/"), "http://127.0.0.1 is not encrypted"},
		"packages in files":              {index, base("file:///etc/"), `scheme "file" leads out of the web`},
		"packages nowhere":               {index, base("packages/"), "leads out of the web"},
		"packages with a user":           {index, base("https://a:b@127.0.0.1/"), "there is a user in the address"},
		"redirected to a file":           {file, redirect("file:///etc/passwd"), `scheme "file" leads out of the web`},
		"redirected out of TLS":          {file, redirect("http://127.0.0.1:80/"), "http://127.0.0.1:80 is not encrypted"},
		"redirected to a user":           {file, redirect("https://a:b@127.0.0.1/"), "there is a user in the address"},
		"redirected for ever":            {file, redirect(file), "it was redirected more than 5 times"},
		"refused":                        {list, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, "AuthenticationFailed: The feed refuses"},
		"broken":                         {list, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "ServiceUnavailable: The feed answers 502 at"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openShop(t)
			s.stock(t, "A 1.0.0: B|B 1.0.1")
			s.files[c.path] = c.with
			if got, err := fetch(t, t.Context(), s.Source, "A"); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
		})
	}
}

// An import that is interrupted within a package leaves nothing.
func TestFetchIsInterrupted(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	s.stock(t, "B 1.0.0")
	ctx, cancel := context.WithCancel(t.Context())
	s.files["/p/b/1.0.0/b.1.0.0.nupkg"] = func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "PK")
		_ = http.NewResponseController(w).Flush()
		cancel()
		<-r.Context().Done()
	}
	if got, err := fetch(t, ctx, s.Source, "B"); !errors.Is(err, context.Canceled) {
		t.Errorf("%s, %v", got, err)
	}
}

// The credential goes to the feed's own host, and to no other to which the feed leads.
func TestCredentialOfFeed(t *testing.T) {
	t.Parallel()
	feed, store := openShop(t), openShop(t)
	data := library(t, "B", "1.0.0")
	asked := make(chan string, 10)
	record := func(where string, next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			asked <- strings.TrimSpace(where + " " + user + " " + password)
			next(w, r)
		}
	}
	feed.stock(t, "B 1.0.0")
	feed.files["/v3/index.json"] = record("index", feed.files["/v3/index.json"])
	feed.files["/p/b/index.json"] = record("list", feed.files["/p/b/index.json"])
	feed.files["/p/b/1.0.0/b.1.0.0.nupkg"] = record("redirect", redirect(store.URL+"/blob?sig=x"))
	store.files["/blob"] = record("store", redirect(feed.URL+"/back"))
	feed.files["/back"] = record("back", says200(string(data)))
	from := feed.Source
	from.User, from.Password = "anna", secret.New("s3cret")
	if got, err := fetch(t, t.Context(), from, "B"); err != nil || got != "b@1.0.0" {
		t.Fatalf("%s, %v", got, err)
	}
	close(asked)
	var got []string
	for a := range asked {
		got = append(got, a)
	}
	if want := "index anna s3cret, list anna s3cret, redirect anna s3cret, store, back anna s3cret"; strings.Join(got, ", ") != want {
		t.Errorf("%s; want %s", strings.Join(got, ", "), want)
	}

	from.Roots = nil // its authority is not among the system's
	if got, err := fetch(t, t.Context(), from, "B"); !errors.Has(err, errors.ServerUnreachable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%s, %v", got, err)
	}
	for _, index := range []string{"", "feed", "http://feed.example/v3/index.json", "file:///etc/passwd", "https://anna:s3cret@127.0.0.1/index.json"} {
		if got, err := fetch(t, t.Context(), packages.Source{Index: index}, "B"); !errors.Has(err, errors.Usage) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %s, %v", index, got, err)
		}
	}
}

// A feed on loopback needs no TLS.
func TestFeedOnLoopback(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	s.stock(t, "B 1.0.0")
	plain := httptest.NewServer(s.Config.Handler)
	t.Cleanup(plain.Close)
	s.files["/v3/index.json"] = says200(`{"resources":[{"@id":"` + plain.URL + `/p/","@type":"PackageBaseAddress/3.0.0"}]}`)
	if got, err := fetch(t, t.Context(), packages.Source{Index: plain.URL + "/v3/index.json"}, "B"); err != nil || got != "b@1.0.0" {
		t.Errorf("%s, %v", got, err)
	}
}

// What one Airlock has approved another one fetches from its feed and imports, byte for byte.
func TestFetchFromAirlock(t *testing.T) {
	t.Parallel()
	here, there := newBench(t), newBench(t)
	ground := there.bring("Contoso.Ground", "1.0.1", "Contoso.Base [1.0]")
	there.bring("Contoso.Ground", "1.0.10", "Contoso.Base [2.0]")
	there.bring("Contoso.Base", "1.0.0")
	there.approve(there.submit("P", "1.0.0", "Contoso.Ground [1.0.1]"))
	feed := there.Feed()
	var base string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := feed.Read(w, r, base+"/nuget", strings.TrimPrefix(r.URL.Path, "/nuget/")); err != nil {
			http.Error(w, err.Error(), errors.CodeOf(err).HTTPStatus())
		}
	}))
	t.Cleanup(server.Close)
	base = server.URL
	from := packages.Source{Index: base + "/nuget/v3/index.json", Roots: x509.NewCertPool()}
	from.Roots.AddCert(server.Certificate())
	dir := t.TempDir()
	files, err := packages.Fetch(t.Context(), from, []string{"contoso.ground"}, dir, func(string) {})
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := here.Import(t.Context(), f, anna); err != nil {
			t.Error(err)
		}
	}
	if got, err := here.Version(t.Context(), "Contoso.Ground@1.0.1"); err != nil || got.Digest != ground.Digest || !got.Library {
		t.Errorf("%+v, %v", got, err)
	}
	if got := locked(here.approve(here.submit("P", "1.0.0", "Contoso.Ground"))); got != "Contoso.Base@1.0.0 Contoso.Ground@1.0.1" {
		t.Errorf("the lock is %s", got)
	}
	if p, err := here.Versions(t.Context(), ""); err != nil || len(p) != 3 || p[0].Review.State != domain.Approved {
		t.Errorf("%v, %v", p, err)
	}
}
