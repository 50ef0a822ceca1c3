package egress

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
)

// target reads where a request leads: the authority of CONNECT, or an absolute URL of http. What can be read in two
// ways is an error.
func target(r *http.Request) (domain.Destination, error) {
	u := r.URL
	switch {
	case u.User != nil:
		return domain.Destination{}, errors.New("an address with a user in it is ambiguous (RFC 9110, section 4.2.4)")
	case r.Method == http.MethodConnect:
		if u.Host == "" || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
			return domain.Destination{}, errors.New("CONNECT takes host:port")
		}
		return domain.ParseDestination(u.Host)
	case u.Scheme == "https":
		return domain.Destination{}, errors.New("https goes through CONNECT")
	case u.Scheme != "http" || u.Host == "" || u.Opaque != "":
		return domain.Destination{}, errors.New("it takes CONNECT host:port, and whole URLs that begin with http://")
	}
	if u.Port() == "" && !strings.HasSuffix(u.Host, ":") {
		return domain.ParseDestination(u.Host + ":80")
	}
	return domain.ParseDestination(u.Host)
}

// failed answers a request whose connection did not come about.
func (p *proxy) failed(w http.ResponseWriter, r *http.Request, d domain.Destination, err error) {
	var no *refusal
	if !errors.As(err, &no) {
		no = &refusal{http.StatusBadGateway, "unreachable", fmt.Sprintf("Airlock cannot reach %s, which the setting egress of the private cloud %s allows: %s.", d, p.c.Cloud, why(err))}
	}
	p.answer(w, r, no)
}

// broken answers a plain request whose connection came about and then broke.
func (p *proxy) broken(w http.ResponseWriter, r *http.Request, _ error) {
	p.answer(w, r, &refusal{http.StatusBadGateway, "broken", fmt.Sprintf("%s broke the connection off, or answered with what is not HTTP.", r.URL.Host)})
}

// why says in a few words what is in the way, without addresses that a resolver has told.
func why(err error) string {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "there is no such host"
	case errors.As(err, &dns):
		return "its name cannot be resolved now"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "it does not answer in time"
	}
	return "it does not take the connection"
}

// answer refuses a request. Clients show of a refused CONNECT the status line alone, so that has the whole message;
// net/http writes none but the standard's, so the connection is taken over.
func (p *proxy) answer(w http.ResponseWriter, r *http.Request, no *refusal) {
	body := no.message + "\n"
	if r.Method != http.MethodConnect {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(no.status)
		_, _ = io.WriteString(w, body)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the script has gone
	}
	defer p.conns.Done()
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(headerTime))
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		no.status, visible(no.message), len(body), body)
}

// visible keeps what a status line may hold.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
