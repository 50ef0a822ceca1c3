package sessions_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi/cli/esx"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/ssoadmin"
	ssotypes "github.com/vmware/govmomi/ssoadmin/types"
	"github.com/vmware/govmomi/vapi/library"
	"github.com/vmware/govmomi/vapi/rest"
	vapitags "github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vapi/vcenter"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// vendor is a script that does what vendors are told to do, and who looks at it from outside.
type vendor struct {
	*target
	s     *script
	vc    *vim25.Client // of the script, as all that follow
	am    *object.AuthorizationManager
	admin *ssoadmin.Client
	rest  *rest.Client

	dc        *object.Datacenter
	pool      *object.ResourcePool
	datastore *object.Datastore
	vms       *object.Folder
}

func newVendor(t *testing.T) *vendor {
	t.Helper()
	v := &vendor{target: newTarget(t)}
	g, _ := v.open(t, "one")
	v.s = &script{Grant: g}
	v.vc, v.rest = v.s.vim(t), v.s.rest(t)
	v.am = object.NewAuthorizationManager(v.vc)
	var err error
	v.admin, err = ssoadmin.NewClient(t.Context(), v.vc)
	must(t, err)
	finder := find.NewFinder(v.vc)
	v.dc, err = finder.DefaultDatacenter(t.Context())
	must(t, err)
	finder.SetDatacenter(v.dc)
	pools, err := finder.ResourcePoolList(t.Context(), "*")
	must(t, err)
	v.pool = pools[0]
	v.datastore, err = finder.DefaultDatastore(t.Context())
	must(t, err)
	folders, err := v.dc.Folders(t.Context())
	must(t, err)
	v.vms = folders.VmFolder
	return v
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What vendors are told to do passes, and is done: the state afterwards is looked at from outside.
func TestMustPass(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	for _, c := range []struct {
		name string
		does func(*testing.T, *vendor)
	}{
		{"an SSO user in the group CloudAdmins", ssoUser},
		{"an SSO group", ssoGroup},
		{"a role", role},
		{"a duplicate of CloudAdmins with more privileges", moreThanCloudAdmins},
		{"permissions of others", permissionsOfOthers},
		{"ReadOnly for CloudAdmins on a folder", readOnly},
		{"its own role for CloudAdmins on a VM", ownRole},
		{"an OVF with properties, by SOAP", deployBySOAP},
		{"an OVF with properties, by REST", deployByREST},
		{"tags, by REST", tagged},
		{"esxcli", esxcli},
		{"an extension", extension},
		{"a setting and an alarm", others},
	} {
		t.Run(c.name, func(t *testing.T) { c.does(t, v) })
	}
	if refused := v.events.refusals(); len(refused) > 0 {
		t.Errorf("rules have refused something: %q", refused)
	}
}

func ssoUser(t *testing.T, v *vendor) {
	ctx := t.Context()
	must(t, v.admin.CreatePersonUser(ctx, "svc", ssotypes.AdminPersonDetails{Description: "of a vendor, who knows <&>"}, "Pa55-word!"))
	must(t, v.admin.AddUsersToGroup(ctx, "CloudAdmins", ssotypes.PrincipalId{Name: "svc", Domain: "vsphere.local"}))
	if in := v.parents(t, "svc"); !slices.Equal(in, []string{"CloudAdmins"}) {
		t.Errorf("the user is in %v", in)
	}
	u, err := v.sso.FindPersonUser(ctx, "svc")
	if err != nil || u == nil || u.Details.Description != "of a vendor, who knows <&>" {
		t.Errorf("the user is %+v, %v", u, err)
	}
	must(t, v.admin.ResetPersonPassword(ctx, "svc", "other-Pa55!"))
	must(t, v.admin.DeletePrincipal(ctx, "svc"))
	if u, err := v.sso.FindPersonUser(ctx, "svc"); err != nil || u != nil {
		t.Errorf("after it was removed the user is %+v, %v", u, err)
	}
}

func ssoGroup(t *testing.T, v *vendor) {
	ctx := t.Context()
	must(t, v.admin.CreateGroup(ctx, "operators", ssotypes.AdminGroupDetails{Description: "d"}))
	must(t, v.admin.AddUsersToGroup(ctx, "operators", ssotypes.PrincipalId{Name: "vendor", Domain: "vsphere.local"}))
	must(t, v.admin.AddGroupsToGroup(ctx, "CloudAdmins", ssotypes.PrincipalId{Name: "operators", Domain: "vsphere.local"}))
	if in := v.parents(t, "vendor"); !slices.Contains(in, "operators") {
		t.Errorf("the user is in %v", in)
	}
	must(t, v.admin.RemoveUsersFromGroup(ctx, "operators", ssotypes.PrincipalId{Name: "vendor", Domain: "vsphere.local"}))
	if in := v.parents(t, "vendor"); slices.Contains(in, "operators") {
		t.Errorf("after it was removed the user is in %v", in)
	}
}

func role(t *testing.T, v *vendor) {
	ctx := t.Context()
	id, err := v.am.AddRole(ctx, "vendor", []string{"Global.Health"})
	must(t, err)
	must(t, v.am.UpdateRole(ctx, id, "vendor", []string{"Global.Health", "Host.Config.Network"}))
	if r := v.role(t, "vendor"); r == nil || r.RoleId != id || !slices.Contains(r.Privilege, "Host.Config.Network") {
		t.Errorf("the role is %+v", r)
	}
	must(t, v.am.RemoveRole(ctx, id, true))
	if r := v.role(t, "vendor"); r != nil {
		t.Errorf("after it was removed the role is %+v", r)
	}
	must(t, v.am.UpdateRole(ctx, v.narrow, "narrow", []string{"Global.Health", "Global.CancelTask"})) // CloudAdmins has it somewhere
}

func moreThanCloudAdmins(t *testing.T, v *vendor) {
	more := append(slices.Clone(v.role(t, "CloudAdmins").Privilege), "Host.Config.Network", "Host.Config.Storage")
	_, err := v.am.AddRole(t.Context(), "CloudAdmins-vendor", more)
	must(t, err)
	if r := v.role(t, "CloudAdmins-vendor"); r == nil || !slices.Contains(r.Privilege, "Host.Config.Storage") || len(r.Privilege) < len(more) {
		t.Errorf("the role is %+v", r)
	}
}

func permissionsOfOthers(t *testing.T, v *vendor) {
	ctx, root := t.Context(), v.vc.ServiceContent.RootFolder
	const svc = `VSPHERE.LOCAL\vendor`
	must(t, v.am.SetEntityPermissions(ctx, root, []types.Permission{{Principal: svc, RoleId: -1, Propagate: true}}))
	if r := v.granted(t, root, svc); r != -1 {
		t.Errorf("the user has the role %d", r)
	}
	if r := v.granted(t, root, `VSPHERE.LOCAL\CloudAdmins`); r != v.cloudAdmins {
		t.Errorf("CloudAdmins has the role %d", r)
	}
	must(t, v.am.RemoveEntityPermission(ctx, root, svc, false))
	if r := v.granted(t, root, svc); r != 0 {
		t.Errorf("after it was removed the user has the role %d", r)
	}
}

func readOnly(t *testing.T, v *vendor) {
	ctx := t.Context()
	folder, err := v.vms.CreateFolder(ctx, "appliances")
	must(t, err)
	const group = `VSPHERE.LOCAL\CloudAdmins`
	must(t, v.am.SetEntityPermissions(ctx, folder.Reference(), []types.Permission{{Principal: group, Group: true, RoleId: -2, Propagate: true}}))
	if r := v.granted(t, folder.Reference(), group); r != -2 {
		t.Errorf("CloudAdmins has the role %d", r)
	}
	must(t, v.am.RemoveEntityPermission(ctx, folder.Reference(), group, true))
	if r := v.granted(t, folder.Reference(), group); r != 0 {
		t.Errorf("after it was removed CloudAdmins has the role %d", r)
	}
}

func ownRole(t *testing.T, v *vendor) {
	ctx := t.Context()
	vms, err := find.NewFinder(v.vc).SetDatacenter(v.dc).VirtualMachineList(ctx, "*")
	must(t, err)
	vm := vms[0].Reference()
	must(t, v.am.SetEntityPermissions(ctx, vm, []types.Permission{{Principal: "cloudadmins@vsphere.local", Group: true, RoleId: v.cloudAdmins}}))
	if r := v.granted(t, vm, "cloudadmins@vsphere.local"); r != v.cloudAdmins {
		t.Errorf("CloudAdmins has the role %d", r)
	}
}

const appliance = `<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References/>
  <VirtualSystem ovf:id="appliance">
    <Info>A VM</Info>
    <ProductSection>
      <Info>Settings</Info>
      <Property ovf:key="address" ovf:type="string" ovf:userConfigurable="true" ovf:value=""><Label>Address</Label></Property>
    </ProductSection>
    <VirtualHardwareSection>
      <Info>Hardware</Info>
      <System><vssd:ElementName>x</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID><vssd:VirtualSystemType>vmx-09</vssd:VirtualSystemType></System>
      <Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>1</rasd:VirtualQuantity></Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>`

// address is the property of a VM that was deployed, seen from outside.
func (v *vendor) address(t *testing.T, name string) string {
	t.Helper()
	vm, err := find.NewFinder(v.vim).SetDatacenter(object.NewDatacenter(v.vim, v.dc.Reference())).VirtualMachine(t.Context(), name)
	must(t, err)
	var seen mo.VirtualMachine
	must(t, vm.Properties(t.Context(), vm.Reference(), []string{"config.vAppConfig"}, &seen))
	if seen.Config == nil || seen.Config.VAppConfig == nil {
		t.Fatalf("%s has no properties", name)
	}
	for _, p := range seen.Config.VAppConfig.GetVmConfigInfo().Property {
		if p.Id == "address" {
			return p.Value
		}
	}
	t.Fatalf("%s has no property address", name)
	return ""
}

func deployBySOAP(t *testing.T, v *vendor) {
	ctx := t.Context()
	spec, err := ovf.NewManager(v.vc).CreateImportSpec(ctx, appliance, v.pool, v.datastore, &types.OvfCreateImportSpecParams{
		EntityName: "by-soap", PropertyMapping: []types.KeyValue{{Key: "address", Value: "192.0.2.1"}},
	})
	must(t, err)
	if spec.Error != nil {
		t.Fatalf("the descriptor: %+v", spec.Error)
	}
	lease, err := v.pool.ImportVApp(ctx, spec.ImportSpec, v.vms, nil)
	must(t, err)
	info, err := lease.Wait(ctx, spec.FileItem)
	must(t, err)
	u := lease.StartUpdater(ctx, info)
	defer u.Done()
	for _, item := range info.Items {
		must(t, lease.Upload(ctx, item, strings.NewReader("disk"), soap.Upload{ContentLength: 4}))
	}
	must(t, lease.Complete(ctx))
	if a := v.address(t, "by-soap"); a != "192.0.2.1" {
		t.Errorf("the property is %q", a)
	}
}

func deployByREST(t *testing.T, v *vendor) {
	ctx, m := t.Context(), library.NewManager(v.rest)
	lib, err := m.CreateLibrary(ctx, library.Library{Name: "vendor", Type: "LOCAL", Storage: []library.StorageBacking{{
		DatastoreID: v.datastore.Reference().Value, Type: "DATASTORE",
	}}})
	must(t, err)
	item, err := m.CreateLibraryItem(ctx, library.Item{Name: "appliance", Type: library.ItemTypeOVF, LibraryID: lib})
	must(t, err)
	session, err := m.CreateLibraryItemUpdateSession(ctx, library.Session{LibraryItemID: item})
	must(t, err)
	file, err := m.AddLibraryItemFile(ctx, session, library.UpdateFile{Name: "appliance.ovf", SourceType: "PUSH", Size: int64(len(appliance))})
	must(t, err)
	u, err := v.vc.ParseURL(file.UploadEndpoint.URI)
	must(t, err)
	must(t, v.rest.Upload(ctx, strings.NewReader(appliance), u, &soap.Upload{ContentLength: int64(len(appliance)), Method: "PUT"}))
	must(t, m.CompleteLibraryItemUpdateSession(ctx, session))
	_, err = vcenter.NewManager(v.rest).DeployLibraryItem(ctx, item, vcenter.Deploy{
		DeploymentSpec: vcenter.DeploymentSpec{
			Name: "by-rest", DefaultDatastoreID: v.datastore.Reference().Value, AcceptAllEULA: true,
			AdditionalParams: []vcenter.AdditionalParams{{
				Class: vcenter.ClassPropertyParams, Type: vcenter.TypePropertyParams,
				Properties: []vcenter.Property{{ID: "address", Value: "192.0.2.2"}},
			}},
		},
		Target: vcenter.Target{ResourcePoolID: v.pool.Reference().Value, FolderID: v.vms.Reference().Value},
	})
	must(t, err)
	if a := v.address(t, "by-rest"); a != "192.0.2.2" {
		t.Errorf("the property is %q", a)
	}
}

func tagged(t *testing.T, v *vendor) {
	ctx, m := t.Context(), vapitags.NewManager(v.rest)
	category, err := m.CreateCategory(ctx, &vapitags.Category{Name: "vendor", Cardinality: "SINGLE", AssociableTypes: []string{"Folder"}})
	must(t, err)
	id, err := m.CreateTag(ctx, &vapitags.Tag{Name: "managed", CategoryID: category})
	must(t, err)
	must(t, m.AttachTag(ctx, id, v.vms.Reference()))
	attached, err := vapitags.NewManager(v.outside.rest(t, v.fixture)).ListAttachedTags(ctx, v.vms.Reference())
	if err != nil || !slices.Equal(attached, []string{id}) {
		t.Errorf("the folder has the tags %v, %v", attached, err)
	}
}

func esxcli(t *testing.T, v *vendor) {
	ctx := t.Context()
	run := func(c *vim25.Client) []esx.Values {
		t.Helper()
		hosts, err := find.NewFinder(c).SetDatacenter(object.NewDatacenter(c, v.dc.Reference())).HostSystemList(ctx, "*")
		must(t, err)
		e, err := esx.NewExecutor(ctx, c, hosts[0])
		must(t, err)
		res, err := e.Run(ctx, []string{"software", "vib", "get", "--vibname", "esx-ui"})
		must(t, err)
		return res.Values
	}
	mine, theirs := run(v.vc), run(v.vim)
	if len(mine) != 1 || mine[0].Value("Name") != "esx-ui" || len(theirs) != len(mine) {
		t.Errorf("through the broker %v, past it %v", mine, theirs)
	}
}

func extension(t *testing.T, v *vendor) {
	ctx, m := t.Context(), object.NewExtensionManager(v.vc)
	x := types.Extension{Key: "com.example.plugin", Version: "1", Description: &types.Description{Label: "a plug-in", Summary: "s"},
		Server: []types.ExtensionServerInfo{{Url: "https://192.0.2.1/plugin.json", Description: &types.Description{Label: "l"}, Company: "c", Type: "MANIFEST_SERVER", AdminEmail: []string{"a@b"}}}}
	must(t, m.Register(ctx, x))
	seen, err := object.NewExtensionManager(v.vim).Find(ctx, x.Key)
	if err != nil || seen == nil || len(seen.Server) != 1 || seen.Server[0].Url != x.Server[0].Url {
		t.Fatalf("the extension is %+v, %v", seen, err)
	}
	must(t, m.Unregister(ctx, x.Key))
}

func others(t *testing.T, v *vendor) {
	ctx := t.Context()
	must(t, object.NewOptionManager(v.vc, *v.vc.ServiceContent.Setting).Update(ctx, []types.BaseOptionValue{&types.OptionValue{Key: "mail.smtp.port", Value: int32(2525)}}))
	seen, err := object.NewOptionManager(v.vim, *v.vim.ServiceContent.Setting).Query(ctx, "mail.smtp.port")
	if err != nil || len(seen) != 1 || seen[0].GetOptionValue().Value != int32(2525) {
		t.Errorf("the setting is %+v, %v", seen, err)
	}
	res, err := methods.CreateAlarm(ctx, v.vc, &types.CreateAlarm{This: *v.vc.ServiceContent.AlarmManager, Entity: v.vms.Reference(), Spec: &types.AlarmSpec{
		Name: "vendor", Description: "d", Enabled: true,
		Expression: &types.OrAlarmExpression{Expression: []types.BaseAlarmExpression{&types.StateAlarmExpression{Operator: "isEqual", Type: "VirtualMachine", StatePath: "runtime.powerState"}}},
		Action:     &types.AlarmTriggeringAction{Action: &types.SendEmailAction{ToList: "a@b", Subject: "s"}},
	}})
	must(t, err)
	alarms, err := methods.GetAlarm(ctx, v.vim, &types.GetAlarm{This: *v.vim.ServiceContent.AlarmManager})
	if err != nil || !slices.Contains(alarms.Returnval, res.Returnval) {
		t.Errorf("the alarms are %v, %v", alarms, err)
	}
}
