package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// person is somebody at a command line of his own, who has no variables of Airlock's set.
type person struct {
	t   *testing.T
	dir string // of configuration
	env []string
}

func newPerson(t *testing.T, issuer *testIssuer) *person {
	dir := t.TempDir()
	return &person{t, dir, []string{"XDG_CONFIG_HOME=" + dir, "SSL_CERT_FILE=" + issuer.ca,
		"AIRLOCK_ENDPOINT=", "AIRLOCK_CA=", "AIRLOCK_TOKEN=", "AIRLOCK_CLIENT_ID=", "AIRLOCK_CLIENT_SECRET="}}
}

// runs runs a command that has to end with an exit code and to print a text.
func (p *person) runs(code int, text string, env []string, args ...string) {
	p.t.Helper()
	output, got := airlock(p.t, append(p.env[:len(p.env):len(p.env)], env...), args...)
	if got != code || !strings.Contains(output, text) {
		p.t.Errorf("airlock %s: exit code %d, want %d; it does not print %q:\n%s", strings.Join(args, " "), got, code, text, output)
	}
}

func (p *person) file() string { return filepath.Join(p.dir, "airlock", "login.json") }

func (p *person) kept() string {
	p.t.Helper()
	data, err := os.ReadFile(p.file())
	if err != nil && !os.IsNotExist(err) {
		p.t.Fatal(err)
	}
	return string(data)
}

// who is a command that needs a token, and a route that everybody may use who has one.
var who = []string{"script-package", "list", "-c", cloudPath(1)}

// A server by a configuration, and the ways to log in to it.
func TestLogin(t *testing.T) {
	t.Parallel()
	issuer := newTestIssuer(t)
	server := serveConfig(t, fmt.Sprintf("issuers:\n  - name: test\n    url: %s\n    audiences: [airlock]\n    ca: %s\n", issuer.URL, issuer.ca))
	provider := environmentFile(t, filepath.Join(server.dir, "provider.env"))
	endpoint, ca := "AIRLOCK_ENDPOINT="+provider["AIRLOCK_ENDPOINT"], "AIRLOCK_CA="+provider["AIRLOCK_CA"]
	credentials := []string{endpoint, ca, "AIRLOCK_CLIENT_ID=" + provider["AIRLOCK_CLIENT_ID"], "AIRLOCK_CLIENT_SECRET=" + provider["AIRLOCK_CLIENT_SECRET"]}

	// As a service principal: the first provider, whom the server has made.
	p := newPerson(t, issuer)
	p.runs(2, "run `airlock login`", nil, who...)
	p.runs(2, "Which server?", nil, "login")
	p.runs(2, "Say how to log in", []string{endpoint, ca}, "login")
	p.runs(8, "", credentials[:1], "login", "--client-id", "x") // nobody has told of its authority
	p.runs(4, "gives no token", append(credentials, "AIRLOCK_CLIENT_SECRET=guessed"), "login")
	if p.kept() != "" {
		t.Error("something is kept of logins that were refused")
	}
	p.runs(0, "logged in to "+server.endpoint, credentials, "login")
	if info, err := os.Stat(p.file()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of logins: %v %v", info.Mode(), err)
	}
	if strings.Contains(p.kept(), provider["AIRLOCK_CLIENT_SECRET"]) {
		t.Error("the client secret is kept")
	}
	p.runs(0, provider["AIRLOCK_CLIENT_ID"], nil, "service-principal", "list")
	p.runs(4, "", []string{"AIRLOCK_TOKEN=wrong"}, "service-principal", "list") // the environment wins
	p.runs(4, "There is no login at https://127.0.0.1:1", []string{"AIRLOCK_ENDPOINT=https://127.0.0.1:1"}, "service-principal", "list")
	if err := os.Chmod(p.file(), 0o640); err != nil {
		t.Fatal(err)
	}
	p.runs(2, "chmod go=", nil, "service-principal", "list")
	p.runs(2, "chmod go=", credentials, "login")
	p.runs(0, "", nil, "logout", "--all")
	p.runs(2, "run `airlock login`", nil, "service-principal", "list")

	t.Run("device", func(t *testing.T) { testDevice(t, issuer, server, endpoint, ca) })
	t.Run("az", func(t *testing.T) { testAz(t, issuer, server, endpoint, ca) })
	server.stop(t)
}

// As a person, by a code, at the issuer that the server names; the token is renewed.
func testDevice(t *testing.T, issuer *testIssuer, server *process, endpoint, ca string) {
	p := newPerson(t, issuer)
	at := []string{endpoint, ca}
	login := []string{"login", "--client-id", "airlock-cli"}
	for _, refused := range []struct{ answer, says string }{{"access_denied", "declined"}, {"expired_token", "Nobody entered the code"}, {"server_error", "gives no token: server_error"}} {
		issuer.set(func(i *testIssuer) { i.answers = []string{refused.answer} })
		p.runs(4, refused.says, at, login...)
	}
	p.runs(4, "no such application", at, "login", "--client-id", "other")
	issuer.set(func(i *testIssuer) { i.noDevice = true })
	p.runs(2, "has no device code", at, login...)
	issuer.set(func(i *testIssuer) { i.noDevice, i.audience, i.answers = false, "another", []string{""} })
	p.runs(4, "does not take the token", at, login...)
	p.runs(2, "is an https:// address", at, "login", "--client-id", "x", "--issuer", "http://127.0.0.1")
	p.runs(8, "does not answer as an OpenID provider", at, "login", "--client-id", "x", "--issuer", issuer.URL+"/nothing")
	if p.kept() != "" {
		t.Error("something is kept of logins that were refused")
	}

	issuer.set(func(i *testIssuer) {
		i.audience, i.lifetime, i.answers = "airlock", 30*time.Second, []string{"authorization_pending", ""}
	})
	p.runs(0, "enter the code WDJB-MJHT", at, login...)
	// The token is about to expire. Of commands that begin at once, one renews it, for the issuer takes a refresh token
	// once only.
	issuer.set(func(i *testIssuer) { i.lifetime, i.renewals = time.Hour, 0 })
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			output, code := airlock(t, p.env, who...)
			if code == 8 || strings.Contains(output, "login") {
				t.Errorf("exit code %d\n%s", code, output)
			}
		})
	}
	group.Wait()
	p.runs(4, "test:somebody", nil, "service-principal", "list") // nobody has given that person a role
	issuer.set(func(i *testIssuer) {
		if i.renewals != 1 || !strings.Contains(p.kept(), i.current) {
			t.Errorf("the token was renewed %d times, or the new refresh token is not kept", i.renewals)
		}
		i.current = "" // revoked
	})
	p.expire()
	p.runs(4, "run `airlock login` again", nil, who...)
	p.runs(0, "logged out of "+server.endpoint, nil, "logout")
	p.runs(2, "run `airlock login`", nil, who...)
	p.runs(0, "", nil, "logout")
}

// expire makes the tokens of all logins be expired.
func (p *person) expire() {
	p.t.Helper()
	var c map[string]any
	if err := json.Unmarshal([]byte(p.kept()), &c); err != nil {
		p.t.Fatal(err)
	}
	for _, l := range c["logins"].(map[string]any) {
		l.(map[string]any)["expires"] = time.Now().Add(-time.Hour)
	}
	data, err := json.Marshal(c)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(p.file(), data, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// As whom az is logged in. What is called az here prints the issuer's token in az's form and notes how it was called.
func testAz(t *testing.T, issuer *testIssuer, server *process, endpoint, ca string) {
	p := newPerson(t, issuer)
	bin := t.TempDir()
	az := func(script string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(bin, "az"), []byte("#!/bin/sh\necho \"$@\" >> "+bin+"/calls\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	path := "PATH=" + bin + ":/usr/bin:/bin"
	at := []string{endpoint, ca, path}
	p.runs(2, "az cannot be run", []string{endpoint, ca, "PATH=" + t.TempDir()}, "login", "--az")
	az("echo 'ERROR: Please run az login to setup account.' >&2; exit 1\n")
	p.runs(4, "Please run az login", at, "login", "--az")
	az("echo '{}'\n")
	p.runs(4, "another form than expected", at, "login", "--az")
	az(fmt.Sprintf(`echo '{"accessToken": "%s", "expiresOn": "%s", "tokenType": "Bearer"}'`+"\n", issuer.sign(t), time.Now().Add(time.Hour).Format("2006-01-02 15:04:05.000000")))
	p.runs(0, "and renewed then", at, "login", "--az")
	p.expire()
	output, code := airlock(t, append(p.env, path), who...)
	if strings.Contains(output, "login") || code == 8 {
		t.Errorf("exit code %d\n%s", code, output)
	}
	calls, err := os.ReadFile(filepath.Join(bin, "calls"))
	if want := strings.Repeat("account get-access-token --resource "+server.endpoint+"/ --output json\n", 4); err != nil || string(calls) != want {
		t.Errorf("az was called so (%v):\n%s", err, calls)
	}
}
