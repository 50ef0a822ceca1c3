package server_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/server"
	"github.com/airlock-run/airlock/server/internal/role"
)

const ownPackages = "/providers/Airlock/packages"

type versionReply struct {
	ID, Name   string
	Properties struct {
		PackageName, Version, Ring, State, SHA256, PushedBy, Promotes string
		Library                                                       bool
		Size                                                          int64
		FindingCount                                                  struct{ Errors, Warnings, Notes int }
		Acknowledge                                                   []string
		Review                                                        *struct {
			By, Reason   string
			Acknowledged []string
		}
		Dependencies []struct{ Name, Range string }
		Lock         []struct{ Name, Version, SHA256 string }
		Findings     []struct {
			Rule, Severity, File, Message string
			Line, Column                  int
		}
		Cmdlets []manifest.Cmdlet
	}
}

type versionsReply struct{ Value []versionReply }

// names are those of a list, with the states.
func (v versionsReply) names() (names []string) {
	for _, one := range v.Value {
		names = append(names, one.Name+" "+one.Properties.State)
	}
	return names
}

// startReviews is the API with a repository, a publisher, a reviewer, and an owner of what lies below the installation.
func startReviews(t *testing.T) (f *feedEnv, publisher string) {
	f = startFeed(t, func(c *server.Config) {
		known := people{token: aDeveloper}
		for _, name := range []string{"reviewer", "subscriber"} {
			known[name] = person(name)
		}
		c.Authenticator = known
	})
	f.give(role.PackageReviewer, domain.Everywhere, person("reviewer").Principal)
	f.give(role.Owner, subscriptionScope, person("subscriber").Principal)
	return f, f.key("vendor", role.PackagePublisher)
}

// found enters a version that the analysis has something to say about.
func (f *feedEnv) found(name, version string, by domain.Principal, findings ...domain.ReviewFinding) {
	f.t.Helper()
	err := f.store.PutPackage(context.Background(), domain.Package{
		Name: name, Version: version, Digest: fmt.Sprintf("%064x", len(name+version)), Pushed: time.Now(), PushedBy: by,
		Manifest: manifest.Manifest{Name: name, Version: version, Cmdlets: []manifest.Cmdlet{{Name: "Get-It"}}},
		Findings: findings, Review: domain.Review{State: domain.Submitted},
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// The life of a version through the routes, and that its pusher and an owner of a part have no say in it.
func TestReviewRoutes(t *testing.T) {
	t.Parallel()
	f, vendor := startReviews(t)
	push := func(route, version, dependencies string) (location string) {
		t.Helper()
		resp := f.put(vendor, route, nupkg(t, "Contoso.Mover", version, dependencies))
		if resp.StatusCode != 201 {
			t.Fatalf("%s %s: %s", route, version, resp.Status)
		}
		return resp.Header.Get("Location")
	}
	if at := push("publish", "1.0.0-preview", ""); at != ownPackages+"/Contoso.Mover@1.0.0-preview" {
		t.Errorf("a push is answered with the location %q", at)
	}
	preview := ownPackages + "/Contoso.Mover@1.0.0-preview"
	v := decode[versionReply](t, f.as("reviewer", "GET", strings.ReplaceAll(preview, "@", "%40"), "").want(t, 200, ""))
	p := v.Properties
	if p.PackageName != "Contoso.Mover" || p.Version != "1.0.0-preview" || p.Ring != "preview" || p.State != "Submitted" || p.PushedBy != "token:vendor" ||
		len(p.SHA256) != 64 || p.Size == 0 || p.Review != nil || len(p.Cmdlets) != 1 || p.Cmdlets[0].Name != "Get-It" || p.Findings == nil {
		t.Errorf("what was pushed: %+v", v)
	}

	if content := f.as("reviewer", "GET", preview+"/content", "").want(t, 200, ""); fmt.Sprintf("%x", sha256.Sum256(content.body)) != p.SHA256 {
		t.Error("the reviewer gets another content")
	}
	f.as("subscriber", "GET", preview+"/content", "").want(t, 403, errors.AuthorizationFailed)

	// Neither the pusher, nor the owner of a subscription, nor a reviewer without a reason.
	f.as(vendor, "POST", preview+"/approve", "").want(t, 403, errors.AuthorizationFailed)
	for _, action := range []string{"/approve", "/reject", "/deprecate", "/promote"} {
		f.as("subscriber", "POST", preview+action, `{"reason":"mine"}`).want(t, 403, errors.AuthorizationFailed)
	}
	f.give(role.PackageReviewer, domain.Everywhere, domain.StaticToken{ID: "vendor"}.Principal())
	refused := f.as(vendor, "POST", preview+"/approve", "").want(t, 403, errors.AuthorizationFailed)
	if message := decode[errorReply](t, refused).Error.Message; !strings.Contains(message, "reviewed by somebody else: token:vendor pushed it") {
		t.Error(message)
	}

	approved := decode[versionReply](t, f.as("reviewer", "POST", preview+"/approve", "").want(t, 200, ""))
	if r := approved.Properties.Review; approved.Properties.State != "Approved" || r == nil || r.By != "test:reviewer" {
		t.Errorf("approved: %+v", approved)
	}
	f.as("reviewer", "POST", preview+"/promote", "").want(t, 403, errors.AuthorizationFailed)
	promoted := decode[versionReply](t, f.as(vendor, "POST", preview+"/promote", "").want(t, 200, ""))
	if p := promoted.Properties; promoted.Name != "Contoso.Mover@1.0.0" || p.Ring != "general" || p.Promotes != "1.0.0-preview" || p.State != "Submitted" {
		t.Errorf("promoted: %+v", promoted)
	}
	f.as("reviewer", "POST", ownPackages+"/Contoso.Mover@1.0.0/approve", "{}").want(t, 200, "")
	f.as("reviewer", "POST", ownPackages+"/Contoso.Mover@1.0.0/approve", "{}").want(t, 409, errors.Conflict)
	deprecated := decode[versionReply](t, f.as("reviewer", "POST", ownPackages+"/Contoso.Mover@1.0.0/deprecate", `{"reason":"1.1 is  better"}`).want(t, 200, ""))
	if p := deprecated.Properties; p.State != "Deprecated" || p.Review.Reason != "1.1 is better" {
		t.Errorf("deprecated: %+v", deprecated)
	}
	f.as("reviewer", "POST", preview+"/reject", `{"reason":"It harms."}`).want(t, 200, "")

	list := func(filter string) string {
		t.Helper()
		return fmt.Sprint(decode[versionsReply](t, f.as("reviewer", "GET", ownPackages+"?$filter="+url.QueryEscape(filter), "").want(t, 200, "")).names())
	}
	push("publish", "1.1.0-dev.1", "")
	f.found("Other", "1.0", domain.Principal{})
	if got := list(""); got != "[Contoso.Mover@1.1.0-dev.1 Submitted Contoso.Mover@1.0.0 Deprecated Contoso.Mover@1.0.0-preview Rejected Other@1.0 Submitted]" {
		t.Errorf("the list: %s", got)
	}
	if got := list("name eq 'contoso.mover' and state eq 'rejected'"); got != "[Contoso.Mover@1.0.0-preview Rejected]" {
		t.Errorf("the rejected ones: %s", got)
	}

	var said []string
	for _, e := range f.audit.list() {
		if e.Result == "ok" && strings.HasSuffix(e.Action, "/action") {
			said = append(said, strings.TrimPrefix(e.Action, "Airlock/packages/")+" "+e.Actor+e.Detail[strings.Index(e.Detail, ", "):])
		}
	}
	for i, want := range []string{
		"approve/action reviewer (test:reviewer), Contoso.Mover@1.0.0-preview sha256:", "promote/action ", "approve/action reviewer (test:reviewer), Contoso.Mover@1.0.0 sha256:",
		"deprecate/action reviewer (test:reviewer), Contoso.Mover@1.0.0 sha256:", "reject/action reviewer (test:reviewer), Contoso.Mover@1.0.0-preview sha256:",
	} {
		if len(said) != 5 || !strings.HasPrefix(said[i], want) {
			t.Fatalf("the audit of decisions: %q", said)
		}
	}
	if !strings.HasSuffix(said[3], ", reason: 1.1 is better") {
		t.Errorf("the audit of a deprecation: %s", said[3])
	}
}

// Errors that were found are shown with their place, and acknowledged by their rules before anything is approved.
func TestAcknowledge(t *testing.T) {
	t.Parallel()
	f, _ := startReviews(t)
	f.found("Contoso.Mover", "1.0.0", domain.Principal{ID: "token:vendor", Type: domain.ServicePrincipal},
		domain.ReviewFinding{Rule: "login", Severity: domain.SeverityError, File: "a.psm1", Line: 3, Column: 5, Message: "It logs in."},
		domain.ReviewFinding{Rule: "login", Severity: domain.SeverityError, File: "a.psm1", Line: 9, Message: "It logs in."},
		domain.ReviewFinding{Rule: "child-process", Severity: domain.SeverityError, Message: "It begins processes."},
		domain.ReviewFinding{Rule: "project-uri", Severity: domain.SeverityWarning, Message: "No page."},
		domain.ReviewFinding{Rule: "role-privileges", Severity: domain.SeverityNote, Message: "Look."})
	at := ownPackages + "/Contoso.Mover@1.0.0"
	v := decode[versionReply](t, f.as("reviewer", "GET", at, "").want(t, 200, "")).Properties
	if fmt.Sprint(v.FindingCount) != "{3 1 1}" || fmt.Sprint(v.Acknowledge) != "[child-process login]" || len(v.Findings) != 5 || fmt.Sprint(v.Findings[0]) != "{login error a.psm1 It logs in. 3 5}" {
		t.Errorf("what was found: %+v", v)
	}
	listed := decode[versionsReply](t, f.as("reviewer", "GET", ownPackages, "").want(t, 200, "")).Value[0].Properties
	if fmt.Sprint(listed.FindingCount) != "{3 1 1}" || listed.Findings != nil || listed.Cmdlets != nil {
		t.Errorf("in the list: %+v", listed)
	}
	before := f.snapshot()
	for body, says := range map[string]string{
		"":                           "acknowledge child-process, login",
		`{"acknowledged":["login"]}`: "acknowledge child-process, or reject it",
		`{"acknowledged":["login","child-process","project-uri"]}`: `No error of the rule \"project-uri\"`,
		`{"acknowledged":"login"}`:                                 "acknowledged must be an array",
		`{"acknowledged":[1]}`:                                     "acknowledged[0] must be the id of a rule, not a number",
		`{"acknowledged":[""]}`:                                    "acknowledged[0] must be the id of a rule",
		`{"acknowledge":["login"]}`:                                `has no field \"acknowledge\"; the nearest is acknowledged`,
		`["login"]`:                                                "must be an object",
		`{"acknowledged":["login"]} x`:                             "not one JSON value",
	} {
		got := f.as("reviewer", "POST", at+"/approve", body)
		if got.StatusCode != 400 || !strings.Contains(string(got.body), says) {
			t.Errorf("%s is answered %s: %s", body, got.Status, got.body)
		}
	}
	for body, says := range map[string]string{
		`{}`: "Say why", `{"reason":"  "}`: "Say why", `{"reason":"` + strings.Repeat("x", 2001) + `"}`: "at most 2000 bytes",
		`{"reason":["x"]}`: "reason must be a string", `{"why":"x"}`: "no field", "": "must be an object",
	} {
		for _, action := range []string{"/reject", "/deprecate"} {
			if got := f.as("reviewer", "POST", at+action, body); got.StatusCode != 400 || !strings.Contains(string(got.body), says) {
				t.Errorf("%s %s is answered %s: %s", action, body, got.Status, got.body)
			}
		}
	}
	f.as("reviewer", "POST", at+"/deprecate", `{"reason":"Before its time."}`).want(t, 409, errors.Conflict)
	for path, code := range map[string]errors.Code{
		"Contoso.Mover@2.0.0": errors.ResourceNotFound, "No.Such@1.0.0": errors.ResourceNotFound, "Contoso.Mover": errors.InvalidResourceName,
		"Contoso.Mover@1.*": errors.InvalidResourceName, "..%2F..": errors.InvalidResourceName, "@": errors.InvalidResourceName,
	} {
		status := map[errors.Code]int{errors.ResourceNotFound: 404, errors.InvalidResourceName: 400}[code]
		f.as("reviewer", "GET", ownPackages+"/"+path, "").want(t, status, code)
		f.as("reviewer", "POST", ownPackages+"/"+path+"/reject", `{"reason":"x"}`).want(t, status, code)
	}
	f.as("reviewer", "GET", ownPackages+"?$filter="+url.QueryEscape("state eq 'Lost'"), "").want(t, 400, errors.InvalidRequest)
	f.as("reviewer", "GET", ownPackages+"?$filter="+url.QueryEscape("ring eq 'dev'"), "").want(t, 400, errors.InvalidRequest)
	if fmt.Sprint(f.snapshot()) != fmt.Sprint(before) {
		t.Error("what was refused has changed something")
	}
	done := decode[versionReply](t, f.as("reviewer", "POST", at+"/approve", `{"acknowledged":["login","child-process","login"]}`).want(t, 200, "")).Properties
	if done.State != "Approved" || fmt.Sprint(done.Review.Acknowledged) != "[child-process login]" {
		t.Errorf("approved: %+v", done)
	}
	events := f.audit.list()
	if last := events[len(events)-1]; !strings.HasSuffix(last.Detail, ", acknowledged child-process login") {
		t.Errorf("the audit has %+v", last)
	}
}

// put sends a form with a package to a route of the feed.
func (f *feedEnv) put(key, route string, data []byte) reply {
	f.t.Helper()
	const boundary = "b"
	body := "--b\r\nContent-Type: application/octet-stream\r\n\r\n" + string(data) + "\r\n--b--\r\n"
	req, err := http.NewRequestWithContext(f.t.Context(), "PUT", f.https.URL+"/nuget/v3/"+route, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "multipart/form-data; boundary="+boundary)
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := f.https.Client().Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return reply{resp, text}
}

// A library comes in by a route of its own, by whom may push, and is approved with what needs it.
func TestImportRoute(t *testing.T) {
	t.Parallel()
	f, vendor := startReviews(t)
	file := library(t, "Contoso.Ground", "1.0.0")
	if resp := f.put("reviewer", "import", file); resp.StatusCode != 403 {
		t.Errorf("a reviewer imports: %s", resp.Status)
	}
	for range 2 {
		if resp := f.put(vendor, "import", file); resp.StatusCode != 201 || resp.Header.Get("Location") != ownPackages+"/Contoso.Ground@1.0.0" {
			t.Fatalf("an import: %s %v %s", resp.Status, resp.Header, resp.body)
		}
	}
	if resp := f.put(vendor, "import", nupkg(t, "Contoso.Mover", "1.0.0", "")); resp.StatusCode != 400 {
		t.Errorf("a package with cmdlets as a library: %s", resp.Status)
	}
	if resp := f.put(vendor, "publish", nupkg(t, "Contoso.Mover", "1.0.0", `<dependency id="contoso.ground" version="[1.0,2.0)"/>`)); resp.StatusCode != 201 {
		t.Fatal(resp.Status)
	}
	unseen := f.as("reviewer", "POST", ownPackages+"/Contoso.Mover@1.0.0/approve", "").want(t, 400, errors.InvalidRequest)
	id := regexp.MustCompile(`libraries-[0-9a-f]+`).Find(unseen.body)
	if !strings.Contains(string(unseen.body), "Contoso.Ground@1.0.0") || id == nil {
		t.Fatalf("what is approved with it: %s", unseen.body)
	}
	f.as("reviewer", "POST", ownPackages+"/Contoso.Mover@1.0.0/approve", `{"acknowledged":["`+string(id)+`"]}`).want(t, 200, "")
	p := decode[versionReply](t, f.as("reviewer", "GET", ownPackages+"/Contoso.Mover@1.0.0", "").want(t, 200, "")).Properties
	ground := decode[versionReply](t, f.as("reviewer", "GET", ownPackages+"/Contoso.Ground@1.0.0", "").want(t, 200, "")).Properties
	if fmt.Sprint(p.Dependencies) != "[{contoso.ground [1.0,2.0)}]" || len(p.Lock) != 1 || p.Lock[0].Version != "1.0.0" || p.Lock[0].SHA256 != ground.SHA256 {
		t.Errorf("the version that needs it: %+v", p)
	}
	if !ground.Library || ground.State != "Approved" || ground.Review.By != "test:reviewer" {
		t.Errorf("the library: %+v", ground)
	}
}

// library makes the .nupkg of a library.
func library(t *testing.T, id, version string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, file := range [][2]string{
		{id + ".nuspec", "<package xmlns=\"http://schemas.microsoft.com/packaging/2011/08/nuspec.xsd\"><metadata><id>" + id + "</id><version>" + version + "</version><authors>x</authors><description>x</description></metadata></package>"},
		{id + ".psm1", "function Get-It {}"},
	} {
		w, err := z.Create(file[0])
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
