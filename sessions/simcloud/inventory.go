package simcloud

import (
	"context"
	"fmt"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	vim "github.com/vmware/govmomi/vim25/types"
)

// The names in the inventory.
const (
	datacenterName = "SDDC-Datacenter"
	clusterName    = "Cluster-1"
	datastoreName  = "vsanDatastore"
)

// guests are the VMs, by kind. Every fifth is powered off.
var guests = []struct {
	prefix string
	number int
	guest  vim.VirtualMachineGuestOsIdentifier
	cpus   int32
	memory int64 // MiB
}{
	{"app", 8, vim.VirtualMachineGuestOsIdentifierUbuntu64Guest, 2, 4096},
	{"db", 4, vim.VirtualMachineGuestOsIdentifierRhel8_64Guest, 4, 16384},
	{"web", 6, vim.VirtualMachineGuestOsIdentifierUbuntu64Guest, 2, 2048},
	{"win", 2, vim.VirtualMachineGuestOsIdentifierWindows2019srv_64Guest, 4, 8192},
}

// builder fills an empty vCenter, in process. Tasks of one kind are started together and then waited for, since vcsim
// looks after a task every 10 ms only.
type builder struct {
	service  *simulator.Service
	registry *simulator.Registry
	client   *vim25.Client

	folders *object.DatacenterFolders
	cluster vim.ManagedObjectReference
	pool    *vim.ManagedObjectReference
}

// buildInventory makes a datacenter, a cluster of the named hosts, a datastore in dir, and VMs.
func buildInventory(ctx context.Context, service *simulator.Service, dir string, hostNames []string) error {
	client, err := vim25.NewClient(ctx, service)
	if err != nil {
		return err
	}
	b := builder{service: service, registry: service.Context.Map, client: client}
	if err := b.makeCluster(ctx); err != nil {
		return err
	}
	hosts, err := b.addHosts(ctx, hostNames)
	if err != nil {
		return err
	}
	if err := b.addDatastore(ctx, dir, hosts); err != nil {
		return err
	}
	vms, err := b.createVMs(ctx, hosts)
	if err != nil {
		return err
	}
	return b.powerOn(ctx, vms)
}

func (b *builder) makeCluster(ctx context.Context) error {
	dc, err := object.NewRootFolder(b.client).CreateDatacenter(ctx, datacenterName)
	if err != nil {
		return err
	}
	if b.folders, err = dc.Folders(ctx); err != nil {
		return err
	}
	cluster, err := b.folders.HostFolder.CreateCluster(ctx, clusterName, vim.ClusterConfigSpecEx{})
	if err != nil {
		return err
	}
	b.cluster = cluster.Reference()
	b.pool = b.registry.Get(b.cluster).(*simulator.ClusterComputeResource).ResourcePool
	return nil
}

func (b *builder) addHosts(ctx context.Context, names []string) ([]vim.ManagedObjectReference, error) {
	var tasks []vim.ManagedObjectReference
	for _, name := range names {
		res, err := methods.AddHost_Task(ctx, b.client, &vim.AddHost_Task{
			This: b.cluster, Spec: vim.HostConnectSpec{HostName: name}, AsConnected: true,
		})
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, res.Returnval)
	}
	made, err := b.wait(tasks)
	for _, host := range made {
		addServices(b.registry, host)
	}
	return made, err
}

func (b *builder) addDatastore(ctx context.Context, dir string, hosts []vim.ManagedObjectReference) error {
	for _, h := range hosts {
		system, err := object.NewHostSystem(b.client, h).ConfigManager().DatastoreSystem(ctx)
		if err != nil {
			return err
		}
		if _, err := system.CreateLocalDatastore(ctx, datastoreName, dir); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) createVMs(ctx context.Context, hosts []vim.ManagedObjectReference) ([]vim.ManagedObjectReference, error) {
	var tasks []vim.ManagedObjectReference
	for _, g := range guests {
		for i := range g.number {
			name := fmt.Sprintf("%s-%02d", g.prefix, i+1)
			spec := vim.VirtualMachineConfigSpec{
				Name: name, GuestId: string(g.guest), NumCPUs: g.cpus, MemoryMB: g.memory,
				Files: &vim.VirtualMachineFileInfo{VmPathName: "[" + datastoreName + "]"},
			}
			spec.DeviceChange = devices(name)
			res, err := methods.CreateVM_Task(ctx, b.client, &vim.CreateVM_Task{
				This: b.folders.VmFolder.Reference(), Config: spec, Pool: *b.pool, Host: &hosts[len(tasks)%len(hosts)],
			})
			if err != nil {
				return nil, err
			}
			tasks = append(tasks, res.Returnval)
		}
	}
	return b.wait(tasks)
}

// devices are a disk of 40 GiB and a network card.
func devices(name string) []vim.BaseVirtualDeviceConfigSpec {
	var all object.VirtualDeviceList
	scsi, _ := all.CreateSCSIController("pvscsi")
	disk := all.CreateDisk(scsi.(vim.BaseVirtualController), vim.ManagedObjectReference{},
		fmt.Sprintf("[%s] %s/%s.vmdk", datastoreName, name, name))
	disk.CapacityInKB = 40 << 20
	card := esx.EthernetCard
	specs, _ := append(all, scsi, disk, &card).ConfigSpec(vim.VirtualDeviceConfigSpecOperationAdd)
	return specs
}

func (b *builder) powerOn(ctx context.Context, vms []vim.ManagedObjectReference) error {
	var tasks []vim.ManagedObjectReference
	for i, vm := range vms {
		if i%5 == 4 {
			continue
		}
		res, err := methods.PowerOnVM_Task(ctx, b.client, &vim.PowerOnVM_Task{This: vm})
		if err != nil {
			return err
		}
		tasks = append(tasks, res.Returnval)
	}
	_, err := b.wait(tasks)
	return err
}

// wait waits for all tasks and returns the objects that they made.
func (b *builder) wait(tasks []vim.ManagedObjectReference) ([]vim.ManagedObjectReference, error) {
	var made []vim.ManagedObjectReference
	for _, ref := range tasks {
		t := b.registry.Get(ref).(*simulator.Task)
		t.Wait()
		if e := t.Info.Error; e != nil {
			return nil, fmt.Errorf("%s: %T", t.Info.DescriptionId, e.Fault)
		}
		if r, ok := t.Info.Result.(vim.ManagedObjectReference); ok {
			made = append(made, r)
		}
	}
	return made, nil
}
