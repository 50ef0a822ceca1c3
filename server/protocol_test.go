package server_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/server"
)

func TestPathsCompareWithoutCase(t *testing.T) {
	t.Parallel()
	e := start(t)
	created := decode[executionReply](t, e.do("PUT", cloudPath+"/scriptExecutions/MyRun", put("Start-Sleep", "")).want(t, 201, ""))
	for _, path := range []string{
		strings.ToUpper(cloudPath) + "/SCRIPTEXECUTIONS/MYRUN",
		strings.ToLower(cloudPath) + "/scriptexecutions/myrun/",
		"/" + cloudPath + "/scriptExecutions/%4dyRun",
	} {
		got := decode[executionReply](t, e.do("GET", path, "").want(t, 200, ""))
		if got.ID != created.ID || got.Name != "MyRun" || got.ID != cloudPath+"/scriptExecutions/MyRun" {
			t.Errorf("%s gives %s", path, got.ID)
		}
	}
	e.do("GET", cloudPath+"/scriptPackages/Example.Inventory%401.%2A", "").want(t, 200, "")
	// Also where the PUT and the id in its body differ in case, and the id is written as a URL.
	body := strings.Replace(strings.ToLower(put("start-sleep", "")), "scriptcmdletid", "scriptCmdletId", 1)
	body = strings.Replace(body, "@", "%40", 1)
	again := decode[executionReply](t, e.do("PUT", cloudPath+"/scriptExecutions/myrun", body).want(t, 200, ""))
	if again.ID != created.ID || again.Properties.ScriptCmdletID != created.Properties.ScriptCmdletID {
		t.Errorf("the same body in another case gives %+v", again)
	}
}

// Text comes back as it was meant, whatever way it was written in JSON.
func TestTextIsKept(t *testing.T) {
	t.Parallel()
	e := start(t)
	body := with(parameter("ClusterName", "Value", `"value":"\ud83d\uDE00 \\ud83d \\\\ \u0000"`))
	body = strings.NewReplacer("{", " { ", "}", " } ", ":[", "\r\n:\t[ ", ",", " , ").Replace(body) + "\n"
	got := decode[executionReply](t, e.do("PUT", cloudPath+"/scriptExecutions/x", body).want(t, 201, ""))
	if value := got.Properties.Parameters[0]["value"]; value != "\U0001F600 \\ud83d \\\\ \x00" {
		t.Errorf("the value is %q", value)
	}
}

// Of two names that are wrong always the same one is told.
func TestErrorsAreSteady(t *testing.T) {
	t.Parallel()
	e := start(t)
	path := strings.Replace(cloudPath, group, "a$b", 1) + "/scriptExecutions/a%20b"
	first := e.do("GET", path, "").want(t, 400, errors.InvalidResourceName)
	for range 20 {
		if again := e.do("GET", path, ""); string(again.body) != string(first.body) {
			t.Fatalf("%s, then %s", first.body, again.body)
		}
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	e := start(t)
	head := e.do("HEAD", cloudPath, "").want(t, 200, "")
	if len(head.body) != 0 || head.ContentLength <= 0 {
		t.Errorf("HEAD has %d bytes, length %d", len(head.body), head.ContentLength)
	}
	refused := e.do("PATCH", cloudPath+"/scriptExecutions/x", "").want(t, 405, errors.MethodNotAllowed)
	if allow := refused.Header.Get("Allow"); allow != "GET, PUT, DELETE, HEAD" {
		t.Errorf("Allow is %q", allow)
	}
	// GETs with a Content-Type and no body come from the SDK for JavaScript.
	e.do("GET", cloudPath, "", "Content-Type", "application/json").want(t, 200, "")
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	e := start(t)
	plain := e.do("GET", cloudPath, "", "x-ms-client-request-id", "mine").want(t, 200, "")
	id := plain.Header.Get("x-ms-request-id")
	if uuid.Validate(id) != nil || plain.Header.Get("x-ms-correlation-request-id") != id || plain.Header.Get("x-ms-client-request-id") != "" {
		t.Errorf("headers are %v", plain.Header)
	}
	echo := e.do("GET", "/nowhere", "", "x-ms-client-request-id", "mine", "x-ms-return-client-request-id", "True", "x-ms-correlation-request-id", "ours").want(t, 404, errors.ResourceNotFound)
	if echo.Header.Get("x-ms-request-id") == id || echo.Header.Get("x-ms-correlation-request-id") != "ours" || echo.Header.Get("x-ms-client-request-id") != "mine" {
		t.Errorf("headers are %v", echo.Header)
	}
	odd := e.do("GET", cloudPath, "", "x-ms-client-request-id", `<script>`, "x-ms-return-client-request-id", "true", "x-ms-correlation-request-id", strings.Repeat("x", 200)).want(t, 200, "")
	if odd.Header.Get("x-ms-correlation-request-id") != odd.Header.Get("x-ms-request-id") || odd.Header.Get("x-ms-client-request-id") != "" {
		t.Errorf("headers are %v", odd.Header)
	}
}

func TestAPIVersions(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.do("PUT", cloudPath+"/scriptExecutions/x", put("Start-Sleep", "")).want(t, 201, "")
	e.do("POST", cloudPath+"/scriptExecutions/x/cancel", "").want(t, 200, "")
	for _, v := range []string{"2021-06-01", "2021-12-01", "2022-05-01", "2023-03-01", "2023-09-01", "2024-09-01", "2025-09-01"} {
		query := "?api-version=" + v
		pkg := string(e.do("GET", cloudPath+"/scriptPackages/Example.Inventory@1.2.0"+query, "").want(t, 200, "").body)
		cmdlet := string(e.do("GET", cloudPath+"/scriptPackages/Example.Inventory@1.2.0/scriptCmdlets/Update-Inventory"+query, "").want(t, 200, "").body)
		x := string(e.do("GET", cloudPath+"/scriptExecutions/x"+query, "").want(t, 200, "").body)
		for what, has := range map[string]bool{
			`"company":"Example Ltd"`:           strings.Contains(pkg, `"company":"Example Ltd"`),
			`"uri":"https://example.com"`:       strings.Contains(pkg, `"uri":"https://example.com"`),
			`"provisioningState":"Succeeded"`:   strings.Contains(pkg, `"provisioningState":"Succeeded"`) && strings.Contains(cmdlet, `"provisioningState":"Succeeded"`),
			`"audience":"Automation"`:           strings.Contains(cmdlet, `"audience":"Automation"`),
			`"systemData":{"createdAt":"2026-0`: strings.Contains(pkg, `"systemData":{"createdAt":"2026-01-02T03:04:05Z"`) && strings.Contains(x, `"systemData":{"createdAt":"`),
		} {
			since := "2023-09-01"
			if strings.Contains(what, "xample") {
				since = "2022-05-01"
			}
			if has != (v >= since) {
				t.Errorf("%s: %s is there: %v", v, what, has)
			}
		}
		if !strings.Contains(x, `"provisioningState":"Canceled"`) { // clients wait for ever for the other spelling
			t.Errorf("%s: %s", v, x)
		}
	}
}

// What an execution says about itself while it waits, and what it echoes.
func TestPendingExecution(t *testing.T) {
	t.Parallel()
	e := start(t)
	running := make(chan struct{}, 1)
	e.execute(func(ctx context.Context, r *run) domain.Outcome {
		running <- struct{}{}
		return byName(ctx, r)
	})
	path := cloudPath + "/scriptExecutions/"
	first := e.do("PUT", path+"first", put("Start-Sleep", `"timeout":null,"failureReason":5,"output":"mine","provisioningState":[],"unknown":{"a":1},"namedOutputs":{"x":{}}`)).want(t, 201, "")
	if first.Header.Get("Retry-After") != "" || !strings.HasPrefix(first.Header.Get("Azure-AsyncOperation"), e.https.URL+"/subscriptions/") {
		t.Errorf("headers are %v", first.Header)
	}
	x := decode[executionReply](t, first)
	if x.Properties.ProvisioningState != "Pending" || x.Properties.Timeout != "PT30M" || x.Properties.Retention != "P60D" || x.Properties.NamedOutputs != nil ||
		strings.Contains(string(first.body), "unknown") || !strings.Contains(string(first.body), `"output":[]`) || x.Type != "Microsoft.AVS/privateClouds/scriptExecutions" {
		t.Errorf("the new execution is %s", first.body)
	}
	if !strings.HasSuffix(x.Properties.ScriptCmdletID, "Example.Inventory@1.*/scriptCmdlets/Start-Sleep") || !strings.HasSuffix(x.Properties.ResolvedCmdletID, "Example.Inventory@1.2.0/scriptCmdlets/Start-Sleep") {
		t.Errorf("cmdlet %s, resolved %s", x.Properties.ScriptCmdletID, x.Properties.ResolvedCmdletID)
	}
	<-running
	for _, c := range []struct{ name, want string }{
		{"second", "Next in the queue of the private cloud Cloud-1, where one runs at a time; it waits for the end of first."},
		{"third", "Position 2 in the queue of the private cloud Cloud-1, where one runs at a time; first runs now."},
	} {
		got := decode[executionReply](t, e.do("PUT", path+c.name, put("Start-Sleep", "")).want(t, 201, ""))
		if got.Properties.StatusMessage != c.want {
			t.Errorf("%s says %q, want %q", c.name, got.Properties.StatusMessage, c.want)
		}
	}
	slept := decode[executionReply](t, e.do("PUT", path+"retry", put("Start-Sleep", `"timeout":"PT3600S"`)).want(t, 201, ""))
	e.do("PUT", path+"retry", put("Start-Sleep", `"timeout":"PT61M"`)).want(t, 200, "")
	if slept.Properties.Timeout != "PT1H" {
		t.Errorf("the timeout is %s", slept.Properties.Timeout)
	}
}

func TestCancelKeepsTheRecord(t *testing.T) {
	t.Parallel()
	e := start(t)
	running := make(chan struct{}, 1)
	e.execute(func(ctx context.Context, r *run) domain.Outcome {
		running <- struct{}{}
		return byName(ctx, r)
	})
	path := cloudPath + "/scriptExecutions/x"
	created := e.do("PUT", path, put("Start-Sleep", "")).want(t, 201, "")
	<-running
	canceled := e.do("POST", path+"/cancel", "").want(t, 202, "")
	if state := decode[executionReply](t, canceled).Properties.ProvisioningState; state != "Cancelling" {
		t.Errorf("the state is %s", state)
	}
	if status := e.finished(canceled); status["status"] != "Canceled" || status["error"].(map[string]any)["code"] != "ScriptCanceled" {
		t.Errorf("the status is %v", status)
	}
	if e.finished(created)["status"] != "Canceled" {
		t.Error("the PUT's operation goes on")
	}
	x := decode[executionReply](t, e.do("POST", path+"/cancel", "").want(t, 200, ""))
	if x.Properties.ProvisioningState != "Canceled" || len(x.Properties.Output) != 1 {
		t.Errorf("the execution is %+v", x.Properties)
	}
	var actions []string
	for _, event := range e.audit.list() {
		if event.Actor != "developer (token:developer)" || event.Cloud != cloudPath || event.Execution == "" || event.Result != "ok" || event.Target != path && event.Target != path+"/cancel" {
			t.Errorf("the event is %+v", event)
		}
		actions = append(actions, event.Action)
	}
	const act = "Microsoft.AVS/privateClouds/scriptExecutions/"
	if !slices.Equal(actions, []string{act + "write", act + "cancel/action", act + "cancel/action"}) {
		t.Errorf("the audit has %v", actions)
	}
}

// A client that knows only Location: 202 until the record is gone, then 204.
func TestDeleteByLocation(t *testing.T) {
	t.Parallel()
	e := start(t, func(c *server.Config) { c.Hold = 1 })
	path := cloudPath + "/scriptExecutions/x"
	e.do("PUT", path, put("Start-Sleep", "")).want(t, 201, "")
	claims, err := e.store.Claim(t.Context(), "test", 1)
	if err != nil || len(claims) != 1 {
		t.Fatal(claims, err)
	}
	location, _ := strings.CutPrefix(e.do("DELETE", path, "").want(t, 202, "").Header.Get("Location"), e.https.URL)
	if e.do("GET", location, "").want(t, 202, "").Header.Get("Retry-After") != "1" {
		t.Error("no Retry-After while it goes on")
	}
	e.do("PUT", path, put("Start-Sleep", "")).want(t, 409, errors.Conflict) // also with the same body
	if err := e.store.Finish(t.Context(), claims[0].Execution.ID, claims[0].Fence, domain.Outcome{State: domain.Canceled}); err != nil {
		t.Fatal(err)
	}
	e.do("GET", location, "").want(t, 204, "")
	e.do("DELETE", path, "").want(t, 204, "")
	// An operation is that of its private cloud only.
	e.do("GET", strings.Replace(location, "Cloud-1", "Cloud-2", 1), "").want(t, 404, errors.ResourceNotFound)
	e.do("PUT", path, put("Start-Sleep", "")).want(t, 201, "") // the name is free
}

// broken fails as parts do that are not there or have a fault.
type broken struct {
	server.Store
	fail func() error
}

func (b broken) PrivateCloud(context.Context, domain.CloudID) (domain.PrivateCloud, error) {
	return domain.PrivateCloud{}, b.fail()
}

func TestFailuresInside(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail   func() error
		status int
		code   errors.Code
	}{
		"error":       {func() error { return errors.New("the secret cause") }, 500, errors.InternalError},
		"panic":       {func() error { panic("the secret cause") }, 500, errors.InternalError},
		"unavailable": {func() error { return errors.Newf(errors.ServiceUnavailable, "The disk is full.") }, 503, errors.ServiceUnavailable},
	} {
		e := start(t, func(config *server.Config) { config.Store = broken{config.Store, c.fail} })
		got := e.do("GET", cloudPath, "").want(t, c.status, c.code)
		id := got.Header.Get("x-ms-request-id")
		if strings.Contains(string(got.body), "secret cause") || c.status == 500 && !strings.Contains(string(got.body), id) {
			t.Errorf("%s: %s", name, got.body)
		}
		if log := e.log.String(); c.status == 500 && (!strings.Contains(log, "secret cause") || !strings.Contains(log, id)) {
			t.Errorf("%s: the log is %s", name, log)
		}
		if (c.status == 503) != (got.Header.Get("Retry-After") == "1") {
			t.Errorf("%s: headers %v", name, got.Header)
		}
	}
}

// A PUT answers what has become of the execution, and refuses no body that it once took because the package is gone.
func TestSameBodyAfterThePackageWent(t *testing.T) {
	t.Parallel()
	gone := &vanishing{catalogue: catalogue{inventory("1.0.0")}}
	e := start(t, func(c *server.Config) { c.Packages = gone })
	path, body := cloudPath+"/scriptExecutions/x", put("Start-Sleep", `"timeout":"PT5M"`)
	e.do("PUT", path, body).want(t, 201, "")
	gone.catalogue = nil
	e.do("PUT", path, body).want(t, 200, "")
	e.do("PUT", path+"2", body).want(t, 404, errors.ResourceNotFound)
}

type vanishing struct{ catalogue }

// Any body is answered: by a resource, or by an error in ARM's form.
func FuzzPut(f *testing.F) {
	for _, body := range []string{
		put("Start-Sleep", `"timeout":"PT5M","retention":"P1D"`), put("Start-Sleep", `"parameters":[{}]`), `{"properties":{"timeout":null}}`,
		with(cluster, parameter("Login", "Credential", `"username":"a","password":"b"`)), `{"properties":[`, "\xff", `"`, `{"a":1,"A":2}`, "null", "",
	} {
		f.Add([]byte(body))
	}
	e := start(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		path := cloudPath + "/scriptExecutions/fuzz"
		r := httptest.NewRequest("PUT", path+"?api-version="+version, strings.NewReader(string(body)))
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		e.server.ServeHTTP(w, r)
		got := reply{w.Result(), w.Body.Bytes()}
		got.Request = r
		switch w.Code {
		case http.StatusCreated, http.StatusOK:
			if decode[executionReply](t, got).ID != path {
				t.Fatalf("answered %s", w.Body)
			}
			if _, _, err := e.store.Delete(t.Context(), cloudID, "fuzz", uuid.NewString()); err != nil {
				t.Fatal(err)
			}
		case http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge:
			answer := decode[errorReply](t, got).Error
			if !errors.Code(answer.Code).Known() || answer.Message == "" || w.Header().Get("x-ms-error-code") != answer.Code {
				t.Fatalf("answered %s", w.Body)
			}
		default:
			t.Fatalf("answered %d %s", w.Code, w.Body)
		}
	})
}
