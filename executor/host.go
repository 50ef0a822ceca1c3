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

// Progress implements runtime.Host.
func (j *job) Progress(text string) { j.progress.say(text) }

// SetSecret implements runtime.Host.
func (j *job) SetSecret(name string, value *secret.Text) {
	if err := j.setSecret(name, value); err != nil {
		j.stop(err)
	}
}

func (j *job) setSecret(name string, value *secret.Text) error {
	short := false
	if value != nil { // out of sight first, however the change itself ends
		var err error
		if short, err = j.mask(*value); err != nil {
			return err
		}
		j.progress.again() // without it
	}
	if !secretName.MatchString(name) {
		return errors.Newf(errors.SecretNameInvalid, "The script set a persistent secret with the name %q; a name has 1 to 127 letters, digits and '-'.", cut(j.shown(name), 128))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	key := strings.ToLower(name)
	if _, again := j.changes[key]; !again && len(j.changes) == maxChanges {
		return errors.Newf(errors.SecretStoreFailed, "The script changed more than %d persistent secrets; let it keep fewer.", maxChanges)
	}
	j.changes[key] = change{name, value}
	if short {
		j.short[name] = true
	}
	return nil
}
