package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/vim25/mo"
	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/packages"
	"github.com/airlock-run/airlock/sessions/simcloud"
)

const (
	planted  = "what is planted"
	ownToken = "the execution's own token"

	soapSession = "the session in the cookie vmware_soap_session for /sdk"
)

// A script that uses all that an execution is given has nothing of what Airlock logs in with, and neither does what is
// kept of it: it is looked for from outside, in the script's memory, processes, files and output.
func TestNoCredentialWithinReach(t *testing.T) {
	t.Parallel()
	if isolation() == executor.IsolationNone {
		t.Log("this machine cannot isolate scripts: of files only the script's own are looked through")
	}
	cloud := realCloud(t, "canary")
	password := `canary "<ä&/\` + rand.Text()
	rotate(t, cloud, password)
	w := listenIn(t, cloud)
	secrets := map[string]string{"the vCenter's password": password}
	p := serveCanary(t, cloud, w, secrets)

	plant := `planted "<&?>\` + rand.Text()
	var body executionBody
	reverse := reversed(plant)
	body.Properties.ScriptCmdletID = cloudPath(1) + "/scriptPackages/Airlock.Examples.Canary@1.*/scriptCmdlets/Use-Everything"
	body.Properties.Parameters = []parameter{{Name: "Reversed", Type: "Value", Value: &reverse}}
	p.put(t, 1, "x", body)
	key := p.allUsed(t)

	ids := w.sessions()
	for _, what := range []string{
		soapSession, "the session in the cookie vmware_soap_session for /sso-adminserver/sdk/vsphere.local",
		"the REST session", "the session in the SOAP header", "the SSO assertion", "the login to REST",
	} {
		if ids[what] == "" {
			t.Errorf("%s did not go to vCenter: the test shows nothing", what)
		}
	}
	maps.Copy(secrets, ids)
	looked := maps.Clone(secrets)
	looked[planted], looked[ownToken] = plant, tokenInAnnotation(t, cloud, ids[soapSession])
	h := newHunt(t, looked)
	opensNothing(t, cloud, key, ids)
	scripts := scriptsOf(t, p.dir)
	if len(scripts) != 1 {
		t.Fatalf("one script runs, but its processes are %v", scripts)
	}
	checkProcess(t, h, scripts[0], guises(plant))
	if _, err := p.do(t.Context(), http.MethodPost, cloudPath(1)+"/scriptExecutions/x/cancel", nil, nil); err != nil {
		t.Fatal(err)
	}
	if x := p.ended(t, 1, "x"); x.ProvisioningState != "Canceled" {
		t.Errorf("it ended %s: %s", x.ProvisioningState, x.FailureReason)
	}
	checkKept(t, h, p, key)
}

// serveCanary starts a server whose first private cloud is the given one, as seen through w, and adds to secrets what the
// server logs in to hosts with.
func serveCanary(t *testing.T, cloud *simcloud.Cloud, w *wire, secrets map[string]string) *process {
	t.Helper()
	pack, err := packages.Pack(t.Context(), filepath.Join("..", "examples", "canary"), t.TempDir(), packages.PackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p := serveDev(t, stateDir(t), "--package", pack.Path)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		write(t, path, text)
		return path
	}
	vc := cloud.VCenter()
	args := []string{"private-cloud", "update", "-n", "sddc1", "--vcenter", vc.FQDN, "--address", w.addr, "--user", vc.User, "--dev",
		"--password-file", file("vc", secrets["the vCenter's password"]), "--ca-file", file("ca.pem", string(w.authority))}
	for _, host := range cloud.SSH() {
		secrets["the password of "+host.Name] = host.Password.Reveal()
		args = append(args, "--host", host.Name+"="+host.Addr, "--ssh-password-file", host.Name+"="+file(host.Name, host.Password.Reveal()))
	}
	user, private := newSSHKey(t)
	maps.Copy(secrets, secretsOf(t, private))
	keyed := "keyed." + cloud.DNSSuffix()
	args = append(args, "--host", keyed+"="+serveKeyed(t, user.PublicKey()), "--ssh-key-secret", keyed+"=keyed")
	if code, out := p.command(t, pemOf(t, private), "private-cloud", "set-secret", "keyed", "-n", "sddc1"); code != 0 {
		t.Fatalf("set-secret: %d, %s", code, out)
	}
	if code, out := p.command(t, "", args...); code != 0 {
		t.Fatalf("%v: %d, %s", args, code, out)
	}
	return p
}

func newSSHKey(t testing.TB) (ssh.Signer, ed25519.PrivateKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, private
}

func pemOf(t testing.TB, key ed25519.PrivateKey) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

// secretsOf are the lines of a private key's file, but for those that every key has, and its bytes.
func secretsOf(t testing.TB, key ed25519.PrivateKey) map[string]string {
	t.Helper()
	all := map[string]string{"the private key": string(key.Seed())}
	_, other := newSSHKey(t)
	common := strings.Split(pemOf(t, other), "\n")
	for n, line := range strings.Split(pemOf(t, key), "\n") {
		if !slices.Contains(common, line) && len(line) >= 2*prefix {
			all[fmt.Sprintf("line %d of the private key", n)] = line
		}
	}
	if len(all) < 3 {
		t.Fatalf("the key's file has only %v of its own", slices.Sorted(maps.Keys(all)))
	}
	return all
}

// allUsed waits until the script has used everything, and returns the session's key that it says is in the name of a view.
func (p *process) allUsed(t *testing.T) (key string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	used := errors.New("all is used")
	var said []string
	err := p.follow(ctx, cloudPath(1)+"/scriptExecutions/x", true, func(r record) error {
		said = append(said, r.Text)
		if m := inView.FindStringSubmatch(r.Text); m != nil && strings.HasPrefix(r.Text, "view ") {
			key = m[1]
		}
		if r.Text == used.Error() {
			return used
		}
		return nil
	})
	if err != used || key == "" {
		_, events := p.command(t, "", "script-execution", "audit", "-n", "x")
		t.Fatalf("the script has not used everything (%v), but said:\n%s\n%s", err, strings.Join(said, "\n"), events)
	}
	return key
}

// inView is the part of an id that vCenter makes from the session's key.
var inView = regexp.MustCompile(`session\[([^\]]+)\]`)

// tokenInAnnotation is what the script has written into the VM, as one sees it with a session of the vCenter's.
func tokenInAnnotation(t *testing.T, cloud *simcloud.Cloud, session string) string {
	t.Helper()
	c := direct(t, cloud, session)
	refs, err := find.NewFinder(c).VirtualMachineList(t.Context(), "/*/vm/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range refs {
		var vm mo.VirtualMachine
		if err := ref.Properties(t.Context(), ref.Reference(), []string{"config.annotation"}, &vm); err != nil {
			t.Fatal(err)
		}
		if vm.Config != nil && vm.Config.Annotation != "" {
			return vm.Config.Annotation
		}
	}
	t.Fatal("no VM has an annotation")
	return ""
}

// checkProcess looks through a script that runs. What was planted must be found wherever it was.
func checkProcess(t *testing.T, h *hunt, script string, forms map[string]string) {
	check := func(where string, found finds, want ...string) {
		t.Helper()
		for _, form := range want {
			if !found[planted][form] {
				t.Errorf("%s: what was planted there is not found as %s: the search shows nothing", where, form)
			}
		}
		delete(found, planted)
		delete(found, ownToken)
		found.none(t, where)
	}
	check("/proc", h.process(t, script), "raw")
	root := filepath.Join(script, "root")
	if isolation() == executor.IsolationSandbox {
		check("files", h.files(t, root, "proc", "sys"), "raw")
		check("/tmp", h.files(t, filepath.Join(root, "tmp")), "raw")
	}
	env, err := os.ReadFile(filepath.Join(script, "environ"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"HOME", "TMPDIR"} {
		_, rest, _ := strings.Cut("\x00"+string(env), "\x00"+name+"=")
		dir, _, _ := strings.Cut(rest, "\x00")
		check(name, h.files(t, filepath.Join(root, dir)), "raw")
	}
	t.Run("memory", func(t *testing.T) {
		found, size, err := h.memory(script)
		if errors.Is(err, fs.ErrPermission) {
			t.Skipf("the memory of scripts cannot be read here: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d KiB of memory, in it %s as %v", size>>10, ownToken, slices.Sorted(maps.Keys(found[ownToken])))
		if !found[ownToken]["raw"] {
			t.Errorf("%s is not found in its memory: the search shows nothing", ownToken)
		}
		check("memory", found, slices.Collect(maps.Keys(forms))...)
	})
}

// checkKept looks through what is kept of an execution that has ended: by the API, in the log, in files and in the store.
func checkKept(t *testing.T, h *hunt, p *process, key string) {
	check := func(where string, data []byte, want bool) {
		t.Helper()
		found := h.in(data)
		if want && found[planted] == nil {
			t.Errorf("%s: what was planted there is not found: the search shows nothing", where)
		}
		delete(found, planted)
		found.none(t, where)
	}
	path := cloudPath(1) + "/scriptExecutions/x"
	check("GET", p.raw(t, http.MethodGet, path), true)
	check("streams", p.raw(t, http.MethodGet, path+"/streams"), true)
	check("getExecutionLogs", p.raw(t, http.MethodPost, path+"/getExecutionLogs"), true)
	_, events := p.command(t, "", "script-execution", "audit", "-n", "x", "-o", "json")
	check("audit", []byte(events), true)
	if m := inView.FindStringSubmatch(events); m == nil || m[1] != key {
		t.Errorf("the audit names the session %v in a view, the script was told %s", m, key)
	}
	p.stop(t)
	check("the server's log", []byte(p.log.String()), false)
	written, err := os.ReadFile(filepath.Join(p.dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	check("audit.log", written, true)
	found := h.files(t, p.dir)
	delete(found, planted)
	found.none(t, "state directory")
	check("store", stored(t, p.dir, "x"), true)
}

// stored is the output and the audit of an execution, unsealed, in the state directory of a server that has stopped.
func stored(t *testing.T, dir, name string) []byte {
	t.Helper()
	key, err := dataKey(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(dir, "airlock.db"), Key: key.Derive("output")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	x, err := s.Execution(t.Context(), simulatedID("sddc1"), name)
	if err != nil {
		t.Fatal(err)
	}
	records, err := s.Records(t.Context(), x.ID, 0, 1000, 1<<20)
	if err != nil || len(records) == 0 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	events, err := s.Audit(t.Context(), x.ID, 0, 10_000)
	if err != nil || len(events) == 0 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	return fmt.Appendf(nil, "%+v\n%+v\n%+v", x, records, events)
}
