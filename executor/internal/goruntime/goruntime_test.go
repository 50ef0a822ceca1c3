package goruntime_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/airlock-run/airlock/executor/internal/goruntime"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/executor/internal/runtimetest"
	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/manifest"
)

var packageDir string

func TestMain(m *testing.M) {
	runtimetest.Main(m, func(dir string) { packageDir = dir }, runtimetest.ScriptPath)
}

func suite() runtimetest.Suite {
	return runtimetest.Suite{Runtime: goruntime.Runtime{}, Package: packageDir, Manifest: manifest.Manifest{
		Name: "Torture", Runtime: manifest.Go, Cmdlets: runtimetest.Cmdlets(),
		Binaries: map[string]string{goruntime.Platform: runtimetest.ScriptName},
	}}
}

func TestRuntime(t *testing.T) { runtimetest.Run(t, suite()) }

// Beside what every script is told, one in Go is told of its execution and how it reaches the private cloud.
func TestTold(t *testing.T) {
	var got struct {
		ExecutionID, ExecutionName, Cmdlet string

		TimeoutSeconds int
		Token, Key     string
		Grant          struct {
			CA, User string
			VCenter  domain.Endpoint
			Hosts    []domain.Endpoint
			SSH      []struct{ Host, Addr, HostKey string }
		}
	}
	if err := json.Unmarshal([]byte(suite().Told(t)), &got); err != nil {
		t.Fatal(err)
	}
	said := fmt.Sprint(got)
	const want = "{0193 x Write-Start 3600 token key {ca execution-x {vc.test 127.0.0.1:1} [{esx.test 127.0.0.1:3}] [{VC 127.0.0.1:2 ssh-ed25519 x}]}}"
	if said != want {
		t.Errorf("the script was told\n%s, not\n%s", said, want)
	}
}

// A process that is gone has not said how it ended.
func TestEndNotReported(t *testing.T) {
	end, _ := suite().Do(t, "Stop-Hard", nil)
	runtimetest.WantFailure(t, end, "before it reported its end")
}

func TestBrokenProtocol(t *testing.T) {
	s := suite()
	for cmdlet, words := range map[string]string{
		"Break-Kind":   "unknown kind of frame 0x7f",
		"Break-Place":  "a frame of kind 0x10 is out of place",
		"Break-Size":   "4294967294 bytes",
		"Break-End":    "its last frame is not the JSON",
		"Break-Secret": "its change of a secret is not the JSON",
		"Close-Socket": "closed its connection",
	} {
		t.Run(cmdlet, func(t *testing.T) {
			end, _ := s.Do(t, cmdlet, nil)
			runtimetest.WantFailure(t, end, words)
		})
	}
}

func TestExecutableMissing(t *testing.T) {
	for name, edit := range map[string]func(*manifest.Manifest){
		"for this platform":      func(m *manifest.Manifest) { m.Binaries = map[string]string{"plan9/arm": "x"} },
		"outside of the package": func(m *manifest.Manifest) { m.Binaries = map[string]string{goruntime.Platform: "../../bin/true"} },
		"lacks its executable":   func(m *manifest.Manifest) { m.Binaries = map[string]string{goruntime.Platform: "bin/none"} },
	} {
		s := suite()
		edit(&s.Manifest)
		end, h := s.Do(t, "Write-All", nil)
		if !errors.Has(end.Err, errors.ScriptRuntimeMissing) {
			t.Errorf("%s: %v, output %q", name, end.Err, h.Texts(1))
		} else if words := strings.TrimPrefix(name, "for "); !strings.Contains(end.Err.Error(), words) && name != "for this platform" {
			t.Errorf("the message %q does not say %q", end.Err, name)
		}
	}
}

// fullRoom has no room for a process.
type fullRoom struct {
	sandbox.Room
	err error
}

func (r fullRoom) Start(sandbox.Command) (sandbox.Process, error) {
	return nil, &os.PathError{Op: "fork/exec", Path: "/srv/airlock/x", Err: r.err}
}

// Only what is the executable's own fault is put to the package.
func TestExecutableNotStarted(t *testing.T) {
	for err, code := range map[error]errors.Code{syscall.ENOEXEC: errors.ScriptFailed, syscall.EAGAIN: errors.InternalError} {
		s := suite()
		end := s.Runtime.Run(t.Context(), runtime.Prepared{Manifest: s.Manifest, Package: s.Package, Room: fullRoom{err: err}}, nil, runtimetest.NewHost())
		if message := errors.For(end.Err, "x").Message; !errors.Has(end.Err, code) || strings.Contains(message, "/srv") || !errors.Is(end.Err, err) {
			t.Errorf("%v: %v, and the user reads %q", err, end.Err, message)
		}
	}
}
