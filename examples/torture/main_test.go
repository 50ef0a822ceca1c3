package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/sdktest"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sdk/wire"
)

// asPackage makes the test's own program be the package's.
const asPackage = "TORTURE_TEST_AS_PACKAGE"

func TestMain(m *testing.M) {
	if os.Getenv(asPackage) != "" || os.Getenv(asChild) != "" {
		main()
	}
	os.Exit(m.Run())
}

type arguments = map[string]wire.Argument

func str(s string) wire.Argument { return wire.Argument{Type: manifest.String, Value: s} }

func num(n int) wire.Argument { return wire.Argument{Type: manifest.Int, Value: strconv.Itoa(n)} }

// run runs a cmdlet, and returns what it wrote to stdout and stderr too.
func run(t *testing.T, start wire.Start) (sdktest.Result, string, error) {
	t.Helper()
	var both bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{asPackage + "=1"}
	cmd.Stdout, cmd.Stderr = &both, &both
	result, err := sdktest.Host{Start: start}.Run(t.Context(), cmd)
	return result, both.String(), err
}

func succeeds(t *testing.T, start wire.Start) (sdktest.Result, string) {
	t.Helper()
	r, both, err := run(t, start)
	if err != nil || r.End.Failure != "" {
		t.Fatalf("it failed: %s, %v\n%s", r.End.Failure, err, both)
	}
	return r, both
}

func TestWriteLines(t *testing.T) {
	t.Parallel()
	r, _ := succeeds(t, wire.Start{Cmdlet: "Write-Lines", Parameters: arguments{"Count": num(1003)}})
	lines := map[string]bool{}
	for _, rec := range r.Records {
		lines[rec.Text] = true
	}
	if len(lines) != 1003 || !lines["line 0 250"] || lines["line 3 250"] {
		t.Errorf("%d different lines, want 1003 over 4 writers", len(lines))
	}
}

func TestWriteSecret(t *testing.T) {
	t.Parallel()
	r, both := succeeds(t, wire.Start{
		Cmdlet: "Write-Secret", Secrets: map[string]secret.Text{"kept": secret.New("correct horse")},
		Parameters: arguments{
			"Key":        {Type: manifest.SecureString, Secret: secret.New("hunter\"2\"")},
			"Login":      {Type: manifest.Credential, Username: "u", Secret: secret.New("swordfish")},
			"SecretName": str("Kept"),
		},
	})
	for _, v := range []string{"correct horse", "hunter\"2\"", "swordfish"} {
		escaped, _ := json.Marshal(v)
		for _, form := range []string{v, string(escaped), base64.StdEncoding.EncodeToString([]byte(v))} {
			for _, text := range []string{both, r.Text(wire.KindOutput), r.Text(wire.KindInformation), r.Text(wire.KindWarning), r.Text(wire.KindError)} {
				if !strings.Contains(text, form) {
					t.Errorf("%s is missing in\n%s", form, text)
				}
			}
		}
	}
}

func TestNewSecret(t *testing.T) {
	t.Parallel()
	start := wire.Start{Cmdlet: "New-Secret", Parameters: arguments{
		"Name": str("made"), "Reversed": str("hsifdrows"), "Fail": {Type: manifest.Bool, Value: "true"},
	}}
	r, _, err := run(t, start)
	if err != nil || r.End.Failure != "failing with the secret swordfish" || len(r.Secrets) != 1 || r.Secrets[0].Value.Reveal() != "swordfish" {
		t.Errorf("%v, failure %q, secrets %v", err, r.End.Failure, r.Secrets)
	}
}

func TestWriteLog(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/log"
	for _, name := range []string{"a", "b"} {
		succeeds(t, wire.Start{Cmdlet: "Write-Log", ExecutionName: name, Parameters: arguments{"File": str(file), "Milliseconds": num(1)}})
	}
	log, err := os.ReadFile(file)
	words := strings.Fields(string(log))
	if err != nil || len(words) != 12 || !slices.IsSorted([]string{words[2], words[5], words[8], words[11]}) || words[9] != "end" || words[10] != "b" {
		t.Errorf("%v, the log is\n%s", err, log)
	}
	r, _ := succeeds(t, wire.Start{Cmdlet: "Write-Log", ExecutionName: "c"})
	if words := strings.Fields(r.Text(wire.KindOutput)); len(words) != 6 || words[0] != "start" || words[1] != "c" || words[3] != "end" {
		t.Errorf("without a file it writes %q", r.Records)
	}
}

func TestWhatIsNotUTF8OrTooLarge(t *testing.T) {
	t.Parallel()
	r, both := succeeds(t, wire.Start{Cmdlet: "Write-Binary"})
	if len(r.Records) != 3 || !strings.Contains(r.Records[0].Text, "caf\xe9 \x00") || !strings.Contains(both, "\xff\xfe") {
		t.Errorf("records %q, stdout %q", r.Records, both)
	}
	r, _ = succeeds(t, wire.Start{Cmdlet: "Write-Huge", Parameters: arguments{"Megabytes": num(3), "LineLength": num(2 << 20)}})
	if n := len(strings.ReplaceAll(r.Text(wire.KindOutput), "\n", "")); n != 4<<20 || len(r.Records) != 4 {
		t.Errorf("%d bytes in %d records, want two lines of 2 MiB", n, len(r.Records))
	}
	r, _ = succeeds(t, wire.Start{Cmdlet: "Set-BigOutput", Parameters: arguments{"Bytes": num(33_000)}})
	if n := len(r.End.NamedOutputs["big"]); n != 33_000 {
		t.Errorf("a named output of %d bytes, want 33000", n)
	}
}

func TestStartChildren(t *testing.T) {
	t.Parallel()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{asPackage + "=1"}
	cmd.Stdout = null
	r, err := sdktest.Host{Start: wire.Start{Cmdlet: "Start-Children", Parameters: arguments{"Count": num(2)}}}.Run(t.Context(), cmd)
	if err != nil || r.End.Failure != "" {
		t.Fatal(err, r.End.Failure)
	}
	var pids []int
	if err := json.Unmarshal([]byte(r.Text(wire.KindOutput)), &pids); err != nil || len(pids) != 2 {
		t.Fatalf("the output is %q", r.Text(wire.KindOutput))
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Errorf("the child %d was not left behind: %v", pid, err)
		}
	}
}

func TestStopHard(t *testing.T) {
	t.Parallel()
	for how, says := range map[string]string{"exit": "exit status 3", "crash": "exit status 2", "kill": "signal: killed"} {
		if _, _, err := run(t, wire.Start{Cmdlet: "Stop-Hard", Parameters: arguments{"How": str(how)}}); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "without an End") {
			t.Errorf("%s: %v, want %q and no End", how, err, says)
		}
	}
	r, _, err := run(t, wire.Start{Cmdlet: "Stop-Hard", Parameters: arguments{"How": str("panic")}})
	if err != nil || r.End.Failure != "panic: told to panic" || !strings.Contains(r.Text(wire.KindError), "stopHard") {
		t.Errorf("panic: %v, failure %q", err, r.End.Failure)
	}
}

func TestParametersEcho(t *testing.T) {
	t.Parallel()
	r, _ := succeeds(t, wire.Start{Cmdlet: "Test-Parameters", Parameters: arguments{
		"Text": str("a"), "Number": num(-1), "Ratio": {Type: manifest.Float, Value: "0.5"}, "Flag": {Type: manifest.Bool, Value: "False"},
		"Key": {Type: manifest.SecureString, Secret: secret.New("1234")}, "Login": {Type: manifest.Credential, Username: "u", Secret: secret.New("12345")},
	}})
	if want := `{"Flag":false,"Key":4,"Login":"u/5","Number":-1,"Ratio":0.5,"Text":"a"}` + "\n"; r.Text(wire.KindOutput) != want {
		t.Errorf("it got %s, want %s", r.Text(wire.KindOutput), want)
	}
}

func TestIgnoreCancel(t *testing.T) {
	t.Parallel()
	r, _ := succeeds(t, wire.Start{Cmdlet: "Ignore-Cancel", Parameters: arguments{"Seconds": num(1)}})
	if r.Text(wire.KindOutput) != "running\n" {
		t.Errorf("the output is %q", r.Text(wire.KindOutput))
	}
}
