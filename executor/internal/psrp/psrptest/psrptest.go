// Package psrptest is the server's end of PowerShell's remoting protocol over two pipes, for tests of the client and of
// what stands on it: it opens the pool, acknowledges lines, joins fragments, exchanges the session key, and gives each
// pipeline to a function, which answers as the test wants PowerShell to. It runs nothing.
//
// It shares no code with the client but the values of clixml, so that an error of one end is not made good by the same
// error of the other. What it does, and in which order, is what a real pwsh 7.6.5 was seen to do (Recordings).
package psrptest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
)

// Server is one end of a conversation.
type Server struct {
	// Version is what it says that PowerShell's is: "7.6.5" when "".
	Version string
	// Run is what becomes of a pipeline: it writes, and then ends it or not. One runs at a time, in the order in which
	// they came, each in a goroutine of its own. It has to return when the pipeline is Gone.
	Run func(*Pipeline)

	out  sync.Mutex
	w    io.Writer
	sent uint64 // messages
	pool uuid.UUID
	key  sessionKey

	turn      sync.Mutex // of the pipeline that runs
	pipelines map[uuid.UUID]*Pipeline
	gone      chan struct{} // closed when the client says nothing more
}

// Serve speaks with a client, whose standard output is in and whose standard input is out, and returns when that says
// nothing more: io.EOF, or what was wrong with what it said. By then nothing runs any more.
func (s *Server) Serve(in io.Reader, out io.Writer) error {
	s.w, s.pipelines, s.gone = out, map[uuid.UUID]*Pipeline{}, make(chan struct{})
	var running sync.WaitGroup
	defer running.Wait()
	defer close(s.gone)
	lines, pool := bufio.NewReaderSize(in, 64<<10), joiner{}
	for {
		raw, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		l, err := parseLine(raw)
		if err != nil {
			return err
		}
		p := s.pipelines[l.id]
		switch {
		case l.verb == "Command":
			s.pipelines[l.id] = &Pipeline{server: s, id: l.id, stopped: make(chan struct{})}
		case l.verb == "Data" && l.id == uuid.Nil:
			err = pool.add(l.data, s.message)
		case l.verb == "Data" && p != nil:
			err = p.joined.add(l.data, func(m message) error { return p.begin(m, &running) })
		case l.verb == "Signal" && p != nil:
			p.stop()
		case l.verb == "Close" && p != nil:
			p.stop()
			delete(s.pipelines, l.id)
		}
		if err != nil {
			return err
		}
		s.line(line{verb: l.verb + "Ack", id: l.id})
	}
}

// message takes a message of the pool.
func (s *Server) message(m message) error {
	switch m.kind {
	case sessionCapability:
		return nil
	case initRunspacePool:
		s.pool = m.pool
		s.open()
		return nil
	case publicKey:
		sealed, err := s.key.make(m.value.Get("PublicKey").Str())
		if err == nil {
			s.send(uuid.Nil, encryptedSessionKey, clixml.Object(prop("EncryptedSessionKey", clixml.Text(sealed))))
		}
		return err
	}
	return fmt.Errorf("psrptest: the pool got a message of the kind %08x", uint32(m.kind))
}

// open says that the pool is open.
func (s *Server) open() {
	version := s.Version
	if version == "" {
		version = "7.6.5"
	}
	s.send(uuid.Nil, sessionCapability, clixml.Object(prop("protocolversion", clixml.Primitive("Version", "2.3")),
		prop("PSVersion", clixml.Primitive("Version", "2.0")), prop("SerializationVersion", clixml.Primitive("Version", "1.1.0.1"))))
	table := clixml.Table(clixml.Pair{Key: clixml.Text("PSVersion"), Value: clixml.Primitive("Version", version)},
		clixml.Pair{Key: clixml.Text("PSEdition"), Value: clixml.Text("Core")})
	s.send(uuid.Nil, applicationPrivateData, clixml.Object(prop("ApplicationPrivateData", clixml.Table(
		clixml.Pair{Key: clixml.Text("PSVersionTable"), Value: table}))))
	s.send(uuid.Nil, runspacePoolState, clixml.Object(prop("RunspaceState", clixml.Primitive("I32", "2"))))
}

// send sends a message to the client. It cannot fail: a client that does not listen any more does not speak either.
func (s *Server) send(pipeline uuid.UUID, k kind, v *clixml.Value) {
	s.out.Lock()
	defer s.out.Unlock()
	s.sent++
	for _, f := range fragments(s.sent, message{k, s.pool, pipeline, v}.encode()) {
		_, _ = s.w.Write(line{verb: "Data", id: pipeline, data: f}.encode())
	}
}

func (s *Server) line(l line) { s.raw(l.encode()) }

func (s *Server) raw(b []byte) {
	s.out.Lock()
	defer s.out.Unlock()
	_, _ = s.w.Write(b)
}

// Seal is a SecureString to the client, which must have exchanged keys.
func (s *Server) Seal(text string) (*clixml.Value, error) { return s.key.seal(text) }

// Reveal reads a SecureString of the client's.
func (s *Server) Reveal(v *clixml.Value) (string, error) {
	if v == nil || v.Tag != "SS" {
		return "", errors.New("psrptest: not a SecureString")
	}
	return s.key.reveal(v.Text)
}

// SetKey makes the session key a certain one, in place of a random one. It is called before the client exchanges keys.
func (s *Server) SetKey(key []byte) { s.key.key = key }

// Argument is an argument of a cmdlet that a client can compare: without references and secrets.
type Argument struct {
	Name string
	Kind string // of the value: the tag of a primitive, or PSCredential
	Text string // of a secret what is in it
	User string // of a PSCredential
}

// Argument reads an argument of the client's. Of objects there are only PSCredentials.
func (s *Server) Argument(p Parameter) (a Argument, err error) {
	a = Argument{Name: p.Name, Kind: p.Value.Tag, Text: p.Value.Str()}
	switch {
	case a.Kind == "SS":
		a.Text, err = s.Reveal(p.Value)
	case p.Value.Is("System.Management.Automation.PSCredential"):
		a.Kind, a.User = "PSCredential", p.Value.Get("UserName").Str()
		a.Text, err = s.Reveal(p.Value.Get("Password"))
	case a.Kind == "Obj":
		err = fmt.Errorf("psrptest: the argument %s is an object of the types %q", p.Name, p.Value.Types)
	}
	return a, err
}

func prop(name string, v *clixml.Value) clixml.Property { return clixml.Property{Name: name, Value: v} }
