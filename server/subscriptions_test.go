package server_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/server/internal/role"
)

// ids are the ids of a list that somebody asks for.
func (e *env) ids(who, path string) string {
	e.t.Helper()
	var ids []string
	for _, one := range decode[listReply[struct{ ID string }]](e.t, e.as(who, "GET", path, "").want(e.t, 200, "")).Value {
		ids = append(ids, one.ID)
	}
	return strings.Join(ids, " ")
}

// Lists above a private cloud have what the sender may read, and an empty list is one too.
func TestListsAreFiltered(t *testing.T) {
	t.Parallel()
	e := startWith(t, person("none"), person("one"), person("publisher"), person("group"))
	other := domain.PrivateCloud{ID: domain.CloudID{Subscription: "Other", ResourceGroup: "Group-2", Name: "Cloud-3"}, Location: "elsewhere", SKU: "av36"}
	if err := e.store.PutPrivateCloud(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	e.give(role.Operator, cloudScope, person("one").Principal)
	e.give(role.PackagePublisher, domain.Everywhere, person("publisher").Principal)
	e.give(role.Reader, groupScope, person("group").Principal)
	e.give(role.PackagePublisher, "/subscriptions/Third", person("group").Principal)

	sub, second := string(subscriptionScope), strings.Replace(cloudPath, "Cloud-1", "Cloud-2", 1)
	const avs = "/providers/Microsoft.AVS/privateClouds"
	for path, want := range map[string]map[string]string{
		"/subscriptions":                   {token: sub + " /subscriptions/Other", "none": "", "one": sub, "publisher": "", "group": sub + " /subscriptions/Third"},
		sub + "/resourceGroups":            {token: string(groupScope), "none": "", "one": string(groupScope), "publisher": "", "group": string(groupScope)},
		sub + "/resources":                 {token: cloudPath + " " + second, "none": "", "one": cloudPath, "publisher": "", "group": cloudPath + " " + second},
		string(groupScope) + "/resources":  {token: cloudPath + " " + second, "none": "", "one": cloudPath},
		sub + avs:                          {token: cloudPath + " " + second, "none": "", "one": cloudPath, "publisher": "", "group": cloudPath + " " + second},
		string(groupScope) + avs:           {token: cloudPath + " " + second, "none": "", "one": cloudPath},
		"/subscriptions/other" + avs:       {token: other.ID.String(), "none": "", "group": ""},
		"/subscriptions/OTHER/resources":   {token: other.ID.String(), "none": "", "one": ""},
		"/subscriptions/unheard/resources": {token: "", "none": ""},
		"/tenants":                         {token: "/tenants/adfs", "none": "/tenants/adfs"},
	} {
		for who, want := range want {
			if got := e.ids(who, path); got != want {
				t.Errorf("%s to %.9s: %s; want %s", path, who, got, want)
			}
		}
	}
	e.as("group", "GET", "/subscriptions/third", "").want(t, 200, "")
	e.as("none", "GET", "/subscriptions/third", "").want(t, 403, errors.AuthorizationFailed)
	e.do("GET", "/subscriptions/fourth", "").want(t, 404, errors.ResourceNotFound)
	e.do("GET", sub+"/resourceGroups/unheard", "").want(t, 404, errors.ResourceNotFound)
	e.as("one", "GET", sub+"/resourceGroups/unheard", "").want(t, 403, errors.AuthorizationFailed)
}

func TestResourcesByFilter(t *testing.T) {
	t.Parallel()
	e := startWith(t)
	all := fmt.Sprint(cloudPath, " ", strings.Replace(cloudPath, "Cloud-1", "Cloud-2", 1))
	for filter, want := range map[string]string{
		"": all, "resourceType eq 'Microsoft.AVS/privateClouds'": all, "RESOURCETYPE EQ 'microsoft.avs/PRIVATECLOUDS'": all,
		"resourceType eq 'Microsoft.Compute/virtualMachines'": "",
		"name eq 'cloud-1'": cloudPath,
		"resourceGroup eq 'GROUP-1' and name eq 'Cloud-1' and location eq 'westeurope'": cloudPath,
		"resourceGroup eq 'x' and name eq 'Cloud-1'":                                    "",
		"name eq 'it''s'": "",
		"name eq 'Cloud-1' and resourceType eq 'Microsoft.AVS/privateClouds'":               cloudPath,
		"  name eq 'Cloud-1'  and  resourceType  eq  'Microsoft.AVS/privateClouds'        ": cloudPath,
	} {
		query := "?api-version=2021-04-01&$expand=createdTime%2CchangedTime%2CprovisioningState&$filter=" + url.QueryEscape(filter)
		if got := e.ids(token, string(subscriptionScope)+"/resources"+query); got != want {
			t.Errorf("%s: %s; want %s", filter, got, want)
		}
	}
	e.do("GET", string(subscriptionScope)+"/resources?$filter="+url.QueryEscape("tagname eq 'a'"), "").want(t, 400, errors.InvalidRequest)
	one := decode[listReply[map[string]any]](t, e.do("GET", string(groupScope)+"/resources", "").want(t, 200, "")).Value[0]
	if one["type"] != "Microsoft.AVS/privateClouds" || one["location"] != "westeurope" || one["provisioningState"] != "Succeeded" {
		t.Errorf("a resource is %v", one)
	}
}

// az asks for these with api-versions of their own.
func TestProviderMetadata(t *testing.T) {
	t.Parallel()
	e := startWith(t, person("none"))
	type metadata struct {
		Namespace, RegistrationState string
		ResourceTypes                []struct {
			ResourceType string
			APIVersions  []string
		}
	}
	p := decode[metadata](t, e.as("none", "GET", string(subscriptionScope)+"/providers/microsoft.avs?api-version=2021-04-01", "").want(t, 200, ""))
	found := false
	for _, kind := range p.ResourceTypes {
		found = found || kind.ResourceType == "privateClouds" && kind.APIVersions[0] == version
	}
	if p.Namespace != "Microsoft.AVS" || p.RegistrationState != "Registered" || !found {
		t.Errorf("%+v", p)
	}
	e.do("POST", string(subscriptionScope)+"/providers/Microsoft.AVS/register?api-version=2021-04-01", "").want(t, 200, "")
	for _, v := range []string{"", "2021", "x", "2021-04-01-beta"} {
		if got := e.do("GET", "/subscriptions?api-version="+v, ""); got.StatusCode != 400 {
			t.Errorf("api-version %q: %s", v, got.Status)
		}
	}
}

func TestFeatureRegistration(t *testing.T) {
	t.Parallel()
	e := startWith(t, person("owner"), person("reader"))
	e.give(role.Owner, subscriptionScope, person("owner").Principal)
	e.give(role.Reader, subscriptionScope, person("reader").Principal)
	path := string(subscriptionScope) + "/providers/Microsoft.Features/providers/Microsoft.AVS/features/scriptingPreview"
	state := func(r reply) string {
		f := decode[struct {
			ID, Name, Type string
			Properties     struct{ State string }
		}](t, r.want(t, 200, ""))
		if f.ID != path || f.Name != "Microsoft.AVS/scriptingPreview" || f.Type != "Microsoft.Features/providers/features" {
			t.Errorf("the feature is %+v", f)
		}
		return f.Properties.State
	}
	const v = "?api-version=2021-07-01"
	cloud := func() bool {
		c, err := e.store.PrivateCloud(t.Context(), cloudID)
		if err != nil {
			t.Fatal(err)
		}
		return c.Preview
	}
	if got := state(e.as("reader", "GET", path+v, "")); got != "NotRegistered" || cloud() {
		t.Errorf("at first it is %s", got)
	}
	e.as("reader", "POST", path+"/register"+v, "").want(t, 403, errors.AuthorizationFailed)
	if got := state(e.as("owner", "POST", path+"/register"+v, "")); got != "Registered" || !cloud() {
		t.Errorf("registered it is %s", got)
	}
	if got := state(e.as("reader", "GET", strings.Replace(path, "scriptingPreview", "SCRIPTINGPREVIEW", 1)+v, "")); got != "Registered" {
		t.Errorf("then it is %s", got)
	}
	for _, list := range []string{"/providers/Microsoft.Features/features", "/providers/Microsoft.Features/providers/Microsoft.AVS/features"} {
		if got := e.ids("reader", string(subscriptionScope)+list); got != path {
			t.Errorf("%s: %s", list, got)
		}
	}
	if got := state(e.as("owner", "POST", path+"/unregister"+v, "")); got != "Unregistered" || cloud() {
		t.Errorf("unregistered it is %s", got)
	}
	e.as("owner", "POST", strings.Replace(path, "scriptingPreview", "other", 1)+"/register"+v, "").want(t, 404, errors.ResourceNotFound)
}
