package sessions_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi/lookup"
	lookuptypes "github.com/vmware/govmomi/lookup/types"
	"github.com/vmware/govmomi/vim25/soap"

	"github.com/airlock-run/airlock/internal/ca"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/sessions"
)

// leading is a private cloud whose leases name a host, as those of a real vCenter do. vcsim's name the vCenter; so what
// stands before it here, and plays the vCenter, writes another host into them.
type leading struct {
	*fixture
	hosts []*esxi

	mu         sync.Mutex
	to         *esxi  // the next leases
	thumbprint string // that they say of it
}

// esxi is a host that takes and gives files of leases, with a certificate of its own.
type esxi struct {
	name string
	cert *x509.Certificate

	mu  sync.Mutex
	got []*http.Request
}

// lead makes the leases from now on name a host, and a thumbprint.
func (l *leading) lead(host *esxi, thumbprint string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to, l.thumbprint = host, thumbprint
}

// requests are those that the host got.
func (h *esxi) requests() []*http.Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}

func newLeading(t *testing.T) *leading {
	t.Helper()
	l := &leading{fixture: newFixture(t)}
	vc := l.cloud.VCenter()
	pool := x509.NewCertPool()
	serve := func(name string, h http.Handler) (addr string, cert *x509.Certificate) {
		authority, certificate, err := ca.Issue(ca.Request{Name: "a test", Hosts: []string{name}, Lifetime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		pool.AppendCertsFromPEM(authority)
		srv := httptest.NewUnstartedServer(h)
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.StartTLS()
		t.Cleanup(srv.Close)
		return srv.Listener.Addr().String(), certificate.Leaf
	}
	behind := func(answer func(*http.Response) error) http.Handler {
		real := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: l.up.RootCAs, ServerName: vc.FQDN}}
		t.Cleanup(real.CloseIdleConnections)
		return &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "https", vc.Addr, vc.FQDN
				r.Out.Header.Del("Accept-Encoding")
			},
			Transport: real, ModifyResponse: answer, ErrorLog: log.New(io.Discard, "", 0),
		}
	}
	for i := range 2 {
		h := &esxi{name: fmt.Sprintf("esx%02d.%s", i+1, l.cloud.DNSSuffix())}
		files := behind(nil)
		addr, cert := serve(h.name, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.mu.Lock()
			h.got = append(h.got, r.Clone(context.Background()))
			h.mu.Unlock()
			w.Header().Set("Set-Cookie", "a=b")
			files.ServeHTTP(w, r)
		}))
		h.cert = cert
		l.hosts, l.up.Hosts = append(l.hosts, h), append(l.up.Hosts, domain.Endpoint{Host: h.name, Addr: addr})
	}
	addr, _ := serve(vc.FQDN, behind(func(r *http.Response) error {
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/xml") {
			return nil
		}
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		l.mu.Lock()
		body = bytes.ReplaceAll(body, []byte("<url>https://"+vc.FQDN+"/nfc/"), []byte("<url>https://"+l.to.name+"/nfc/"))
		body = bytes.ReplaceAll(body, []byte("<sslThumbprint></sslThumbprint>"), []byte("<sslThumbprint>"+l.thumbprint+"</sslThumbprint>"))
		l.mu.Unlock()
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
		return err
	}))
	l.up.Addr, l.up.RootCAs = addr, pool
	l.lead(l.hosts[0], "")
	return l
}

// colons is a thumbprint as vSphere writes it.
func colons(sum []byte) string { return strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":") }

// Unchanged clients send files to the host that a lease names and get some from there, whichever way the vCenter says
// what the host's certificate is. The host gets nothing by which anybody could be known.
func TestLeasesThatNameAHost(t *testing.T) {
	t.Parallel()
	l := newLeading(t)
	g, end := l.open(t, "one")
	s := &script{Grant: g}
	c, err := newCarrier(t.Context(), s.vim(t), s.rest(t))
	if err != nil {
		t.Fatal(err)
	}
	sum1, sum256 := sha1.Sum(l.hosts[0].cert.Raw), sha256.Sum256(l.hosts[0].cert.Raw)
	for name, to := range map[string]struct {
		host       *esxi
		thumbprint string
	}{"sha1": {l.hosts[0], colons(sum1[:])}, "sha256": {l.hosts[0], colons(sum256[:])}, "authority": {l.hosts[1], ""}} {
		l.lead(to.host, to.thumbprint)
		if err := c.appliance(t.Context(), name, []byte(strings.Repeat("disk", 1<<16))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, info, err := c.lease(t.Context(), "down")
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := c.vim.Download(t.Context(), info.Items[0].URL, &soap.DefaultDownload)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Error(err)
	}
	for _, h := range l.hosts {
		if len(h.requests()) == 0 {
			t.Errorf("%s got no request", h.name)
		}
		for _, r := range h.requests() {
			for name := range r.Header {
				if !slices.Contains([]string{"Accept", "Connection", "Content-Length", "Content-Type", "Overwrite", "User-Agent"}, name) {
					t.Errorf("%s got the header %s", h.name, name)
				}
			}
		}
		if !l.events.has("vcenter/call", "200", h.name, "/nfc/_/") {
			t.Errorf("no transfer with %s is audited", h.name)
		}
	}
	if strings.Contains(s.received.String(), "Set-Cookie: a=b") {
		t.Error("a cookie of the host reached the script")
	}
	end()
	l.nothingLeft(t)
}

// What is not of a lease of the execution's own does not reach a host.
func TestHostsTakeFilesOfOwnLeasesOnly(t *testing.T) {
	t.Parallel()
	l := newLeading(t)
	g, end := l.open(t, "one")
	s := &script{Grant: g}
	other, _ := l.open(t, "two")
	lease := func(s *script, name string) *url.URL {
		c, err := newCarrier(t.Context(), s.vim(t), s.rest(t))
		if err != nil {
			t.Fatal(err)
		}
		_, info, err := c.lease(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Items[0].URL
	}
	client := s.soapClient(t)
	send := func(method, u string) (status int, text string) {
		r, err := http.NewRequestWithContext(t.Context(), method, u, strings.NewReader("content"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.DefaultTransport().RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	strangers := lease(&script{Grant: other}, "theirs")
	own := lease(s, "ours")
	elsewhere := *own
	elsewhere.Host = l.hosts[1].name
	host := "https://" + l.hosts[0].name
	for _, c := range []struct{ method, url, rule string }{
		{"GET", host + "/", "lease-only"},
		{"POST", host + "/sdk", "lease-only"},
		{"GET", host + "/folder/x?dsName=vsanDatastore", "lease-only"},
		{"GET", host + "/nfc/", "lease-only"},
		{"PUT", host + "/nfc/52b1/disk-0.vmdk", "lease-only"},
		{"PUT", own.String() + "x", "lease-only"},
		{"PUT", own.String() + "?a=b", "lease-only"},
		{"PUT", strings.Replace(own.String(), "/nfc/", "/nfc/../nfc/", 1), "form"},
		{"PUT", strings.Replace(own.String(), "/nfc/", "/nfc/%2e/", 1), "form"},
		{"DELETE", own.String(), "form"},
		{"PUT", elsewhere.String(), "lease-only"},
		{"PUT", strangers.String(), "lease-only"},
	} {
		before := l.events.count("vcenter/refused", c.rule, ".airlock.test")
		if status, text := send(c.method, c.url); status < 400 || !strings.Contains(text, "(rule "+c.rule+")") {
			t.Errorf("%s %s: %d %s", c.method, c.url, status, text)
		}
		if l.events.count("vcenter/refused", c.rule, ".airlock.test") != before+1 {
			t.Errorf("%s %s is not audited", c.method, c.url)
		}
	}
	for _, h := range l.hosts {
		if got := h.requests(); len(got) != 0 {
			t.Errorf("%s got %s %s", h.name, got[0].Method, got[0].URL)
		}
	}
	if status, text := send("PUT", own.String()); status != http.StatusOK {
		t.Errorf("its own: %d %s", status, text)
	}

	l.lead(l.hosts[0], strings.Repeat("AB:", 19)+"AB")
	if status, text := send("PUT", lease(s, "another certificate").String()); status != http.StatusServiceUnavailable || !strings.Contains(text, "another certificate") {
		t.Errorf("a host with another certificate: %d %s", status, text)
	}
	if n := len(l.hosts[0].requests()); n != 1 {
		t.Errorf("the host got %d requests; want one", n)
	}
	end()
	r, err := http.NewRequestWithContext(t.Context(), "PUT", own.String(), strings.NewReader("content"))
	if err != nil {
		t.Fatal(err)
	}
	if res, err := client.DefaultTransport().RoundTrip(r); err == nil {
		res.Body.Close()
		t.Error("a host answers after the end")
	}
}

// A transfer with a host ends with the execution.
func TestTransferWithAHostEndsWithTheGrant(t *testing.T) {
	t.Parallel()
	l := newLeading(t)
	g, end := l.open(t, "one")
	s := &script{Grant: g}
	c, err := newCarrier(t.Context(), s.vim(t), s.rest(t))
	if err != nil {
		t.Fatal(err)
	}
	_, info, err := c.lease(t.Context(), "half")
	if err != nil {
		t.Fatal(err)
	}
	file := &paused{left: 1 << 20, begun: make(chan struct{}), on: make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		ended <- c.vim.Upload(context.Background(), file, info.Items[0].URL, &soap.Upload{Method: "PUT", ContentLength: 64 << 20})
	}()
	wait(t, file.begun, "the beginning of the upload")
	waitUntil(t, func() bool { return len(l.hosts[0].requests()) == 1 })
	end()
	close(file.on)
	if err := wait(t, ended, "the end of the upload"); err == nil {
		t.Error("the upload came to its end")
	}
	if !l.events.has("vcenter/call", "cut", l.hosts[0].name, "/nfc/_/") {
		t.Error("that it was cut is not audited")
	}
}

// Clients that pin what the lookup service says of the vCenter's certificate find the broker's.
func TestLookupSaysTheBrokersCertificate(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, _ := f.open(t, "one")
	s := &script{Grant: g}
	c := s.vim(t)
	lu, err := lookup.NewClient(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	all, err := lu.List(t.Context(), &lookuptypes.LookupServiceRegistrationFilter{})
	if err != nil || len(all) == 0 {
		t.Fatalf("%d services, %v", len(all), err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(g.CA)
	conn, err := tls.Dial("tcp", g.VCenter.Addr, &tls.Config{RootCAs: pool, ServerName: g.VCenter.Host})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	shown := conn.ConnectionState().PeerCertificates[0]
	for _, service := range all {
		for _, e := range service.ServiceEndpoints {
			if len(e.SslTrust) != 1 || e.SslTrust[0] != base64.StdEncoding.EncodeToString(shown.Raw) {
				t.Errorf("%s has another certificate: %.40q", e.Url, e.SslTrust)
			}
		}
	}
	// govmomi pins for endpoints elsewhere than where it is connected to.
	short := &script{Grant: g}
	short.VCenter.Host, short.Hosts = "vc", []domain.Endpoint{g.VCenter}
	elsewhere := short.vim(t)
	to := lookup.EndpointURL(t.Context(), elsewhere, "/", &lookuptypes.LookupServiceRegistrationFilter{
		EndpointType: &lookuptypes.LookupServiceRegistrationEndpointType{Protocol: "wsTrust"},
	})
	if u, err := url.Parse(to); err != nil || elsewhere.Thumbprint(u.Host) != soap.ThumbprintSHA1(shown) {
		t.Errorf("govmomi pins %q for %s, %v; want %s", elsewhere.Thumbprint(u.Host), to, err, soap.ThumbprintSHA1(shown))
	}
}

// Where the HTTPS of a registered host is.
func TestHostsOfAConnection(t *testing.T) {
	t.Parallel()
	password := domain.Reference{Environment: "X"}
	host := func(name, address string) domain.SSHHost {
		return domain.SSHHost{Name: name, Address: address, User: "root", Password: &password}
	}
	up, err := sessions.NewUpstream(t.Context(), domain.PrivateCloud{VCenter: "vc.test", Connection: &domain.Connection{
		User: "u@vsphere.local", Password: password, Hosts: []domain.SSHHost{
			host("esx1.test", ""), host("esx2.test", "10.0.0.2:22"), host("esx3.test", "127.0.0.1:4022"), host("VC", ""), host("VC.test", ""),
		},
	}}, &keyring{keys: map[string]string{}})
	want := []domain.Endpoint{{Host: "esx1.test", Addr: "esx1.test:443"}, {Host: "esx2.test", Addr: "10.0.0.2:443"}, {Host: "esx3.test", Addr: "esx3.test:443"}}
	if err != nil || !slices.Equal(up.Hosts, want) {
		t.Errorf("%+v, %v", up.Hosts, err)
	}
}
