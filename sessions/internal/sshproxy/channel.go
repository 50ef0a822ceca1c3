package sshproxy

import (
	"context"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/audit"
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
	p.pass(up, down, requests, answers)
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

// pass copies data and requests both ways. It returns when the host has closed the channel and all that it said is
// passed on, or when the script has closed it.
func (p *proxy) pass(up, down ssh.Channel, requests, answers <-chan *ssh.Request) {
	var output, said, all sync.WaitGroup
	output.Go(func() { _, _ = io.Copy(down, up) })
	output.Go(func() { _, _ = io.Copy(down.Stderr(), up.Stderr()) })
	said.Go(func() {
		output.Wait()
		_ = down.CloseWrite()
	})
	said.Go(func() { forward(answers, down, fromHost, new(sync.Mutex)) })
	all.Go(func() {
		_, _ = io.Copy(up, down)
		_ = up.CloseWrite()
	})
	var asking sync.Mutex // held until an answer is passed on: the host of a short command closes right after it
	all.Go(func() {
		forward(requests, up, p.fromScript, &asking)
		_ = up.Close() // the script has closed its end
	})
	said.Wait()
	asking.Lock()
	_ = down.Close()
	asking.Unlock()
	all.Wait()
}

// forward sends each request that may pass to the other side, and its answer back, until requests is closed. It holds
// asking from one to the other.
func forward(requests <-chan *ssh.Request, to ssh.Channel, may func(*ssh.Request) bool, asking *sync.Mutex) {
	for r := range requests {
		asking.Lock()
		done := false
		if may(r) {
			done, _ = to.SendRequest(r.Type, r.WantReply, r.Payload)
		}
		if r.WantReply {
			_ = r.Reply(done, nil)
		}
		asking.Unlock()
	}
}

// fromHost says what a host may tell a script (RFC 4254, 6.10; eow is OpenSSH's).
func fromHost(r *ssh.Request) bool {
	switch r.Type {
	case "exit-status", "exit-signal", "eow@openssh.com":
		return true
	}
	return false
}

// fromScript says what a script may ask of a host, and records what runs there (RFC 4254, 6.2 to 6.9).
func (p *proxy) fromScript(r *ssh.Request) bool {
	switch r.Type {
	case "env", "pty-req", "window-change", "signal", "break", "eow@openssh.com":
		return true
	case "shell":
		p.c.Audit(audit.Event{Action: "ssh/shell", Target: p.c.Name, Result: ok})
		return true
	case "exec":
		var m struct{ Command string }
		if ssh.Unmarshal(r.Payload, &m) != nil {
			return false
		}
		p.c.Audit(audit.Event{Action: "ssh/exec", Target: p.c.Name, Result: ok, Detail: program(m.Command)})
		return true
	case "subsystem":
		var m struct{ Name string }
		if ssh.Unmarshal(r.Payload, &m) == nil && m.Name == "sftp" {
			p.c.Audit(audit.Event{Action: "ssh/sftp", Target: p.c.Name, Result: ok})
			return true
		}
	}
	p.c.Audit(audit.Event{Action: "ssh/refused", Target: p.c.Name, Result: label(r.Type)})
	return false
}

var programForm = regexp.MustCompile(`^[A-Za-z0-9_./+-]{1,64}$`)

// program is the part of a command that the audit keeps: the first word, if it looks like the name of a program. The
// rest may hold secrets, and so may a word such as PASSWORD=x.
func program(command string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(command), " ")
	if !programForm.MatchString(word) {
		return "(not kept)"
	}
	return word
}
