package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/airlock-run/airlock/cli/internal/login"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// apiVersion is the version of Microsoft.AVS that the commands speak.
const apiVersion = "2023-09-01"

// client speaks ARM to an Airlock server.
type client struct {
	endpoint string // without a trailing slash
	token    string
	renewed  func(context.Context) (string, error) // the token of a login; nil where token is it
	http     *http.Client
}

// client makes one of AIRLOCK_ENDPOINT, AIRLOCK_TOKEN and AIRLOCK_CA (a PEM file; without it the system's roots). What is
// not set is that of `airlock login`: of the one at AIRLOCK_ENDPOINT, else of the latest.
func (a *app) client() (*client, error) {
	endpoint, token := strings.TrimSuffix(a.getenv("AIRLOCK_ENDPOINT"), "/"), a.getenv("AIRLOCK_TOKEN")
	if endpoint != "" {
		if err := checkEndpoint("AIRLOCK_ENDPOINT", endpoint); err != nil {
			return nil, err
		}
	}
	var kept login.Login
	if endpoint == "" || token == "" || a.getenv("AIRLOCK_CA") == "" {
		var err error
		if kept, _, err = a.logins().Find(endpoint); err != nil && (endpoint == "" || token == "") {
			return nil, err
		}
	}
	if endpoint = cmp.Or(endpoint, kept.Endpoint); endpoint == "" {
		return nil, errors.Newf(errors.Usage, "AIRLOCK_ENDPOINT is not set: run `airlock login`, source the dev.env of an `airlock serve --dev`, or set it to the address of your Airlock server.")
	}
	roots, err := a.roots(kept.CA)
	if err != nil {
		return nil, err
	}
	c := newClient(endpoint, token, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots})
	if token == "" {
		c.renewed = func(ctx context.Context) (string, error) { return a.logins().Token(ctx, endpoint, issuerClient()) }
	}
	return c, nil
}

func checkEndpoint(what, endpoint string) error {
	if u, err := url.Parse(endpoint); err != nil || u.Scheme != "https" || u.Host == "" {
		return errors.Newf(errors.Usage, "%s must be an https:// address, not %q.", what, endpoint)
	}
	return nil
}

// roots are the authorities of AIRLOCK_CA, else those that are given as PEM, else nil for the system's.
func (a *app) roots(pem string) (*x509.CertPool, error) {
	if file := a.getenv("AIRLOCK_CA"); file != "" {
		roots, err := authorities(file)
		if err != nil {
			return nil, errors.Because(err, errors.Usage, "AIRLOCK_CA cannot be used: %v.", err)
		}
		return roots, nil
	}
	return pool(pem)
}

// pool makes a pool of certificates in PEM form, nil of none, which means the system's.
func pool(pem string) (*x509.CertPool, error) {
	if pem == "" {
		return nil, nil
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM([]byte(pem)) {
		return nil, errors.Newf(errors.Usage, "There is no certificate in PEM form in what is to be the server's authority.")
	}
	return p, nil
}

// authorities reads certificates from a PEM file.
func authorities(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return p, nil
}

// silence is how long a server may say nothing: three times what it holds a request.
const silence = time.Minute

func newClient(endpoint, token string, config *tls.Config) *client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig, transport.ResponseHeaderTimeout = config, silence
	return &client{endpoint: endpoint, token: token, http: &http.Client{
		Transport: transport,
		// A token, and a body with secrets, go to no other place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// do sends a request to a path, or to an absolute URL that the server named, and reads the answer into result.
func (c *client) do(ctx context.Context, method, target string, body, result any) (http.Header, error) {
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(data)
	}
	req, err := c.request(ctx, method, target, content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return c.send(req, c.http, result)
}

// request makes a request in the name of who is logged in.
func (c *client) request(ctx context.Context, method, target string, body io.Reader) (*http.Request, error) {
	address, err := c.address(target)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	token := c.token
	if c.renewed != nil {
		if token, err = c.renewed(ctx); err != nil {
			return nil, err
		}
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return req, nil
}

// send sends a request and reads the answer into result, or writes it to one that is an io.Writer.
func (c *client) send(req *http.Request, by *http.Client, result any) (http.Header, error) {
	ctx := req.Context()
	resp, err := by.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, errors.Because(err, errors.ServerUnreachable, "The server %s cannot be reached (%v): check AIRLOCK_ENDPOINT and AIRLOCK_CA, and that it runs.", c.endpoint, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return nil, refusal(resp)
	}
	if result == nil || resp.StatusCode == http.StatusNoContent {
		_, err := io.Copy(io.Discard, resp.Body)
		return resp.Header, err
	}
	if file, ok := result.(io.Writer); ok {
		_, err = io.Copy(file, resp.Body)
	} else {
		err = json.NewDecoder(resp.Body).Decode(result)
	}
	if err != nil && err != io.EOF {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, errors.Because(err, errors.ServerUnreachable, "The server %s gave an answer that ends early or is not JSON: try again.", c.endpoint)
	}
	return resp.Header, nil
}

// poll asks for what the server holds until there is something to say. A server that does not, because too many wait
// or it is about to stop, names the time after which to ask again: poll returns no earlier.
func (c *client) poll(ctx context.Context, target string, result any) error {
	asked := time.Now()
	header, err := c.do(ctx, http.MethodGet, target, nil, result)
	seconds, _ := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds <= 0 {
		return err
	}
	timer := time.NewTimer(time.Until(asked.Add(min(time.Duration(seconds)*time.Second, silence))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// address makes a URL of a path. The token goes to the one server that it is for.
func (c *client) address(target string) (string, error) {
	if strings.HasPrefix(target, "/") {
		target = c.endpoint + target
	} else if !strings.HasPrefix(target, c.endpoint+"/") {
		return "", errors.Newf(errors.ServerUnreachable, "The server sent us to %s, which is not the server that was asked.", target)
	}
	if strings.Contains(target, "api-version=") {
		return target, nil
	}
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	return target + separator + "api-version=" + apiVersion, nil
}

// refusal reads an ARM error.
func refusal(resp *http.Response) error {
	var answer struct {
		Error struct {
			Code    errors.Code `json:"code"`
			Message string      `json:"message"`
		} `json:"error"`
	}
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if json.Unmarshal(data, &answer) != nil || answer.Error.Message == "" {
		answer.Error.Message = fmt.Sprintf("The server answered %s without saying why.", resp.Status)
	}
	if answer.Error.Code.Known() {
		return errors.Newf(answer.Error.Code, "%s", answer.Error.Message)
	}
	code := errors.InvalidRequest
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		code = errors.AuthenticationFailed
	case resp.StatusCode == http.StatusForbidden:
		code = errors.AuthorizationFailed
	case resp.StatusCode == http.StatusNotFound:
		code = errors.ResourceNotFound
	case resp.StatusCode == http.StatusConflict:
		code = errors.Conflict
	case resp.StatusCode >= 500:
		code = errors.InternalError
	}
	return errors.Newf(code, "%s", answer.Error.Message)
}

// list reads all pages of a list.
func (c *client) list(ctx context.Context, path string) ([]resource, error) {
	var all []resource
	for path != "" {
		var page struct {
			Value    []resource `json:"value"`
			NextLink string     `json:"nextLink"`
		}
		if _, err := c.do(ctx, http.MethodGet, path, nil, &page); err != nil {
			return nil, err
		}
		all, path = append(all, page.Value...), page.NextLink
	}
	return all, nil
}

// resource is any ARM resource. Raw is what the server sent.
type resource struct {
	ID         string
	Name       string
	Properties json.RawMessage
	Raw        json.RawMessage
}

// UnmarshalJSON keeps the raw form beside the envelope.
func (r *resource) UnmarshalJSON(data []byte) error {
	type envelope resource
	if err := json.Unmarshal(data, (*envelope)(r)); err != nil {
		return err
	}
	r.Raw = bytes.Clone(data)
	return nil
}

// MarshalJSON gives back what the server sent.
func (r resource) MarshalJSON() ([]byte, error) { return r.Raw, nil }

// cloudFlags are az's -g and -c. Together they name a private cloud; -c alone may be a whole resource id, and
// AIRLOCK_PRIVATE_CLOUD stands in for what is missing.
type cloudFlags struct{ group, cloud string }

func (f cloudFlags) path(getenv func(string) string) (string, error) {
	if strings.HasPrefix(f.cloud, "/") {
		id, err := domain.ParseCloudID(f.cloud)
		if err != nil {
			return "", errors.Newf(errors.Usage, "--private-cloud: %v.", err)
		}
		return id.String(), nil
	}
	id, err := domain.ParseCloudID(getenv("AIRLOCK_PRIVATE_CLOUD"))
	if err != nil {
		return "", errors.Newf(errors.Usage, "Which private cloud? Give --private-cloud its whole resource id, or set AIRLOCK_PRIVATE_CLOUD to one.")
	}
	if f.group != "" {
		id.ResourceGroup = f.group
	}
	if f.cloud != "" {
		id.Name = f.cloud
	}
	if !id.Valid() {
		return "", errors.Newf(errors.Usage, "%s has a name that ARM does not allow.", id)
	}
	return id.String(), nil
}
