package simcloud

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"github.com/vmware/govmomi/lookup"
	"github.com/vmware/govmomi/pbm"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/ssoadmin"
	"github.com/vmware/govmomi/sts"
	"github.com/vmware/govmomi/vapi"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vslm"
)

const (
	maxMessage = 16 << 20 // bytes of a SOAP or REST request
	maxUpload  = 4 << 30  // bytes of one file
)

// door is all that is served. What is not named here is 404.
func (v *vcenter) door() http.Handler {
	sim := v.service.ServeMux
	mux := http.NewServeMux()
	for _, p := range []string{vim25.Path, vim25.Path + "/vimService", lookup.Path} {
		mux.Handle("POST "+p, v.soap(sim))
	}
	mux.Handle("GET "+vim25.Path+"/vimServiceVersions.xml", http.HandlerFunc(v.service.ServiceVersions))
	for _, p := range []string{pbm.Path, vslm.Path} {
		mux.Handle("POST "+p, v.inHeader(v.soap(serial(sim))))
	}
	admin := v.sso(v.soap(serial(sim)))
	for _, p := range []string{ssoadmin.Path + "/" + domain, ssoadmin.SystemPath} {
		mux.Handle("POST "+p, admin)
	}
	for _, p := range []string{sts.Path + "/" + domain, sts.SystemPath} {
		mux.Handle("POST "+p, v.sts(sim))
	}
	for _, p := range []string{rest.Path + "/", vapi.Path + "/"} {
		mux.Handle(p, v.rest(sim))
	}
	mux.Handle(mobPath, http.MaxBytesHandler(v.browser, maxMessage))
	mux.Handle("/folder/", v.files(http.HandlerFunc(v.service.ServeDatastore)))
	mux.Handle("/nfc/", upload(serial(http.HandlerFunc(simulator.ServeNFC)))) // the path has the lease's secret
	return v.requests.count(survive(mux))
}

// requests counts what is being answered, so that the end can wait for it.
type requests struct {
	mu      sync.Mutex
	ended   bool
	running sync.WaitGroup
}

func (q *requests) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q.mu.Lock()
		if q.ended {
			q.mu.Unlock()
			http.Error(w, "the private cloud has ended", http.StatusServiceUnavailable)
			return
		}
		q.running.Add(1)
		q.mu.Unlock()
		defer q.running.Done()
		next.ServeHTTP(w, r)
	})
}

// end lets no more requests begin.
func (q *requests) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
}

// survive answers where vcsim panics, which it does on some arguments that do not fit together.
func survive(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				http.Error(w, fmt.Sprintf("the simulated vCenter cannot do that: %v", p), http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// serial lets one request in at a time: for parts of vcsim that share maps without a lock.
func serial(next http.Handler) http.Handler {
	var mu sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// call is one SOAP request on its way through vcsim.
type call struct {
	request context.Context
	session string // vcsim's id of the client's session, "" for none
	done    chan struct{}

	refusal string // the sentence of a refusal, set by the hook
	after   func() // set by the hook
}

// calls finds the call that vcsim's context belongs to. vcsim shows its hooks nothing of the request but its cookie:
// so the cookie that vcsim sees is the call's number.
type calls struct {
	mu   sync.Mutex
	next uint64
	byID map[string]*call
}

func (c *calls) begin(k *call) (id string, end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	id = strconv.FormatUint(c.next, 10)
	c.byID[id] = k
	return id, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.byID, id)
	}
}

func (c *calls) find(id string) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[id]
}

// call is that of a context of vcsim.
func (v *vcenter) call(ctx *simulator.Context) *call { return v.calls.find(simulator.HTTPCookie(ctx)) }

// sessionOf is vcsim's hook that maps a request to a session.
func (v *vcenter) sessionOf(ctx *simulator.Context) string {
	if c := v.call(ctx); c != nil {
		return c.session
	}
	return ""
}

// soap serves vcsim's SOAP services, with the client's session id in place of vcsim's.
func (v *vcenter) soap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{request: r.Context(), done: make(chan struct{}), after: func() {}}
		if cookie, err := r.Cookie(soap.SessionCookieName); err == nil {
			c.session = v.sessions.lookup(cookie.Value)
		}
		id, end := v.calls.begin(c)
		defer end()
		defer func() { close(c.done); c.after() }()
		r.Header.Set("Cookie", (&http.Cookie{Name: soap.SessionCookieName, Value: id}).String())
		r.Body = http.MaxBytesReader(w, r.Body, maxMessage)
		next.ServeHTTP(&soapAnswer{ResponseWriter: w, call: c, sessions: v.sessions}, r)
	})
}

// soapAnswer puts the client's session id in the place of vcsim's, and the sentence of a refusal into its fault.
type soapAnswer struct {
	http.ResponseWriter
	call     *call
	sessions *sessionIDs
}

func (a *soapAnswer) WriteHeader(status int) {
	lines := a.Header()["Set-Cookie"]
	for i, line := range lines {
		c, err := http.ParseSetCookie(line)
		if err != nil || c.Name != soap.SessionCookieName {
			continue
		}
		c.Value, c.Path, c.Secure = a.sessions.add(c.Value), "/", true
		lines[i] = c.String()
	}
	a.Header().Set("Content-Type", "text/xml; charset=utf-8")
	a.ResponseWriter.WriteHeader(status)
}

func (a *soapAnswer) Write(p []byte) (int, error) {
	if a.call.refusal == "" {
		return a.ResponseWriter.Write(p)
	}
	var text bytes.Buffer
	_ = xml.EscapeText(&text, []byte(a.call.refusal))
	empty, full := []byte("<faultstring></faultstring>"), []byte("<faultstring>"+text.String()+"</faultstring>")
	if _, err := a.ResponseWriter.Write(bytes.Replace(p, empty, full, 1)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// files serves the datastores' files to who is logged in.
func (v *vcenter) files(next http.Handler) http.Handler {
	next = upload(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie(soap.SessionCookieName)
		if err != nil || v.sessions.lookup(c.Value) == "" {
			http.Error(w, "log in first", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// upload bounds a file that comes in.
func upload(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > maxUpload {
			http.Error(w, "a file can have at most 4 GiB", http.StatusRequestEntityTooLarge)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
		next.ServeHTTP(w, r)
	})
}
