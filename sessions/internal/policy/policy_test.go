package policy_test

import (
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/sessions/internal/policy"
)

var update = flag.Bool("update", false, "write testdata/methods.txt")

// What clients need stands beside what is closed.
func TestPaths(t *testing.T) {
	t.Parallel()
	p := policy.Shipped()
	for raw, want := range map[string]string{
		"/sdk":                             "vim",
		"/sdk/vimServiceVersions.xml":      "public",
		"/sdk/pbmServiceVersions.xml":      "public",
		"/about":                           "public",
		"/pbm":                             "pbm",
		"/pbm/sdk":                         "pbm",
		"/sms/sdk":                         "sms",
		"/vslm/sdk":                        "vslm",
		"/lookupservice/sdk":               "lookup",
		"/sts/STSService/vsphere.local":    "sts",
		"/sso-adminserver/sdk/example.org": "sso",
		"/rest/com/vmware/cis/tagging/tag/id:urn:vmomi:InventoryServiceTag:7e:GLOBAL": "rest",
		"/api/vcenter/vm?names=a%2Fb": "api",
		"/folder":                     "content",
		"/folder/vm%20one/disk.vmdk?dcPath=DC%2Fone&dsName=a": "content",
		"/nfc/52b1/disk-0.vmdk":                               "content",
		"/cls/data/7e/disk.ova":                               "content",
		"/sdkx":                                               "path-closed",
		"/sdk/":                                               "path-closed",
		"/sdk/vim25/8.0.1.0/ServiceInstance/ServiceInstance": "no-vi-json",
		"/api":                  "no-json-rpc",
		"/API":                  "no-json-rpc",
		"/mob":                  "no-mob",
		"/eam/mob/":             "no-mob",
		"/eam/sdk":              "path-closed",
		"/ui/":                  "path-closed",
		"/folder/a%2fb":         "form",
		"/folder/a%5Cb":         "form",
		"/folder/a;b":           "form",
		"/folder/%252e%252e/x":  "form",
		"/rest/./com":           "form",
		"/rest/com//vmware":     "form",
		"/websso/SAML2/Metadat": "path-closed",
		"/guestFile":            "path-closed",
		"/screen":               "path-closed",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		got, no := p.Path(u)
		if no != nil {
			got = policy.Service(no.Rule)
		}
		if string(got) != want {
			t.Errorf("Path(%s) = %s; want %s", raw, got, want)
		}
	}
}

func TestREST(t *testing.T) {
	t.Parallel()
	p := policy.Shipped()
	for request, want := range map[string]string{
		"GET /api/session":                                                     "",
		"GET /rest/com/vmware/cis/session":                                     "",
		"POST /rest/com/vmware/cis/session?~action=get":                        "",
		"DELETE /rest/com/vmware/cis/session":                                  "",
		"DELETE /api/session":                                                  "",
		"POST /rest/com/vmware/cis/tagging/tag?~action=list":                   "",
		"POST /rest/com/vmware/vcenter/ovf/library-item/id:7e?~action=deploy":  "",
		"POST /api/vcenter/ovf/library-item/7e?action=deploy":                  "",
		"GET /rest/vcenter/vm":                                                 "",
		"POST /api/vcenter/vm/vm-1?action=relocate":                            "",
		"PATCH /api/content/library/7e":                                        "",
		"GET /api/appliance/health/system":                                     "",
		"POST /api/session":                                                    "no-other-login",
		"POST /API/Session":                                                    "no-other-login",
		"POST /api/session/":                                                   "no-other-login",
		"POST /api/session?~action=get":                                        "no-other-login",
		"POST /api/session?action=get":                                         "no-other-login",
		"POST /rest/com/vmware/cis/session":                                    "no-other-login",
		"POST /rest/com/vmware/cis/session?action=get":                         "no-other-login",
		"POST /rest/cis/session":                                               "no-other-login",
		"POST /api/vcenter/tokenservice/token-exchange":                        "no-other-login",
		"POST /api/vcenter/authentication/token":                               "no-other-login",
		"POST /rest/com/vmware/cis/session?~action=get&~action=create":         "form",
		"POST /api/vcenter/vm?action=clone&~action=x":                          "form",
		"POST /rest/com/vmware/cis/session?~method=DELETE":                     "form",
		"POST /api/vcenter/vm?%zz":                                             "form",
		"POST /api/vcenter/vm/vm-1/console/tickets":                            "no-tickets",
		"GET /rest/vcenter/identity/providers":                                 "sso-configuration",
		"PUT /api/appliance/local-accounts/root":                               "vcenter-itself",
		"GET /api/appliance/local-accounts":                                    "vcenter-itself",
		"PUT /rest/appliance/access/ssh":                                       "vcenter-itself",
		"POST /rest/com/vmware/appliance/recovery/backup/job":                  "vcenter-itself",
		"POST /api/vcenter/certificate-management/vcenter/trusted-root-chains": "trust",
		"PUT /api/esx/settings/clusters/domain-c8/configuration":               "host-accounts",
		"POST /api/esx/settings/clusters/domain-c8/configuration/drafts":       "host-accounts",
		"GET /api/vcenter/namespaces/instances":                                "path-closed",
		"POST /rest/com/vmware/vapi/metadata/cli/source":                       "path-closed",
	} {
		method, raw, _ := strings.Cut(request, " ")
		u, err := url.ParseRequestURI(raw)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if no := p.REST(method, u); no != nil {
			got = no.Rule
		}
		if got != want {
			t.Errorf("%s: %q; want %q", request, got, want)
		}
	}
}

// Every method that govmomi has is listed with what becomes of it: passed, judged by its arguments, or refused by a rule.
// A method that a new version brings has to be looked at: go test -run EveryMethod -update writes the list anew.
func TestEveryMethodHasItsClass(t *testing.T) {
	t.Parallel()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/vmware/govmomi").Output()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	p := policy.Shipped()
	for _, s := range []struct {
		service policy.Service
		from    string
	}{{policy.Vim, "vim25"}, {policy.PBM, "pbm"}, {policy.SMS, "sms"}, {policy.VSLM, "vslm"}, {policy.SSO, "ssoadmin"}, {policy.Lookup, "lookup"}, {policy.EAM, "eam"}} {
		for _, method := range methodsOf(t, filepath.Join(strings.TrimSpace(string(dir)), s.from, "methods")) {
			class := "passes"
			switch need, no := p.Method(s.service, method); {
			case no != nil:
				class = no.Rule
			case need.Arguments:
				class = "judged by its arguments"
			}
			fmt.Fprintf(&b, "%s/%s: %s\n", s.service, method, class)
		}
	}
	const file = "testdata/methods.txt"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	have, listed := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
	for _, line := range have {
		if !slices.Contains(listed, line) {
			t.Errorf("not in %s: %s", file, line)
		}
	}
	for _, line := range listed {
		if !slices.Contains(have, line) {
			t.Errorf("in %s and not so: %s", file, line)
		}
	}
}

var onTheWire = regexp.MustCompile("(?m)^\\s+Req\\s.*`xml:\"urn:\\w+ (\\w+),omitempty\"`$")

// methodsOf are the methods of a package of govmomi's, as they are named in calls.
func methodsOf(t *testing.T, dir string) (all []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", dir, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range onTheWire.FindAllSubmatch(text, -1) {
			all = append(all, string(m[1]))
		}
	}
	slices.Sort(all)
	return all
}

// What govmomi does not know is closed, whatever it is called.
func TestUnknownMethods(t *testing.T) {
	t.Parallel()
	p := policy.Shipped()
	for id, want := range map[string]string{
		"vim/CurrentTime":                     "",
		"vim/currentTime":                     policy.RuleMethod,
		"vim/FetchSoap":                       policy.RuleMethod,
		"vim/RetrieveInternalContent":         policy.RuleMethod,
		"vim/VimEsxCLIsystemaccountadd":       policy.RuleMethod,
		"vim/VirtualMachineConfigSpec":        policy.RuleMethod,
		"vim/SetEntityPermissionsRequestType": policy.RuleMethod,
		"vim/PbmCreate":                       policy.RuleMethod,
		"vim/sso:Get":                         policy.RuleMethod,
		"vim/pbm:PbmCreate":                   policy.RuleMethod,
		"vim/LoginBySSLThumbprint":            "no-other-login",
		"vim/acquireSomeTICKET":               "no-tickets",
		"sts/RequestSecurityToken":            "no-other-login",
		"sts/Whatever":                        "no-other-login",
		"lookup/Set":                          "no-redirection",
		"sso/FindUser":                        "",
		"sso/SetOther":                        policy.RuleMethod,
	} {
		service, method, _ := strings.Cut(id, "/")
		got := ""
		if _, no := p.Method(policy.Service(service), method); no != nil {
			got = no.Rule
		}
		if got != want {
			t.Errorf("%s: %q; want %q", id, got, want)
		}
	}
	if _, no := p.Method(policy.Vim, "DisableMethods"); no != nil {
		t.Errorf("a method that is named in the file is refused: %v", no)
	}
}

func TestAProvidersFile(t *testing.T) {
	t.Parallel()
	extend := func(text string) (*policy.Policy, error) {
		file := filepath.Join(t.TempDir(), "policy.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return policy.Shipped().Extend(file)
	}
	p, err := extend(`
off: [no-mob]
paths:
  - {service: eam, path: [/eam/sdk]}
  - {service: content, path: [/ui, "/mob/**", /shut]}
names:
  cloudadmins: [Customers]
open:
  soap: [vim/FetchSoap, eam/known]
  rest: ["GET ~/vcenter/namespaces/**"]
rules:
  - {name: shut, says: look there, path: [/shut, /pbm]}
  - {name: no-power, says: turn off VMs, soap: [vim/PowerOffVM_Task], rest: ["POST ~/vcenter/vm/*/power?stop"]}
  - {name: not-there, says: touch the management folder, soap: [vim/CreateFolder], where: {_this: [group-v3]}}
`)
	if err != nil {
		t.Fatal(err)
	}
	method := func(s policy.Service, name string) string {
		if _, no := p.Method(s, name); no != nil {
			return no.Rule
		}
		return ""
	}
	request := func(method, raw string) string {
		u, _ := url.Parse(raw)
		if _, no := p.Path(u); no != nil {
			return no.Rule
		}
		if strings.HasPrefix(raw, "/api") {
			if no := p.REST(method, u); no != nil {
				return no.Rule
			}
		}
		return ""
	}
	for what, is := range map[string][2]string{
		"an opened method":       {method(policy.Vim, "FetchSoap"), ""},
		"an opened service":      {method(policy.EAM, "CreateAgency"), ""},
		"its path":               {request(http.MethodPost, "/eam/sdk"), ""},
		"what is off":            {request(http.MethodGet, "/mob/x"), ""},
		"a path of its own":      {request(http.MethodGet, "/ui"), ""},
		"a shut one":             {request(http.MethodGet, "/shut"), "shut"},
		"one that shipped":       {request(http.MethodPost, "/pbm"), "shut"},
		"one beside it":          {request(http.MethodPost, "/sdk"), ""},
		"a rule of its own":      {method(policy.Vim, "PowerOffVM_Task"), "no-power"},
		"that for REST":          {request(http.MethodPost, "/api/vcenter/vm/vm-1/power?action=stop"), "no-power"},
		"what that leaves alone": {request(http.MethodPost, "/api/vcenter/vm/vm-1/power?action=start"), ""},
		"an opened REST path":    {request(http.MethodGet, "/api/vcenter/namespaces/x"), ""},
		"what ships":             {method(policy.Vim, "CloneSession"), "no-tickets"},
		"what nobody opened":     {method(policy.Vim, "FetchOther"), policy.RuleMethod},
	} {
		if is[0] != is[1] {
			t.Errorf("%s: %q; want %q", what, is[0], is[1])
		}
	}
	folder := func(at string) any {
		args, err := policy.Decode(policy.Vim, "CreateFolder", []byte(`<Envelope><Body><CreateFolder xmlns="urn:vim25"><_this type="Folder">`+at+
			`</_this><name>x</name></CreateFolder></Body></Envelope>`))
		if err != nil {
			t.Fatal(err)
		}
		return args
	}
	if no := p.Arguments(policy.Vim, "CreateFolder", folder("group-v3"), policy.Facts{}); no == nil || no.Rule != "not-there" {
		t.Errorf("a call of an object that the file names: %v", no)
	}
	if no := p.Arguments(policy.Vim, "CreateFolder", folder("group-v4"), policy.Facts{}); no != nil {
		t.Errorf("the same of another object: %v", no)
	}
	for what, bad := range map[string]struct{ text, says string }{
		"not YAML":          {"rules: [", "[1:8]"},
		"another key":       {"rules:\n  - name: x\n    say: y\n", "[3:5]"},
		"another off":       {"\noff: [no-other-logon]", "line 2: off[0] is not the name of a shipped rule"},
		"no name":           {"rules:\n  - says: x\n    soap: [vim/X]", "line 2: rules[0] needs a name"},
		"no sentence":       {"rules: [{name: x, soap: [vim/X]}]", "needs says"},
		"nothing":           {"rules: [{name: x, says: y}]", "what it is about"},
		"another service":   {"rules:\n  - name: x\n    says: y\n    soap: [vim/A, wim/X]", "line 4: rules[0].soap[1] is service/Method"},
		"an odd pattern":    {"open: {soap: [Login]}", "is service/Method"},
		"an odd request":    {"open: {rest: [/api/x]}", "METHOD PATH"},
		"an odd HTTP":       {"open: {rest: [FETCH /api/x]}", "HTTP methods"},
		"a relative path":   {"open: {rest: [GET api/x]}", "begins with /"},
		"an odd path":       {"paths: [{service: vim, path: [x]}]", "begins with a slash"},
		"an unknown kind":   {"paths: [{service: x, path: [/x]}]", "is one of"},
		"where without":     {"rules: [{name: x, says: y, rest: [GET /x], where: {a: [b]}}]", "for soap alone"},
		"an unknown check":  {"rules: [{name: x, says: y, soap: [vim/X], check: z}]", "is one of esxcli, global, own, rights, role, setting"},
		"an unknown name":   {"rules: [{name: x, says: y, soap: [vim/X], where: {a: [$b]}}]", "not among the names"},
		"a list of its own": {"names: {administrator: [x]}", "line 1: names.administrator is a list that no rule refers to; there are administrators, "},
		"another argument":  {"rules: [{name: x, says: y, soap: [vim/CreateFolder], where: {nmae: [z]}}]", "looks at nmae, which vim/CreateFolder does not have"},
		"an unknown type":   {"rules: [{name: x, says: y, soap: [vim/X], holds: [Z]}]", "type of the vSphere API"},
		"what is refused":   {"open:\n  soap:\n    - vim/CloneSession", "line 3: open.soap[0] is refused by the rule no-tickets; name that under off"},
		"Airlock's own":     {"names: {airlock: [x]}", "not for a file to say"},
		"too much":          {strings.Repeat("#", 1<<20+1), "more than"},
	} {
		if _, err := extend(bad.text); err == nil || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%s: %v; want an error with %q", what, err, bad.says)
		}
	}
	if _, err := policy.Shipped().Extend("/nowhere"); err == nil {
		t.Error("a file that is not there is taken")
	}
}

func BenchmarkPath(b *testing.B) {
	p := policy.Shipped()
	for _, path := range []string{"/sdk", "/api/vcenter/vm"} {
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				if _, no := p.Path(&url.URL{Path: path}); no != nil {
					b.Fatal(no.Rule)
				}
			}
		})
	}
}
