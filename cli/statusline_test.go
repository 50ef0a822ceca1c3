package cli

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// screen is a terminal on which a command runs.
type screen struct {
	tty  *os.File // for the command
	seen *lockedBuffer
	more chan struct{} // after each write, as far as somebody listens
	over chan struct{} // when the command has closed it
}

func newScreen(t *testing.T) *screen {
	t.Helper()
	other, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("this machine has no terminals for tests:", err)
	}
	number, err := unix.IoctlGetUint32(int(other.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(other.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{seen: new(lockedBuffer), more: make(chan struct{}, 1), over: make(chan struct{})}
	if s.tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.over)
		defer other.Close()
		_, _ = io.Copy(s, other) // until EIO, when nobody has the terminal open any more
	}()
	return s
}

func (s *screen) Write(b []byte) (int, error) {
	n, err := s.seen.Write(b)
	select {
	case s.more <- struct{}{}:
	default:
	}
	return n, err
}

// until waits until the screen has shown what matches.
func (s *screen) until(t *testing.T, pattern *regexp.Regexp) {
	t.Helper()
	for !pattern.MatchString(s.seen.String()) {
		select {
		case <-s.more:
		case <-s.over:
			t.Fatalf("the command has ended without %s:\n%q", pattern, s.seen)
		}
	}
}

// How far a script is shows on a terminal only, in a line that nothing is left of.
func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	p := serveDev(t, stateDir(t), "--package", nupkg(t, "inventory"))
	env := map[string]string{"AIRLOCK_ENDPOINT": p.endpoint, "AIRLOCK_TOKEN": p.token, "AIRLOCK_CA": p.dir + "/ca.pem", "AIRLOCK_PRIVATE_CLOUD": cloudPath(1)}
	var running sync.WaitGroup
	start := func(stdout, stderr io.Writer, args ...string) {
		running.Go(func() {
			a := &app{stdin: strings.NewReader(""), stdout: stdout, stderr: stderr, getenv: func(name string) string { return env[name] }}
			run(t.Context(), a, append([]string{"script-execution"}, args...))
			for _, w := range []io.Writer{stdout, stderr} {
				if tty, ok := w.(*os.File); ok {
					_ = tty.Close() // the second time fails
				}
			}
		})
	}
	created, waiting, logs, json, piped := newScreen(t), newScreen(t), newScreen(t), newScreen(t), newScreen(t)
	start(created.tty, created.tty, "create", "-n", "x", "--script-cmdlet-id", "Airlock.Examples.Inventory@1.*/Start-Sleep", "--parameter", "Seconds=3600")
	created.until(t, regexp.MustCompile("sleeping for 3600 s"))
	file := new(lockedBuffer)
	start(json.tty, json.tty, "logs", "-n", "x", "--follow", "--output", "json")
	start(file, piped.tty, "logs", "-n", "x", "--follow")
	json.until(t, regexp.MustCompile("sleeping for 3600 s"))
	start(waiting.tty, waiting.tty, "wait", "-n", "x")
	start(logs.tty, logs.tty, "logs", "-n", "x", "--follow")
	line := regexp.MustCompile(`\r\x1b\[\?7lslept \d+ of 3600 s\x1b\[K\x1b\[\?7h`)
	for _, s := range []*screen{created, waiting, logs} {
		s.until(t, line)
	}
	if _, err := p.do(t.Context(), http.MethodPost, cloudPath(1)+"/scriptExecutions/x/cancel", nil, nil); err != nil {
		t.Fatal(err)
	}
	running.Wait()
	for name, s := range map[string]*screen{"create": created, "wait": waiting, "logs": logs} {
		<-s.over
		left := line.ReplaceAllString(s.seen.String(), "\x00") // 0 where the line is
		for _, part := range strings.Split(left, "\x00")[1:] {
			if part != "" && !strings.HasPrefix(part, "\r\x1b[K") {
				t.Errorf("%s: the line is not taken away before %q", name, part)
			}
		}
		if strings.Contains(left, "slept") || name != "wait" && !strings.Contains(left, "asked to end") {
			t.Errorf("%s: the screen has %q", name, left)
		}
	}
	<-json.over
	<-piped.over
	for name, text := range map[string]string{"json": json.seen.String(), "a file": file.String(), "beside a file": piped.seen.String()} {
		if strings.Contains(text, "slept") || strings.Contains(text, "\x1b") {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// A script's words cannot write elsewhere on the terminal.
func TestStatusLineIsHarmless(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	l := &statusLine{w: &out}
	l.show("a\x1b[2J\nb\tc\u202e")
	l.show("a\x1b[2J\nb\tc\u202e")
	l.show("")
	l.show("")
	l.hide()
	if want := "\r\x1b[?7l" + `a\x1b[2J b c\u202e` + "\x1b[K\x1b[?7h\r\x1b[K"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
