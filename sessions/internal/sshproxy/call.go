package sshproxy

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/sessions/internal/sftpwatch"
)

// call is one session channel, to its end. It runs one thing: a command, a shell or SFTP.
type call struct {
	p        *proxy
	up, down ssh.Channel
	begun    chan struct{} // closed when the host runs it, or when it never will
	begin    func()        // closes begun
	asking   sync.Mutex    // held until an answer is passed on: the host of a short command closes right after it

	action, method string             // what runs; "" where nothing does
	watch          *sftpwatch.Session // of SFTP
	start          time.Time
	result         string // what the host said of its end
	sent, received atomic.Int64
	refusal        sync.Once
}

func newCall(p *proxy, up, down ssh.Channel) *call {
	c := &call{p: p, up: up, down: down, begun: make(chan struct{})}
	c.begin = sync.OnceFunc(func() { close(c.begun) })
	return c
}

// run copies data and requests both ways, and records what ran. It returns when the host has closed the channel and all
// that it said is passed on, or when the script has closed it.
func (c *call) run(requests, answers <-chan *ssh.Request) {
	var output, said, all sync.WaitGroup
	output.Go(func() { c.copy(c.down, c.up, &c.received, (*sftpwatch.Session).Answer) })
	output.Go(func() { c.copy(c.down.Stderr(), c.up.Stderr(), &c.received, nil) })
	said.Go(func() {
		output.Wait()
		_ = c.down.CloseWrite()
	})
	said.Go(func() {
		forward(answers, c.down, c.fromHost, new(sync.Mutex))
		c.asking.Lock()
		c.begin()
		c.asking.Unlock()
	})
	all.Go(func() {
		c.copy(c.up, c.down, &c.sent, (*sftpwatch.Session).Request)
		_ = c.up.CloseWrite()
	})
	all.Go(func() {
		forward(requests, c.up, c.fromScript, &c.asking)
		_ = c.up.Close() // the script has closed its end
		c.begin()
	})
	said.Wait()
	c.asking.Lock()
	_ = c.down.Close()
	c.asking.Unlock()
	all.Wait()
	c.record()
}

// buffers are of the size of some packets.
var buffers = sync.Pool{New: func() any { return new([128 << 10]byte) }}

// copy passes data on once something runs, and has the watch of an SFTP session see it first.
func (c *call) copy(to io.Writer, from io.Reader, count *atomic.Int64, see func(*sftpwatch.Session, []byte) error) {
	<-c.begun
	whole := buffers.Get().(*[128 << 10]byte)
	defer buffers.Put(whole)
	buf := whole[:]
	for {
		n, err := from.Read(buf)
		if n > 0 && c.watch != nil && see != nil {
			if no := see(c.watch, buf[:n]); no != nil {
				c.refuse(no)
				return
			}
		}
		if n > 0 {
			passed, no := to.Write(buf[:n])
			count.Add(int64(passed))
			if no != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// refuse ends an SFTP session that cannot be followed any more.
func (c *call) refuse(why error) {
	c.refusal.Do(func() {
		c.p.c.Audit(audit.Event{Action: "ssh/refused", Host: c.p.c.Name, Target: c.p.c.Name, Method: "sftp", Result: "sftp-form", Detail: why.Error()})
		_, _ = fmt.Fprintf(c.down.Stderr(), "Airlock ended this SFTP session, which it could not follow: %v. It takes version 3, as OpenSSH speaks it.\r\n", why)
		_ = c.up.Close()
	})
}

// record writes the event of what ran.
func (c *call) record() {
	if c.watch != nil {
		c.watch.End()
	}
	if c.action == "" {
		return
	}
	if c.result == "" {
		c.result = "cut" // by the script, the end of the grant, or a connection that broke
	}
	c.p.c.Audit(audit.Event{Action: c.action, Host: c.p.c.Name, Target: c.p.c.Name, Method: c.method, Result: c.result,
		Sent: c.sent.Load(), Received: c.received.Load(), Duration: time.Since(c.start)})
}

// recordOp writes the event of an SFTP operation.
func (c *call) recordOp(o sftpwatch.Op) {
	c.p.c.Audit(audit.Event{Action: "sftp/" + o.Name, Host: c.p.c.Name, Target: o.Path, Method: o.Name, Result: o.Result, Detail: o.Detail,
		Sent: o.Written, Received: o.Read, Duration: o.Duration})
}
