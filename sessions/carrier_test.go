package sessions_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/nfc"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vapi/library"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// oneDisk is an OVF descriptor with one disk.
const oneDisk = `<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References><File ovf:href="disk.vmdk" ovf:id="file1" ovf:size="1048576"/></References>
  <DiskSection><Info>Disks</Info><Disk ovf:capacity="1" ovf:capacityAllocationUnits="byte * 2^30" ovf:diskId="vmdisk1" ovf:fileRef="file1"/></DiskSection>
  <VirtualSystem ovf:id="vm">
    <Info>A VM</Info>
    <VirtualHardwareSection>
      <Info>Hardware</Info>
      <System><vssd:ElementName>x</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID><vssd:VirtualSystemType>vmx-09</vssd:VirtualSystemType></System>
      <Item><rasd:ElementName>ide</rasd:ElementName><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceType>5</rasd:ResourceType><rasd:Address>0</rasd:Address></Item>
      <Item><rasd:ElementName>disk</rasd:ElementName><rasd:InstanceID>4</rasd:InstanceID><rasd:ResourceType>17</rasd:ResourceType>
        <rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:Parent>3</rasd:Parent><rasd:AddressOnParent>0</rasd:AddressOnParent></Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>`

// carrier moves files, by each way that there is.
type carrier struct {
	vim   *vim25.Client
	rest  *rest.Client
	files *object.Datastore
	pool  *object.ResourcePool
	vms   *object.Folder
}

func newCarrier(ctx context.Context, vc *vim25.Client, rc *rest.Client) (*carrier, error) {
	c := &carrier{vim: vc, rest: rc}
	finder := find.NewFinder(vc)
	dc, err := finder.DefaultDatacenter(ctx)
	if err != nil {
		return nil, err
	}
	finder.SetDatacenter(dc)
	if c.files, err = finder.DefaultDatastore(ctx); err != nil {
		return nil, err
	}
	if c.pool, err = finder.ResourcePool(ctx, "*/Resources"); err != nil {
		return nil, err
	}
	folders, err := dc.Folders(ctx)
	if err == nil {
		c.vms = folders.VmFolder
	}
	return c, err
}

// lease begins the import of an appliance.
func (c *carrier) lease(ctx context.Context, name string) (*nfc.Lease, *nfc.LeaseInfo, error) {
	spec, err := ovf.NewManager(c.vim).CreateImportSpec(ctx, oneDisk, c.pool, c.files, &types.OvfCreateImportSpecParams{EntityName: name})
	if err != nil {
		return nil, nil, err
	}
	if len(spec.Error) > 0 {
		return nil, nil, fmt.Errorf("import: %s", spec.Error[0].LocalizedMessage)
	}
	lease, err := c.pool.ImportVApp(ctx, spec.ImportSpec, c.vms, nil)
	if err != nil {
		return nil, nil, err
	}
	info, err := lease.Wait(ctx, spec.FileItem)
	if err == nil && len(info.Items) != 1 {
		err = fmt.Errorf("the lease has the files %+v", info.Items)
	}
	return lease, info, err
}

// update begins an upload to a new content library.
func (c *carrier) update(ctx context.Context, name string, size int64) (m *library.Manager, id string, to *url.URL, err error) {
	m = library.NewManager(c.rest)
	lib, err := m.CreateLibrary(ctx, library.Library{Name: name, Type: "LOCAL", Storage: []library.StorageBacking{
		{DatastoreID: c.files.Reference().Value, Type: "DATASTORE"},
	}})
	if err != nil {
		return nil, "", nil, err
	}
	item, err := m.CreateLibraryItem(ctx, library.Item{Name: name, Type: library.ItemTypeISO, LibraryID: lib})
	if err != nil {
		return nil, "", nil, err
	}
	if id, err = m.CreateLibraryItemUpdateSession(ctx, library.Session{LibraryItemID: item}); err != nil {
		return nil, "", nil, err
	}
	file, err := m.AddLibraryItemFile(ctx, id, library.UpdateFile{Name: name + ".iso", SourceType: "PUSH", Size: size})
	if err != nil {
		return nil, "", nil, err
	}
	to, err = url.Parse(file.UploadEndpoint.URI)
	return m, id, to, err
}

// appliance imports one with a disk, and looks at what came of it.
func (c *carrier) appliance(ctx context.Context, name string, content []byte) error {
	lease, info, err := c.lease(ctx, name)
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	progress := lease.StartUpdater(ctx, info)
	err = lease.Upload(ctx, info.Items[0], bytes.NewReader(content), soap.Upload{ContentLength: int64(len(content))})
	progress.Done()
	if err != nil {
		return fmt.Errorf("NFC upload: %w", err)
	}
	manifest, err := lease.GetManifest(ctx)
	if err != nil || len(manifest) != 1 || manifest[0].Size != int64(len(content)) {
		return fmt.Errorf("the lease has taken %+v, %w", manifest, err)
	}
	return lease.Complete(ctx)
}

// all moves something by each way, and looks at what came of it.
func (c *carrier) all(ctx context.Context, name string) error {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if err := c.appliance(ctx, name, content); err != nil {
		return err
	}
	m, id, to, err := c.update(ctx, name, int64(len(content)))
	if err != nil {
		return fmt.Errorf("library: %w", err)
	}
	if err := m.Client.Upload(ctx, bytes.NewReader(content), to, &soap.Upload{Method: "PUT", ContentLength: int64(len(content))}); err != nil {
		return fmt.Errorf("library upload: %w", err)
	}
	if err := m.CompleteLibraryItemUpdateSession(ctx, id); err != nil {
		return err
	}
	if err := c.files.Upload(ctx, bytes.NewReader(content), name+".bin", nil); err != nil {
		return fmt.Errorf("datastore upload: %w", err)
	}
	r, _, err := c.files.Download(ctx, name+".bin", nil)
	if err != nil {
		return fmt.Errorf("datastore download: %w", err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
		return fmt.Errorf("%d bytes came back, %w", len(got), err)
	}
	return property.Wait(ctx, property.DefaultCollector(c.vim), c.vms.Reference(), []string{"name"}, func([]types.PropertyChange) bool { return true })
}

// Unchanged clients do all that they do with a vCenter, in each way to log in.
func TestCarriersInEachWayToLogIn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, end := f.open(t, "one")
	s := &script{Grant: g}
	for name, login := range map[string]func(*testing.T) (*vim25.Client, *rest.Client, error){
		"token": func(t *testing.T) (*vim25.Client, *rest.Client, error) { return s.vim(t), s.rest(t), nil },
		"password": func(t *testing.T) (*vim25.Client, *rest.Client, error) {
			c := s.visitor(t)
			if err := session.NewManager(c).Login(t.Context(), s.login()); err != nil {
				return nil, nil, err
			}
			r := rest.NewClient(c)
			return c, r, r.Login(t.Context(), s.login())
		},
		"assertion": func(t *testing.T) (*vim25.Client, *rest.Client, error) {
			c := s.visitor(t)
			_, signer := s.assertion(t, c)
			if err := session.NewManager(c).LoginByToken(c.WithHeader(t.Context(), soap.Header{Security: signer})); err != nil {
				return nil, nil, err
			}
			r := rest.NewClient(c)
			return c, r, r.LoginByToken(r.WithSigner(t.Context(), signer))
		},
	} {
		t.Run(name, func(t *testing.T) {
			vc, rc, err := login(t)
			if err != nil {
				t.Fatal(err)
			}
			c, err := newCarrier(t.Context(), vc, rc)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.all(t.Context(), name); err != nil {
				t.Error(err)
			}
		})
	}
	end()
	f.nothingLeft(t)
}

// Long polls and transfers under way in both directions end with the execution, and so does everything after it.
func TestCarriersEndWithTheGrant(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g, end := f.open(t, "one")
	s := &script{Grant: g}
	c, err := newCarrier(t.Context(), s.vim(t), s.rest(t))
	if err != nil {
		t.Fatal(err)
	}
	const large = 64 << 20 // more than the sockets between the ends hold
	if err := c.files.Upload(t.Context(), io.LimitReader(naught{}, large), "large", &soap.Upload{Method: "PUT", ContentLength: large}); err != nil {
		t.Fatal(err)
	}
	_, info, err := c.lease(t.Context(), "half")
	if err != nil {
		t.Fatal(err)
	}
	_, _, to, err := c.update(t.Context(), "half", large)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan string, 5)
	hold := func(what string, call func() error) {
		go func() {
			if err := call(); err == nil {
				what += ", with an answer"
			}
			ended <- what
		}()
	}
	ctx := context.Background()
	uploads := map[string]func(r io.Reader, p *soap.Upload) error{
		"datastore": func(r io.Reader, p *soap.Upload) error { return c.files.Upload(ctx, r, "half", p) },
		"NFC":       func(r io.Reader, p *soap.Upload) error { return c.vim.Upload(ctx, r, info.Items[0].URL, p) },
		"library":   func(r io.Reader, p *soap.Upload) error { return c.rest.Upload(ctx, r, to, p) },
	}
	on := make(chan struct{})
	for what, upload := range uploads {
		file := &paused{left: 1 << 20, begun: make(chan struct{}), on: on}
		hold(what, func() error {
			return upload(io.LimitReader(file, large), &soap.Upload{Method: "PUT", ContentLength: large})
		})
		wait(t, file.begun, "the beginning of the upload")
	}
	updates := property.DefaultCollector(c.vim)
	if _, err := updates.CreateFilter(ctx, types.CreateFilter{Spec: types.PropertyFilterSpec{
		ObjectSet: []types.ObjectSpec{{Obj: c.vim.ServiceContent.RootFolder}},
		PropSet:   []types.PropertySpec{{Type: "Folder", PathSet: []string{"name"}}},
	}}); err != nil {
		t.Fatal(err)
	}
	first, err := methods.WaitForUpdatesEx(ctx, c.vim, &types.WaitForUpdatesEx{This: updates.Reference()})
	if err != nil {
		t.Fatal(err)
	}
	hold("long poll", func() error {
		_, err := methods.WaitForUpdatesEx(ctx, c.vim, &types.WaitForUpdatesEx{This: updates.Reference(), Version: first.Returnval.Version})
		return err
	})
	r, _, err := c.files.Download(ctx, "large", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 1<<10)); err != nil {
		t.Fatal(err)
	}

	begin := time.Now()
	end()
	grant := time.Since(begin)
	close(on)
	hold("download", func() error { _, err := io.Copy(io.Discard, r); return err })
	for range 5 {
		if what := wait(t, ended, "the end of all calls"); strings.Contains(what, "answer") {
			t.Error(what)
		}
	}
	t.Logf("the grant ended in %s, the last of its transfers after %s", grant, time.Since(begin))
	if _, err := methods.GetCurrentTime(ctx, c.vim); err == nil {
		t.Error("a call after the end was answered")
	}
	f.nothingLeft(t)
}

// naught has no end.
type naught struct{}

func (naught) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// paused is a file whose reader waits after its first bytes.
type paused struct {
	left      int // of them
	begun, on chan struct{}
}

func (f *paused) Read(p []byte) (int, error) {
	if f.left == 0 {
		f.left = -1
		close(f.begun)
		<-f.on
	}
	if f.left > 0 {
		p = p[:min(len(p), f.left)]
		f.left -= len(p)
	}
	clear(p)
	return len(p), nil
}
