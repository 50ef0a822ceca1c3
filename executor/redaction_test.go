package executor_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// eavesdropper keeps the grants that it lets through.
type eavesdropper struct {
	executor.Sessions
	mu     sync.Mutex
	grants []domain.Grant
}

func (e *eavesdropper) Open(ctx context.Context, x domain.Execution, listen domain.Listen, record audit.Writer) (domain.Grant, error) {
	g, err := e.Sessions.Open(ctx, x, listen, record)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.grants = append(e.grants, g)
	return g, err
}

// forms are some of the ways in which a value can be seen.
func forms(value string) []string {
	quoted, _ := json.Marshal(value)
	all := []string{value, strings.Trim(string(quoted), `"`), base64.StdEncoding.EncodeToString([]byte(value)), base64.URLEncoding.EncodeToString([]byte(value))}
	for _, line := range strings.Split(value, "\n") {
		if len(line) > 20 && !strings.HasPrefix(line, "-----") {
			all = append(all, line)
		}
	}
	encoded := base64.StdEncoding.EncodeToString([]byte("user:" + value)) // of which the middle does not depend on neighbours
	return append(all, encoded[8:len(encoded)-4])
}

// wantUnseen checks that no form of a value is in the text, whatever its lines.
func wantUnseen(t *testing.T, where string, text []byte, values map[string]string) {
	t.Helper()
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\n"), nil), []byte("\r"), nil)
	for name, value := range values {
		for _, form := range forms(value) {
			if i := bytes.Index(text, []byte(strings.ReplaceAll(form, "\n", ""))); i >= 0 {
				t.Errorf("%s shows the %s as %q: %q", where, name, form, text[max(0, i-20):min(len(text), i+len(form)+20)])
			}
		}
	}
}

const (
	parameter  = `p4r/am+"éter<canary>`
	persistent = `pers1stent-canary\value`
	late       = "late-canary-value-0123456789"
)

func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	spy := &eavesdropper{Sessions: h.config.Sessions}
	h.config.Sessions = spy
	b := h.start(t)
	value := secret.New(persistent)
	if err := h.secrets.Write(t.Context(), cloud(1), "Torture", "1.0.0", map[string]*secret.Text{"kept": &value}); err != nil {
		t.Fatal(err)
	}
	run := func(name, cmdlet string, parameters ...string) domain.Execution {
		t.Helper()
		x := execution(1, name, cmdlet, parameters...)
		if err := b.secure(&x, "Secret", parameter); err != nil {
			t.Fatal(err)
		}
		return b.run(x)
	}
	shown := run("shown", "Write-Secret")
	wantSucceeded(t, shown)
	outputs := run("outputs", "Set-Leak")
	wantSucceeded(t, outputs)
	failed := run("failed", "Set-Leak", "Fail", "yes")
	wantFailed(t, failed, errors.ScriptFailed)
	if want := "it failed with [redacted] second line"; failed.Failure.Message != want {
		t.Errorf("the failure reads %q, not %q", failed.Failure.Message, want)
	}
	if outputs.NamedOutputs["leak"] != "it is [redacted]" || outputs.NamedOutputs["b64"] != "[redacted]" {
		t.Errorf("named outputs: %q", outputs.NamedOutputs)
	}
	grant := spy.grants[0]
	values := map[string]string{"parameter": parameter, "persistent secret": persistent, "token": grant.Token.Reveal(), "key": grant.Key.Reveal()}
	b.wantStreamsClean(t, shown.ID, values)
	b.stop()
	b.close(t)
	b.wantFilesClean(t, values)
}

// A secret that the script makes itself is taken out of what was stored before Airlock knew it.
func TestLateSecret(t *testing.T) {
	t.Parallel()
	b := newHome(t).start(t)
	x := b.run(execution(1, "late", "Set-Late", "Half", late[:14], "Rest", late[14:]))
	wantSucceeded(t, x)
	values := map[string]string{"late secret": late}
	b.wantStreamsClean(t, x.ID, values)
	if records := b.records(t, x.ID); len(records) != 2003 || records[7].Text != "7: it will be [redacted]" {
		t.Errorf("%d records, the eighth reads %q", len(records), records[7].Text)
	}
	b.stop()
	b.close(t)
	b.wantFilesClean(t, values)
}

// wantStreamsClean looks at the output of an execution, whole and stream by stream.
func (h *home) wantStreamsClean(t *testing.T, id string, values map[string]string) {
	t.Helper()
	streams := map[string][]byte{}
	masked := 0
	for _, r := range h.records(t, id) {
		for _, name := range []string{"the output", r.Stream.String()} {
			streams[name] = append(append(streams[name], r.Text...), '\n')
		}
		masked += strings.Count(r.Text, secret.Redacted)
	}
	for _, name := range slices.Sorted(maps.Keys(streams)) {
		wantUnseen(t, name, streams[name], values)
	}
	if masked < 4 {
		t.Errorf("only %d secrets were masked", masked)
	}
}

// wantFilesClean looks at all files, and at the log.
func (h *home) wantFilesClean(t *testing.T, values map[string]string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(h.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files++
		wantUnseen(t, path, data, values)
		return err
	})
	if err != nil || files < 2 {
		t.Errorf("%d files were read: %v", files, err)
	}
	wantUnseen(t, "the log", h.log.text(), values)
}

// A process's arguments and environment are for everybody on the machine to read.
func TestSecretsAreNotInArguments(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	spy := &eavesdropper{Sessions: h.config.Sessions}
	h.config.Sessions = spy
	b := h.start(t)
	x := execution(1, "waits", "Wait-Cancel")
	if err := b.secure(&x, "Secret", parameter); err != nil {
		t.Fatal(err)
	}
	x = b.submit(x)
	b.hears(t, x.ID, "ready")
	found := 0
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		environ, _ := os.ReadFile(filepath.Join(dir, "environ"))
		if !bytes.Contains(environ, []byte(x.ID)) { // its HOME
			continue
		}
		found++
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		wantUnseen(t, "its process", append(environ, cmdline...), map[string]string{
			"parameter": parameter, "token": spy.grants[0].Token.Reveal(), "key": spy.grants[0].Key.Reveal()})
	}
	if found == 0 {
		t.Error("the script's process was not found")
	}
}

// What a script calls its secrets, and how it fails, may show one: in the log no more than elsewhere.
func TestLogShowsNoSecret(t *testing.T) {
	t.Parallel()
	b := newHome(t).start(t)
	for i, name := range []string{parameter, strings.Repeat("x", 120) + parameter} {
		x := execution(1, fmt.Sprint("named", i), "Set-Named", "Name", name, "Value", "some-value")
		if err := b.secure(&x, "Secret", parameter); err != nil {
			t.Fatal(err)
		}
		x = b.run(x)
		wantFailed(t, x, errors.SecretNameInvalid)
		if strings.Contains(x.Failure.Message, parameter[:7]) {
			t.Errorf("it says %q", x.Failure.Message)
		}
	}
	if bytes.Contains(b.log.text(), []byte(parameter[:7])) {
		t.Errorf("the log: %s", b.log.text())
	}
}

func TestShortSecretsAreSaid(t *testing.T) {
	t.Parallel()
	b := newHome(t).start(t)
	x := execution(1, "short", "Test-Nothing")
	if err := b.secure(&x, "Secret", "abc"); err != nil {
		t.Fatal(err)
	}
	x = b.run(x)
	wantSucceeded(t, x)
	if want := "Secret values of fewer than 4 characters are not redacted from the output: secret."; x.Warning != want {
		t.Errorf("the warning reads %q", x.Warning)
	}
}
