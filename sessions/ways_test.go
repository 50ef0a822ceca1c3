package sessions_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/vmware/govmomi/vapi/tags"
)

// Files that are open to all are only looked at: what is sent there is not judged, and so no session goes along.
func TestPublicPathsAreOnlyRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	for _, token := range []string{"", g.Token.Reveal()} {
		headers := []string{"Content-Type", "text/xml", "Cookie", "vmware_soap_session=" + token}
		status, body := s.ask(t, http.MethodPost, "/sdk/vimServiceVersions.xml", call("AcquireCloneTicket"), headers...)
		if status != http.StatusMethodNotAllowed {
			t.Errorf("POST with the token %.4q…: %d %.200s; want 405", token, status, body)
		}
	}
	if status, _ := s.ask(t, http.MethodGet, "/sdk/vimServiceVersions.xml", "", "Cookie", "vmware_soap_session="+g.Token.Reveal()); status != http.StatusOK {
		t.Errorf("GET with the token: %d", status)
	}
	if n := f.events.count("vcenter/login", "ok"); n != 0 {
		t.Errorf("%d logins were made for what needs none", n)
	}
}

// A logout in another spelling does not reach the session that Airlock made.
func TestLogoutInOtherSpellings(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	manager := tags.NewManager(s.rest(t))
	if _, err := manager.ListTags(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := f.cloud.Open().Sessions
	for _, path := range []string{"/api/session/", "/api/SESSION", "/rest/com/vmware/cis/session/", "/rest/com/vmware/cis/Session"} {
		status, body := s.ask(t, http.MethodDelete, path, "", "Vmware-Api-Session-Id", g.Token.Reveal())
		if status != http.StatusNoContent && status != http.StatusOK {
			t.Errorf("DELETE %s: %d %.200s; want that Airlock answers it", path, status, body)
		}
	}
	if n := f.cloud.Open().Sessions; n != before {
		t.Errorf("%d sessions; want the %d that there were", n, before)
	}
}

// A call that takes long to judge is not judged.
func TestJudgedCallsAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	many := strings.Repeat(`<userIds><name>a</name><domain>b</domain></userIds>`, 6000)
	body := envelopeOf(`<AddUsersToLocalGroup xmlns="urn:sso">` + peopleThis + many + `<groupName>g</groupName></AddUsersToLocalGroup>`)
	status, answer := s.ask(t, http.MethodPost, "/sso-adminserver/sdk/vsphere.local", body, "Content-Type", "text/xml", "Cookie", "vmware_soap_session="+g.Token.Reveal())
	if status != http.StatusInternalServerError || !strings.Contains(answer, "more than the 262144 bytes") {
		t.Errorf("%d %.300s; want that it is refused", status, answer)
	}
}
