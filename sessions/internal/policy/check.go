package policy

import (
	"encoding/xml"
	"io"
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
	"role":    {true, changesRole},
	"own":     {true, changesOwnRole},
	"rights":  {true, changesRights},
	"esxcli":  {false, notESXCLI},
	"setting": {false, setsOption},
	"global":  {true, changesGlobalRights},
}

// system are the privileges that each role has, whoever made it.
var system = []string{"System.Anonymous", "System.Read", "System.View"}

// changesRole says whether a call changes the role of CloudAdmins, or puts another one in its place.
func changesRole(p *Policy, args any, f Facts) bool {
	switch call := args.(type) {
	case *vim.AddAuthorizationRole:
		return p.named("role", call.Name, f)
	case *vim.UpdateAuthorizationRole:
		return p.ownRole(call.RoleId, f) || p.named("role", call.NewName, f)
	case *vim.RemoveAuthorizationRole:
		return p.ownRole(call.RoleId, f)
	}
	return true
}

// changesOwnRole says whether a call changes or removes a role that the user has by which Airlock logs in.
func changesOwnRole(p *Policy, args any, f Facts) bool {
	var id int32
	switch call := args.(type) {
	case *vim.UpdateAuthorizationRole:
		id = call.RoleId
	case *vim.RemoveAuthorizationRole:
		id = call.RoleId
	default:
		return true
	}
	return slices.ContainsFunc(f.Permissions, func(has vim.Permission) bool {
		return has.RoleId == id && p.named(airlockUser, has.Principal, f)
	})
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
			if (group || p.named("everyone", grant.Principal, f)) && !p.within(privileges(grant.RoleId, f), f) {
				return true
			}
		}
		return false
	case *vim.RemoveEntityPermission:
		return p.isGroup(call.User, f) && p.fixed(call.Entity, f)
	case *vim.UpdateAuthorizationRole:
		return p.holds(call.RoleId, f) && (isWall(call.RoleId, f) || !p.within(call.PrivIds, f))
	case *vim.RemoveAuthorizationRole: // its permissions go with it
		return p.holds(call.RoleId, f) && isWall(call.RoleId, f)
	}
	return true
}

// isGroup says whether a permission is the group's, or that of a user whom it always has.
func (p *Policy) isGroup(principal string, f Facts) bool {
	return p.named("cloudadmins", principal, f) || p.named("members", principal, f)
}

// holds says whether the group has a role somewhere.
func (p *Policy) holds(role int32, f Facts) bool {
	return slices.ContainsFunc(f.Permissions, func(has vim.Permission) bool {
		return has.RoleId == role && (p.isGroup(has.Principal, f) || p.named("everyone", has.Principal, f))
	})
}

// isWall says whether a role has no privileges: by it a provider keeps an object from the group.
func isWall(role int32, f Facts) bool {
	return !slices.ContainsFunc(privileges(role, f), func(id string) bool { return id != "System.Anonymous" })
}

// ownRole says whether a role is that of the group CloudAdmins.
func (p *Policy) ownRole(id int32, f Facts) bool {
	return slices.ContainsFunc(f.Roles, func(r vim.AuthorizationRole) bool {
		return r.RoleId == id && p.named("role", r.Name, f)
	})
}

// fixed says whether what the group CloudAdmins has on an object is not for scripts to change: its own role, or a wall. A
// vCenter knows an object by its id alone, whatever a call says of its type and server.
func (p *Policy) fixed(on vim.ManagedObjectReference, f Facts) bool {
	return slices.ContainsFunc(f.Permissions, func(has vim.Permission) bool {
		return has.Entity != nil && strings.EqualFold(has.Entity.Value, strings.TrimSpace(on.Value)) && p.isGroup(has.Principal, f) &&
			(p.ownRole(has.RoleId, f) || isWall(has.RoleId, f))
	})
}

// within says whether all privileges are the group's own. Where several roles have the name of its role, they are those
// that all of them have.
func (p *Policy) within(ids []string, f Facts) bool {
	var own []string
	seen := false
	for _, r := range f.Roles {
		if !p.named("role", r.Name, f) {
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

// setsOption says whether a call of esxcli changes a setting that is not for scripts. Its arguments are XML, and name a
// setting with slashes.
func setsOption(p *Policy, args any, f Facts) bool {
	call, ok := args.(*executeSoap)
	if !ok {
		return true
	}
	if !strings.HasPrefix(strings.ToLower(call.Method), esxcliMethod+"system.settings.") {
		return false
	}
	for _, a := range call.Argument {
		var whole strings.Builder
		for d := xml.NewDecoder(strings.NewReader(a.Val)); ; {
			token, err := d.Token()
			if err == io.EOF {
				break
			} else if err != nil {
				return true
			}
			if text, ok := token.(xml.CharData); ok {
				whole.Write(text)
			}
		}
		if p.named("settings", strings.ReplaceAll(strings.Trim(whole.String(), "/ \t\r\n"), "/", "."), f) {
			return true
		}
	}
	return false
}
