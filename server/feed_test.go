package server_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"debug/elf"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"deps.dev/util/semver"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages"
	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/server"
	"github.com/airlock-run/airlock/server/internal/role"
)

// feedEnv is the API with a feed of a real repository.
type feedEnv struct {
	*env
	repository *packages.Repository
	client     *http.Client // of HTTP/1.1, as NuGet's are
}

func startFeed(t *testing.T, change ...func(*server.Config)) *feedEnv {
	f := &feedEnv{}
	f.env = start(t, append(change, func(c *server.Config) {
		dir := t.TempDir()
		var err error
		if f.repository, err = packages.Open(filepath.Join(dir, "packages"), c.Identities.(packages.Index)); err != nil {
			t.Fatal(err)
		}
		c.Feed, c.Repository = f.repository.Feed(), f.repository
		t.Cleanup(func() { unlock(t, dir) })
	})...)
	transport := f.https.Client().Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2, transport.TLSClientConfig.NextProtos = false, []string{"http/1.1"}
	transport.ExpectContinueTimeout = time.Hour // who asks for a 100 waits for an answer
	f.client = &http.Client{Transport: transport}
	t.Cleanup(transport.CloseIdleConnections)
	return f
}

// key makes a static token with a role, and the token.
func (f *feedEnv) key(name, of string) string {
	f.t.Helper()
	value := "alk_" + strings.Repeat(name, 8)
	sum := sha256.Sum256([]byte(value))
	made := domain.StaticToken{ID: name, Name: name, Hash: sum[:], Created: time.Now(), Expires: time.Now().Add(time.Hour)}
	if err := f.store.AddStaticToken(context.Background(), made, domain.Principal{}); err != nil {
		f.t.Fatal(err)
	}
	if of != "" {
		f.give(of, domain.Everywhere, made.Principal())
	}
	return value
}

// nupkg makes a package of a program that does nothing.
func nupkg(t *testing.T, id, version, dependencies string, more ...[2]string) []byte {
	t.Helper()
	var program bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]), Version: 1, Ehsize: 64, Phoff: 64, Phentsize: 56, Phnum: 1}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	_ = binary.Write(&program, binary.LittleEndian, h)
	_ = binary.Write(&program, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_LOAD)})
	m, err := manifest.Manifest{
		ManifestVersion: manifest.Version, Name: id, Version: version, Runtime: manifest.Go, Description: "Moves things",
		Binaries: map[string]string{"linux/" + runtime.GOARCH: "bin/program"}, Cmdlets: []manifest.Cmdlet{{Name: "Get-It", Parameters: []manifest.Parameter{}}},
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return published(t, id, version, dependencies, append(more, [2]string{manifest.File, string(m)}, [2]string{"bin/program", program.String()})...)
}

// module makes a package of a PowerShell module that does nothing.
func module(t *testing.T, id, version, dependencies string) []byte {
	t.Helper()
	return published(t, id, version, dependencies,
		[2]string{id + ".psd1", "@{ RootModule = '" + id + ".psm1'; ModuleVersion = '" + version + "'; Description = 'Moves things'; FunctionsToExport = 'Move-It' }"},
		[2]string{id + ".psm1", "<#\n.SYNOPSIS\n  Moves it.\n#>\nfunction Move-It {\n  [CmdletBinding()] [AVSAttribute(10)] param()\n}\n"})
}

// published makes a package as Publish-PSResource does.
func published(t *testing.T, id, version, dependencies string, files ...[2]string) []byte {
	t.Helper()
	spec := "\ufeff" + `<?xml version="1.0" encoding="utf-8"?><package xmlns="http://schemas.microsoft.com/packaging/2011/08/nuspec.xsd"><metadata>` +
		"<id>" + id + "</id><version>" + version + "</version><authors>Contoso</authors><description>Moves things</description><tags>PSModule Moving</tags>" +
		"<dependencies>" + dependencies + "</dependencies></metadata></package>"
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, file := range append([][2]string{
		{"_rels/.rels", "<x/>"}, {id + ".nuspec", spec}, {"[Content_Types].xml", "<x/>"}, {"package/services/metadata/core-properties/nuget.psmdcp", "<x/>"},
	}, files...) {
		method := zip.Deflate
		if len(file[1]) > 1<<20 {
			method = zip.Store
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: file[0], Method: method})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, file[1])
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// push sends a package as PSResourceGet and dotnet do: chunked, with a boundary in quotes and names without.
func (f *feedEnv) push(key string, data []byte) (status string, body string) {
	f.t.Helper()
	const boundary = "4f4b8e9c-6a0d-4d5a"
	form := io.MultiReader(
		strings.NewReader("--"+boundary+"\r\nContent-Type: application/octet-stream\r\nContent-Disposition: form-data; name=package; filename=package.nupkg; filename*=utf-8''package.nupkg\r\n\r\n"),
		bytes.NewReader(data), strings.NewReader("\r\n--"+boundary+"--\r\n"))
	index := f.resources("")
	req, err := http.NewRequestWithContext(f.t.Context(), "PUT", strings.TrimSuffix(index["PackagePublish/2.0.0"], "/")+"/", io.NopCloser(form))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Content-Type", `multipart/form-data; boundary="`+boundary+`"`)
	req.Header.Set("X-NuGet-Client-Version", "7.9.0")
	if key != "" {
		req.Header.Set("X-NuGet-ApiKey", key)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.Status, string(text)
}

// get reads as NuGet's clients do: as a stranger first, then with the password that it has.
func (f *feedEnv) get(password, address string) (*http.Response, []byte) {
	f.t.Helper()
	for authorization := ""; ; authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(":"+password)) {
		req, err := http.NewRequestWithContext(f.t.Context(), "GET", address, nil)
		if err != nil {
			f.t.Fatal(err)
		}
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		resp, err := f.client.Do(req)
		if err != nil {
			f.t.Fatal(err)
		}
		data, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			f.t.Fatal(err)
		}
		challenge := resp.Header.Get("WWW-Authenticate")
		if resp.StatusCode == 401 && !strings.HasPrefix(challenge, "Basic ") {
			f.t.Fatalf("%s: the challenge is %q", address, challenge)
		}
		if resp.StatusCode != 401 || authorization != "" || password == "" {
			return resp, data
		}
	}
}

func (f *feedEnv) json(password, address string, to any) (status int) {
	f.t.Helper()
	resp, data := f.get(password, address)
	if resp.StatusCode == 200 {
		if err := json.Unmarshal(data, to); err != nil {
			f.t.Fatalf("%s: %v in %s", address, err, data)
		}
	}
	return resp.StatusCode
}

// resources are those of the service index, by type.
func (f *feedEnv) resources(password string) map[string]string {
	f.t.Helper()
	var index struct {
		Resources []map[string]any
	}
	if status := f.json(password, f.https.URL+"/nuget/v3/index.json", &index); status != 200 {
		f.t.Fatalf("the index answers %d", status)
	}
	found := map[string]string{}
	for _, r := range index.Resources {
		found[r["@type"].(string)] = r["@id"].(string)
	}
	return found
}

// entry is what PSResourceGet reads of a version.
type entry struct {
	PackageContent string
	CatalogEntry   struct {
		ID, Version      string
		Tags             []string
		Listed           bool
		DependencyGroups []struct {
			Dependencies []struct{ ID, Range string }
		}
	}
}

// find returns what PSResourceGet finds of a package, from the highest version down, and all there is in the order in which
// it installs.
func (f *feedEnv) find(password, id string) (listed, all []entry) {
	f.t.Helper()
	var index struct {
		Items []struct {
			Upper string
			Items []entry
		}
	}
	status := f.json(password, f.resources(password)["RegistrationsBaseUrl/3.6.0"]+strings.ToLower(id)+"/index.json", &index)
	if status == 404 {
		return nil, nil
	}
	if status != 200 || len(index.Items) == 0 {
		f.t.Fatalf("the registration of %s answers %d, %+v", id, status, index)
	}
	for _, page := range index.Items {
		for _, e := range page.Items {
			if all = append(all, e); e.CatalogEntry.Listed {
				listed = append(listed, e)
			}
		}
	}
	if !strings.Contains(all[0].PackageContent, index.Items[len(index.Items)-1].Upper) {
		slices.Reverse(all)
	}
	return listed, all
}

// install installs the highest version that is wanted, with what it depends on, as Install-PSResource does, and says what
// lies in the packages that came: id@version each.
func (f *feedEnv) install(password, id, wanted string, prerelease bool) (got []string) {
	f.t.Helper()
	listed, all := f.find(password, id)
	c, err := semver.NuGet.ParseConstraint(strings.ReplaceAll(wanted, "(,)", "*"))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, e := range listed {
		v, err := semver.NuGet.Parse(e.CatalogEntry.Version)
		if err != nil {
			f.t.Fatal(err)
		}
		fits := c.MatchVersion(v) && !v.IsPrerelease() || wanted == "(,)" && prerelease
		if !fits && wanted != "["+e.CatalogEntry.Version+"]" {
			continue
		}
		i := slices.IndexFunc(all, func(o entry) bool { return strings.Contains(o.PackageContent, e.CatalogEntry.Version) })
		resp, data := f.get(password, all[i].PackageContent)
		if resp.StatusCode != 200 {
			f.t.Fatalf("%s answers %s", all[i].PackageContent, resp.Status)
		}
		got = append(got, f.inside(data))
		for _, g := range e.CatalogEntry.DependencyGroups {
			for _, d := range g.Dependencies {
				got = append(got, f.install(password, d.ID, d.Range, false)...)
			}
		}
		return got
	}
	return nil
}

// inside is what the nuspec of a .nupkg says that it is.
func (f *feedEnv) inside(data []byte) string {
	f.t.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, file := range z.File {
		if !strings.HasSuffix(file.Name, ".nuspec") {
			continue
		}
		r, err := file.Open()
		if err != nil {
			f.t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			f.t.Fatal(err)
		}
		between := func(a, b string) string {
			_, rest, _ := strings.Cut(string(text), a)
			value, _, _ := strings.Cut(rest, b)
			return value
		}
		return between("<id>", "</id>") + "@" + between("<version>", "</version>")
	}
	f.t.Fatal("there is no nuspec")
	return ""
}

// The way of a package as NuGet's clients go it.
func TestFeed(t *testing.T) {
	t.Parallel()
	f := startFeed(t)
	vendor, reader, nobody := f.key("vendor", role.PackagePublisher), f.key("reader", role.Reader), f.key("nobody", "")
	refused := func(key string, data []byte, status, says string) {
		t.Helper()
		got, body := f.push(key, data)
		if !strings.HasPrefix(got, status+" ") || !strings.Contains(got, says) || !strings.Contains(body, says) {
			t.Errorf("the push is answered %q, %s; want %s that says %q", got, body, status, says)
		}
	}
	publish := func(id, version string, data []byte) {
		t.Helper()
		for range 2 { // the second time the same bytes
			if status, body := f.push(vendor, data); status != "201 Created" {
				t.Fatalf("%s %s: %s %s", id, version, status, body)
			}
		}
		f.approve(id, version)
	}

	// Publish.
	first := nupkg(t, "Contoso.Tools", "1.0.0", "")
	refused("", first, "401", "valid here")
	refused("alk_unknown", first, "401", "valid here")
	refused(nobody, first, "403", "has no role that allows Airlock/packages/write")
	refused(reader, first, "403", "has no role that allows Airlock/packages/write")
	refused(vendor, []byte("no package"), "400", "no zip archive")
	refused(vendor, first[:len(first)/2], "400", "no zip archive")
	if status, body := f.push(vendor, first); status != "201 Created" {
		t.Fatalf("%s %s", status, body)
	}
	if listed, _ := f.find(reader, "Contoso.Tools"); listed != nil {
		t.Errorf("what nobody has approved is found: %+v", listed)
	}
	f.approve("Contoso.Tools", "1.0.0")
	refused(vendor, nupkg(t, "Contoso.Tools", "1.0.0", "", [2]string{"more", "text"}), "409", "Contoso.Tools@1.0.0 is there already, with other content.")
	for _, v := range []string{"1.0.1", "1.0.10", "1.0.1.5", "11.0.1", "2.0.0-preview", "13.3.0.24145081", "14.0.0-preview2"} {
		publish("Contoso.Tools", v, nupkg(t, "Contoso.Tools", v, ""))
	}
	publish("Contoso.Moves", "1.1.0", module(t, "Contoso.Moves", "1.1.0", `<dependency id="Contoso.Tools" version="[1.0.1]"/>`))
	publish("Contoso.Moves", "1.2.0", module(t, "Contoso.Moves", "1.2.0", `<dependency id="Contoso.Tools" version="(, 1.0.5]"/>`))

	// Find.
	listed, _ := f.find(reader, "contoso.tools")
	var versions []string
	for _, e := range listed {
		versions = append(versions, e.CatalogEntry.Version)
		if e.CatalogEntry.ID != "Contoso.Tools" || !slices.Equal(e.CatalogEntry.Tags, []string{"PSModule", "Moving"}) {
			t.Errorf("the entry is %+v", e)
		}
	}
	if want := []string{"14.0.0-preview2", "13.3.0.24145081", "11.0.1", "2.0.0-preview", "1.0.10", "1.0.1.5", "1.0.1", "1.0.0"}; !slices.Equal(versions, want) {
		t.Errorf("found are %v, want %v", versions, want)
	}
	if listed, _ := f.find(reader, "Contoso.None"); listed != nil {
		t.Errorf("a package that is not there is found: %+v", listed)
	}
	for query, want := range map[string]string{
		"q=Contoso&prerelease=False&semVerLevel=2.0.0&skip=0&take=100":   "[Contoso.Moves 1.2.0 [PSModule Moving] Contoso.Tools 13.3.0.24145081 [PSModule Moving]]",
		"q=*tools&prerelease=False&semVerLevel=2.0.0&skip=0&take=100":    "[Contoso.Tools 13.3.0.24145081 [PSModule Moving]]",
		"q=tags:moving&prerelease=True&semVerLevel=2.0.0&skip=0&take=1":  "[Contoso.Moves 1.2.0 [PSModule Moving]]",
		"q=Fabrikam&prerelease=False&semVerLevel=2.0.0&skip=0&take=100":  "[]",
		"q=Contoso&prerelease=False&semVerLevel=2.0.0&skip=1&take=10000": "[Contoso.Tools 13.3.0.24145081 [PSModule Moving]]",
	} {
		var answer struct {
			TotalHits int
			Data      []struct {
				ID, Version string
				Tags        []string
			}
		}
		got := []any{}
		status := f.json(reader, f.resources(reader)["SearchQueryService/3.5.0"]+"?"+query, &answer)
		for _, d := range answer.Data {
			got = append(got, d.ID, d.Version, d.Tags)
		}
		if fmt.Sprint(got) != want || status != 200 {
			t.Errorf("%s: %d, %v, want %s", query, status, got, want)
		}
	}

	// Install.
	for _, c := range []struct {
		id, wanted string
		prerelease bool
		want       string
	}{
		{"Contoso.Tools", "[1.0.1]", false, "Contoso.Tools@1.0.1"},
		{"Contoso.Tools", "[1.0.10]", false, "Contoso.Tools@1.0.10"},
		{"Contoso.Tools", "[1.0.1.5]", false, "Contoso.Tools@1.0.1.5"},
		{"Contoso.Tools", "[11.0.1]", false, "Contoso.Tools@11.0.1"},
		{"Contoso.Tools", "[13.3.0.24145081]", false, "Contoso.Tools@13.3.0.24145081"},
		{"Contoso.Tools", "[1.0.0,2.0.0)", false, "Contoso.Tools@1.0.10"},
		{"Contoso.Tools", "(,1.0.5)", false, "Contoso.Tools@1.0.1.5"},
		{"Contoso.Tools", "[1.0.0,)", false, "Contoso.Tools@13.3.0.24145081"},
		{"Contoso.Tools", "[2.0.0-preview]", true, "Contoso.Tools@2.0.0-preview"},
		{"Contoso.Tools", "(,)", true, "Contoso.Tools@14.0.0-preview2"},
		{"Contoso.Tools", "(,)", false, "Contoso.Tools@13.3.0.24145081"},
		{"Contoso.Moves", "[1.1.0]", false, "Contoso.Moves@1.1.0 Contoso.Tools@1.0.1"},
		{"Contoso.Moves", "[1.2.0]", false, "Contoso.Moves@1.2.0 Contoso.Tools@1.0.1.5"},
		{"Contoso.Tools", "[9.0.0]", false, ""},
	} {
		if got := strings.Join(f.install(reader, c.id, c.wanted, c.prerelease), " "); got != c.want {
			t.Errorf("%s %s, prerelease %v: installed %q, want %q", c.id, c.wanted, c.prerelease, got, c.want)
		}
	}

	// dotnet restore.
	flat := f.resources(reader)["PackageBaseAddress/3.0.0"]
	var list struct{ Versions []string }
	if status := f.json(reader, flat+"contoso.tools/index.json", &list); status != 200 || !slices.Equal(list.Versions, []string{"1.0.0", "1.0.1", "1.0.1.5", "1.0.10", "2.0.0-preview", "11.0.1", "13.3.0.24145081", "14.0.0-preview2"}) {
		t.Errorf("%d, %v", status, list)
	}
	if resp, data := f.get(reader, flat+"contoso.tools/1.0.0/contoso.tools.1.0.0.nupkg"); resp.StatusCode != 200 || !bytes.Equal(data, first) {
		t.Errorf("%s with %d bytes", resp.Status, len(data))
	}

	// Who may not read.
	for password, want := range map[string]int{"": 401, "alk_unknown": 401, nobody: 403, vendor: 200, token: 200} {
		if resp, body := f.get(password, flat+"contoso.tools/index.json"); resp.StatusCode != want {
			t.Errorf("%.10q reads: %s %s", password, resp.Status, body)
		}
	}
	f.pushesAreAudited(first)
}

// pushesAreAudited looks at the events of TestFeed.
func (f *feedEnv) pushesAreAudited(first []byte) {
	f.t.Helper()
	var results []string
	detailed := false
	for _, event := range f.audit.list() {
		if event.Action == "Airlock/packages/write" {
			results = append(results, event.Actor+" "+event.Result)
			detailed = detailed || strings.Contains(event.Detail, fmt.Sprintf("Contoso.Tools@1.0.0 sha256:%x", sha256.Sum256(first)))
		}
	}
	for _, want := range []string{"nobody (token:nobody) AuthorizationFailed", "vendor (token:vendor) InvalidPackage", "vendor (token:vendor) ok", "vendor (token:vendor) Conflict"} {
		if !slices.Contains(results, want) {
			f.t.Errorf("the audit lacks %q: %q", want, results)
		}
	}
	if !detailed {
		f.t.Error("the audit does not say what was pushed")
	}
	if strings.Contains(f.log.String(), "alk_") {
		f.t.Error("the log has a token")
	}
}

// A delete is refused in a sentence that its user sees.
func TestFeedDeletesNothing(t *testing.T) {
	t.Parallel()
	f := startFeed(t)
	req, err := http.NewRequestWithContext(t.Context(), "DELETE", f.resources("")["PackagePublish/2.0.0"]+"/Contoso.Tools/1.0.0", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-NuGet-ApiKey", f.key("vendor", role.PackagePublisher))
	resp, err := f.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if !strings.HasPrefix(resp.Status, "405 A version of a package is never deleted; a reviewer deprecates it") || resp.Header.Get("Allow") != "GET, HEAD, PUT" {
		t.Errorf("%s, %v", resp.Status, resp.Header)
	}
}

// Over HTTP/2, which has no reason phrases, and from clients that wait for a 100, errors come too.
func TestFeedRefusesInOtherProtocols(t *testing.T) {
	t.Parallel()
	f := startFeed(t)
	got := f.do("PUT", "/nuget/v3/publish", strings.Repeat("x", 1<<20), "X-NuGet-ApiKey", "alk_wrong").want(t, 401, "AuthenticationFailed")
	if got.ProtoMajor != 2 || !strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("%s %v", got.Proto, got.Header)
	}
	got = f.do("PUT", "/nuget/v3/publish", "x").want(t, 400, "InvalidRequestContent")
	if !strings.Contains(string(got.body), "multipart/form-data") {
		t.Errorf("%s", got.body)
	}
	req, err := http.NewRequestWithContext(t.Context(), "PUT", f.https.URL+"/nuget/v3/publish", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Expect", "100-continue")
	resp, err := f.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 401 || !strings.Contains(resp.Status, "valid here") {
		t.Errorf("%s", resp.Status)
	}
}

// What is pushed goes to the disk, not through the memory. It does not run beside others, whose allocations would count.
func TestPushIsStreamed(t *testing.T) {
	f := startFeed(t)
	noise := make([]byte, 48<<20)
	_, _ = rand.Read(noise)
	data := nupkg(t, "Contoso.Large", "1.0.0", "", [2]string{"noise", string(noise)})
	vendor := f.key("vendor", role.PackagePublisher)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	status, body := f.push(vendor, data)
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; status != "201 Created" || allocated > 24<<20 {
		t.Errorf("%s %s, with %d bytes allocated by server and client together", status, body, allocated)
	} else {
		t.Logf("%d bytes pushed, %d allocated by server and client together", len(data), allocated)
	}
}

// approve approves a version in the name of somebody who did not push it.
func (f *feedEnv) approve(id, version string) {
	f.t.Helper()
	ref := id + "@" + version
	p, err := f.repository.Version(context.Background(), ref)
	if err == nil {
		_, err = f.repository.Approve(context.Background(), ref, person("reviewer").Principal, p.Errors())
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// unlock lets the directories of a repository, which are read-only, be removed.
func unlock(t *testing.T, dir string) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(p string, e os.DirEntry, _ error) error {
		if e != nil && e.IsDir() {
			return os.Chmod(p, 0o700)
		}
		return nil
	})
}
