package executor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/airlock-run/airlock/executor/internal/panics"
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

// Bounds in bytes on a failure's message, and on an error in the log.
const (
	maxMessage = 1024
	maxLogged  = 16 << 10
)

// conclude says how the execution has ended, and keeps what a good end lets it keep. cause is why it was asked to end,
// nil where it ended by itself.
func (j *job) conclude(ctx context.Context, end runtime.End, cause error) domain.Outcome {
	o := domain.Outcome{State: domain.Succeeded, Warning: j.warning()}
	err := cmp.Or(cause, j.settle(ctx), j.bounded(end))
	if err == nil {
		err = panics.Catch(func() error { return j.succeed(end.NamedOutputs, &o) })
	}
	if err == nil {
		return o
	}
	j.log.WarnContext(j.base, "the execution does not succeed", "error", j.loggable(err))
	if errors.Has(err, errors.ScriptCanceled) {
		return domain.Outcome{State: domain.Canceled, Warning: o.Warning}
	}
	f := failureOf(err, j.Execution.ID)
	f.Message = j.sentence(f.Message, maxMessage)
	return domain.Outcome{State: domain.Failed, Failure: f, Warning: o.Warning}
}

// settle stores the rest of the output and of the audit, and takes out of both what became secret late: also where
// there is nothing else to be kept.
func (j *job) settle(ctx context.Context) error {
	stored := j.output.Close()
	if stored != nil {
		j.log.ErrorContext(j.base, "output is lost", "error", j.loggable(stored))
	}
	passes := func(err error) bool { return errors.Has(err, errors.ServiceUnavailable) }
	rewritten := j.persist(ctx, j.output.Rewrite, passes)
	audited := j.persist(ctx, j.trail.Close, passes)
	return cmp.Or(stored, rewritten, audited)
}

// bounded is why a script ended badly, nil where it did not: where that came of a bound of its room, it names the bound.
func (j *job) bounded(end runtime.End) error {
	l := j.cfg.Limits
	switch {
	case end.Err == nil || end.Limit == "":
		return end.Err
	case end.Limit == sandbox.Memory:
		return errors.Because(end.Err, errors.OutOfMemory, "The script used more than %d MiB of memory, the bound for one execution, and was ended; let it hold less at a time.", l.Memory>>20)
	case end.Limit == sandbox.WorkDirectory:
		return errors.Because(end.Err, errors.WorkDirectoryFull, "The script had more than %d MiB or %d files in its work directory (HOME, TMPDIR and /tmp together), the bounds for one execution, or files that cannot be counted, and was ended; let it remove what it does not need any more.", l.WorkDirectory>>20, sandbox.MaxEntries)
	}
	return errors.Because(end.Err, errors.ScriptFailed, "The script reached the bound of %d threads that one execution may have; let it do with fewer.", l.Threads)
}

// succeed keeps what the cmdlet leaves: its named outputs, and its changes of persistent secrets. First the sealed
// intent is stored, then the secrets are written, then comes the final state: whenever the server dies, a restart can
// tell whether all of it has to be kept or nothing.
func (j *job) succeed(outputs map[string]string, o *domain.Outcome) error {
	if encoded, err := json.Marshal(outputs); err != nil || len(encoded) > MaxNamedOutputs {
		return errors.Newf(errors.NamedOutputsTooLarge, "The script's named outputs have %d bytes as JSON, the bound is %d; let it write what is large to its Output stream.", len(encoded), MaxNamedOutputs)
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
	if err := j.affordable(changes); err != nil {
		return err
	}
	intent, err := j.sealIntent(j.Execution.ID, newIntent(changes, *o))
	if err == nil {
		err = j.cfg.Store.Seal(j.base, j.Execution.ID, j.Fence, intent)
	}
	if err == nil {
		err = j.keep(j.base, j.Execution, changes)
	}
	return err
}

// What a package keeps is bounded to half of what redaction can hold: otherwise its next execution, which has secure
// parameters and credentials of its own beside them, could not start, and nobody could delete a secret any more.
const (
	maxKept      = redact.MaxBytes / 2
	maxKeptNames = redact.MaxValues / 2
)

// affordable says whether the package may keep what it would hold after the changes.
func (j *job) affordable(changes map[string]*secret.Text) error {
	sizes := map[string]int{}
	for name, v := range j.held {
		sizes[strings.ToLower(name)] = v.Len()
	}
	for name, v := range changes {
		delete(sizes, strings.ToLower(name))
		if v != nil && !v.IsEmpty() {
			sizes[strings.ToLower(name)] = v.Len()
		}
	}
	total := 0
	for _, n := range sizes {
		total += n
	}
	if total > maxKept || len(sizes) > maxKeptNames {
		return errors.Newf(errors.SecretStoreFailed, "The package would keep %d persistent secrets of %d bytes together; at most %d of %d bytes can be kept, so let it keep fewer. Nothing was kept.", len(sizes), total, maxKeptNames, maxKept)
	}
	return nil
}

// changed are the changes that make a difference to what was read.
func (j *job) changed() map[string]*secret.Text {
	j.mu.Lock()
	defer j.mu.Unlock()
	changes := map[string]*secret.Text{}
	for _, c := range j.changes {
		changes[c.name] = c.value
	}
	return differing(changes, j.held)
}

// differing are the changes that make a difference to the secrets held, the names of which have no case.
func differing(changes map[string]*secret.Text, held map[string]secret.Text) map[string]*secret.Text {
	values := make(map[string]secret.Text, len(held))
	for name, v := range held {
		values[strings.ToLower(name)] = v
	}
	left := map[string]*secret.Text{}
	for name, v := range changes {
		before, had := values[strings.ToLower(name)]
		if deletes := v == nil || v.IsEmpty(); deletes && had || !deletes && !(had && v.Equal(before)) {
			left[name] = v
		}
	}
	return left
}

// keep writes changes to the secret store. A Write that fails may have been done all the same, now or before a
// restart; then what the store holds counts.
func (e *Executor) keep(ctx context.Context, x domain.Execution, changes map[string]*secret.Text) error {
	err := e.cfg.Secrets.Write(ctx, x.Cloud, x.Package.Name, x.Package.Version, changes)
	if err == nil {
		return nil
	}
	held, unread := e.cfg.Secrets.Read(ctx, x.Cloud, x.Package.Name)
	if unread == nil && len(differing(changes, held)) == 0 {
		e.cfg.Logger.WarnContext(ctx, "persistent secrets are kept although they could not be written", "execution", x.ID, "error", err)
		return nil
	}
	return because(err, errors.SecretStoreFailed, "The script ended well, but its persistent secrets could not be stored and nothing was kept; the server's log says more under the id %s.", x.ID)
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
	key, err := e.cfg.Keys.Make(id)
	if err != nil {
		return nil, err
	}
	return key.Seal(data, intentOf(id))
}

func (e *Executor) openIntent(id string, sealed []byte) (in intent, err error) {
	key, err := e.cfg.Keys.Get(id)
	var data []byte
	if err == nil {
		data, err = key.Open(sealed, intentOf(id))
	}
	if err == nil {
		err = json.Unmarshal(data, &in)
	}
	if err != nil {
		return intent{}, errors.Because(err, errors.SecretStoreFailed, "The server was stopped while it kept what the script left, and could not go on with it after the restart; nothing was kept.")
	}
	return in, nil
}

// failureOf is what a user sees of an error; the log has all of it.
func failureOf(err error, id string) *domain.Failure {
	e := errors.For(err, id)
	return &domain.Failure{Code: e.Code, Message: e.Message}
}

// sentence makes a message presentable: redacted, in one line, at most n bytes long. Made one line, it is redacted once more,
// for what white space had kept apart.
func (j *job) sentence(message string, n int) string {
	line := strings.Join(strings.Fields(j.shown(message)), " ")
	return cut(j.shown(line), n)
}

// loggable is an error as the log may have it: what a script says can be a part of it.
func (j *job) loggable(err error) string { return cut(j.shown(err.Error()), maxLogged) }

// shown is a text as anybody may see it, and nothing of it where that cannot be told. What a script says in an error
// may be the first line of more.
func (j *job) shown(text string) (redacted string) {
	defer panics.To(func(error) { redacted = secret.Redacted })
	return j.secrets.Beginning(redact.Visible([]byte(text)))
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
	return cut(j.shown(fmt.Sprintf("Secret values of fewer than %d characters are not redacted from the output: %s.", redact.MinLength, strings.Join(slices.Sorted(maps.Keys(j.short)), ", "))), maxMessage)
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
