package cli

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// What opens a development server opens no server that goes on with its state.
func TestNothingOfDevelopmentOpensAServer(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	dev := serveDev(t, dir)
	vars := environmentFile(t, filepath.Join(dir, "dev.env"))
	roots, err := authorities(vars["AIRLOCK_CA"])
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	// opens says what client secret and token are answered with.
	opens := func(endpoint string) (secret, token int) {
		t.Helper()
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {vars["AIRLOCK_CLIENT_ID"]}, "client_secret": {vars["AIRLOCK_CLIENT_SECRET"]}}
		post, err := http.NewRequest(http.MethodPost, endpoint+"/adfs/oauth2/token", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		get, err := http.NewRequest(http.MethodGet, endpoint+"/subscriptions?api-version=2021-04-01", nil)
		if err != nil {
			t.Fatal(err)
		}
		get.Header.Set("Authorization", "Bearer "+vars["AIRLOCK_TOKEN"])
		var status []int
		for _, r := range []*http.Request{post, get} {
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			status = append(status, resp.StatusCode)
		}
		return status[0], status[1]
	}
	if secret, token := opens(dev.ready); secret != 200 || token != 200 {
		t.Fatalf("development: %d, %d", secret, token)
	}
	dev.stop(t)
	p := serve(t, dir, "--config", writeConfig(t, ""), "--state", dir)
	if secret, token := opens(p.ready); secret != 401 || token != 401 {
		t.Errorf("afterwards the client secret is answered %d, the token %d", secret, token)
	}
}
