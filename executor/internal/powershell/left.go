package powershell

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

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
	seen := map[string]bool{}
	var wrong error // the first that is; the others are to be redacted all the same
	for _, name := range slices.Sorted(maps.Keys(left)) {
		lower := strings.ToLower(name)
		held := c.Secrets[gone[lower]]
		delete(gone, lower)
		v, why, err := c.opened(ctx, left[name])
		switch {
		case err != nil:
			return err
		case why == nil && seen[lower]:
			why = fmt.Errorf("it has two entries %q, which differ in case only", name)
		}
		seen[lower] = true
		if why != nil {
			wrong = cmp.Or(wrong, unkept(persistentSecrets, why))
		}
		switch {
		case v.IsEmpty():
			c.host.SetSecret(name, nil)
		case !v.Equal(held):
			c.host.SetSecret(name, &v)
		}
	}
	if wrong != nil {
		return wrong
	}
	for _, name := range slices.Sorted(maps.Values(gone)) {
		c.host.Write(domain.Warning, []byte("The persistent secret "+name+" is not in $PersistentSecrets any more and stays as it was; to delete it, set it to $null."))
	}
	return nil
}

// opened is the value of a persistent secret, or why it is none.
func (c *conversation) opened(ctx context.Context, e Entry) (v secret.Text, why, err error) {
	if e.Secret == nil {
		if strings.ContainsRune(e.Text, utf8.RuneError) { // what half a surrogate pair has become: nobody has this value
			why = errors.New("one of its values is no text; encode it, for instance as base64")
		}
		return secret.New(e.Text), why, nil
	}
	if err := c.client.ExchangeKey(ctx); err != nil {
		return v, nil, err
	}
	v, why = c.client.Reveal(e.Secret)
	return v, why, nil
}

// unkept is the error of a variable that has something that cannot be kept.
func unkept(variable string, why error) error {
	return errors.Newf(errors.ScriptFailed, "What the cmdlet left in $%s cannot be kept: %v. Let it set entries of the hashtable that it finds there.", variable, why)
}

// variable reads a global variable that should be a dictionary.
func (c *conversation) variable(ctx context.Context, name string) (map[string]Entry, error) {
	var value *clixml.Value
	count, lost := 0, c.missing.Load()
	end, err := c.client.Run(ctx, single(psrp.Command{Text: `Microsoft.PowerShell.Utility\Get-Variable`, Parameters: []psrp.Parameter{
		text("Name", name), text("Scope", "Global"),
		{Name: "ValueOnly", Value: clixml.Bool(true)}, text("ErrorAction", "Ignore"),
	}}), nil, func(r psrp.Record) {
		if r.Stream == psrp.Output {
			value = r.Value
			count++
		}
	})
	if err != nil {
		return nil, err
	}
	why := reason(end)
	if count == 0 && c.missing.Load() > lost { // else there is no such variable any more
		why = cmp.Or(why, "It did not arrive whole; let the cmdlet leave less in it, and nothing else write to the standard output of its process.")
	}
	if why != "" {
		return nil, errors.Newf(errors.ScriptFailed, "What the cmdlet left in $%s could not be read: %s", name, why)
	}
	if count > 1 {
		return nil, unkept(name, errors.New("it is a list of several values, not a hashtable"))
	}
	left, err := Entries(value)
	if err != nil {
		return nil, unkept(name, err)
	}
	return left, nil
}
