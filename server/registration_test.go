package server_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/avs/armavs"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/server"
	"github.com/airlock-run/airlock/server/internal/role"
)

const newPath = "/subscriptions/" + subscription + "/resourceGroups/" + group + "/providers/Microsoft.AVS/privateClouds/New"

// registration is the body of a PUT with a connection and, as JSON, more of our own.
func registration(connection, more string) string {
	if connection == "" {
		connection = `{"vcenter":"VC.example.com","user":"scripting@vsphere.local","password":{"file":"/etc/airlock/vc"},
			"hosts":[{"name":"esx1.example.com","user":"root","key":{"secret":"esx-key"}}]}`
	}
	if more != "" {
		more = "," + more
	}
	return `{"location":"rack-1","sku":{"name":"av64"},"properties":{"networkBlock":"10.0.0.0/22","managementCluster":{"clusterSize":4},
		"internet":"Enabled","availability":{"strategy":"SingleZone"},"airlock":{"connection":` + connection + more + `}}}`
}

type cloudReply struct {
	ID, Name, Location string
	SKU                struct{ Name string }
	Properties         struct {
		NetworkBlock, ProvisioningState string
		ManagementCluster               struct{ ClusterSize int }
		Endpoints                       struct{ VCSA string }
		Airlock                         *struct {
			Connection                             map[string]any
			Egress, DNSSuffix, AadAuthority, State string
			Dev, Paused                            bool
		}
	}
}

func TestRegistration(t *testing.T) {
	t.Parallel()
	e := start(t)
	got := decode[cloudReply](t, e.do("PUT", newPath, registration("", `"dev":true,"egress":"mirror.example:443"`)).want(t, 201, ""))
	p := got.Properties
	if got.ID != newPath || got.Location != "rack-1" || got.SKU.Name != "av64" || p.NetworkBlock != "10.0.0.0/22" || p.ManagementCluster.ClusterSize != 4 ||
		p.ProvisioningState != "Succeeded" || p.Endpoints.VCSA != "https://vc.example.com/" {
		t.Errorf("it reads %+v", got)
	}
	if a := p.Airlock; !a.Dev || a.Paused || a.Egress != "mirror.example:443" || a.DNSSuffix != "example.com" || a.State != "Succeeded" ||
		fmt.Sprint(a.Connection["password"]) != "map[file:/etc/airlock/vc]" || a.Connection["vcenter"] != "vc.example.com" {
		t.Errorf("our own reads %+v", a)
	}

	// What is read can be sent again, and is the same then; the case of the id is that of the first time.
	read := e.do("GET", strings.ToLower(newPath), "").want(t, 200, "")
	again := e.do("PUT", strings.ToUpper(newPath), string(read.body)).want(t, 200, "")
	if string(again.body) != string(read.body) {
		t.Errorf("sent again, %s is %s", read.body, again.body)
	}
	// ARM's clients know nothing of properties.airlock, and change nothing of it.
	e.do("PUT", newPath, `{"location":"rack-2","properties":{"managementCluster":{"clusterSize":5}}}`).want(t, 200, "")
	got = decode[cloudReply](t, e.do("GET", newPath, ""))
	if got.Location != "rack-2" || got.SKU.Name != "av64" || got.Properties.ManagementCluster.ClusterSize != 5 || !got.Properties.Airlock.Dev {
		t.Errorf("after a client of ARM: %+v", got)
	}
	// As a whole it is replaced.
	e.do("PUT", newPath, registration("", `"paused":true,"state":"Updating"`)).want(t, 200, "")
	got = decode[cloudReply](t, e.do("GET", newPath, ""))
	if a := got.Properties.Airlock; a.Dev || !a.Paused || a.Egress != "none" || got.Properties.ProvisioningState != "Updating" {
		t.Errorf("replaced: %+v", a)
	}
	e.do("PUT", newPath, registration("", "")).want(t, 200, "")
	if got = decode[cloudReply](t, e.do("GET", newPath, "")); got.Properties.Airlock.Paused || got.Properties.ProvisioningState != "Updating" {
		t.Errorf("the state is changed only where it is given: %+v", got.Properties)
	}
}

// Our own fields name files and variables of the server: who may not change them does not see them.
func TestRegistrationIsShownToProvidersOnly(t *testing.T) {
	t.Parallel()
	e := startWith(t, person("owner"))
	e.give(role.Owner, domain.Scope("/subscriptions/"+subscription), person("owner").Principal)
	e.do("PUT", newPath, registration("", "")).want(t, 201, "")
	for _, path := range []string{newPath, newPath[:strings.LastIndexByte(newPath, '/')]} {
		got := e.as("owner", "GET", path, "").want(t, 200, "")
		if strings.Contains(string(got.body), "airlock") || !strings.Contains(string(got.body), "vc.example.com") {
			t.Errorf("an owner reads %s", got.body)
		}
		if got := e.do("GET", path, ""); !strings.Contains(string(got.body), "/etc/airlock/vc") {
			t.Errorf("a provider reads %s", got.body)
		}
	}
	for _, request := range [][3]string{{"PUT", newPath, registration("", "")}, {"DELETE", newPath, ""}, {"POST", newPath + "/check", ""}, {"PUT", newPath + "/secrets/x", "{}"}} {
		e.as("owner", request[0], request[1], request[2]).want(t, 403, errors.AuthorizationFailed)
	}
}

// An execution's own mark stays its own when somebody sends what he read while it ran.
func TestRegistrationKeepsTheMarkOfAnExecution(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.do("PUT", cloudPath+"/scriptExecutions/x", put("Start-Sleep", "")).want(t, 201, "")
	claims, err := e.store.Claim(t.Context(), "test", 1)
	if err != nil || len(claims) != 1 {
		t.Fatal(claims, err)
	}
	c := claims[0]
	if err := e.store.MarkUpdating(t.Context(), c.Execution.ID, c.Fence); err != nil {
		t.Fatal(err)
	}
	e.do("PUT", cloudPath, string(e.do("GET", cloudPath, "").body)).want(t, 200, "")
	if err := e.store.Finish(t.Context(), c.Execution.ID, c.Fence, domain.Outcome{State: domain.Succeeded}); err != nil {
		t.Fatal(err)
	}
	if got := decode[cloudReply](t, e.do("GET", cloudPath, "")); got.Properties.ProvisioningState != "Succeeded" {
		t.Errorf("the state is %s", got.Properties.ProvisioningState)
	}
}

func TestRegistrationsThatAreRefused(t *testing.T) {
	t.Parallel()
	e := start(t)
	const sound = `"vcenter":"vc.example.com","user":"u@vsphere.local","password":{"file":"/f"}`
	for name, c := range map[string]struct{ body, message, target string }{
		"no connection":           {`{"location":"x","properties":{}}`, "properties.airlock.connection is missing", "properties.airlock.connection"},
		"nothing":                 {``, "must be an object", ""},
		"misspelt":                {`{"properties":{"airlock":{"conection":{}}}}`, `properties.airlock has no field "conection"; the nearest is connection`, "properties.airlock.conection"},
		"unknown":                 {registration("", `"colour":"red"`), `no field "colour"; there are connection, egress, dev`, "properties.airlock.colour"},
		"misspelt in connection":  {registration(`{`+sound+`,"adress":"a:1"}`, ""), "the nearest is address", "properties.airlock.connection.adress"},
		"misspelt in a reference": {registration(`{"vcenter":"vc.example.com","user":"u","password":{"fiel":"/f"}}`, ""), "the nearest is file", "properties.airlock.connection.password.fiel"},
		"misspelt in a host":      {registration(`{`+sound+`,"hosts":[{"nam":"x"}]}`, ""), "the nearest is name", "properties.airlock.connection.hosts[0].nam"},
		"a password":              {registration(`{"vcenter":"vc.example.com","user":"u","password":"`+canary+`"}`, ""), "password must be an object, not a string", "properties.airlock.connection.password"},
		"a password for a file":   {registration(`{"vcenter":"vc.example.com","user":"u","password":{"file":7}}`, ""), "password.file must be a string, not number", "properties.airlock.connection.password.file"},
		"user is a number":        {registration(`{"vcenter":"vc.example.com","user":7,"password":{"file":"/f"}}`, ""), "connection.user must be a string, not number", "properties.airlock.connection.user"},
		"hosts are no array":      {registration(`{`+sound+`,"hosts":{}}`, ""), "hosts must be an array, not an object", "properties.airlock.connection.hosts"},
		"a host without login":    {registration(`{`+sound+`,"hosts":[{"name":"esx1.example.com","user":"root"}]}`, ""), "hosts[0].password or key: exactly one", "properties.airlock.connection"},
		"vCenter by address":      {registration(`{"vcenter":"10.0.0.1","user":"u","password":{"file":"/f"}}`, ""), "vcenter is wrong", "properties.airlock.connection.vcenter"},
		"dev is text":             {registration("", `"dev":"yes"`), "dev must be true or false, not a string", "properties.airlock.dev"},
		"egress":                  {registration("", `"egress":"everything"`), "egress cannot be used", "properties.airlock.egress"},
		"state":                   {registration("", `"state":"Gone"`), "must be Updating or Succeeded", "properties.airlock.state"},
		"suffix":                  {registration("", `"dnsSuffix":"a b"`), "must be a domain", "properties.airlock.dnsSuffix"},
		"authority":               {registration("", `"aadAuthority":"http://x"`), "https address", "properties.airlock.aadAuthority"},
		"cluster":                 {strings.Replace(registration("", ""), `"clusterSize":4`, `"clusterSize":-1`, 1), "whole number from 0 to 1024", "properties.managementCluster.clusterSize"},
		"network":                 {strings.Replace(registration("", ""), "10.0.0.0/22", "10.0.0.0", 1), "must be a network", "properties.networkBlock"},
		"location":                {strings.Replace(registration("", ""), `"rack-1"`, `"a\nb"`, 1), "one line", "location"},
	} {
		got := e.do("PUT", newPath, c.body).want(t, 400, errors.InvalidRequestContent)
		if body := decode[errorReply](t, got).Error; !strings.Contains(body.Message, c.message) || body.Target != c.target || strings.Contains(body.Message, canary) {
			t.Errorf("%s: the error is %s; want %q at %q", name, got.body, c.message, c.target)
		}
	}
	e.do("GET", newPath, "").want(t, 404, errors.ResourceNotFound)
	if strings.Contains(e.log.String()+fmt.Sprint(e.audit.list()), canary) {
		t.Error("a password stands in the log or the audit")
	}
}

// The Azure SDK reads what is registered, changes what it knows, and removes it without polling.
func TestSDKPrivateClouds(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.do("PUT", newPath, registration("", "")).want(t, 201, "")
	client := e.sdk().NewPrivateCloudsClient()
	got, err := client.Get(t.Context(), group, "new", nil)
	if err != nil {
		t.Fatal(err)
	}
	if p := got.Properties; *got.Location != "rack-1" || *got.SKU.Name != "av64" || *p.NetworkBlock != "10.0.0.0/22" || *p.ManagementCluster.ClusterSize != 4 ||
		*p.Endpoints.Vcsa != "https://vc.example.com/" || *p.ProvisioningState != armavs.PrivateCloudProvisioningStateSucceeded {
		t.Errorf("the SDK reads %+v", got.PrivateCloud)
	}
	change := armavs.PrivateCloud{Location: to.Ptr("rack-3"), SKU: &armavs.SKU{Name: to.Ptr("av36p")}, Properties: &armavs.PrivateCloudProperties{
		NetworkBlock: to.Ptr("10.1.0.0/22"), ManagementCluster: &armavs.ManagementCluster{ClusterSize: to.Ptr(int32(6))}}}
	poller, err := client.BeginCreateOrUpdate(t.Context(), group, "New", change, nil)
	if err != nil {
		t.Fatal(err)
	}
	done, err := poller.PollUntilDone(t.Context(), nil)
	if err != nil || *done.Location != "rack-3" || *done.Properties.ManagementCluster.ClusterSize != 6 {
		t.Errorf("the change gives %+v, %v", done.PrivateCloud, err)
	}
	found := 0
	for pager := client.NewListInSubscriptionPager(nil); pager.More(); {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found += len(page.Value)
	}
	if found != 3 {
		t.Errorf("%d private clouds are listed", found)
	}
	for range 2 { // the second time it is gone already
		deletion, err := client.BeginDelete(t.Context(), group, "New", nil)
		if err != nil || !deletion.Done() {
			t.Fatalf("deletion: %v", err)
		}
		if _, err := deletion.PollUntilDone(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	_, err = client.Get(t.Context(), group, "New", nil)
	wantSDKError(t, err, 404, errors.ResourceNotFound, "New")
}

// Removing one takes its records and all its secrets, those of packages too, and is refused while something runs or waits.
func TestRemoval(t *testing.T) {
	t.Parallel()
	e := start(t)
	secretPath := cloudPath + "/secrets/vc-password"
	e.do("PUT", secretPath, `{"properties":{"value":"`+canary+`"}}`).want(t, 200, "")
	value := secret.New("of a package")
	pkg := map[string]*secret.Text{"one": &value}
	for _, cloud := range []string{"Cloud-1", "Cloud-2"} {
		id := domain.CloudID{Subscription: subscription, ResourceGroup: group, Name: cloud}
		if err := e.secrets.Write(t.Context(), id, "Example.Inventory", "1.0.0", pkg); err != nil {
			t.Fatal(err)
		}
	}
	e.do("PUT", cloudPath+"/scriptExecutions/x", put("Start-Sleep", "")).want(t, 201, "")
	refused := e.do("DELETE", cloudPath, "").want(t, 409, errors.Conflict)
	if !strings.Contains(string(refused.body), "1 script executions that run or wait") {
		t.Errorf("the refusal is %s", refused.body)
	}
	e.do("GET", cloudPath+"/scriptExecutions/x", "").want(t, 200, "")
	e.do("POST", cloudPath+"/scriptExecutions/x/cancel", "").want(t, 200, "")
	e.do("DELETE", cloudPath, "").want(t, 204, "")
	e.do("DELETE", cloudPath, "").want(t, 204, "")
	e.do("GET", cloudPath+"/scriptExecutions/x", "").want(t, 404, errors.ParentResourceNotFound)
	for _, name := range []string{domain.OwnSecrets, "Example.Inventory"} {
		if left, err := e.secrets.Read(t.Context(), cloudID, name); err != nil || len(left) != 0 {
			t.Errorf("of %s are left %v, %v", name, left, err)
		}
	}
	other := domain.CloudID{Subscription: subscription, ResourceGroup: group, Name: "Cloud-2"}
	if kept, err := e.secrets.Read(t.Context(), other, "Example.Inventory"); err != nil || len(kept) != 1 {
		t.Errorf("another private cloud has %v, %v", kept, err)
	}
}

// stuckSecrets fails once to remove the secrets of a private cloud.
type stuckSecrets struct {
	server.Secrets
	failed atomic.Bool
}

func (s *stuckSecrets) RemoveCloud(ctx context.Context, cloud domain.CloudID) error {
	if s.failed.CompareAndSwap(false, true) {
		return errors.Newf(errors.SecretStoreFailed, "The disk is full.")
	}
	return s.Secrets.RemoveCloud(ctx, cloud)
}

// Who registers a private cloud under the name of an earlier one gets none of its secrets, however that one went.
func TestRegistrationAfterAHalfRemoval(t *testing.T) {
	t.Parallel()
	e := start(t, func(c *server.Config) { c.Secrets = &stuckSecrets{Secrets: c.Secrets} })
	value := secret.New(canary)
	for _, name := range []string{domain.OwnSecrets, "Example.Inventory"} {
		if err := e.secrets.Write(t.Context(), cloudID, name, "", map[string]*secret.Text{"one": &value}); err != nil {
			t.Fatal(err)
		}
	}
	if got := e.do("DELETE", cloudPath, ""); got.StatusCode < 500 {
		t.Fatalf("the removal went well: %d", got.StatusCode)
	}
	e.do("PUT", cloudPath, registration("", "")).want(t, 201, "")
	for _, name := range []string{domain.OwnSecrets, "Example.Inventory"} {
		if left, err := e.secrets.Read(t.Context(), cloudID, name); err != nil || len(left) != 0 {
			t.Errorf("of %s the new one has %v, %v", name, left, err)
		}
	}
}

// A credential that is set while its private cloud is removed goes too, or finds no private cloud.
func TestSecretsDuringRemoval(t *testing.T) {
	t.Parallel()
	e := start(t)
	for range 30 {
		e.do("PUT", newPath, registration("", "")).want(t, 201, "")
		var both sync.WaitGroup
		both.Go(func() { e.do("PUT", newPath+"/secrets/x", `{"properties":{"value":"`+canary+`"}}`) })
		both.Go(func() { e.do("DELETE", newPath, "") })
		both.Wait()
		id := domain.CloudID{Subscription: subscription, ResourceGroup: group, Name: "New"}
		if left, err := e.secrets.Read(t.Context(), id, domain.OwnSecrets); err != nil || len(left) != 0 {
			t.Fatalf("left are %v, %v", left, err)
		}
	}
}

func TestSecretsOfAPrivateCloud(t *testing.T) {
	t.Parallel()
	e := start(t)
	path := cloudPath + "/secrets/"
	set := e.do("PUT", path+"vc-password", `{"properties":{"value":"`+canary+`\u00fc"}}`).want(t, 200, "")
	if strings.Contains(string(set.body), canary) || !strings.Contains(string(set.body), `"name":"vc-password"`) {
		t.Errorf("the answer is %s", set.body)
	}
	got, err := e.secrets.Read(t.Context(), cloudID, domain.OwnSecrets)
	if err != nil || got["vc-password"].Reveal() != canary+"ü" {
		t.Errorf("stored is %q, %v", got["vc-password"].Reveal(), err)
	}
	e.do("GET", path+"vc-password", "").want(t, 405, errors.MethodNotAllowed)
	for body, message := range map[string]string{
		`{}`: "properties is missing", `{"properties":{}}`: "1 to 25000 bytes", `{"properties":{"value":""}}`: "1 to 25000 bytes",
		`{"properties":{"value":"` + strings.Repeat("x", 25_001) + `"}}`: "1 to 25000 bytes", `{"properties":{"value":7}}`: "must be a string",
	} {
		if got := e.do("PUT", path+"x", body).want(t, 400, errors.InvalidRequestContent); !strings.Contains(string(got.body), message) {
			t.Errorf("%.60s gives %s", body, got.body)
		}
	}
	e.do("PUT", path+"a_b", `{"properties":{"value":"x"}}`).want(t, 400, errors.InvalidResourceName)
	e.do("PUT", strings.Replace(path, "Cloud-1", "None", 1)+"x", `{"properties":{"value":"x"}}`).want(t, 404, errors.ParentResourceNotFound)
	e.do("DELETE", path+"VC-Password", "").want(t, 204, "")
	if got, err := e.secrets.Read(t.Context(), cloudID, domain.OwnSecrets); err != nil || len(got) != 0 {
		t.Errorf("left are %v, %v", got, err)
	}
	events := fmt.Sprint(e.audit.list())
	if strings.Contains(e.log.String()+events, canary) || !strings.Contains(events, "privateClouds/secrets/write") || !strings.Contains(events, "/secrets/vc-password") {
		t.Errorf("the audit has %s", events)
	}
}

func TestCheckRoute(t *testing.T) {
	t.Parallel()
	asked := domain.PrivateCloud{}
	e := start(t, func(c *server.Config) {
		c.Check = func(_ context.Context, cloud domain.PrivateCloud) (domain.Report, error) {
			asked = cloud
			return domain.Report{Findings: []domain.Finding{{Subject: "vc.example login", Message: "No."}}}, nil
		}
	})
	got := e.do("POST", strings.ToUpper(cloudPath)+"/check", "").want(t, 200, "")
	if want := `{"findings":[{"subject":"vc.example login","ok":false,"message":"No."}],"hosts":[]}` + "\n"; string(got.body) != want || asked.ID != cloudID {
		t.Errorf("%s, asked about %s", got.body, asked.ID)
	}
	e.do("POST", newPath+"/check", "").want(t, 404, errors.ResourceNotFound)
}

// A paused queue says so to whoever waits in it.
func TestPausedQueueSaysSo(t *testing.T) {
	t.Parallel()
	e := start(t)
	pause := func(paused bool) {
		t.Helper()
		e.do("PUT", cloudPath, fmt.Sprintf(`{"properties":{"airlock":{"paused":%v}}}`, paused)).want(t, 200, "")
	}
	pause(true)
	message := func(name string) string {
		return decode[executionReply](t, e.do("GET", cloudPath+"/scriptExecutions/"+name, "").want(t, 200, "")).Properties.StatusMessage
	}
	e.do("PUT", cloudPath+"/scriptExecutions/a", put("Get-Inventory", `"parameters":[`+cluster+`]`)).want(t, 201, "")
	e.do("PUT", cloudPath+"/scriptExecutions/b", put("Start-Sleep", "")).want(t, 201, "")
	if got := message("b"); !strings.Contains(got, "Position 2") || !strings.Contains(got, "is paused") {
		t.Errorf("it says %q", got)
	}
	pause(false)
	if got := message("b"); !strings.Contains(got, "Position 2") || strings.Contains(got, "paused") {
		t.Errorf("it says %q", got)
	}
}
