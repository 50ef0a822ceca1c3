package simcloud

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	vim "github.com/vmware/govmomi/vim25/types"
)

// roles is the AuthorizationManager. vcsim's answers 0 for the id of each new role, forgets all permissions of an object
// where some are set, and cannot reset or merge them.
type roles struct {
	*simulator.AuthorizationManager
	next int32
}

// firstRole is the id of the first role that is not the system's. Real ones are positive.
const firstRole = 1001

// newRoles puts roles in the place of vcsim's, with the role CloudAdmins, which the group of that name holds.
func newRoles(r *simulator.Registry, root vim.ManagedObjectReference) error {
	m, ok := r.AllReference("AuthorizationManager")[0].(*simulator.AuthorizationManager)
	if !ok {
		return fmt.Errorf("vcsim has another AuthorizationManager than expected: %T", m)
	}
	a := &roles{AuthorizationManager: m, next: firstRole}
	r.Put(a)

	admin := object.AuthorizationRoleList(m.RoleList).ByName("Admin")
	var ids []string
	for _, id := range admin.Privilege {
		if slices.ContainsFunc(cloudAdminPrivileges, func(prefix string) bool { return strings.HasPrefix(id, prefix) }) {
			ids = append(ids, id)
		}
	}
	res := a.AddAuthorizationRole(&vim.AddAuthorizationRole{Name: cloudAdmins, PrivIds: ids})
	body, ok := res.(*methods.AddAuthorizationRoleBody)
	if !ok || body.Res == nil {
		return fmt.Errorf("cannot make the role %s: %v", cloudAdmins, res.Fault())
	}
	group := strings.ToUpper(domain) + `\`
	a.ResetEntityPermissions(&vim.ResetEntityPermissions{Entity: root, Permission: []vim.Permission{
		{Entity: &root, Principal: group + "Administrators", Group: true, RoleId: admin.RoleId, Propagate: true},
		{Entity: &root, Principal: group + cloudAdmins, Group: true, RoleId: body.Res.Returnval, Propagate: true},
	}})
	return nil
}

// cloudAdminPrivileges has what the privileges of CloudAdmins begin with, after Azure VMware Solution's page "vSphere
// roles and permissions": work with VMs, networks, storage policies, content and roles, not with hosts and clusters.
var cloudAdminPrivileges = []string{
	"Alarm.", "Authorization.ModifyPermissions", "Authorization.ModifyRoles", "ContentLibrary.", "Cryptographer.Access",
	"Datastore.AllocateSpace", "Datastore.Browse", "Datastore.Config", "Datastore.FileManagement",
	"Datastore.UpdateVirtualMachine", "Folder.", "Global.CancelTask", "Global.GlobalTag", "Global.Health",
	"Global.LogEvent", "Global.ManageCustomFields", "Global.ServiceManagers", "Global.SetCustomField",
	"Global.SystemTag", "InventoryService.Tagging.", "Network.Assign", "Resource.", "ScheduledTask.",
	"Sessions.GlobalMessage", "Sessions.ValidateSession", "StorageProfile.", "System.", "VApp.", "VirtualMachine.",
}

// AddAuthorizationRole makes a role and answers its id.
func (a *roles) AddAuthorizationRole(req *vim.AddAuthorizationRole) soap.HasFault {
	res := a.AuthorizationManager.AddAuthorizationRole(req)
	if body, ok := res.(*methods.AddAuthorizationRoleBody); ok && body.Res != nil {
		a.RoleList[len(a.RoleList)-1].RoleId = a.next
		body.Res.Returnval = a.next
		a.next++
	}
	return res
}

// SetEntityPermissions gives permissions, and changes those that the same users and groups have on the object.
func (a *roles) SetEntityPermissions(req *vim.SetEntityPermissions) soap.HasFault {
	all := a.on(req.Entity)
	for _, p := range req.Permission {
		all = slices.DeleteFunc(all, func(has vim.Permission) bool { return has.Principal == p.Principal && has.Group == p.Group })
		p.Entity = &req.Entity
		all = append(all, p)
	}
	return a.AuthorizationManager.SetEntityPermissions(&vim.SetEntityPermissions{This: req.This, Entity: req.Entity, Permission: all})
}

// ResetEntityPermissions puts permissions in the place of all that an object has.
func (a *roles) ResetEntityPermissions(req *vim.ResetEntityPermissions) soap.HasFault {
	for i := range req.Permission {
		req.Permission[i].Entity = &req.Entity
	}
	a.AuthorizationManager.SetEntityPermissions(&vim.SetEntityPermissions{This: req.This, Entity: req.Entity, Permission: req.Permission})
	return &methods.ResetEntityPermissionsBody{Res: &vim.ResetEntityPermissionsResponse{}}
}

// MergePermissions gives to all who have one role another one.
func (a *roles) MergePermissions(req *vim.MergePermissions) soap.HasFault {
	for _, p := range a.all() {
		if p.RoleId == req.SrcRoleId {
			p.RoleId = req.DstRoleId
			a.SetEntityPermissions(&vim.SetEntityPermissions{This: req.This, Entity: *p.Entity, Permission: []vim.Permission{p}})
		}
	}
	return &methods.MergePermissionsBody{Res: &vim.MergePermissionsResponse{}}
}

func (a *roles) all() []vim.Permission {
	return a.RetrieveAllPermissions(&vim.RetrieveAllPermissions{}).(*methods.RetrieveAllPermissionsBody).Res.Returnval
}

// on are the permissions of an object's own.
func (a *roles) on(object vim.ManagedObjectReference) []vim.Permission {
	return slices.DeleteFunc(a.all(), func(p vim.Permission) bool { return *p.Entity != object })
}
