package server_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/server/internal/issuertest"
	"github.com/airlock-run/airlock/server/internal/role"
)

// The Azure SDK for JavaScript against the server, with both of the ways to a token. Its packages are where AIRLOCK_JS
// says, to which `bash .ci/test --js` installs them.
func TestJavaScript(t *testing.T) {
	t.Parallel()
	packages := os.Getenv("AIRLOCK_JS")
	if packages == "" {
		t.Skip("skipped: `bash .ci/test --js` runs the Azure SDK for JavaScript")
	}
	t.Run("issuer", func(t *testing.T) {
		t.Parallel()
		i := issuertest.New(t)
		e := start(t, withIssuer(i))
		e.give(role.Operator, groupScope, domain.Principal{ID: "idp:robot", Type: domain.ServicePrincipal})
		e.execute(byName)
		tokens := &rotating{Issuer: i}
		s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got, err := tokens.GetToken(r.Context(), policy.TokenRequestOptions{})
			if err != nil {
				t.Error(err)
			}
			_, _ = w.Write([]byte(got.Token))
		}))
		defer s.Close()
		e.javascript(packages, "TOKENS="+s.URL)
		if n := i.Fetches(); n != 2 {
			t.Errorf("the keys were fetched %d times; the issuer has had two", n)
		}
	})
	t.Run("client secret", func(t *testing.T) {
		t.Parallel()
		e := start(t)
		e.execute(byName)
		e.javascript(packages, "CLIENT_ID="+clientID, "CLIENT_SECRET="+e.enroll().Reveal())
	})
}

// javascript runs testdata/js/surface.js.
func (e *env) javascript(packages string, env ...string) {
	e.t.Helper()
	// All servers of httptest have the one certificate.
	authority := filepath.Join(e.t.TempDir(), "ca.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.https.Certificate().Raw})
	if err := os.WriteFile(authority, data, 0o600); err != nil {
		e.t.Fatal(err)
	}
	cmd := exec.CommandContext(e.t.Context(), "node", filepath.Join("testdata", "js", "surface.js"))
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + e.t.TempDir(), "NODE_PATH=" + filepath.Join(packages, "node_modules"), "NODE_EXTRA_CA_CERTS=" + authority,
		"ENDPOINT=" + e.https.URL, "SUBSCRIPTION=" + subscription, "GROUP=" + group, "CLOUD=Cloud-1",
	}, env...)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all of it was so") {
		e.t.Errorf("%v\n%s", err, out)
	}
}
