package vcproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"

	vimsoap "github.com/vmware/govmomi/vim25/soap"

	"github.com/airlock-run/airlock/sessions/internal/policy"
)

// maxHostConns bounds an execution's connections to one host. Those beyond it wait.
const maxHostConns = 16

// Host is an ESXi host that the proxy plays beside the vCenter, for the files of HttpNfcLeases, whose URLs name hosts.
// The URL's path holds a ticket, by which the host knows the lease; nobody logs in, and nothing of Airlock's is added.
type Host struct {
	Name     string // FQDN
	Addr     string // host:port to dial
	Listener net.Listener
}

// toHost are the headers of a request that go on to a host.
var toHost = []string{"Accept", "Content-Length", "Content-Type", "Overwrite", "Range", "User-Agent"}

// host answers as a host would.
func (p *proxy) host(h Host) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := newRecord(w, r)
		rule := ""
		defer func() { p.c.Audit(c.event(h.Name, r, &judged{}, rule)) }()
		f, no := p.judgeTransfer(h, r)
		if no != nil {
			rule = no.rule
			p.refuse(c, content, *no)
			return
		}
		header := http.Header{}
		for _, name := range toHost {
			if v := r.Header[name]; len(v) > 0 {
				header[name] = v[:1]
			}
		}
		r.Header, r.Trailer = header, nil
		p.transfer(h, f).ServeHTTP(c, r)
	})
}

// judgeTransfer finds the file that a request is about, and refuses what is not of a lease of the execution's.
func (p *proxy) judgeTransfer(h Host, r *http.Request) (*leaseFile, *refusal) {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut:
	default:
		return nil, &refusal{ruleForm, http.StatusMethodNotAllowed, fmt.Sprintf("Airlock does not pass the HTTP method %.20q on to a host.", r.Method)}
	}
	asked, closed := p.c.Policy.Path(r.URL)
	no := &refusal{ruleLease, http.StatusForbidden, fmt.Sprintf("Airlock passes on to the host %s only the files "+
		"of leases (HttpNfcLease) that this execution has from its vCenter, by the URLs that these give.", h.Name)}
	if !strings.HasPrefix(r.URL.Path, "/nfc/") || r.URL.RawQuery != "" {
		return nil, no
	}
	if closed != nil {
		return nil, refused(r.Method+" "+shown(object(r.URL.Path)), closed)
	}
	if asked != policy.Content {
		return nil, no
	}
	f, err := p.leases.find(r.Context(), h.Name, r.URL, p.leaseInfo)
	if err != nil {
		p.c.Log.WarnContext(r.Context(), "leases of the execution", slog.String("host", h.Name), slog.Any("error", err))
		return nil, &refusal{"", http.StatusServiceUnavailable, fmt.Sprintf(
			"Airlock could not ask the vCenter %s for the files of the lease; try again.", p.c.Host)}
	}
	if f == nil {
		return nil, no
	}
	return f, nil
}

// transfer carries one file, over a connection of its own: another lease may name another certificate.
func (p *proxy) transfer(h Host, f *leaseFile) http.Handler {
	dialer := net.Dialer{Timeout: dialTime, KeepAliveConfig: probes, Control: giveUp}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "https", h.Name, ""
		},
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "tcp", h.Addr)
			},
			TLSClientConfig:     f.tls(h.Name, p.c.TLS),
			TLSHandshakeTimeout: dialTime,
			DisableKeepAlives:   true,
			DisableCompression:  true,
		},
		ModifyResponse: clean,
		BufferPool:     &buffers,
		ErrorLog:       slog.NewLogLogger(p.c.Log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if done(r.Context()) {
				panic(http.ErrAbortHandler) // nobody is there any more
			}
			p.c.Log.WarnContext(r.Context(), "transfer", slog.String("host", h.Name), slog.Any("error", err))
			message := "The host " + h.Name + " does not answer; try again, and ask the provider if it stays so."
			if errors.Is(err, errCertificate) || errors.As(err, new(*tls.CertificateVerificationError)) {
				message = "The host " + h.Name + " shows another certificate than the vCenter says it has; ask the provider to check it."
			}
			p.refuse(w, content, refusal{"", http.StatusServiceUnavailable, message})
		},
	}
}

// errCertificate is of a host whose certificate is not the one that the lease names.
var errCertificate = errors.New("the certificate has another thumbprint than the lease says")

// tls is how the host's certificate is verified: by the thumbprint that the lease has of it, else by the authorities of
// the vCenter's.
func (f *leaseFile) tls(host string, vcenter *tls.Config) *tls.Config {
	c := &tls.Config{RootCAs: vcenter.RootCAs, ServerName: host, MinVersion: tls.VersionTLS12}
	if f.thumbprint != "" {
		c.InsecureSkipVerify = true // in favour of the one certificate that is known
		c.VerifyConnection = func(s tls.ConnectionState) error {
			leaf := s.PeerCertificates[0]
			if !strings.EqualFold(f.thumbprint, vimsoap.ThumbprintSHA1(leaf)) && !strings.EqualFold(f.thumbprint, vimsoap.ThumbprintSHA256(leaf)) {
				return errCertificate
			}
			return nil
		}
	}
	return c
}
