package vcproxy

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sessions/internal/lazy"
	"github.com/airlock-run/airlock/sessions/internal/reach"
)

// checkTime bounds each test.
const checkTime = 15 * time.Second

// OtherThumbprint is the error of a certificate that is not the one that is known. It is the thumbprint of the
// certificate that was shown.
type OtherThumbprint string

func (e OtherThumbprint) Error() string { return "the certificate has the thumbprint " + string(e) }

// Found is what the tests of a vCenter found.
type Found struct {
	domain.Report
	SSH map[string]bool // whether the SSH service runs on a host, by the host's name; hosts of which that is not known are not there
}

// check is a run of the tests.
type check struct {
	c      Config
	logins *logins
	Found
}

// Check tests the way to a vCenter, step by step: that it can be reached, its certificate, the login, the account's
// privileges, the REST API, SSO administration and the inventory. What stands on a step that failed is left out, and a
// refused login is not tried a second time: refusals are counted. Each test takes checkTime at most. Of the
// configuration it takes who the vCenter is and how to log in.
func Check(ctx context.Context, c Config) Found {
	c.Audit, c.Log = func(audit.Event) {}, slog.New(slog.DiscardHandler)
	life, end := context.WithCancel(ctx)
	defer end()
	k := &check{c: c, logins: newLogins(life, c), Found: Found{SSH: map[string]bool{}}}
	defer k.logins.end()
	for _, step := range []struct {
		name string
		test func(context.Context) (string, error)
		on   bool // whether the others can be tested without it
	}{
		{"connection", k.reach, false},
		{"certificate", k.certificate, false},
		{"login", k.login, false},
		{"privileges", k.privileges, true},
		{"REST login", k.rest, true},
		{"SSO administration", k.sso, true},
		{"inventory", k.inventory, true},
	} {
		bounded, cancel := context.WithTimeout(ctx, checkTime)
		message, err := k.try(bounded, step.test)
		if err != nil && bounded.Err() != nil {
			message = fmt.Sprintf("The vCenter %s did not answer within %v; check that it works and that no firewall is in the way.", c.Host, checkTime)
		}
		cancel()
		k.Findings = append(k.Findings, domain.Finding{Subject: c.Host + " " + step.name, OK: err == nil, Message: message})
		if err != nil && !step.on {
			break
		}
	}
	return k.Found
}

// try runs a test. govmomi panics at answers with types that it does not know.
func (k *check) try(ctx context.Context, test func(context.Context) (string, error)) (message string, err error) {
	defer func() {
		if p := recover(); p != nil {
			message = fmt.Sprintf("The vCenter %s gave an answer that cannot be read: check that it is a vCenter of a supported version.", k.c.Host)
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return test(ctx)
}

func (k *check) reach(ctx context.Context) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", k.c.Addr)
	if err != nil {
		return reach.Why("the vCenter "+k.c.Host, k.c.Addr, err), err
	}
	return fmt.Sprintf("The vCenter %s is reached at %s.", k.c.Host, conn.RemoteAddr()), conn.Close()
}

func (k *check) certificate(ctx context.Context) (string, error) {
	config := k.c.TLS.Clone()
	config.ServerName = k.c.Host
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", k.c.Addr)
	if err != nil {
		return k.certificateProblem(err), err
	}
	defer conn.Close()
	leaf := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	return fmt.Sprintf("The certificate is the vCenter's and valid until %s.", day(leaf.NotAfter)), nil
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// certificateProblem says in a sentence why a certificate is not taken.
func (k *check) certificateProblem(err error) string {
	other := OtherThumbprint("")
	if errors.As(err, &other) {
		return fmt.Sprintf("The vCenter %s shows another certificate than the one that is registered: its SHA-256 thumbprint is %s. If it was renewed, compare that with what the vCenter itself says, and register it.", k.c.Host, string(other))
	}
	refused, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok {
		return fmt.Sprintf("What answers at %s does not speak TLS as a vCenter does (%v): check address and port.", k.c.Addr, err)
	}
	leaf := refused.UnverifiedCertificates[0]
	thumbprint := domain.FormatThumbprint(sha256.Sum256(leaf.Raw))
	invalid := x509.CertificateInvalidError{}
	switch {
	case errors.As(err, &x509.HostnameError{}):
		names := leaf.DNSNames
		for _, ip := range leaf.IPAddresses {
			names = append(names, ip.String())
		}
		return fmt.Sprintf("The certificate is for %s and not for %s: register the vCenter under the name in its certificate.", strings.Join(names, ", "), k.c.Host)
	case errors.As(err, &x509.UnknownAuthorityError{}):
		return fmt.Sprintf("The certificate is signed by an authority that Airlock does not know for this vCenter: register that authority, or, if the vCenter itself says so too, the SHA-256 thumbprint %s.", thumbprint)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert.NotBefore.After(time.Now()):
		return fmt.Sprintf("The certificate of %q is valid from %s on, which is still to come: check the clocks of the vCenter and of Airlock's machine.", invalid.Cert.Subject, day(invalid.Cert.NotBefore))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("The certificate of %q has expired on %s: renew it on the vCenter.", invalid.Cert.Subject, day(invalid.Cert.NotAfter))
	}
	return fmt.Sprintf("The certificate cannot be verified: %v.", refused.Err)
}

func (k *check) login(ctx context.Context) (string, error) {
	if _, err := k.c.Password(ctx); err != nil {
		return errors.For(err, "the password").Message, err
	}
	if _, err := k.logins.vim.Get(ctx); err != nil {
		return k.loginProblem(err), err
	}
	return fmt.Sprintf("Airlock logs in as %s.", k.c.User), nil
}

// loginProblem says in a sentence why there was no login. vCenter tells nobody whether it is the user that does not
// exist or the password that is wrong.
func (k *check) loginProblem(err error) string {
	switch text := strings.ToLower(err.Error()); {
	case strings.Contains(text, "locked"):
		return fmt.Sprintf("The account %s is locked: unlock it on the vCenter, and check the password that is registered, which others may have changed.", k.c.User)
	case fault.Is(err, &types.PasswordExpired{}), strings.Contains(text, "password expired"):
		return fmt.Sprintf("The password of %s has expired: change it on the vCenter, and where Airlock reads it.", k.c.User)
	case fault.Is(err, &types.NoPermission{}):
		return fmt.Sprintf("The vCenter knows %s but gives it no permission to log in: assign it a role on the root of the inventory.", k.c.User)
	case fault.Is(err, &types.InvalidLogin{}), lazy.IsFinal(err):
		return fmt.Sprintf("The vCenter refused the login as %s: the password is wrong, there is no such user, or it is locked; it does not say which.", k.c.User)
	}
	return fmt.Sprintf("The login as %s came to no end: %s", k.c.User, errors.For(err, "login").Message)
}

func (k *check) rest(ctx context.Context) (string, error) {
	if _, err := k.logins.rest.Get(ctx); err != nil {
		if lazy.IsFinal(err) {
			return fmt.Sprintf("The REST API refused %s, who can log in otherwise: check that the vAPI endpoint service of the vCenter works.", k.c.User), err
		}
		return "The REST API (/rest, /api) does not answer; cmdlets that use tags or content libraries will fail: check the vAPI endpoint service of the vCenter.", err
	}
	return "The REST API takes the login too.", nil
}

func (k *check) sso(ctx context.Context) (string, error) {
	if _, err := k.logins.sso.Get(ctx); err != nil {
		if lazy.IsFinal(err) {
			return fmt.Sprintf("SSO administration refused %s; cmdlets that manage users of the SSO will fail: make it a member of the group Administrators if such cmdlets are to run.", k.c.User), err
		}
		return "SSO administration (/sts, /sso-adminserver) does not answer; cmdlets that manage users of the SSO will fail: check that it is open to Airlock's machine.", err
	}
	return "SSO administration takes the login too.", nil
}
