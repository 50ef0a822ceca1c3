package login

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/errors"
)

// says checks that an error is one for users that says something.
func says(t testing.TB, err error, code errors.Code, text string) {
	t.Helper()
	if !errors.Has(err, code) || !strings.Contains(errors.For(err, "").Message, text) || strings.Contains(errors.For(err, "").Message, "\n") {
		t.Errorf("the error is %v, want %s with %q", err, code, text)
	}
}

// issuer answers with the documents that a test gives it.
func issuer(t testing.TB, discovery func(url string) map[string]any, device, token map[string]any) *httptest.Server {
	mux := http.NewServeMux()
	s := httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	answer := func(status int, document func() map[string]any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(document())
		}
	}
	mux.HandleFunc("/.well-known/openid-configuration", answer(200, func() map[string]any {
		d := map[string]any{"issuer": s.URL, "token_endpoint": s.URL + "/token", "device_authorization_endpoint": s.URL + "/device", "jwks_uri": s.URL + "/keys"}
		for k, v := range discovery(s.URL) {
			d[k] = v
		}
		return d
	}))
	status := 200
	if token["error"] != nil {
		status = 400
	}
	mux.HandleFunc("/device", answer(200, func() map[string]any { return device }))
	mux.HandleFunc("/token", answer(status, func() map[string]any { return token }))
	return s
}

func plain(string) map[string]any { return nil }

// Nothing is sent to an endpoint without TLS, nor to an issuer that calls itself otherwise.
func TestDiscoverRefuses(t *testing.T) {
	t.Parallel()
	for text, change := range map[string]func(string) map[string]any{
		"names an endpoint that is not https://": func(url string) map[string]any {
			return map[string]any{"token_endpoint": strings.Replace(url, "https", "http", 1)}
		},
		"not https:// (\"http://device.example\")": func(string) map[string]any {
			return map[string]any{"device_authorization_endpoint": "http://device.example"}
		},
		"does not answer as an OpenID provider does": func(string) map[string]any { return map[string]any{"issuer": "https://another.example"} },
	} {
		s := issuer(t, change, nil, nil)
		_, err := Discover(t.Context(), s.URL, s.Client())
		says(t, err, errors.ServerUnreachable, text)
	}
	_, err := Discover(t.Context(), "http://issuer.example", http.DefaultClient)
	says(t, err, errors.Usage, "https://")
}

// An issuer's answers are foreign: none of them ends in a panic, or in more than a sentence.
func TestHostileDeviceAnswers(t *testing.T) {
	t.Parallel()
	device := func(interval, expires any) map[string]any {
		return map[string]any{"device_code": "d", "user_code": "u", "verification_uri": "https://x.example", "interval": interval, "expires_in": expires}
	}
	for name, c := range map[string]struct {
		device, token map[string]any
		code          errors.Code
		text          string
	}{
		"an interval below zero": {device(-5, 1), nil, errors.AuthenticationFailed, "in time"}, // 5 s is the interval then
		"a code that is over":    {device(1, -5), nil, errors.AuthenticationFailed, "in time"},
		"no number":              {device("soon", 5), nil, errors.ServerUnreachable, "is no token"},
		"no token":               {device(1, 60), map[string]any{"token_type": "Bearer"}, errors.ServerUnreachable, "is no token"},
		"many lines": {device(1, 60), map[string]any{"error": "x", "error_description": "a\n\x1b[2Jb" + strings.Repeat("é", 5000)},
			errors.AuthenticationFailed, "a  [2Jb"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := issuer(t, plain, c.device, c.token)
			p, err := Discover(t.Context(), s.URL, s.Client())
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Device(t.Context(), "client", nil, func(string, string) {})
			says(t, err, c.code, c.text)
			if m := errors.For(err, "").Message; len(m) > 700 {
				t.Errorf("the message has %d bytes", len(m))
			}
		})
	}
}

// What the file of logins may not be.
func TestFileRefuses(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"not JSON":                   "login",
		"another form":               `{"logins": []}`,
		"a login under another name": `{"current": "https://a", "logins": {"https://a": {"endpoint": "https://b", "token": "x"}}}`,
	} {
		home := t.TempDir()
		f := In(home)
		if err := os.Mkdir(filepath.Join(home, "airlock"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.path(), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := f.Find("")
		says(t, err, errors.Usage, "Remove "+f.path())
		if err := f.Keep(Login{Endpoint: "https://c"}); err == nil {
			t.Errorf("%s: it is overwritten", name)
		}
		if err := f.ForgetAll(); err != nil {
			t.Error(err)
		}
		if _, found, err := f.Find(""); found || err != nil {
			t.Errorf("%s: after it was removed: %v %v", name, found, err)
		}
	}
}

func TestLoginsBySeveralServers(t *testing.T) {
	t.Parallel()
	f := In(t.TempDir())
	for _, endpoint := range []string{"https://a", "https://b"} {
		if err := f.Keep(Login{Endpoint: endpoint, Token: "token of " + endpoint}); err != nil {
			t.Fatal(err)
		}
	}
	find := func(endpoint, want string) {
		t.Helper()
		if l, found, err := f.Find(endpoint); err != nil || l.Endpoint != want || found != (want != "") {
			t.Errorf("the login at %q is %q %v %v, want %q", endpoint, l.Endpoint, found, err, want)
		}
	}
	find("", "https://b")
	find("https://a", "https://a")
	find("https://c", "")
	if forgotten, err := f.Forget(""); err != nil || forgotten != "https://b" {
		t.Errorf("forgotten is %q (%v)", forgotten, err)
	}
	find("", "https://a")
	find("https://b", "")
	if err := f.Keep(Login{Endpoint: "https://a", Token: "x", Expires: time.Now().Add(30 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	_, err := f.Token(t.Context(), "https://a", http.DefaultClient)
	says(t, err, errors.AuthenticationFailed, "has expired: run `airlock login` again")
}
