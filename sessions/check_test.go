package sessions_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vmware/govmomi/find"
	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/ca"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions"
)

// finding is the one about a subject.
func finding(t testing.TB, r domain.Report, subject string) domain.Finding {
	t.Helper()
	i := slices.IndexFunc(r.Findings, func(f domain.Finding) bool { return f.Subject == subject })
	if i < 0 {
		t.Fatalf("there is no finding %q in %+v", subject, r.Findings)
	}
	return r.Findings[i]
}

func TestCheckFindsAllWell(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := sessions.Check(t.Context(), f.up)
	for _, found := range r.Findings {
		if !found.OK || !strings.HasSuffix(found.Message, ".") {
			t.Errorf("%+v", found)
		}
	}
	if len(r.Findings) != 7+4 || strings.Join(r.Hosts, " ") != "esx01.sddc1.airlock.test esx02.sddc1.airlock.test esx03.sddc1.airlock.test" {
		t.Errorf("%d findings, hosts %v", len(r.Findings), r.Hosts)
	}
	f.nothingLeft(t)
}

// Of a vCenter that cannot be used each test says what is wrong, and what stands on it is left out.
func TestCheckOfTheVCenter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const name = "vc.sddc1.airlock.test"
	_, genuine, err := ca.Issue(ca.Request{Name: "another", Hosts: []string{name}, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	expiredCA, expired, err := ca.Issue(ca.Request{Name: "another", Hosts: []string{name}, Lifetime: -30 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	pinned := func(change func(*sessions.Upstream)) func(*sessions.Upstream) {
		return func(up *sessions.Upstream) { up.RootCAs, up.Thumbprint = nil, thumbprintOf(t, f.up.Addr); change(up) }
	}
	for what, c := range map[string]struct {
		change  func(*sessions.Upstream)
		step    string // the last one
		message string // "" where nothing fails
	}{
		"nothing listens": {func(up *sessions.Upstream) { up.Addr = closedPort(t) }, "connection", "Nothing takes connections at 127.0.0.1:"},
		"no TLS":          {func(up *sessions.Upstream) { up.Addr = up.SSH[0].Addr }, "certificate", "does not speak TLS as a vCenter does"},
		"other authority": {func(up *sessions.Upstream) { up.Addr = serveTLS(t, genuine) }, "certificate", "signed by an authority that Airlock does not know for this vCenter: register that authority, or, if the vCenter itself says so too, the SHA-256 thumbprint " + thumbprint(genuine)},
		"other name":      {func(up *sessions.Upstream) { up.VCenter = "vc.example.com" }, "certificate", "is for " + name + " and not for vc.example.com"},
		"expired": {func(up *sessions.Upstream) { up.Addr, up.RootCAs = serveTLS(t, expired), poolOf(expiredCA) }, "certificate",
			"has expired on " + expired.Leaf.NotAfter.UTC().Format(time.DateOnly)},
		"thumbprint":       {pinned(func(*sessions.Upstream) {}), "inventory", ""},
		"other thumbprint": {pinned(func(up *sessions.Upstream) { up.Addr = serveTLS(t, genuine) }), "certificate", "its SHA-256 thumbprint is " + thumbprint(genuine)},
		"wrong password":   {func(up *sessions.Upstream) { up.Password = known(secret.New("wrong")) }, "login", "refused the login as scripting@vsphere.local: the password is wrong, there is no such user, or it is locked"},
		"no such user":     {func(up *sessions.Upstream) { up.User = "nobody@vsphere.local" }, "login", "refused the login as nobody@vsphere.local"},
		"no password": {func(up *sessions.Upstream) {
			up.Password = func(context.Context) (secret.Text, error) {
				return secret.Text{}, errors.Newf(errors.SessionFailed, "Airlock cannot read the file /x.")
			}
		}, "login", "cannot read the file /x."},
	} {
		t.Run(what, func(t *testing.T) {
			up := f.up
			c.change(&up)
			up.SSH = nil
			r := sessions.Check(t.Context(), up)
			last := r.Findings[len(r.Findings)-1]
			if last.Subject != up.VCenter+" "+c.step || last.OK != (c.message == "") || !strings.Contains(last.Message, c.message) || !strings.HasSuffix(last.Message, ".") {
				t.Errorf("the last finding is %+v; want one of %s with %q", last, c.step, c.message)
			}
			for _, before := range r.Findings[:len(r.Findings)-1] {
				if !before.OK {
					t.Errorf("%+v", before)
				}
			}
		})
	}
	f.nothingLeft(t)
}

// A vCenter whose answer has no end does not fill the memory.
func TestCheckOfAnEndlessAnswer(t *testing.T) {
	t.Parallel()
	const most = 256 << 20
	var sent atomic.Int64
	vc := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.WriteString(w, `<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><RetrieveServiceContentResponse xmlns="urn:vim25"><returnval><about><name>`)
		for more := bytes.Repeat([]byte("x"), 1<<20); err == nil && sent.Load() < most; {
			_, err = w.Write(more)
			sent.Add(int64(len(more)))
		}
	}))
	defer vc.Close()
	addr := vc.Listener.Addr().String()
	r := sessions.Check(t.Context(), sessions.Upstream{
		VCenter: "vc.example.com", Addr: addr, Thumbprint: thumbprintOf(t, addr), User: "scripting@vsphere.local",
		Password: func(context.Context) (secret.Text, error) { return secret.New("x"), nil },
	})
	if found := finding(t, r, "vc.example.com login"); found.OK || sent.Load() >= most/2 {
		t.Errorf("after %d MiB: %+v", sent.Load()>>20, found)
	}
}

// What the vCenter answers, changed on its way, is told as it is.
func TestCheckOfTheAccount(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	lacks := func(privileges ...string) func(body string) string {
		return func(body string) string {
			for _, p := range privileges {
				body = strings.ReplaceAll(body, "<privileges>"+p+"</privileges>", "")
			}
			return body
		}
	}
	for what, c := range map[string]struct {
		change         func(body string) string
		step, message  string
		another, works string // a step that works all the same
	}{
		"privileges": {lacks("Datastore.Browse", "Authorization.ModifyRoles"), "privileges", "lacks Authorization.ModifyRoles, Datastore.Browse; cmdlets that need them will fail", "inventory", "3 hosts"},
		"locked":     {func(b string) string { return strings.ReplaceAll(b, "Login failure", "The account is locked") }, "login", "The account wrong@vsphere.local is locked: unlock it", "", ""},
		"expired":    {func(b string) string { return strings.ReplaceAll(b, "InvalidLogin", "PasswordExpired") }, "login", "The password of wrong@vsphere.local has expired", "", ""},
		"no role":    {func(b string) string { return strings.ReplaceAll(b, "InvalidLogin", "NoPermission") }, "login", "gives it no permission to log in", "", ""},
		"odd":        {func(b string) string { return strings.ReplaceAll(b, `type="HostSystem"`, `type="Nothing"`) }, "inventory", "gave an answer that cannot be read", "privileges", "documented"},
	} {
		t.Run(what, func(t *testing.T) {
			up := f.up
			up.SSH = nil
			up.Addr, up.RootCAs = f.through(t, c.change)
			if c.step == "login" {
				up.User = "wrong@vsphere.local"
			}
			r := sessions.Check(t.Context(), up)
			if got := finding(t, r, up.VCenter+" "+c.step); got.OK || !strings.Contains(got.Message, c.message) {
				t.Errorf("%+v; want %q", got, c.message)
			}
			if c.another != "" {
				if got := finding(t, r, up.VCenter+" "+c.another); !got.OK || !strings.Contains(got.Message, c.works) {
					t.Errorf("%+v; want %q", got, c.works)
				}
			}
		})
	}
}

// Each host has a finding of its own, whatever the others and the vCenter say.
func TestCheckOfTheHosts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	up := f.up
	up.Password = known(secret.New("wrong"))
	up.SSH = slices.Clone(up.SSH)
	shown := up.SSH[1].HostKey
	up.SSH[0].Addr = closedPort(t)
	up.SSH[1].HostKey = up.SSH[0].HostKey
	up.SSH[2].Password = known(secret.New("wrong"))
	r := sessions.Check(t.Context(), up)
	for subject, message := range map[string]string{
		"vc.sddc1.airlock.test login":  "refused the login",
		"esx01.sddc1.airlock.test SSH": "so its SSH service is off: start TSM-SSH on the host",
		"esx02.sddc1.airlock.test SSH": "shows the SSH host key " + ssh.FingerprintSHA256(shown) + " and not " + ssh.FingerprintSHA256(up.SSH[1].HostKey),
		"esx03.sddc1.airlock.test SSH": "refused the SSH login as root",
		"VC SSH":                       "Airlock logs in to VC as root",
	} {
		if got := finding(t, r, subject); !strings.Contains(got.Message, message) || got.OK != (subject == "VC SSH") || !strings.HasSuffix(got.Message, ".") {
			t.Errorf("%+v; want %q", got, message)
		}
	}
	if got := finding(t, r, "esx02.sddc1.airlock.test SSH"); !strings.Contains(got.Message, "--host-key 'esx02.sddc1.airlock.test="+domain.FormatHostKey(shown)+"'") {
		t.Errorf("%s does not say how to accept the new key", got.Message)
	}

	up.SSH = up.SSH[:2]
	up.SSH[0].Addr = serveTLS(t, tls.Certificate{}) // takes connections, and speaks something else
	up.SSH[1].Password = func(context.Context) (secret.Text, error) {
		return secret.Text{}, errors.Newf(errors.SessionFailed, "Airlock cannot read the file /x.")
	}
	r = sessions.Check(t.Context(), up)
	if got := finding(t, r, "esx01.sddc1.airlock.test SSH"); got.OK || !strings.Contains(got.Message, "does not speak SSH as a host does") {
		t.Errorf("%+v", got)
	}
	if got := finding(t, r, "esx02.sddc1.airlock.test SSH"); got.OK || got.Message != "Airlock cannot read the file /x." {
		t.Errorf("%+v", got)
	}
}

// Where a host takes no SSH connection, the vCenter says whether its SSH service is off or something is in the way.
func TestCheckAsksTheVCenterAboutSSH(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.stopSSH(t, "esx01.sddc1.airlock.test")
	up := f.up
	up.SSH = slices.Clone(up.SSH[:2])
	up.SSH[0].Addr, up.SSH[1].Addr = closedPort(t), closedPort(t)
	r := sessions.Check(t.Context(), up)
	for subject, message := range map[string]string{
		"esx01.sddc1.airlock.test SSH": "The SSH service of esx01.sddc1.airlock.test is off, as the vCenter says: start TSM-SSH",
		"esx02.sddc1.airlock.test SSH": "and yet its SSH service runs, as the vCenter says: open port 22",
	} {
		if got := finding(t, r, subject); got.OK || !strings.Contains(got.Message, message) {
			t.Errorf("%+v; want %q", got, message)
		}
	}
}

// stopSSH stops the SSH service of a host, as far as the vCenter knows.
func (f *fixture) stopSSH(t testing.TB, host string) {
	t.Helper()
	g, _ := f.open(t, "stop")
	vc := (&script{Grant: g}).vim(t)
	h, err := find.NewFinder(vc).HostSystem(t.Context(), "/*/host/*/"+host)
	if err != nil {
		t.Fatal(err)
	}
	services, err := h.ConfigManager().ServiceSystem(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := services.Stop(t.Context(), "TSM-SSH"); err != nil {
		t.Fatal(err)
	}
	if err := services.Stop(t.Context(), "none"); err == nil {
		t.Error("a service that there is not was stopped")
	}
}

// The privileges that are tested are those that the documents list.
func TestPrivilegesAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range sessions.Privileges {
		if !bytes.Contains(text, []byte(p)) {
			t.Errorf("docs/operate.md does not list %s", p)
		}
	}
}

// keyring is a registry in memory.
type keyring struct {
	credentials map[domain.Reference]string
	keys        map[string]string
}

func (k *keyring) Credential(_ context.Context, _ domain.CloudID, r domain.Reference) (secret.Text, error) {
	return secret.New(k.credentials[r]), nil
}

func (k *keyring) HostKeys(context.Context, domain.CloudID) (map[string]string, error) {
	return k.keys, nil
}

func (k *keyring) LearnHostKey(_ context.Context, _ domain.CloudID, host, key string) (string, error) {
	if k.keys[host] == "" {
		k.keys[host] = key
	}
	return k.keys[host], nil
}

// A connection makes an upstream: thumbprint or authority, password or key, host keys pinned or learned at the first
// login. Credentials are read again at each.
func TestNewUpstream(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	user, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	byKey, keyHostKey := serveSSH(t, user)
	vc, hosts := f.cloud.VCenter(), f.cloud.SSH()
	password, esx, key := domain.Reference{File: "/vc"}, domain.Reference{Environment: "ESX"}, domain.Reference{Secret: "key"}
	ring := &keyring{keys: map[string]string{}, credentials: map[domain.Reference]string{
		password: vc.Password.Reveal(), esx: hosts[0].Password.Reveal(), key: string(pem.EncodeToMemory(block)),
	}}
	cloud := domain.PrivateCloud{VCenter: vc.FQDN, Connection: &domain.Connection{
		Address: vc.Addr, Thumbprint: thumbprintOf(t, vc.Addr), User: vc.User, Password: password,
		Hosts: []domain.SSHHost{
			{Name: hosts[0].Name, Address: hosts[0].Addr, User: "root", Password: &esx},
			{Name: "esx9.example.com", Address: byKey, User: "root", Key: &key, HostKey: domain.FormatHostKey(keyHostKey)},
		},
	}}
	check := func() domain.Report {
		t.Helper()
		up, err := sessions.NewUpstream(t.Context(), cloud, ring)
		if err != nil {
			t.Fatal(err)
		}
		return sessions.Check(t.Context(), up)
	}
	want := func(subject, message string, ok bool) {
		t.Helper()
		if got := finding(t, check(), subject); got.OK != ok || !strings.Contains(got.Message, message) {
			t.Errorf("%+v; want %q", got, message)
		}
	}
	for range 2 {
		for _, found := range check().Findings {
			if !found.OK {
				t.Errorf("%+v", found)
			}
		}
	}
	if ring.keys[hosts[0].Name] != domain.FormatHostKey(hosts[0].HostKey) || len(ring.keys) != 1 {
		t.Errorf("learned is %v", ring.keys)
	}
	ring.keys[hosts[0].Name] = domain.FormatHostKey(keyHostKey)
	want(hosts[0].Name+" SSH", "which Airlock has for it", false)
	ring.credentials[key] = "no key"
	want("esx9.example.com SSH", "What is in the secret key is no private key", false)
	ring.credentials[key] = string(pem.EncodeToMemory(locked))
	want("esx9.example.com SSH", "The private key in the secret key has a passphrase", false)
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if block, err = ssh.MarshalPrivateKey(stranger, ""); err != nil {
		t.Fatal(err)
	}
	ring.credentials[key] = string(pem.EncodeToMemory(block))
	want("esx9.example.com SSH", "refused the SSH login as root", false)
	cloud.Connection.Thumbprint, cloud.Connection.CA = "", string(vc.CA)
	want(vc.FQDN+" certificate", "valid until", true)
	ring.credentials[password] = "rotated"
	want(vc.FQDN+" login", "refused the login", false)
}

// serveSSH is an SSH server that takes one key.
func serveSSH(t testing.TB, user ssh.PublicKey) (addr string, hostKey ssh.PublicKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), user.Marshal()) {
			return nil, errors.New("not the key")
		}
		return nil, nil
	}}
	config.AddHostKey(signer)
	return serve(t, func(c net.Conn) {
		if conn, channels, requests, err := ssh.NewServerConn(c, config); err == nil {
			go ssh.DiscardRequests(requests)
			for c := range channels {
				_ = c.Reject(ssh.Prohibited, "nothing is here")
			}
			_ = conn.Close()
		}
	}), signer.PublicKey()
}

// serve answers each connection to a new port until the test ends.
func serve(t testing.TB, answer func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			answer(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// serveTLS shows a certificate and goes.
func serveTLS(t testing.TB, certificate tls.Certificate) (addr string) {
	return serve(t, func(c net.Conn) {
		_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}}).HandshakeContext(context.Background())
	})
}

func closedPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func poolOf(authority []byte) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	return pool
}

func sumOf(der []byte) string { return domain.FormatThumbprint(sha256.Sum256(der)) }

func thumbprint(c tls.Certificate) string { return sumOf(c.Certificate[0]) }

// thumbprintOf is that of the certificate that a server shows.
func thumbprintOf(t testing.TB, addr string) string {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return sumOf(c.ConnectionState().PeerCertificates[0].Raw)
}

// through puts a server in front of the vCenter that changes the answers.
func (f *fixture) through(t testing.TB, change func(body string) string) (addr string, authority *x509.CertPool) {
	t.Helper()
	vc := f.cloud.VCenter()
	pem, certificate, err := ca.Issue(ca.Request{Name: "a test", Hosts: []string{vc.FQDN}, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: poolOf(vc.CA), ServerName: vc.FQDN}, DisableCompression: true}
	srv := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Transport: transport,
		ErrorLog:  log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.Header.Del("Accept-Encoding")
			r.Out.URL.Scheme, r.Out.URL.Host = "https", vc.Addr
		},
		ModifyResponse: func(r *http.Response) error {
			body, err := io.ReadAll(r.Body)
			changed := change(string(body))
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(changed)), int64(len(changed))
			r.Header.Del("Content-Length")
			return err
		},
	})
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // of the connection that shows the certificate only
	srv.StartTLS()
	t.Cleanup(func() { srv.Close(); transport.CloseIdleConnections() })
	return srv.Listener.Addr().String(), poolOf(pem)
}
