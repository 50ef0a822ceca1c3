package policy_test

import (
	"bytes"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/airlock-run/airlock/sessions/internal/envelope"
	"github.com/airlock-run/airlock/sessions/internal/policy"
)

const (
	head = `<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><s:Body>`
	tail = `</s:Body></s:Envelope>`
)

// judgedCalls are of the methods whose arguments decide, one each at least.
var judgedCalls = []string{
	`<SetEntityPermissions xmlns="urn:vim25"><_this type="AuthorizationManager">AuthorizationManager</_this><entity type="Folder">group-v3</entity><permission><principal>VSPHERE.LOCAL\CloudAdmins</principal><group>true</group><roleId>-2</roleId><propagate>true</propagate></permission></SetEntityPermissions>`,
	`<v:RemoveEntityPermission xmlns:v="urn:vim25"><v:_this type="AuthorizationManager">AuthorizationManager</v:_this><v:entity type="Folder">group-d1</v:entity><v:user>Cloud&#65;dmins</v:user><v:isGroup>1</v:isGroup></v:RemoveEntityPermission>`,
	`<UpdateAuthorizationRole xmlns="urn:vim25"><_this type="AuthorizationManager">A</_this><roleId>1001</roleId><roleId>5</roleId><newName> x </newName><privIds>System.Read</privIds><privIds>Global.Health</privIds></UpdateAuthorizationRole>`,
	`<AddAuthorizationRole xmlns="urn:vim25"><_this type="AuthorizationManager">A</_this><name>a&amp;b</name></AddAuthorizationRole>`,
	`<RemoveAuthorizationRole xmlns="urn:vim25"><_this type="AuthorizationManager">A</_this><roleId>1001</roleId><failIfUsed>false</failIfUsed></RemoveAuthorizationRole>`,
	`<UpdateOptions xmlns="urn:vim25"><_this type="OptionManager">VpxSettings</_this><changedValue xsi:type="OptionValue"><key>mail.smtp.port</key><value xsi:type="xsd:int" xmlns:xsd="http://www.w3.org/2001/XMLSchema">25</value></changedValue></UpdateOptions>`,
	`<CreateAlarm xmlns="urn:vim25"><_this type="AlarmManager">AlarmManager</_this><entity type="Folder">group-d1</entity><spec xsi:type="AlarmSpec"><name>a</name><description>b</description><enabled>true</enabled><expression xsi:type="OrAlarmExpression"><expression xsi:type="StateAlarmExpression"><operator>isEqual</operator><type>VirtualMachine</type><statePath>runtime.powerState</statePath></expression></expression><action xsi:type="GroupAlarmAction"><action xsi:type="AlarmTriggeringAction"><action xsi:type="RunScriptAction"><script>x</script></action><green2yellow>false</green2yellow><yellow2red>true</yellow2red><red2yellow>false</red2yellow><yellow2green>false</yellow2green></action></action></spec></CreateAlarm>`,
	`<RegisterExtension xmlns="urn:vim25"><_this type="ExtensionManager">ExtensionManager</_this><extension><description><label>l</label><summary>s</summary></description><key>k</key><version>1</version><subjectName>CN=x</subjectName><lastHeartbeatTime>2026-11-22T13:00:00Z</lastHeartbeatTime></extension></RegisterExtension>`,
	`<ExecuteSoap xmlns="urn:vim25"><_this type="ReflectManagedMethodExecuter">managed-method-executer-1</_this><moid>ha-cli-handler-system-hostname</moid><version>urn:vim25/5.0</version><method>vim.EsxCLI.system.hostname.get</method><argument><name>x</name><val>&lt;x&gt;1&lt;/x&gt;</val></argument></ExecuteSoap>`,
	`<AddUsersToLocalGroup xmlns="urn:sso"><_this type="SsoAdminPrincipalManagementService">p</_this><userIds><name>v</name><domain>vsphere.local</domain></userIds><groupName>CloudAdmins</groupName></AddUsersToLocalGroup>`,
}

// What is judged is what is sent: a call that is written anew is read as it was before, by Airlock and by the scanner.
func FuzzWrittenAnew(f *testing.F) {
	p := policy.Shipped()
	for _, call := range judgedCalls {
		f.Add([]byte(head + call + tail))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		scanned, err := envelope.Scan(body)
		if err != nil {
			return
		}
		for _, s := range []policy.Service{policy.Vim, policy.SSO} {
			if need, no := p.Method(s, scanned.Method); no != nil || !need.Arguments {
				continue
			}
			args, err := policy.Decode(s, scanned.Method, body)
			if err != nil {
				continue
			}
			anew, err := policy.Encode(s, scanned.Method, args, []string{"session<&>"})
			if err != nil {
				continue
			}
			if again, err := envelope.Scan(anew); err != nil || again.Method != scanned.Method || len(again.Sessions) != 1 {
				// What cannot be scanned is refused; what can be must be the same.
				if err == nil {
					t.Errorf("written anew it is the method %q with %d sessions, not %q: %s", again.Method, len(again.Sessions), scanned.Method, anew)
				}
				continue
			}
			read, err := policy.Decode(s, scanned.Method, anew)
			if err != nil {
				t.Errorf("written anew it cannot be read: %v\n%s", err, anew)
				continue
			}
			if d := cmp.Diff(args, read); d != "" {
				t.Errorf("written anew it is read in another way (-judged +sent):\n%s\n%s", d, anew)
			}
			if once, err := policy.Encode(s, scanned.Method, read, []string{"session<&>"}); err != nil || !bytes.Equal(once, anew) {
				t.Errorf("written once more it differs: %v\n%s\n%s", err, anew, once)
			}
			p.Arguments(s, scanned.Method, args, policy.Facts{User: "scripting@vsphere.local"}) // panics nowhere
		}
	})
}

// FuzzForm: a form that is read is written so that it reads the same again.
func FuzzForm(f *testing.F) {
	grant := "<permissions><principal><name>a</name><group>false</group></principal><roles>-1</roles><propagate>true</propagate></permissions>"
	f.Add("AddGlobalAccessControlList", []byte(url.Values{"vmware-session-nonce": {"n"}, "permissions": {grant}}.Encode()))
	f.Add("RemoveGlobalAccess", []byte("vmware-session-nonce=n&principals=%3Cprincipals%3E%3Cname%3Ea%3C%2Fname%3E%3C%2Fprincipals%3E"))
	f.Fuzz(func(t *testing.T, method string, body []byte) {
		if method != "AddGlobalAccessControlList" && method != "RemoveGlobalAccess" {
			t.Skip()
		}
		args, anew, err := policy.DecodeForm(method, body)
		if err != nil {
			return
		}
		again, twice, err := policy.DecodeForm(method, anew)
		if err != nil || !cmp.Equal(args, again) || !bytes.Equal(anew, twice) {
			t.Errorf("%q is read as %+v, written as %q, and then read as %+v, %v", body, args, anew, again, err)
		}
	})
}
