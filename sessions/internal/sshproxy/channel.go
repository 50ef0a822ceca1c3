package sshproxy

import (
	"context"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/errors"
)

// session passes one session channel on until either side closes it.
func (p *proxy) session(ctx context.Context, nc ssh.NewChannel) {
	if !p.takeSlot(ctx) {
		p.refuseChannel(nc)
		return
	}
	defer func() { <-p.slots }()
	up, answers, err := p.channel(ctx)
	if err != nil {
		_ = nc.Reject(ssh.ConnectionFailed, errors.For(err, "session").Message)
		return
	}
	defer up.Close()
	down, requests, err := nc.Accept()
	if err != nil {
		go ssh.DiscardRequests(answers) // ends with the channel
		return
	}
	defer down.Close()
	newCall(p, up, down).run(requests, answers)
}

func (p *proxy) takeSlot(ctx context.Context) bool {
	select {
	case p.slots <- struct{}{}:
		return true
	default:
	}
	wait := time.NewTimer(slotTime)
	defer wait.Stop()
	select {
	case p.slots <- struct{}{}:
		return true
	case <-wait.C:
	case <-ctx.Done():
	}
	return false
}
