package simcloud_test

import (
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/guest"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vapi/library"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

func TestNoWayToTheMachine(t *testing.T) {
	t.Parallel()
	newLab(t).each(map[string]func(*testing.T, *lab){
		"datastore files": datastoreFiles, "disks": exportedDisks, "paths": pathsStayInTheDatastore, "datastores": noDatastoreOfOnesOwn,
		"guest operations": guestOperationsAreRefused, "library": libraryFetchesNothing, "panic": taskThatPanics,
	})
}

func datastoreFiles(t *testing.T, l *lab) {
	ds := l.datastore()
	if err := ds.Upload(t.Context(), strings.NewReader("content"), "dir/file", nil); err != nil {
		t.Fatal(err)
	}
	f, _, err := ds.Download(t.Context(), "dir/file", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, err := io.ReadAll(f); string(b) != "content" || err != nil {
		t.Errorf("came back as %q, %v", b, err)
	}
	if err := ended(t.Context())(object.NewFileManager(l.vc.Client).DeleteDatastoreFile(t.Context(), "[vsanDatastore] dir", l.dc)); err != nil {
		t.Error(err)
	}

	other := stranger(t, l.cloud)
	if status, _ := get(t, other, ds.NewURL("dir/file").RequestURI(), ""); status != http.StatusUnauthorized {
		t.Errorf("who is not logged in gets %d", status)
	}
}

// A snapshot's disks are downloaded from the vCenter by its name, and the lease is good for them only.
func exportedDisks(t *testing.T, l *lab) {
	ctx := t.Context()
	if err := ended(ctx)(l.vm().CreateSnapshot(ctx, "s", "", false, false)); err != nil {
		t.Fatal(err)
	}
	snapshot := must(l.vm().FindSnapshot(ctx, "s"))(t)
	lease := must(l.vm().ExportSnapshot(ctx, snapshot))(t)
	info, err := lease.Wait(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Items) == 0 || info.Items[0].URL.Host != l.cloud.VCenter().FQDN {
		t.Fatalf("the lease has %+v", info.Items)
	}
	u := info.Items[0].URL
	disk, _, err := l.vc.Download(ctx, u, &soap.DefaultDownload)
	if err != nil {
		t.Fatal(err)
	}
	_ = disk.Close()
	for _, name := range []string{"x", "..", "..%2f..%2fapp-05.vmdk", ""} {
		if status, _ := get(t, l.vc, path.Dir(u.Path)+"/"+name, ""); status == http.StatusOK {
			t.Errorf("%q is served too", name)
		}
	}
	if err := lease.Complete(ctx); err != nil {
		t.Fatal(err)
	}
	if status, _ := get(t, l.vc, u.Path, ""); status != http.StatusNotFound {
		t.Errorf("after the lease: %d", status)
	}
}

func pathsStayInTheDatastore(t *testing.T, l *lab) {
	ctx := t.Context()
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("of the machine"), 0o600); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 30)
	files := object.NewFileManager(l.vc.Client)
	disks := object.NewVirtualDiskManager(l.vc.Client)
	browser, err := l.datastore().Browser(ctx)
	if err != nil {
		t.Fatal(err)
	}
	config := func(change func(*types.VirtualMachineConfigSpec)) types.VirtualMachineConfigSpec {
		c := l.config("new", nil)
		change(&c)
		return c
	}
	away := "[vsanDatastore] " + up + outside
	byURL := l.datastore().NewURL("x")
	byURL.Path, byURL.RawPath = "/folder/"+up+outside, "/folder/"+strings.Repeat("%2e%2e/", 30)+outside
	_, register := methods.RegisterDisk(ctx, l.vc.Client, &types.RegisterDisk{This: *l.vc.ServiceContent.VStorageObjectManager, Path: byURL.String()})
	for what, err := range map[string]error{
		"copy out": ended(ctx)(files.CopyDatastoreFile(ctx, away, l.dc, "[vsanDatastore] x", l.dc, true)),
		"copy in":  ended(ctx)(files.CopyDatastoreFile(ctx, "[vsanDatastore] x", l.dc, away, l.dc, true)),
		"move":     ended(ctx)(files.MoveDatastoreFile(ctx, away, l.dc, "[vsanDatastore] x", l.dc, true)),
		"delete":   ended(ctx)(files.DeleteDatastoreFile(ctx, away, l.dc)),
		"mkdir":    files.MakeDirectory(ctx, "[vsanDatastore] "+up+t.TempDir()+"/d", l.dc, true),
		"disk":     ended(ctx)(disks.CreateVirtualDisk(ctx, away+".vmdk", l.dc, nil)),
		"search":   ended(ctx)(browser.SearchDatastore(ctx, "[vsanDatastore] "+up, &types.HostDatastoreBrowserSearchSpec{MatchPattern: []string{"*"}})),
		"VM's name": ended(ctx)(l.folder().CreateVM(ctx, config(func(c *types.VirtualMachineConfigSpec) {
			c.Name = up + outside
		}), l.pool(), nil)),
		"VM's file": ended(ctx)(l.folder().CreateVM(ctx, config(func(c *types.VirtualMachineConfigSpec) {
			c.Files.VmPathName = away + "/x.vmx"
		}), l.pool(), nil)),
		"VM's log": ended(ctx)(l.folder().CreateVM(ctx, config(func(c *types.VirtualMachineConfigSpec) {
			c.Files.LogDirectory = away
		}), l.pool(), nil)),
		"one up":     files.MakeDirectory(ctx, "[vsanDatastore] ../d", l.dc, false),
		"all of it":  ended(ctx)(files.DeleteDatastoreFile(ctx, "[vsanDatastore]..", l.dc)),
		"URL's path": register,
		"rename":     ended(ctx)(l.vm().Rename(ctx, "..")),
	} {
		if err == nil || !strings.Contains(err.Error(), "leads out of its datastore") {
			t.Errorf("%s: %v, want a refusal", what, err)
		}
	}
	for _, p := range []string{"../" + outside, "%2e%2e/%2e%2e" + outside, "..%2f..%2f" + outside, "/.." + outside} {
		u := l.datastore().NewURL("x")
		raw := strings.Replace(u.RequestURI(), "/folder/x", "/folder/"+p, 1)
		status, body := get(t, l.vc, raw, "")
		if status == http.StatusOK || strings.Contains(body, "machine") {
			t.Errorf("GET %s: %d %s", raw, status, body)
		}
	}
	if b, err := os.ReadFile(outside); string(b) != "of the machine" || err != nil {
		t.Errorf("the file outside has %q, %v", b, err)
	}
}

func noDatastoreOfOnesOwn(t *testing.T, l *lab) {
	system, err := l.host().ConfigManager().DatastoreSystem(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, local := system.CreateLocalDatastore(t.Context(), "mine", "/etc")
	_, nas := system.CreateNasDatastore(t.Context(), types.HostNasVolumeSpec{RemoteHost: "x", RemotePath: "/", LocalPath: "/etc", Type: "NFS"})
	for what, err := range map[string]error{"local": local, "NAS": nas} {
		if err == nil || !strings.Contains(err.Error(), "takes no datastores") {
			t.Errorf("%s: %v, want a refusal", what, err)
		}
	}
}

func guestOperationsAreRefused(t *testing.T, l *lab) {
	ctx, m := t.Context(), guest.NewOperationsManager(l.vc.Client, l.vm().Reference())
	processes, err := m.ProcessManager(ctx)
	if err != nil {
		t.Fatal(err)
	}
	files, err := m.FileManager(ctx)
	if err != nil {
		t.Fatal(err)
	}
	auth := &types.NamePasswordAuthentication{Username: "root", Password: "x"}
	canary := filepath.Join(t.TempDir(), "canary")
	for range 2 { // vcsim panics over the first and keeps a lock, so that the second would hang
		_, start := processes.StartProgram(ctx, auth, &types.GuestProgramSpec{ProgramPath: "/bin/touch", Arguments: canary})
		_, list := files.ListFiles(ctx, auth, "/", 0, 0, "")
		for what, err := range map[string]error{"start": start, "list": list} {
			if err == nil || !strings.Contains(err.Error(), "Guest operations are not simulated") {
				t.Errorf("%s: %v, want a refusal", what, err)
			}
		}
	}
	if status, _ := get(t, l.vc, "/guestFile/etc/passwd?id=x", ""); status != http.StatusNotFound {
		t.Errorf("/guestFile: %d", status)
	}
}

func libraryFetchesNothing(t *testing.T, l *lab) {
	r := rest.NewClient(l.vc.Client)
	if err := r.Login(t.Context(), credentials(l.cloud)); err != nil {
		t.Fatal(err)
	}
	m := library.NewManager(r)
	const uri = "http://127.0.0.1:1/x.ovf"
	_, probe := m.ProbeTransferEndpoint(t.Context(), library.TransferEndpoint{URI: uri})
	_, pull := m.AddLibraryItemFileFromURI(t.Context(), "session", "x.ovf", uri)
	for what, err := range map[string]error{"probe": probe, "pull": pull} {
		if err == nil || !strings.Contains(err.Error(), "fetches nothing") {
			t.Errorf("%s: %v, want a refusal", what, err)
		}
	}
}

// vcsim by itself would end the process: a panic in a task's goroutine.
func taskThatPanics(t *testing.T, l *lab) {
	c := l.config("panics", nil)
	c.Files.VmPathName = "[no such datastore]"
	err := ended(t.Context())(l.folder().CreateVM(t.Context(), c, l.pool(), nil))
	if err == nil || fault.Is(err, &types.InvalidArgument{}) {
		t.Errorf("got %v, want the task's error", err)
	}
	if err := ended(t.Context())(l.folder().CreateVM(t.Context(), l.config("after", nil), l.pool(), nil)); err != nil {
		t.Errorf("after it: %v", err)
	}
}
