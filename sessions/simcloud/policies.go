package simcloud

import (
	"crypto/rand"
	"slices"

	"github.com/vmware/govmomi/pbm"
	"github.com/vmware/govmomi/pbm/methods"
	"github.com/vmware/govmomi/pbm/types"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	vim "github.com/vmware/govmomi/vim25/types"
)

// policies are the storage policies: a list that can be read, and added to. vcsim's own are variables of its package,
// which each vcsim in the process writes to.
type policies struct {
	vim.ManagedObjectReference
	all []types.BasePbmProfile
}

// policiesInstance is what a client of storage policies asks first.
type policiesInstance struct{ vim.ManagedObjectReference }

var policiesManager = vim.ManagedObjectReference{Type: "PbmProfileProfileManager", Value: "ProfileManager"}

func newPolicies() *simulator.Registry {
	r := simulator.NewRegistry()
	r.Namespace, r.Path = pbm.Namespace, pbm.Path
	r.Put(&policiesInstance{pbm.ServiceInstance})
	p := &policies{ManagedObjectReference: policiesManager}
	for _, name := range []string{"vSAN Default Storage Policy", "Management Storage Policy - Regular"} {
		p.add(types.PbmCapabilityProfileCreateSpec{Name: name, ResourceType: types.PbmProfileResourceType{ResourceType: "STORAGE"}, Category: "REQUIREMENT"})
	}
	r.Put(p)
	return r
}

// PbmRetrieveServiceContent answers with the services that are simulated.
func (*policiesInstance) PbmRetrieveServiceContent(*types.PbmRetrieveServiceContent) soap.HasFault {
	return &methods.PbmRetrieveServiceContentBody{Res: &types.PbmRetrieveServiceContentResponse{Returnval: types.PbmServiceInstanceContent{
		AboutInfo:      types.PbmAboutInfo{Name: "PBM", Version: "2.0"},
		SessionManager: vim.ManagedObjectReference{Type: "PbmSessionManager", Value: "SessionManager"}, ProfileManager: policiesManager,
		CapabilityMetadataManager: vim.ManagedObjectReference{Type: "PbmCapabilityMetadataManager", Value: "CapabilityMetadataManager"},
		ComplianceManager:         vim.ManagedObjectReference{Type: "PbmComplianceManager", Value: "complianceManager"},
		PlacementSolver:           vim.ManagedObjectReference{Type: "PbmPlacementSolver", Value: "placementSolver"},
	}}}
}

func (p *policies) add(s types.PbmCapabilityProfileCreateSpec) types.PbmProfileId {
	id := types.PbmProfileId{UniqueId: rand.Text()}
	p.all = append(p.all, &types.PbmCapabilityProfile{
		PbmProfile:      types.PbmProfile{ProfileId: id, Name: s.Name, Description: s.Description},
		ProfileCategory: s.Category, ResourceType: s.ResourceType, Constraints: s.Constraints,
	})
	return id
}

// PbmCreate makes a policy.
func (p *policies) PbmCreate(req *types.PbmCreate) soap.HasFault {
	return &methods.PbmCreateBody{Res: &types.PbmCreateResponse{Returnval: p.add(req.CreateSpec)}}
}

// PbmQueryProfile lists the ids of the policies.
func (p *policies) PbmQueryProfile(*types.PbmQueryProfile) soap.HasFault {
	res := &types.PbmQueryProfileResponse{}
	for _, one := range p.all {
		res.Returnval = append(res.Returnval, one.GetPbmProfile().ProfileId)
	}
	return &methods.PbmQueryProfileBody{Res: res}
}

// PbmRetrieveContent answers with policies by their ids.
func (p *policies) PbmRetrieveContent(req *types.PbmRetrieveContent) soap.HasFault {
	res := &types.PbmRetrieveContentResponse{}
	for _, id := range req.ProfileIds {
		i := slices.IndexFunc(p.all, func(one types.BasePbmProfile) bool { return one.GetPbmProfile().ProfileId == id })
		if i < 0 {
			return &methods.PbmRetrieveContentBody{Fault_: simulator.Fault("", &vim.InvalidArgument{InvalidProperty: "profileId"})}
		}
		res.Returnval = append(res.Returnval, p.all[i])
	}
	return &methods.PbmRetrieveContentBody{Res: res}
}
