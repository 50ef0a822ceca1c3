package executor

import (
	"context"
	"regexp"
	"strings"

	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

var _ runtime.Host = (*job)(nil)

// maxChanges bounds how many persistent secrets one execution can change.
const maxChanges = 1024

// secretName is what Azure Key Vault allows, too (contracts, "Secrets").
var secretName = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)

// change is what a script wants of a persistent secret: nil deletes it.
type change struct {
	name  string
	value *secret.Text
}

// Started implements runtime.Host.
func (j *job) Started() error {
	if j.stopping.Err() != nil {
		return context.Cause(j.stopping)
	}
	if err := j.cfg.Store.Start(j.base, j.Execution.ID, j.Fence); err != nil {
		return err
	}
	close(j.started)
	j.audit(j.base, j.Claim, "executions/start", "ok", "")
	return nil
}

// Write implements runtime.Host.
func (j *job) Write(s domain.Stream, text []byte) { j.output.Write(s, text) }

// SetSecret implements runtime.Host.
func (j *job) SetSecret(name string, value *secret.Text) {
	if value != nil {
		if err := j.hide(name, *value); err != nil {
			j.stop(err)
			return
		}
	}
	if !secretName.MatchString(name) {
		j.stop(errors.Newf(errors.SecretNameInvalid, "The script set a persistent secret with the name %q; a name has 1 to 127 letters, digits and '-'.", cut(name, 128)))
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changes[strings.ToLower(name)] = change{name, value}
	if len(j.changes) > maxChanges {
		j.stop(errors.Newf(errors.SecretStoreFailed, "The script changed more than %d persistent secrets; let it keep fewer.", maxChanges))
	}
}
