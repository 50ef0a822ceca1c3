package vcproxy

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/ssoadmin"
	"github.com/vmware/govmomi/ssoadmin/methods"
	"github.com/vmware/govmomi/ssoadmin/types"
	"github.com/vmware/govmomi/sts"
	vapi "github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25"
	vimmethods "github.com/vmware/govmomi/vim25/methods"
	vimsoap "github.com/vmware/govmomi/vim25/soap"
	vim "github.com/vmware/govmomi/vim25/types"
	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sessions/internal/lazy"
)

const (
	dialTime   = 10 * time.Second
	loginTime  = 30 * time.Second
	loginGrace = 500 * time.Millisecond // for a login under way when the execution ends
	logoutTime = 2 * time.Second        // for all logouts together
)

// logins are Airlock's own sessions with one vCenter, each made at its first use. Nothing of them leaves the proxy.
type logins struct {
	c         Config
	transport *http.Transport
	base      *vimsoap.Client // without a session

	vim  *lazy.Value[*vimLogin]
	rest *lazy.Value[*restLogin]
	sso  *lazy.Value[*ssoLogin]
	mob  *lazy.Value[*mobLogin]
}

type (
	restLogin = vapi.Client
	ssoLogin  = ssoadmin.Client
)

// sessions are those that a call needs.
type sessions struct {
	vim  *vimLogin
	rest *restLogin
	sso  *ssoLogin
	mob  *mobLogin
}

// use gets the sessions for what a call carries.
func (l *logins) use(ctx context.Context, s service, c carried) (used sessions, err error) {
	if c.soapCookie && s == sso {
		used.sso, err = l.sso.Get(ctx)
	} else if c.soapCookie || len(c.envelope) > 0 {
		used.vim, err = l.vim.Get(ctx)
	}
	if err == nil && c.mob {
		used.mob, err = l.mob.Get(ctx)
	}
	if err == nil && (c.restCookie || c.restHeader) {
		used.rest, err = l.rest.Get(ctx)
	}
	return used, err
}

// maxAnswer is the most bytes of one answer to a call of Airlock's own: some times what the hosts of the largest inventory
// take. An answer is taken into memory, and so a broken or hostile vCenter could have all of it.
const maxAnswer = 32 << 20

// own makes a client one for Airlock's own calls, whose answers are bounded.
func (l *logins) own(c *vimsoap.Client) *vimsoap.Client {
	c.Transport = bounded{l.transport}
	return c
}

type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = http.MaxBytesReader(nil, res.Body, maxAnswer)
	}
	return res, err
}

type vimLogin struct {
	client  *vim25.Client
	manager *session.Manager
	cookies string // Cookie header that carries the session
	id      string // what the SOAP header vcSessionCookie carries
}

func newLogins(ctx context.Context, c Config) *logins {
	l := &logins{c: c}
	l.base = vimsoap.NewClient(&url.URL{Scheme: "https", Host: c.Host, Path: vim25.Path}, false)
	l.base.UserAgent = "airlock"
	l.transport = l.base.DefaultTransport()
	dialer := net.Dialer{Timeout: dialTime, KeepAliveConfig: probes, Control: giveUp}
	l.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", c.Addr)
	}
	l.transport.DialTLSContext = nil // govmomi's own dials by name, without a context
	l.transport.Proxy = nil
	l.transport.TLSClientConfig = c.TLS
	l.transport.TLSHandshakeTimeout = dialTime
	l.transport.DisableCompression = true
	l.transport.MaxIdleConnsPerHost = 16
	l.vim = lazy.New(ctx, loginGrace, audited(l, "vcenter/login", l.loginVim))
	l.rest = lazy.New(ctx, loginGrace, audited(l, "vcenter/login-rest", l.loginREST))
	l.sso = lazy.New(ctx, loginGrace, audited(l, "vcenter/login-sso", l.loginSSO))
	l.mob = lazy.New(ctx, loginGrace, audited(l, "vcenter/login-mob", l.loginMOB))
	return l
}

// A vCenter may take any time to answer, WaitForUpdatesEx above all, but not to acknowledge what it was sent: after
// unheard, it is gone. Where nothing is sent, TCP's own probes ask for it.
const unheard = 30 * time.Second

var probes = net.KeepAliveConfig{Enable: true, Idle: unheard / 2, Interval: unheard / 6, Count: 3}

func giveUp(_, _ string, c syscall.RawConn) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unheard.Milliseconds()))
	}), err)
}

// audited bounds a login in time, records it, and turns its failure into words for the script.
func audited[T any](l *logins, action string, login func(context.Context, *url.Userinfo) (T, error)) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) {
		ctx, cancel := context.WithTimeout(ctx, loginTime)
		defer cancel()
		var v T
		password, err := l.c.Password(ctx)
		if err != nil {
			err = errors.Because(err, errors.SessionFailed,
				"Airlock could not read its own password for the vCenter %s; ask the provider to check where it is kept.", l.c.Host)
		} else if v, err = login(ctx, url.UserPassword(l.c.User, password.Reveal())); err != nil {
			err = l.explain(err)
		}
		if err != nil {
			l.c.Log.WarnContext(ctx, "vCenter login", slog.String("host", l.c.Host), slog.Any("error", err))
			l.c.Audit(audit.Event{Action: action, Target: l.c.Host, Result: string(errors.SessionFailed)})
			return v, err
		}
		l.c.Audit(audit.Event{Action: action, Target: l.c.Host, Result: ok})
		return v, nil
	}
}

// explain makes the error of a login, as govmomi gave it, one for the user. A refusal is final: tried again, it would
// lock the account.
func (l *logins) explain(err error) error {
	if e := (*errors.Error)(nil); errors.As(err, &e) {
		return err
	}
	if vimsoap.IsSoapFault(err) || vapi.IsStatusError(err, http.StatusUnauthorized) {
		return lazy.Final(errors.Because(err, errors.SessionFailed,
			"The vCenter %s refused Airlock's own login; ask the provider to check the user and password that Airlock has for it.", l.c.Host))
	}
	return errors.Because(err, errors.SessionFailed,
		"The vCenter %s cannot be reached; try again, and ask the provider to check its address and certificate if it stays so.", l.c.Host)
}

func (l *logins) loginVim(ctx context.Context, user *url.Userinfo) (*vimLogin, error) {
	sc := l.own(l.base.NewServiceClient(vim25.Path, vim25.Namespace))
	client, err := vim25.NewClient(ctx, sc)
	if err != nil {
		return nil, err
	}
	m := session.NewManager(client)
	if err := m.Login(ctx, user); err != nil {
		return nil, err
	}
	cookie := client.SessionCookie()
	if cookie == nil {
		return nil, errors.New("the answer to Login carries no session cookie")
	}
	return &vimLogin{client, m, cookies(sc), cookie.Value}, nil
}

// cookies is the Cookie header with which a client carries its session.
func cookies(c *vimsoap.Client) string {
	var all []string
	for _, cookie := range c.Jar.Cookies(c.URL()) {
		all = append(all, (&http.Cookie{Name: cookie.Name, Value: cookie.Value, Quoted: cookie.Quoted}).String())
	}
	return strings.Join(all, "; ")
}

func (l *logins) loginREST(ctx context.Context, user *url.Userinfo) (*restLogin, error) {
	c := vapi.NewClient(&vim25.Client{Client: l.base})
	l.own(c.Client)
	if err := c.Login(ctx, user); err != nil {
		return nil, err
	}
	return c, nil
}

// loginSSO logs in to SSO administration, which takes a SAML assertion of the STS. Both lie under the domain of the
// user that logs in, which is the SSO domain of the vCenter.
func (l *logins) loginSSO(ctx context.Context, user *url.Userinfo) (*ssoLogin, error) {
	domain := ssoDomain(user.Username())
	tokens := l.own(l.base.NewServiceClient(sts.Path+"/"+domain, sts.Namespace))
	signer, err := (&sts.Client{Client: tokens, RoundTripper: tokens}).Issue(ctx, sts.TokenRequest{Userinfo: user})
	if err != nil {
		return nil, err
	}
	sc := l.own(l.base.NewServiceClient(ssoadmin.Path+"/"+domain, ssoadmin.Namespace))
	sc.Version = ssoadmin.Version
	c := &ssoadmin.Client{Client: sc, RoundTripper: sc, Domain: domain}
	content, err := methods.SsoAdminServiceInstance(ctx, c, &types.SsoAdminServiceInstance{This: ssoadmin.ServiceInstance})
	if err != nil {
		return nil, err
	}
	c.ServiceContent = content.Returnval
	if err := c.Login(c.WithHeader(ctx, vimsoap.Header{Security: signer})); err != nil {
		return nil, err
	}
	return c, nil
}

// ssoDomain is the domain of a user of the SSO, by default that of new installations.
func ssoDomain(user string) string {
	if _, d, found := strings.Cut(user, "@"); found {
		return d
	}
	return "vsphere.local"
}

// keep calls each session that was made, so that vCenter does not end it while the script thinks.
func (l *logins) keep(ctx context.Context) {
	var made sessions
	made.vim, _ = l.vim.Made()
	made.rest, _ = l.rest.Made()
	made.sso, _ = l.sso.Made()
	made.mob, _ = l.mob.Made()
	l.renew(ctx, made)
}

// dropped calls vCenter in the session, and says whether it does not know it any more.
func (v *vimLogin) dropped(ctx context.Context) bool {
	_, err := vimmethods.GetCurrentTime(ctx, v.client)
	return fault.Is(err, &vim.NotAuthenticated{})
}

func restDropped(ctx context.Context, v *restLogin) bool {
	s, err := v.Session(ctx)
	return err == nil && s == nil
}

func ssoDropped(ctx context.Context, v *ssoLogin, user string) bool {
	_, err := v.FindPersonUser(ctx, user)
	return fault.Is(err, &vim.NotAuthenticated{})
}

// end logs out of what was logged in, in bounded time, and closes all connections.
func (l *logins) end() {
	ctx, cancel := context.WithTimeout(context.Background(), logoutTime)
	defer cancel()
	var logouts sync.WaitGroup
	if v, made := l.sso.Made(); made {
		logouts.Go(func() { l.logout(ctx, "vcenter/logout-sso", v.Logout) })
	}
	if v, made := l.mob.Made(); made {
		logouts.Go(func() { l.logout(ctx, "vcenter/logout-mob", v.logout) })
	}
	if v, made := l.rest.Made(); made {
		logouts.Go(func() { l.logout(ctx, "vcenter/logout-rest", v.Logout) })
	}
	if v, made := l.vim.Made(); made {
		logouts.Go(func() { l.logout(ctx, "vcenter/logout", v.manager.Logout) })
	}
	logouts.Wait()
	l.transport.CloseIdleConnections()
}

func (l *logins) logout(ctx context.Context, action string, logout func(context.Context) error) {
	result := ok
	if err := logout(ctx); err != nil {
		result = string(errors.SessionFailed)
		l.c.Log.Warn("vCenter logout", slog.String("host", l.c.Host), slog.Any("error", err))
	}
	l.c.Audit(audit.Event{Action: action, Target: l.c.Host, Result: result})
}
