package sshproxy

import (
	"context"
	"log/slog"

	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sessions/internal/lazy"
)

// channel opens a session on the host. A connection that has broken since its last use is made anew, once.
func (p *proxy) channel(ctx context.Context) (ssh.Channel, <-chan *ssh.Request, error) {
	for again := true; ; again = false {
		u, err := p.upstream.Get(ctx)
		if err != nil {
			return nil, nil, err
		}
		ch, requests, err := u.client.OpenChannel("session", nil)
		if err == nil {
			return ch, requests, nil
		}
		if refused := (*ssh.OpenChannelError)(nil); errors.As(err, &refused) {
			return nil, nil, errors.Because(err, errors.SessionFailed, "The host %s refused another channel; close one first.", p.c.Name)
		}
		p.upstream.Forget(func(v *upstream) bool { return v == u })
		u.close()
		if !again || ctx.Err() != nil {
			return nil, nil, errors.Because(err, errors.SessionFailed, "The connection to the host %s broke, or the host hangs; try again.", p.c.Name)
		}
	}
}

// login connects to the host and logs in, in bounded time, and records it.
func (p *proxy) login(ctx context.Context) (*upstream, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	u, failed := (&attempt{Host: p.c.Host}).connect(ctx)
	if failed == nil {
		p.c.Audit(audit.Event{Action: "ssh/login", Target: p.c.Name, Result: ok})
		return u, nil
	}
	err := p.explain(failed)
	p.c.Log.WarnContext(ctx, "SSH login", slog.String("host", p.c.Name), slog.Any("error", err))
	p.c.Audit(audit.Event{Action: "ssh/login", Target: p.c.Name, Result: string(errors.SessionFailed)})
	return nil, err
}

// explain says in words for the script why the host was not entered. A refusal is final: tried again, it would lock
// the account (ESXi: five attempts).
func (p *proxy) explain(f *failure) error {
	say := func(format string) error { return errors.Because(f.cause, errors.SessionFailed, format, p.c.Name) }
	switch f.stage {
	case stageCredential:
		if p.c.Host.Signer != nil {
			return say("Airlock could not read its own key for the host %s; ask the provider to check where it is kept.")
		}
		return say("Airlock could not read its own password for the host %s; ask the provider to check where it is kept.")
	case stageDial:
		return say("The SSH server of %s cannot be reached; check that SSH is switched on there, and try again.")
	case stageHostKey:
		return lazy.Final(say("The host %s shows another SSH host key than the one that Airlock has for it; ask the provider to find out why and to update it."))
	case stageLogin:
		return lazy.Final(say("The host %s refused Airlock's own SSH login; ask the provider to check the user and password that Airlock has for it."))
	}
	return say("No SSH login to %s came about; check that its SSH server works, and try again.")
}
