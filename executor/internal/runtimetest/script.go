package runtimetest

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sdk/wire"
)

// ScriptName is the path of the executable in the script's package.
const ScriptName = "script"

// Cmdlets are the cmdlets of the script, and of whatever takes its place for another runtime.
func Cmdlets() []manifest.Cmdlet {
	var all []manifest.Cmdlet
	for name := range cmdlets {
		all = append(all, manifest.Cmdlet{Name: name})
	}
	for i := range all {
		all[i].UpdatesSDDC = all[i].Name == "Update-Cloud"
	}
	return all
}

// Script is the program of a package: it speaks the wire protocol by hand, so that it can also break it.
func Script() {
	conn, err := net.FileConn(os.NewFile(wire.FD, "socket"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "script: no socket:", err)
		os.Exit(2)
	}
	s := &script{conn: conn, r: wire.NewReader(conn), w: bufio.NewWriterSize(conn, 64<<10), canceled: make(chan string, 1)}
	hello, _ := wire.Encode(wire.Hello{Protocols: []int{wire.Version}, SDK: "runtimetest"})
	s.frame(wire.KindHello, hello)
	s.flush()
	f, err := s.r.Next()
	if err != nil {
		os.Exit(2)
	}
	if s.start, err = wire.DecodeStart(f.Payload); err != nil {
		os.Exit(2)
	}
	go s.listen()
	cmdlet, ok := cmdlets[s.start.Cmdlet]
	if !ok {
		s.end("there is no cmdlet "+s.start.Cmdlet, nil)
	}
	cmdlet(s)
	s.end("", nil)
}

// script is the script's side of the conversation.
type script struct {
	conn     net.Conn
	r        *wire.Reader
	start    wire.Start
	canceled chan string // the reason
	left     int         // pid of a child

	mu sync.Mutex
	w  *bufio.Writer
}

func (s *script) listen() {
	for {
		f, err := s.r.Next()
		if err != nil {
			return
		}
		if f.Kind == wire.KindCancel {
			c, _ := wire.Decode[wire.Cancel](f.Payload)
			s.canceled <- c.Reason
		}
	}
}

func (s *script) frame(kind wire.Kind, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := wire.AppendFrame(nil, kind, payload)
	if err != nil {
		panic(err)
	}
	if _, err := s.w.Write(b); err != nil {
		os.Exit(2) // the host is gone
	}
}

func (s *script) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.w.Flush()
}

func (s *script) write(kind wire.Kind, text string) {
	s.frame(kind, []byte(text))
	s.flush()
}

func (s *script) set(name string, value *string) {
	change := wire.SecretChange{Name: name}
	if value != nil {
		v := secret.New(*value)
		change.Value = &v
	}
	payload, _ := wire.EncodeSecret(change)
	s.frame(wire.KindSecret, payload)
	s.flush()
}

func (s *script) end(failure string, outputs map[string]string) {
	payload, _ := wire.Encode(wire.End{Failure: failure, NamedOutputs: outputs})
	s.frame(wire.KindEnd, payload)
	s.flush()
	os.Exit(0)
}

func (s *script) arg(name string) string { return s.start.Parameters[name].Value }

func (s *script) number(name string) int {
	n, _ := strconv.Atoi(s.arg(name))
	return n
}

// log adds a line to the append-only file of the parameter Log.
func (s *script) log(what string) {
	f, err := os.OpenFile(s.arg("Log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		s.end("the log cannot be opened: "+err.Error(), nil)
	}
	fmt.Fprintf(f, "%s %s %s %d %d\n", what, s.start.SddcResourceID, s.start.ExecutionName, os.Getpid(), s.left)
	f.Close()
}

var cmdlets = map[string]func(*script){
	"Test-Nothing": func(*script) {},
	"Write-All": func(s *script) {
		for kind := wire.KindOutput; kind <= wire.KindError; kind++ {
			s.write(kind, fmt.Sprintf("stream %d", kind))
		}
		s.write(wire.KindProgress, "copying | 3 of 7")
		s.write(wire.KindProgress, "")
		s.write(wire.KindOutput, "")
		s.write(wire.KindOutput, "last")
		s.end("", map[string]string{"one": "1", "two": "zwei"})
	},
	"Write-Start": func(s *script) { // all it was told; secrets are revealed, as this is a test
		type shown struct {
			wire.Start
			Secrets, Secure map[string]string
			Token, Key      string
		}
		sh := shown{s.start, map[string]string{}, map[string]string{}, s.start.Grant.Token.Reveal(), s.start.Grant.Key.Reveal()}
		for name, v := range s.start.Secrets {
			sh.Secrets[name] = v.Reveal()
		}
		for name, a := range s.start.Parameters {
			sh.Secure[name] = a.Secret.Reveal()
		}
		text, _ := json.Marshal(sh)
		s.write(wire.KindOutput, string(text))
	},
	"Write-Plain": func(s *script) {
		fmt.Print("one\ntwo\r\n\n" + strings.Repeat("ä", 1<<20) + "\nunfinished")
		fmt.Fprint(os.Stderr, "an error\n")
	},
	"Write-Lines": func(s *script) { // Count lines over the four streams from four goroutines
		var all sync.WaitGroup
		for kind := wire.KindOutput; kind <= wire.KindError; kind++ {
			all.Go(func() {
				for i := range s.number("Count") / 4 {
					s.frame(kind, fmt.Appendf(nil, "line %d of stream %d", i, kind))
				}
			})
		}
		all.Wait()
	},
	"Write-Invalid": func(s *script) { s.write(wire.KindOutput, "a\xffb\x00c\xe2\x82") },
	"Write-Secret":  writeSecret,
	"Set-Secrets": func(s *script) {
		v := s.arg("Value")
		s.set("made-by-script", &v)
		s.set("removed", nil)
	},
	"Set-Late": func(s *script) { // shows a secret before Airlock knows it; it comes in halves, as what is no secret yet
		v := s.arg("Half") + s.arg("Rest")
		for i := range 2000 {
			s.write(wire.KindOutput, fmt.Sprintf("%d: it will be %s", i, v))
		}
		s.write(wire.KindWarning, v[:len(v)/2])
		time.Sleep(150 * time.Millisecond) // for the host to store it
		s.write(wire.KindWarning, v[len(v)/2:])
		s.set("late", &v)
		s.write(wire.KindOutput, "and is "+v)
	},
	"Set-Named": func(s *script) {
		v := s.arg("Value")
		s.set(s.arg("Name"), &v)
	},
	"Set-Big": func(s *script) {
		s.end("", map[string]string{"big": strings.Repeat("x", s.number("Count"))})
	},
	"Set-Leak": func(s *script) { // named outputs and a failure that show a secret
		v := s.start.Parameters["Secret"].Secret.Reveal()
		if s.arg("Fail") != "" {
			s.end("it failed with "+v+"\nsecond line", nil)
		}
		s.end("", map[string]string{"leak": "it is " + v, "b64": base64.StdEncoding.EncodeToString([]byte(v))})
	},
	"Stop-Failing": func(s *script) {
		v := "kept-by-nobody"
		s.set("failing", &v)
		s.write(wire.KindError, "about to fail")
		s.end("The disk is too small.", map[string]string{"kept": "no"})
	},
	"Stop-Hard":    func(s *script) { s.write(wire.KindOutput, "before the end"); os.Exit(3) },
	"Stop-Killed":  func(*script) { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); forever() },
	"Update-Cloud": func(s *script) { s.waitFor() },
	"Wait-Cancel": func(s *script) { // ends well when it is asked to end
		s.write(wire.KindOutput, "ready")
		s.write(wire.KindOutput, "asked: "+<-s.canceled)
		v := "kept-by-nobody"
		s.set("canceled", &v)
		s.end("", map[string]string{"kept": "no"})
	},
	"Wait-Forever": func(s *script) { s.write(wire.KindOutput, "ready"); forever() },
	"Write-Flood": func(s *script) {
		for line := strings.Repeat("flood ", 20); ; {
			s.frame(wire.KindOutput, []byte(line))
		}
	},
	"Start-Children": func(s *script) {
		for _, kind := range []string{"same", "group", "session", "daemon"} {
			s.child(kind)
		}
		s.write(wire.KindOutput, "ready")
		if s.arg("Wait") != "" {
			forever()
		}
	},
	"Write-Log": func(s *script) { // start and end in an append-only file; in between it waits
		s.log("start")
		s.waitFor()
		s.log("end")
	},
	"Write-LogAndSecret": func(s *script) { // the same with a child that stays, and a secret with the execution's name
		s.child("same")
		s.log("start")
		s.set(s.start.ExecutionName, &s.start.ExecutionID)
		s.waitFor()
		s.log("end")
	},
	"Close-Socket": func(s *script) { s.conn.Close(); _ = syscall.Close(wire.FD); forever() },
	"Break-Kind":   func(s *script) { s.raw([]byte{0, 0, 0, 1, 0x7f}) },
	"Break-Place":  func(s *script) { s.raw([]byte{0, 0, 0, 3, byte(wire.KindHello), '{', '}'}) },
	"Break-Size":   func(s *script) { s.raw([]byte{0xff, 0xff, 0xff, 0xff, byte(wire.KindOutput)}) },
	"Break-End":    func(s *script) { s.raw([]byte{0, 0, 0, 2, byte(wire.KindEnd), '['}) },
	"Break-Secret": func(s *script) { s.raw([]byte{0, 0, 0, 2, byte(wire.KindSecret), '['}) },
}

// forever waits: unlike an empty select it is no deadlock to Go's runtime where nothing else goes on.
func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

func (s *script) raw(b []byte) {
	_, _ = s.conn.Write(b)
	forever()
}

// waitFor waits until the file of the parameter Until is there, at most ten seconds; or Milliseconds.
func (s *script) waitFor() {
	time.Sleep(time.Duration(s.number("Milliseconds")) * time.Millisecond)
	for deadline := time.Now().Add(10 * time.Second); s.arg("Until") != "" && time.Now().Before(deadline); {
		if _, err := os.Stat(s.arg("Until")); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// child leaves a process that holds all descriptors open. A daemon has left all else behind.
func (s *script) child(kind string) {
	c := exec.Command("/bin/sleep", "1000")
	c.SysProcAttr = &syscall.SysProcAttr{}
	switch kind {
	case "group":
		c.SysProcAttr.Setpgid = true
	case "session":
		c.SysProcAttr.Setsid = true
	case "daemon":
		c.SysProcAttr.Setsid = true
		c.Env, c.Dir = []string{"A=1"}, "/"
	}
	c.Stdout, c.Stderr, c.ExtraFiles = os.Stdout, os.Stderr, []*os.File{os.NewFile(wire.FD, "socket")}
	if err := c.Start(); err != nil {
		s.end(err.Error(), nil)
	}
	s.left = c.Process.Pid
	s.write(wire.KindInformation, fmt.Sprintf("%s %d", kind, s.left))
}

// writeSecret shows what it must not show, in every way that a script might.
func writeSecret(s *script) {
	values := map[string]string{"parameter": s.start.Parameters["Secret"].Secret.Reveal(), "token": s.start.Grant.Token.Reveal(), "key": s.start.Grant.Key.Reveal()}
	for name, v := range s.start.Secrets {
		values[name] = v.Reveal()
	}
	for name, v := range values {
		s.write(wire.KindOutput, name+" is "+v+".")
		s.write(wire.KindInformation, base64.StdEncoding.EncodeToString([]byte("user:"+v)))
		quoted, _ := json.Marshal(map[string]string{name: v})
		s.write(wire.KindInformation, string(quoted))
		s.write(wire.KindWarning, v[:len(v)/2])
		s.write(wire.KindOutput, "another stream between")
		s.write(wire.KindWarning, v[len(v)/2:])
		for _, r := range v {
			s.write(wire.KindError, string(r))
		}
		fmt.Println("plain", v)
		fmt.Fprintln(os.Stderr, v)
	}
}
