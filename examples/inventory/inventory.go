package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/mo"

	"github.com/airlock-run/airlock/sdk"
	"github.com/airlock-run/airlock/sdk/vcenter"
)

type inventoryParams struct {
	Machines *bool `description:"whether to list the virtual machines too, true by default"`
}

// maxList bounds each list among the named outputs, which may have 32,768 bytes together.
const maxList = 8 << 10

func getInventory(ctx context.Context, x *sdk.Execution, p inventoryParams) error {
	c, err := vcenter.Client(ctx, x)
	if err != nil {
		return err
	}
	x.Information("connected to " + c.ServiceContent.About.FullName)

	var clusters []mo.ClusterComputeResource
	if err := retrieve(ctx, c, "ClusterComputeResource", []string{"name", "host"}, &clusters); err != nil {
		return err
	}
	var hosts []mo.HostSystem
	if err := retrieve(ctx, c, "HostSystem", []string{"name", "summary.runtime.connectionState"}, &hosts); err != nil {
		return err
	}
	var machines []mo.VirtualMachine
	if p.Machines == nil || *p.Machines {
		if err := retrieve(ctx, c, "VirtualMachine", []string{"name", "summary.runtime.powerState"}, &machines); err != nil {
			return err
		}
	}

	report(x, "cluster", clusters, func(c mo.ClusterComputeResource) (string, string) {
		return c.Name, fmt.Sprintf("%d hosts", len(c.Host))
	})
	report(x, "host", hosts, func(h mo.HostSystem) (string, string) {
		return h.Name, string(h.Summary.Runtime.ConnectionState)
	})
	report(x, "vm", machines, func(m mo.VirtualMachine) (string, string) {
		return m.Name, string(m.Summary.Runtime.PowerState)
	})
	return nil
}

// retrieve reads properties of all objects of a kind.
func retrieve(ctx context.Context, c *govmomi.Client, kind string, properties []string, into any) error {
	v, err := view.NewManager(c.Client).CreateContainerView(ctx, c.ServiceContent.RootFolder, []string{kind}, true)
	if err != nil {
		return fmt.Errorf("the inventory's %s objects could not be found: %w", kind, err)
	}
	defer func() { _ = v.Destroy(ctx) }() // it ends with the session in any case
	if err := v.Retrieve(ctx, []string{kind}, properties, into); err != nil {
		return fmt.Errorf("the inventory's %s objects could not be read: %w", kind, err)
	}
	return nil
}

// report writes a line for each object, and sets <kind>Count and <kind>Names.
func report[T any](x *sdk.Execution, kind string, objects []T, describe func(T) (name, state string)) {
	type line struct{ name, state string }
	lines := make([]line, len(objects))
	for i, o := range objects {
		lines[i].name, lines[i].state = describe(o)
	}
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.name, b.name) })
	names := make([]string, len(lines))
	for i, l := range lines {
		names[i] = l.name
		x.Output(fmt.Sprintf("%-7s %s (%s)", kind, l.name, l.state))
	}
	x.NamedOutputs.Set(kind+"Count", len(names))
	kept := fitting(names)
	if len(kept) < len(names) {
		x.Warning(fmt.Sprintf("the named output %sNames has the first %d of %d names; the Output stream has them all", kind, len(kept), len(names)))
	}
	x.NamedOutputs.Set(kind+"Names", kept)
}

// fitting is as many of the names as have at most maxList bytes as JSON.
func fitting(names []string) []string {
	size := len("[]")
	for i, name := range names {
		form, err := json.Marshal(name)
		if size += len(form) + len(","); err != nil || size > maxList {
			return names[:i]
		}
	}
	return names
}
