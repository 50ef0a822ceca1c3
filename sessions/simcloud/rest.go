package simcloud

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/vmware/govmomi/vapi/library"
	"github.com/vmware/govmomi/vapi/rest"
	deployment "github.com/vmware/govmomi/vapi/vcenter"
	vim "github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// Header and cookie of a REST session, and the paths of vcsim's REST API that are served.
const (
	restSession = "vmware-api-session-id"
	sessionPath = rest.Path + "/com/vmware/cis/session"
	filePath    = rest.Path + "/com/vmware/cis/data/"
	updateFile  = rest.Path + "/com/vmware/content/library/item/updatesession/file"
	deployPath  = rest.Path + "/com/vmware/vcenter/ovf/library-item/"
)

var restPaths = []string{
	filePath, deployPath, updateFile,
	rest.Path + "/com/vmware/cis/tagging/",
	rest.Path + "/com/vmware/content/",
	rest.Path + "/vcenter/vm-template/library-items",
	"/api/content/",
}

// rest serves vcsim's REST API: the session, tags, the content library and its deployments.
func (v *vcenter) rest(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		real := v.sessions.lookup(restSessionID(r))
		r.Header.Del("Cookie")
		r.Header.Del(restSession)
		if real != "" {
			r.Header.Set(restSession, real)
		}
		if r.URL.Path == sessionPath {
			v.restSession(w, r, next, real)
			return
		}
		switch {
		case !hasPrefix(r.URL.Path, restPaths):
			restError(w, http.StatusNotFound, "not_found", "The simulated vCenter has no "+r.URL.Path+".")
		case real == "":
			restError(w, http.StatusUnauthorized, "unauthenticated", "Log in first.")
		case strings.HasPrefix(r.URL.Path, filePath):
			upload(next).ServeHTTP(w, r)
		default:
			v.restCall(w, r, next)
		}
	})
}

func restSessionID(r *http.Request) string {
	if id := r.Header.Get(restSession); id != "" {
		return id
	}
	if c, err := r.Cookie(restSession); err == nil {
		return c.Value
	}
	return ""
}

func hasPrefix(path string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

// restSession serves login and logout, with the client's id in place of vcsim's.
func (v *vcenter) restSession(w http.ResponseWriter, r *http.Request, next http.Handler, real string) {
	if h := r.Header.Get("Authorization"); strings.HasPrefix(h, "SIGN ") && !v.tokens.signed(h) {
		r.Header.Del("Authorization")
	}
	var a answer
	next.ServeHTTP(&a, r)
	switch {
	case r.Method == http.MethodDelete:
		v.sessions.remove(real)
	case r.Method == http.MethodPost && r.URL.Query().Get("~action") == "" && a.status == http.StatusOK:
		var made struct{ Value string }
		if err := json.Unmarshal(a.body.Bytes(), &made); err != nil {
			restError(w, http.StatusInternalServerError, "internal_server_error", "The session has no id.")
			return
		}
		id := v.sessions.add(made.Value)
		a.body.Reset()
		_ = json.NewEncoder(&a.body).Encode(map[string]string{"value": id})
		if a.Header().Get("Set-Cookie") != "" {
			c := http.Cookie{Name: restSession, Value: id, Path: rest.Path, Secure: true, HttpOnly: true}
			a.Header().Set("Set-Cookie", c.String())
		}
	}
	a.send(w)
}

// restCall serves one call with a JSON body. vcsim's answers name its own address where a real vCenter names itself.
func (v *vcenter) restCall(w http.ResponseWriter, r *http.Request, next http.Handler) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
	if err != nil {
		restError(w, http.StatusRequestEntityTooLarge, "invalid_request", "The request is too large.")
		return
	}
	if s := refuseREST(r, body); s != "" {
		restError(w, http.StatusBadRequest, "invalid_argument", s)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var a answer
	next.ServeHTTP(&a, r)
	a.body = *bytes.NewBuffer(bytes.ReplaceAll(a.body.Bytes(), []byte("https://"+v.addr+"/"), []byte("https://"+v.fqdn+"/")))
	a.send(w)
}

// refuseREST says in one sentence why a REST call must not reach vcsim, or "". Bodies are decoded into the types that
// vcsim decodes them into, so that both read the same.
func refuseREST(r *http.Request, body []byte) string {
	const noFetch = "The simulated private cloud fetches nothing: push the file."
	dec := json.NewDecoder(bytes.NewReader(body))
	switch {
	case strings.HasPrefix(r.URL.Path, updateFile):
		var add struct {
			File library.UpdateFile `json:"file_spec"`
		}
		_ = dec.Decode(&add)
		if r.URL.Query().Get("~action") == "probe" || add.File.SourceType == "PULL" {
			return noFetch
		}
	case strings.HasPrefix(r.URL.Path, deployPath):
		// What the deployment does passes the SOAP hook too. This is to refuse it before a part of it is done.
		var deploy struct{ deployment.Deploy }
		if dec.Decode(&deploy) != nil {
			return ""
		}
		if s := refuse(deploy); s != "" || deploy.VmConfigSpec == nil {
			return s
		}
		text, err := base64.StdEncoding.DecodeString(deploy.VmConfigSpec.XML)
		if err != nil {
			return ""
		}
		var spec *vim.VirtualMachineConfigSpec
		x := xml.NewDecoder(bytes.NewReader(text))
		x.TypeFunc = vim.TypeFunc()
		if x.Decode(&spec) == nil {
			return refuse(spec)
		}
	}
	return ""
}

// restError answers in the form of vCenter's REST errors.
func restError(w http.ResponseWriter, status int, kind, sentence string) {
	var e struct {
		Type  string `json:"type"`
		Value struct {
			Messages []rest.LocalizableMessage `json:"messages"`
		} `json:"value"`
	}
	e.Type = "com.vmware.vapi.std.errors." + kind
	e.Value.Messages = []rest.LocalizableMessage{{ID: "airlock.simcloud.refused", DefaultMessage: sentence}}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(e)
}

// answer keeps vcsim's answer until it is sent.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

func (a *answer) send(w http.ResponseWriter) {
	for name, values := range a.Header() {
		w.Header()[name] = values
	}
	a.WriteHeader(http.StatusOK)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes())
}
