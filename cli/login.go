package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/cli/internal/login"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// loginFlags are what login is told.
type loginFlags struct {
	endpoint, ca     string
	clientID, issuer string
	scopes           []string
	az               bool
	resource         string
}

func (a *app) loginCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "login [ENDPOINT]",
		Short: "Log in to a server",
		Long: `Log in to a server, https://host:port (default: AIRLOCK_ENDPOINT, else that of the latest login), in one of three ways:

  as a service principal, by AIRLOCK_CLIENT_ID and AIRLOCK_CLIENT_SECRET: at Airlock's own token endpoint, or at --issuer
  as a person, by a code that is entered in a browser: --client-id of the application, and --issuer where the server has several
  as whom az is logged in: --az

The token is kept in $XDG_CONFIG_HOME/airlock/login.json, which only you can read, and the other commands use it where
AIRLOCK_TOKEN is not set. The client secret is not kept.`,
		Args: cobra.MaximumNArgs(1),
	}
	var f loginFlags
	flags := cmd.Flags()
	flags.StringVar(&f.ca, "ca", "", "PEM file with the server's authority (default: AIRLOCK_CA, else that of the earlier login, else the system's)")
	flags.StringVar(&f.clientID, "client-id", "", "id of the service principal or application (default: AIRLOCK_CLIENT_ID)")
	flags.StringVar(&f.issuer, "issuer", "", "OpenID provider whose tokens the server takes")
	flags.StringArrayVar(&f.scopes, "scope", nil, "scope of the token; can be repeated (default: of the server, or openid and offline_access at an issuer)")
	flags.BoolVar(&f.az, "az", false, "take the token of az, which is logged in")
	flags.StringVar(&f.resource, "resource", "", "with --az: the resource of the token (default: the server's address)")
	cmd.RunE = does(func(ctx context.Context, args []string) error {
		if len(args) > 0 {
			f.endpoint = args[0]
		}
		return a.login(ctx, f)
	})
	return cmd
}

func (a *app) logoutCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "logout [ENDPOINT]", Short: "Forget the login at a server", Args: cobra.MaximumNArgs(1),
		Long: "Forget the login at a server (default: AIRLOCK_ENDPOINT, else that of the latest login). Tokens stay valid until they expire."}
	all := cmd.Flags().Bool("all", false, "forget all logins, also where their file cannot be read")
	cmd.RunE = does(func(_ context.Context, args []string) error {
		if *all {
			return a.logins().ForgetAll()
		}
		endpoint, err := a.logins().Forget(strings.TrimSuffix(cmp.Or(strings.Join(args, ""), a.getenv("AIRLOCK_ENDPOINT")), "/"))
		if err == nil && endpoint != "" {
			_, err = fmt.Fprintf(a.stdout, "logged out of %s\n", endpoint)
		}
		return err
	})
	return cmd
}

// logins is the file of logins.
func (a *app) logins() login.File {
	if dir := a.getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return login.In(dir)
	}
	return login.In(filepath.Join(a.getenv("HOME"), ".config"))
}

// issuerClient talks to issuers, which have certificates that the system trusts.
func issuerClient() *http.Client { return &http.Client{Timeout: time.Minute} }

// login logs in, tries the token at the server, and keeps it only where that takes it.
func (a *app) login(ctx context.Context, f loginFlags) error {
	earlier, _, err := a.logins().Find(strings.TrimSuffix(cmp.Or(f.endpoint, a.getenv("AIRLOCK_ENDPOINT")), "/"))
	if err != nil {
		return err
	}
	endpoint := strings.TrimSuffix(cmp.Or(f.endpoint, a.getenv("AIRLOCK_ENDPOINT"), earlier.Endpoint), "/")
	if endpoint == "" {
		return errors.Newf(errors.Usage, "Which server? Run `airlock login https://HOST:PORT`, or set AIRLOCK_ENDPOINT.")
	}
	if err := checkEndpoint("The server", endpoint); err != nil {
		return err
	}
	ca := earlier.CA
	if file := cmp.Or(f.ca, a.getenv("AIRLOCK_CA")); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return errors.Because(err, errors.Usage, "The server's authority cannot be read: %v.", err)
		}
		ca = string(pem)
	}
	roots, err := pool(ca)
	if err != nil {
		return err
	}
	c := newClient(endpoint, "", &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots})
	got, err := a.logIn(ctx, c, f)
	if err != nil {
		return err
	}
	c.token = got.Token
	if _, err := c.do(ctx, http.MethodGet, "/providers/Microsoft.AVS/operations", nil, nil); err != nil {
		if errors.Has(err, errors.AuthenticationFailed) {
			return errors.Because(err, errors.AuthenticationFailed, "The server %s does not take the token that you got: see that the configuration of the server has its issuer and its audience, and that --scope or --resource names that audience.", endpoint)
		}
		return err
	}
	got.Endpoint, got.CA = endpoint, ca
	if err := a.logins().Keep(got); err != nil {
		return err
	}
	until := "its end, which nobody has said"
	if !got.Expires.IsZero() {
		until = got.Expires.Local().Format(time.DateTime)
	}
	if got.Refresh != nil || got.Az != "" {
		until += ", and renewed then"
	}
	_, err = fmt.Fprintf(a.stdout, "logged in to %s until %s\n", endpoint, until)
	return err
}

// logIn gets a token in the way that the flags and the environment say.
func (a *app) logIn(ctx context.Context, c *client, f loginFlags) (l login.Login, err error) {
	if f.az {
		return login.Az(ctx, cmp.Or(f.resource, c.endpoint+"/"))
	}
	id, value := cmp.Or(f.clientID, a.getenv("AIRLOCK_CLIENT_ID")), a.getenv("AIRLOCK_CLIENT_SECRET")
	if other := a.getenv("AIRLOCK_CLIENT_ID"); other != "" && other != id {
		value = "" // it is the other one's
	}
	if id == "" {
		return l, errors.Newf(errors.Usage, "Say how to log in: set AIRLOCK_CLIENT_ID and AIRLOCK_CLIENT_SECRET, or give --client-id to log in by a browser, or --az.")
	}
	if value != "" && f.issuer == "" {
		own, err := login.Discover(ctx, c.endpoint, c.http)
		if err != nil {
			return l, err
		}
		return own.ClientSecret(ctx, id, secret.New(value), orScopes(f.scopes, c.endpoint+"/.default"))
	}
	issuer := f.issuer
	if issuer == "" {
		if issuer, err = onlyIssuer(ctx, c); err != nil {
			return l, err
		}
	}
	p, err := login.Discover(ctx, issuer, issuerClient())
	if err != nil {
		return l, err
	}
	if value != "" {
		return p.ClientSecret(ctx, id, secret.New(value), f.scopes)
	}
	return p.Device(ctx, id, orScopes(f.scopes, "openid", "offline_access"), func(address, code string) {
		fmt.Fprintf(a.stderr, "Open %s in a browser, on any device, and enter the code %s\n", visible(address, " ", " "), visible(code, " ", " "))
	})
}

func orScopes(given []string, otherwise ...string) []string {
	if len(given) > 0 {
		return given
	}
	return otherwise
}

// onlyIssuer asks the server whose tokens it takes (RFC 9728) beside its own.
func onlyIssuer(ctx context.Context, c *client) (string, error) {
	var metadata struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
	}
	if _, err := c.do(ctx, http.MethodGet, "/.well-known/oauth-protected-resource", nil, &metadata); err != nil {
		return "", err
	}
	var others []string
	for _, s := range metadata.Servers {
		if s != metadata.Resource {
			others = append(others, s)
		}
	}
	switch len(others) {
	case 0:
		return "", errors.Newf(errors.Usage, "The server %s has no issuer by which people could log in: set AIRLOCK_CLIENT_ID and AIRLOCK_CLIENT_SECRET to those of a service principal.", c.endpoint)
	case 1:
		return others[0], nil
	}
	return "", errors.Newf(errors.Usage, "The server %s has several issuers: name yours with --issuer, one of %s.", c.endpoint, strings.Join(others, ", "))
}
