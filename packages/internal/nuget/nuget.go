// Package nuget reads a NuGet feed of version 3 (learn.microsoft.com/nuget/api/overview), as much of it as packages are
// fetched with: the service index, and the package base address, which has the versions and the .nupkg files.
//
// A feed may be anybody's, and is believed nothing that costs: each answer has a bound and a time, and all are fetched
// over TLS, wherever the feed or a redirection leads. Its credential goes to the host of the service index alone.
package nuget

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// Source says where a feed is.
type Source struct {
	Index    string         // URL of the service index: https, or on this machine's loopback http
	User     string         // of Basic; most feeds take any with a token
	Password secret.Text    // of Basic, such as a token; without one nothing is sent
	Roots    *x509.CertPool // authorities that are believed; nil for the system's
}

// Bounds of what a feed answers.
const (
	maxIndex     = 1 << 20 // bytes of the service index
	maxVersions  = 4 << 20 // bytes of the versions of one package
	maxRedirects = 5

	silence      = time.Minute      // until an answer begins, and for a whole one that is no package
	downloadTime = 30 * time.Minute // for a package
)

// Feed is a feed that has been found. Methods are safe for concurrent use.
type Feed struct {
	base *url.URL // package base address
	http *http.Client
}

// Open reads the service index of a feed. Close ends what it keeps open.
func Open(ctx context.Context, from Source) (*Feed, error) {
	index, err := url.Parse(from.Index)
	if err != nil || index.Host == "" {
		return nil, errors.Newf(errors.Usage, "The feed must be the https:// address of its service index, such as https://feed.example/v3/index.json.")
	}
	g := &guard{origin: origin(index), loopback: index.Scheme == "http", from: from}
	if err := g.check(index); err != nil {
		return nil, errors.Newf(errors.Usage, "The feed cannot be used: %v.", err)
	}
	g.to = http.DefaultTransport.(*http.Transport).Clone()
	g.to.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: from.Roots}
	g.to.ResponseHeaderTimeout = silence
	f := &Feed{http: &http.Client{Transport: g, CheckRedirect: func(_ *http.Request, before []*http.Request) error {
		if len(before) > maxRedirects {
			return fmt.Errorf("it was redirected more than %d times", maxRedirects)
		}
		return nil
	}}}
	var answer struct {
		Resources []struct {
			ID   string `json:"@id"`
			Type string `json:"@type"`
		} `json:"resources"`
	}
	found, err := f.document(ctx, index, maxIndex, &answer)
	if err == nil && !found {
		err = errors.Newf(errors.ResourceNotFound, "The feed has nothing at %s, where its service index should be.", place(index))
	}
	for _, r := range answer.Resources {
		if err == nil && f.base == nil && r.Type == "PackageBaseAddress/3.0.0" {
			if f.base, err = url.Parse(r.ID); err == nil {
				err = g.check(f.base)
			}
			if err != nil {
				err = errors.Because(err, errors.ServiceUnavailable, "The feed's PackageBaseAddress/3.0.0 cannot be used: %v.", err)
			}
		}
	}
	if err == nil && f.base == nil {
		err = errors.Newf(errors.Usage, "%s is no service index with a PackageBaseAddress/3.0.0. A feed of version 3 has one; of another, download the packages and import their directory.", place(index))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Close ends the connections that are kept for later requests.
func (f *Feed) Close() { f.http.CloseIdleConnections() }

// Versions returns what the feed lists as versions of a package, unchecked; none of one that it does not have.
func (f *Feed) Versions(ctx context.Context, id string) ([]string, error) {
	var answer struct {
		Versions []string `json:"versions"`
	}
	_, err := f.document(ctx, f.base.JoinPath(strings.ToLower(id), "index.json"), maxVersions, &answer)
	return answer.Versions, err
}

// Download writes the .nupkg of a version, which is in its normal form, to w, and returns its size. More than max bytes are
// RequestEntityTooLarge. What it writes is not checked otherwise.
func (f *Feed) Download(ctx context.Context, id, version string, w io.Writer, max int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, downloadTime)
	defer cancel()
	id, version = strings.ToLower(id), strings.ToLower(version)
	at := f.base.JoinPath(id, version, id+"."+version+".nupkg")
	size, found, err := f.get(ctx, at, w, max)
	if err == nil && !found {
		err = errors.Newf(errors.ResourceNotFound, "The feed lists %s@%s and has no package at %s.", id, version, place(at))
	}
	return size, err
}

// document reads JSON, and says whether there was any.
func (f *Feed) document(ctx context.Context, at *url.URL, max int64, into any) (found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	var b bytes.Buffer
	if _, found, err = f.get(ctx, at, &b, max); err != nil || !found {
		return false, err
	}
	if err := json.Unmarshal(b.Bytes(), into); err != nil {
		return false, errors.Because(err, errors.ServiceUnavailable, "What the feed answers at %s is not what a NuGet feed of version 3 has there: %v.", place(at), err)
	}
	return true, nil
}

// get writes what is at a URL to w, and says whether there is anything.
func (f *Feed) get(ctx context.Context, at *url.URL, w io.Writer, max int64) (size int64, found bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return 0, false, err
	}
	resp, err := f.http.Do(req)
	if err != nil {
		return 0, false, broken(at, err)
	}
	defer resp.Body.Close()
	switch status := resp.StatusCode; {
	case status == http.StatusNotFound:
		return 0, false, nil
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return 0, false, errors.Newf(errors.AuthenticationFailed, "The feed refuses %s (%d): set AIRLOCK_FEED_TOKEN, and where it wants one AIRLOCK_FEED_USER, to a credential that may read it.", place(at), status)
	case status != http.StatusOK:
		return 0, false, errors.Newf(errors.ServiceUnavailable, "The feed answers %d at %s. Try again later.", status, place(at))
	}
	if size = resp.ContentLength; size <= max {
		size, err = io.Copy(w, io.LimitReader(resp.Body, max+1))
	}
	switch {
	case err != nil:
		return 0, false, broken(at, err)
	case size > max:
		return 0, false, errors.Newf(errors.RequestEntityTooLarge, "The feed's answer at %s has more than %d bytes, which is the most that is taken.", place(at), max)
	}
	return size, true, nil
}

// broken is the error for an answer that did not come, or not to its end.
func broken(at *url.URL, err error) error {
	var outer *url.Error // it repeats a URL, which of a redirection may hold a key
	if errors.As(err, &outer) {
		err = outer.Err
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return errors.Because(err, errors.ServerUnreachable, "What the feed has at %s cannot be fetched: %v.", place(at), err)
}

// place is a URL without what could be secret in it.
func place(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }

// guard lets requests through to the places that a feed may lead to, with the credential where it belongs. It sees those of
// redirections too.
type guard struct {
	origin   string
	loopback bool // the feed itself is on this machine's loopback, without TLS
	from     Source
	to       *http.Transport
}

func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := g.check(req.URL); err != nil {
		return nil, err
	}
	if !g.from.Password.IsEmpty() && origin(req.URL) == g.origin {
		req = req.Clone(req.Context())
		req.SetBasicAuth(g.from.User, g.from.Password.Reveal())
	}
	return g.to.RoundTrip(req)
}

// CloseIdleConnections is for http.Client's.
func (g *guard) CloseIdleConnections() { g.to.CloseIdleConnections() }

// check says why a URL is none to go to.
func (g *guard) check(u *url.URL) error {
	ip := net.ParseIP(u.Hostname())
	switch local := ip != nil && ip.IsLoopback() || u.Hostname() == "localhost"; {
	case u.User != nil:
		return fmt.Errorf("there is a user in the address at %s; credentials are AIRLOCK_FEED_USER and AIRLOCK_FEED_TOKEN", u.Host)
	case u.Scheme == "https" && u.Host != "", u.Scheme == "http" && local && g.loopback:
		return nil
	case u.Scheme == "http":
		return fmt.Errorf("http://%s is not encrypted; https is wanted", u.Host)
	}
	return fmt.Errorf("an address of the scheme %.20q leads out of the web; https is wanted", u.Scheme)
}

// origin is what a credential is for: scheme, host and port.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return strings.ToLower(u.Scheme + "://" + net.JoinHostPort(u.Hostname(), port))
}
