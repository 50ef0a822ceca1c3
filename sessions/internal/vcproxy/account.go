package vcproxy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/airlock-run/airlock/internal/errors"
)

// Privileges are those that the account needs on the root of the inventory, propagating: what cmdlets of the usual kind
// do with VMs, networks, datastores, content libraries, tags, roles and permissions. docs/operate.md lists them with
// what each is for. A package may need more.
var Privileges = []string{
	"System.View", "System.Read", "Sessions.ValidateSession", "Global.CancelTask",
	"Authorization.ModifyPermissions", "Authorization.ModifyRoles",
	"Datastore.AllocateSpace", "Datastore.Browse", "Datastore.FileManagement",
	"Folder.Create", "Folder.Delete", "Network.Assign", "Resource.AssignVMToPool",
	"InventoryService.Tagging.AttachTag", "InventoryService.Tagging.CreateTag",
	"VirtualMachine.Inventory.Create", "VirtualMachine.Inventory.Delete", "VirtualMachine.Interact.PowerOn", "VirtualMachine.Interact.PowerOff",
	"VirtualMachine.Config.AddNewDisk", "VirtualMachine.Config.Settings", "VirtualMachine.Provisioning.Clone", "VirtualMachine.State.CreateSnapshot",
}

func (k *check) privileges(ctx context.Context) (string, error) {
	v, err := k.logins.vim.Get(ctx)
	if err != nil {
		return k.loginProblem(err), err
	}
	user, err := v.manager.UserSession(ctx)
	if err == nil && user == nil {
		err = errors.New("the session has no user")
	}
	var res *types.FetchUserPrivilegeOnEntitiesResponse
	if err == nil {
		res, err = methods.FetchUserPrivilegeOnEntities(ctx, v.client, &types.FetchUserPrivilegeOnEntities{
			This: *v.client.ServiceContent.AuthorizationManager, UserName: user.UserName,
			Entities: []types.ManagedObjectReference{v.client.ServiceContent.RootFolder},
		})
	}
	if err != nil {
		return fmt.Sprintf("The vCenter does not say which privileges %s has; assign it a role with those that are documented.", k.c.User), err
	}
	missing := slices.Clone(Privileges)
	for _, r := range res.Returnval {
		missing = slices.DeleteFunc(missing, func(p string) bool { return slices.Contains(r.Privileges, p) })
	}
	if len(missing) > 0 {
		return fmt.Sprintf("The role of %s on the root of the inventory lacks %s; cmdlets that need them will fail.", k.c.User, strings.Join(missing, ", ")),
			errors.New("privileges are missing")
	}
	return fmt.Sprintf("The role of %s has the %d privileges that are documented.", k.c.User, len(Privileges)), nil
}

// inventory lists the hosts, and where their SSH service runs.
func (k *check) inventory(ctx context.Context) (string, error) {
	v, err := k.logins.vim.Get(ctx)
	if err != nil {
		return k.loginProblem(err), err
	}
	hosts, err := hostsOf(ctx, v.client)
	if err != nil {
		return "The vCenter does not list its hosts; check that the account's role is on the root of the inventory and propagates.", err
	}
	for _, h := range hosts {
		k.Hosts = append(k.Hosts, h.Name)
		if running, known := sshService(ctx, v.client, h); known {
			k.SSH[strings.ToLower(h.Name)] = running
		}
	}
	slices.Sort(k.Hosts)
	if len(hosts) == 0 {
		return "The inventory has no host that the account may see; check that its role is on the root of the inventory and propagates.", errors.New("no hosts")
	}
	return fmt.Sprintf("The inventory has %d hosts.", len(hosts)), nil
}

func hostsOf(ctx context.Context, c *vim25.Client) (hosts []mo.HostSystem, err error) {
	all, err := view.NewManager(c).CreateContainerView(ctx, c.ServiceContent.RootFolder, []string{"HostSystem"}, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, all.Destroy(ctx)) }()
	err = all.Retrieve(ctx, []string{"HostSystem"}, []string{"name", "configManager"}, &hosts)
	return hosts, err
}

// sshService says whether the service TSM-SSH of a host runs, where the vCenter tells.
func sshService(ctx context.Context, c *vim25.Client, h mo.HostSystem) (running, known bool) {
	if h.ConfigManager.ServiceSystem == nil {
		return false, false
	}
	var system mo.HostServiceSystem
	err := property.DefaultCollector(c).RetrieveOne(ctx, *h.ConfigManager.ServiceSystem, []string{"serviceInfo"}, &system)
	if err != nil {
		return false, false
	}
	for _, s := range system.ServiceInfo.Service {
		if s.Key == "TSM-SSH" {
			return s.Running, true
		}
	}
	return false, false
}
