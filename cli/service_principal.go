package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/errors"
)

const servicePrincipals = "/providers/Airlock/servicePrincipals"

type servicePrincipalProperties struct {
	DisplayName string         `json:"displayName"`
	PrincipalID string         `json:"principalId"`
	Secrets     []clientSecret `json:"secrets"`
}

type clientSecret struct {
	SecretID  string    `json:"secretId"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"`
}

func (a *app) servicePrincipalCommand() *cobra.Command {
	cmd := group("service-principal", "Service principals of Airlock's own token endpoint",
		a.servicePrincipalList(), a.servicePrincipalShow(), a.servicePrincipalCreate(), a.servicePrincipalDelete(),
		a.servicePrincipalAddSecret(), a.servicePrincipalRemoveSecret())
	cmd.Long = `Service principals of Airlock's own token endpoint: what automation logs in as, by a client id and a client secret.

A service principal can do nothing before it has a role. To change its secret without a gap, add another one, give it to
whoever uses the old one, and remove the old one; its tokens end with it.`
	return cmd
}

// openGUID makes the client, and the path of the one below collection that --id names.
func (a *app) openGUID(collection, id string) (*client, string, error) {
	parsed, err := uuid.Parse(id)
	if err != nil || len(id) != 36 {
		return nil, "", errors.Newf(errors.Usage, "--id is a GUID, as `list` has it, not %.60q.", id)
	}
	c, err := a.client()
	return c, collection + "/" + parsed.String(), err
}

// addID adds --id.
func addID(cmd *cobra.Command, what string) *string {
	id := cmd.Flags().String("id", "", what)
	_ = cmd.MarkFlagRequired("id")
	return id
}

func addLifetime(cmd *cobra.Command) *string {
	return cmd.Flags().String("lifetime", "P180D", "ISO 8601 duration after which it expires, from PT1M to P730D")
}

func (a *app) servicePrincipalList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List service principals", Args: cobra.NoArgs}
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		return a.printList(ctx, c, servicePrincipals, []string{"NAME", "ID", "SECRETS", "LAST EXPIRES"}, func(r resource) ([]string, error) {
			var p servicePrincipalProperties
			err := json.Unmarshal(r.Properties, &p)
			last := ""
			for _, s := range p.Secrets {
				last = max(last, s.ExpiresAt.Local().Format(time.DateTime))
			}
			return []string{p.DisplayName, r.Name, strconv.Itoa(len(p.Secrets)), last}, err
		})
	})
	return cmd
}

func (a *app) servicePrincipalShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Show a service principal and when its secrets expire", Args: cobra.NoArgs}
	id := addID(cmd, "client id")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.openGUID(servicePrincipals, *id)
		if err != nil {
			return err
		}
		var r resource
		if _, err := c.do(ctx, http.MethodGet, path, nil, &r); err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(r)
		}
		var p servicePrincipalProperties
		if err := json.Unmarshal(r.Properties, &p); err != nil {
			return err
		}
		pairs := []string{"name", p.DisplayName, "id", r.Name, "principal", p.PrincipalID}
		for _, s := range p.Secrets {
			pairs = append(pairs, "secret "+s.SecretID, "expires "+s.ExpiresAt.Local().Format(time.DateTime))
		}
		return a.printPairs(pairs...)
	})
	return cmd
}

func (a *app) servicePrincipalCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a service principal and its first secret, which is shown once",
		Args:  cobra.NoArgs,
	}
	name := cmd.Flags().StringP("name", "n", "", "name for people")
	_ = cmd.MarkFlagRequired("name")
	lifetime := addLifetime(cmd)
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		path := servicePrincipals + "/" + uuid.NewString()
		body := map[string]any{"properties": map[string]string{"displayName": *name}}
		if _, err := c.do(ctx, http.MethodPut, path, body, nil); err != nil {
			return err
		}
		err = a.addSecret(ctx, c, path, *lifetime)
		if err != nil { // without a secret nobody can use it
			_, undone := c.do(context.WithoutCancel(ctx), http.MethodDelete, path, nil, nil)
			return errors.Join(err, undone)
		}
		return nil
	})
	return cmd
}

// addSecret adds a secret and shows it.
func (a *app) addSecret(ctx context.Context, c *client, path, lifetime string) error {
	var made struct {
		clientSecret
		ClientID     string `json:"clientId"`
		ClientSecret string `json:"clientSecret"`
	}
	if _, err := c.do(ctx, http.MethodPost, path+"/addSecret", map[string]string{"lifetime": lifetime}, &made); err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(made)
	}
	return a.printPairs("client id", made.ClientID, "client secret", made.ClientSecret,
		"secret id", made.SecretID, "expires", made.ExpiresAt.Local().Format(time.DateTime))
}

func (a *app) servicePrincipalDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete",
		Short: "Remove a service principal with its secrets and roles; its tokens end at once",
		Args:  cobra.NoArgs,
	}
	id := addID(cmd, "client id")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.openGUID(servicePrincipals, *id)
		if err != nil {
			return err
		}
		_, err = c.do(ctx, http.MethodDelete, path, nil, nil)
		return err
	})
	return cmd
}

func (a *app) servicePrincipalAddSecret() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add-secret",
		Short: "Add a secret to a service principal, beside those that it has; it is shown once",
		Args:  cobra.NoArgs,
	}
	id := addID(cmd, "client id")
	lifetime := addLifetime(cmd)
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.openGUID(servicePrincipals, *id)
		if err != nil {
			return err
		}
		return a.addSecret(ctx, c, path, *lifetime)
	})
	return cmd
}

func (a *app) servicePrincipalRemoveSecret() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove-secret",
		Short: "Remove a secret from a service principal; the tokens that were given for it end at once",
		Args:  cobra.NoArgs,
	}
	id := addID(cmd, "client id")
	secretID := cmd.Flags().String("secret-id", "", "id of the secret, as `show` has it")
	_ = cmd.MarkFlagRequired("secret-id")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.openGUID(servicePrincipals, *id)
		if err != nil {
			return err
		}
		_, err = c.do(ctx, http.MethodPost, path+"/removeSecret", map[string]string{"secretId": *secretID}, nil)
		return err
	})
	return cmd
}
