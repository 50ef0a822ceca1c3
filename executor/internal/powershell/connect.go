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

var (
	//go:embed connect-vcenter.ps1
	vcenterScript string
	//go:embed connect-sso.ps1
	ssoScript string
	//go:embed connect-mob.ps1
	mobScript string
)

// connection is what stands before a cmdlet of AVS Run Command starts, where its lock has the module: each in the way of that
// module, with what the grant has in place of a credential.
type connection struct {
	module string
	name   string // for users
	script string
	byName bool // its endpoints name one another by the names of the private cloud, and stand there in a sandbox only
}

// connections in the order in which they are made. What PowerCLI's own meta modules need is in the lock by its name.
var connections = []connection{
	{module: "VMware.VimAutomation.Core", name: "PowerCLI", script: vcenterScript},
	{module: "VMware.vSphere.SsoAdmin", name: "VMware.vSphere.SsoAdmin", script: ssoScript, byName: true},
	{module: managementModule, name: "$MOB_Connection", script: mobScript},
}

// httpsPort is where a vCenter is, and the broker in a sandbox.
const httpsPort = "443"

// connect makes the connections that the lock has modules for. Without one nothing is asked of PowerShell.
func (c *conversation) connect(ctx context.Context) error {
	for _, to := range connections {
		if !c.locked(to.module) {
			continue
		}
		host, port, err := c.endpoint()
		if err != nil {
			return err
		}
		if to.byName && port != httpsPort {
			c.host.Write(domain.Warning, []byte("Airlock has not connected "+to.name+": without a sandbox it would look for the real vCenter."))
			continue
		}
		if err = c.goesOn(); err == nil {
			err = c.make(ctx, to, host, port)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// endpoint is where the script finds its vCenter: by its name in a sandbox, else at a port of this machine.
func (c *conversation) endpoint() (host, port string, err error) {
	host, port, err = net.SplitHostPort(c.Grant.VCenter.Addr)
	if port == httpsPort {
		host = c.Grant.VCenter.Host
	}
	return host, port, err
}

// make makes a connection. Errors that do not end the script are shown; what else a module says of itself is not.
func (c *conversation) make(ctx context.Context, to connection, host, port string) error {
	if err := c.client.ExchangeKey(ctx); err != nil {
		return err
	}
	token, err := c.client.SecureString(c.Grant.Token)
	if err != nil {
		return err
	}
	command := script(to.script, psrp.Parameter{Name: "Server", Value: clixml.Text(host)}, psrp.Parameter{Name: "Port", Value: clixml.Primitive("I32", port)},
		psrp.Parameter{Name: "User", Value: clixml.Text(c.Grant.User)}, psrp.Parameter{Name: "Token", Value: token})
	local := true
	command.LocalScope = &local
	why, err := c.prepare(ctx, single(command), func(r psrp.Record) {
		if r.Stream == psrp.Error {
			c.write(r)
		}
	})
	if err == nil && why != "" {
		err = errors.Newf(errors.SessionFailed, "%s could not be connected to the vCenter %s: %s", to.name, c.Grant.VCenter.Host, why)
	}
	return err
}
