package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/errors"
)

// demo is the client's side of the demo. It looks at the server through the ARM API only, but for the names of
// persistent secrets, which no API shows yet.
type demo struct {
	*transcript
	i       *installation
	c       *client
	cloud   string // resource id
	pkg     string // Name@Version
	packing time.Duration
	ran     int // executions
}

func (d *demo) run(ctx context.Context, pkg string) error {
	began := time.Now()
	vc := d.i.clouds[0].VCenter()
	d.detail("sddc1: vCenter %s, hosts %s, each with SSH and SFTP", vc.FQDN, d.hosts())
	d.detail("ARM API at %s over TLS, one bearer token", d.i.endpoint)
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return d.push(ctx, pkg) },
		d.inventory, d.health, d.account, d.accountAgain, d.failure, d.timeout, d.powerShell, d.nothingLeft,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	d.say("\nAll of it was so, in %.1f s and %.1f s for packing.", (time.Since(began) - d.packing).Seconds(), d.packing.Seconds())
	return nil
}

func (d *demo) hosts() string {
	var names []string
	for _, h := range d.i.clouds[0].SSH() {
		if short, _, isFQDN := strings.Cut(h.Name, "."); isFQDN {
			names = append(names, short)
		}
	}
	return strings.Join(names, ", ")
}

func (d *demo) push(ctx context.Context, source string) (err error) {
	d.step("A vendor's package is packed and pushed")
	if source == "" {
		if source, err = examplePackage("inventory"); err != nil {
			return err
		}
		d.detail("compiling examples/inventory to a static binary: some minutes the first time, then a second or two")
	}
	began := time.Now()
	p, err := d.i.packages.PushPath(ctx, source)
	if err != nil {
		return err
	}
	d.packing = time.Since(began)
	d.pkg = p.Ref()
	d.detail("%s, sha256 %.12s…: declarations read from the source, nothing of it run", d.pkg, p.Digest)
	cmdlets, err := d.c.list(ctx, d.cloud+"/scriptPackages/"+d.pkg+"/scriptCmdlets")
	if err != nil {
		return err
	}
	for _, r := range cmdlets {
		var props cmdletProperties
		if err := json.Unmarshal(r.Properties, &props); err != nil {
			return err
		}
		d.detail("%-19s %s", r.Name, props.Description)
	}
	return nil
}

// execution is what came of running a cmdlet, as the client saw it.
type execution struct {
	executionProperties
	records []record
}

func (x execution) wrote(text string) bool {
	return slices.ContainsFunc(x.records, func(r record) bool { return strings.Contains(r.Text, text) })
}

// shown is how many records of an execution the transcript has at most.
const shown = 12

// execute runs a cmdlet: PUT, the streams as they come, GET.
func (d *demo) execute(ctx context.Context, name, cmdlet, timeout string, parameters ...parameter) (x execution, err error) {
	var body executionBody
	body.Properties.ScriptCmdletID = d.cloud + "/scriptPackages/" + strings.Replace(d.pkg, "@1.0.0", "@1.*", 1) + "/scriptCmdlets/" + cmdlet
	body.Properties.Timeout, body.Properties.Parameters = timeout, parameters
	url := d.cloud + "/scriptExecutions/" + name
	d.detail("PUT …/scriptExecutions/%s", name)
	sent := time.Now()
	if _, err := d.c.do(ctx, http.MethodPut, url, body, nil); err != nil {
		return x, err
	}
	d.ran++
	err = d.c.follow(ctx, url, true, func(r record) error {
		if x.records = append(x.records, r); len(x.records) <= shown {
			d.detail("  %8s  %-11s  %s", millis(time.Since(sent)), r.Stream, r.Text)
		}
		return nil
	})
	if err != nil {
		return x, err
	}
	known := time.Since(sent)
	if more := len(x.records) - shown; more > 0 {
		d.detail("  %8s  and %d more records", "", more)
	}
	var r resource
	if _, err := d.c.do(ctx, http.MethodGet, url, nil, &r); err != nil {
		return x, err
	}
	if err := json.Unmarshal(r.Properties, &x.executionProperties); err != nil {
		return x, err
	}
	d.detail("%s: started after %s, ran %s, its client knew the end %s after the PUT", x.ProvisioningState,
		millis(x.StartedAt.Sub(x.SubmittedAt)), millis(x.FinishedAt.Sub(x.StartedAt)), millis(known))
	if x.FailureReason != "" {
		d.detail("%s: %s", x.FailureCode, x.FailureReason)
	}
	for _, key := range slices.Sorted(maps.Keys(x.NamedOutputs)) {
		value := x.NamedOutputs[key]
		if len(value) > 60 {
			value = value[:60] + "…"
		}
		d.detail("  %s = %s", key, value)
	}
	return x, nil
}

func (d *demo) inventory(ctx context.Context) error {
	d.step("Get-Inventory reads the vCenter: the script holds a token of this execution, the login is Airlock's")
	x, err := d.execute(ctx, "inventory", "Get-Inventory", "")
	if err != nil {
		return err
	}
	return d.check(x.ProvisioningState == "Succeeded" && x.wrote("esx01") && len(x.NamedOutputs) > 0,
		"it has succeeded, with output lines and named outputs")
}

func (d *demo) health(ctx context.Context) error {
	d.step("Test-HostHealth works on each host by SSH and SFTP, with a key of this execution")
	x, err := d.execute(ctx, "health", "Test-HostHealth", "")
	if err != nil {
		return err
	}
	return d.check(x.ProvisioningState == "Succeeded" && x.wrote("esx03"), "it has succeeded on every host")
}

func (d *demo) account(ctx context.Context) error {
	d.step("Set-ServiceAccount makes an SSO user; its password is kept as a persistent secret")
	x, err := d.execute(ctx, "account-1", "Set-ServiceAccount", "")
	if err != nil {
		return err
	}
	if err := d.check(x.NamedOutputs["password"] == "created", "there was no secret before: the password was created"); err != nil {
		return err
	}
	return d.secrets(ctx, "svc-airlock-password")
}

func (d *demo) accountAgain(ctx context.Context) error {
	d.step("Set-ServiceAccount again: the secret is there")
	x, err := d.execute(ctx, "account-2", "Set-ServiceAccount", "")
	if err != nil {
		return err
	}
	return d.check(x.NamedOutputs["password"] == "reused", "the password of the first run was reused")
}

func (d *demo) failure(ctx context.Context) error {
	d.step("Invoke-Failure writes on all streams, prints a secret that it sets, and fails")
	x, err := d.execute(ctx, "failure", "Invoke-Failure", "")
	if err != nil {
		return err
	}
	streams := map[string]bool{}
	for _, r := range x.records {
		streams[r.Stream] = true
	}
	return cmp.Or(
		d.check(x.ProvisioningState == "Failed" && x.FailureCode == string(errors.ScriptFailed) && x.FailureReason != "", "it has failed, and says why in one sentence"),
		d.check(len(streams) == 4, "all four streams arrived, in one order"),
		d.check(x.wrote("[redacted]") && !x.wrote("set by a cmdlet that fails"), "the secret that it printed reads [redacted]"),
		d.check(len(x.NamedOutputs) == 0, "its named outputs were not kept"),
		d.secrets(ctx, "svc-airlock-password"),
	)
}

func (d *demo) timeout(ctx context.Context) error {
	d.step("Start-Sleep for 60 s with a timeout of 1 s")
	seconds := "60"
	x, err := d.execute(ctx, "timeout", "Start-Sleep", "PT1S", parameter{Name: "Seconds", Type: "Value", Value: &seconds})
	if err != nil {
		return err
	}
	return d.check(x.ProvisioningState == "Failed" && x.FailureCode == string(errors.ScriptTimedOut), "it was asked to end after 1 s and has failed with ScriptTimedOut")
}

// powerShell runs a cmdlet of a PowerShell module, where there is a PowerShell.
func (d *demo) powerShell(ctx context.Context) error {
	d.step("Set-ServicePassword is a cmdlet in PowerShell; it keeps a secret, too")
	source, err := examplePackage("powershell-inventory")
	if err != nil {
		d.detail("left out: %s", err)
		return nil
	}
	p, err := d.i.packages.PushPath(ctx, source)
	if err != nil {
		return err
	}
	shown, said := d.w, &bytes.Buffer{}
	defer func(pkg string) { d.w, d.pkg = shown, pkg }(d.pkg)
	d.w, d.pkg = said, p.Ref()
	x, err := d.execute(ctx, "powershell", "Set-ServicePassword", "")
	if err != nil {
		return err
	}
	d.w = shown
	if x.FailureCode == string(errors.ScriptRuntimeMissing) {
		d.detail("left out: %s", x.FailureReason)
		return nil
	}
	d.say("%s", strings.TrimSuffix(said.String(), "\n"))
	return cmp.Or(
		d.check(x.ProvisioningState == "Succeeded" && x.NamedOutputs["password"] == "created", "it has succeeded, with a named output"),
		d.secrets(ctx, "svc-airlock-password"),
	)
}

// secrets checks the names of the package's persistent secrets.
func (d *demo) secrets(ctx context.Context, want string) error {
	name, _, _ := strings.Cut(d.pkg, "@")
	kept, err := d.i.secrets.Read(ctx, d.i.clouds.first(), name)
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(kept))
	return d.check(slices.Equal(names, []string{want}), "persistent secrets of the package now: %s", strings.Join(names, ", "))
}

func (d *demo) nothingLeft(ctx context.Context) error {
	d.step("Afterwards")
	bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	idle := d.i.clouds[0].WaitIdle(bounded)
	open := d.i.clouds[0].Open()
	list, err := d.c.list(ctx, d.cloud+"/scriptExecutions")
	if err != nil {
		return err
	}
	var names []string
	for _, r := range list {
		names = append(names, path.Base(r.ID))
	}
	return cmp.Or(
		d.check(idle == nil, "at the private cloud %d vCenter sessions and %d SSH connections are open", open.Sessions, open.SSHConnections),
		d.check(len(names) == d.ran, "the executions read as ARM resources: %s", strings.Join(names, ", ")),
	)
}
