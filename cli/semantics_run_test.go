package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/cli/internal/config"
	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/sdk/secret"
)

// wantPowerShell skips a test that needs a real PowerShell where there is none.
func wantPowerShell(t *testing.T) {
	t.Helper()
	if executor.FindPowerShell("", os.Getenv) == "" {
		t.Skip("there is no PowerShell here to run it with: neither AIRLOCK_PWSH nor PATH names a pwsh")
	}
}

// semanticsBench is a server in this process with the packages of the suite.
type semanticsBench struct {
	*installation
	client *client
	free   chan int // simulated private clouds that run nothing, by number
}

// Each call of the suite shows, on a real PowerShell and through the whole server, what is written beside its cmdlet.
func TestPowerShellSemantics(t *testing.T) {
	wantPowerShell(t)
	b := newSemanticsBench(t, 4)
	for _, pkg := range semanticsPackages(t) {
		pushSemantics(t, b.packages, pkg)
		for _, s := range readSemantics(t, pkg) {
			for _, c := range s.calls {
				t.Run(fmt.Sprintf("%s/%s:%d", pkg, s.name, c.line), func(t *testing.T) {
					t.Parallel()
					b.check(t, c)
				})
			}
		}
	}
}

func newSemanticsBench(t *testing.T, clouds int) *semanticsBench {
	t.Helper()
	log := new(lockedBuffer)
	cfg := installationConfig{Config: config.Default(), clouds: clouds, getenv: os.Getenv, log: slog.New(slog.NewTextHandler(log, nil))}
	cfg.State, cfg.Listen, cfg.Isolation = stateDir(t), "127.0.0.1:0", isolation()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context())) // it is needed until the cleanup
	i, err := install(ctx, cfg)
	if err != nil {
		stop()
		t.Fatal(err)
	}
	b := &semanticsBench{installation: i, free: make(chan int, clouds)}
	for n := range clouds {
		b.free <- n + 1
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- i.Run(ctx, func() error { close(ready); return nil }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server ended badly: %v", err)
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
		_ = removeState(i.dir) // layouts are read-only
		if t.Failed() {
			t.Logf("the server's log:\n%s", log)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	if b.client, err = i.client(); err != nil {
		t.Fatal(err)
	}
	return b
}

// check makes a call on a private cloud of its own, and compares what it shows.
func (b *semanticsBench) check(t *testing.T, c specifiedCall) {
	if c.isolated && b.cfg.Isolation == executor.IsolationNone {
		t.Skip("this machine cannot isolate scripts")
	}
	n := <-b.free
	defer func() { b.free <- n }()
	cloud := simulatedID(fmt.Sprintf("sddc%d", n))
	had := map[string]*secret.Text{}
	for name, text := range c.had {
		value := secret.New(text)
		had[name] = &value
	}
	if err := b.secrets.Write(t.Context(), cloud, c.pkg, "1.0.0", had); err != nil {
		t.Fatal(err)
	}
	x, refused := b.execute(t, cloudPath(n), c)
	if refused != nil || c.refused != "" {
		if refused == nil || c.refused == "" || !strings.Contains(refused.Error(), c.refused) {
			t.Errorf("the API says %v, want a refusal that says %q", refused, c.refused)
		}
		return
	}
	for _, difference := range c.differences(x) {
		t.Error(difference)
	}
	kept, err := b.secrets.Read(t.Context(), cloud, c.pkg)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range c.kept {
		if v, ok := kept[name]; !ok || v.Reveal() != want {
			t.Errorf("the persistent secret %s is %q (there: %v), want %q", name, v.Reveal(), ok, want)
		}
	}
	for _, name := range c.gone {
		if v, ok := kept[name]; ok {
			t.Errorf("the persistent secret %s is there: %q", name, v.Reveal())
		}
	}
}

// execute submits a call and follows it to its end.
func (b *semanticsBench) execute(t *testing.T, cloud string, c specifiedCall) (x execution, refused error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var body executionBody
	body.Properties.ScriptCmdletID = cloud + "/scriptPackages/" + c.pkg + "@1.0.0/scriptCmdlets/" + c.cmdlet
	body.Properties.Timeout, body.Properties.Parameters = c.timeout, c.parameters
	path := fmt.Sprintf("%s/scriptExecutions/%s-%d", cloud, c.cmdlet, c.line)
	if _, err := b.client.do(ctx, http.MethodPut, path, body, nil); err != nil {
		return x, err
	}
	err := b.client.follow(ctx, path, true, func(r record) error {
		x.records = append(x.records, r)
		if c.cancelAfter == "" || r.Text != c.cancelAfter {
			return nil
		}
		_, err := b.client.do(ctx, http.MethodPost, path+"/cancel", nil, nil)
		return err
	})
	if err != nil {
		t.Fatalf("following it, after %q: %v", lines(x.records), err)
	}
	var r resource
	if _, err := b.client.do(ctx, http.MethodGet, path, nil, &r); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(r.Properties, &x.executionProperties); err != nil {
		t.Fatal(err)
	}
	return x, nil
}

// differences says in what an execution differs from what is written beside its cmdlet.
func (c specifiedCall) differences(x execution) (all []string) {
	differs := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if x.ProvisioningState != c.state || x.FailureCode != c.code {
		differs("it is %s %s %q, want %s %s", x.ProvisioningState, x.FailureCode, x.FailureReason, c.state, c.code)
	}
	for _, text := range c.says {
		if !strings.Contains(x.FailureReason, text) {
			differs("the failureReason is %q, want it to say %q", x.FailureReason, text)
		}
	}
	if !maps.Equal(x.NamedOutputs, c.named) {
		differs("the named outputs are %q, want %q", x.NamedOutputs, c.named)
	}
	got, want := lines(x.records), lines(c.records)
	if c.anyOrder {
		slices.Sort(got)
		slices.Sort(want)
	}
	if !slices.EqualFunc(got, want, matches) {
		differs("it wrote\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	return all
}

// Every difference is found, and none where there is none.
func TestPowerShellSemanticsCompared(t *testing.T) {
	t.Parallel()
	var s specified
	for _, line := range []string{"call", "Output a", `Warning "b\nc"`, "Error ~ ^d+$", "ends Failed", "says boom", "named N = 1"} {
		if err := s.read(line, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	same := func() (x execution) {
		x.ProvisioningState, x.FailureCode, x.FailureReason = "Failed", "ScriptFailed", "a boom here"
		x.NamedOutputs = map[string]string{"N": "1"}
		x.records = []record{{Stream: "Output", Text: "a"}, {Stream: "Warning", Text: "b\nc"}, {Stream: "Error", Text: "ddd"}}
		return x
	}
	if found := s.calls[0].differences(same()); len(found) > 0 {
		t.Errorf("it differs: %q", found)
	}
	for name, change := range map[string]func(*execution){
		"state": func(x *execution) { x.ProvisioningState = "Succeeded" }, "code": func(x *execution) { x.FailureCode = "ScriptTimedOut" },
		"reason": func(x *execution) { x.FailureReason = "bang" }, "output": func(x *execution) { x.NamedOutputs["M"] = "" },
		"value": func(x *execution) { x.NamedOutputs["N"] = "2" }, "order": func(x *execution) { slices.Reverse(x.records) },
		"text": func(x *execution) { x.records[0].Text = "ab" }, "stream": func(x *execution) { x.records[2].Stream = "Output" },
		"pattern": func(x *execution) { x.records[2].Text = "e" }, "more": func(x *execution) { x.records = append(x.records, x.records[0]) },
		"fewer": func(x *execution) { x.records = x.records[:2] },
	} {
		x := same()
		change(&x)
		if found := s.calls[0].differences(x); len(found) != 1 {
			t.Errorf("%s: the differences found are %q", name, found)
		}
	}
}

// lines are records with their streams.
func lines(records []record) (all []string) {
	for _, r := range records {
		all = append(all, r.Stream+" "+r.Text)
	}
	return all
}

// matches compares a record's line with one that may have a regular expression for its text.
func matches(got, want string) bool {
	stream, text, _ := strings.Cut(got, " ")
	wantStream, pattern, _ := strings.Cut(want, " ")
	pattern, isPattern := strings.CutPrefix(pattern, "~ ")
	return got == want || isPattern && stream == wantStream && regexp.MustCompile(pattern).MatchString(text)
}
