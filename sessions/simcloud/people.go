package simcloud

import (
	"fmt"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	ssosim "github.com/vmware/govmomi/ssoadmin/simulator"
	sso "github.com/vmware/govmomi/ssoadmin/types"
	"github.com/vmware/govmomi/vim25/soap"
	vim "github.com/vmware/govmomi/vim25/types"

	"github.com/airlock-run/airlock/sdk/secret"
)

const (
	domain        = "vsphere.local"
	administrator = "administrator" // vcsim's REST API logs in as this user to the SOAP API
	scripting     = "scripting"
	cloudAdmins   = "CloudAdmins"
)

// people is the SSO's service for users and groups. vcsim's has no lock and forgets a password that is reset: the
// passwords are kept here, and they alone decide who can log in.
type people struct {
	*ssosim.PrincipalManagementService

	mu        sync.Mutex
	passwords map[string]secret.Text // by name@domain in lower case
}

// newPeople puts people in the place of vcsim's service and makes the first users and groups.
func newPeople(r *simulator.Registry, admin, script secret.Text) (*people, error) {
	service, ok := r.AllReference("SsoAdminPrincipalManagementService")[0].(*ssosim.PrincipalManagementService)
	if !ok {
		return nil, fmt.Errorf("vcsim has another service for users than expected: %T", service)
	}
	p := &people{PrincipalManagementService: service, passwords: map[string]secret.Text{}}
	r.Put(p)
	p.set(administrator, admin)

	for _, made := range []soap.HasFault{
		p.CreateLocalPersonUser(nil, &sso.CreateLocalPersonUser{
			UserName: scripting, Password: script.Reveal(),
			UserDetails: sso.AdminPersonDetails{Description: "The login of the script executor"},
		}),
		p.CreateLocalGroup(nil, &sso.CreateLocalGroup{GroupName: "Administrators"}),
		p.CreateLocalGroup(nil, &sso.CreateLocalGroup{GroupName: cloudAdmins}),
		p.AddUsersToLocalGroup(nil, &sso.AddUsersToLocalGroup{
			GroupName: "Administrators", UserIds: []sso.PrincipalId{{Name: administrator, Domain: domain}},
		}),
		p.AddUsersToLocalGroup(nil, &sso.AddUsersToLocalGroup{
			GroupName: cloudAdmins, UserIds: []sso.PrincipalId{{Name: scripting, Domain: domain}},
		}),
	} {
		if f := made.Fault(); f != nil {
			return nil, fmt.Errorf("cannot make the SSO's users and groups: %T", f.VimFault())
		}
	}
	return p, nil
}

// account is the one form of a user's name. People log in as name, name@domain or DOMAIN\name, without regard to case.
func account(name string) string {
	name = strings.ToLower(name)
	if d, n, ok := strings.Cut(name, `\`); ok {
		name = n + "@" + d
	}
	if !strings.Contains(name, "@") {
		name += "@" + domain
	}
	return name
}

func (p *people) set(user string, password secret.Text) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passwords[account(user)] = password
}

// valid says whether the password is the user's.
func (p *people) valid(user, password string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	want, ok := p.passwords[account(user)]
	return ok && want.Equal(secret.New(password))
}

func (p *people) validLogin(req *vim.Login) bool { return p.valid(req.UserName, req.Password) }

// CreateLocalPersonUser makes a user who can log in.
func (p *people) CreateLocalPersonUser(ctx *simulator.Context, req *sso.CreateLocalPersonUser) soap.HasFault {
	res := p.PrincipalManagementService.CreateLocalPersonUser(ctx, req)
	if res.Fault() == nil {
		p.set(req.UserName, secret.New(req.Password))
	}
	return res
}

// ResetLocalPersonUserPassword changes a user's password.
func (p *people) ResetLocalPersonUserPassword(ctx *simulator.Context, req *sso.ResetLocalPersonUserPassword) soap.HasFault {
	res := p.PrincipalManagementService.ResetLocalPersonUserPassword(ctx, req)
	if res.Fault() == nil {
		p.set(req.UserName, secret.New(req.NewPassword))
	}
	return res
}

// DeleteLocalPrincipal removes a user or a group.
func (p *people) DeleteLocalPrincipal(ctx *simulator.Context, req *sso.DeleteLocalPrincipal) soap.HasFault {
	res := p.PrincipalManagementService.DeleteLocalPrincipal(ctx, req)
	if res.Fault() == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.passwords, account(req.PrincipalName))
	}
	return res
}
