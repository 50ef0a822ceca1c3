package simcloud_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vapi/library"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/vcenter"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"

	"github.com/airlock-run/airlock/sessions/simcloud"
)

// lab is a private cloud, a client that is logged in, and a file that a command would make if one ran.
type lab struct {
	t      *testing.T
	cloud  *simcloud.Cloud
	vc     *govmomi.Client
	finder *find.Finder
	dc     *object.Datacenter
	canary string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	c := start(t)
	l := &lab{t: t, cloud: c, vc: login(t, c), canary: filepath.Join(t.TempDir(), "canary")}
	l.finder = newFinder(l.vc)
	l.dc = must(l.finder.DefaultDatacenter(t.Context()))(t)
	l.finder.SetDatacenter(l.dc)
	return l
}

// each runs tests one after the other on the lab's private cloud.
func (l *lab) each(tests map[string]func(*testing.T, *lab)) {
	l.t.Helper()
	for name, test := range tests {
		l.t.Run(name, func(t *testing.T) {
			sub := *l
			sub.t = t
			test(t, &sub)
		})
	}
}

func newFinder(vc *govmomi.Client) *find.Finder { return find.NewFinder(vc.Client) }

// must returns what a call returned, if it did well.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// runs is the option that makes vcsim run a command which makes the canary: `sh -c "docker create … x; touch FILE"`.
func runs(key, canary string) []types.BaseOptionValue {
	return []types.BaseOptionValue{
		&types.OptionValue{Key: "RUN.mountdmi", Value: "false"},
		&types.OptionValue{Key: key, Value: "x; touch " + canary},
	}
}

func (l *lab) vm() *object.VirtualMachine {
	return must(l.finder.VirtualMachine(l.t.Context(), "app-05"))(l.t)
}
func (l *lab) pool() *object.ResourcePool {
	return must(l.finder.ResourcePool(l.t.Context(), "Cluster-1/Resources"))(l.t)
}
func (l *lab) folder() *object.Folder { return must(l.dc.Folders(l.t.Context()))(l.t).VmFolder }
func (l *lab) host() *object.HostSystem {
	return must(l.finder.HostSystem(l.t.Context(), "Cluster-1/esx01.sddc1.airlock.test"))(l.t)
}
func (l *lab) datastore() *object.Datastore {
	return must(l.finder.Datastore(l.t.Context(), "vsanDatastore"))(l.t)
}

func (l *lab) config(name string, extra []types.BaseOptionValue) types.VirtualMachineConfigSpec {
	return types.VirtualMachineConfigSpec{
		Name: name, GuestId: "otherGuest", ExtraConfig: extra, Files: &types.VirtualMachineFileInfo{VmPathName: "[vsanDatastore]"},
	}
}

// ended waits for a task.
func ended(ctx context.Context) func(*object.Task, error) error {
	return func(task *object.Task, err error) error {
		if err != nil {
			return err
		}
		return task.Wait(ctx)
	}
}

// refused checks that err is the refusal, said in a sentence.
func (l *lab) refused(what string, err error) {
	l.t.Helper()
	if err == nil {
		l.t.Errorf("%s: let through", what)
		return
	}
	if !strings.Contains(err.Error(), "RUN.* would run a command on the simulator's machine") {
		l.t.Errorf("%s: refused with %v, want a sentence that says why", what, err)
	}
	if soap.IsSoapFault(err) {
		if _, ok := soap.ToSoapFault(err).VimFault().(types.InvalidArgument); !ok {
			l.t.Errorf("%s: the fault is %T, want InvalidArgument", what, soap.ToSoapFault(err).VimFault())
		}
	}
}

// nothingRuns checks that no VM has the key, starts those that the test may have touched, and checks that no command ran.
func (l *lab) nothingRuns() {
	l.t.Helper()
	ctx := l.t.Context()
	v := must(view.NewManager(l.vc.Client).CreateContainerView(ctx, l.vc.ServiceContent.RootFolder, nil, true))(l.t)
	var vms []mo.VirtualMachine
	if err := v.Retrieve(ctx, []string{"VirtualMachine"}, []string{"name", "config.extraConfig"}, &vms); err != nil {
		l.t.Fatal(err)
	}
	for _, m := range vms {
		for _, o := range m.Config.ExtraConfig {
			if strings.HasPrefix(strings.ToUpper(o.GetOptionValue().Key), "RUN.") {
				l.t.Errorf("%s has the key %q", m.Name, o.GetOptionValue().Key)
			}
		}
		if m.Name != "app-01" && m.Name != "app-05" && untouched.MatchString(m.Name) {
			continue
		}
		vm := object.NewVirtualMachine(l.vc.Client, m.Self)
		_ = ended(ctx)(vm.PowerOff(ctx))
		if err := ended(ctx)(vm.PowerOn(ctx)); err != nil {
			l.t.Errorf("%s: %v", m.Name, err)
		}
	}
	if _, err := os.Stat(l.canary); !errors.Is(err, fs.ErrNotExist) {
		l.t.Error("a command ran")
	}
}

var untouched = regexp.MustCompile(`^(app|db|web|win)-`)

// The canary of the tests below sings: vcsim by itself runs the command.
func TestVcsimRunsCommands(t *testing.T) {
	t.Parallel()
	canary := filepath.Join(t.TempDir(), "canary")
	simulator.Test(func(ctx context.Context, c *vim25.Client) {
		vm := must(find.NewFinder(c).VirtualMachine(ctx, "DC0_H0_VM0"))(t)
		_ = ended(ctx)(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{ExtraConfig: runs("RUN.container", canary)}))
	})
	if _, err := os.Stat(canary); err != nil {
		t.Error(err)
	}
}

// Each way in by which a RUN.* key could reach vcsim, and after all of them: no VM has one, and nothing has run.
func TestRunKeys(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.each(map[string]func(*testing.T, *lab){
		"VMs": runKeysOnVMs, "any form": runKeysInAnyForm, "options": runKeysInOptions, "OVF": runKeysInOVF,
		"library deployment": runKeysInLibraryDeployment, "registered VM": runKeysInRegisteredVM,
	})
	l.nothingRuns()
}

func runKeysOnVMs(t *testing.T, l *lab) {
	ctx, done := t.Context(), ended(t.Context())
	extra := runs("RUN.container", l.canary)
	key := l.config("new", extra)
	pool := l.pool()

	_, err := l.folder().CreateVM(ctx, key, pool, nil)
	l.refused("create", err)
	_, err = l.vm().Reconfigure(ctx, types.VirtualMachineConfigSpec{ExtraConfig: extra})
	l.refused("reconfigure", err)
	running := must(l.finder.VirtualMachine(ctx, "app-01"))(t)
	_, err = running.Reconfigure(ctx, types.VirtualMachineConfigSpec{ExtraConfig: extra})
	l.refused("reconfigure a running VM", err)
	_, err = l.vm().Clone(ctx, l.folder(), "copy", types.VirtualMachineCloneSpec{Config: &types.VirtualMachineConfigSpec{ExtraConfig: extra}})
	l.refused("clone", err)
	_, err = l.vm().InstantClone(ctx, types.VirtualMachineInstantCloneSpec{Name: "copy", Config: extra})
	l.refused("instant clone", err)

	app := must(pool.CreateVApp(ctx, "app", types.DefaultResourceConfigSpec(), simulator.NewVAppConfigSpec(), l.folder()))(t)
	_, err = app.CreateChildVM(ctx, key, nil)
	l.refused("create in a vApp", err)
	_, err = pool.ImportVApp(ctx, &types.VirtualMachineImportSpec{ConfigSpec: key}, l.folder(), nil)
	l.refused("import", err)
	_, err = pool.ImportVApp(ctx, &types.VirtualAppImportSpec{
		Name: "app", Child: []types.BaseImportSpec{&types.VirtualMachineImportSpec{ConfigSpec: key}},
	}, l.folder(), nil)
	l.refused("import in a vApp", err)

	// What is no such key goes through.
	err = done(l.vm().Reconfigure(ctx, types.VirtualMachineConfigSpec{ExtraConfig: []types.BaseOptionValue{
		&types.OptionValue{Key: "guestinfo.run.once", Value: "RUN.container"}, &types.OptionValue{Key: "SET.guest.hostName", Value: "app"},
	}}))
	if err != nil {
		t.Error(err)
	}
}

func runKeysInAnyForm(t *testing.T, l *lab) {
	for _, key := range []string{
		"RUN.container", "run.Container", " RUN.container", "RUN.container\t", "\u00a0RUN.container", "\u200bRUN.container", "\ufeffRUN.container",
		"RUN.", "RUN.env.X", "RUN.port.80", "RUN.network", "RUN.mountdmi", "RUN.underlay.vmnic0",
		"SET.RUN.container", "set.run.container", "SET.SET.RUN.container", "SET.config.extraConfig", "SET.config.files.logDirectory", "SET.name",
	} {
		_, err := l.vm().Reconfigure(t.Context(), types.VirtualMachineConfigSpec{ExtraConfig: []types.BaseOptionValue{
			&types.OptionValue{Key: "guestinfo.x", Value: "y"}, &types.OptionValue{Key: key, Value: "x; touch " + l.canary},
		}})
		l.refused(key, err)
	}
	// The value of a property that a key sets: two keys, then a change, would have made vcsim run it.
	for _, value := range []types.AnyType{
		types.ArrayOfOptionValue{OptionValue: runs("RUN.container", l.canary)},
		types.ArrayOfAnyType{AnyType: []types.AnyType{types.OptionValue{Key: "RUN.container", Value: "x"}}},
		types.OptionValue{Key: "RUN.container", Value: "x"},
		types.KeyAnyValue{Key: "RUN.container", Value: "x"},
	} {
		_, err := l.vm().Reconfigure(t.Context(), types.VirtualMachineConfigSpec{ExtraConfig: []types.BaseOptionValue{
			&types.OptionValue{Key: "guestinfo.x", Value: value},
		}})
		l.refused("as a value", err)
	}
}

func runKeysInOptions(t *testing.T, l *lab) {
	ctx := t.Context()
	options := must(l.host().ConfigManager().OptionManager(ctx))(t)
	l.refused("a host's options", options.Update(ctx, runs("RUN.container", l.canary)))
	l.refused("a host's underlay", options.Update(ctx, runs("RUN.underlay.vmnic0", l.canary)))
	l.refused("vCenter's options", object.NewOptionManager(l.vc.Client, *l.vc.ServiceContent.Setting).Update(ctx, runs("RUN.container", l.canary)))
	l.refused("vcsim's own options", object.NewOptionManager(l.vc.Client, *l.vc.ServiceContent.Setting).Update(ctx,
		[]types.BaseOptionValue{&types.OptionValue{Key: "vcsim.home", Value: "/etc"}}))
	cluster := must(l.finder.ClusterComputeResource(ctx, "Cluster-1"))(t)
	_, err := cluster.Reconfigure(ctx, &types.ClusterConfigSpecEx{DasConfig: &types.ClusterDasConfigInfo{Option: runs("RUN.container", l.canary)}}, true)
	l.refused("a cluster's options", err)

	// A host that is added now is not one of those that vcsim simulates with a container.
	if err := ended(ctx)(cluster.AddHost(ctx, types.HostConnectSpec{HostName: "esx04.sddc1.airlock.test"}, true, nil, nil)); err != nil {
		t.Error(err)
	}
	if got := must(options.Query(ctx, ""))(t); slices.ContainsFunc(got, func(o types.BaseOptionValue) bool {
		return strings.HasPrefix(o.GetOptionValue().Key, "RUN.")
	}) {
		t.Error("the host has a RUN.* option")
	}
}

const descriptor = `<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vmw="http://www.vmware.com/schema/ovf"
  xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References/>
  <VirtualSystem ovf:id="vm">
    <Info>A VM</Info>
    <VirtualHardwareSection>
      <Info>Hardware</Info>
      <System><vssd:ElementName>x</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID><vssd:VirtualSystemType>vmx-09</vssd:VirtualSystemType></System>
      <Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>1</rasd:VirtualQuantity></Item>
      <!-- more -->
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>`

// withExtraConfig is the descriptor with a RUN.* key of its own.
var withExtraConfig = strings.Replace(descriptor, "<!-- more -->", `<vmw:ExtraConfig ovf:required="false" vmw:key="RUN.container" vmw:value="x"/>`, 1)

func runKeysInOVF(t *testing.T, l *lab) {
	m := ovf.NewManager(l.vc.Client)
	params := &types.OvfCreateImportSpecParams{EntityName: "imported"}
	spec := must(m.CreateImportSpec(t.Context(), descriptor, l.pool(), l.datastore(), params))(t)
	if spec.Error != nil {
		t.Fatalf("a plain descriptor: %+v", spec.Error)
	}
	_, err := m.CreateImportSpec(t.Context(), withExtraConfig, l.pool(), l.datastore(), params)
	l.refused("ExtraConfig in the descriptor", err)
	params.PropertyMapping = []types.KeyValue{{Key: "RUN.container", Value: "x; touch " + l.canary}}
	_, err = m.CreateImportSpec(t.Context(), descriptor, l.pool(), l.datastore(), params)
	l.refused("a mapped property", err)
}

func runKeysInLibraryDeployment(t *testing.T, l *lab) {
	ctx := t.Context()
	r := rest.NewClient(l.vc.Client)
	if err := r.Login(ctx, credentials(l.cloud)); err != nil {
		t.Fatal(err)
	}
	plain := l.libraryItem(r, "plain", descriptor)
	deploy := func(name string) vcenter.Deploy {
		return vcenter.Deploy{
			DeploymentSpec: vcenter.DeploymentSpec{Name: name, DefaultDatastoreID: l.datastore().Reference().Value, AcceptAllEULA: true},
			Target:         vcenter.Target{ResourcePoolID: l.pool().Reference().Value, FolderID: l.folder().Reference().Value},
		}
	}
	if _, err := vcenter.NewManager(r).DeployLibraryItem(ctx, plain, deploy("deployed")); err != nil {
		t.Fatalf("a plain deployment: %v", err)
	}

	config := deploy("refused")
	config.VmConfigSpec = &vcenter.VmConfigSpec{Provider: "XML", XML: configXML(t, runs("run.container ", l.canary))}
	_, err := vcenter.NewManager(r).DeployLibraryItem(ctx, plain, config)
	l.refused("the configuration as XML", err)

	properties := deploy("refused")
	properties.AdditionalParams = []vcenter.AdditionalParams{{
		Class: vcenter.ClassPropertyParams, Type: vcenter.TypePropertyParams,
		Properties: []vcenter.Property{{ID: "RUN.container", Value: "x; touch " + l.canary}},
	}}
	_, err = vcenter.NewManager(r).DeployLibraryItem(ctx, plain, properties)
	l.refused("a property", err)

	extra := deploy("refused")
	extra.AdditionalParams = []vcenter.AdditionalParams{{
		Class: "com.vmware.vcenter.ovf.extra_config_params", Type: "ExtraConfigParams",
		ExtraConfig: []vcenter.ExtraConfig{{Key: "RUN.container", Value: "x"}},
	}}
	_, err = vcenter.NewManager(r).DeployLibraryItem(ctx, plain, extra)
	l.refused("extra configuration", err)

	_, err = vcenter.NewManager(r).DeployLibraryItem(ctx, l.libraryItem(r, "keyed", withExtraConfig), deploy("refused"))
	l.refused("the descriptor", err)

	if vm, err := l.finder.VirtualMachine(ctx, "refused"); err == nil {
		t.Errorf("%s is there after the refusals", vm.InventoryPath)
	}
}

// libraryItem uploads an OVF descriptor to a new library.
func (l *lab) libraryItem(r *rest.Client, name, text string) string {
	l.t.Helper()
	ctx, m := l.t.Context(), library.NewManager(r)
	lib := must(m.CreateLibrary(ctx, library.Library{Name: name, Type: "LOCAL", Storage: []library.StorageBacking{{
		DatastoreID: l.datastore().Reference().Value, Type: "DATASTORE",
	}}}))(l.t)
	item := must(m.CreateLibraryItem(ctx, library.Item{Name: name, Type: library.ItemTypeOVF, LibraryID: lib}))(l.t)
	session := must(m.CreateLibraryItemUpdateSession(ctx, library.Session{LibraryItemID: item}))(l.t)
	file := must(m.AddLibraryItemFile(ctx, session, library.UpdateFile{Name: name + ".ovf", SourceType: "PUSH", Size: int64(len(text))}))(l.t)
	if !strings.HasPrefix(file.UploadEndpoint.URI, "https://vc.sddc1.airlock.test/") {
		l.t.Errorf("the upload goes to %s, want the vCenter by its name", file.UploadEndpoint.URI)
	}
	u := must(l.vc.ParseURL(file.UploadEndpoint.URI))(l.t)
	if err := r.Upload(ctx, strings.NewReader(text), u, &soap.Upload{ContentLength: int64(len(text)), Method: "PUT"}); err != nil {
		l.t.Fatal(err)
	}
	if err := m.CompleteLibraryItemUpdateSession(ctx, session); err != nil {
		l.t.Fatal(err)
	}
	return item
}

// configXML is a VM's configuration as the REST API takes it.
func configXML(t *testing.T, extra []types.BaseOptionValue) string {
	t.Helper()
	var out bytes.Buffer
	e := xml.NewEncoder(&out)
	if err := e.Encode(types.VirtualMachineConfigSpec{ExtraConfig: extra}); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(out.Bytes())
}

// A .vmx file is uploaded with a key and registered: vcsim takes no options from it.
func runKeysInRegisteredVM(t *testing.T, l *lab) {
	ctx := t.Context()
	if err := object.NewFileManager(l.vc.Client).MakeDirectory(ctx, "[vsanDatastore] reg", l.dc, false); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"reg/reg.vmx": "displayName = \"reg\"\nRUN.container = \"x; touch " + l.canary + "\"\n", "reg/reg.nvram": "", "reg/vmware.log": "",
	} {
		if err := l.datastore().Upload(ctx, strings.NewReader(text), name, nil); err != nil {
			t.Fatal(err)
		}
	}
	req := types.RegisterVM_Task{This: l.folder().Reference(), Path: "[vsanDatastore] reg/reg.vmx", Name: "reg", Pool: new(types.ManagedObjectReference)}
	*req.Pool = l.pool().Reference()
	res := must(methods.RegisterVM_Task(ctx, l.vc.Client, &req))(t)
	if err := object.NewTask(l.vc.Client, res.Returnval).Wait(ctx); err != nil {
		t.Fatal(err)
	}
}
