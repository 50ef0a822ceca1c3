package server_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/server"
)

// snapshot is all that a refused request could have changed.
func (e *env) snapshot() (all []any) {
	e.t.Helper()
	clouds, err := e.store.PrivateClouds(e.t.Context(), subscription, "")
	if err != nil {
		e.t.Fatal(err)
	}
	for _, c := range clouds {
		page, _, err := e.store.Executions(e.t.Context(), c.ID, "", 1000)
		if err != nil {
			e.t.Fatal(err)
		}
		all = append(all, c, page)
	}
	versions, err := e.store.Packages(e.t.Context(), "")
	if err != nil {
		e.t.Fatal(err)
	}
	return append(all, versions)
}

// parameter is one element of parameters as JSON.
func parameter(name, kind string, more ...string) string {
	return fmt.Sprintf(`{"name":%q,"type":%q%s}`, name, kind, strings.Join(append([]string{""}, more...), ","))
}

// with is the body of a PUT of Get-Inventory with the parameters.
func with(parameters ...string) string {
	return put("Get-Inventory", `"timeout":"PT5M","parameters":[`+strings.Join(parameters, ",")+`]`)
}

const canary = "canary-7f3a"

var cluster = parameter("ClusterName", "Value", `"value":"c1"`)

func TestBadInputIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	e := start(t)
	x, secureX := cloudPath+"/scriptExecutions/x", put("Get-Inventory", `"parameters":[`+cluster+`,`+parameter("Token", "SecureValue", `"secureValue":"one"`)+`]`)
	taken := cloudPath + "/scriptExecutions/taken"
	e.do("PUT", taken, secureX).want(t, 201, "")
	before := e.snapshot()

	secure := `"secureValue":"` + canary + `"`
	password := `"username":"root","password":"` + canary + `"`
	timeout := func(s string) string { return put("Start-Sleep", `"timeout":"`+s+`"`) }
	retention := func(s string) string { return put("Start-Sleep", `"timeout":"PT1M","retention":"`+s+`"`) }
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code               errors.Code
		message, target    string
	}{
		"api-version missing":        {"GET", x + "?api-version=", "", 400, errors.MissingAPIVersionParameter, "needs an api-version", ""},
		"api-version unknown":        {"PUT", x + "?api-version=2020-01-01", secureX, 400, errors.InvalidAPIVersionParameter, "2020-01-01", ""},
		"api-version twice":          {"PUT", x + "?api-version=2023-09-01&api-version=2022-05-01", secureX, 400, errors.InvalidAPIVersionParameter, "not known", ""},
		"cloud unknown, GET":         {"GET", strings.Replace(cloudPath, "Cloud-1", "Nowhere", 1), "", 404, errors.ResourceNotFound, "Nowhere", ""},
		"cloud unknown, list":        {"GET", strings.Replace(cloudPath, "Cloud-1", "Nowhere", 1) + "/scriptExecutions", "", 404, errors.ParentResourceNotFound, "Nowhere", ""},
		"cloud unknown, PUT":         {"PUT", strings.Replace(x, "Cloud-1", "Nowhere", 1), secureX, 404, errors.ParentResourceNotFound, "Nowhere", ""},
		"cloud unknown, DELETE":      {"DELETE", strings.Replace(x, "Cloud-1", "Nowhere", 1), "", 404, errors.ParentResourceNotFound, "Nowhere", ""},
		"cloud of another":           {"PUT", strings.Replace(x, "Cloud-1", "Cloud-2", 1), secureX, 400, errors.InvalidParameter, "Cloud-2", "properties.scriptCmdletId"},
		"group unknown":              {"PUT", strings.Replace(x, group, "Other", 1), secureX, 404, errors.ParentResourceNotFound, "Other", ""},
		"package unknown":            {"PUT", x, strings.ReplaceAll(secureX, "Example.Inventory", "No.Such"), 404, errors.ResourceNotFound, "No.Such", ""},
		"package unknown, GET":       {"GET", cloudPath + "/scriptPackages/No.Such@1.*", "", 404, errors.ResourceNotFound, "No.Such", ""},
		"package unknown, cmdlets":   {"GET", cloudPath + "/scriptPackages/No.Such@1.*/scriptCmdlets", "", 404, errors.ParentResourceNotFound, "No.Such", ""},
		"cmdlet unknown":             {"PUT", x, put("Get-Nothing", ""), 404, errors.ResourceNotFound, "it has Get-Inventory, Invoke-Failure, Start-Sleep", "properties.scriptCmdletId"},
		"cmdlet unknown, GET":        {"GET", cloudPath + "/scriptPackages/Example.Inventory@1.*/scriptCmdlets/Get-Nothing", "", 404, errors.ResourceNotFound, "Get-Nothing", ""},
		"cmdlet id missing":          {"PUT", x, `{"properties":{"timeout":"PT1M"}}`, 400, errors.InvalidParameter, "full id", "properties.scriptCmdletId"},
		"cmdlet id short":            {"PUT", x, `{"properties":{"scriptCmdletId":"Get-Inventory"}}`, 400, errors.InvalidParameter, "full id", "properties.scriptCmdletId"},
		"cmdlet id of a package":     {"PUT", x, `{"properties":{"scriptCmdletId":"` + cloudPath + `/scriptPackages/Example.Inventory@1.*"}}`, 400, errors.InvalidParameter, "full id", "properties.scriptCmdletId"},
		"cmdlet id with a traversal": {"PUT", x, put("..", ""), 400, errors.InvalidParameter, "full id", "properties.scriptCmdletId"},

		"parameter missing":           {"PUT", x, with(), 400, errors.InvalidParameter, "Get-Inventory needs ClusterName", "properties.parameters"},
		"parameter extra":             {"PUT", x, with(cluster, parameter("Nope", "Value", `"value":"`+canary+`"`)), 400, errors.InvalidParameter, `no parameter "Nope"; it has ClusterName`, "properties.parameters[1]"},
		"parameter doubled":           {"PUT", x, with(cluster, parameter("CLUSTERNAME", "Value", `"value":"c2"`)), 400, errors.InvalidParameter, "ClusterName is given twice", "properties.parameters[1]"},
		"parameter doubled in hidden": {"PUT", x, put("Get-Inventory", `"parameters":[`+cluster+`],"hiddenParameters":[`+cluster+`]`), 400, errors.InvalidParameter, "given twice", "properties.hiddenParameters[0]"},
		"parameter without name":      {"PUT", x, with(`{"type":"Value","value":"x"}`), 400, errors.InvalidRequestContent, "properties.parameters[0].name is missing", "properties.parameters[0].name"},
		"parameter without type":      {"PUT", x, with(`{"name":"ClusterName","value":"x"}`), 400, errors.InvalidRequestContent, "must be Value, SecureValue or Credential", "properties.parameters[0].type"},
		"parameter without value":     {"PUT", x, with(parameter("ClusterName", "Value")), 400, errors.InvalidParameter, "ClusterName needs a value", "properties.parameters[0]"},
		"parameter null":              {"PUT", x, with(parameter("ClusterName", "Value", `"value":null`)), 400, errors.InvalidParameter, "ClusterName needs a value", "properties.parameters[0]"},
		"parameter is a number":       {"PUT", x, with(parameter("ClusterName", "Value", `"value":5`)), 400, errors.InvalidRequestContent, "properties.parameters[0].value must be a string, not a number", "properties.parameters[0].value"},
		"parameter is a string":       {"PUT", x, with(`"ClusterName"`), 400, errors.InvalidRequestContent, "must be an object, not a string", "properties.parameters[0]"},
		"parameters are an object":    {"PUT", x, put("Get-Inventory", `"parameters":{}`), 400, errors.InvalidRequestContent, "properties.parameters must be an array, not an object", "properties.parameters"},
		"parameter member twice":      {"PUT", x, with(parameter("ClusterName", "Value", `"value":"a","Value":"b"`)), 400, errors.InvalidRequestContent, "twice", "properties.parameters[0]"},
		"String as SecureValue":       {"PUT", x, with(parameter("ClusterName", "SecureValue", secure)), 400, errors.InvalidParameter, "ClusterName is a String: send it with the type Value", "properties.parameters[0]"},
		"SecureString as Value":       {"PUT", x, with(cluster, parameter("Token", "Value", `"value":"`+canary+`"`)), 400, errors.InvalidParameter, "Token is a SecureString: send it with the type SecureValue", "properties.parameters[1]"},
		"SecureString without":        {"PUT", x, with(cluster, parameter("Token", "SecureValue", `"value":"`+canary+`"`)), 400, errors.InvalidParameter, "needs a secureValue", "properties.parameters[1]"},
		"Credential as SecureValue":   {"PUT", x, with(cluster, parameter("Login", "SecureValue", secure)), 400, errors.InvalidParameter, "Login is a Credential", "properties.parameters[1]"},
		"Credential without password": {"PUT", x, with(cluster, parameter("Login", "Credential", `"username":"`+canary+`"`)), 400, errors.InvalidParameter, "a username and a password", "properties.parameters[1]"},
		"Credential without username": {"PUT", x, with(cluster, parameter("Login", "Credential", `"password":"`+canary+`"`)), 400, errors.InvalidParameter, "a username and a password", "properties.parameters[1]"},
		"String as Credential":        {"PUT", x, with(parameter("ClusterName", "Credential", password)), 400, errors.InvalidParameter, "ClusterName is a String", "properties.parameters[0]"},
		"Int in words":                {"PUT", x, with(cluster, parameter("Limit", "Value", `"value":"ten"`)), 400, errors.InvalidParameter, "Limit is an Int", "properties.parameters[1].value"},
		"Int in hex":                  {"PUT", x, with(cluster, parameter("Limit", "Value", `"value":"0x10"`)), 400, errors.InvalidParameter, "Limit is an Int", "properties.parameters[1].value"},
		"Int too large":               {"PUT", x, with(cluster, parameter("Limit", "Value", `"value":"2147483648"`)), 400, errors.InvalidParameter, "2147483647", "properties.parameters[1].value"},
		"Float with a comma":          {"PUT", x, with(cluster, parameter("Ratio", "Value", `"value":"0,5"`)), 400, errors.InvalidParameter, "Ratio is a Float", "properties.parameters[1].value"},
		"Float not a number":          {"PUT", x, with(cluster, parameter("Ratio", "Value", `"value":"NaN"`)), 400, errors.InvalidParameter, "Ratio is a Float", "properties.parameters[1].value"},
		"Float too large":             {"PUT", x, with(cluster, parameter("Ratio", "Value", `"value":"1e999"`)), 400, errors.InvalidParameter, "Ratio is a Float", "properties.parameters[1].value"},
		"Bool in words":               {"PUT", x, with(cluster, parameter("Deep", "Value", `"value":"yes"`)), 400, errors.InvalidParameter, "Deep is a Bool: true or false", "properties.parameters[1].value"},

		"timeout unparsable":   {"PUT", x, timeout("30"), 400, errors.InvalidTimeout, "write one such as PT30M", "properties.timeout"},
		"timeout empty":        {"PUT", x, timeout(""), 400, errors.InvalidTimeout, "write one such as PT30M", "properties.timeout"},
		"timeout zero":         {"PUT", x, timeout("PT0S"), 400, errors.InvalidTimeout, "too short", "properties.timeout"},
		"timeout negative":     {"PUT", x, timeout("-PT5M"), 400, errors.InvalidTimeout, "too short", "properties.timeout"},
		"timeout too long":     {"PUT", x, timeout("PT61M1S"), 400, errors.InvalidTimeout, "the most is one hour", "properties.timeout"},
		"timeout far too long": {"PUT", x, timeout("P9999999999Y"), 400, errors.InvalidTimeout, "", "properties.timeout"},
		"timeout a number":     {"PUT", x, put("Start-Sleep", `"timeout":30`), 400, errors.InvalidRequestContent, "must be a string, not a number", "properties.timeout"},
		"retention unparsable": {"PUT", x, retention("60"), 400, errors.InvalidRequestContent, "write one such as P60D", "properties.retention"},
		"retention too short":  {"PUT", x, retention("PT1S"), 400, errors.InvalidRequestContent, "from one minute", "properties.retention"},
		"retention too long":   {"PUT", x, retention("P2Y"), 400, errors.InvalidRequestContent, "to a year", "properties.retention"},

		"name with a space":        {"PUT", cloudPath + "/scriptExecutions/a%20b", secureX, 400, errors.InvalidResourceName, `"a b"`, "scriptExecution"},
		"name with a slash":        {"PUT", cloudPath + "/scriptExecutions/a%2Fb", secureX, 400, errors.InvalidResourceName, `"a/b"`, "scriptExecution"},
		"name of dots":             {"PUT", cloudPath + "/scriptExecutions/%2E%2E", secureX, 400, errors.InvalidResourceName, `".."`, "scriptExecution"},
		"name too long":            {"PUT", cloudPath + "/scriptExecutions/" + strings.Repeat("n", 129), secureX, 400, errors.InvalidResourceName, "at most 128", "scriptExecution"},
		"group name bad":           {"GET", strings.Replace(cloudPath, group, "a$b", 1), "", 400, errors.InvalidResourceName, "resource group", "resourceGroup"},
		"package name bad":         {"GET", cloudPath + "/scriptPackages/a%20b", "", 400, errors.InvalidResourceName, "Name@1.2.3", "scriptPackage"},
		"path unknown":             {"GET", cloudPath + "/clusters", "", 404, errors.ResourceNotFound, "nothing at this path", ""},
		"path of another provider": {"GET", strings.Replace(cloudPath, "Microsoft.AVS", "Microsoft.Compute", 1), "", 404, errors.ResourceNotFound, "nothing at this path", ""},
		"path empty":               {"GET", "/", "", 404, errors.ResourceNotFound, "nothing at this path", ""},
		"method":                   {"PATCH", x, secureX, 405, errors.MethodNotAllowed, "GET, PUT, DELETE, HEAD is", ""},
		"method of a list":         {"DELETE", cloudPath + "/scriptExecutions", "", 405, errors.MethodNotAllowed, "GET", ""},

		"body missing":           {"PUT", x, "", 400, errors.InvalidRequestContent, "The body must be an object, not nothing", ""},
		"body not JSON":          {"PUT", x, `{"properties":` + canary, 400, errors.InvalidRequestContent, "not one JSON value: see byte 15", ""},
		"body cut off":           {"PUT", x, secureX[:len(secureX)-1], 400, errors.InvalidRequestContent, "not one JSON value", ""},
		"body and more":          {"PUT", x, secureX + "{}", 400, errors.InvalidRequestContent, "not one JSON value", ""},
		"body not UTF-8":         {"PUT", x, strings.Replace(secureX, "c1", "\xff", 1), 400, errors.InvalidRequestContent, "not UTF-8", ""},
		"body an array":          {"PUT", x, `[]`, 400, errors.InvalidRequestContent, "must be an object, not an array", ""},
		"body null":              {"PUT", x, `null`, 400, errors.InvalidRequestContent, "must be an object, not null", ""},
		"body too deep":          {"PUT", x, strings.Repeat("[", 20000), 400, errors.InvalidRequestContent, "not one JSON value", ""},
		"body too large":         {"PUT", x, put("Start-Sleep", `"x":"`+strings.Repeat("x", 128<<10)+`"`), 413, errors.RequestEntityTooLarge, "128 KiB", ""},
		"properties missing":     {"PUT", x, `{}`, 400, errors.InvalidRequestContent, "properties is missing", "properties"},
		"properties twice":       {"PUT", x, `{"properties":{},"Properties":{}}`, 400, errors.InvalidRequestContent, `has "Properties" twice`, ""},
		"properties an array":    {"PUT", x, `{"properties":[]}`, 400, errors.InvalidRequestContent, "properties must be an object, not an array", "properties"},
		"same name, other":       {"PUT", taken, strings.Replace(secureX, "c1", "c2", 1), 409, errors.Conflict, "another script execution taken", ""},
		"same name, secret":      {"PUT", taken, strings.Replace(secureX, `"one"`, `"two"`, 1), 409, errors.Conflict, "another script execution taken", ""},
		"skip token":             {"GET", cloudPath + "/scriptExecutions?$skipToken=%20", "", 400, errors.InvalidRequest, "begin it anew", ""},
		"execution unknown":      {"GET", x, "", 404, errors.ResourceNotFound, "no script execution x", ""},
		"cancel of none":         {"POST", x + "/cancel", "", 404, errors.ResourceNotFound, "no script execution x", ""},
		"logs of none":           {"POST", x + "/getExecutionLogs", "", 404, errors.ResourceNotFound, "no script execution x", ""},
		"logs of what":           {"POST", taken + "/getExecutionLogs", `["Verbose"]`, 400, errors.InvalidRequestContent, `no stream "Verbose"; there are Output`, ""},
		"logs not an array":      {"POST", taken + "/getExecutionLogs", `{"a":1}`, 400, errors.InvalidRequestContent, "array of names of streams", ""},
		"streams of none":        {"GET", x + "/streams", "", 404, errors.ResourceNotFound, "no script execution x", ""},
		"streams after what":     {"GET", taken + "/streams?after=-1", "", 400, errors.InvalidRequest, "must be a number that an earlier", "after"},
		"streams after too much": {"GET", taken + "/streams?after=9223372036854775807", "", 400, errors.InvalidRequest, "must be a number that an earlier", "after"},
		"audit of none":          {"GET", x + "/audit", "", 404, errors.ResourceNotFound, "no script execution x", ""},
		"streams known what":     {"GET", taken + "/streams?progress=one", "", 400, errors.InvalidRequest, "must be a number that an earlier", "progress"},
		"audit after what":       {"GET", taken + "/audit?after=one", "", 400, errors.InvalidRequest, "must be a number that an earlier", "after"},
		"audit after too much":   {"GET", taken + "/audit?after=9223372036854775807", "", 400, errors.InvalidRequest, "must be a number that an earlier", "after"},
		"audit, written":         {"PUT", taken + "/audit", "{}", 405, errors.MethodNotAllowed, "GET", ""},
		"half a character":       {"PUT", x, strings.Replace(secureX, `"one"`, `"\ud83d!"`, 1), 400, errors.InvalidRequestContent, "half a character", ""},
		"half, the other":        {"PUT", x, strings.Replace(secureX, `"one"`, `"\\\ude00"`, 1), 400, errors.InvalidRequestContent, "half a character", ""},
		"operation unknown":      {"GET", cloudPath + "/operationStatuses/nothing", "", 404, errors.ResourceNotFound, "no operation nothing", ""},
		"logs too large":         {"POST", taken + "/getExecutionLogs", `["` + strings.Repeat("x", 128<<10) + `"]`, 413, errors.RequestEntityTooLarge, "128 KiB", ""},
		"api-version too long":   {"GET", x + "?api-version=" + strings.Repeat("9", 10000), "", 400, errors.InvalidAPIVersionParameter, "not known", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := e.do(c.method, c.path, c.body).want(t, c.status, c.code)
			body := decode[errorReply](t, got).Error
			if body.Code != string(c.code) || !strings.Contains(body.Message, c.message) || !strings.HasSuffix(body.Message, ".") || body.Target != c.target {
				t.Errorf("the error is %s; want a message with %q, target %q", got.body, c.message, c.target)
			}
			if bytes.Contains(got.body, []byte(canary)) {
				t.Errorf("the error shows a value: %s", got.body)
			}
			if diff := cmp.Diff(before, e.snapshot()); diff != "" {
				t.Errorf("something has changed:\n%s", diff)
			}
		})
	}
	if strings.Contains(e.log.String(), canary) {
		t.Errorf("the log shows a value: %s", e.log)
	}
}

// What is refused before anything is known about the sender says nothing about what there is.
func TestWithoutAToken(t *testing.T) {
	t.Parallel()
	e := start(t)
	for name, header := range map[string][]string{
		"none":       nil,
		"wrong":      {"Bearer wrong"},
		"prefix":     {"Bearer " + token[:len(token)-1]},
		"longer":     {"Bearer " + token + "x"},
		"empty":      {"Bearer "},
		"no scheme":  {token},
		"basic":      {"Basic " + token},
		"two":        {"Bearer " + token, "Bearer " + token},
		"two, first": {"Bearer wrong", "Bearer " + token},
	} {
		var bodies []string
		for _, path := range []string{cloudPath, cloudPath + "/scriptExecutions/x", "/nowhere", "/", cloudPath + "?api-version=" + version} {
			for _, method := range []string{"GET", "PUT", "PATCH", "BREW"} {
				req, err := http.NewRequestWithContext(t.Context(), method, e.https.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header["Authorization"] = header
				resp, err := e.https.Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				var body bytes.Buffer
				_, _ = body.ReadFrom(resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") != e.challenge(e.https.URL+"/adfs") || resp.Header.Get("x-ms-error-code") != string(errors.AuthenticationFailed) {
					t.Errorf("%s: %s %s answered %d %v %s", name, method, path, resp.StatusCode, resp.Header, &body)
				}
				bodies = append(bodies, body.String())
			}
		}
		for _, b := range bodies {
			if b != bodies[0] {
				t.Errorf("%s: the answers differ: %s and %s", name, b, bodies[0])
			}
		}
	}
	if len(e.audit.list()) != 0 {
		t.Error("strangers fill the audit")
	}
}

// Of a scheme's case nothing is said; an empty secret must never be one.
func TestStaticToken(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.do("GET", cloudPath, "", "Authorization", "bearer  "+token).want(t, 200, "")
	empty := start(t, func(c *server.Config) { c.Authenticator = server.NewStaticToken(domain.SecureValue{}.Password) })
	empty.do("GET", cloudPath, "", "Authorization", "Bearer ").want(t, 401, errors.AuthenticationFailed)
}
