package server

import (
	"cmp"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// What az asks beside: tenants, subscriptions, resource groups, resources and resource providers, ARM's
// Microsoft.Resources (api-version 2021-04-01). They are there as far as there are private clouds in them or somebody
// has a role there, and answer what the sender may see.

const (
	actSubscription = "Microsoft.Resources/subscriptions"
	actGroup        = actSubscription + "/resourceGroups"

	tenant = "adfs" // an installation is one tenant, by the name that makes az log in as to AD FS
)

type tenantEntry struct {
	ID          string `json:"id"`
	TenantID    string `json:"tenantId"`
	DisplayName string `json:"displayName"`
}

func (s *Server) listTenants(a *answer, _ *request) error {
	return a.send(http.StatusOK, list[tenantEntry]{Value: []tenantEntry{{"/tenants/" + tenant, tenant, "Airlock"}}})
}

type subscription struct {
	ID                  string `json:"id"`
	SubscriptionID      string `json:"subscriptionId"`
	TenantID            string `json:"tenantId"`
	DisplayName         string `json:"displayName"`
	State               string `json:"state"`
	AuthorizationSource string `json:"authorizationSource"`
}

func newSubscription(id string) subscription {
	return subscription{"/subscriptions/" + id, id, tenant, id, "Enabled", "RoleBased"}
}

// subscriptions are those in which the sender may read a private cloud or holds a role.
func (s *Server) subscriptions(r *request) ([]subscription, error) {
	clouds, err := s.readable(r, "", "")
	if err != nil {
		return nil, err
	}
	byKey := map[string]subscription{}
	add := func(id string) {
		if key := strings.ToLower(id); id != "" && byKey[key].ID == "" {
			byKey[key] = newSubscription(id)
		}
	}
	for _, c := range clouds {
		add(c.ID.Subscription)
	}
	for _, held := range r.held {
		add(held.Scope.Subscription())
	}
	all := []subscription{}
	for _, one := range byKey {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b subscription) int { return cmp.Compare(strings.ToLower(a.ID), strings.ToLower(b.ID)) })
	return all, nil
}

// readable are the private clouds that the sender may read, of a subscription and of a resource group where these are
// not "".
func (s *Server) readable(r *request, subscription, group string) ([]domain.PrivateCloud, error) {
	clouds, err := s.cfg.Store.PrivateClouds(r.Context(), subscription, group)
	return slices.DeleteFunc(clouds, func(c domain.PrivateCloud) bool { return !r.may(actCloud+"/read", c.ID.Scope()) }), err
}

func (s *Server) listSubscriptions(a *answer, r *request) error {
	all, err := s.subscriptions(r)
	if err != nil {
		return err
	}
	return a.send(http.StatusOK, list[subscription]{Value: all})
}

func (s *Server) getSubscription(a *answer, r *request) error {
	all, err := s.subscriptions(r)
	if err != nil {
		return err
	}
	for _, one := range all {
		if strings.EqualFold(one.SubscriptionID, r.cloud.Subscription) {
			return a.send(http.StatusOK, one)
		}
	}
	if err := r.require(r.route.action, r.scope); err != nil {
		return err
	}
	return errors.Newf(errors.ResourceNotFound, "There is no subscription %s with private clouds in it; list the subscriptions to see which there are.", r.cloud.Subscription)
}

type resourceGroup struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	Location   string          `json:"location"`
	Properties groupProperties `json:"properties"`
}

type groupProperties struct {
	ProvisioningState string `json:"provisioningState"`
}

// groups are the resource groups of the path's subscription in which the sender may read a private cloud. A group's
// location is that of its first one.
func (s *Server) groups(r *request) ([]resourceGroup, error) {
	clouds, err := s.readable(r, r.cloud.Subscription, "")
	groups := []resourceGroup{}
	for _, c := range clouds { // those of a group are neighbours
		last := len(groups) - 1
		if last >= 0 && strings.EqualFold(groups[last].Name, c.ID.ResourceGroup) {
			continue
		}
		id := domain.CloudID{Subscription: c.ID.Subscription, ResourceGroup: c.ID.ResourceGroup}
		groups = append(groups, resourceGroup{string(id.Scope()), id.ResourceGroup, "Microsoft.Resources/resourceGroups", c.Location, groupProperties{"Succeeded"}})
	}
	return groups, err
}

func (s *Server) listGroups(a *answer, r *request) error {
	groups, err := s.groups(r)
	if err != nil {
		return err
	}
	return a.send(http.StatusOK, list[resourceGroup]{Value: groups})
}

func (s *Server) getGroup(a *answer, r *request) error {
	groups, err := s.groups(r)
	if err != nil {
		return err
	}
	for _, one := range groups {
		if strings.EqualFold(one.Name, r.cloud.ResourceGroup) {
			return a.send(http.StatusOK, one)
		}
	}
	if err := r.require(r.route.action, r.scope); err != nil {
		return err
	}
	return errors.Newf(errors.ResourceNotFound, "There is no resource group %s with private clouds in it; list the resource groups to see which there are.", r.cloud.ResourceGroup)
}

// genericResource is a private cloud as a list of resources of any type shows it.
type genericResource struct {
	ID                string            `json:"id"`
	Name              string            `json:"name"`
	Type              string            `json:"type"`
	Location          string            `json:"location"`
	SKU               sku               `json:"sku"`
	ProvisioningState domain.CloudState `json:"provisioningState"` // for $expand, which asks for it by default in az
}

func (s *Server) listResources(a *answer, r *request) error {
	conditions, err := r.filter("resourceType", "name", "resourceGroup", "location")
	if err != nil {
		return err
	}
	clouds, err := s.readable(r, r.cloud.Subscription, r.cloud.ResourceGroup)
	if err != nil {
		return err
	}
	out := list[genericResource]{Value: []genericResource{}}
	for _, c := range clouds {
		if meets(conditions, "resourceType", actCloud) && meets(conditions, "name", c.ID.Name) &&
			meets(conditions, "resourceGroup", c.ID.ResourceGroup) && meets(conditions, "location", c.Location) {
			out.Value = append(out.Value, genericResource{c.ID.String(), c.ID.Name, actCloud, c.Location, sku{c.SKU}, c.State})
		}
	}
	return a.send(http.StatusOK, out)
}

type resourceProvider struct {
	ID                string         `json:"id"`
	Namespace         string         `json:"namespace"`
	RegistrationState string         `json:"registrationState"`
	ResourceTypes     []resourceType `json:"resourceTypes"`
}

type resourceType struct {
	ResourceType string   `json:"resourceType"`
	Locations    []string `json:"locations"`
	APIVersions  []string `json:"apiVersions"`
}

// avs is the one resource provider that there is; az picks its api-versions from it.
func (s *Server) avs(r *request) resourceProvider {
	versions := slices.Clone(apiVersions)
	slices.Reverse(versions) // the newest first
	p := resourceProvider{ID: string(r.scope) + ofProvider, Namespace: provider, RegistrationState: "Registered", ResourceTypes: []resourceType{}}
	for _, route := range s.routes {
		kind, ours := strings.CutPrefix(path.Dir(route.action), provider+"/")
		known := slices.ContainsFunc(p.ResourceTypes, func(t resourceType) bool { return t.ResourceType == kind })
		if ours && route.method == http.MethodGet && !known {
			p.ResourceTypes = append(p.ResourceTypes, resourceType{kind, []string{}, versions})
		}
	}
	return p
}

func (s *Server) listProviders(a *answer, r *request) error {
	return a.send(http.StatusOK, list[resourceProvider]{Value: []resourceProvider{s.avs(r)}})
}

// getProvider answers what a registration answers too: every subscription is registered.
func (s *Server) getProvider(a *answer, r *request) error {
	return a.send(http.StatusOK, s.avs(r))
}
