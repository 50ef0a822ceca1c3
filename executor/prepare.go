package executor

import (
	"context"
	"strings"

	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/redact"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/sdk/secret"
)

// prepare makes everything ready that the cmdlet needs. What it has made by the time of an error is for teardown.
func (j *job) prepare() (runtime.Prepared, error) {
	p := runtime.Prepared{Execution: j.Execution, Cloud: j.Cloud}
	for _, step := range []func(*runtime.Prepared) error{
		j.checkCloud, j.findPackage, j.markUpdating, j.openSecrets, j.openRoom, j.openGrant, j.openEgress,
	} {
		if err := j.stopping.Err(); err != nil {
			return p, context.Cause(j.stopping)
		}
		if err := step(&p); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (j *job) checkCloud(*runtime.Prepared) error {
	if j.Cloud.State == domain.CloudSucceeded {
		return nil
	}
	return errors.Newf(errors.PrivateCloudUpdating, "The private cloud %s reads %s; wait until it reads Succeeded, then submit the execution again under another name.", j.Cloud.ID.Name, j.Cloud.State)
}

func (j *job) findPackage(p *runtime.Prepared) error {
	pkg, err := j.stillAllowed(j.Execution.Package)
	if err != nil {
		return err
	}
	p.Manifest = pkg.Manifest
	if _, known := j.runtimes[p.Manifest.Runtime]; !known {
		return errors.Newf(errors.ScriptRuntimeMissing, "This server cannot run the package %s: it has no runtime %q.", pkg.Ref(), p.Manifest.Runtime)
	}
	var ok bool
	if p.Cmdlet, ok = p.Manifest.Cmdlet(j.Execution.Cmdlet); !ok {
		return errors.Newf(errors.ScriptRuntimeMissing, "The package %s has no cmdlet %s.", pkg.Ref(), j.Execution.Cmdlet)
	}
	if p.Package, err = j.cfg.Packages.Layout(j.stopping, pkg.Digest); err != nil {
		return err
	}
	for _, pin := range j.Execution.Lock {
		if _, err := j.stillAllowed(pin); err != nil {
			return err
		}
		dir, err := j.cfg.Packages.Layout(j.stopping, pin.Digest)
		if err != nil {
			return err
		}
		p.Libraries = append(p.Libraries, runtime.Library{PackageRef: pin, Dir: dir})
	}
	return nil
}

// stillAllowed reads a package that the execution resolved to when it was submitted, and refuses one that was rejected since,
// or that nobody has reviewed where the private cloud takes no such code any more.
func (j *job) stillAllowed(ref domain.PackageRef) (domain.Package, error) {
	pkg, err := j.cfg.Store.PackageByDigest(j.stopping, ref.Digest)
	switch {
	case err != nil:
	case pkg.Review.State == domain.Rejected:
		err = errors.Newf(errors.PackageNotAllowed, "The package %s was rejected while the execution waited: %s. Submit it again with another version.",
			pkg.Ref(), strings.TrimSuffix(pkg.Review.Reason, "."))
	case pkg.Review.State == domain.Submitted && !j.Cloud.Dev:
		err = errors.Newf(errors.PackageNotAllowed, "Nobody has reviewed the package %s, and the private cloud %s lost its dev flag while the execution waited. Submit it again with a version that was reviewed.",
			pkg.Ref(), j.Cloud.ID.Name)
	}
	return pkg, err
}

func (j *job) markUpdating(p *runtime.Prepared) error {
	if !p.Cmdlet.UpdatesSDDC {
		return nil
	}
	return j.cfg.Store.MarkUpdating(j.stopping, j.Execution.ID, j.Fence)
}

// openSecrets opens the secure parameters and reads the package's persistent secrets, and sees to it that none of them
// is shown.
func (j *job) openSecrets(p *runtime.Prepared) (err error) {
	if p.Secure, err = j.secure(); err != nil {
		return err
	}
	for name, v := range p.Secure {
		if err := j.hide(name, v.Password); err != nil {
			return err
		}
	}
	if j.held, err = j.cfg.Secrets.Read(j.stopping, j.Execution.Cloud, j.Execution.Package.Name); err != nil {
		return because(err, errors.SecretStoreFailed, "The persistent secrets of the package could not be read, so the script was not started; the server's log says more under the id %s.", j.Execution.ID)
	}
	for name, v := range j.held {
		if err := j.hide(name, v); err != nil {
			return err
		}
	}
	p.Secrets = j.held
	return nil
}

// secure opens the secure parameters.
func (j *job) secure() (domain.SecureValues, error) {
	if len(j.Execution.Sealed) == 0 {
		return nil, nil
	}
	key, err := j.cfg.Keys.Get(j.Execution.ID)
	if err != nil {
		return nil, errors.Because(err, errors.SecretStoreFailed, "The key of the secure parameters is not to be had; submit the execution again under another name.")
	}
	return seal.OpenValues(key, j.Execution.ID, j.Execution.Sealed)
}

// hide keeps a secret value out of sight from now on, or remembers its name for the warning that it cannot.
func (j *job) hide(name string, v secret.Text) error {
	short, err := j.mask(v)
	if short {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.short[name] = true
	}
	return err
}

// mask keeps a secret value out of sight from now on, unless it is too short.
func (j *job) mask(v secret.Text) (short bool, err error) {
	switch err := j.secrets.Add(v); {
	case errors.Is(err, redact.ErrTooShort):
		return true, nil
	case err != nil:
		return false, errors.Because(err, errors.SecretStoreFailed, "The secure parameters and persistent secrets of the execution have more than %d values or %d bytes together, which is the most that can be kept out of its output; let the package keep fewer.", redact.MaxValues, redact.MaxBytes)
	}
	return false, nil
}

func (j *job) openRoom(p *runtime.Prepared) (err error) {
	if err := j.dirs.Make(j.Execution.ID); err != nil {
		return err
	}
	place := sandbox.Place{
		Dir: j.dirs.Path(j.Execution.ID), Package: p.Package, Aliases: map[string]string{"vc": j.Cloud.VCenter},
		Denied: j.denied,
	}
	if err := j.runtimes[p.Manifest.Runtime].Furnish(*p, &place); err != nil {
		return err
	}
	j.room, err = j.sandbox.Open(j.stopping, place)
	p.Room = j.room
	return err
}

// openGrant opens the sessions. They live until the kill, so that a script that is asked to end can still clean up.
func (j *job) openGrant(p *runtime.Prepared) error {
	ctx, end := context.WithCancel(j.killed)
	grant, err := j.cfg.Sessions.Open(ctx, j.Execution, j.room.Listen, j.trail)
	if err != nil {
		end()
		return because(err, errors.SessionFailed, "The sessions with the private cloud could not be opened; the server's log says more under the id %s.", j.Execution.ID)
	}
	j.grant, j.endGrant, p.Grant = grant, end, grant
	for _, part := range append(keyLines(grant.Key), grant.Token) {
		if err := j.hide("the execution's own credentials", part); err != nil {
			return err
		}
	}
	return j.room.Trust(j.authorities())
}

// keyLines are the lines of a private key that hold the key. Each is a secret of its own, so that it is found also
// where they are not printed together.
func keyLines(pem secret.Text) []secret.Text {
	var lines []secret.Text
	for line := range strings.Lines(pem.Reveal()) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") {
			lines = append(lines, secret.New(line))
		}
	}
	return lines
}

// because gives an error that is not for users yet the code and sentence of its step.
func because(err error, code errors.Code, format string, args ...any) error {
	if errors.CodeOf(err) != errors.InternalError {
		return err
	}
	return errors.Because(err, code, format, args...)
}
