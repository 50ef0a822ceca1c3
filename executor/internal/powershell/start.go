package powershell

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/executor/internal/psrp"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// DefaultStartup bounds how long PowerShell takes until it answers. It takes 200 ms on a quiet machine.
const DefaultStartup = 30 * time.Second

// open waits until PowerShell has started.
func (c *conversation) open(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, c.startup)
	defer cancel()
	c.first.begin(cancel)
	err := c.client.Open(bounded)
	switch {
	case errors.Is(err, psrp.ErrEnded):
		return err
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil && c.first.noisy():
		return c.install.broken(err, "speaks something else than PowerShell's remoting protocol"+c.first.quoted())
	case err != nil:
		return c.install.broken(err, fmt.Sprintf("did not answer within %v%s", c.startup, c.first.quoted()))
	}
	c.first.end()
	return c.install.suits(c.client.Version())
}

// The oldest version that is accepted, and the one that was tried.
const (
	oldest = "7.4"
	tried  = "7.6"
)

// suits says whether a version is one that can be used.
func (i Install) suits(version string) error {
	switch n, is := number(version); {
	case version == "":
		return i.broken(nil, fmt.Sprintf("does not say which version it is, and has to be %s or newer", oldest))
	case !is || n < 7_04:
		return i.broken(nil, fmt.Sprintf("is version %q, and has to be %s or newer", cut(version), oldest))
	}
	return nil
}

// Tried says whether Airlock was tried with a version, or with one that differs from such a one in its last number.
func Tried(version string) bool {
	n, is := number(version)
	return is && n == 7_06
}

// number is a version's first two numbers as one: 706 for "7.6.5".
func number(version string) (n int, is bool) {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	x, errMajor := strconv.ParseUint(major, 10, 16)
	y, errMinor := strconv.ParseUint(minor, 10, 16)
	return int(x)*100 + int(min(y, 99)), errMajor == nil && errMinor == nil
}

// notStarted says for a user why the program could not be started.
func (i Install) notStarted(err error) error {
	errno, _ := errors.AsType[syscall.Errno](err)
	switch errno {
	case unix.ENOENT:
		return i.broken(err, "could not be started: the dynamic linker that it names is not there")
	case unix.ENOEXEC, unix.ELIBBAD, unix.EINVAL:
		return i.broken(err, "could not be started: it is no program for this machine")
	case unix.EACCES, unix.EPERM:
		return i.broken(err, "could not be started: let all users read and execute it, and what is in its directory")
	}
	return err
}

// firstWords is a host that listens to what PowerShell writes beside the protocol before it answers: that says why it does
// not.
type firstWords struct {
	runtime.Host
	mu    sync.Mutex
	said  []byte
	all   int
	ended bool
	stop  func() // ends the waiting for an answer
}

const (
	maxSaid  = 500      // bytes of it in an error
	maxNoise = 64 << 10 // bytes of it until it is not waited for any longer
)

// Write implements runtime.Host.
func (w *firstWords) Write(s domain.Stream, text []byte) {
	if w.hear(text) {
		w.Host.Write(s, text)
	}
}

// hear takes what was written, and says whether it should be passed on: not where it is more than any reason.
func (w *firstWords) hear(text []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return true
	}
	passed := w.all <= maxNoise
	w.all += len(text) + 1
	if room := maxSaid - len(w.said); room > 0 {
		w.said = append(append(w.said, text[:min(len(text), room)]...), ' ')
	}
	if w.all > maxNoise && w.stop != nil {
		w.stop()
	}
	return passed
}

// begin has stop called when too much is written.
func (w *firstWords) begin(stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop = stop; w.all > maxNoise {
		stop()
	}
}

// end says that PowerShell has answered.
func (w *firstWords) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
}

func (w *firstWords) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}

func (w *firstWords) noisy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all > maxNoise
}

// quoted is what was written, for the end of a sentence.
func (w *firstWords) quoted() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	said := printable(string(w.said))
	if said == "" {
		return " and wrote nothing"
	}
	return fmt.Sprintf(" and wrote %q", said)
}

// printable is a text in one line, without what terminals do more with than to show it.
func printable(s string) string {
	shown := strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return ' '
	}, strings.ToValidUTF8(s, "?"))
	return strings.Join(strings.Fields(shown), " ")
}

func cut(version string) string { return version[:min(len(version), 40)] }

// Check starts PowerShell in a room of the sandbox, for which dir is an empty directory, as an execution does, and says which
// version answers.
func (r Runtime) Check(ctx context.Context, s sandbox.Sandbox, dir string) (version string, err error) {
	install, err := Find(r.Path)
	if err != nil {
		return "", err
	}
	pkg := filepath.Join(dir, "package")
	for _, d := range []string{filepath.Join(dir, sandbox.Home), filepath.Join(dir, sandbox.Tmp), pkg} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return "", err
		}
	}
	room, err := s.Open(ctx, sandbox.Place{Dir: dir, Package: pkg, Runtime: install.Files})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, room.Close()) }()
	c := conversation{Prepared: runtime.Prepared{Room: room}, install: install, startup: cmp.Or(r.Startup, DefaultStartup)}
	end := c.run(ctx, nobody{}, func(ctx context.Context) runtime.End { return runtime.End{Err: c.open(ctx)} })
	if end.Err != nil {
		return "", end.Err
	}
	return c.client.Version(), nil
}

// nobody is a host for what no execution runs.
type nobody struct{}

func (nobody) Started() error                 { return nil }
func (nobody) Write(domain.Stream, []byte)    {}
func (nobody) Progress(string)                {}
func (nobody) SetSecret(string, *secret.Text) {}
