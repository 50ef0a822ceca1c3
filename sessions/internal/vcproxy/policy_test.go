package vcproxy

import (
	"net/http"
	"net/url"
	"testing"
)

// What clients need stands beside what is closed; the latter is shown from outside, in the tests of package sessions.
func TestOpenPaths(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]service{
		"/sdk":                             soap,
		"/sdk/vimServiceVersions.xml":      public,
		"/sdk/pbmServiceVersions.xml":      public,
		"/about":                           public,
		"/pbm":                             soap,
		"/pbm/sdk":                         soap,
		"/sms/sdk":                         soap,
		"/vslm/sdk":                        soap,
		"/lookupservice/sdk":               soap,
		"/sts/STSService/vsphere.local":    soap,
		"/sso-adminserver/sdk/example.org": sso,
		"/rest/com/vmware/cis/tagging/tag/id:urn:vmomi:InventoryServiceTag:7e:GLOBAL": rest,
		"/api/vcenter/vm?names=a%2Fb": api,
		"/folder":                     content,
		"/folder/vm%20one/disk.vmdk?dcPath=DC%2Fone&dsName=a": content,
		"/nfc/52b1/disk-0.vmdk":                               content,
		"/cls/data/7e/disk.ova":                               content,
		"/sdkx":                                               none,
		"/sdk/":                                               none,
		"/sdk/vim25/8.0.1.0/ServiceInstance/ServiceInstance": none,
		"/api":                  none,
		"/rest/":                none,
		"/ui/":                  none,
		"/folder/a%2fb":         none,
		"/folder/a%5Cb":         none,
		"/folder/a;b":           none,
		"/folder/%252e%252e/x":  none,
		"/rest/./com":           none,
		"/rest/com//vmware":     none,
		"/invsvc/mob3/":         none,
		"/websso/SAML2/Metadat": none,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := classify(u); got != want {
			t.Errorf("classify(%s) = %d; want %d", raw, got, want)
		}
	}
}

func TestRESTSessionMayBeSeen(t *testing.T) {
	t.Parallel()
	for _, open := range []struct {
		method, path string
		logout       bool
	}{
		{http.MethodGet, "/api/session", false},
		{http.MethodGet, "/rest/com/vmware/cis/session", false},
		{http.MethodPost, "/rest/com/vmware/cis/session?~action=get", false},
		{http.MethodDelete, "/rest/com/vmware/cis/session", true},
		{http.MethodDelete, "/api/session", true},
		{http.MethodPost, "/rest/com/vmware/cis/tagging/tag?~action=list", false},
	} {
		r, err := http.NewRequest(open.method, "https://vc"+open.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if rule, what, logout := closedREST(r); rule != "" || logout != open.logout {
			t.Errorf("%s %s = %q, %q, %v; want that it passes", open.method, open.path, rule, what, logout)
		}
	}
}
