package main

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/sdktest"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sdk/wire"
	"github.com/airlock-run/airlock/sessions"
	"github.com/airlock-run/airlock/sessions/simcloud"
)

// asPackage makes the test's own program be the package's: it is started once for each execution, as Airlock does.
const asPackage = "INVENTORY_TEST_AS_PACKAGE"

func TestMain(m *testing.M) {
	if os.Getenv(asPackage) != "" {
		main()
	}
	os.Exit(m.Run())
}

// cloud is a simulated private cloud behind a session broker.
type cloud struct {
	*simcloud.Cloud
	broker *sessions.Broker
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	sim, err := simcloud.Start(t.Context(), simcloud.Config{Name: "sddc1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &cloud{Cloud: sim}
	c.broker = sessions.New(c, slog.New(slog.DiscardHandler))
	return c
}

// Upstream implements sessions.Clouds.
func (c *cloud) Upstream(context.Context, domain.CloudID) (sessions.Upstream, error) {
	known := func(s secret.Text) func(context.Context) (secret.Text, error) {
		return func(context.Context) (secret.Text, error) { return s, nil }
	}
	vc, authorities := c.VCenter(), x509.NewCertPool()
	authorities.AppendCertsFromPEM(vc.CA)
	up := sessions.Upstream{VCenter: vc.FQDN, Addr: vc.Addr, RootCAs: authorities, User: vc.User, Password: known(vc.Password)}
	for _, e := range c.SSH() {
		up.SSH = append(up.SSH, sessions.SSHHost{Name: e.Name, Addr: e.Addr, User: e.User, Password: known(e.Password), HostKey: e.HostKey})
	}
	return up, nil
}

type audited struct{}

func (audited) Write(context.Context, audit.Event) {}

// run runs a cmdlet as an execution with a grant of its own.
func (c *cloud) run(t *testing.T, cmdlet string, secrets map[string]secret.Text, args map[string]wire.Argument) sdktest.Result {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	grant, err := c.broker.Open(ctx, domain.Execution{ID: "0198-test", Cloud: domain.CloudID{Subscription: "s", ResourceGroup: "g", Name: "sddc1"}},
		func(string, int) (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }, audited{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); <-grant.Done }()
	g := wire.Grant{CA: string(grant.CA), User: grant.User, Token: grant.Token, Key: grant.Key, VCenter: wire.Endpoint(grant.VCenter)}
	for _, e := range grant.SSH {
		g.SSH = append(g.SSH, wire.SSHEndpoint{Endpoint: wire.Endpoint(e.Endpoint), HostKey: e.HostKey})
	}
	return run(t, sdktest.Host{Start: wire.Start{ExecutionID: "0198-test", Cmdlet: cmdlet, Secrets: secrets, Parameters: args, Grant: g}})
}

// run runs the package's program.
func run(t *testing.T, h sdktest.Host) sdktest.Result {
	t.Helper()
	return runUntil(t.Context(), t, h)
}

func runUntil(ctx context.Context, t *testing.T, h sdktest.Host) sdktest.Result {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{asPackage + "=1"}
	cmd.Stderr = os.Stderr
	result, err := h.Run(ctx, cmd)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func succeeds(t *testing.T, r sdktest.Result) {
	t.Helper()
	if r.End.Failure != "" {
		t.Fatalf("it failed: %s\n%s", r.End.Failure, r.Text(wire.KindError))
	}
}

func TestGetInventory(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	r := c.run(t, "Get-Inventory", nil, nil)
	succeeds(t, r)
	out := r.End.NamedOutputs
	if out["clusterCount"] != "1" || out["hostCount"] != "3" || !strings.Contains(out["hostNames"], `"esx01.sddc1.airlock.test"`) || len(out["vmCount"]) != 2 {
		t.Errorf("the named outputs are %v", out)
	}
	text := r.Text(wire.KindOutput)
	if !strings.Contains(text, "host    esx02.sddc1.airlock.test (connected)") || strings.Count(text, "\nvm ") < 10 {
		t.Errorf("the output is\n%s", text)
	}
	r = c.run(t, "Get-Inventory", nil, map[string]wire.Argument{"Machines": {Type: manifest.Bool, Value: "false"}})
	succeeds(t, r)
	if r.End.NamedOutputs["vmCount"] != "0" || r.End.NamedOutputs["vmNames"] != "[]" {
		t.Errorf("without machines the named outputs are %v", r.End.NamedOutputs)
	}
}

func TestHostHealth(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	r := c.run(t, "Test-HostHealth", nil, nil)
	succeeds(t, r)
	for _, host := range c.SSH() {
		if !strings.Contains(r.Text(wire.KindOutput), host.Name+": healthy") {
			t.Errorf("%s is not healthy:\n%s", host.Name, r.Text(wire.KindOutput))
		}
	}
	if info := r.Text(wire.KindInformation); !strings.Contains(info, "VMkernel esx01") || strings.Count(info, "load average") != 4 {
		t.Errorf("the commands' output is\n%s", info)
	}
	r = c.run(t, "Test-HostHealth", nil, map[string]wire.Argument{"Directory": {Type: manifest.String, Value: "/nowhere"}})
	if !strings.HasPrefix(r.End.Failure, "4 of 4 hosts are not healthy (") || strings.Count(r.Text(wire.KindError), "/nowhere/airlock-health-0198-test could not be created by SFTP") != 4 {
		t.Errorf("the failure is %q, the Error stream\n%s", r.End.Failure, r.Text(wire.KindError))
	}
}

func TestSetServiceAccount(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	args := map[string]wire.Argument{"name": {Type: manifest.String, Value: "svc-test"}, "JoinCloudAdmins": {Type: manifest.Bool, Value: "true"}}
	first := c.run(t, "Set-ServiceAccount", nil, args)
	succeeds(t, first)
	if len(first.Secrets) != 1 || first.Secrets[0].Name != "svc-test-password" {
		t.Fatalf("the secrets %v were set", first.Secrets)
	}
	password := *first.Secrets[0].Value
	if first.End.NamedOutputs["password"] != "created" || first.End.NamedOutputs["user"] != "svc-test@vsphere.local" {
		t.Errorf("the named outputs are %v", first.End.NamedOutputs)
	}
	for _, r := range first.Records {
		if strings.Contains(r.Text, password.Reveal()) {
			t.Errorf("the password was printed: %q", r.Text)
		}
	}

	second := c.run(t, "Set-ServiceAccount", map[string]secret.Text{"SVC-test-password": password}, args)
	succeeds(t, second)
	if len(second.Secrets) != 0 || second.End.NamedOutputs["password"] != "reused" || !strings.Contains(second.Text(wire.KindOutput), "is in the group CloudAdmins") {
		t.Errorf("the second run set %v and says %v:\n%s", second.Secrets, second.End.NamedOutputs, second.Text(wire.KindOutput))
	}

	lost := c.run(t, "Set-ServiceAccount", nil, args) // the secret was not kept: the user gets a new password
	succeeds(t, lost)
	if len(lost.Secrets) != 1 || lost.Secrets[0].Value.Equal(password) {
		t.Errorf("after the loss of the secret %v was set", lost.Secrets)
	}

	for name, says := range map[string]string{
		"scripting":   "the user scripting exists, and was not made by this cmdlet", // the login of Airlock itself
		"CloudAdmins": "the role CloudAdmins exists, and was not made by this cmdlet",
	} {
		args["name"] = wire.Argument{Type: manifest.String, Value: name}
		if r := c.run(t, "Set-ServiceAccount", nil, args); !strings.HasPrefix(r.End.Failure, says) {
			t.Errorf("with the name %s the failure is %q, want %q", name, r.End.Failure, says)
		}
	}

	args["name"] = wire.Argument{Type: manifest.String, Value: "a b"}
	if r := c.run(t, "Set-ServiceAccount", nil, args); !strings.Contains(r.End.Failure, `the name "a b"`) {
		t.Errorf("the failure is %q", r.End.Failure)
	}
}

func TestInvokeFailure(t *testing.T) {
	t.Parallel()
	r := run(t, sdktest.Host{Start: wire.Start{Cmdlet: "Invoke-Failure"}})
	if !strings.HasPrefix(r.End.Failure, "this cmdlet always fails") || len(r.Records) != 5 || len(r.Secrets) != 1 || r.End.NamedOutputs != nil {
		t.Errorf("failure %q, %d records, %d secrets, named outputs %v", r.End.Failure, len(r.Records), len(r.Secrets), r.End.NamedOutputs)
	}
}

func TestStartSleepEndsWhenAsked(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r := runUntil(ctx, t, sdktest.Host{
		Start: wire.Start{Cmdlet: "Start-Sleep", Parameters: map[string]wire.Argument{"Seconds": {Type: manifest.Int, Value: "3600"}}},
		Watch: func(sdktest.Record) { cancel() },
	})
	if !strings.Contains(r.End.Failure, "was asked to end") || r.Text(wire.KindWarning) != "asked to end\n" {
		t.Errorf("failure %q, warnings %q", r.End.Failure, r.Text(wire.KindWarning))
	}
	r = run(t, sdktest.Host{Start: wire.Start{Cmdlet: "Start-Sleep", Parameters: map[string]wire.Argument{"Seconds": {Type: manifest.Int, Value: "0"}}}})
	if r.End.Failure != "" || r.Text(wire.KindOutput) != "sleeping for 0 s\nslept\n" {
		t.Errorf("failure %q, output %q", r.End.Failure, r.Text(wire.KindOutput))
	}
}

func TestByHand(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{asPackage + "=1"}
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"Airlock.Examples.Inventory 1.0.0", "Get-Inventory", "airlock package pack"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("it ended with %v, want exit code 2", err)
	}
}

func TestFittingLists(t *testing.T) {
	t.Parallel()
	many := make([]string, 5000)
	for i := range many {
		many[i] = "machine"
	}
	if n := len(fitting(many)); n != 819 { // 10 bytes each
		t.Errorf("%d names of 7 letters fit, want 819", n)
	}
	if n := len(fitting(many[:3])); n != 3 {
		t.Errorf("%d of 3 names fit", n)
	}
}
