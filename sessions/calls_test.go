package sessions_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/errors"
)

// Each call is an event that says what was called, on what, how much went each way, and how it was answered.
func TestCallsAreAudited(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, end := f.open(t, "one")
	s := &script{Grant: g}
	vc := s.vim(t)
	if _, err := methods.GetCurrentTime(t.Context(), vc); err != nil {
		t.Fatal(err)
	}
	if err := object.NewAuthorizationManager(vc).RemoveRole(t.Context(), 9999, true); err == nil {
		t.Fatal("a role that is not there was removed")
	}
	if err := session.NewManager(vc).TerminateSession(t.Context(), []string{"x"}); err == nil {
		t.Fatal("a session was terminated")
	}
	if _, err := tags.NewManager(s.rest(t)).ListTags(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, _ := s.ask(t, http.MethodGet, "/nfc/a-secret/disk-0.vmdk", "", "Cookie", "vmware_soap_session="+g.Token.Reveal()); status != http.StatusNotFound {
		t.Fatalf("a disk of no lease: %d", status)
	}
	end()
	for what, want := range map[string]audit.Event{
		"a call":           {Action: "vcenter/call", Method: "CurrentTime", Target: "ServiceInstance", Detail: "/sdk", Result: "200"},
		"a fault":          {Action: "vcenter/call", Method: "RemoveAuthorizationRole", Target: "AuthorizationManager", Detail: "/sdk", Result: "NotFound"},
		"a refusal":        {Action: "vcenter/refused", Method: "TerminateSession", Target: "SessionManager", Detail: "/sdk", Result: "no-others-session"},
		"a REST call":      {Action: "vcenter/call", Method: "GET /rest/com/vmware/cis/tagging/tag", Target: "/rest/com/vmware/cis/tagging/tag", Result: "200"},
		"a disk's address": {Action: "vcenter/call", Method: "GET /nfc/_/disk-0.vmdk", Target: "/nfc/_/disk-0.vmdk", Result: "404"},
	} {
		found := false
		for _, e := range f.events.all {
			found = found || e.Action == want.Action && e.Method == want.Method && e.Target == want.Target && e.Detail == want.Detail &&
				e.Result == want.Result && e.Host == g.VCenter.Host && e.Execution == "one" && e.Duration > 0 &&
				(e.Sent > 0) == !strings.HasPrefix(e.Method, "GET ") && e.Received > 0
		}
		if !found {
			t.Errorf("%s: there is no event %+v among %+v", what, want, f.events.all)
		}
	}
}

// A call that is judged by the roles of the vCenter is judged also when that has dropped Airlock's session.
func TestJudgedAfterTheSessionWasDropped(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "one")
	am := object.NewAuthorizationManager((&script{Grant: g}).vim(t))
	if _, err := am.AddRole(t.Context(), "first", nil); err != nil {
		t.Fatal(err)
	}
	f.cloud.EndSessions()
	if _, err := am.AddRole(t.Context(), "second", nil); err != nil {
		t.Fatal(err)
	}
	f.cloud.EndSessions()
	err := am.SetEntityPermissions(t.Context(), types.ManagedObjectReference{Type: "Folder", Value: "group-d1"},
		[]types.Permission{{Principal: "CloudAdmins", Group: true, RoleId: -1}})
	if err == nil || !strings.Contains(err.Error(), "rule cloudadmins-rights") {
		t.Errorf("a grant above the role: %v; want that it is refused", err)
	}
}

func TestAPolicyThatIsWrong(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte("rules:\n  - name: x\n    says: y\n    soap: [Login]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := f.broker.ExtendPolicy(file)
	if m := errors.For(err, "").Message; !errors.Has(err, errors.Usage) || !strings.Contains(m, "policy.yaml line 4: rules[0].soap[0] is service/Method") {
		t.Errorf("ExtendPolicy = %v; want what is wrong, and the line", err)
	}
}
