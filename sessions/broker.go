package sessions

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/ca"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions/internal/policy"
	"github.com/airlock-run/airlock/sessions/internal/sshproxy"
	"github.com/airlock-run/airlock/sessions/internal/vcproxy"
)

// Ports on which the broker plays vCenter and the SSH servers.
const (
	httpsPort = 443
	sshPort   = 22
)

// keepAlive is how often vCenter is called on behalf of a script that does not: vAPI sessions end after 5 minutes
// without a call, SOAP sessions after 30 (vCenter's defaults).
const keepAlive = 2 * time.Minute

// certificateLife outlives every execution, an hour at most.
const certificateLife = 24 * time.Hour

// Broker opens grants.
type Broker struct {
	clouds Clouds
	policy *policy.Policy
	log    *slog.Logger
}

// New makes a broker with the policy that ships with Airlock. Causes of failures, which no user sees, go to log.
func New(clouds Clouds, log *slog.Logger) *Broker {
	return &Broker{clouds, policy.Shipped(), log}
}

// ExtendPolicy adds a provider's file to the policy, before the first Open. Its error, of kind Usage, says the line and
// what is wrong there.
func (b *Broker) ExtendPolicy(path string) error {
	extended, err := b.policy.Extend(path)
	if err != nil {
		return errors.Because(err, errors.Usage, "The policy of sessions cannot be used: %v.", err)
	}
	b.policy = extended
	return nil
}

// Open opens the grant of an execution: listeners for its vCenter, the HTTPS of its hosts and the SSH servers of its
// private cloud, and the token and key that they take. It logs in nowhere; that happens at first use. The grant ends with ctx: listeners
// and connections are cut at once, Airlock's sessions are logged out (2 s at most), then Done is closed. What happens
// meanwhile is told to record, up to the close of Done; its writer sees to it that no secret of the execution stays in it.
//
// Errors are SessionFailed. After one, nothing is left open.
func (b *Broker) Open(ctx context.Context, x domain.Execution, listen domain.Listen, record audit.Writer) (domain.Grant, error) {
	up, err := b.clouds.Upstream(ctx, x.Cloud)
	if err != nil {
		if e := (*errors.Error)(nil); errors.As(err, &e) {
			return domain.Grant{}, err
		}
		return domain.Grant{}, errors.Because(err, errors.SessionFailed,
			"Airlock does not know how to reach the private cloud %s; ask the provider to check how it is registered.", x.Cloud.Name)
	}
	if err := up.check(); err != nil {
		return domain.Grant{}, err
	}
	g, err := b.prepare(ctx, x, up, record)
	if err != nil {
		return domain.Grant{}, errors.Because(err, errors.SessionFailed, "Airlock could not make keys for the execution's sessions; try again.")
	}
	if err := g.listen(listen); err != nil {
		return domain.Grant{}, err
	}
	g.record(audit.Event{Action: "sessions/open", Target: up.VCenter, Result: "ok", Detail: fmt.Sprintf("%d SSH hosts", len(up.SSH))})
	go g.run() // ends with ctx; the owner waits for Done
	return g.Grant, nil
}

// grant is a Grant that is being made and served.
type grant struct {
	domain.Grant
	ctx       context.Context // of the grant's life
	log       *slog.Logger
	audit     audit.Writer
	execution domain.Execution
	upstream  Upstream
	signers   []ssh.Signer // host keys, in the order of upstream.SSH
	key       ssh.PublicKey
	vcenter   vcproxy.Config
	listeners []net.Listener // vCenter, then one an SSH host, then one a host's HTTPS
	done      chan struct{}
}

// prepare makes what the execution is known by, and by what it knows the broker.
func (b *Broker) prepare(ctx context.Context, x domain.Execution, up Upstream, record audit.Writer) (*grant, error) {
	g := &grant{ctx: ctx, log: b.log, audit: record, execution: x, upstream: up, done: make(chan struct{})}
	names := []string{up.VCenter, "vc", "localhost", "127.0.0.1", "::1"}
	for _, h := range up.Hosts {
		names = append(names, h.Host)
	}
	authority, certificate, err := ca.Issue(ca.Request{Name: "Airlock execution authority", Hosts: names, Lifetime: certificateLife})
	if err != nil {
		return nil, err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, err
	}
	if g.key, err = ssh.NewPublicKey(public); err != nil {
		return nil, err
	}
	for range up.SSH {
		_, hostKey, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		signer, err := ssh.NewSignerFromSigner(hostKey)
		if err != nil {
			return nil, err
		}
		g.signers = append(g.signers, signer)
	}
	g.Grant = domain.Grant{
		CA:    authority,
		User:  "execution-" + x.ID,
		Token: secret.New(rand.Text() + rand.Text()),
		Key:   secret.New(string(pem.EncodeToMemory(block))),
		Done:  g.done,
	}
	g.vcenter = vcproxy.Config{
		Host: up.VCenter, Addr: up.Addr, TLS: up.tls(), User: up.User, Password: up.Password,
		ScriptUser: g.User, Token: g.Token, Certificate: certificate, KeepAlive: keepAlive, Policy: b.policy, Audit: g.record, Log: b.log,
	}
	return g, nil
}

// listen opens all listeners, or none.
func (g *grant) listen(listen domain.Listen) error {
	open := func(host string, port int) (domain.Endpoint, error) {
		l, err := listen(host, port)
		if err != nil {
			for _, l := range g.listeners {
				_ = l.Close()
			}
			return domain.Endpoint{}, errors.Because(err, errors.SessionFailed,
				"Airlock could not open its own end of the connection to %s, port %d; try again, and ask the provider if it stays so.", host, port)
		}
		g.listeners = append(g.listeners, l)
		return domain.Endpoint{Host: host, Addr: l.Addr().String()}, nil
	}
	var err error
	if g.VCenter, err = open(g.upstream.VCenter, httpsPort); err != nil {
		return err
	}
	for i, h := range g.upstream.SSH {
		e, err := open(h.Name, sshPort)
		if err != nil {
			return err
		}
		hostKey := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(g.signers[i].PublicKey())))
		g.SSH = append(g.SSH, domain.SSHEndpoint{Endpoint: e, HostKey: hostKey})
	}
	for _, h := range g.upstream.Hosts {
		e, err := open(h.Host, httpsPort)
		if err != nil {
			return err
		}
		g.Hosts = append(g.Hosts, e)
		g.vcenter.Hosts = append(g.vcenter.Hosts, vcproxy.Host{Name: h.Host, Addr: h.Addr, Listener: g.listeners[len(g.listeners)-1]})
	}
	return nil
}

// run serves until the context ends and all is torn down.
func (g *grant) run() {
	defer close(g.done)
	var servers sync.WaitGroup
	servers.Go(func() { vcproxy.Serve(g.ctx, g.listeners[0], g.vcenter) })
	for i, h := range g.upstream.SSH {
		servers.Go(func() {
			sshproxy.Serve(g.ctx, g.listeners[i+1], sshproxy.Config{
				Host:       sshproxy.Host(h),
				ScriptUser: g.User, ScriptKey: g.key, Signer: g.signers[i], Audit: g.record, Log: g.log,
			})
		})
	}
	servers.Wait()
	g.record(audit.Event{Action: "sessions/close", Target: g.upstream.VCenter, Result: "ok"})
}

// record writes an audit event of the execution, also when its context has ended.
func (g *grant) record(e audit.Event) {
	e.Time, e.Execution, e.Cloud, e.Actor = time.Now(), g.execution.ID, g.execution.Cloud.String(), g.User
	g.audit.Write(context.WithoutCancel(g.ctx), e)
}
