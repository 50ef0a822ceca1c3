package sessions_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	ssotypes "github.com/vmware/govmomi/ssoadmin/types"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

// target is a private cloud that was made ready to be attacked.
type target struct {
	*fixture
	*outside
	folder, walled      types.ManagedObjectReference // what holds VMs; what CloudAdmins may not see
	cloudAdmins, narrow int32                        // roles; the group has the second one on folder
	other, otherUser    string                       // another session
	user, password      string                       // by which Airlock logs in
}

func newTarget(t *testing.T) *target {
	t.Helper()
	f := newFixture(t)
	v := &target{fixture: f, outside: f.outside(t)}
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	finder := find.NewFinder(v.vim)
	dc, err := finder.DefaultDatacenter(ctx)
	check(err)
	folders, err := dc.Folders(ctx)
	check(err)
	v.folder, v.walled = folders.VmFolder.Reference(), folders.HostFolder.Reference()
	v.cloudAdmins = v.role(t, "CloudAdmins").RoleId
	v.narrow, err = v.roles.AddRole(ctx, "narrow", []string{"Global.Health"})
	check(err)
	check(v.roles.SetEntityPermissions(ctx, v.folder, []types.Permission{{Principal: `VSPHERE.LOCAL\CloudAdmins`, Group: true, RoleId: v.narrow}}))
	check(v.roles.SetEntityPermissions(ctx, v.walled, []types.Permission{
		{Principal: `VSPHERE.LOCAL\CloudAdmins`, Group: true, RoleId: v.role(t, "NoAccess").RoleId},
		{Principal: `VSPHERE.LOCAL\scripting`, RoleId: -1},
	}))
	check(object.NewExtensionManager(v.vim).Register(ctx, types.Extension{Key: "com.example.vendor", Description: &types.Description{Label: "x"}}))
	check(v.sso.CreatePersonUser(ctx, "vendor", ssotypes.AdminPersonDetails{}, "Pa55-word!"))
	check(v.sso.CreateGroup(ctx, "vendors", ssotypes.AdminGroupDetails{}))
	login, err := f.outside(t).session.UserSession(ctx)
	check(err)
	v.other, v.otherUser = login.Key, login.UserName
	v.user, v.password = f.up.User, f.cloud.VCenter().Password.Reveal()
	return v
}

const vsphere = `<domain>vsphere.local</domain>`

// attack is a call that a script must not make.
type attack struct {
	name, rule string
	known      bool // whether the simulated vCenter does it, where no rule refuses it
	service    string
	method     string
	args       func(v *target) string // XML after the method's tag, with _this
}

func this(kind, id string) string { return fmt.Sprintf(`<_this type="%s">%s</_this>`, kind, id) }

func (v *target) permission(on types.ManagedObjectReference, principal string, role int32) string {
	return this("AuthorizationManager", "AuthorizationManager") + fmt.Sprintf(`<entity type="%s">%s</entity>`, on.Type, on.Value) +
		fmt.Sprintf(`<permission><principal>%s</principal><group>true</group><roleId>%d</roleId><propagate>true</propagate></permission>`, principal, role)
}

func constant(s string) func(*target) string { return func(*target) string { return s } }

var (
	sessionsThis = this("SessionManager", "SessionManager")
	rolesThis    = this("AuthorizationManager", "AuthorizationManager")
	peopleThis   = this("SsoAdminPrincipalManagementService", "principalManagementService")
)

// grant attacks with a permission.
func grant(name, rule, principal string, role int32, on func(v *target) types.ManagedObjectReference) attack {
	return attack{name, rule, true, "vim", "SetEntityPermissions", func(v *target) string { return v.permission(on(v), principal, role) }}
}

func theFolder(v *target) types.ManagedObjectReference { return v.folder }
func theWalled(v *target) types.ManagedObjectReference { return v.walled }
func theRoot(v *target) types.ManagedObjectReference   { return v.vim.ServiceContent.RootFolder }

func people(name, rule, method, args string) attack {
	return attack{name, rule, true, "sso", method, constant(peopleThis + args)}
}

func unknown(rule, method string, args func(v *target) string) attack {
	return attack{method, rule, false, "vim", method, args}
}

// The attacks, in an order in which each can succeed where no rule holds.
var attacks = []attack{
	{"clone ticket", "no-tickets", true, "vim", "AcquireCloneTicket", constant(sessionsThis)},
	{"service ticket", "no-tickets", true, "vim", "AcquireGenericServiceTicket", constant(sessionsThis + `<spec xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="SessionManagerHttpServiceRequestSpec"><url>https://x/</url></spec>`)},
	{"others' session", "no-others-session", true, "vim", "TerminateSession", func(v *target) string { return sessionsThis + `<sessionId>` + v.other + `</sessionId>` }},
	unknown("no-other-login", "Login", func(v *target) string {
		return sessionsThis + `<userName>` + v.user + `</userName><password>` + v.password + `x</password>`
	}),
	unknown("no-other-login", "LoginExtensionByCertificate", constant(sessionsThis+`<extensionKey>com.example.vendor</extensionKey>`)),
	unknown("no-other-login", "LoginExtensionBySubjectName", constant(sessionsThis+`<extensionKey>com.example.vendor</extensionKey>`)),
	unknown("no-tickets", "CloneSession", constant(sessionsThis+`<cloneTicket>x</cloneTicket>`)),
	unknown("no-others-session", "ImpersonateUser", constant(sessionsThis+`<userName>nobody</userName>`)),
	unknown("no-tickets", "AcquireTicket", constant(this("VirtualMachine", "vm-1")+`<ticketType>webmks</ticketType>`)),
	unknown("no-tickets", "AcquireCimServicesTicket", constant(this("HostSystem", "host-1"))),
	unknown("unknown-method", "FetchSoap", constant(this("ManagedMethodExecuter", "x")+`<moid>ha-sessionmanager</moid><version>urn:vim25/5.0</version><prop>sessionList</prop>`)),
	unknown("unknown-method", "VimEsxCLIsystemaccountadd", constant(this("VimEsxCLIsystemaccount", "ha-cli-handler-system-account")+`<id>x</id>`)),

	unknown("no-deferred-calls", "CreateScheduledTask", constant(this("ScheduledTaskManager", "ScheduledTaskManager"))),
	{"alarm with a command", "no-deferred-calls", true, "vim", "CreateAlarm", alarm("run", `<action xsi:type="RunScriptAction"><script>x</script></action>`)},
	{"alarm with a call", "no-deferred-calls", true, "vim", "CreateAlarm", alarm("call", `<action xsi:type="MethodAction"><name>SetEntityPermissions</name></action>`)},
	unknown("no-simple-commands", "ExecuteSimpleCommand", constant(this("SimpleCommand", "x"))),

	{"certificate of an extension", "extension-logins", true, "vim", "SetExtensionCertificate", constant(this("ExtensionManager", "ExtensionManager") + `<extensionKey>com.example.vendor</extensionKey>`)},
	{"extension with a subject", "extension-logins", true, "vim", "RegisterExtension", constant(this("ExtensionManager", "ExtensionManager") + `<extension><description><label>l</label><summary>s</summary></description><key>com.example.other</key><version>1</version><subjectName>CN=x</subjectName><lastHeartbeatTime>2026-11-22T13:00:00Z</lastHeartbeatTime></extension>`)},
	{"subject of an extension", "extension-logins", true, "vim", "UpdateExtension", constant(this("ExtensionManager", "ExtensionManager") + `<extension><description><label>l</label><summary>s</summary></description><key>com.example.vendor</key><version>1</version><subjectName>CN=x</subjectName><lastHeartbeatTime>2026-11-22T13:00:00Z</lastHeartbeatTime></extension>`)},
	unknown("extension-logins", "SetPublicKey", constant(this("ExtensionManager", "ExtensionManager")+`<extensionKey>com.example.vendor</extensionKey><publicKey>x</publicKey>`)),
	{"setting of logins", "vcenter-itself", true, "vim", "UpdateOptions", constant(this("OptionManager", "VpxSettings") + `<changedValue xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="OptionValue"><key>config.vpxd.sso.sts.uri</key><value xmlns:xsd="http://www.w3.org/2001/XMLSchema" xsi:type="xsd:string">https://evil/</value></changedValue>`)},

	unknown("host-accounts", "CreateUser", constant(this("HostLocalAccountManager", "ha-localacctmgr")+`<user xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="HostAccountSpec"><id>evil</id></user>`)),
	unknown("host-accounts", "UpdateUser", constant(this("HostLocalAccountManager", "x"))),
	unknown("host-accounts", "ChangeLockdownMode", constant(this("HostAccessManager", "x")+`<mode>lockdownDisabled</mode>`)),
	unknown("host-accounts", "BackupFirmwareConfiguration", constant(this("HostFirmwareSystem", "x"))),
	unknown("host-accounts", "ApplyHostConfig_Task", constant(this("HostProfileManager", "x"))),
	unknown("trust", "ReplaceCACertificatesAndCRLs", constant(this("HostCertificateManager", "x"))),
	execute("esxcli-only", "ha-sessionmanager", "vim.SessionManager.Login"),
	execute("esxcli-only", "ha-localacctmgr", "vim.host.LocalAccountManager.createUser"),
	execute("esxcli-only", "ha-cli-handler-system-hostname", "vim.host.LocalAccountManager.createUser"),
	execute("esxcli-only", "ha-cli-handler-system-hostname", "vim.EsxCLI.network.vm.list"),
	execute("esxcli-only", "ha-localacctmgr", "vim.EsxCLI.system.hostname.get"),
	execute("host-accounts", "ha-cli-handler-system-account", "vim.EsxCLI.system.account.add"),
	execute("host-accounts", "ha-cli-handler-system-account", "vim.EsxCLI.System.Account.add"),
	execute("host-accounts", "ha-cli-handler-system-permission", "vim.EsxCLI.system.permission.set"),

	grant("above its role", "cloudadmins-rights", `VSPHERE.LOCAL\CloudAdmins`, -1, theFolder),
	grant("by its address", "cloudadmins-rights", `cloudadmins@vsphere.local`, -1, theFolder),
	grant("by its name alone", "cloudadmins-rights", `CLOUDADMINS`, -1, theFolder),
	grant("with references", "cloudadmins-rights", `Cloud&#x41;d&#109;ins`, -1, theFolder),
	grant("with space", "cloudadmins-rights", " CloudAdmins\n", -1, theFolder),
	grant("with what is not seen", "cloudadmins-rights", "Cloud\u00adAdmins", -1, theFolder),
	grant("in wide letters", "cloudadmins-rights", "ＣｌｏｕｄＡｄｍｉｎｓ", -1, theFolder),
	grant("for everyone", "cloudadmins-rights", `VSPHERE.LOCAL\Everyone`, -1, theFolder),
	grant("less on the root", "cloudadmins-rights", `VSPHERE.LOCAL\CloudAdmins`, -2, theRoot),
	grant("through the wall", "cloudadmins-rights", `VSPHERE.LOCAL\CloudAdmins`, -2, theWalled),
	grant("a role that is not there", "cloudadmins-rights", `VSPHERE.LOCAL\CloudAdmins`, 99, theFolder),
	grant("to Airlock's user", "no-own-user", `VSPHERE.LOCAL\scripting`, -5, theFolder),
	{"the second of two", "cloudadmins-rights", true, "vim", "SetEntityPermissions", func(v *target) string {
		return v.permission(v.folder, "vendor", -1) + `<permission><principal>CloudAdmins</principal><group>true</group><roleId>-1</roleId><propagate>true</propagate></permission>`
	}},
	{"the last of two names", "form", false, "vim", "SetEntityPermissions", func(v *target) string {
		return strings.Replace(v.permission(v.folder, "CloudAdmins", -1), "<principal>", "<principal>vendor</principal><principal>", 1)
	}},
	{"a name in pieces", "form", false, "vim", "SetEntityPermissions", func(v *target) string {
		return v.permission(v.folder, "Cloud<x/>Admins", -1)
	}},
	{"a type that says so", "cloudadmins-rights", true, "vim", "SetEntityPermissions", func(v *target) string {
		return strings.Replace(v.permission(v.folder, "CloudAdmins", -1), "<permission>", `<permission xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Permission">`, 1)
	}},
	{"wider what it holds", "cloudadmins-rights", true, "vim", "UpdateAuthorizationRole", func(v *target) string {
		return rolesThis + fmt.Sprintf(`<roleId>%d</roleId><newName>narrow</newName><privIds>Host.Config.Network</privIds>`, v.narrow)
	}},
	{"through the wall by removal", "cloudadmins-rights", true, "vim", "RemoveEntityPermission", func(v *target) string {
		return rolesThis + fmt.Sprintf(`<entity type="Folder">%s</entity><user>VSPHERE.LOCAL\CloudAdmins</user><isGroup>true</isGroup>`, v.walled.Value)
	}},
	{"what is its own", "cloudadmins-rights", true, "vim", "RemoveEntityPermission", func(v *target) string {
		return rolesThis + `<entity type="Folder">` + v.vim.ServiceContent.RootFolder.Value + `</entity><user>VSPHERE.LOCAL\CloudAdmins</user><isGroup>true</isGroup>`
	}},
	{"Airlock's permission", "no-own-user", true, "vim", "RemoveEntityPermission", func(v *target) string {
		return rolesThis + fmt.Sprintf(`<entity type="Folder">%s</entity><user>VSPHERE.LOCAL\scripting</user><isGroup>false</isGroup>`, v.walled.Value)
	}},
	{"a role of its name", "cloudadmins-role", true, "vim", "AddAuthorizationRole", constant(rolesThis + `<name>cloudadmin</name><privIds>Host.Config.Network</privIds>`)},
	{"its role", "cloudadmins-role", true, "vim", "UpdateAuthorizationRole", func(v *target) string {
		return rolesThis + fmt.Sprintf(`<roleId>%d</roleId><newName>CloudAdmins</newName><privIds>Host.Config.Network</privIds>`, v.cloudAdmins)
	}},
	{"merged", "cloudadmins-role", true, "vim", "MergePermissions", func(v *target) string {
		return rolesThis + fmt.Sprintf(`<srcRoleId>%d</srcRoleId><dstRoleId>-1</dstRoleId>`, v.narrow)
	}},
	{"reset", "cloudadmins-role", true, "vim", "ResetEntityPermissions", func(v *target) string {
		return rolesThis + `<entity type="Folder">` + v.folder.Value + `</entity>`
	}},
	{"without its role", "cloudadmins-role", true, "vim", "RemoveAuthorizationRole", func(v *target) string {
		return rolesThis + fmt.Sprintf(`<roleId>%d</roleId><failIfUsed>false</failIfUsed>`, v.cloudAdmins)
	}},

	people("an administrator", "administrators", "AddUsersToLocalGroup", `<userIds><name>vendor</name>`+vsphere+`</userIds><groupName>Administrators</groupName>`),
	people("an administrator, with space", "administrators", "AddUsersToLocalGroup", `<userIds><name>vendor</name>`+vsphere+`</userIds><groupName> administrators </groupName>`).odd(),
	people("CloudAdmins administrators", "cloudadmins-group", "AddGroupsToLocalGroup", `<groupIds><name>CloudAdmins</name>`+vsphere+`</groupIds><groupName>vendors</groupName>`),
	people("administrators by a group", "administrators", "AddGroupsToLocalGroup", `<groupIds><name>vendors</name>`+vsphere+`</groupIds><groupName>Administrators</groupName>`),
	people("password of an administrator", "administrators", "ResetLocalPersonUserPassword", `<userName>administrator</userName><newPassword>x</newPassword>`),
	people("administrator out", "administrators", "RemovePrincipalsFromLocalGroup", `<principalsIds><name>administrator</name>`+vsphere+`</principalsIds><groupName>Administrators</groupName>`),
	people("solution user", "administrators", "CreateLocalSolutionUser", `<userName>svc</userName><userDetails><certificate>x</certificate></userDetails>`),
	people("the group's description", "cloudadmins-group", "UpdateLocalGroupDetails", `<groupName>CloudAdmins</groupName><groupDetails><description>x</description></groupDetails>`),
	people("Airlock's password", "no-own-user", "ResetLocalPersonUserPassword", `<userName>scripting</userName><newPassword>x</newPassword>`),
	people("Airlock out", "no-own-user", "RemovePrincipalsFromLocalGroup", `<principalsIds><name>scripting</name>`+vsphere+`</principalsIds><groupName>CloudAdmins</groupName>`),
	people("without the group", "cloudadmins-group", "DeleteLocalPrincipal", `<principalName>CloudAdmins</principalName>`),
	people("without administrator", "administrators", "DeleteLocalPrincipal", `<principalName>administrator</principalName>`),
	people("without Airlock", "no-own-user", "DeleteLocalPrincipal", `<principalName>scripting</principalName>`),
	{"tokens' signer", "sso-configuration", false, "sso", "SetSignerIdentity", constant(this("SsoAdminConfigurationManagementService", "configurationManagementService"))},
	{"the STS elsewhere", "no-redirection", false, "lookup", "Set", constant(this("LookupServiceRegistration", "ServiceRegistration") + `<serviceId>x</serviceId>`)},
}

// odd says that the simulated vCenter does not take this form of it.
func (a attack) odd() attack { a.known = false; return a }

func execute(rule, moid, method string) attack {
	return attack{moid + " " + method, rule, false, "vim", "ExecuteSoap", func(v *target) string {
		return this("ReflectManagedMethodExecuter", "x") + `<moid>` + moid + `</moid><version>urn:vim25/5.0</version><method>` + method + `</method>`
	}}
}

func alarm(name, action string) func(*target) string {
	return constant(this("AlarmManager", "AlarmManager") + `<entity type="Folder">group-d1</entity>` +
		`<spec xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="AlarmSpec"><name>` + name + `</name><description>b</description><enabled>true</enabled>` +
		`<expression xsi:type="OrAlarmExpression"><expression xsi:type="StateAlarmExpression"><operator>isEqual</operator><type>VirtualMachine</type><statePath>runtime.powerState</statePath></expression></expression>` +
		`<action xsi:type="GroupAlarmAction"><action xsi:type="AlarmTriggeringAction">` + action + `<green2yellow>false</green2yellow><yellow2red>true</yellow2red><red2yellow>false</red2yellow><yellow2green>false</yellow2green></action></action></spec>`)
}

var paths = map[string][2]string{
	"vim": {"/sdk", "urn:vim25"}, "sso": {"/sso-adminserver/sdk/vsphere.local", "urn:sso"}, "lookup": {"/lookupservice/sdk", "urn:lookup"},
}

// raw is a request as it goes over the wire.
type raw struct {
	body    string
	token   string
	gzip    bool
	chunked bool
}

// send sends SOAP over one connection after the other and returns status and body.
func send(t *testing.T, rt http.RoundTripper, host, path string, q raw) (int, string) {
	t.Helper()
	body := []byte(q.body)
	if q.gzip {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(body)
		_ = z.Close()
		body = b.Bytes()
	}
	var in io.Reader = bytes.NewReader(body)
	if q.chunked {
		in = io.MultiReader(in) // of no known length
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+host+path, in)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/xml; charset=utf-8")
	if q.token != "" {
		r.Header.Set("Cookie", "vmware_soap_session="+q.token)
	}
	if q.gzip {
		r.Header.Set("Content-Encoding", "gzip")
	}
	res, err := rt.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

var xmlTags = regexp.MustCompile(`<(/?)([A-Za-z_]\w*)`)

// form is a way to write a call.
type form struct {
	name  string
	write func(a attack, namespace, args string) raw
	rules []string // that may refuse it beside the attack's own; form alone where that is the first
}

// unread says that the form itself is refused, whatever is called.
func (f form) unread() bool { return slices.Equal(f.rules, []string{"form"}) }

func plainly(a attack, namespace, args string) string {
	return `<` + a.method + ` xmlns="` + namespace + `">` + args + `</` + a.method + `>`
}

var forms = []form{
	{"as it is", func(a attack, ns, args string) raw { return raw{body: envelopeOf(plainly(a, ns, args))} }, nil},
	{"with odd prefixes", func(a attack, ns, args string) raw {
		return raw{body: envelopeOf(strings.Replace(xmlTags.ReplaceAllString(plainly(a, ns, args), "<${1}z-9.:$2"), "xmlns=", "xmlns:z-9.=", 1))}
	}, nil},
	{"in another namespace", func(a attack, _, args string) raw {
		return raw{body: envelopeOf(plainly(a, "urn:internalvim25", args))}
	}, nil},
	{"chunked", func(a attack, ns, args string) raw { return raw{body: envelopeOf(plainly(a, ns, args)), chunked: true} }, nil},
	{"behind a header", func(a attack, ns, args string) raw {
		return raw{body: strings.Replace(envelopeOf(plainly(a, ns, args)), "<soapenv:Body>", "<soapenv:Header><CurrentTime/><Body/></soapenv:Header><soapenv:Body>", 1)}
	}, nil},
	{"in another case", func(a attack, ns, args string) raw {
		a.method = strings.ToUpper(a.method)
		return raw{body: envelopeOf(plainly(a, ns, args))}
	}, []string{"unknown-method"}},
	{"gzip", func(a attack, ns, args string) raw { return raw{body: envelopeOf(plainly(a, ns, args)), gzip: true} }, []string{"form"}},
	{"with a comment", func(a attack, ns, args string) raw { return raw{body: envelopeOf(plainly(a, ns, "<!-- -->"+args))} }, []string{"form"}},
	{"with CDATA", func(a attack, ns, args string) raw { return raw{body: envelopeOf(plainly(a, ns, args+"<![CDATA[]]>"))} }, []string{"form"}},
	{"with a DTD", func(a attack, ns, args string) raw {
		return raw{body: strings.Replace(envelopeOf(plainly(a, ns, args)), "<soapenv:Envelope", `<!DOCTYPE e [<!ENTITY n "CloudAdmins">]><soapenv:Envelope`, 1)}
	}, []string{"form"}},
	{"after another call", func(a attack, ns, args string) raw {
		return raw{body: envelopeOf(`<CurrentTime/>` + plainly(a, ns, args))}
	}, []string{"form"}},
	{"in a second body", func(a attack, ns, args string) raw {
		return raw{body: strings.Replace(envelopeOf(plainly(a, ns, args)), "<soapenv:Body>", "<soapenv:Body><CurrentTime/></soapenv:Body><soapenv:Body>", 1)}
	}, []string{"form"}},
}

// Each attack, in each form, is refused with the name of its rule, which is in the audit too; and nothing has changed.
func TestAttacks(t *testing.T) {
	t.Parallel()
	v := newTarget(t)
	g, _ := v.open(t, "one")
	second, _ := v.open(t, "two")
	s := &script{Grant: g}
	rt := s.soapClient(t).DefaultTransport()
	before := v.state(t)
	refused := 0
	attempt := func(name, rules, path string, q raw) {
		t.Helper()
		allowed := strings.Split(rules, "|")
		start := len(v.events.refusals())
		status, body := send(t, rt, g.VCenter.Host, path, q)
		after := v.events.refusals()
		if status < 400 || len(after) != start+1 || !slices.Contains(allowed, after[len(after)-1]) {
			t.Errorf("%s: %d %.400s, audited as %q; want that a rule of %s refuses it", name, status, body, after[start:], rules)
			return
		}
		if rule := after[len(after)-1]; !strings.Contains(body, "(rule "+rule+")") {
			t.Errorf("%s: %d %.400s does not name the rule %s", name, status, body, rule)
		}
		refused++
	}
	seen := map[string]bool{}
	for _, a := range attacks {
		args, at := a.args(v), paths[a.service]
		for i, f := range forms {
			if i > 1 && seen[a.method] { // the arguments make no difference there
				break
			}
			q := f.write(a, at[1], args)
			q.token = g.Token.Reveal()
			rules := append([]string{a.rule}, f.rules...)
			if f.unread() {
				rules = f.rules
			}
			attempt(a.method+" ("+a.name+") "+f.name, strings.Join(rules, "|"), at[0], q)
		}
		attempt(a.method+" with another execution's token", a.rule+"|no-session", at[0],
			raw{body: envelopeOf(plainly(a, at[1], args)), token: second.Token.Reveal()})
		seen[a.method] = true
	}
	for request, rule := range map[string]string{
		"POST /rest/com/vmware/cis/session?~method=DELETE":             "form",
		"POST /rest/com/vmware/cis/session?~action=get&~action=create": "form",
		"POST /API/session": "path-closed|no-other-login",
		"PUT /api/session":  "no-other-login",
		"POST /api/vcenter/tokenservice/token-exchange":                        "no-other-login",
		"POST /api/vcenter/vm/vm-1/console/tickets":                            "no-tickets",
		"POST /rest/vcenter/vm/vm-1/console/tickets":                           "no-tickets",
		"POST /rest/com/vmware/vcenter/vm/vm-1/console/tickets/":               "no-tickets",
		"POST /api/vcenter/identity/providers":                                 "sso-configuration",
		"PUT /api/appliance/local-accounts/root":                               "vcenter-itself",
		"PATCH /rest/appliance/local-accounts/root":                            "vcenter-itself",
		"PUT /api/appliance/access/shell":                                      "vcenter-itself",
		"POST /api/appliance/recovery/backup/jobs":                             "vcenter-itself",
		"POST /api/appliance/support-bundle":                                   "vcenter-itself",
		"POST /api/vcenter/certificate-management/vcenter/trusted-root-chains": "trust",
		"PUT /api/vcenter/certificate-management/vcenter/tls":                  "trust",
		"PUT /api/esx/settings/clusters/domain-c8/configuration":               "host-accounts",
		"POST /api":  "no-json-rpc",
		"POST /api/": "no-json-rpc",
		"POST /sdk/vim25/8.0.3.0/SessionManager/SessionManager/Login": "no-vi-json",
		"GET /mob/?moid=AuthorizationManager":                         "no-mob",
		"POST /mob":                                                   "no-mob",
		"GET /rest/../mob":                                            "form",
		"GET /api/%2e%2e/mob":                                         "form",
		"GET /folder/..%2fmob":                                        "form",
		"GET //mob":                                                   "form",
		"GET /invsvc/mob/":                                            "no-mob",
		"POST /eam/sdk":                                               "path-closed",
		"GET /host/ssh_root_authorized_keys":                          "path-closed",
		"PUT /host/ssh_root_authorized_keys":                          "path-closed",
		"GET /guestFile?id=1&token=x":                                 "path-closed",
		"GET /screen?id=vm-1":                                         "path-closed",
		"GET /cgi-bin/vm-support.cgi":                                 "path-closed",
		"TRACE /sdk":                                                  "form",
	} {
		method, path, _ := strings.Cut(request, " ")
		start := len(v.events.refusals())
		status, body := s.ask(t, method, path, "{}", "Vmware-Api-Session-Id", g.Token.Reveal(), "Content-Type", "application/json")
		after := v.events.refusals()
		if status < 400 || len(after) != start+1 || !strings.Contains("|"+rule+"|", "|"+after[len(after)-1]+"|") || !strings.Contains(body, after[len(after)-1]) {
			t.Errorf("%s: %d %.300s, audited as %q; want that %s refuses it", request, status, body, after[start:], rule)
			continue
		}
		refused++
	}
	if after := v.state(t); after != before {
		t.Errorf("the attacks have changed something. Before:\n%s\nafter:\n%s", before, after)
	}
	active, err := methods.SessionIsActive(t.Context(), v.vim, &types.SessionIsActive{
		This: *v.vim.ServiceContent.SessionManager, SessionID: v.other, UserName: v.otherUser,
	})
	if err != nil || !active.Returnval {
		t.Errorf("the other session is active: %+v, %v", active, err)
	}
	t.Logf("%d attempts were refused", refused)
}

// What is refused would be done otherwise: with the rules switched off, the simulated vCenter does it.
func TestAttacksWouldSucceed(t *testing.T) {
	t.Parallel()
	v := newTarget(t)
	rules, err := os.ReadFile("internal/policy/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^  - name: (\S+)$`).FindAllStringSubmatch(string(rules), -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	file := filepath.Join(t.TempDir(), "policy.yaml")
	text := "off: [" + strings.Join(slices.Compact(names), ", ") + "]\nopen: {soap: [sso/known]}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.broker.ExtendPolicy(file); err != nil {
		t.Fatal(err)
	}
	g, _ := v.open(t, "one")
	s := &script{Grant: g}
	rt := s.soapClient(t).DefaultTransport()
	did := 0
	for _, a := range attacks {
		if !a.known {
			continue
		}
		at := paths[a.service]
		q := forms[0].write(a, at[1], a.args(v))
		q.token = g.Token.Reveal()
		if status, body := send(t, rt, g.VCenter.Host, at[0], q); status != 200 {
			t.Errorf("%s (%s): %d %.300s; want that it is done", a.method, a.name, status, body)
			continue
		}
		did++
	}
	t.Logf("%d of %d were done", did, len(attacks))
}

// What cannot be judged is not passed on, nor is it left out of what is.
func TestWhatIsJudgedIsSent(t *testing.T) {
	t.Parallel()
	v := newTarget(t)
	g, _ := v.open(t, "one")
	s := &script{Grant: g}
	rt := s.soapClient(t).DefaultTransport()
	set := v.permission(v.folder, "vendor", -1)
	options := this("OptionManager", "VpxSettings")
	const types = `xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type=`
	for what, call := range map[string]string{
		"two names":              `<SetEntityPermissions xmlns="urn:vim25">` + strings.Replace(set, "<principal>", "<principal>CloudAdmins</principal><principal>", 1) + `</SetEntityPermissions>`,
		"another argument":       `<SetEntityPermissions xmlns="urn:vim25">` + set + `<evil>x</evil></SetEntityPermissions>`,
		"text between arguments": `<SetEntityPermissions xmlns="urn:vim25">` + set + `x</SetEntityPermissions>`,
		"another type":           `<UpdateOptions xmlns="urn:vim25">` + options + `<changedValue ` + types + `"Other"><key>x</key></changedValue></UpdateOptions>`,
		"a type of others":       `<UpdateOptions xmlns="urn:vim25">` + options + `<changedValue ` + types + `"HostAccountSpec"><id>x</id></changedValue></UpdateOptions>`,
	} {
		status, body := send(t, rt, g.VCenter.Host, "/sdk", raw{body: envelopeOf(call), token: g.Token.Reveal()})
		if status != 500 || !strings.Contains(body, "rule form") {
			t.Errorf("%s: %d %.400s; want that it is refused", what, status, body)
		}
	}
	for _, principal := range []string{"vendor", "CloudAdmins"} {
		if role := v.granted(t, v.folder, principal); role != 0 {
			t.Errorf("%s has the role %d", principal, role)
		}
	}
	q := raw{body: envelopeOf(`<SetEntityPermissions xmlns="urn:vim25">` + set + `</SetEntityPermissions>`), token: g.Token.Reveal()}
	if status, body := send(t, rt, g.VCenter.Host, "/sdk", q); status != 200 || v.granted(t, v.folder, "vendor") != -1 {
		t.Errorf("the same without: %d %.300s", status, body)
	}
	// The session in the header goes along.
	q.token = ""
	q.body = strings.Replace(envelopeOf(`<AddAuthorizationRole xmlns="urn:vim25">`+rolesThis+`<name>by-header</name></AddAuthorizationRole>`),
		"<soapenv:Body>", "<soapenv:Header><vcSessionCookie>"+g.Token.Reveal()+"</vcSessionCookie></soapenv:Header><soapenv:Body>", 1)
	if _, body := send(t, rt, g.VCenter.Host, "/sdk", q); strings.Contains(body, "rule ") {
		t.Errorf("a call that carries its session in the header is refused: %.300s", body)
	}
}

// Two calls at once, each of them harmless by itself, do not give the group more than its role has.
func TestTwoCallsAtOnce(t *testing.T) {
	t.Parallel()
	v := newTarget(t)
	g, _ := v.open(t, "one")
	c := (&script{Grant: g}).vim(t)
	am := object.NewAuthorizationManager(c)
	for i := range 4 {
		role, err := am.AddRole(t.Context(), fmt.Sprintf("role-%d", i), []string{"Global.Health"})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 2)
		go func() {
			done <- am.SetEntityPermissions(t.Context(), v.folder, []types.Permission{{Principal: `VSPHERE.LOCAL\CloudAdmins`, Group: true, RoleId: role}})
		}()
		go func() {
			_, err := methods.UpdateAuthorizationRole(t.Context(), c, &types.UpdateAuthorizationRole{
				This: am.Reference(), RoleId: role, NewName: fmt.Sprintf("role-%d", i), PrivIds: []string{"Host.Config.Network"},
			})
			done <- err
		}()
		first, second := <-done, <-done
		if (first == nil) == (second == nil) {
			t.Errorf("the two ended with %v and %v; want that one of them is refused", first, second)
		}
	}
}
