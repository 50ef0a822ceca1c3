// Package goruntime runs the cmdlets of Go packages: a static executable of the package is started in the execution's
// room, with one end of a socket as descriptor 3, and the two sides speak the wire protocol (sdk/wire,
// docs/wire-protocol.md). What the process writes to its standard output and error besides is taken line by line.
//
// Everything that the script is told, secrets included, goes over the socket. The script is trusted with nothing: its
// side of the conversation may be anything at all.
package goruntime

import (
	"context"
	"os"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/executor/internal/panics"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/wire"
)

// Linger is how long a process may stay after its script has said the last word, or closed the socket, before it is
// killed.
const Linger = time.Second

// Platform is the key of manifest.Binaries under which this machine's executable stands.
const Platform = goruntime.GOOS + "/" + goruntime.GOARCH

// Runtime is the runtime of Go packages.
type Runtime struct{}

var _ runtime.Runtime = Runtime{}

// Furnish implements runtime.Runtime: a static executable needs nothing but its package.
func (Runtime) Furnish(runtime.Prepared, *sandbox.Place) error { return nil }

// Run implements runtime.Runtime.
func (Runtime) Run(ctx context.Context, p runtime.Prepared, stop <-chan struct{}, h runtime.Host) runtime.End {
	path, err := executable(p)
	if err != nil {
		return runtime.End{Err: err}
	}
	s, err := start(p.Room, path, p.Env)
	for _, fault := range faults {
		if errors.Is(err, fault) {
			return runtime.End{Err: errors.Because(err, errors.ScriptFailed, "The package's executable could not be started: %v. Build it for %s with `airlock package pack` and push it again.", fault, Platform)}
		}
	}
	if err != nil {
		return runtime.End{Err: err}
	}
	return s.run(ctx, p, stop, h)
}

// faults are the errors of execve(2) that are the executable's own.
var faults = []syscall.Errno{unix.ENOEXEC, unix.EACCES, unix.ENOENT, unix.EINVAL, unix.ELIBBAD}

// executable finds the package's executable for this machine.
func executable(p runtime.Prepared) (string, error) {
	name, ok := p.Manifest.Binaries[Platform]
	if !ok {
		return "", errors.Newf(errors.ScriptRuntimeMissing, "The package %s has no executable for %s; pack it for this platform and push it again.", p.Execution.Package.Name, Platform)
	}
	path := filepath.Join(p.Package, filepath.FromSlash(name))
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", errors.Newf(errors.ScriptRuntimeMissing, "The manifest of the package %s names an executable outside of the package; pack it again.", p.Execution.Package.Name)
	}
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return "", errors.Because(err, errors.ScriptRuntimeMissing, "The package %s lacks its executable %s; push it again.", p.Execution.Package.Name, name)
	}
	return path, nil
}

// script is a script's process with the three ways out of it.
type script struct {
	process        sandbox.Process
	socket         *reader
	stdout, stderr *reader
	ended          chan struct{} // closed when the process has ended
	end            sandbox.End   // then
	stayed         bool          // longer than Linger
	panicked       chan error    // the first panic
}

// start starts the executable.
func start(room sandbox.Room, path string, env []string) (_ *script, err error) {
	var ours, theirs [3]*os.File // socket, stdout, stderr
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
		if err != nil {
			for _, f := range ours {
				f.Close()
			}
		}
	}()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	theirs[0] = os.NewFile(uintptr(fds[1]), "script")
	if err := unix.SetNonblock(fds[0], true); err != nil { // what os.NewFile asks, to wait for it without a thread
		unix.Close(fds[0])
		return nil, err
	}
	ours[0] = os.NewFile(uintptr(fds[0]), "host")
	for i := 1; i < 3; i++ {
		if ours[i], theirs[i], err = os.Pipe(); err != nil {
			return nil, err
		}
	}
	process, err := room.Start(sandbox.Command{Path: path, Env: env, Stdout: theirs[1], Stderr: theirs[2], Files: theirs[:1]})
	if err != nil {
		return nil, err
	}
	return &script{
		process: process, socket: newReader(ours[0]), stdout: newReader(ours[1]), stderr: newReader(ours[2]),
		ended: make(chan struct{}), panicked: make(chan error, 1),
	}, nil
}

// run speaks with the script until nothing of it is left.
func (s *script) run(ctx context.Context, p runtime.Prepared, stop <-chan struct{}, h runtime.Host) runtime.End {
	kill := context.AfterFunc(ctx, s.process.Kill)
	defer kill()
	var waiting, reading sync.WaitGroup
	var turn sync.Mutex // of those who write to h
	waiting.Go(func() {
		defer s.cut()
		defer panics.To(s.giveUp)
		s.end = s.process.Wait()
	})
	reading.Go(func() {
		defer panics.To(s.giveUp)
		lines(s.stdout, domain.Output, h, &turn)
	})
	reading.Go(func() {
		defer panics.To(s.giveUp)
		lines(s.stderr, domain.Error, h, &turn)
	})

	c := &conversation{rw: s.socket, start: startOf(p), host: inTurn{h, &turn}}
	said := make(chan struct{})
	waiting.Go(func() {
		defer panics.To(s.giveUp)
		select {
		case <-stop:
			c.cancel("the execution is asked to end")
		case <-said:
		}
	})
	var end wire.End
	err := panics.Catch(func() (err error) {
		end, err = c.talk()
		return err
	})
	close(said)
	if err != nil && !errors.Is(err, errHungUp) {
		s.process.Kill()
	}
	s.socket.HangUp()
	s.linger()
	waiting.Wait()
	reading.Wait()
	s.close()
	select {
	case err := <-s.panicked:
		return runtime.End{Err: err}
	default:
	}
	if err != nil {
		return runtime.End{Err: s.explain(err), Limit: s.end.Limit}
	}
	if end.Failure != "" {
		return runtime.End{Err: errors.Newf(errors.ScriptFailed, "%s", end.Failure), Limit: s.end.Limit}
	}
	return runtime.End{NamedOutputs: end.NamedOutputs}
}

// giveUp ends the script after a panic: without one of the goroutines it would wait for ever.
func (s *script) giveUp(err error) {
	select {
	case s.panicked <- err:
	default:
	}
	s.process.Kill()
}

// cut says that the process has ended. A descendant that hid may hold the other ends for ever.
func (s *script) cut() {
	close(s.ended)
	for _, r := range []*reader{s.socket, s.stdout, s.stderr} {
		r.Cut()
	}
}

// linger waits for the process's end, and brings it about where it takes too long.
func (s *script) linger() {
	late := time.NewTimer(Linger)
	defer late.Stop()
	select {
	case <-s.ended:
	case <-late.C:
		s.stayed = true
		s.process.Kill()
	}
}

func (s *script) close() {
	for _, r := range []*reader{s.socket, s.stdout, s.stderr} {
		r.Close()
	}
}

// explain says for a user why the conversation broke off.
func (s *script) explain(err error) error {
	switch {
	case errors.Is(err, errHungUp) && s.stayed:
		return errors.Because(err, errors.ScriptFailed, "The script closed its connection to Airlock before it reported its end; a cmdlet must leave descriptor %d alone.", wire.FD)
	case errors.Is(err, errHungUp):
		return errors.Because(err, errors.ScriptFailed, "The script's process ended (%s) before it reported its end; its Error stream may say why.", s.end.How)
	}
	return err
}

// startOf is what the script is told.
func startOf(p runtime.Prepared) wire.Start {
	x := p.Execution
	s := wire.Start{
		Protocol: wire.Version, ExecutionID: x.ID, ExecutionName: x.Name, Cmdlet: p.Cmdlet.Name,
		TimeoutSeconds: int(x.Timeout / time.Second), Parameters: map[string]wire.Argument{},
		VCAddress: p.Cloud.VCenter, SddcDNSSuffix: p.Cloud.DNSSuffix, SddcResourceID: p.Cloud.ID.String(),
		AadAuthority: p.Cloud.AadAuthority, Secrets: p.Secrets,
		Grant: wire.Grant{
			CA: string(p.Grant.CA), User: p.Grant.User, Token: p.Grant.Token, Key: p.Grant.Key,
			VCenter: wire.Endpoint(p.Grant.VCenter),
		},
	}
	for _, h := range p.Grant.Hosts {
		s.Grant.Hosts = append(s.Grant.Hosts, wire.Endpoint(h))
	}
	for _, h := range p.Grant.SSH {
		s.Grant.SSH = append(s.Grant.SSH, wire.SSHEndpoint{Endpoint: wire.Endpoint(h.Endpoint), HostKey: h.HostKey})
	}
	for _, parameters := range [][]domain.Parameter{x.Parameters, x.Hidden} {
		for _, a := range parameters {
			s.Parameters[a.Name] = argument(a, p.Secure)
		}
	}
	return s
}
