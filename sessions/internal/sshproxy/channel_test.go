package sshproxy

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/audit"
)

// asked is a channel that a script wants, and counts its refusal.
type asked struct {
	ssh.NewChannel
	refused *atomic.Int32
}

func (asked) ChannelType() string { return "session" }

func (a asked) Reject(ssh.RejectionReason, string) error { a.refused.Add(1); return nil }

// Of a flood of channels a few wait for their turn; the others are refused at once and gather no goroutines.
func TestFewChannelsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProxy(Config{Audit: func(audit.Event) {}})
		for range maxChannels {
			p.slots <- struct{}{}
			p.sessions <- struct{}{}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var refused atomic.Int32
		channels := make(chan ssh.NewChannel)
		var open, work sync.WaitGroup
		open.Go(func() { p.open(ctx, channels, &work) })
		for range 1000 {
			channels <- asked{refused: &refused}
		}
		close(channels)
		open.Wait()
		if n := refused.Load(); n != 1000-maxWaiting {
			t.Errorf("%d of 1000 channels are refused at once; want all but %d", n, maxWaiting)
		}
		cancel()
		work.Wait()
	})
}

func TestAuditKeepsTheProgramOnly(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{
		"uname -a":                          "uname",
		"  /bin/esxcli network ip":          "/bin/esxcli",
		"PASSWORD=secret run":               "(not kept)",
		"'my tool' x":                       "(not kept)",
		"echo\tsecret":                      "(not kept)",
		"echo>secret":                       "(not kept)",
		"":                                  "(not kept)",
		"a;secret":                          "(not kept)",
		string(make([]byte, 100)):           "(not kept)",
		"x" + string(make([]byte, 1)) + "y": "(not kept)",
	} {
		if got := program(command); got != want {
			t.Errorf("program(%q) = %q; want %q", command, got, want)
		}
	}
}
