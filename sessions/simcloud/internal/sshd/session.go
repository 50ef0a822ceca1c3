package sshd

import (
	"io"
	"sync"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// session answers the requests on one session channel (RFC 4254, section 6). A channel runs one thing only: a
// command, a shell or SFTP.
func (s *Server) session(ch ssh.Channel, reqs <-chan *ssh.Request) {
	var running sync.WaitGroup
	defer running.Wait()
	defer ch.Close()

	pty, started := false, false
	for r := range reqs {
		var run func() int
		switch r.Type {
		case "pty-req":
			pty = !started
			_ = r.Reply(pty, nil)
			continue
		case "window-change":
			_ = r.Reply(true, nil)
			continue
		case "exec":
			run = s.execution(ch, r.Payload, pty)
		case "shell":
			run = func() int { return s.shell(ch, pty).interact() }
		case "subsystem":
			run = s.subsystem(ch, r.Payload)
		}
		ok := run != nil && !started
		_ = r.Reply(ok, nil)
		if !ok {
			continue
		}
		started = true
		running.Go(func() {
			status := run()
			_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
			_ = ch.Close()
		})
	}
}

// execution makes what runs one command line; nil for a request that does not scan.
func (s *Server) execution(ch ssh.Channel, payload []byte, pty bool) func() int {
	var req struct{ Command string }
	if ssh.Unmarshal(payload, &req) != nil {
		return nil
	}
	return func() int {
		sh := s.shell(ch, pty)
		sh.in = ch
		status, _ := sh.run(req.Command)
		return status
	}
}

// subsystem makes what serves SFTP; nil for any other subsystem.
func (s *Server) subsystem(ch ssh.Channel, payload []byte) func() int {
	var req struct{ Name string }
	if ssh.Unmarshal(payload, &req) != nil || req.Name != "sftp" {
		return nil
	}
	return func() int {
		t := tree{s.host.Root}
		server := sftp.NewRequestServer(stays{ch}, sftp.Handlers{FileGet: t, FilePut: t, FileCmd: t, FileList: t})
		defer server.Close()
		if err := server.Serve(); err != nil && err != io.EOF {
			return 1
		}
		return 0
	}
}

// shell makes a shell on the channel. With a terminal, lines end with CR LF and errors go the way of all output.
func (s *Server) shell(ch ssh.Channel, pty bool) *shell {
	sh := &shell{host: s.host, booted: s.booted, in: eof{}, out: ch, err: ch.Stderr(), files: tree{s.host.Root}}
	if pty {
		sh.terminal = ch
		sh.out = crlf{ch}
		sh.err = sh.out
	} else {
		sh.lines = ch
	}
	return sh
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// stays is a channel that is not closed by who reads and writes it: the exit status is still to be sent.
type stays struct{ io.ReadWriter }

func (stays) Close() error { return nil }
