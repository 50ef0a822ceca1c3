package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/redact"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/sdk/secret"
)

// MaxNamedOutputs bounds the named outputs of an execution, in bytes as JSON.
const MaxNamedOutputs = 32_768

// maxMessage bounds a failure's message, in bytes.
const maxMessage = 1024

// conclude says how the execution has ended, and keeps what a good end lets it keep. cause is why it was asked to end,
// nil where it ended by itself.
func (j *job) conclude(end runtime.End, cause error) domain.Outcome {
	o := domain.Outcome{Warning: j.warning()}
	stored := j.output.Close()
	switch {
	case cause != nil:
		o.Failure = j.failure(cause)
	case stored != nil:
		o.Failure = j.failure(stored)
	case end.Failure != nil:
		o.Failure = j.bounded(end)
	default:
		o.Failure = j.succeed(end.NamedOutputs, &o)
	}
	switch {
	case o.Failure == nil:
		o.State = domain.Succeeded
		return o
	case o.Failure.Code == errors.ScriptCanceled:
		return domain.Outcome{State: domain.Canceled, Warning: o.Warning}
	}
	f := domain.Failure{Code: o.Failure.Code, Message: j.sentence(o.Failure.Message)}
	return domain.Outcome{State: domain.Failed, Failure: &f, Warning: o.Warning}
}

// bounded is why a script ended badly: where that came of a bound of its room, it names the bound.
func (j *job) bounded(end runtime.End) *domain.Failure {
	l := j.cfg.Limits
	switch end.Limit {
	case "":
		return end.Failure
	case sandbox.Memory:
		return &domain.Failure{Code: errors.OutOfMemory, Message: fmt.Sprintf("The script used more than %d MiB of memory, the bound for one execution, and was ended; let it hold less at a time.", l.Memory>>20)}
	case sandbox.WorkDirectory:
		return &domain.Failure{Code: errors.WorkDirectoryFull, Message: fmt.Sprintf("The script had more than %d MiB in its work directory (HOME, TMPDIR and /tmp together), the bound for one execution, and was ended; let it remove what it does not need any more.", l.WorkDirectory>>20)}
	}
	return &domain.Failure{Code: errors.ScriptFailed, Message: fmt.Sprintf("The script reached the bound of %d threads that one execution may have; let it do with fewer.", l.Threads)}
}

// succeed keeps what the cmdlet leaves: its named outputs, and its changes of persistent secrets. First the sealed
// intent is stored, then the secrets are written, then comes the final state: whenever the server dies, a restart can
// tell whether all of it has to be kept or nothing.
func (j *job) succeed(outputs map[string]string, o *domain.Outcome) *domain.Failure {
	if encoded, err := json.Marshal(outputs); err != nil || len(encoded) > MaxNamedOutputs {
		return &domain.Failure{Code: errors.NamedOutputsTooLarge, Message: fmt.Sprintf("The script's named outputs have %d bytes as JSON, the bound is %d; let it write what is large to its Output stream.", len(encoded), MaxNamedOutputs)}
	}
	if len(outputs) > 0 {
		o.NamedOutputs = make(map[string]string, len(outputs))
	}
	for name, value := range outputs {
		o.NamedOutputs[j.secrets.String(name)] = j.secrets.String(value)
	}
	changes := j.changed()
	if len(changes) == 0 {
		return nil
	}
	intent, err := j.sealIntent(j.Execution.ID, newIntent(changes, *o))
	if err == nil {
		err = j.cfg.Store.Seal(j.base, j.Execution.ID, j.Fence, intent)
	}
	if err == nil {
		err = j.keep(j.base, j.Execution, changes)
	}
	if err != nil {
		return j.failure(err)
	}
	return nil
}

// changed are the changes that make a difference to what was read.
func (j *job) changed() map[string]*secret.Text {
	held := make(map[string]secret.Text, len(j.held))
	for name, v := range j.held {
		held[strings.ToLower(name)] = v
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	changes := map[string]*secret.Text{}
	for key, c := range j.changes {
		before, had := held[key]
		if c.value == nil && !had || c.value != nil && had && c.value.Equal(before) {
			continue
		}
		changes[c.name] = c.value
	}
	return changes
}

// keep writes changes to the secret store.
func (e *Executor) keep(ctx context.Context, x domain.Execution, changes map[string]*secret.Text) error {
	if err := e.cfg.Secrets.Write(ctx, x.Cloud, x.Package.Name, changes); err != nil {
		return because(err, errors.SecretStoreFailed, "The script ended well, but its persistent secrets could not be stored and nothing was kept; the server's log says more under the id %s.", x.ID)
	}
	return nil
}

// intent is what is to be kept of an execution that has ended well. It is only ever stored sealed.
type intent struct {
	Secrets      map[string]*string `json:"secrets"`
	NamedOutputs map[string]string  `json:"namedOutputs,omitempty"`
	Warning      string             `json:"warning,omitempty"`
}

func newIntent(changes map[string]*secret.Text, o domain.Outcome) intent {
	in := intent{Secrets: map[string]*string{}, NamedOutputs: o.NamedOutputs, Warning: o.Warning}
	for name, v := range changes {
		in.Secrets[name] = nil
		if v != nil {
			plain := v.Reveal()
			in.Secrets[name] = &plain
		}
	}
	return in
}

func (in intent) changes() map[string]*secret.Text {
	changes := map[string]*secret.Text{}
	for name, plain := range in.Secrets {
		changes[name] = nil
		if plain != nil {
			v := secret.New(*plain)
			changes[name] = &v
		}
	}
	return changes
}

func intentOf(id string) []byte { return seal.Associated("intent", id) }

func (e *Executor) sealIntent(id string, in intent) ([]byte, error) {
	data, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return e.cfg.Key.Seal(data, intentOf(id))
}

func (e *Executor) openIntent(id string, sealed []byte) (in intent, err error) {
	data, err := e.cfg.Key.Open(sealed, intentOf(id))
	if err == nil {
		err = json.Unmarshal(data, &in)
	}
	if err != nil {
		return intent{}, errors.Because(err, errors.SecretStoreFailed, "The server was stopped while it kept what the script left, and could not go on with it after the restart; nothing was kept.")
	}
	return in, nil
}

// failure is what a user sees of an error; the log has all of it.
func (j *job) failure(err error) *domain.Failure {
	j.log.WarnContext(j.base, "the execution fails", "error", err)
	return failureOf(err, j.Execution.ID)
}

func failureOf(err error, id string) *domain.Failure {
	e := errors.For(err, id)
	return &domain.Failure{Code: e.Code, Message: e.Message}
}

// sentence makes a message presentable: redacted, in one line, not too long.
func (j *job) sentence(message string) string {
	message = j.secrets.String(redact.Visible([]byte(message)))
	return cut(strings.Join(strings.Fields(message), " "), maxMessage)
}

// cut shortens a text to at most n bytes.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	const dots = "…"
	for n -= len(dots); n > 0 && !utf8.RuneStart(text[n]); n-- {
	}
	return text[:n] + dots
}

// warning is Airlock's remark on secrets that it could not keep out of the output.
func (j *job) warning() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.short) == 0 {
		return ""
	}
	slices.Sort(j.short)
	return j.secrets.String(cut(fmt.Sprintf("Secret values of fewer than %d characters are not redacted from the output: %s.", redact.MinLength, strings.Join(j.short, ", ")), maxMessage))
}

// result is how an execution ended, as audit says it.
func result(o domain.Outcome) string {
	switch {
	case o.Failure != nil:
		return string(o.Failure.Code)
	case o.State == domain.Canceled:
		return string(errors.ScriptCanceled)
	}
	return "ok"
}
