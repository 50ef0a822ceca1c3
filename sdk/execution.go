package sdk

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sdk/wire"
)

// Execution is the run of a cmdlet: what it is told about where it runs, and where it writes to. Its methods may be
// called from several goroutines.
type Execution struct {
	ID       string    // immutable id
	Name     string    // the ARM name that the user chose
	Deadline time.Time // when Airlock will ask the cmdlet to end

	VCAddress      string // of the vCenter; to reach it use sdk/vcenter, which dials what the Grant says
	SddcDNSSuffix  string
	SddcResourceID string // ARM resource id of the private cloud
	AadAuthority   string

	NamedOutputs      *NamedOutputs
	PersistentSecrets *PersistentSecrets

	grant         wire.Grant
	takesProgress bool
	w             *writer
	hosts         *hosts
}

func newExecution(s wire.Start, w *writer) *Execution {
	return &Execution{
		ID: s.ExecutionID, Name: s.ExecutionName, Deadline: time.Now().Add(time.Duration(s.TimeoutSeconds) * time.Second),
		VCAddress: s.VCAddress, SddcDNSSuffix: s.SddcDNSSuffix, SddcResourceID: s.SddcResourceID, AadAuthority: s.AadAuthority,
		NamedOutputs:      &NamedOutputs{values: map[string]string{}},
		PersistentSecrets: newPersistentSecrets(s.Secrets, w),
		grant:             s.Grant, takesProgress: s.TakesProgress, w: w, hosts: newHosts(s.Grant),
	}
}

// Output writes v to the Output stream. It waits while Airlock is behind in reading.
//
// Strings stay as they are, errors and Stringers say their own words, maps, structs and slices become compact JSON. A
// SecureString reads [redacted]. Text over 1 MiB (wire.MaxRecord) goes on in the next record.
func (x *Execution) Output(v any) { x.w.text(wire.KindOutput, text(v)) }

// Information writes v to the Information stream, as Output does.
func (x *Execution) Information(v any) { x.w.text(wire.KindInformation, text(v)) }

// Warning writes v to the Warning stream, as Output does.
func (x *Execution) Warning(v any) { x.w.text(wire.KindWarning, text(v)) }

// Error writes v to the Error stream, as Output does. The cmdlet does not fail by it.
func (x *Execution) Error(v any) { x.w.text(wire.KindError, text(v)) }

// Progress says how far the cmdlet is, for those who watch: they see what it said last, in one line of at most some 200
// bytes, until it says something else or "". It is in no stream and nobody reads it later, so it may be called often.
// An Airlock from before there was progress shows none.
func (x *Execution) Progress(text string) {
	if x.takesProgress {
		_ = x.w.frame(wire.KindProgress, []byte(text[:cut(text, wire.MaxProgress)])) // nothing to be done where nobody listens any more
	}
}

// Grant is what the execution reaches vCenter and hosts with: addresses to dial, and capabilities that are of no use
// after its end. SSH, SFTP and package sdk/vcenter use it; other clients may.
func (x *Execution) Grant() wire.Grant { return x.grant }

// NamedOutputs are results by name. They are kept only when the cmdlet ends well, and may have 32,768 bytes as JSON.
type NamedOutputs struct {
	mu     sync.Mutex
	values map[string]string
}

// Set sets one output; values that are not strings are written as Execution.Output writes them.
func (o *NamedOutputs) Set(key string, v any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.values[key] = text(v)
}

// Get returns an output that was set.
func (o *NamedOutputs) Get(key string) (string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v, ok := o.values[key]
	return v, ok
}

// Delete takes back an output that was set.
func (o *NamedOutputs) Delete(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.values, key)
}

func (o *NamedOutputs) all() map[string]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.values)
}

// PersistentSecrets are kept by Airlock for the package and the private cloud, from one execution to the next. Changes
// are kept only when the cmdlet ends well; a value is redacted from the streams from the moment it was set. Names are
// compared without case.
type PersistentSecrets struct {
	mu     sync.Mutex
	values map[string]SecureString // by name in lower case
	w      *writer
}

func newPersistentSecrets(values map[string]secret.Text, w *writer) *PersistentSecrets {
	s := &PersistentSecrets{values: map[string]SecureString{}, w: w}
	for name, v := range values {
		s.values[strings.ToLower(name)] = v
	}
	return s
}

var secretName = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)

// Get returns the secret of a name, as it was kept or as this execution set it.
func (s *PersistentSecrets) Get(name string) (SecureString, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[strings.ToLower(name)]
	return v, ok
}

// Set sets a secret. The name has 1 to 127 letters, digits or '-', the value is UTF-8 without U+FFFD.
func (s *PersistentSecrets) Set(name string, value SecureString) error {
	return s.change(wire.SecretChange{Name: name, Value: &value})
}

// Delete deletes a secret. It is no error where there is none.
func (s *PersistentSecrets) Delete(name string) error {
	return s.change(wire.SecretChange{Name: name})
}

// change tells Airlock at once, so that it knows the value before it meets it in a stream.
func (s *PersistentSecrets) change(c wire.SecretChange) error {
	if !secretName.MatchString(c.Name) {
		return fmt.Errorf("the persistent secret name %q must have 1 to 127 letters, digits or '-'", c.Name)
	}
	payload, err := wire.EncodeSecret(c)
	if err != nil {
		return fmt.Errorf("the persistent secret %s cannot be set: %w", c.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.w.frame(wire.KindSecret, payload); err != nil {
		return fmt.Errorf("the persistent secret %s could not be handed to Airlock: %w", c.Name, err)
	}
	if key := strings.ToLower(c.Name); c.Value != nil {
		s.values[key] = *c.Value
	} else {
		delete(s.values, key)
	}
	return nil
}
