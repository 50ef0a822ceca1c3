package powershell

import (
	"context"
	"strings"

	"github.com/airlock-run/airlock/executor/internal/psrp"
	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// The variables in which a cmdlet leaves something.
const (
	namedOutputs      = "NamedOutputs"
	persistentSecrets = "PersistentSecrets"
)

// readOutputs reads the named outputs that the cmdlet left. A SecureString among them stays closed.
func (c *conversation) readOutputs(ctx context.Context) (map[string]string, error) {
	c.doing = "its named outputs were read"
	left, err := c.variable(ctx, namedOutputs)
	if err != nil {
		return nil, err
	}
	outputs := make(map[string]string, len(left))
	for name, e := range left {
		outputs[name] = e.Text
		if e.Secret != nil {
			outputs[name] = typeSecureString
		}
	}
	return outputs, nil
}

// readSecrets tells the host how the persistent secrets differ from those that the cmdlet was given. What is empty now is
// deleted. What is not there any more stays: a hashtable that was made anew would delete all that it does not mention.
func (c *conversation) readSecrets(ctx context.Context) error {
	c.doing = "its persistent secrets were read"
	left, err := c.variable(ctx, persistentSecrets)
	if err != nil {
		return err
	}
	gone := make(map[string]string, len(c.Secrets)) // names by names in lower case
	for name := range c.Secrets {
		gone[strings.ToLower(name)] = name
	}
	for name, e := range left {
		held := c.Secrets[gone[strings.ToLower(name)]]
		delete(gone, strings.ToLower(name))
		v, err := c.opened(ctx, e)
		switch {
		case err != nil:
			return err
		case v.IsEmpty():
			c.host.SetSecret(name, nil)
		case !v.Equal(held):
			c.host.SetSecret(name, &v)
		}
	}
	for _, name := range gone {
		c.host.Write(domain.Warning, []byte("The persistent secret "+name+" is not in $PersistentSecrets any more and stays as it was; to delete it, set it to $null."))
	}
	return nil
}

// opened is the value of a persistent secret.
func (c *conversation) opened(ctx context.Context, e Entry) (secret.Text, error) {
	if e.Secret == nil {
		return secret.New(e.Text), nil
	}
	if err := c.client.ExchangeKey(ctx); err != nil {
		return secret.Text{}, err
	}
	return c.client.Reveal(e.Secret)
}

// variable reads a global variable that should be a dictionary.
func (c *conversation) variable(ctx context.Context, name string) (map[string]Entry, error) {
	var value *clixml.Value
	end, err := c.client.Run(ctx, single(psrp.Command{Text: `Microsoft.PowerShell.Utility\Get-Variable`, Parameters: []psrp.Parameter{
		{Name: "Name", Value: clixml.Text(name)}, {Name: "Scope", Value: clixml.Text("Global")},
		{Name: "ValueOnly", Value: clixml.Bool(true)}, {Name: "ErrorAction", Value: clixml.Text("Ignore")},
	}}), nil, func(r psrp.Record) {
		if r.Stream == psrp.Output && value == nil {
			value = r.Value
		}
	})
	if err != nil {
		return nil, err
	}
	if why := reason(end); why != "" {
		return nil, errors.Newf(errors.ScriptFailed, "What the cmdlet left in $%s could not be read: %s", name, why)
	}
	left, err := Entries(value)
	if err != nil {
		return nil, errors.Newf(errors.ScriptFailed, "What the cmdlet left in $%s cannot be kept: %v. Let it set entries of the hashtable that it finds there.", name, err)
	}
	return left, nil
}
