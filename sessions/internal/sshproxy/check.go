package sshproxy

import (
	"context"
	"fmt"
	"syscall"

	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sessions/internal/reach"
)

// Service is what the vCenter says of the SSH service of a host.
type Service int

// What it can say.
const (
	ServiceUnknown Service = iota
	ServiceRuns
	ServiceStopped
)

// Result is how the login to a host went.
type Result struct {
	attempt
	failed *failure // nil where it went well
	late   bool     // there was no end in time
}

// Check logs in to a host and out again, in bounded time.
func (h Host) Check(ctx context.Context) Result {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	r := Result{attempt: attempt{Host: h}}
	u, failed := r.connect(ctx)
	if failed == nil {
		u.close()
	}
	r.failed, r.late = failed, ctx.Err() != nil
	return r
}

// Finding says in a sentence how it went.
func (r Result) Finding(s Service) domain.Finding {
	return domain.Finding{Subject: r.Name + " SSH", OK: r.failed == nil, Message: r.sentence(s)}
}

func (r Result) sentence(s Service) string {
	h, f := r.Host, r.failed
	switch {
	case f == nil:
		return fmt.Sprintf("Airlock logs in to %s as %s; its host key is %s.", h.Name, h.User, ssh.FingerprintSHA256(r.shown))
	case f.stage == stageCredential:
		return errors.For(f.cause, "the credential").Message
	case f.stage == stageDial && s == ServiceStopped:
		return fmt.Sprintf("The SSH service of %s is off, as the vCenter says: start TSM-SSH on the host (Configure, System, Services, SSH), with the policy to start with the host.", h.Name)
	case f.stage == stageDial && s == ServiceRuns:
		return fmt.Sprintf("There is no connection to %s at %s, and yet its SSH service runs, as the vCenter says: open port 22 from Airlock's machine in the firewalls between, that of the host included.", h.Name, h.Addr)
	case f.stage == stageDial && errors.Is(f.cause, syscall.ECONNREFUSED):
		return fmt.Sprintf("Nothing takes SSH connections on %s at %s, so its SSH service is off: start TSM-SSH on the host (Configure, System, Services, SSH), with the policy to start with the host.", h.Name, h.Addr)
	case f.stage == stageDial:
		return reach.Why("the SSH server of "+h.Name, h.Addr, f.cause)
	case f.stage == stageHostKey:
		return r.otherKey()
	case r.late:
		return fmt.Sprintf("The SSH server of %s did not come to an end with the login within %v; check that it works.", h.Name, loginTime)
	case f.stage == stageLogin:
		return fmt.Sprintf("The host %s refused the SSH login as %s: check the user and the password or key that are registered, and whether the account is locked, which it is for 15 minutes after five refusals.", h.Name, h.User)
	}
	return fmt.Sprintf("What answers on %s at %s does not speak SSH as a host does (%v): check address and port.", h.Name, h.Addr, f.cause)
}

// otherKey says how a new host key is accepted. A host that has no key of the known kind any more shows none.
func (r Result) otherKey() string {
	known := fmt.Sprintf("%s (%s)", ssh.FingerprintSHA256(r.known), r.known.Type())
	if r.shown == nil {
		return fmt.Sprintf("The host %s has no SSH host key any more of the kind that Airlock knows of it, %s: if it was installed anew, read its key there, and register it with --host-key '%s=TYPE KEY'.", r.Name, known, r.Name)
	}
	return fmt.Sprintf("The host %s shows the SSH host key %s and not %s, which Airlock has for it: find out why. If it was installed anew, accept the new key with --host-key '%s=%s'.",
		r.Name, ssh.FingerprintSHA256(r.shown), known, r.Name, domain.FormatHostKey(r.shown))
}
