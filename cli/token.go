package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

const staticTokens = "/providers/Airlock/tokens"

type tokenProperties struct {
	DisplayName string    `json:"displayName"`
	PrincipalID string    `json:"principalId"`
	ExpiresAt   time.Time `json:"expiresAt"`
	Token       string    `json:"token"`
}

func (a *app) tokenCommand() *cobra.Command {
	cmd := group("token", "Static tokens, for automation that cannot ask for tokens", a.tokenList(), a.tokenCreate(), a.tokenDelete())
	cmd.Long = `Static tokens: bearer tokens that stay the same until they expire, for automation that cannot ask for tokens. Where it
can, a service principal is better: what it sends with each request is valid for an hour only.

A token can do nothing before its principal has a role.`
	return cmd
}

func (a *app) tokenList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List static tokens", Args: cobra.NoArgs}
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		return a.printList(ctx, c, staticTokens, []string{"NAME", "ID", "EXPIRES"}, func(r resource) ([]string, error) {
			var p tokenProperties
			err := json.Unmarshal(r.Properties, &p)
			return []string{p.DisplayName, r.Name, p.ExpiresAt.Local().Format(time.DateTime)}, err
		})
	})
	return cmd
}

func (a *app) tokenCreate() *cobra.Command {
	cmd := &cobra.Command{Use: "create", Short: "Make a static token, which is shown once", Args: cobra.NoArgs}
	name := cmd.Flags().StringP("name", "n", "", "name for people")
	_ = cmd.MarkFlagRequired("name")
	lifetime := addLifetime(cmd)
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		var r resource
		body := map[string]any{"properties": map[string]string{"displayName": *name, "lifetime": *lifetime}}
		if _, err := c.do(ctx, http.MethodPost, staticTokens, body, &r); err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(r)
		}
		var p tokenProperties
		if err := json.Unmarshal(r.Properties, &p); err != nil {
			return err
		}
		return a.printPairs("token", p.Token, "id", r.Name, "principal", p.PrincipalID, "expires", p.ExpiresAt.Local().Format(time.DateTime))
	})
	return cmd
}

func (a *app) tokenDelete() *cobra.Command {
	cmd := &cobra.Command{Use: "delete", Short: "Remove a static token with its roles; it ends at once", Args: cobra.NoArgs}
	id := addID(cmd, "id of the token, as `list` has it")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, path, err := a.openGUID(staticTokens, *id)
		if err != nil {
			return err
		}
		_, err = c.do(ctx, http.MethodDelete, path, nil, nil)
		return err
	})
	return cmd
}
