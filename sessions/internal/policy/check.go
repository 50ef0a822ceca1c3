package policy

import (
	"slices"
	"strings"

	vim "github.com/vmware/govmomi/vim25/types"
)

// check is a decision that a pattern cannot make.
type check struct {
	facts   bool // whether it needs those of the vCenter
	refuses func(p *Policy, args any, f Facts) bool
}

// checks are those that rules name.
var checks = map[string]check{
	"role":   {true, changesRole},
	"rights": {true, changesRights},
	"esxcli": {false, notESXCLI},
	"global": {true, changesGlobalRights},
}

// system are the privileges that each role has, whoever made it.
var system = []string{"System.Anonymous", "System.Read", "System.View"}

// changesRole says whether a call changes the role of CloudAdmins, or puts another one in its place.
func changesRole(p *Policy, args any, f Facts) bool {
	switch call := args.(type) {
	case *vim.AddAuthorizationRole:
		return p.named([]string{"$role"}, call.Name, f)
	case *vim.UpdateAuthorizationRole:
		return p.ownRole(call.RoleId, f) || p.named([]string{"$role"}, call.NewName, f)
	case *vim.RemoveAuthorizationRole:
		return p.ownRole(call.RoleId, f)
	}
	return true
}

// changesRights says whether a call takes from the group CloudAdmins what is its own, or lets it have more than its role
// has, by itself or through a group that all users are in.
func changesRights(p *Policy, args any, f Facts) bool {
	switch call := args.(type) {
	case *vim.SetEntityPermissions:
		for _, grant := range call.Permission {
			group := p.isGroup(grant.Principal, f)
			if group && p.fixed(call.Entity, f) {
				return true
			}
			if (group || p.named([]string{"$everyone"}, grant.Principal, f)) && !p.within(privileges(grant.RoleId, f), f) {
				return true
			}
		}
		return false
	case *vim.RemoveEntityPermission:
		return p.isGroup(call.User, f) && p.fixed(call.Entity, f)
	case *vim.UpdateAuthorizationRole: // one that the group holds somewhere
		for _, has := range f.Permissions {
			if has.RoleId == call.RoleId && (p.isGroup(has.Principal, f) || p.named([]string{"$everyone"}, has.Principal, f)) {
				return !p.within(call.PrivIds, f)
			}
		}
		return false
	}
	return true
}

func (p *Policy) isGroup(principal string, f Facts) bool {
	return p.named([]string{"$cloudadmins"}, principal, f)
}

// ownRole says whether a role is that of the group CloudAdmins.
func (p *Policy) ownRole(id int32, f Facts) bool {
	return slices.ContainsFunc(f.Roles, func(r vim.AuthorizationRole) bool {
		return r.RoleId == id && p.named([]string{"$role"}, r.Name, f)
	})
}

// fixed says whether what the group CloudAdmins has on an object is not for scripts to change: its own role, or none at
// all, by which a provider keeps an object from it.
func (p *Policy) fixed(on vim.ManagedObjectReference, f Facts) bool {
	return slices.ContainsFunc(f.Permissions, func(has vim.Permission) bool {
		return has.Entity != nil && *has.Entity == on && p.isGroup(has.Principal, f) &&
			(p.ownRole(has.RoleId, f) || !slices.ContainsFunc(privileges(has.RoleId, f), func(id string) bool { return id != "System.Anonymous" }))
	})
}

// within says whether all privileges are the group's own. Where several roles have the name of its role, they are those
// that all of them have.
func (p *Policy) within(ids []string, f Facts) bool {
	var own []string
	seen := false
	for _, r := range f.Roles {
		if !p.named([]string{"$role"}, r.Name, f) {
			continue
		}
		if !seen {
			own, seen = slices.Clone(r.Privilege), true
		}
		own = slices.DeleteFunc(own, func(id string) bool { return !slices.Contains(r.Privilege, id) })
	}
	return !slices.ContainsFunc(ids, func(id string) bool { return !slices.Contains(own, id) && !slices.Contains(system, id) })
}

// privileges are those of a role; one that is not known may have any.
func privileges(id int32, f Facts) []string {
	for _, r := range f.Roles {
		if r.RoleId == id {
			return r.Privilege
		}
	}
	return []string{"unknown"}
}

// What esxcli calls: each name space has an object of its own on a host, and one tells what there is.
const (
	esxcliMethod = "vim.esxcli." // in lower case
	esxcliObject = "ha-cli-handler-"
	esxcliTeller = "ha-dynamic-type-manager-local-cli-cliinfo"
)

// notESXCLI says whether a call through a vCenter to a host is none of esxcli's: the method must be one of the object's.
func notESXCLI(_ *Policy, args any, _ Facts) bool {
	call, ok := args.(*executeSoap)
	if !ok || !strings.HasPrefix(call.Version, "urn:vim25/") {
		return true
	}
	if call.Moid == esxcliTeller {
		return !strings.HasPrefix(call.Method, "vim.CLIInfo.FetchCLIInfo")
	}
	name, ok := strings.CutPrefix(strings.ToLower(call.Method), esxcliMethod)
	last := strings.LastIndexByte(name, '.')
	if !ok || last < 0 {
		return true
	}
	return !strings.EqualFold(call.Moid, esxcliObject+strings.ReplaceAll(name[:last], ".", "-"))
}
