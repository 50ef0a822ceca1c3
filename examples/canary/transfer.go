package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/vapi/library"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// appliance is an OVF descriptor with one disk.
const appliance = `<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References><File ovf:href="disk.vmdk" ovf:id="file1" ovf:size="65536"/></References>
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

const name = "canary"

var content = bytes.Repeat([]byte("0123456789abcdef"), 4<<10)

// transfer imports an appliance (NFC), fills a content library, and moves a file to a datastore and back.
func transfer(ctx context.Context, c *vim25.Client, r *rest.Client) error {
	finder := find.NewFinder(c)
	dc, err := finder.DefaultDatacenter(ctx)
	if err != nil {
		return err
	}
	finder.SetDatacenter(dc)
	files, err := finder.DefaultDatastore(ctx)
	if err != nil {
		return err
	}
	pool, err := finder.ResourcePool(ctx, "*/Resources")
	if err != nil {
		return err
	}
	folders, err := dc.Folders(ctx)
	if err != nil {
		return err
	}
	if err := deploy(ctx, c, pool, folders.VmFolder, files); err != nil {
		return fmt.Errorf("NFC: %w", err)
	}
	if err := stock(ctx, r, files.Reference().Value); err != nil {
		return fmt.Errorf("library: %w", err)
	}
	if err := files.Upload(ctx, bytes.NewReader(content), name+".bin", nil); err != nil {
		return err
	}
	down, _, err := files.Download(ctx, name+".bin", nil)
	if err != nil {
		return err
	}
	defer down.Close()
	if got, err := io.ReadAll(down); err != nil || !bytes.Equal(got, content) {
		return fmt.Errorf("%d bytes came back, %w", len(got), err)
	}
	return nil
}

func deploy(ctx context.Context, c *vim25.Client, pool *object.ResourcePool, vms *object.Folder, files *object.Datastore) error {
	spec, err := ovf.NewManager(c).CreateImportSpec(ctx, appliance, pool, files, &types.OvfCreateImportSpecParams{EntityName: name})
	if err != nil {
		return err
	}
	lease, err := pool.ImportVApp(ctx, spec.ImportSpec, vms, nil)
	if err != nil {
		return err
	}
	info, err := lease.Wait(ctx, spec.FileItem)
	if err != nil {
		return err
	}
	progress := lease.StartUpdater(ctx, info)
	defer progress.Done()
	for _, item := range info.Items {
		if err := lease.Upload(ctx, item, bytes.NewReader(content), soap.Upload{ContentLength: int64(len(content))}); err != nil {
			return err
		}
	}
	return lease.Complete(ctx)
}

func stock(ctx context.Context, r *rest.Client, datastore string) error {
	m := library.NewManager(r)
	id, err := m.CreateLibrary(ctx, library.Library{Name: name, Type: "LOCAL", Storage: []library.StorageBacking{{DatastoreID: datastore, Type: "DATASTORE"}}})
	if err != nil {
		return err
	}
	item, err := m.CreateLibraryItem(ctx, library.Item{Name: name, Type: library.ItemTypeISO, LibraryID: id})
	if err != nil {
		return err
	}
	update, err := m.CreateLibraryItemUpdateSession(ctx, library.Session{LibraryItemID: item})
	if err != nil {
		return err
	}
	file, err := m.AddLibraryItemFile(ctx, update, library.UpdateFile{Name: name + ".iso", SourceType: "PUSH", Size: int64(len(content))})
	if err != nil {
		return err
	}
	to, err := url.Parse(file.UploadEndpoint.URI)
	if err != nil {
		return err
	}
	if err := m.Client.Upload(ctx, bytes.NewReader(content), to, &soap.Upload{Method: "PUT", ContentLength: int64(len(content))}); err != nil {
		return err
	}
	return m.CompleteLibraryItemUpdateSession(ctx, update)
}
