package sessions_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/ssoadmin"
	ssotypes "github.com/vmware/govmomi/ssoadmin/types"
	"github.com/vmware/govmomi/sts"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/airlock-run/airlock/internal/domain"
)

// outside looks at a private cloud past the broker, logged in with the administrator's password.
type outside struct {
	vim     *vim25.Client
	session *session.Manager
	sso     *ssoadmin.Client
	roles   *object.AuthorizationManager
}

func (f *fixture) outside(t testing.TB) *outside {
	t.Helper()
	vc := f.cloud.VCenter()
	s := &script{Grant: domain.Grant{CA: vc.CA, VCenter: domain.Endpoint{Host: vc.FQDN, Addr: vc.Addr}}}
	o := &outside{vim: s.vim(t)}
	o.session, o.roles = session.NewManager(o.vim), object.NewAuthorizationManager(o.vim)
	user := url.UserPassword(vc.User, vc.Password.Reveal())
	if err := o.session.Login(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	tokens, err := sts.NewClient(t.Context(), o.vim)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := tokens.Issue(t.Context(), sts.TokenRequest{Userinfo: user})
	if err != nil {
		t.Fatal(err)
	}
	if o.sso, err = ssoadmin.NewClient(t.Context(), o.vim); err != nil {
		t.Fatal(err)
	}
	if err := o.sso.Login(o.sso.WithHeader(t.Context(), soap.Header{Security: signer})); err != nil {
		t.Fatal(err)
	}
	return o
}

// rest is a REST client of the private cloud itself.
func (o *outside) rest(t testing.TB, f *fixture) *rest.Client {
	t.Helper()
	vc := f.cloud.VCenter()
	c := rest.NewClient(o.vim)
	if err := c.Login(t.Context(), url.UserPassword(vc.User, vc.Password.Reveal())); err != nil {
		t.Fatal(err)
	}
	return c
}

// role is one of a name.
func (o *outside) role(t testing.TB, name string) *types.AuthorizationRole {
	t.Helper()
	all, err := o.roles.RoleList(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all.ByName(name)
}

// granted is the role that a user or group has on an object of its own, 0 for none.
func (o *outside) granted(t testing.TB, on types.ManagedObjectReference, principal string) int32 {
	t.Helper()
	all, err := o.roles.RetrieveEntityPermissions(t.Context(), on, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if strings.EqualFold(p.Principal, principal) {
			return p.RoleId
		}
	}
	return 0
}

// parents are the groups that a user or group is in.
func (o *outside) parents(t testing.TB, name string) (names []string) {
	t.Helper()
	all, err := o.sso.FindParentGroups(t.Context(), ssotypes.PrincipalId{Name: name, Domain: "vsphere.local"})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range all {
		names = append(names, g.Name)
	}
	slices.Sort(names)
	return names
}

// state is what attacks are after, as text.
func (o *outside) state(t testing.TB) string {
	t.Helper()
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	roles, err := o.roles.RoleList(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range roles {
		add("role %d %s %v", r.RoleId, r.Name, r.Privilege)
	}
	permissions, err := o.roles.RetrieveAllPermissions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range permissions {
		add("permission %v %s %d %t", p.Entity, p.Principal, p.RoleId, p.Propagate)
	}
	users, err := o.sso.FindPersonUsers(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		add("user %v %v %v", u.Id, u.Details, o.parents(t, u.Id.Name))
	}
	groups, err := o.sso.FindGroups(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		add("group %v %v", g.Id, g.Details)
	}
	var extensions mo.ExtensionManager
	var options mo.OptionManager
	pc := property.DefaultCollector(o.vim)
	if err := pc.RetrieveOne(t.Context(), *o.vim.ServiceContent.ExtensionManager, nil, &extensions); err != nil {
		t.Fatal(err)
	}
	for _, e := range extensions.ExtensionList {
		add("extension %s %q", e.Key, e.SubjectName)
	}
	if err := pc.RetrieveOne(t.Context(), *o.vim.ServiceContent.Setting, nil, &options); err != nil {
		t.Fatal(err)
	}
	for _, v := range options.Setting {
		add("option %v", *v.GetOptionValue())
	}
	alarms, err := methods.GetAlarm(t.Context(), o.vim, &types.GetAlarm{This: *o.vim.ServiceContent.AlarmManager})
	if err != nil {
		t.Fatal(err)
	}
	add("alarms %v", alarms.Returnval)
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
