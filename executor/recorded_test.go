package executor_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/executor/internal/psrp/psrptest"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/redact"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/secret"
)

// played are the recordings, by how their names begin, each of which an execution plays. The others are of the protocol,
// which TestReplay of package psrp goes through, and of the text of objects, which package powershell compares.
var played = []string{"cmd-", "convert-", "end-", "stream-", "state-", "import-", "param-", "inject-", "process-", "stop-", "key-",
	"plain-", "prompt-", "confirm-", "noise-", "env-", "unixsocket-"}

// notPlayed says why no execution plays a recording, "" for one that is played.
func notPlayed(r psrptest.Recording) string {
	switch {
	case r.Truncated != nil:
		return "its lines were cut"
	case r.Name == "stop-before-start":
		return "the recorder sent no pipeline"
	case r.Name == "stop-thread-sleep-second-pipeline":
		return "two pipelines at a time"
	}
	return ""
}

// scene is a recording as an execution plays it, and what has to come of it.
type scene struct {
	name       string
	play       psrptest.Play
	parameters []domain.Parameter
	secure     domain.SecureValues
	held       map[string]string // persistent secrets
	outcomes   []psrptest.Outcome
	left       map[string]string // what the recorder read of NamedOutputs and PersistentSecrets, as text by their names in lower case
	cancel     bool              // somebody has to
	id         string
}

// TestRecordedExecutions runs an execution for each recording, over a pwsh that says what was recorded: what a user sees has
// to be what PowerShell meant.
func TestRecordedExecutions(t *testing.T) {
	t.Parallel()
	all, err := psrptest.Recordings()
	if err != nil {
		t.Fatal(err)
	}
	var scenes, endless []*scene
	left := map[string]string{}
	for _, r := range all {
		if !slices.ContainsFunc(played, func(p string) bool { return strings.HasPrefix(r.Name, p) }) {
			continue
		}
		if why := notPlayed(r); why != "" {
			left[r.Name] = why
			continue
		}
		s, err := sceneOf(r)
		switch {
		case err != nil:
			t.Fatal(r.Name, err)
		case s.play.Run.Outcome.State == "StillRunning":
			endless = append(endless, s)
		case s.cancel: // they wait for it, so nothing waits for them
			scenes = slices.Insert(scenes, 0, s)
		default:
			scenes = append(scenes, s)
		}
	}
	if t.Logf("%d are played; left out: %v", len(scenes)+len(endless), left); len(left) > 9 { // 51 more are in TestReplay
		t.Errorf("%d recordings are left out", len(left))
	}
	perform(t, scenes, time.Minute)
	perform(t, endless, 100*time.Millisecond)
}

// perform plays scenes, each in a private cloud of its own. What is canceled is killed after the grace.
func perform(t *testing.T, scenes []*scene, grace time.Duration) {
	h, layouts := newHome(t), layouts{}
	h.config.Packages, h.config.PowerShell = layouts, filepath.Join(packageDir, "pwshdouble")
	for n, s := range scenes {
		s.push(t, h, layouts, n)
	}
	b := h.start(t, func(e *executor.Executor) { e.SetBounds(0, grace, 0) })
	for n, s := range scenes {
		s.submit(t, b, n)
	}
	for n, s := range scenes {
		t.Run(s.name, func(t *testing.T) { s.check(t, b, n) })
	}
}

// layouts is a package repository: directories by digest.
type layouts map[string]string

func (l layouts) Layout(_ context.Context, digest string) (string, error) { return l[digest], nil }

// sceneOf makes a scene of a recording: its step is the cmdlet, an import before it is the module's, and what the recorder
// read afterwards is what the cmdlet left.
func sceneOf(r psrptest.Recording) (*scene, error) {
	s := &scene{name: r.Name}
	steps := r.Steps()
	at := slices.IndexFunc(steps, func(s psrptest.Step) bool { return reflect.DeepEqual(s.Outcome, r.Outcome) })
	if last := len(steps) - 1; last > 0 && strings.HasPrefix(r.Name, "state-") && !strings.HasPrefix(r.Name, "state-error-") {
		at = last - 1
		s.read(steps[last])
	}
	var err error
	if s.play.Key, err = hex.DecodeString(r.Keys.SessionKey); err != nil {
		return nil, err
	}
	for i, step := range steps[:at+1] {
		statements, err := step.Statements()
		if err != nil {
			return nil, err
		}
		switch c := statements[0][0]; {
		case c.Text == "Import-Module" && len(statements) == 1:
			s.play.Import = step
			s.outcomes = []psrptest.Outcome{step.Outcome}
		case i == at:
			s.play.Run = step
			s.outcomes = append(s.outcomes, step.Outcome)
			s.call(statements)
		case c.Text == "Set-Variable" && len(statements) > 1 && statements[1][0].Argument("Name").Str() == "PersistentSecrets":
			s.held = map[string]string{}
			for _, p := range statements[1][0].Argument("Value").Pairs {
				s.held[p.Key.Str()] = p.Value.Str()
			}
		}
	}
	if s.play.Cmdlet == "" {
		s.play.Cmdlet = "Invoke-Recorded"
	}
	s.cancel = s.play.Run.WasStopped || s.play.Run.Outcome.State == "StillRunning"
	return s, nil
}

// call is how the cmdlet is called. A script, several commands, a command of PowerShell's that the runtime uses
// itself, and values that no parameter of an execution has are in the cmdlet Invoke-Recorded.
func (s *scene) call(statements [][]psrptest.Command) {
	c := statements[0][0]
	if len(statements) > 1 || len(statements[0]) > 2 || c.Script || c.Text == "Get-Variable" {
		return
	}
	types := map[string]manifest.Type{"S": manifest.String, "I32": manifest.Int, "Db": manifest.Float, "B": manifest.Bool,
		"SS": manifest.SecureString, "PSCredential": manifest.Credential}
	var server psrptest.Server
	server.SetKey(s.play.Key)
	var arguments []psrptest.Argument
	var parameters []domain.Parameter
	secure := domain.SecureValues{}
	for _, p := range c.Parameters {
		a, err := server.Argument(p)
		of, known := types[a.Kind]
		if err != nil || !known || a.Name == "" {
			return
		}
		parameter := domain.Parameter{Name: a.Name, Type: of, Value: a.Text}
		if a.Kind == "SS" || a.Kind == "PSCredential" {
			parameter.Value, parameter.Secure = "", true
			secure[strings.ToLower(a.Name)] = domain.SecureValue{Username: a.User, Password: secret.New(a.Text)}
		}
		arguments, parameters = append(arguments, a), append(parameters, parameter)
	}
	s.play.Cmdlet, s.play.Arguments, s.parameters, s.secure = c.Text[strings.LastIndexByte(c.Text, '\\')+1:], arguments, parameters, secure
}

// read takes what the recorder read of the variables, as objects for the double and as text to expect.
func (s *scene) read(step psrptest.Step) {
	names := []string{"namedoutputs", "persistentsecrets"}
	s.play.Variables, s.left = map[string][]string{}, map[string]string{}
	objects := step.Said[:len(step.Said)-1] // without the state
	for _, w := range step.Outcome.Streams {
		for _, name := range names {
			if of, text, is := strings.Cut(deref(w.Text), "="); is && strings.EqualFold(of, name) {
				s.left[name] = text
			}
		}
	}
	texts := len(s.left)
	if s.name == "state-get-variable" {
		s.left["namedoutputs"] = `Hashtable{A=1;N={"x":"y"}}`
	}
	for i, name := range names {
		if at := texts + i; at < len(objects) {
			s.play.Variables[name] = objects[at : at+1]
		}
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// push lays out a package whose module is the recording.
func (s *scene) push(t *testing.T, h *home, at layouts, n int) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(s.play)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{s.name + ".psd1": []byte("@{}"), psrptest.PlayName: b} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	digest := fmt.Sprintf("%064d", n)
	at[digest] = dir
	err = h.store.PutPackage(context.Background(), domain.Package{
		Name: s.name, Version: "1.0.0", Digest: digest, Pushed: time.Now(), Review: domain.Review{State: domain.Approved}, Manifest: manifest.Manifest{
			ManifestVersion: 1, Name: s.name, Version: "1.0.0", Runtime: manifest.PowerShell, Cmdlets: []manifest.Cmdlet{{Name: s.play.Cmdlet}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	held := map[string]*secret.Text{}
	for name, value := range s.held {
		text := secret.New(value)
		held[name] = &text
	}
	if err := h.secrets.Write(context.Background(), cloud(n), s.name, "1.0.0", held); err != nil {
		t.Fatal(err)
	}
}

// submit submits the scene's execution.
func (s *scene) submit(t *testing.T, b *bench, n int) {
	t.Helper()
	x := execution(n, s.name, s.play.Cmdlet)
	x.Package, x.Parameters, x.Timeout = domain.PackageRef{Name: s.name, Version: "1.0.0", Digest: fmt.Sprintf("%064d", n)}, s.parameters, time.Hour
	if len(s.secure) > 0 {
		key, err := b.keys.Make(x.ID)
		if err == nil {
			x.Sealed, err = seal.SealValues(key, x.ID, s.secure)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.id = b.submit(x).ID
}

// check waits for the end of the scene and compares it with what was recorded.
func (s *scene) check(t *testing.T, b *bench, n int) {
	want := s.streams()
	if s.cancel {
		s.stop(t, b, n)
	}
	x := b.until(t, s.id, final)
	var got []string
	for _, r := range b.records(t, x.ID) {
		got = append(got, r.Stream.String()+" "+r.Text)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the streams are\n%q, recorded was\n%q", got, want)
	}
	state, words := s.end()
	if x.State != state {
		t.Fatalf("it is %s with %+v, and should be %s with %q", x.State, x.Failure, state, words)
	}
	if state == domain.Failed {
		wantFailed(t, x, errors.ScriptFailed)
		for _, w := range words {
			if w = strings.Join(strings.Fields(w), " "); !strings.Contains(x.Failure.Message, w) {
				t.Errorf("the message %q does not say %q", x.Failure.Message, w)
			}
		}
	}
	s.checkLeft(t, b, x, n)
}

const agent = "Mozilla/5.0 (Linux; Linux 6.18.44-generic #1 SMP PREEMPT_DYNAMIC @0; ) PowerShell/7.6.5"

// byHand is what objects read as of which the recorder kept no text.
var byHand = map[string][]string{
	"cmd-get-command": {
		`{"Name":"Remove-Low","CommandType":"Function","Params":"Name,WhatIf,Confirm"}`,
		`{"Name":"Remove-Thing","CommandType":"Function","Params":"Name,WhatIf,Confirm"}`,
		`{"Name":"Set-Outputs","CommandType":"Function","Params":"How,Fail,Exit,Hang"}`,
	},
	"stream-information":           {`{"k":1}`, `{"N":5}`},
	"inject-set-variable-allscope": {"{}"},
	"unixsocket-array":             {`[{"i":1},{"i":2}]`},
	"unixsocket-error-skip":        {`{"error":"bad"}`},
	"unixsocket-headers":           {`{"Host":"localhost","User-Agent":"` + agent + `","Accept-Encoding":"gzip, deflate, br"}`},
	"unixsocket-object": {`{"name":"n","count":3,"big":5000000000,"f":1.5,"on":true,"none":null,"list":[1,"two",{"x":1}],"nested":{"a":{"b":"c"}},` +
		`"when":"2024-05-06T07:08:09Z"}`},
	"unixsocket-post": {`{"method":"POST","body":"{\"t\":\"é\",\"a\":1}","type":"application/json","headers":{"Host":"localhost",` +
		`"Authorization":"Bearer t","User-Agent":"` + agent + `","Accept-Encoding":"gzip, deflate, br",` +
		`"Content-Type":"application/json","Content-Length":"16"}}`},
}

// past is what somebody who watches has to see of a script that writes past PowerShell, of which the recorder kept nothing.
var past = map[string][]string{
	"noise-native-background":            {"Output bg-out", "Output rc 0"},
	"noise-native-background-nowait":     {"Output after", "Output late-out"},
	"noise-native-dotnet-process":        {"Output direct", "Output after"},
	"noise-stdout-stream-binary":         {"Output \\xff\\xfe\x00\\x80", "Output after"},
	"noise-stdout-stream-junk":           {"Output junk line", "Output after"},
	"noise-stdout-stream-junk-nonewline": {"Output before", "Output junk-no-newline", "Output after", "Output last"},
}

// streams are the lines that somebody who watches has to see.
func (s *scene) streams() (all []string) {
	if all, is := past[s.name]; is {
		return all
	}
	line, hand := "", byHand[s.name]
	begun := func() {
		if line != "" {
			all = append(all, "Information "+line)
			line = ""
		}
	}
	for _, o := range s.outcomes {
		for _, w := range o.Streams {
			text := deref(w.Text)
			switch {
			case w.Text == nil && len(hand) > 0 && w.Shape != "(message with empty data)":
				text, hand = hand[0], hand[1:]
			case w.Shape == "B":
				text = strings.ToUpper(text[:1]) + text[1:]
			case w.Shape == "SS":
				text = "System.Security.SecureString"
			}
			for _, v := range s.secure {
				if v.Password.Len() >= redact.MinLength {
					text = strings.ReplaceAll(text, v.Password.Reveal(), secret.Redacted)
				}
			}
			switch {
			case w.Stream == "Verbose" || w.Stream == "Debug" || w.Stream == "Progress":
			case w.Stream == "Information" && w.NoNewLine:
				line += text
			case w.Stream == "Information":
				all = append(all, "Information "+line+text)
				line = ""
			default:
				begun()
				all = append(all, w.Stream+" "+text)
			}
		}
		begun()
		if o.State == "Failed" {
			break
		}
	}
	if s.left != nil && !s.cancel { // what is not there any more is not taken for deleted
		left := entries(s.left["persistentsecrets"])
		for name := range s.held {
			if _, is := left[name]; !is {
				all = append(all, "Warning The persistent secret "+name+" is not in $PersistentSecrets any more and stays as it was; to delete it, set it to $null.")
			}
		}
	}
	return all
}

// end is how the execution has to end, and what its failure has to say.
func (s *scene) end() (domain.State, []string) {
	if s.cancel {
		return domain.Canceled, nil
	}
	for _, o := range s.outcomes {
		switch o.State {
		case "Failed", "Stopped":
			_, reason, isStop := strings.Cut(deref(o.Reason), "common parameter is set to Stop: ")
			if !isStop {
				reason = deref(o.Reason)
			}
			return domain.Failed, []string{strings.TrimSuffix(reason[:min(len(reason), 500)], ".")}
		case "ProcessExit":
			if *s.play.Run.Exit == 128+9 {
				return domain.Failed, []string{"process ended", "signal: killed"}
			}
			return domain.Failed, []string{"process ended", fmt.Sprint("exit code ", *s.play.Run.Exit)}
		}
		for _, call := range o.HostCalls {
			if call.Method == "SetShouldExit" && call.Parameters[0] != "0" {
				return domain.Failed, []string{"exit", fmt.Sprint(call.Parameters[0])}
			}
		}
	}
	return domain.Succeeded, nil
}

// stop cancels the execution when it has begun; of one that ends by the kill only, when all of it was heard.
func (s *scene) stop(t *testing.T, b *bench, n int) {
	t.Helper()
	x := b.until(t, s.id, func(x domain.Execution) bool {
		return !x.Started.IsZero() && (s.play.Run.Outcome.State != "StillRunning" || len(b.records(t, s.id)) == len(s.streams()))
	})
	if _, err := b.store.Cancel(context.Background(), cloud(n), x.Name); err != nil {
		t.Fatal(err)
	}
}

// checkLeft checks what is kept: all that the cmdlet left where it ended well, else nothing of it.
func (s *scene) checkLeft(t *testing.T, b *bench, x domain.Execution, n int) {
	t.Helper()
	outputs, kept := map[string]string{}, map[string]string{}
	for name, value := range s.held {
		kept[name] = value
	}
	if x.State == domain.Succeeded {
		for name, value := range entries(s.left["namedoutputs"]) {
			outputs[name] = value
		}
		for name, value := range entries(s.left["persistentsecrets"]) {
			kept[name] = value
		}
	}
	if fmt.Sprint(x.NamedOutputs) != fmt.Sprint(outputs) {
		t.Errorf("the named outputs are %v, recorded was %v", x.NamedOutputs, outputs)
	}
	values, err := b.secrets.Read(context.Background(), cloud(n), s.name)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, v := range values {
		got[name] = v.Reveal()
	}
	if fmt.Sprint(got) != fmt.Sprint(kept) {
		t.Errorf("kept is %v, recorded was %v", got, kept)
	}
}

// entries reads the text that the recorder made of a dictionary: "Hashtable{A=1;B=two}".
func entries(text string) map[string]string {
	all := map[string]string{}
	_, inside, _ := strings.Cut(strings.TrimSuffix(text, "}"), "{")
	for entry := range strings.SplitSeq(inside, ";") {
		if name, value, is := strings.Cut(entry, "="); is {
			all[name] = value
		}
	}
	return all
}
