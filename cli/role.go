package cli

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

const (
	roleDefinitions = "/providers/Microsoft.Authorization/roleDefinitions"
	roleAssignments = "/providers/Microsoft.Authorization/roleAssignments"
)

func (a *app) roleCommand() *cobra.Command {
	return group("role", "Roles: who may do what, where", a.roleList(),
		group("assignment", "Role assignments, with the flags of `az role assignment`", a.assignmentList(), a.assignmentCreate(), a.assignmentDelete()))
}

type roleProperties struct {
	RoleName    string `json:"roleName"`
	Description string `json:"description"`
}

func (a *app) roleList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the roles that there are", Args: cobra.NoArgs}
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		return a.printList(ctx, c, roleDefinitions, []string{"ROLE", "DESCRIPTION"}, func(r resource) ([]string, error) {
			var p roleProperties
			err := json.Unmarshal(r.Properties, &p)
			return []string{p.RoleName, p.Description}, err
		})
	})
	return cmd
}

// assignmentFlags say which role assignments a command is about.
type assignmentFlags struct{ assignee, role, scope string }

func (f *assignmentFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.assignee, "assignee", "", "principal: the name of its issuer, ':' and its id there (airlock:CLIENT-ID, token:ID, entra:OBJECT-ID)")
	cmd.Flags().StringVar(&f.role, "role", "", "role, by name or id; `airlock role list` shows them")
	cmd.Flags().StringVar(&f.scope, "scope", "", "/, or the resource id of a subscription, a resource group or a private cloud")
}

// given refuses flags that are there and empty, as those of a shell's variable that is not set are: without an assignee or
// a role a command would mean everybody's or all of them, and without a scope another one.
func (f *assignmentFlags) given(cmd *cobra.Command) error {
	for name, value := range map[string]string{"assignee": f.assignee, "role": f.role, "scope": f.scope} {
		if value == "" && cmd.Flags().Changed(name) {
			return errors.Newf(errors.Usage, "--%s is empty; give it a value, or leave it out.", name)
		}
	}
	return nil
}

// path is the scope as the beginning of a path: that of --scope, else the private cloud of AIRLOCK_PRIVATE_CLOUD.
func (f *assignmentFlags) path(getenv func(string) string) (string, error) {
	if f.scope == "" {
		return cloudFlags{}.path(getenv)
	}
	scope, err := domain.ParseScope(f.scope)
	if err != nil {
		return "", errors.Newf(errors.Usage, "--scope: %v.", err)
	}
	return strings.TrimSuffix(string(scope), "/"), nil
}

// roles are the roles by their ids.
func (c *client) roles(ctx context.Context) (map[string]string, error) {
	list, err := c.list(ctx, roleDefinitions)
	names := map[string]string{}
	for _, r := range list {
		var p roleProperties
		if err := json.Unmarshal(r.Properties, &p); err != nil {
			return nil, err
		}
		names[r.Name] = p.RoleName
	}
	return names, err
}

// roleID finds a role by its name or id; "" is none.
func roleID(roles map[string]string, given string) (string, error) {
	if given == "" {
		return "", nil
	}
	for id, name := range roles {
		if strings.EqualFold(given, id) || strings.EqualFold(given, name) {
			return id, nil
		}
	}
	names := slices.Sorted(maps.Values(roles))
	return "", errors.Newf(errors.Usage, "There is no role %.60q; there are %s.", given, strings.Join(names, ", "))
}

type assignmentProperties struct {
	RoleDefinitionID string `json:"roleDefinitionId"`
	PrincipalID      string `json:"principalId"`
	PrincipalType    string `json:"principalType,omitempty"`
	Scope            string `json:"scope,omitempty"`
}

// role is the id of the assigned role.
func (p assignmentProperties) role() string {
	return p.RoleDefinitionID[strings.LastIndex(p.RoleDefinitionID, "/")+1:]
}

// assignments lists those that the flags mean, and the names of roles.
func (a *app) assignments(ctx context.Context, c *client, f assignmentFlags) (found []resource, roles map[string]string, err error) {
	path, err := f.path(a.getenv)
	if err != nil {
		return nil, nil, err
	}
	if roles, err = c.roles(ctx); err != nil {
		return nil, nil, err
	}
	id, err := roleID(roles, f.role)
	if err != nil {
		return nil, nil, err
	}
	path += roleAssignments
	if f.assignee != "" {
		path += "?$filter=" + url.QueryEscape("principalId eq '"+strings.ReplaceAll(f.assignee, "'", "''")+"'")
	}
	all, err := c.list(ctx, path)
	for _, r := range all {
		var p assignmentProperties
		if err := json.Unmarshal(r.Properties, &p); err != nil {
			return nil, nil, err
		}
		if id == "" || strings.EqualFold(p.role(), id) {
			found = append(found, r)
		}
	}
	return found, roles, err
}

func (a *app) assignmentList() *cobra.Command {
	var flags assignmentFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List the role assignments at a scope, above it and below it",
		Long: "List the role assignments at a scope, above it and below it. Without --scope it is the private cloud of AIRLOCK_PRIVATE_CLOUD.",
		Args: cobra.NoArgs,
	}
	flags.add(cmd)
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		if err := flags.given(cmd); err != nil {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		found, roles, err := a.assignments(ctx, c, flags)
		if err != nil {
			return err
		}
		return a.printAssignments(found, roles)
	})
	return cmd
}

func (a *app) printAssignments(all []resource, roles map[string]string) error {
	return a.printResources(all, []string{"PRINCIPAL", "TYPE", "ROLE", "SCOPE", "NAME"}, func(r resource) ([]string, error) {
		var p assignmentProperties
		err := json.Unmarshal(r.Properties, &p)
		return []string{p.PrincipalID, p.PrincipalType, roles[p.role()], p.Scope, r.Name}, err
	})
}

func (a *app) assignmentCreate() *cobra.Command {
	var flags assignmentFlags
	cmd := &cobra.Command{
		Use: "create", Short: "Assign a role to somebody at a scope",
		Long: "Assign a role to somebody at a scope. It holds there and below, from the next request on.",
		Args: cobra.NoArgs,
	}
	flags.add(cmd)
	kind := cmd.Flags().String("assignee-principal-type", "", "User, Group or ServicePrincipal (default for airlock: and token: ServicePrincipal)")
	name := cmd.Flags().String("name", "", "GUID of the assignment (default: a new one)")
	for _, flag := range []string{"assignee", "role", "scope"} {
		_ = cmd.MarkFlagRequired(flag)
	}
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		if err := flags.given(cmd); err != nil {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		path, err := flags.path(a.getenv)
		if err != nil {
			return err
		}
		roles, err := c.roles(ctx)
		if err != nil {
			return err
		}
		id, err := roleID(roles, flags.role)
		if err != nil {
			return err
		}
		if *name == "" {
			*name = uuid.NewString()
		}
		var created resource
		body := map[string]assignmentProperties{"properties": {RoleDefinitionID: roleDefinitions + "/" + id, PrincipalID: flags.assignee, PrincipalType: *kind}}
		if _, err := c.do(ctx, http.MethodPut, path+roleAssignments+"/"+url.PathEscape(*name), body, &created); err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(created)
		}
		return a.printAssignments([]resource{created}, roles)
	})
	return cmd
}

func (a *app) assignmentDelete() *cobra.Command {
	var flags assignmentFlags
	cmd := &cobra.Command{
		Use: "delete", Short: "Take role assignments away: by their ids, or of somebody at a scope",
		Long: "Take role assignments away: those with --ids, or those of --assignee at exactly --scope, of --role or of all roles.",
		Args: cobra.NoArgs,
	}
	flags.add(cmd)
	ids := cmd.Flags().StringSlice("ids", nil, "resource ids of role assignments")
	cmd.MarkFlagsOneRequired("ids", "assignee")
	cmd.MarkFlagsRequiredTogether("assignee", "scope")
	cmd.MarkFlagsMutuallyExclusive("ids", "assignee")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		if err := flags.given(cmd); err != nil {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		for _, id := range *ids {
			if !strings.HasPrefix(id, "/") || !strings.Contains(strings.ToLower(id), strings.ToLower(roleAssignments)+"/") {
				return errors.Newf(errors.Usage, "--ids: %.200q is not the resource id of a role assignment; `airlock role assignment list -o json` shows them.", id)
			}
		}
		if len(*ids) == 0 {
			if *ids, err = a.assignmentsAt(ctx, c, flags); err != nil {
				return err
			}
		}
		for _, id := range *ids {
			if _, err := c.do(ctx, http.MethodDelete, id, nil, nil); err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}

// assignmentsAt are the ids of the assignments that the flags mean, at their scope only.
func (a *app) assignmentsAt(ctx context.Context, c *client, f assignmentFlags) (ids []string, err error) {
	found, _, err := a.assignments(ctx, c, f)
	if err != nil {
		return nil, err
	}
	for _, r := range found {
		var p assignmentProperties
		if err := json.Unmarshal(r.Properties, &p); err != nil {
			return nil, err
		}
		if domain.Scope(p.Scope).Key() == domain.Scope(f.scope).Key() {
			ids = append(ids, r.ID)
		}
	}
	if len(ids) == 0 {
		return nil, errors.Newf(errors.ResourceNotFound, "%s has no such role assignment at %s; `airlock role assignment list` shows which there are.", f.assignee, f.scope)
	}
	return ids, nil
}
