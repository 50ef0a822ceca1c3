package sessions_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/ssoadmin"
	ssotypes "github.com/vmware/govmomi/ssoadmin/types"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

func TestVCenterWithTheTokenOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, end := f.open(t, "one")
	s := &script{Grant: g}

	if open := f.cloud.Open(); open.Sessions != 0 {
		t.Errorf("%d sessions of vCenter are open before the script used any", open.Sessions)
	}
	t.Run("inventory", func(t *testing.T) {
		vc := s.vim(t)
		v, err := view.NewManager(vc).CreateContainerView(t.Context(), vc.ServiceContent.RootFolder, nil, true)
		if err != nil {
			t.Fatal(err)
		}
		for kind, least := range map[string]int{"VirtualMachine": 15, "HostSystem": 3, "ClusterComputeResource": 1} {
			var found []mo.ManagedEntity
			if err := v.Retrieve(t.Context(), []string{kind}, []string{"name"}, &found); err != nil || len(found) < least {
				t.Errorf("%s: found %d, %v; want at least %d", kind, len(found), err, least)
			}
		}
	})
	t.Run("role", func(t *testing.T) {
		am := object.NewAuthorizationManager(s.vim(t))
		roles, err := am.RoleList(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		admins := roles.ByName("CloudAdmins")
		if admins == nil {
			t.Fatal("there is no role CloudAdmins")
		}
		if _, err := am.AddRole(t.Context(), "vendor", admins.Privilege); err != nil {
			t.Error(err)
		}
	})
	t.Run("tags", func(t *testing.T) {
		m := tags.NewManager(s.rest(t))
		category, err := m.CreateCategory(t.Context(), &tags.Category{Name: "rings", Cardinality: "SINGLE"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.CreateTag(t.Context(), &tags.Tag{Name: "preview", CategoryID: category}); err != nil {
			t.Fatal(err)
		}
		got, err := m.GetTagsForCategory(t.Context(), "rings")
		if err != nil || len(got) != 1 || got[0].Name != "preview" {
			t.Errorf("tags = %v, %v; want the one that was made", got, err)
		}
	})
	t.Run("SSO administration", func(t *testing.T) {
		c, err := ssoadmin.NewClient(t.Context(), s.vim(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.CreatePersonUser(t.Context(), "vendor", ssotypes.AdminPersonDetails{}, "Pa55-word!"); err != nil {
			t.Fatal(err)
		}
		if err := c.AddUsersToGroup(t.Context(), "CloudAdmins", ssotypes.PrincipalId{Name: "vendor", Domain: "vsphere.local"}); err != nil {
			t.Fatal(err)
		}
		if u, err := c.FindPersonUser(t.Context(), "vendor"); err != nil || u == nil {
			t.Errorf("FindPersonUser = %v, %v; want the user that was made", u, err)
		}
		if err := c.Logout(t.Context()); err != nil {
			t.Errorf("Logout = %v", err)
		}
		if _, err := c.FindPersonUser(t.Context(), "vendor"); err != nil {
			t.Errorf("after Logout, which is answered by the broker: %v", err)
		}
	})
	t.Run("datastore file", func(t *testing.T) { datastoreFile(t, s) })
	t.Run("logout is local", func(t *testing.T) {
		vc, rc := s.vim(t), s.rest(t)
		if err := session.NewManager(vc).Logout(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := methods.GetCurrentTime(t.Context(), vc); err != nil {
			t.Errorf("the session did not outlive the script's Logout: %v", err)
		}
		if err := rc.Logout(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := tags.NewManager(rc).ListTags(t.Context()); err != nil {
			t.Errorf("the REST session did not outlive the script's logout: %v", err)
		}
	})

	for action, want := range map[string]int{"vcenter/login": 1, "vcenter/login-rest": 1, "vcenter/login-sso": 1, "sessions/open": 1} {
		if n := f.events.count(action, "ok"); n != want {
			t.Errorf("%d events %s; want %d", n, action, want)
		}
	}
	for what, bad := range credentials(f) {
		if forms := leaks(s.received.String(), bad); len(forms) > 0 {
			t.Errorf("the script received %s: %v", what, forms)
		}
	}
	end()
	f.nothingLeft(t)
	for _, action := range []string{"vcenter/logout", "vcenter/logout-rest", "vcenter/logout-sso", "sessions/close"} {
		if n := f.events.count(action, "ok"); n != 1 {
			t.Errorf("%d events %s; want 1", n, action)
		}
	}
	for _, e := range f.events.list() {
		if e.Execution != "one" || e.Actor != "execution-one" || !strings.HasSuffix(e.Cloud, "/privateClouds/sddc1") {
			t.Errorf("event %+v does not name its execution and private cloud", e)
		}
	}
}

// datastoreFile uploads a file to a datastore, reads it back and compares.
func datastoreFile(t *testing.T, s *script) {
	vc := s.vim(t)
	finder := find.NewFinder(vc)
	dc, err := finder.DefaultDatacenter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ds, err := finder.SetDatacenter(dc).DefaultDatastore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat("a line of a file\n", 200_000)
	if err := ds.Upload(t.Context(), strings.NewReader(want), "airlock.txt", nil); err != nil {
		t.Fatal(err)
	}
	r, _, err := ds.Download(t.Context(), "airlock.txt", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != want {
		t.Errorf("read back %d bytes, %v; want the %d that were written", len(got), err, len(want))
	}
}

func TestLongPollEndsWithTheGrant(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, end := f.open(t, "one")
	s := &script{Grant: g}
	vc := s.vim(t)
	pc := property.DefaultCollector(vc)
	if _, err := pc.CreateFilter(t.Context(), types.CreateFilter{Spec: types.PropertyFilterSpec{
		ObjectSet: []types.ObjectSpec{{Obj: vc.ServiceContent.RootFolder}},
		PropSet:   []types.PropertySpec{{Type: "Folder", PathSet: []string{"name"}}},
	}}); err != nil {
		t.Fatal(err)
	}
	first, err := methods.WaitForUpdatesEx(t.Context(), vc, &types.WaitForUpdatesEx{This: pc.Reference()})
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := methods.WaitForUpdatesEx(context.Background(), vc, &types.WaitForUpdatesEx{This: pc.Reference(), Version: first.Returnval.Version})
		failed <- err
	}()
	end()
	if err := wait(t, failed, "the end of the long poll"); err == nil {
		t.Error("the long poll answered; want that it was cut")
	}
	f.nothingLeft(t)
	if _, err := methods.GetCurrentTime(t.Context(), vc); err == nil {
		t.Error("a call after the grant's end was answered")
	}
}
