package sshproxy

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/sessions/internal/sftpwatch"
)

// forward has judge send each request that may pass to the other side, and its answer back, until requests is closed. It
// holds asking from one to the other.
func forward(requests <-chan *ssh.Request, to ssh.Channel, judge func(*ssh.Request, ssh.Channel) bool, asking *sync.Mutex) {
	for r := range requests {
		asking.Lock()
		done := judge(r, to)
		if r.WantReply {
			_ = r.Reply(done, nil)
		}
		asking.Unlock()
	}
}

func send(r *ssh.Request, to ssh.Channel) bool {
	done, _ := to.SendRequest(r.Type, r.WantReply, r.Payload)
	return done
}

// fromHost passes on what a host may tell a script, and notes how what runs has ended (RFC 4254, 6.10; eow is OpenSSH's).
func (c *call) fromHost(r *ssh.Request, to ssh.Channel) bool {
	switch r.Type {
	case "exit-status":
		var m struct{ Status uint32 }
		if ssh.Unmarshal(r.Payload, &m) != nil {
			return false
		}
		c.result = ok
		if m.Status != 0 {
			c.result = fmt.Sprintf("exit-%d", m.Status)
		}
	case "exit-signal":
		var m struct {
			Signal     string
			CoreDumped bool
			Error      string
			Lang       string
		}
		if ssh.Unmarshal(r.Payload, &m) != nil {
			return false
		}
		c.result = "signal-" + label(m.Signal)
	case "eow@openssh.com":
	default:
		return false
	}
	return send(r, to)
}

// fromScript passes on what a script may ask of a host (RFC 4254, 6.2 to 6.9), and notes what begins to run.
func (c *call) fromScript(r *ssh.Request, to ssh.Channel) bool {
	switch r.Type {
	case "env", "pty-req", "window-change", "signal", "break", "eow@openssh.com":
		return send(r, to)
	}
	action, method := runs(r)
	refused := audit.Event{Action: "ssh/refused", Host: c.p.c.Name, Target: c.p.c.Name, Method: method, Result: label(r.Type)}
	if action == "" || c.action != "" { // a channel runs one thing
		c.p.c.Audit(refused)
		return false
	}
	start := time.Now()
	if done, _ := to.SendRequest(r.Type, true, r.Payload); !done {
		refused.Action, refused.Result = action, "refused-by-host"
		c.p.c.Audit(refused)
		return false
	}
	c.action, c.method, c.start = action, method, start
	if action == "ssh/sftp" {
		c.watch = sftpwatch.New(c.recordOp)
	}
	c.begin()
	return true
}

// runs says for the audit what a request runs; "" where it may not.
func runs(r *ssh.Request) (action, method string) {
	var m struct{ Text string }
	switch r.Type {
	case "shell":
		return "ssh/shell", "shell"
	case "exec":
		if ssh.Unmarshal(r.Payload, &m) == nil {
			return "ssh/exec", program(m.Text)
		}
	case "subsystem":
		if ssh.Unmarshal(r.Payload, &m) == nil && m.Text == "sftp" {
			return "ssh/sftp", "sftp"
		}
	}
	return "", ""
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
