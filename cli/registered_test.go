package cli

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/ssoadmin"
	"github.com/vmware/govmomi/sts"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"

	"github.com/airlock-run/airlock/cli/internal/config"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/secrets"
	"github.com/airlock-run/airlock/sessions/simcloud"
)

// realCloud is a private cloud that the server does not simulate: it has to be registered.
func realCloud(t testing.TB, name string) *simcloud.Cloud {
	t.Helper()
	c, err := simcloud.Start(t.Context(), simcloud.Config{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// rotate changes the password of the vCenter's user, as the vCenter's people do.
func rotate(t testing.TB, c *simcloud.Cloud, password string) {
	t.Helper()
	ctx, vc := t.Context(), c.VCenter()
	u, err := url.Parse(vc.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := soap.NewClient(u, false)
	defer s.CloseIdleConnections()
	tr := s.DefaultTransport()
	tr.TLSClientConfig.RootCAs = x509.NewCertPool()
	tr.TLSClientConfig.RootCAs.AppendCertsFromPEM(vc.CA)
	tr.Proxy, tr.DialContext, tr.DialTLSContext = nil, c.Dial, nil
	user := url.UserPassword(vc.User, vc.Password.Reveal())
	err = func() error {
		client, err := vim25.NewClient(ctx, s)
		if err != nil {
			return err
		}
		m := session.NewManager(client)
		if err := m.Login(ctx, user); err != nil {
			return err
		}
		defer func() { _ = m.Logout(context.WithoutCancel(ctx)) }()
		admin, err := ssoadmin.NewClient(ctx, client)
		if err != nil {
			return err
		}
		tokens, err := sts.NewClient(ctx, client)
		if err != nil {
			return err
		}
		signer, err := tokens.Issue(ctx, sts.TokenRequest{Userinfo: user})
		if err != nil {
			return err
		}
		if err := admin.Login(admin.WithHeader(ctx, soap.Header{Security: signer})); err != nil {
			return err
		}
		return admin.ResetPersonPassword(ctx, "scripting", password)
	}()
	if err != nil {
		t.Fatal(err)
	}
}

// command runs a command of the command line against the server, and returns its exit code and what it printed.
func (p *process) command(t testing.TB, stdin string, args ...string) (code int, output string) {
	t.Helper()
	var out strings.Builder
	env := map[string]string{
		"AIRLOCK_ENDPOINT": p.endpoint, "AIRLOCK_TOKEN": p.token, "AIRLOCK_CA": filepath.Join(p.dir, "ca.pem"), "AIRLOCK_PRIVATE_CLOUD": cloudPath(1),
	}
	a := &app{stdin: strings.NewReader(stdin), stdout: &out, stderr: &out, getenv: func(name string) string { return env[name] }}
	code = run(t.Context(), a, args)
	return code, out.String()
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// No reference leads to what the server keeps for itself: whoever registers private clouds could have it sent anywhere.
func TestReferencesToTheServersOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	if err := os.MkdirAll(filepath.Join(state, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"state/key", "state/secrets/x.json", "master", "tls.pem", "state-of-another", "vc"} {
		write(t, filepath.Join(dir, name), "what is in "+name+"\n")
	}
	if err := errors.Join(os.Symlink(state, filepath.Join(dir, "link")), os.Link(filepath.Join(dir, "master"), filepath.Join(dir, "hard"))); err != nil {
		t.Fatal(err)
	}
	r := registered{
		getenv: func(name string) string { return "value of " + name },
		own: own{
			state: filepath.Join(dir, "link"), tls: config.TLS{Key: filepath.Join(dir, "tls.pem")},
			key: config.MasterKey{File: filepath.Join(dir, "master"), Environment: "AIRLOCK_MASTER_KEY"},
		},
	}
	for _, ref := range []domain.Reference{
		{Environment: "AIRLOCK_MASTER_KEY"}, {File: filepath.Join(state, "key")}, {File: dir + "/vc/../state/secrets/x.json"},
		{File: dir + "/link/key"}, {File: dir + "/link/secrets/../key"}, {File: "/proc/self/root" + state + "/key"},
		{File: dir + "/master"}, {File: dir + "/hard"}, {File: dir + "/tls.pem"},
	} {
		if got, err := r.Credential(t.Context(), domain.CloudID{}, ref); err == nil {
			t.Errorf("%s gives %q", ref, got.Reveal())
		}
	}
	for value, ref := range map[string]domain.Reference{
		"value of VC_PASSWORD": {Environment: "VC_PASSWORD"}, "what is in vc": {File: dir + "/vc"},
		"what is in state-of-another": {File: dir + "/state-of-another"},
	} {
		if got, err := r.Credential(t.Context(), domain.CloudID{}, ref); err != nil || got.Reveal() != value {
			t.Errorf("%s gives %q, %v", ref, got.Reveal(), err)
		}
	}
}

// A private cloud that is registered, not simulated: its logins are tested, executions use them and find a rotated
// password, and with its removal everything goes that was kept for it.
func TestRegisteredPrivateCloud(t *testing.T) {
	t.Parallel()
	cloud := realCloud(t, "rack1")
	vc, hosts := cloud.VCenter(), cloud.SSH()
	p := serveDev(t, stateDir(t), "--package", nupkg(t, "inventory"))
	dir := t.TempDir()
	password, esx, authority := filepath.Join(dir, "vc"), filepath.Join(dir, "esx"), filepath.Join(dir, "ca.pem")
	write(t, authority, string(vc.CA))
	write(t, esx, hosts[1].Password.Reveal()+"\n")
	expect := func(want int, args []string, messages ...string) string {
		t.Helper()
		code, out := p.command(t, "", args...)
		if code != want {
			t.Fatalf("airlock %s ended with %d, want %d:\n%s", strings.Join(args, " "), code, want, out)
		}
		for _, m := range messages {
			if !strings.Contains(out, m) {
				t.Errorf("airlock %s does not say %q:\n%s", strings.Join(args, " "), m, out)
			}
		}
		return out
	}
	words := func(format string, args ...any) []string { return strings.Fields(fmt.Sprintf(format, args...)) }

	// The first try lacks the password and one of the hosts' secrets, and says so; the registration is there.
	add := words("private-cloud add -n rack1 --vcenter %s --address %s --user %s --password-file %s --ca-file %s --location rack --dev", vc.FQDN, vc.Addr, vc.User, password, authority)
	add = append(add, words("--host %s=%s --host %s=%s --host vc=%s", hosts[0].Name, hosts[0].Addr, hosts[1].Name, hosts[1].Addr, hosts[3].Addr)...)
	add = append(add, words("--ssh-password-file esx02*=%s --ssh-password-secret esx01*=esx-1 --ssh-password-secret vc=vc-root", esx)...)
	expect(6, add, "ok      "+vc.FQDN+" certificate", "FAILED  "+vc.FQDN+" login: Airlock cannot read the file "+password+": there is no such file on the server",
		"FAILED  "+hosts[0].Name+" SSH: There is nothing in the secret esx-1", "ok      "+hosts[1].Name+" SSH", "tests failed")
	expect(5, add, "registered already")
	write(t, password, vc.Password.Reveal()+"\n")
	if err := os.Chmod(password, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]secret.Text{"esx-1": hosts[0].Password, "vc-root": hosts[3].Password} {
		if code, out := p.command(t, value.Reveal()+"\n", "private-cloud", "set-secret", name, "-n", "rack1"); code != 0 || out != "" {
			t.Fatalf("set-secret %s: %d, %s", name, code, out)
		}
	}
	expect(6, words("private-cloud check -n rack1"), "is open to others than its owner")
	if err := os.Chmod(password, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(0, words("private-cloud check -n rack1"), "login: Airlock logs in as "+vc.User, "The inventory has 3 hosts", "VC SSH: Airlock logs in to VC as root")
	shown := expect(0, words("private-cloud show -n rack1 -o json"), password, `"secret": "esx-1"`, `"dev": true`)
	for _, s := range []secret.Text{vc.Password, hosts[0].Password, hosts[1].Password} {
		if strings.Contains(shown, s.Reveal()) {
			t.Error("show shows a password")
		}
	}
	// Other ways to know the vCenter, and the hosts that it lists; what a change leaves out stays.
	expect(6, words("private-cloud update -n rack1 --thumbprint %s", strings.Repeat("AB", 32)), "shows another certificate than the one that is registered: its SHA-256 thumbprint is ")
	expect(0, words("private-cloud update -n rack1 --ca-file %s", authority), "VC SSH")
	file := filepath.Join(dir, "cloud.json")
	write(t, file, expect(0, words("private-cloud show -n rack1 -o json")))
	expect(0, words("private-cloud update -n rack1 --file %s", file), hosts[0].Name+" SSH: Airlock logs in")

	// Executions go through these logins, and a rotated password is found by the next one.
	path := strings.Replace(cloudPath(1), "sddc1", "rack1", 1)
	execute := func(want int, name, cmdlet, message string) {
		t.Helper()
		expect(want, words("script-execution create -c rack1 -n %s --script-cmdlet-id Airlock.Examples.Inventory@1.*/%s", name, cmdlet), message)
	}
	execute(0, "before", "Get-Inventory", "Succeeded")
	execute(0, "hosts", "Test-HostHealth", hosts[1].Name+": healthy")
	rotate(t, cloud, "rotated-by-a-test")
	execute(6, "between", "Get-Inventory", "refused Airlock's own login")
	write(t, password, "rotated-by-a-test\n")
	execute(0, "after", "Get-Inventory", "Succeeded")

	// A host with another key is not entered until somebody accepts it.
	expect(0, words("private-cloud update -n rack1 --file %s", file))
	wrong := domain.FormatHostKey(hosts[1].HostKey)
	pin := append(words("private-cloud update -n rack1 --host-key"), hosts[0].Name+"="+wrong)
	expect(6, pin, "--host-key '"+hosts[0].Name+"="+domain.FormatHostKey(hosts[0].HostKey)+"'")
	expect(0, append(words("private-cloud update -n rack1 --host-key"), hosts[0].Name+"="+domain.FormatHostKey(hosts[0].HostKey)))

	audit, err := os.ReadFile(filepath.Join(p.dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{vc.Password.Reveal(), hosts[0].Password.Reveal(), hosts[1].Password.Reveal(), "rotated-by-a-test"} {
		if strings.Contains(string(audit)+p.log.String(), s) {
			t.Error("a password stands in the audit or the log")
		}
	}
	for _, action := range []string{"privateClouds/write", "privateClouds/secrets/write", "privateClouds/check/action", "vcenter/login", "ssh/login"} {
		if !strings.Contains(string(audit), action) {
			t.Errorf("the audit has no %s", action)
		}
	}

	expect(2, words("private-cloud remove -n rack1"), "standard input is no terminal: give --yes")
	expect(0, words("private-cloud remove -n rack1 --yes"), "removed rack1, with the records")
	expect(3, words("private-cloud show -n rack1"))
	expect(3, words("script-execution show -c rack1 -n before"))
	p.stop(t)
	nothingKept(t, p.dir, path)
}

// nothingKept checks that a stopped server has nothing of a private cloud.
func nothingKept(t testing.TB, dir, path string) {
	t.Helper()
	key, err := seal.LoadOrCreate(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := domain.ParseCloudID(path)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := secrets.OpenFile(filepath.Join(dir, "secrets"), key.Derive("persistent secrets"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range []string{domain.OwnSecrets, "Airlock.Examples.Inventory"} {
		if left, err := kept.Read(t.Context(), id, pkg); err != nil || len(left) > 0 {
			t.Errorf("secrets of %s are left: %v, %v", pkg, left, err)
		}
	}
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(dir, "airlock.db"), Key: key.Derive("output")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if left, err := s.HostKeys(t.Context(), id); err != nil || len(left) > 0 {
		t.Errorf("host keys are left: %v, %v", left, err)
	}
}
