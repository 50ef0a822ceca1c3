package powershell

import (
	"context"
	_ "embed"
	"net"

	"github.com/airlock-run/airlock/executor/internal/psrp"
	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// connection is what stands before a cmdlet of AVS Run Command starts, where the lock has the module for it.
type connection struct {
	module string
	name   string // for users
	make   func(c *conversation, ctx context.Context, v vcenter) (why string, err error)
	// elsewhere says that it can also be made where the vCenter does not stand at its own name and port.
	elsewhere bool
}

// connections in the order in which they are made, each in the way of its module, with what the grant has in place of a
// credential. PowerCLI's meta modules need VMware.VimAutomation.Core, and Microsoft.AVS.Management VMware.vSphere.SsoAdmin.
var connections = []connection{
	{"VMware.VimAutomation.Core", "PowerCLI", (*conversation).connectVIServer, true},
	{"VMware.vSphere.SsoAdmin", "VMware.vSphere.SsoAdmin", (*conversation).connectSSO, false},
	{managementModule, "$" + mobConnection, (*conversation).connectMOB, true},
}

// mobConnection is the variable with what Connect-VcenterServerMOB gives, $null where nothing is connected.
const mobConnection = "MOB_Connection"

// vcenter is where and as whom the script finds its vCenter.
type vcenter struct {
	host, port string
	user       string
	token      *clixml.Value // a SecureString
}

// httpsPort is where a vCenter is, and the broker in a sandbox.
const httpsPort = "443"

// connect makes the connections that the lock has modules for. Without one nothing is asked of PowerShell.
func (c *conversation) connect(ctx context.Context) error {
	for _, to := range connections {
		if !c.locked(to.module) {
			continue
		}
		if err := c.goesOn(); err != nil {
			return err
		}
		v, err := c.vcenter(ctx)
		if err != nil {
			return err
		}
		if v.port != httpsPort && !to.elsewhere {
			c.host.Write(domain.Warning, []byte("Airlock has not connected "+to.name+": without a sandbox it would look for the real vCenter."))
			continue
		}
		why, err := to.make(c, ctx, v)
		if err == nil && why != "" {
			err = errors.Newf(errors.SessionFailed, "%s could not be connected to the vCenter %s: %s", to.name, c.Grant.VCenter.Host, why)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// vcenter is found by its name in a sandbox, else at a port of this machine.
func (c *conversation) vcenter(ctx context.Context) (v vcenter, err error) {
	if v.host, v.port, err = net.SplitHostPort(c.Grant.VCenter.Addr); err != nil {
		return v, err
	}
	if v.port == httpsPort {
		v.host = c.Grant.VCenter.Host
	}
	if err := c.client.ExchangeKey(ctx); err != nil {
		return v, err
	}
	v.user = c.Grant.User
	v.token, err = c.client.SecureString(c.Grant.Token)
	return v, err
}

//go:embed connect-vcenter.ps1
var vcenterScript string

// connectVIServer gives PowerCLI the token as the id of a session, which it takes as text only: the script has variables
// of its own.
func (c *conversation) connectVIServer(ctx context.Context, v vcenter) (string, error) {
	if why, err := c.load(ctx, "VMware.VimAutomation.Core", c.onlyErrors); why != "" || err != nil {
		return why, err
	}
	return c.prepare(ctx, single(inOwnScope(vcenterScript, text("Server", v.host),
		psrp.Parameter{Name: "Port", Value: clixml.Primitive("I32", v.port)}, psrp.Parameter{Name: "Token", Value: v.token})), c.onlyErrors)
}

func (c *conversation) connectSSO(ctx context.Context, v vcenter) (string, error) {
	if why, err := c.load(ctx, "VMware.vSphere.SsoAdmin", c.onlyErrors); why != "" || err != nil {
		return why, err
	}
	return c.prepare(ctx, psrp.Pipeline{Statements: [][]psrp.Command{{
		login("Connect-SsoAdminServer", v.host, v), {Text: "Out-Null"},
	}}}, c.onlyErrors)
}

// connectMOB looks for the cmdlet by its name: VMware.vSphere.SsoAdmin has it since its version 1.4.
func (c *conversation) connectMOB(ctx context.Context, v vcenter) (string, error) {
	const cmdlet = "Connect-VcenterServerMOB"
	found := false
	why, err := c.prepare(ctx, psrp.Pipeline{Statements: [][]psrp.Command{{
		{Text: "Get-Command", Parameters: []psrp.Parameter{text("Name", cmdlet), text("ErrorAction", "Ignore")}},
		{Text: "Select-Object", Parameters: []psrp.Parameter{text("ExpandProperty", "Name")}},
	}}}, func(r psrp.Record) { found = found || r.Stream == psrp.Output })
	if !found || why != "" || err != nil {
		return why, err
	}
	server := v.host
	if v.port != httpsPort {
		server = net.JoinHostPort(v.host, v.port)
	}
	return c.prepare(ctx, psrp.Pipeline{Statements: [][]psrp.Command{{
		login(cmdlet, server, v), {Text: "Set-Variable", Parameters: []psrp.Parameter{text("Scope", "Global"), text("Name", mobConnection)}},
	}}}, c.onlyErrors)
}

// login is a command that takes user and password.
func login(cmdlet, server string, v vcenter) psrp.Command {
	return psrp.Command{Text: cmdlet, Parameters: []psrp.Parameter{
		text("Server", server), text("User", v.user), {Name: "Password", Value: v.token}, text("ErrorAction", "Stop"),
	}}
}

// onlyErrors shows the errors that did not end what a connection asks; what else a module says of itself is not shown.
func (c *conversation) onlyErrors(r psrp.Record) {
	if r.Stream == psrp.Error {
		c.write(r)
	}
}
