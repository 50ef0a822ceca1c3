package policy_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	vim "github.com/vmware/govmomi/vim25/types"

	"github.com/airlock-run/airlock/sessions/internal/policy"
)

var shippedOnce = sync.OnceValue(policy.Shipped)

// judge says by which rule a SOAP call is refused, "" where it passes. args is the XML in the method's element.
func judge(t testing.TB, s policy.Service, method, args string, f policy.Facts) string {
	t.Helper()
	p := shippedOnce()
	need, no := p.Method(s, method)
	if no != nil {
		return no.Rule
	}
	if !need.Arguments {
		return ""
	}
	body := fmt.Sprintf(`<Envelope><Body><%s xmlns="%s" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">%s</%[1]s></Body></Envelope>`,
		method, s.Namespace(), args)
	call, err := policy.Decode(s, method, []byte(body))
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	if no := p.Arguments(s, method, call, f); no != nil {
		return no.Rule
	}
	return ""
}

const (
	ownRole, emptyRole, airlockRole, otherRole = 10, 11, 12, 13

	managerThis = `<_this type="AuthorizationManager">AuthorizationManager</_this>`
)

// facts are of a vCenter where the group CloudAdmins has its role on the root, and by a role without privileges nothing on
// a folder.
func facts() policy.Facts {
	on := func(id string) *vim.ManagedObjectReference {
		return &vim.ManagedObjectReference{Type: "Folder", Value: id}
	}
	return policy.Facts{
		User: "scripting@vsphere.local",
		Roles: []vim.AuthorizationRole{
			{RoleId: -1, Name: "Admin", Privilege: []string{"Host.Config.Network"}},
			{RoleId: -2, Name: "ReadOnly", Privilege: []string{"System.Read", "System.View"}},
			{RoleId: ownRole, Name: "CloudAdmin", Privilege: []string{"Global.Health"}},
			{RoleId: emptyRole, Name: "wall"}, {RoleId: airlockRole, Name: "ours"}, {RoleId: otherRole, Name: "other"},
		},
		Permissions: []vim.Permission{
			{Entity: on("group-d1"), Principal: `VSPHERE.LOCAL\CloudAdmins`, Group: true, RoleId: ownRole},
			{Entity: on("group-v9"), Principal: `VSPHERE.LOCAL\CloudAdmins`, Group: true, RoleId: emptyRole},
			{Entity: on("group-d1"), Principal: `VSPHERE.LOCAL\scripting`, RoleId: airlockRole},
		},
	}
}

// What is the group's own on an object stays, in whatever way the object is named, and whichever way it would go.
func TestRightsByOtherWays(t *testing.T) {
	t.Parallel()
	set := func(entity, principal string, role int) string {
		return fmt.Sprintf(`%s%s<permission><principal>%s</principal><group>true</group><roleId>%d</roleId><propagate>true</propagate></permission>`,
			managerThis, entity, principal, role)
	}
	remove := func(entity, user string) string {
		return managerThis + entity + `<user>` + user + `</user><isGroup>true</isGroup>`
	}
	role := func(id int, rest string) string { return fmt.Sprintf(`%s<roleId>%d</roleId>%s`, managerThis, id, rest) }
	for what, c := range map[string]struct{ method, args, rule string }{
		"as it is":                    {"RemoveEntityPermission", remove(`<entity type="Folder">group-d1</entity>`, "CloudAdmins"), "cloudadmins-rights"},
		"with the server's name":      {"RemoveEntityPermission", remove(`<entity type="Folder" serverGuid="x">group-d1</entity>`, "CloudAdmins"), "cloudadmins-rights"},
		"as what all are":             {"RemoveEntityPermission", remove(`<entity type="ManagedEntity">group-d1</entity>`, "CloudAdmins"), "cloudadmins-rights"},
		"with space":                  {"SetEntityPermissions", set("<entity type=\"Folder\">group-v9\n</entity>", "CloudAdmins", -2), "cloudadmins-rights"},
		"in capitals":                 {"SetEntityPermissions", set(`<entity type="Folder">GROUP-V9</entity>`, "CloudAdmins", -2), "cloudadmins-rights"},
		"another object":              {"SetEntityPermissions", set(`<entity type="Folder">group-v8</entity>`, "CloudAdmins", -2), ""},
		"its first member":            {"SetEntityPermissions", set(`<entity type="Folder">group-v8</entity>`, "cloudadmin@vsphere.local", -1), "cloudadmins-rights"},
		"less for its first member":   {"SetEntityPermissions", set(`<entity type="Folder">group-v8</entity>`, "cloudadmin@vsphere.local", -2), ""},
		"nothing for administrators":  {"SetEntityPermissions", set(`<entity type="Folder">group-d1</entity>`, `VSPHERE.LOCAL\Administrators`, -5), "administrators"},
		"administrators' own":         {"RemoveEntityPermission", remove(`<entity type="Folder">group-d1</entity>`, `VSPHERE.LOCAL\Administrators`), "administrators"},
		"the role of the wall":        {"RemoveAuthorizationRole", role(emptyRole, `<failIfUsed>false</failIfUsed>`), "cloudadmins-rights"},
		"more in that of the wall":    {"UpdateAuthorizationRole", role(emptyRole, `<newName>wall</newName><privIds>Global.Health</privIds>`), "cloudadmins-rights"},
		"Airlock's role":              {"RemoveAuthorizationRole", role(airlockRole, `<failIfUsed>false</failIfUsed>`), "no-own-user"},
		"nothing for Airlock's role":  {"UpdateAuthorizationRole", role(airlockRole, `<newName>ours</newName>`), "no-own-user"},
		"a role that nobody has":      {"RemoveAuthorizationRole", role(otherRole, `<failIfUsed>false</failIfUsed>`), ""},
		"another name for that of it": {"UpdateAuthorizationRole", role(otherRole, `<newName>x</newName><privIds>Host.Config.Network</privIds>`), ""},
	} {
		if got := judge(t, policy.Vim, c.method, c.args, facts()); got != c.rule {
			t.Errorf("%s, %s: %q; want %q", c.method, what, got, c.rule)
		}
	}
}

// Paths that some server takes for those of a rule.
func TestPathsThatLookOtherwise(t *testing.T) {
	t.Parallel()
	p := policy.Shipped()
	for request, want := range map[string]string{
		"POST /api/vcenter/vm/vm-1/console/tickets%20":                                       policy.RuleForm,
		"POST /api/vcenter/vm/vm-1/console/%09tickets":                                       policy.RuleForm,
		"POST /api/vcenter/vm/vm-1/console/tickets.json":                                     "no-tickets",
		"POST /api/esx/settings/clusters/domain-c8/enablement/configuration/transition":      "host-accounts",
		"POST /rest/esx/settings/clusters/domain-c8/enablement/configuration/transition":     "host-accounts",
		"GET /api/vcenter/guest/customization-specs/a%20name":                                "",
		"POST /api/esx/settings/clusters/domain-c8/software?action=apply":                    "",
		"POST /api/esx/settings/clusters/domain-c8/configuration?action=exportConfig&x=none": "host-accounts",
	} {
		method, raw, _ := strings.Cut(request, " ")
		u, err := url.ParseRequestURI(raw)
		if err != nil {
			t.Fatal(err)
		}
		_, no := p.Path(u)
		if no == nil {
			no = p.REST(method, u)
		}
		got := ""
		if no != nil {
			got = no.Rule
		}
		if got != want {
			t.Errorf("%s: %q; want %q", request, got, want)
		}
	}
}

// What a rule for a host's settings refuses is refused by esxcli too, in whatever way it is written.
func TestSettingsByESXCLI(t *testing.T) {
	t.Parallel()
	for option, want := range map[string]string{
		"/Config/HostAgent/plugins/hostsvc/esxAdminsGroup":      "vcenter-itself",
		"/Config/HostAgent/plugins/hostsvc/esxAdm&#105;nsGroup": "vcenter-itself",
		"/Security/PasswordQualityControl":                      "vcenter-itself",
		"/DCUI/Access":                                          "vcenter-itself",
		"/Net/TcpipHeapSize":                                    "",
	} {
		val := strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(`<option xmlns="urn:vim25">` + option + `</option>`)
		args := `<_this type="ManagedMethodExecuter">x</_this><moid>ha-cli-handler-system-settings-advanced</moid><version>urn:vim25/5.0</version>` +
			`<method>vim.EsxCLI.system.settings.advanced.set</method><argument><name>option</name><val>` + val + `</val></argument>`
		if got := judge(t, policy.Vim, "ExecuteSoap", args, facts()); got != want {
			t.Errorf("%s: %q; want %q", option, got, want)
		}
	}
}

// The cost of a call that names many.
func BenchmarkManyNames(b *testing.B) {
	args := strings.Repeat(`<userIds><name>a</name><domain>b</domain></userIds>`, 20000) + `<groupName>g</groupName>`
	for b.Loop() {
		if got := judge(b, policy.SSO, "AddUsersToLocalGroup", `<_this type="x">y</_this>`+args, facts()); got != "" {
			b.Fatal(got)
		}
	}
}
