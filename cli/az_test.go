package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/server"
)

// az is Debian's azure-cli with a configuration of its own, registered for a server of the test.
type az struct {
	t   *testing.T
	env []string
}

// run runs az and returns what it wrote to its standard output and error.
func (a az) run(args ...string) (stdout, stderr string, err error) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, "az", args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = a.env, &out, &errs
	err = cmd.Run()
	return strings.TrimSpace(out.String()), errs.String(), err
}

// ok runs az, which has to succeed.
func (a az) ok(args ...string) string {
	a.t.Helper()
	stdout, stderr, err := a.run(args...)
	if err != nil {
		a.t.Fatalf("az %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	return stdout
}

// rest sends a request and returns what the query finds in the answer, as text.
func (a az) rest(method, path, body, query string) string {
	a.t.Helper()
	args := []string{"rest", "--method", method, "--url", path + "?api-version=" + apiVersion, "--query", query, "-o", "tsv"}
	if body != "" {
		args = append(args, "--body", body)
	}
	return a.ok(args...)
}

// servicePrincipal makes one that has a role at the simulated private clouds' subscription.
func (p *process) servicePrincipal(t *testing.T, role string) (id, secret string) {
	t.Helper()
	id = uuid.NewString()
	var added struct{ ClientSecret string }
	principal, assignment := "/providers/Airlock/servicePrincipals/"+id, subscriptionOf(cloudPath(1))+roleAssignments+"/"+uuid.NewString()
	for _, step := range []struct {
		method, path string
		body, result any
	}{
		{http.MethodPut, principal, json.RawMessage(`{"properties":{"displayName":"az"}}`), nil},
		{http.MethodPost, principal + "/addSecret", json.RawMessage(`{}`), &added},
		{http.MethodPut, assignment, map[string]assignmentProperties{"properties": {RoleDefinitionID: roleDefinitions + "/" + role, PrincipalID: "airlock:" + id}}, nil},
	} {
		if _, err := p.do(t.Context(), step.method, step.path, step.body, step.result); err != nil {
			t.Fatalf("%s %s: %v", step.method, step.path, err)
		}
	}
	return id, added.ClientSecret
}

func subscriptionOf(path string) string { return strings.Join(strings.SplitN(path, "/", 4)[:3], "/") }

// The real az, as Debian has it: what arm-contract.md calls "The real az", from the registration of the cloud to the
// removal of an execution.
func TestAz(t *testing.T) {
	t.Parallel()
	if os.Getenv("AIRLOCK_AZ") == "" {
		t.Skip("skipped: `bash .ci/test --az` runs Debian's azure-cli")
	}
	p := serveDev(t, stateDir(t), "--package", nupkg(t, "inventory"))
	id, secret := p.servicePrincipal(t, server.RoleOwner)
	a := az{t, append(os.Environ(), "AZURE_CONFIG_DIR="+t.TempDir(), "AZURE_CORE_COLLECT_TELEMETRY=no", "REQUESTS_CA_BUNDLE="+filepath.Join(p.dir, "ca.pem"))}
	cloud, at := cloudPath(1), p.endpoint+"/"
	a.ok("cloud", "register", "-n", "airlock", "--endpoint-resource-manager", at, "--endpoint-active-directory", at+"adfs",
		"--endpoint-active-directory-resource-id", at, "--endpoint-management", at, "--endpoint-active-directory-graph-resource-id", at)
	a.ok("cloud", "set", "-n", "airlock")

	if _, stderr, err := a.run("login", "--service-principal", "-u", id, "-p", secret+"x", "--tenant", "adfs"); err == nil || !strings.Contains(stderr, "The client id or the client secret is wrong") {
		t.Errorf("with a wrong secret: %v, %s", err, stderr)
	}
	found := a.ok("login", "--service-principal", "-u", id, "-p", secret, "--tenant", "adfs", "--query", "[].id", "-o", "tsv")
	if "/subscriptions/"+found != subscriptionOf(cloud) {
		t.Fatalf("logged in to the subscriptions %q", found)
	}

	if got := a.ok("resource", "list", "--resource-type", "Microsoft.AVS/privateClouds", "--query", "[].id", "-o", "tsv"); got != cloud {
		t.Errorf("the resources are %s", got)
	}
	if got := a.ok("resource", "show", "--ids", cloud, "--query", "[name, sku.name, properties.provisioningState]", "-o", "tsv"); strings.Join(strings.Fields(got), " ") != "sddc1 av36 Succeeded" {
		t.Errorf("the private cloud is %s", got)
	}
	feature := []string{"--namespace", "Microsoft.AVS", "--name", "scriptingPreview", "--query", "properties.state", "-o", "tsv"}
	for _, command := range []string{"register", "show"} {
		if got := a.ok(append([]string{"feature", command}, feature...)...); got != "Registered" {
			t.Errorf("az feature %s: %s", command, got)
		}
	}

	x := cloud + "/scriptExecutions/by-az"
	body := fmt.Sprintf(`{"properties":{"timeout":"PT5M","scriptCmdletId":"%s/scriptPackages/Airlock.Examples.Inventory@1.*/scriptCmdlets/Get-Inventory"}}`, cloud)
	state := a.rest("put", x, body, "properties.provisioningState")
	for state == "Pending" || state == "Running" {
		state = a.rest("get", x, "", "properties.provisioningState")
	}
	if state != "Succeeded" {
		t.Errorf("the execution ended %s", state)
	}
	if got := a.rest("get", cloud+"/scriptExecutions", "", "value[].name"); got != "by-az" {
		t.Errorf("the executions are %s", got)
	}
	if got := a.rest("get", x+"/streams", "", "length(value)"); got == "" || got == "0" {
		t.Errorf("%q records of output", got)
	}
	a.ok("rest", "--method", "delete", "--url", x+"?api-version="+apiVersion)
	if _, stderr, err := a.run("rest", "--method", "get", "--url", x+"?api-version="+apiVersion); err == nil || !strings.Contains(stderr, "ResourceNotFound") {
		t.Errorf("after its removal: %v, %s", err, stderr)
	}
	// An Owner is not the Provider, and az says so in the server's words.
	if _, stderr, err := a.run("rest", "--method", "get", "--url", "/providers/Airlock/tokens?api-version="+apiVersion); err == nil || !strings.Contains(stderr, "Airlock/tokens/read at the scope /") {
		t.Errorf("beyond his role: %v, %s", err, stderr)
	}
}
