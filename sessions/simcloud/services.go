package simcloud

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	vim "github.com/vmware/govmomi/vim25/types"
)

// services is the HostServiceSystem of a host, which vcsim lacks: its SSH service can be seen, started and stopped. It is
// a record only; the host's SSH server answers all the same.
type services struct{ mo.HostServiceSystem }

// addServices gives a host its services.
func addServices(r *simulator.Registry, host vim.ManagedObjectReference) {
	h := r.Get(host).(*simulator.HostSystem)
	s := &services{}
	s.Self = vim.ManagedObjectReference{Type: "HostServiceSystem", Value: "serviceSystem-" + host.Value}
	s.ServiceInfo.Service = []vim.HostService{
		{Key: "TSM-SSH", Label: "SSH", Running: true, Policy: string(vim.HostServicePolicyOn)},
		{Key: "TSM", Label: "ESXi Shell", Policy: string(vim.HostServicePolicyOff)},
	}
	r.Put(s)
	h.ConfigManager.ServiceSystem = &s.Self
}

// set starts or stops a service.
func (s *services) set(ctx *simulator.Context, id string, running bool) *soap.Fault {
	info := vim.HostServiceInfo{Service: slices.Clone(s.ServiceInfo.Service)}
	i := slices.IndexFunc(info.Service, func(v vim.HostService) bool { return v.Key == id })
	if i < 0 {
		return simulator.Fault("There is no such service.", new(vim.NotFound))
	}
	info.Service[i].Running = running
	ctx.Update(s, []vim.PropertyChange{{Name: "serviceInfo", Val: info}})
	return nil
}

// StartService starts a service.
func (s *services) StartService(ctx *simulator.Context, req *vim.StartService) soap.HasFault {
	body := &methods.StartServiceBody{Fault_: s.set(ctx, req.Id, true)}
	if body.Fault_ == nil {
		body.Res = &vim.StartServiceResponse{}
	}
	return body
}

// StopService stops a service.
func (s *services) StopService(ctx *simulator.Context, req *vim.StopService) soap.HasFault {
	body := &methods.StopServiceBody{Fault_: s.set(ctx, req.Id, false)}
	if body.Fault_ == nil {
		body.Res = &vim.StopServiceResponse{}
	}
	return body
}
