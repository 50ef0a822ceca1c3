package simcloud_test

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sessions/simcloud"
)

func TestCloud(t *testing.T) {
	t.Parallel()
	c := start(t)
	t.Run("inventory", func(t *testing.T) { inventory(t, c) })
	t.Run("names and certificate", func(t *testing.T) { namesAndCertificate(t, c) })
	t.Run("SSH on every host", func(t *testing.T) { sshOnEveryHost(t, c) })
}

func inventory(t *testing.T, c *simcloud.Cloud) {
	vc := login(t, c)
	v, err := view.NewManager(vc.Client).CreateContainerView(t.Context(), vc.ServiceContent.RootFolder, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	var hosts []mo.HostSystem
	if err := v.Retrieve(t.Context(), []string{"HostSystem"}, []string{"name", "vm", "parent"}, &hosts); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, h := range hosts {
		names = append(names, h.Name)
		if len(h.Vm) < 6 || h.Parent.Type != "ClusterComputeResource" {
			t.Errorf("%s runs %d VMs in %s, want its share in a cluster", h.Name, len(h.Vm), h.Parent)
		}
	}
	slices.Sort(names)
	want := []string{"esx01.sddc1.airlock.test", "esx02.sddc1.airlock.test", "esx03.sddc1.airlock.test"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}

	var vms []mo.VirtualMachine
	if err := v.Retrieve(t.Context(), []string{"VirtualMachine"}, []string{"name", "runtime.powerState", "config.hardware"}, &vms); err != nil {
		t.Fatal(err)
	}
	on := 0
	for _, vm := range vms {
		if vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn {
			on++
		}
		if vm.Config.Hardware.NumCPU < 2 {
			t.Errorf("%s has %d processors", vm.Name, vm.Config.Hardware.NumCPU)
		}
	}
	if len(vms) != 20 || on != 16 {
		t.Errorf("there are %d VMs, %d of them on; want 20 and 16", len(vms), on)
	}

	var entities []mo.ManagedEntity
	kinds := []string{"Datacenter", "ClusterComputeResource", "Datastore"}
	if err := v.Retrieve(t.Context(), kinds, []string{"name"}, &entities); err != nil {
		t.Fatal(err)
	}
	names = nil
	for _, e := range entities {
		names = append(names, e.Name)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"Cluster-1", "SDDC-Datacenter", "vsanDatastore"}, names); diff != "" {
		t.Error(diff)
	}
}

func namesAndCertificate(t *testing.T, c *simcloud.Cloud) {
	vc := c.VCenter()
	if c.Name() != "sddc1" || c.DNSSuffix() != "sddc1.airlock.test" || vc.FQDN != "vc.sddc1.airlock.test" ||
		vc.URL != "https://vc.sddc1.airlock.test/sdk" || vc.User != "scripting@vsphere.local" || !strings.HasPrefix(vc.Addr, "127.0.0.1:") {
		t.Errorf("got %s, %s, %+v", c.Name(), c.DNSSuffix(), vc)
	}
	conn, err := c.Dial(t.Context(), "tcp", vc.FQDN+":443")
	if err != nil || conn.RemoteAddr().String() != vc.Addr {
		t.Fatalf("dialled %v, %v", conn, err)
	}
	_ = conn.Close()
	if _, err := c.Dial(t.Context(), "tcp", "example.com:443"); err == nil {
		t.Error("a name outside the private cloud is dialled")
	}

	stranger(t, c) // connects by the name, trusting the CA only
	block, _ := pem.Decode(vc.CA)
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !ca.IsCA || ca.Subject.CommonName == vc.FQDN {
		t.Errorf("the CA's subject is %s, which the server's may be taken for", ca.Subject)
	}
}

func TestBadName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "SDDC1", "a.b", "-a", "a-", "../a", "a b", strings.Repeat("a", 43)} {
		if _, err := simcloud.Start(t.Context(), simcloud.Config{Name: name}); !errors.Has(err, errors.InvalidResourceName) {
			t.Errorf("%q: %v, want %s", name, err, errors.InvalidResourceName)
		}
	}
}
