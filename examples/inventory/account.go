package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"regexp"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/ssoadmin"
	"github.com/vmware/govmomi/ssoadmin/types"

	"github.com/airlock-run/airlock/sdk"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sdk/vcenter"
)

// cloudAdmins is the role of the private cloud's administrators, and their group in SSO.
const cloudAdmins = "CloudAdmins"

type accountParams struct {
	Name            string `airlock:"optional" description:"name of the user and of its role, svc-airlock by default"`
	JoinCloudAdmins bool   `airlock:"optional" description:"whether the user joins the group CloudAdmins"`
}

var accountName = regexp.MustCompile(`^[a-zA-Z][0-9a-zA-Z-]{0,63}$`)

// madeBy is the description of the users that this cmdlet makes: it leaves all others alone.
const madeBy = "Service account kept by Airlock"

// setServiceAccount can be run again and again: it makes what is missing and leaves the rest. It takes over neither a
// user nor a role that it has not made.
func setServiceAccount(ctx context.Context, x *sdk.Execution, p accountParams) error {
	if p.Name == "" {
		p.Name = "svc-airlock"
	}
	if !accountName.MatchString(p.Name) {
		return fmt.Errorf("the name %q must begin with a letter and have at most 64 letters, digits or '-'", p.Name)
	}
	admin, err := vcenter.SSOAdmin(ctx, x)
	if err != nil {
		return err
	}
	user, err := admin.FindPersonUser(ctx, p.Name)
	if err != nil {
		return fmt.Errorf("the user %s could not be looked up: %w", p.Name, err)
	}
	if user != nil && user.Details.Description != madeBy {
		return fmt.Errorf("the user %s exists, and was not made by this cmdlet; choose another name", p.Name)
	}
	setRole, err := planRole(ctx, x, p.Name, user != nil)
	if err != nil {
		return err
	}
	state, err := setUser(ctx, x, admin, p.Name, user != nil)
	if err != nil {
		return err
	}
	if p.JoinCloudAdmins {
		if err := join(ctx, x, admin, p.Name); err != nil {
			return err
		}
	}
	if err := setRole(); err != nil {
		return err
	}
	x.NamedOutputs.Set("user", p.Name+"@"+admin.Domain)
	x.NamedOutputs.Set("role", p.Name)
	x.NamedOutputs.Set("password", state)
	return nil
}

// setUser makes the user where it does not exist, and says whether its password is new or was reused.
func setUser(ctx context.Context, x *sdk.Execution, admin *ssoadmin.Client, name string, exists bool) (string, error) {
	secretName, state := name+"-password", "reused"
	password, kept := x.PersistentSecrets.Get(secretName)
	if !kept {
		password, state = newPassword(), "created"
		if err := x.PersistentSecrets.Set(secretName, password); err != nil { // before anybody can print it
			return "", err
		}
	}
	var err error
	switch {
	case !exists:
		err = admin.CreatePersonUser(ctx, name, types.AdminPersonDetails{Description: madeBy}, password.Reveal())
	case !kept: // its password is lost: an earlier execution failed after it had made the user
		err = admin.ResetPersonPassword(ctx, name, password.Reveal())
	}
	if err != nil {
		return "", fmt.Errorf("the user %s could not be made: %w", name, err)
	}
	x.Output(fmt.Sprintf("user %s: password %s", name, state))
	return state, nil
}

// newPassword has 20 characters, the most that vCenter allows by default, of each kind that it asks for.
func newPassword() sdk.SecureString { return secret.New("Ax7!" + rand.Text()[:16]) }

// join makes the user a member of CloudAdmins. SSO leaves a member what it is.
func join(ctx context.Context, x *sdk.Execution, admin *ssoadmin.Client, name string) error {
	if err := admin.AddUsersToGroup(ctx, cloudAdmins, types.PrincipalId{Name: name, Domain: admin.Domain}); err != nil {
		return fmt.Errorf("the user %s could not join the group %s: %w", name, cloudAdmins, err)
	}
	x.Output(fmt.Sprintf("user %s: is in the group %s", name, cloudAdmins))
	return nil
}

// planRole returns what makes the role, or gives it the privileges that CloudAdmins has now. A role that is there
// before its user is somebody else's.
func planRole(ctx context.Context, x *sdk.Execution, name string, hasUser bool) (set func() error, err error) {
	c, err := vcenter.Client(ctx, x)
	if err != nil {
		return nil, err
	}
	manager := object.NewAuthorizationManager(c.Client)
	roles, err := manager.RoleList(ctx)
	if err != nil {
		return nil, fmt.Errorf("the roles could not be read: %w", err)
	}
	model, own := roles.ByName(cloudAdmins), roles.ByName(name)
	switch {
	case model == nil:
		return nil, fmt.Errorf("the vCenter has no role %s to copy", cloudAdmins)
	case own != nil && !hasUser:
		return nil, fmt.Errorf("the role %s exists, and was not made by this cmdlet; choose another name or remove the role", name)
	}
	return func() (err error) {
		if own == nil {
			_, err = manager.AddRole(ctx, name, model.Privilege)
		} else {
			err = manager.UpdateRole(ctx, own.RoleId, name, model.Privilege)
		}
		if err != nil {
			return fmt.Errorf("the role %s could not be set: %w", name, err)
		}
		x.Output(fmt.Sprintf("role %s: %d privileges, as %s has", name, len(model.Privilege), cloudAdmins))
		return nil
	}, nil
}
