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
	"github.com/airlock-run/airlock/executor/internal/process"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/wire"
)

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
	s, err := process.StartSocket(p.Room, sandbox.Command{Path: path, Env: p.Env})
	for _, fault := range faults {
		if errors.Is(err, fault) {
			return runtime.End{Err: errors.Because(err, errors.ScriptFailed, "The package's executable could not be started: %v. Build it for %s with `airlock package pack` and push it again.", fault, Platform)}
		}
	}
	if err != nil {
		return runtime.End{Err: err}
	}
	return run(ctx, s, p, stop, h)
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

// run speaks with the script until nothing of it is left.
func run(ctx context.Context, s *process.Process, p runtime.Prepared, stop <-chan struct{}, h runtime.Host) runtime.End {
	var end wire.End
	var err error
	ended := s.Run(ctx, h, func(h runtime.Host) {
		c := &conversation{rw: s.Conn, start: startOf(p), host: h}
		var waiting sync.WaitGroup
		defer waiting.Wait()
		said := make(chan struct{})
		defer close(said)
		waiting.Go(func() {
			defer panics.To(s.GiveUp)
			select {
			case <-stop:
				c.cancel("the execution is asked to end")
			case <-said:
			}
		})
		end, err = c.talk()
		if err != nil && !errors.Is(err, errHungUp) {
			s.Kill()
		}
	})
	switch {
	case ended.Err != nil:
		return runtime.End{Err: ended.Err}
	case err != nil:
		return runtime.End{Err: explain(err, ended), Limit: ended.Limit}
	case end.Failure != "":
		return runtime.End{Err: errors.Newf(errors.ScriptFailed, "%s", end.Failure), Limit: ended.Limit}
	}
	return runtime.End{NamedOutputs: end.NamedOutputs}
}

// explain says for a user why the conversation broke off.
func explain(err error, end process.End) error {
	switch {
	case errors.Is(err, errHungUp) && end.Stayed:
		return errors.Because(err, errors.ScriptFailed, "The script closed its connection to Airlock before it reported its end; a cmdlet must leave descriptor %d alone.", wire.FD)
	case errors.Is(err, errHungUp):
		return errors.Because(err, errors.ScriptFailed, "The script's process ended (%s) before it reported its end; its Error stream may say why.", end.How)
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
		AadAuthority: p.Cloud.AadAuthority, Secrets: p.Secrets, TakesProgress: true,
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
