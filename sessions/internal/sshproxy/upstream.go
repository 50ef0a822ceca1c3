package sshproxy

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sessions/internal/lazy"
)

const loginTime = 15 * time.Second

// upstream is Airlock's own connection to the host.
type upstream struct {
	client *ssh.Client
	gone   chan struct{} // closed when the connection has ended
}

func (u *upstream) close() {
	_ = u.client.Close()
	<-u.gone
}

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
			return nil, nil, errors.Because(err, errors.SessionFailed, "The connection to the host %s broke; try again.", p.c.Name)
		}
	}
}

// login connects to the host and logs in, in bounded time, and records it.
func (p *proxy) login(ctx context.Context) (*upstream, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	u, err := p.connect(ctx)
	result := ok
	if err != nil {
		result = string(errors.SessionFailed)
		p.c.Log.WarnContext(ctx, "SSH login", slog.String("host", p.c.Name), slog.Any("error", err))
	}
	p.c.Audit("ssh/login", p.c.Name, result, "")
	return u, err
}

func (p *proxy) connect(ctx context.Context) (*upstream, error) {
	password, err := p.c.Password(ctx)
	if err != nil {
		return nil, errors.Because(err, errors.SessionFailed,
			"Airlock could not read its own password for the host %s; ask the provider to check where it is kept.", p.c.Name)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.c.Addr)
	if err != nil {
		return nil, errors.Because(err, errors.SessionFailed,
			"The SSH server of %s cannot be reached; check that SSH is switched on there, and try again.", p.c.Name)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	wrongKey, asked := false, false
	config := &ssh.ClientConfig{
		User:              p.c.User,
		ClientVersion:     "SSH-2.0-Airlock",
		HostKeyAlgorithms: algorithms(p.c.HostKey),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if wrongKey = !bytes.Equal(key.Marshal(), p.c.HostKey.Marshal()); wrongKey {
				return fmt.Errorf("host key is %s", ssh.FingerprintSHA256(key))
			}
			return nil
		},
		// Both ways carry the same password, which one host takes by one of them only: ask once, refusals are counted.
		Auth: []ssh.AuthMethod{
			ssh.PasswordCallback(func() (string, error) { asked = true; return password.Reveal(), nil }),
			ssh.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
				answers := make([]string, len(questions))
				for i := range questions {
					if asked || echos[i] {
						return nil, errors.New("the host asks for more than a password")
					}
					answers[i] = password.Reveal()
				}
				asked = asked || len(questions) > 0
				return answers, nil
			}),
		},
	}
	sc, channels, requests, err := ssh.NewClientConn(conn, p.c.Addr, config)
	if err != nil {
		_ = conn.Close()
		return nil, p.explain(err, wrongKey, asked)
	}
	u := &upstream{ssh.NewClient(sc, channels, requests), make(chan struct{})}
	go func() { _ = u.client.Wait(); close(u.gone) }() // ends with the connection; close waits for it
	return u, nil
}

// explain says in words for the user why the host was not entered. A refusal is final: tried again, it would lock
// the account (ESXi: five attempts).
func (p *proxy) explain(err error, wrongKey, asked bool) error {
	mismatch := (*ssh.AlgorithmNegotiationError)(nil)
	switch {
	case wrongKey, errors.As(err, &mismatch) && mismatch.What == "host key": // or a key of another kind
		return lazy.Final(errors.Because(err, errors.SessionFailed,
			"The host %s shows another SSH host key than the one that Airlock has for it; ask the provider to find out why and to update it.", p.c.Name))
	case asked:
		return lazy.Final(errors.Because(err, errors.SessionFailed,
			"The host %s refused Airlock's own SSH login; ask the provider to check the user and password that Airlock has for it.", p.c.Name))
	}
	return errors.Because(err, errors.SessionFailed, "No SSH login to %s came about; check that its SSH server works, and try again.", p.c.Name)
}

// algorithms are those in which a host can show the pinned key: without them it could choose another key of its own.
func algorithms(key ssh.PublicKey) []string {
	if key.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{key.Type()}
}
