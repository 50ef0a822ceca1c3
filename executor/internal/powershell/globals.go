package powershell

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/airlock-run/airlock/executor/internal/psrp"
	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// What of the preparation is PowerShell.
var (
	//go:embed formatted.ps1
	formattedScript string
	//go:embed shown.ps1
	shownScript string
	//go:embed sessions.ps1
	sessionsScript string
	//go:embed attribute.ps1
	attributeScript string
)

// managementModule defines AVSAttribute itself.
const managementModule = "Microsoft.AVS.Management"

// setGlobals sets what a module finds before it is imported.
func (c *conversation) setGlobals(ctx context.Context) error {
	secrets := clixml.Table()
	for name, v := range c.Secrets {
		secrets.Pairs = append(secrets.Pairs, clixml.Pair{Key: clixml.Text(name), Value: clixml.Text(v.Reveal())})
	}
	var variables psrp.Pipeline
	for _, g := range []struct {
		name  string
		value *clixml.Value
	}{
		{"VC_ADDRESS", clixml.Text(c.Cloud.VCenter)},
		{"SddcDnsSuffix", clixml.Text(c.Cloud.DNSSuffix)},
		{"SddcResourceId", clixml.Text(c.Cloud.ID.String())},
		{"AadAuthority", clixml.Text(c.Cloud.AadAuthority)},
		{persistentSecrets, secrets},
		{namedOutputs, clixml.Table()},
		{mobConnection, clixml.Null()},
		{"ConfirmPreference", clixml.Text("None")}, // nobody is there to confirm anything
	} {
		variables.Statements = append(variables.Statements, []psrp.Command{{Text: "Set-Variable", Parameters: []psrp.Parameter{
			text("Scope", "Global"), text("Name", g.name), {Name: "Value", Value: g.value},
		}}})
	}
	variables.Statements = append(variables.Statements, []psrp.Command{{Text: "Set-Item", Parameters: []psrp.Parameter{
		text("Path", "Env:PSModulePath"), text("Value", c.install.modulePath(c.Room.Libraries())),
	}}})
	why, err := c.quietly(ctx, variables)
	if err == nil && why != "" {
		err = fmt.Errorf("PowerShell could not be prepared: %s", why)
	}
	if err != nil {
		return err
	}
	return c.setNiceties(ctx)
}

// setNiceties sets what most cmdlets do without: where it fails, they are run all the same.
func (c *conversation) setNiceties(ctx context.Context) error {
	names := clixml.ListOf()
	for _, h := range c.Grant.SSH {
		names.Items = append(names.Items, clixml.Text(h.Host))
	}
	for _, nicety := range []struct {
		name     string
		script   psrp.Command
		needless bool // it is there in any case
	}{
		{"$SSH_Sessions and $SFTP_Sessions", inOwnScope(sessionsScript, psrp.Parameter{Name: "Names", Value: names}), false},
		{"Out-Host and Out-Default", inGlobalScope(shownScript), false},
		{"AVSAttribute", inGlobalScope(attributeScript), c.locked(managementModule)},
	} {
		if nicety.needless {
			continue
		}
		why, err := c.quietly(ctx, single(nicety.script))
		if err != nil {
			return err
		}
		if why != "" {
			c.host.Write(domain.Warning, []byte("Airlock could not set up "+nicety.name+", and goes on without: "+why))
		}
	}
	return nil
}

// quietly runs a pipeline of ours, which writes nothing but errors, and says why it has not done what it should.
func (c *conversation) quietly(ctx context.Context, p psrp.Pipeline) (why string, err error) {
	wrote := ""
	why, err = c.prepare(ctx, p, func(r psrp.Record) {
		if r.Failure != nil && wrote == "" {
			wrote = sentence(*r.Failure)
		}
	})
	return cmp.Or(why, wrote), err
}

// locked says whether a module is in the package's lock, or is the package itself.
func (c *conversation) locked(name string) bool {
	for _, l := range c.Libraries {
		if strings.EqualFold(l.Name, name) {
			return true
		}
	}
	return strings.EqualFold(c.Execution.Package.Name, name)
}

// argument is an argument of the cmdlet. Text is left to the conversions of the parameter's own type.
func (c *conversation) argument(ctx context.Context, a domain.Parameter) (*clixml.Value, error) {
	if a.Secure {
		if err := c.client.ExchangeKey(ctx); err != nil {
			return nil, err
		}
		v := c.Secure[strings.ToLower(a.Name)]
		if a.Type == manifest.Credential {
			return c.client.Credential(v.Username, v.Password)
		}
		return c.client.SecureString(v.Password)
	}
	switch a.Type {
	case manifest.Int:
		return clixml.Primitive("I32", a.Value), nil
	case manifest.Float:
		return clixml.Primitive("Db", a.Value), nil
	case manifest.Bool:
		return clixml.Bool(strings.EqualFold(a.Value, "true")), nil
	case manifest.SecureString, manifest.Credential:
		return nil, errors.Newf(errors.ScriptFailed, "The value of the parameter %s was not submitted as a secure one.", a.Name)
	}
	return clixml.Text(a.Value), nil
}
