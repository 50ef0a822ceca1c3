package simcloud_test

import (
	"net/url"
	"slices"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/ssoadmin"
	ssotypes "github.com/vmware/govmomi/ssoadmin/types"
	"github.com/vmware/govmomi/sts"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25/soap"
)

func TestWhatCmdletsDo(t *testing.T) {
	t.Parallel()
	newLab(t).each(map[string]func(*testing.T, *lab){
		"service account": serviceAccount, "role": roleDuplicatedFromCloudAdmins, "tags": tagsOnVMs,
	})
}

func serviceAccount(t *testing.T, l *lab) {
	c, vc, ctx := l.cloud, l.vc, t.Context()
	admin, err := ssoadmin.NewClient(ctx, vc.Client)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := sts.NewClient(ctx, vc.Client)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := tokens.Issue(ctx, sts.TokenRequest{Userinfo: credentials(c)})
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.Login(admin.WithHeader(ctx, soap.Header{Security: signer})); err != nil {
		t.Fatal(err)
	}
	if g, err := admin.FindGroup(ctx, "CloudAdmins"); err != nil || g == nil {
		t.Fatalf("the group is %v, %v", g, err)
	}
	me := ssotypes.PrincipalId{Name: "scripting", Domain: "vsphere.local"}
	if groups, err := admin.FindParentGroups(ctx, me); err != nil || !slices.Contains(groups, group("CloudAdmins")) {
		t.Errorf("scripting is in %v, %v", groups, err)
	}

	account := ssotypes.PrincipalId{Name: "svc-backup", Domain: "vsphere.local"}
	if err := admin.CreatePersonUser(ctx, account.Name, ssotypes.AdminPersonDetails{Description: "of a test"}, "one"); err != nil {
		t.Fatal(err)
	}
	if err := admin.AddUsersToGroup(ctx, "CloudAdmins", account); err != nil {
		t.Fatal(err)
	}
	if u, err := admin.FindPersonUser(ctx, account.Name); err != nil || u == nil || u.Details.Description != "of a test" {
		t.Errorf("the user is %+v, %v", u, err)
	}
	if groups, err := admin.FindParentGroups(ctx, account); err != nil || !slices.Contains(groups, group("CloudAdmins")) {
		t.Errorf("the user is in %v, %v", groups, err)
	}
	canLogin := func(password string, want bool) {
		t.Helper()
		other := stranger(t, c)
		if err := other.Login(ctx, url.UserPassword("svc-backup@vsphere.local", password)); (err == nil) != want {
			t.Errorf("login with %q: %v", password, err)
		}
		_ = other.Logout(ctx)
	}
	canLogin("one", true)
	if err := admin.ResetPersonPassword(ctx, account.Name, "two"); err != nil {
		t.Fatal(err)
	}
	canLogin("one", false)
	canLogin("two", true)
	if err := admin.DeletePrincipal(ctx, account.Name); err != nil {
		t.Fatal(err)
	}
	canLogin("two", false)
}

func group(name string) ssotypes.PrincipalId {
	return ssotypes.PrincipalId{Name: name, Domain: "vsphere.local"}
}

func roleDuplicatedFromCloudAdmins(t *testing.T, l *lab) {
	m := object.NewAuthorizationManager(l.vc.Client)
	list, err := m.RoleList(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	from := list.ByName("CloudAdmins")
	if from == nil || from.System || !slices.Contains(from.Privilege, "VirtualMachine.Interact.PowerOn") ||
		!slices.Contains(from.Privilege, "System.Read") || slices.Contains(from.Privilege, "Host.Config.Settings") {
		t.Fatalf("CloudAdmins is %+v", from)
	}
	one, err := m.AddRole(t.Context(), "Service", from.Privilege)
	if err != nil {
		t.Fatal(err)
	}
	two, err := m.AddRole(t.Context(), "Other", []string{"VirtualMachine.Interact.PowerOn"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.AddRole(t.Context(), "Service", nil); err == nil {
		t.Error("a name is taken twice")
	}
	if list, err = m.RoleList(t.Context()); err != nil {
		t.Fatal(err)
	}
	made, other := list.ById(one), list.ById(two)
	if made == nil || made.Name != "Service" || !slices.Equal(made.Privilege, from.Privilege) {
		t.Errorf("by the id that was answered the role is %+v", made)
	}
	if other == nil || other.Name != "Other" || one <= 0 || one == two || one == from.RoleId {
		t.Errorf("the ids are %d and %d, beside %d", one, two, from.RoleId)
	}
	permissions, err := m.RetrieveRolePermissions(t.Context(), from.RoleId)
	if err != nil || len(permissions) != 1 || permissions[0].Principal != `VSPHERE.LOCAL\CloudAdmins` || !permissions[0].Propagate {
		t.Errorf("the role is held as %+v, %v", permissions, err)
	}
}

func tagsOnVMs(t *testing.T, l *lab) {
	ctx := t.Context()
	r := rest.NewClient(l.vc.Client)
	if err := r.Login(ctx, credentials(l.cloud)); err != nil {
		t.Fatal(err)
	}
	m := tags.NewManager(r)
	category := must(m.CreateCategory(ctx, &tags.Category{Name: "tier", Cardinality: "SINGLE"}))(t)
	gold := must(m.CreateTag(ctx, &tags.Tag{Name: "gold", CategoryID: category}))(t)
	if err := m.AttachTag(ctx, gold, l.vm().Reference()); err != nil {
		t.Fatal(err)
	}
	attached := must(m.GetAttachedTags(ctx, l.vm().Reference()))(t)
	if len(attached) != 1 || attached[0].Name != "gold" {
		t.Errorf("the VM's tags are %+v", attached)
	}
}
