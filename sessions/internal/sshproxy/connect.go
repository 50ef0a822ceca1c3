package sshproxy

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions/internal/wide"
)

// Bounds of waiting for a host.
const (
	loginTime = 15 * time.Second
	aliveTime = 10 * time.Second // from one question whether it is there to the next
	hangTime  = 30 * time.Second // without a byte from it
)

// upstream is Airlock's own connection to the host. It breaks when the host hangs.
type upstream struct {
	client *ssh.Client
	gone   chan struct{} // closed when the connection has ended
}

func newUpstream(client *ssh.Client) *upstream {
	u := &upstream{client, make(chan struct{})}
	ended := make(chan struct{})
	go func() { _ = client.Wait(); close(ended) }() // these two end with the connection; close waits for them
	go func() {
		defer close(u.gone)
		u.ask(ended)
	}()
	return u
}

// ask has the host answer from time to time. What it answers does not matter.
func (u *upstream) ask(ended <-chan struct{}) {
	tick := time.NewTicker(aliveTime)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			_, _, _ = u.client.SendRequest("keepalive@openssh.com", true, nil)
		}
	}
}

// lively is a connection that fails when nothing has come for hangTime.
type lively struct{ net.Conn }

func (l lively) Read(p []byte) (int, error) {
	if err := l.SetReadDeadline(time.Now().Add(hangTime)); err != nil {
		return 0, err
	}
	return l.Conn.Read(p)
}

func (u *upstream) close() {
	_ = u.client.Close()
	<-u.gone
}

// stage is how far a login came that failed.
type stage int

const (
	stageCredential stage = iota + 1 // the password or key could not be read
	stageDial
	stageHandshake
	stageHostKey // the host's key is another one
	stageLogin   // the host refused the user
)

// failure is why there is no connection.
type failure struct {
	stage stage
	cause error
}

// attempt is one login under way, or what has become of it.
type attempt struct {
	Host
	asked bool          // for the password or key
	shown ssh.PublicKey // the host's key, nil where it showed none
	known ssh.PublicKey // the one that Airlock has, nil where it has none
	other bool          // they differ
}

// connect connects to the host and logs in, until ctx ends.
func (a *attempt) connect(ctx context.Context) (*upstream, *failure) {
	a.known = a.HostKey
	auth, err := a.auth(ctx)
	if err != nil {
		return nil, &failure{stageCredential, err}
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", a.Addr)
	if err != nil {
		return nil, &failure{stageDial, err}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	fast := wide.Conn(lively{conn})
	sc, channels, requests, err := ssh.NewClientConn(fast, a.Addr, &ssh.ClientConfig{
		User:              a.User,
		ClientVersion:     "SSH-2.0-Airlock",
		HostKeyAlgorithms: algorithms(a.known),
		HostKeyCallback:   func(_ string, _ net.Addr, key ssh.PublicKey) error { return a.verify(ctx, key) },
		Auth:              auth,
	})
	if err == nil {
		return newUpstream(ssh.NewClient(sc, channels, requests)), nil
	}
	_ = fast.Close()
	mismatch := (*ssh.AlgorithmNegotiationError)(nil)
	switch {
	case a.other, errors.As(err, &mismatch) && mismatch.What == "host key": // or a key of another kind
		return nil, &failure{stageHostKey, err}
	case a.asked:
		return nil, &failure{stageLogin, err}
	}
	return nil, &failure{stageHandshake, err}
}

// verify takes the key that is known and no other, or has the first one kept.
func (a *attempt) verify(ctx context.Context, key ssh.PublicKey) (err error) {
	a.shown = key
	if a.known == nil {
		if a.known, err = a.Learn(ctx, key); err != nil {
			return err
		}
	}
	if a.other = !bytes.Equal(key.Marshal(), a.known.Marshal()); a.other {
		return fmt.Errorf("host key is %s", ssh.FingerprintSHA256(key))
	}
	return nil
}

// auth reads the password or the key. Both ways of a password carry the same one, which one host takes by one of them
// only: it is given once, because refusals are counted.
func (a *attempt) auth(ctx context.Context) ([]ssh.AuthMethod, error) {
	if a.Signer != nil {
		signer, err := a.Signer(ctx)
		return []ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			a.asked = true
			return []ssh.Signer{signer}, nil
		})}, err
	}
	password, err := a.Password(ctx)
	return []ssh.AuthMethod{
		ssh.PasswordCallback(func() (string, error) { a.asked = true; return password.Reveal(), nil }),
		ssh.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
			return a.answers(password, questions, echos)
		}),
	}, err
}

func (a *attempt) answers(password secret.Text, questions []string, echos []bool) ([]string, error) {
	answers := make([]string, len(questions))
	for i := range questions {
		if a.asked || echos[i] {
			return nil, errors.New("the host asks for more than a password")
		}
		answers[i] = password.Reveal()
	}
	a.asked = a.asked || len(questions) > 0
	return answers, nil
}

// algorithms are those in which a host can show the known key: without them it could choose another key of its own.
// Where none is known it shows the one that it would show first.
func algorithms(key ssh.PublicKey) []string {
	switch {
	case key == nil:
		return nil
	case key.Type() == ssh.KeyAlgoRSA:
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{key.Type()}
}
