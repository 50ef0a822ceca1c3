package sessions_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/ssoadmin"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/airlock-run/airlock/internal/domain"
)

// clients are one of each kind, with what to call.
type clients struct {
	vim   *vim25.Client
	rest  *rest.Client
	admin *ssoadmin.Client
	files *object.Datastore
	made  int
}

func (s *script) clients(t *testing.T) *clients {
	t.Helper()
	c := &clients{vim: s.vim(t), rest: s.rest(t)}
	var err error
	if c.admin, err = ssoadmin.NewClient(t.Context(), c.vim); err != nil {
		t.Fatal(err)
	}
	finder := find.NewFinder(c.vim)
	dc, err := finder.DefaultDatacenter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.files, err = finder.SetDatacenter(dc).DefaultDatastore(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// call calls each service, and returns what failed.
func (c *clients) call(t *testing.T) map[string]error {
	t.Helper()
	c.made++
	ctx, name := t.Context(), strings.Repeat("x", c.made)
	failed := map[string]error{"SOAP and storage policies": worksSOAP(ctx, c.vim)}
	_, failed["REST, reading"] = tags.NewManager(c.rest).ListTags(ctx)
	_, failed["REST, writing"] = tags.NewManager(c.rest).CreateCategory(ctx, &tags.Category{Name: name, Cardinality: "SINGLE"})
	_, failed["SSO"] = c.admin.FindPersonUser(ctx, "scripting")
	_, failed["lookup"] = ssoadmin.NewClient(ctx, c.vim)
	for what, err := range failed {
		if err == nil {
			delete(failed, what)
		}
	}
	return failed
}

// A vCenter that drops all its sessions, or one that somebody ends, is not noticed by a script: the next call works. A
// transfer is not sent twice: it fails, and the next one works.
func TestDroppedSessionsAreMadeAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, end := f.open(t, "one")
	s := &script{Grant: g}
	c := s.clients(t)
	for round := range 3 {
		if failed := c.call(t); len(failed) > 0 {
			t.Fatalf("round %d: %v", round, failed)
		}
		for _, action := range []string{"vcenter/login", "vcenter/login-rest", "vcenter/login-sso"} {
			if n := f.events.count(action, "ok"); n != round+1 {
				t.Errorf("round %d: %d events %s", round, n, action)
			}
		}
		f.cloud.EndSessions()
	}

	if err := c.files.Upload(t.Context(), strings.NewReader("content"), "a", nil); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("an upload in a session that was dropped: %v; want 401", err)
	}
	if err := c.files.Upload(t.Context(), strings.NewReader("content"), "a", nil); err != nil {
		t.Errorf("the next upload: %v", err)
	}
	f.cloud.EndSessions()
	r, _, err := c.files.Download(t.Context(), "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || string(b) != "content" {
		t.Errorf("the download: %q, %v", b, err)
	}
	_ = r.Close()

	f.endOthers(t)
	if _, err := methods.GetCurrentTime(t.Context(), c.vim); err != nil {
		t.Errorf("after somebody has ended the session: %v", err)
	}
	f.cloud.EndSessions()
	var all sync.WaitGroup
	before := f.events.count("vcenter/login", "ok")
	for range 20 {
		all.Go(func() {
			if _, err := methods.GetCurrentTime(t.Context(), c.vim); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := f.events.count("vcenter/login", "ok") - before; n != 1 {
		t.Errorf("%d logins for 20 calls whose session was dropped; want one", n)
	}
	end()
	f.nothingLeft(t)
}

// endOthers ends all sessions of the SOAP API but its own, as an administrator can.
func (f *fixture) endOthers(t *testing.T) {
	t.Helper()
	vc := f.cloud.VCenter()
	admin := &script{Grant: domain.Grant{CA: vc.CA, VCenter: domain.Endpoint{Host: vc.FQDN, Addr: vc.Addr}}}
	c := admin.visitor(t)
	m := session.NewManager(c)
	if err := m.Login(t.Context(), url.UserPassword(vc.User, vc.Password.Reveal())); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Logout(t.Context()) }()
	own, err := m.UserSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all mo.SessionManager
	if err := property.DefaultCollector(c).RetrieveOne(t.Context(), *c.ServiceContent.SessionManager, []string{"sessionList"}, &all); err != nil {
		t.Fatal(err)
	}
	for _, u := range all.SessionList {
		if u.Key == own.Key {
			continue
		}
		if err := m.TerminateSession(t.Context(), []string{u.Key}); err != nil {
			t.Fatal(err)
		}
	}
}

// A call that vCenter answers with NotAuthenticated in a session that lives is answered so, and nothing is logged in.
func TestLivingSessionsAreKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.up.Addr, f.up.RootCAs = f.through(t, func(body string) string {
		return strings.ReplaceAll(body, "ManagedObjectNotFound", "NotAuthenticated")
	})
	g, _ := f.open(t, "one")
	vc := (&script{Grant: g}).vim(t)
	for range 3 {
		_, err := methods.CurrentTime(t.Context(), vc, &types.CurrentTime{This: types.ManagedObjectReference{Type: "Folder", Value: "none"}})
		if !fault.Is(err, &types.NotAuthenticated{}) {
			t.Fatalf("%v; want NotAuthenticated", err)
		}
	}
	if n := f.events.count("vcenter/login", "ok"); n != 1 {
		t.Errorf("%d logins; want one", n)
	}
}

// line is the network between the broker and a vCenter, which can be cut.
type line struct {
	to    string
	mu    sync.Mutex
	down  bool
	conns map[net.Conn]chan struct{} // ends with the connection
}

// onALine puts a line before the fixture's vCenter.
func (f *fixture) onALine(t *testing.T) *line {
	t.Helper()
	n := &line{to: f.up.Addr, conns: map[net.Conn]chan struct{}{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.up.Addr = l.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { n.carry(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); n.cut(); serving.Wait() })
	return n
}

func (n *line) carry(c net.Conn) {
	defer c.Close()
	ended := make(chan struct{})
	defer close(ended)
	n.mu.Lock()
	down := n.down
	n.conns[c] = ended
	n.mu.Unlock()
	if down {
		return
	}
	up, err := net.Dial("tcp", n.to)
	if err != nil {
		return
	}
	defer up.Close()
	var answers sync.WaitGroup
	answers.Go(func() { _, _ = io.Copy(c, up) })
	_, _ = io.Copy(up, c) // until the broker closes
	_, _ = c.Close(), up.Close()
	answers.Wait()
}

// cut ends all connections, as a vCenter does that goes down, and waits until the broker has seen it.
func (n *line) cut() {
	n.mu.Lock()
	n.down = true
	all := n.conns
	n.conns = map[net.Conn]chan struct{}{}
	n.mu.Unlock()
	for c, ended := range all {
		_ = c.(*net.TCPConn).CloseWrite()
		<-ended
	}
}

func (n *line) mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = false
}

// While a vCenter is down, calls fail with a sentence that names it; when it is back, with no memory of its sessions,
// the next call works.
func TestVCenterRestarts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	n := f.onALine(t)
	g, end := f.open(t, "one")
	s := &script{Grant: g}
	c := s.clients(t)
	if failed := c.call(t); len(failed) > 0 {
		t.Fatal(failed)
	}
	poll := make(chan error, 1)
	go func() {
		_, err := methods.WaitForUpdatesEx(context.Background(), c.vim, &types.WaitForUpdatesEx{This: c.vim.ServiceContent.PropertyCollector})
		poll <- err
	}()
	n.cut()
	f.cloud.EndSessions()
	_ = wait(t, poll, "the end of the long poll")
	_, err := methods.GetCurrentTime(t.Context(), c.vim)
	if !fault.Is(err, &types.SystemError{}) || !strings.Contains(err.Error(), "The vCenter vc.sddc1.airlock.test does not answer") {
		t.Errorf("SOAP: %v; want a fault that names the vCenter", err)
	}
	status, body := s.ask(t, "GET", "/api/vcenter/vm", "", "Vmware-Api-Session-Id", g.Token.Reveal())
	if status != 503 || !strings.Contains(body, "The vCenter vc.sddc1.airlock.test does not answer") {
		t.Errorf("REST: %d %s; want 503 that names the vCenter", status, body)
	}
	n.mend()
	if failed := c.call(t); len(failed) > 0 {
		t.Error(failed)
	}
	end()
	f.nothingLeft(t)
}
