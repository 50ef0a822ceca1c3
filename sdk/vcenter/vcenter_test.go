package vcenter_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/vmware/govmomi"
	lookupsim "github.com/vmware/govmomi/lookup/simulator"
	"github.com/vmware/govmomi/simulator"
	ssosim "github.com/vmware/govmomi/ssoadmin/simulator"
	"github.com/vmware/govmomi/vapi/rest"
	_ "github.com/vmware/govmomi/vapi/simulator" // vcsim answers for REST too
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25/soap"

	"github.com/airlock-run/airlock/sdk"
	"github.com/airlock-run/airlock/sdk/sdktest"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sdk/vcenter"
	"github.com/airlock-run/airlock/sdk/wire"
)

// asPackage makes the test's own program be a script package.
const asPackage = "VCENTER_TEST_AS_PACKAGE"

func TestMain(m *testing.M) {
	if os.Getenv(asPackage) != "" {
		sdk.Main(
			sdk.Package{Name: "Airlock.Test", Version: "1.0.0"},
			sdk.Cmdlet[struct{}]{Name: "Get-About", Run: getAbout},
			sdk.Cmdlet[struct{}]{Name: "New-Category", Run: newCategory},
			sdk.Cmdlet[struct{}]{Name: "Find-User", Run: findUser},
			sdk.Cmdlet[struct{}]{Name: "Open-Host", Run: openHost},
			sdk.Cmdlet[struct{}]{Name: "Open-Elsewhere", Run: openElsewhere},
		)
	}
	os.Exit(m.Run())
}

// getAbout names the user of the session: it fails where there is none.
func getAbout(ctx context.Context, x *sdk.Execution, _ struct{}) error {
	c, err := vcenter.Client(ctx, x)
	if err != nil {
		return err
	}
	s, err := c.SessionManager.UserSession(ctx)
	if err != nil || s == nil {
		return fmt.Errorf("not logged in, %v", err)
	}
	x.Output(s.UserName)
	return nil
}

func newCategory(ctx context.Context, x *sdk.Execution, _ struct{}) error {
	c, err := vcenter.REST(ctx, x)
	if err != nil {
		return err
	}
	_, err = tags.NewManager(c).CreateCategory(ctx, &tags.Category{Name: "made-by-a-script", Cardinality: "SINGLE"})
	return err
}

func findUser(ctx context.Context, x *sdk.Execution, _ struct{}) error {
	c, err := vcenter.SSOAdmin(ctx, x)
	if err != nil {
		return err
	}
	u, err := c.FindPersonUser(ctx, "administrator")
	if err != nil || u == nil {
		return fmt.Errorf("no user administrator, %v", err)
	}
	x.Output(u.Id.Name)
	return nil
}

// openHost asks a host of the grant for something, as for the file of a lease.
func openHost(ctx context.Context, x *sdk.Execution, _ struct{}) error {
	c, err := vcenter.Client(ctx, x)
	if err != nil {
		return err
	}
	u, err := c.ParseURL("https://127.0.0.1/about")
	if err != nil {
		return err
	}
	r, _, err := c.Download(ctx, u, &soap.DefaultDownload)
	if err != nil {
		return err
	}
	return r.Close()
}

func openElsewhere(ctx context.Context, x *sdk.Execution, _ struct{}) error {
	c, err := vcenter.Client(ctx, x)
	if err != nil {
		return err
	}
	if _, err = c.Get("https://elsewhere.test/"); err == nil {
		return errors.New("it went elsewhere")
	}
	return err
}

// simulated is a vcsim, and a grant that holds sessions which the test made: tokens where session ids go.
func simulated(t *testing.T) (soapGrant, restGrant wire.Grant) {
	t.Helper()
	model := simulator.VPX()
	if err := model.Create(); err != nil {
		t.Fatal(err)
	}
	model.Service.TLS = new(tls.Config)
	model.Service.RegisterEndpoints = true
	model.Service.Listen = &url.URL{Host: "127.0.0.1:0", User: url.UserPassword("administrator", "right")}
	model.Service.RegisterSDK(ssosim.New(model.Map(), model.Service.Listen))
	model.Service.RegisterSDK(lookupsim.New()) // which names an address that the grant does not have
	server := model.Service.NewServer()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close(); model.Remove() })
	c, err := govmomi.NewClient(t.Context(), server.URL, true)
	if err != nil {
		t.Fatal(err)
	}
	var cookie string
	for _, k := range c.Jar.Cookies(server.URL) {
		if k.Name == soap.SessionCookieName {
			cookie = k.Value
		}
	}
	r := rest.NewClient(c.Client)
	if err := r.Login(t.Context(), server.URL.User); err != nil {
		t.Fatal(err)
	}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	host := server.Certificate().DNSNames[0] // unlike the address that is dialled
	soapGrant = wire.Grant{CA: string(authority), Token: secret.New(cookie), VCenter: wire.Endpoint{Host: host, Addr: server.URL.Host}}
	restGrant = soapGrant
	restGrant.Token = secret.New(r.SessionID())
	return soapGrant, restGrant
}

func run(t *testing.T, cmdlet string, g wire.Grant) sdktest.Result {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{asPackage + "=1", "HTTPS_PROXY=http://127.0.0.1:1"} // which is not to be used
	cmd.Stderr = os.Stderr
	r, err := sdktest.Host{Start: wire.Start{Cmdlet: cmdlet, Grant: g}}.Run(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// vcsim has variables that each instance writes: the tests that start one run one after the other.

func TestClientsAreLoggedIn(t *testing.T) {
	soapGrant, restGrant := simulated(t)
	if r := run(t, "Get-About", soapGrant); r.End.Failure != "" || !strings.Contains(r.Text(wire.KindOutput), "administrator") {
		t.Errorf("SOAP: %q, output %q", r.End.Failure, r.Text(wire.KindOutput))
	}
	withHost := soapGrant
	withHost.Hosts = []wire.Endpoint{{Host: "127.0.0.1", Addr: soapGrant.VCenter.Addr}} // a name in the certificate, port 443
	if r := run(t, "Open-Host", withHost); r.End.Failure != "" {
		t.Errorf("a host: %q", r.End.Failure)
	}
	if r := run(t, "New-Category", restGrant); r.End.Failure != "" {
		t.Errorf("REST: %q", r.End.Failure)
	}
	if r := run(t, "Find-User", soapGrant); r.End.Failure != "" || r.Text(wire.KindOutput) != "administrator\n" {
		t.Errorf("SSO administration: %q, output %q", r.End.Failure, r.Text(wire.KindOutput))
	}
}

func TestClientsThatAreRefused(t *testing.T) {
	good, _ := simulated(t)
	for _, c := range []struct {
		name, cmdlet, says string
		spoil              func(*wire.Grant)
	}{
		{"another token", "Get-About", "not logged in", func(g *wire.Grant) { g.Token = secret.New("another") }},
		{"no vCenter", "Get-About", "was granted no vCenter", func(g *wire.Grant) { g.VCenter = wire.Endpoint{} }},
		{"no authority", "Get-About", "no certificate authority", func(g *wire.Grant) { g.CA = "" }},
		{"another name", "Get-About", "vCenter other.test: ", func(g *wire.Grant) { g.VCenter.Host = "other.test" }},
		{"another host", "Open-Elsewhere", "elsewhere.test:443 is no server that the execution was granted", func(*wire.Grant) {}},
	} {
		g := good
		c.spoil(&g)
		if r := run(t, c.cmdlet, g); !strings.Contains(r.End.Failure, c.says) {
			t.Errorf("%s: the failure is %q, want %q", c.name, r.End.Failure, c.says)
		}
	}
}

// Only what imports this package links govmomi.
func TestGovmomiIsLinkedOnlyWhereItIsUsed(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"github.com/airlock-run/airlock/sdk":                false,
		"github.com/airlock-run/airlock/examples/torture":   false,
		"github.com/airlock-run/airlock/examples/inventory": true,
	} {
		out, err := exec.Command("go", "list", "-deps", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(out), "github.com/vmware/govmomi"); got != want {
			t.Errorf("%s links govmomi: %v, want %v", path, got, want)
		}
	}
}
