package server_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/avs/armavs"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/server"
	"github.com/airlock-run/airlock/server/internal/issuertest"
	"github.com/airlock-run/airlock/server/internal/role"
)

// developer has the dev token as the SDK takes one.
type developer struct{}

func (developer) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// audience is what tokens of the test's issuer must be for.
const audience = "api://airlock.tests"

// rotating has tokens of an issuer that changes its key after the first of them. It gives a new one for each request.
type rotating struct {
	*issuertest.Issuer
	mu    sync.Mutex
	given int
}

func (r *rotating) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.given++; r.given == 2 {
		r.Rotate()
	}
	raw := r.Token(r.Claims(audience, map[string]any{"sub": "robot", "idtyp": "app"}))
	return azcore.AccessToken{Token: raw, ExpiresOn: time.Now()}, nil
}

// withIssuer adds a test's issuer to the configuration.
func withIssuer(i *issuertest.Issuer) func(*server.Config) {
	return func(c *server.Config) {
		c.Issuers = append(c.Issuers, server.Issuer{Name: "idp", URL: i.URL, Audiences: []string{audience}, Roots: i.Roots})
	}
}

const clientID = "5b1d7a34-0c53-4a1f-9f1e-0d9a1b2c3d4e"

// enroll gives the test's service principal a secret, and the role Operator.
func (e *env) enroll() secret.Text {
	e.t.Helper()
	value, err := server.Enroll(e.t.Context(), e.store, clientID, "Pipeline", 24*time.Hour, time.Now())
	if err != nil {
		e.t.Fatal(err)
	}
	e.give(role.Operator, groupScope, domain.Client{ID: clientID}.Principal())
	return value
}

// azidentity is the SDK's own credential, which asks the server for its tokens.
func (e *env) azidentity(clientSecret string) azcore.TokenCredential {
	e.t.Helper()
	c, err := azidentity.NewClientSecretCredential("airlock", clientID, clientSecret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions:            azcore.ClientOptions{Transport: e.https.Client(), Retry: policy.RetryOptions{MaxRetries: -1}, Cloud: e.cloud()},
		DisableInstanceDiscovery: true,
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return c
}

// eachCredential runs a test with the dev token, with tokens of an issuer that rotates its keys, and with tokens of the
// server's own endpoint.
func eachCredential(t *testing.T, test func(t *testing.T, e *env)) {
	t.Parallel()
	t.Run("developer", func(t *testing.T) {
		t.Parallel()
		test(t, start(t))
	})
	t.Run("issuer", func(t *testing.T) {
		t.Parallel()
		i := issuertest.New(t)
		e := start(t, withIssuer(i))
		e.give(role.Operator, groupScope, domain.Principal{ID: "idp:robot", Type: domain.ServicePrincipal})
		e.credential = &rotating{Issuer: i}
		test(t, e)
		if n := i.Fetches(); n != 2 {
			t.Errorf("the keys were fetched %d times; the issuer has had two", n)
		}
	})
	t.Run("client secret", func(t *testing.T) {
		t.Parallel()
		e := start(t)
		e.credential = e.azidentity(e.enroll().Reveal())
		test(t, e)
	})
}

func (e *env) cloud() cloud.Configuration {
	return cloud.Configuration{ActiveDirectoryAuthorityHost: e.https.URL, Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
		cloud.ResourceManager: {Endpoint: e.https.URL, Audience: e.https.URL},
	}}
}

// sdk is the Azure SDK for Go, pointed at the server.
func (e *env) sdk() *armavs.ClientFactory {
	e.t.Helper()
	f, err := armavs.NewClientFactory(subscription, e.credential, &arm.ClientOptions{
		ClientOptions: azcore.ClientOptions{
			Transport: e.https.Client(),
			Retry:     policy.RetryOptions{MaxRetries: -1},
			Cloud:     e.cloud(),
		},
		DisableRPRegistration: true,
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return f
}

func sdkExecution(cmdlet string) armavs.ScriptExecution {
	return armavs.ScriptExecution{Properties: &armavs.ScriptExecutionProperties{
		Timeout:        to.Ptr("P0Y0M0DT0H60M60S"),
		ScriptCmdletID: to.Ptr(cloudPath + "/scriptPackages/Example.Inventory@1.*/scriptCmdlets/" + cmdlet),
	}}
}

func inventoryParameters() []armavs.ScriptExecutionParameterClassification {
	return []armavs.ScriptExecutionParameterClassification{
		&armavs.ScriptStringExecutionParameter{Name: to.Ptr("clustername"), Type: to.Ptr(armavs.ScriptExecutionParameterTypeValue), Value: to.Ptr("c1")},
		&armavs.ScriptSecureStringExecutionParameter{Name: to.Ptr("Token"), Type: to.Ptr(armavs.ScriptExecutionParameterTypeSecureValue), SecureValue: to.Ptr("hush-hush")},
	}
}

func TestSDKSucceeds(t *testing.T) {
	eachCredential(t, func(t *testing.T, e *env) {
		e.execute(byName)
		x := sdkExecution("Get-Inventory")
		x.Properties.Parameters = inventoryParameters()
		x.Properties.HiddenParameters = []armavs.ScriptExecutionParameterClassification{
			&armavs.PSCredentialExecutionParameter{Name: to.Ptr("Login"), Type: to.Ptr(armavs.ScriptExecutionParameterTypeCredential), Username: to.Ptr("root"), Password: to.Ptr("hush too")},
		}
		client := e.sdk().NewScriptExecutionsClient()
		poller, err := client.BeginCreateOrUpdate(t.Context(), group, "cloud-1", "First", x, nil)
		if err != nil {
			t.Fatal(err)
		}
		// A status request that is not held would make the poller wait 30 s before it asks again.
		done, err := poller.PollUntilDone(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		p := done.Properties
		if *p.ProvisioningState != armavs.ScriptExecutionProvisioningStateSucceeded || p.NamedOutputs["hosts"] != "2" ||
			len(p.Output) != 2 || *p.Output[1] != "host-2" || *p.Timeout != "PT1H" || *p.Retention != "P60D" {
			t.Errorf("the execution ended as %+v", p)
		}
		if p.SubmittedAt == nil || p.StartedAt == nil || p.FinishedAt == nil || p.FinishedAt.Before(*p.SubmittedAt) {
			t.Errorf("times are %v, %v, %v", p.SubmittedAt, p.StartedAt, p.FinishedAt)
		}
		if len(p.Parameters) != 2 || p.HiddenParameters != nil {
			t.Fatalf("parameters are %v, hidden ones %v", p.Parameters, p.HiddenParameters)
		}
		plain, secure := p.Parameters[0].(*armavs.ScriptStringExecutionParameter), p.Parameters[1].(*armavs.ScriptSecureStringExecutionParameter)
		if *plain.Name != "ClusterName" || *plain.Value != "c1" || *secure.Name != "Token" || secure.SecureValue != nil {
			t.Errorf("parameters are %+v and %+v", plain, secure)
		}
		if *done.ID != cloudPath+"/scriptExecutions/First" || *done.Name != "First" {
			t.Errorf("the execution is %s %s", *done.ID, *done.Name)
		}

		raw := string(e.do("GET", cloudPath+"/scriptExecutions/First", "").body)
		if !strings.Contains(raw, `{"name":"Token","type":"SecureValue"}`) || !strings.Contains(raw, `"warning":"A remark."`) || strings.Contains(raw+e.log.String()+fmt.Sprint(e.audit.list()), "hush") {
			t.Errorf("the execution reads %s", raw)
		}

		// The same body again is the same execution, ended already; another one is a conflict.
		poller, err = client.BeginCreateOrUpdate(t.Context(), group, "Cloud-1", "FIRST", x, nil)
		if err != nil || !poller.Done() {
			t.Fatalf("the same body again: done %v, %v", poller.Done(), err)
		}
		x.Properties.Parameters = inventoryParameters()[:1]
		_, err = client.BeginCreateOrUpdate(t.Context(), group, "Cloud-1", "First", x, nil)
		wantSDKError(t, err, 409, errors.Conflict, "another script execution First")
	})
}

func wantSDKError(t *testing.T, err error, status int, code errors.Code, text string) {
	t.Helper()
	var response *azcore.ResponseError
	if !errors.As(err, &response) || response.StatusCode != status || response.ErrorCode != string(code) || !strings.Contains(err.Error(), text) {
		t.Errorf("the error is %v, want %d %s with %q", err, status, code, text)
	}
}

func TestSDKFails(t *testing.T) {
	eachCredential(t, func(t *testing.T, e *env) {
		e.execute(byName)
		client := e.sdk().NewScriptExecutionsClient()
		poller, err := client.BeginCreateOrUpdate(t.Context(), group, "Cloud-1", "f", sdkExecution("Invoke-Failure"), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = poller.PollUntilDone(t.Context(), nil)
		wantSDKError(t, err, 200, errors.ScriptFailed, "It fails, as it says. Run another.")
		x, err := client.Get(t.Context(), group, "Cloud-1", "F", nil)
		if err != nil || *x.Properties.FailureReason != "It fails, as it says. Run another." || *x.Properties.ProvisioningState != armavs.ScriptExecutionProvisioningStateFailed {
			t.Fatalf("the execution is %+v, %v", x.Properties, err)
		}
		for stream, lines := range map[string][]*string{"Output": x.Properties.Output, "Information": x.Properties.Information, "Warning": x.Properties.Warnings, "Error": x.Properties.Errors} {
			if len(lines) != 1 || *lines[0] != "on "+stream {
				t.Errorf("stream %s has %d lines", stream, len(lines))
			}
		}
	})
}

// Who sends the same body again after the end learns the same as who waited for it: azcore takes a final answer to a
// PUT for the end, and reads its code from the header.
func TestSDKLearnsOfTheEndFromASecondPut(t *testing.T) {
	eachCredential(t, func(t *testing.T, e *env) {
		e.execute(byName)
		client := e.sdk().NewScriptExecutionsClient()
		again := func(name, cmdlet string) error {
			poller, err := client.BeginCreateOrUpdate(t.Context(), group, "Cloud-1", name, sdkExecution(cmdlet), nil)
			if err != nil || !poller.Done() {
				t.Fatalf("%s again: done %v, %v", name, poller.Done(), err)
			}
			_, err = poller.PollUntilDone(t.Context(), nil)
			return err
		}
		failed := e.do("PUT", cloudPath+"/scriptExecutions/f", put("Invoke-Failure", `"timeout":"PT1H"`)).want(t, 201, "")
		e.finished(failed)
		wantSDKError(t, again("f", "Invoke-Failure"), 200, errors.ScriptFailed, "It fails, as it says. Run another.")
		// The SDKs for JavaScript and Python ask for the status all the same.
		repeated := e.do("PUT", cloudPath+"/scriptExecutions/f", put("Invoke-Failure", `"timeout":"PT1H"`)).want(t, 200, errors.ScriptFailed)
		if a := repeated.Header.Get("Azure-AsyncOperation"); a == "" || a != failed.Header.Get("Azure-AsyncOperation") {
			t.Errorf("Azure-AsyncOperation is %q", a)
		}

		canceled := e.do("PUT", cloudPath+"/scriptExecutions/c", put("Start-Sleep", `"timeout":"PT1H"`)).want(t, 201, "")
		e.do("POST", cloudPath+"/scriptExecutions/c/cancel", "")
		e.finished(canceled)
		wantSDKError(t, again("c", "Start-Sleep"), 200, errors.ScriptCanceled, `"Canceled"`)
	})
}

func TestSDKLogs(t *testing.T) {
	eachCredential(t, func(t *testing.T, e *env) {
		e.execute(byName)
		client := e.sdk().NewScriptExecutionsClient()
		poller, err := client.BeginCreateOrUpdate(t.Context(), group, "Cloud-1", "f", sdkExecution("Invoke-Failure"), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = poller.PollUntilDone(t.Context(), nil)
		all := []armavs.ScriptOutputStreamType{"Output", "Information", "Warning", "Error"}
		for name, wanted := range map[string][]armavs.ScriptOutputStreamType{
			"all": nil, "none": {}, "output": {"Output"}, "two": {"Warning", "Error"}, "plural": {"Warnings", "errors"},
		} {
			var options *armavs.ScriptExecutionsClientGetExecutionLogsOptions
			if wanted != nil {
				options = &armavs.ScriptExecutionsClientGetExecutionLogsOptions{ScriptOutputStreamType: []*armavs.ScriptOutputStreamType{}}
				for _, w := range wanted {
					options.ScriptOutputStreamType = append(options.ScriptOutputStreamType, to.Ptr(w))
				}
			} else {
				wanted = all
			}
			x, err := client.GetExecutionLogs(t.Context(), group, "Cloud-1", "f", options)
			if err != nil {
				t.Fatal(err)
			}
			p := x.Properties
			for i, lines := range [][]*string{p.Output, p.Information, p.Warnings, p.Errors} {
				expected := slices.ContainsFunc(wanted, func(w armavs.ScriptOutputStreamType) bool { return strings.Contains(string(w), string(all[i])[1:]) })
				if (len(lines) == 1 && *lines[0] == "on "+string(all[i])) != expected || !expected && lines != nil {
					t.Errorf("%s: stream %s has %d lines", name, all[i], len(lines))
				}
			}
		}
	})
}

func TestSDKDeletes(t *testing.T) {
	eachCredential(t, func(t *testing.T, e *env) {
		running := make(chan struct{})
		e.execute(func(ctx context.Context, r *run) domain.Outcome {
			close(running)
			return byName(ctx, r)
		})
		client := e.sdk().NewScriptExecutionsClient()
		create, err := client.BeginCreateOrUpdate(t.Context(), group, "Cloud-1", "s", sdkExecution("Start-Sleep"), nil)
		if err != nil {
			t.Fatal(err)
		}
		created := make(chan error, 1)
		go func() {
			_, err := create.PollUntilDone(t.Context(), nil)
			created <- err
		}()
		<-running
		remove, err := client.BeginDelete(t.Context(), group, "Cloud-1", "S", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := remove.PollUntilDone(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		wantSDKError(t, <-created, 200, errors.ScriptCanceled, "canceled or deleted")
		_, err = client.Get(t.Context(), group, "Cloud-1", "s", nil)
		wantSDKError(t, err, 404, errors.ResourceNotFound, "has no script execution s")
		// What is not there is deleted already.
		again, err := client.BeginDelete(t.Context(), group, "Cloud-1", "s", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again.PollUntilDone(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSDKLists(t *testing.T) {
	eachCredential(t, func(t *testing.T, e *env) {
		f := e.sdk()
		const count = 203 // two pages and a bit
		var all sync.WaitGroup
		for i := range count {
			submit := func() {
				_, _, err := e.store.Submit(t.Context(), domain.Execution{ID: fmt.Sprint("id-", i), Cloud: cloudID, Name: fmt.Sprint("x-", i), BodyDigest: []byte{1}, Submitted: time.Now()})
				if err != nil {
					t.Error(err)
				}
			}
			if i == 0 || i == count-1 { // the first and the last of the list
				all.Wait()
				submit()
			} else {
				all.Go(submit)
			}
		}
		var names []string
		pages := 0
		for pager := f.NewScriptExecutionsClient().NewListPager(group, "Cloud-1", nil); pager.More(); pages++ {
			page, err := pager.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range page.Value {
				names = append(names, *x.Name)
				if x.Properties.Output != nil || *x.Properties.ProvisioningState != armavs.ScriptExecutionProvisioningStatePending {
					t.Fatalf("the list has %+v", x.Properties)
				}
			}
		}
		if pages != 3 || len(names) != count || names[0] != "x-0" || names[count-1] != fmt.Sprint("x-", count-1) || len(slices.Compact(slices.Sorted(slices.Values(names)))) != count {
			t.Errorf("%d pages with %d names", pages, len(names))
		}

		packages, err := f.NewScriptPackagesClient().NewListPager(group, "Cloud-1", nil).NextPage(t.Context())
		if err != nil || len(packages.Value) != 1 || *packages.Value[0].Name != "Example.Inventory@1.2.0" || *packages.Value[0].Properties.Company != "Example Ltd" {
			t.Errorf("packages: %+v, %v", packages, err)
		}
		one, err := f.NewScriptPackagesClient().Get(t.Context(), group, "Cloud-1", "example.inventory@1.0.*", nil)
		if err != nil || *one.Name != "Example.Inventory@1.0.0" || *one.Properties.Version != "1.0.0" || *one.ID != cloudPath+"/scriptPackages/Example.Inventory@1.0.0" {
			t.Errorf("package: %+v, %v", one, err)
		}
		cmdlets, err := f.NewScriptCmdletsClient().NewListPager(group, "Cloud-1", "Example.Inventory@1.*", nil).NextPage(t.Context())
		if err != nil || len(cmdlets.Value) != 4 {
			t.Fatalf("cmdlets: %+v, %v", cmdlets, err)
		}
		cmdlet, err := f.NewScriptCmdletsClient().Get(t.Context(), group, "Cloud-1", "Example.Inventory@1.2.0", "get-inventory", nil)
		if err != nil || *cmdlet.Name != "Get-Inventory" || *cmdlet.Properties.Timeout != "PT30M" || len(cmdlet.Properties.Parameters) != 6 {
			t.Fatalf("cmdlet: %+v, %v", cmdlet, err)
		}
		name, secure := cmdlet.Properties.Parameters[0], cmdlet.Properties.Parameters[4]
		if *name.Optional != armavs.OptionalParamEnumRequired || *name.Visibility != armavs.VisibilityParameterEnumVisible || *name.Type != armavs.ScriptParameterTypesString ||
			*secure.Optional != armavs.OptionalParamEnumOptional || *secure.Visibility != armavs.VisibilityParameterEnumHidden || *secure.Type != armavs.ScriptParameterTypesSecureString {
			t.Errorf("parameters: %+v, %+v", name, secure)
		}

		c, err := f.NewPrivateCloudsClient().Get(t.Context(), group, "cloud-1", nil)
		if err != nil || *c.Name != "Cloud-1" || *c.SKU.Name != "av36" || *c.Properties.ManagementCluster.ClusterSize != 3 || *c.Properties.ProvisioningState != armavs.PrivateCloudProvisioningStateSucceeded {
			t.Errorf("private cloud: %+v, %v", c, err)
		}
		inGroup, err := f.NewPrivateCloudsClient().NewListPager(group, nil).NextPage(t.Context())
		if err != nil || len(inGroup.Value) != 2 {
			t.Errorf("private clouds of the group: %v, %v", inGroup, err)
		}
		inSubscription, err := f.NewPrivateCloudsClient().NewListInSubscriptionPager(nil).NextPage(t.Context())
		if err != nil || len(inSubscription.Value) != 2 {
			t.Errorf("private clouds of the subscription: %v, %v", inSubscription, err)
		}
		operations, err := f.NewOperationsClient().NewListPager(nil).NextPage(t.Context())
		if err != nil || !slices.ContainsFunc(operations.Value, func(o *armavs.Operation) bool {
			return *o.Name == "Microsoft.AVS/privateClouds/scriptExecutions/write" && *o.Display.Resource == "privateClouds/scriptExecutions" && *o.Display.Provider == "Microsoft.AVS"
		}) {
			t.Errorf("operations: %v, %v", operations, err)
		}
	})
}

// How long after an execution's end the SDK's caller has its answer: the whole way of status and resource.
func BenchmarkAnswerAfterEnd(b *testing.B) {
	e := start(b)
	ended := make(chan time.Time, 1)
	release := make(chan struct{})
	e.execute(func(ctx context.Context, _ *run) domain.Outcome {
		select {
		case <-release:
		case <-ctx.Done():
		}
		ended <- time.Now()
		return domain.Outcome{State: domain.Succeeded}
	})
	client := e.sdk().NewScriptExecutionsClient()
	x := sdkExecution("Get-Inventory")
	x.Properties.Parameters = inventoryParameters()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		poller, err := client.BeginCreateOrUpdate(b.Context(), group, "Cloud-1", fmt.Sprint("x-", i), x, nil)
		if err != nil {
			b.Fatal(err)
		}
		time.AfterFunc(50*time.Millisecond, func() { release <- struct{}{} }) // the client waits by then
		if _, err := poller.PollUntilDone(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(<-ended))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-after-end/median")
	b.ReportMetric(float64(took[len(took)*9/10].Microseconds())/1000, "ms-after-end/p90")
}
