package simcloud_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/sessions/simcloud"
)

// dialSSH connects to one of the private cloud's SSH servers by its name.
func dialSSH(t testing.TB, c *simcloud.Cloud, e simcloud.SSHEndpoint) *ssh.Client {
	t.Helper()
	config := &ssh.ClientConfig{
		User: e.User, Auth: []ssh.AuthMethod{ssh.Password(e.Password.Reveal())}, HostKeyCallback: ssh.FixedHostKey(e.HostKey),
	}
	name := e.Name
	if name == "VC" {
		name = c.VCenter().FQDN
	}
	conn, err := c.Dial(t.Context(), "tcp", name+":22")
	if err != nil {
		t.Fatal(err)
	}
	sc, channels, requests, err := ssh.NewClientConn(conn, name, config)
	if err != nil {
		t.Fatal(err)
	}
	return ssh.NewClient(sc, channels, requests)
}

func sshOnEveryHost(t *testing.T, c *simcloud.Cloud) {
	var names []string
	for i, e := range c.SSH() {
		names = append(names, e.Name)
		client := dialSSH(t, c, e)
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		want := "VMkernel " + e.Name
		if e.Name == "VC" {
			want = "Linux vc.sddc1.airlock.test"
		}
		if out, err := session.Output("uname -s -n"); string(out) != want+"\n" || err != nil {
			t.Errorf("%s says %q, %v", e.Name, out, err)
		}
		files, err := sftp.NewClient(client)
		if err != nil {
			t.Fatal(err)
		}
		f, err := files.Create("/tmp/trip")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(f, e.Name)
		_ = f.Close()
		if f, err = files.Open("/tmp/trip"); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(f); string(b) != e.Name || err != nil {
			t.Errorf("%s: came back as %q, %v", e.Name, b, err)
		}
		if open := c.Open(); open.SSHConnections != 1 {
			t.Errorf("%+v open while connected to host %d", open, i)
		}
		_ = client.Close()
		if err := c.WaitIdle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if want := "[esx01.sddc1.airlock.test esx02.sddc1.airlock.test esx03.sddc1.airlock.test VC]"; fmt.Sprint(names) != want {
		t.Errorf("the endpoints are %v, want %s", names, want)
	}
}

// Close returns though a client waits for updates and a command waits for input, and leaves no file.
func TestCloseEndsEverything(t *testing.T) {
	name := fmt.Sprintf("closing%d", os.Getpid()) // others may run this test at the same time
	c, err := simcloud.Start(t.Context(), simcloud.Config{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	vc := login(t, c)
	p := property.DefaultCollector(vc.Client)
	if _, err := p.CreateFilter(t.Context(), types.CreateFilter{Spec: types.PropertyFilterSpec{
		ObjectSet: []types.ObjectSpec{{Obj: vc.ServiceContent.RootFolder}},
		PropSet:   []types.PropertySpec{{Type: "Folder", PathSet: []string{"name"}}},
	}}); err != nil {
		t.Fatal(err)
	}
	first, err := methods.WaitForUpdatesEx(t.Context(), vc.Client, &types.WaitForUpdatesEx{This: p.Reference()})
	if err != nil {
		t.Fatal(err)
	}
	sent, answered := make(chan struct{}), make(chan error, 1)
	traced := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) }})
	go func() {
		_, err := methods.WaitForUpdatesEx(traced, vc.Client, &types.WaitForUpdatesEx{This: p.Reference(), Version: first.Returnval.Version})
		answered <- err
	}()
	<-sent

	client := dialSSH(t, c, c.SSH()[0])
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := session.Start("cat"); err != nil {
		t.Fatal(err)
	}
	if dirs, err := filepath.Glob(filepath.Join(os.TempDir(), "airlock-simcloud-*", "vc."+name+".*")); len(dirs) != 1 || err != nil {
		t.Fatalf("its directories are %v, %v", dirs, err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-answered; err == nil {
		t.Error("the wait for updates ended well")
	}
	if err := session.Wait(); err == nil {
		t.Error("the command ended well")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for running := "?"; running != ""; runtime.Gosched() { // a goroutine that has done its last step may still be there
		running = goroutines("govmomi/simulator.", "airlock/sessions/simcloud.", "simcloud/internal/sshd.")
		if ctx.Err() != nil {
			t.Fatalf("still runs after Close:\n%s", running)
		}
	}
	if dirs, err := filepath.Glob(filepath.Join(os.TempDir(), "airlock-simcloud-*", "vc."+name+".*")); len(dirs) > 0 || err != nil {
		t.Errorf("left are %v, %v", dirs, err)
	}
}

// goroutines returns the first goroutine that runs code of one of the packages, "" for none.
func goroutines(packages ...string) string {
	buf := make([]byte, 1<<20)
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		for _, p := range packages {
			if strings.Contains(g, p) && !strings.Contains(g, "testing.(*T).Parallel") {
				return g
			}
		}
	}
	return ""
}

// Private clouds in one process know nothing of one another, and none has a secret of another.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	const clouds = 3
	var wg sync.WaitGroup
	var secrets sync.Map
	for i := range clouds {
		wg.Go(func() {
			c, err := simcloud.Start(t.Context(), simcloud.Config{Name: fmt.Sprintf("sddc%d", i)})
			if err != nil {
				t.Error(err)
				return
			}
			defer func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}()
			if err := work(t, c); err != nil {
				t.Errorf("%s: %v", c.Name(), err)
			}
			secrets.Store(c.VCenter().Password.Reveal(), true)
			for _, e := range c.SSH() {
				secrets.Store(e.Password.Reveal(), true)
				secrets.Store(string(e.HostKey.Marshal()), true)
			}
		})
	}
	wg.Wait()
	n := 0
	secrets.Range(func(any, any) bool { n++; return true })
	if n != clouds*(5+4) {
		t.Errorf("of 5 passwords and 4 host keys for each of %d clouds, %d differ", clouds, n)
	}
}

// work changes what vcsim might share between private clouds.
func work(t *testing.T, c *simcloud.Cloud) error {
	l := &lab{t: t, cloud: c, vc: login(t, c)}
	l.finder = newFinder(l.vc)
	dc, err := l.finder.DefaultDatacenter(t.Context())
	if err != nil {
		return err
	}
	l.finder.SetDatacenter(dc)
	vm, err := l.finder.VirtualMachine(t.Context(), "app-05")
	if err != nil {
		return err
	}
	devices, err := vm.Device(t.Context())
	if err != nil {
		return err
	}
	ide, err := devices.CreateIDEController()
	if err != nil {
		return err
	}
	if err := vm.AddDevice(t.Context(), ide); err != nil {
		return err
	}
	if err := ended(t.Context())(vm.PowerOn(t.Context())); err != nil {
		return err
	}
	ds, err := l.finder.Datastore(t.Context(), "vsanDatastore")
	if err != nil {
		return err
	}
	if err := ds.Upload(t.Context(), bytes.NewReader([]byte(c.Name())), "name", nil); err != nil {
		return err
	}
	f, _, err := ds.Download(t.Context(), "name", nil)
	if err != nil {
		return err
	}
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || string(b) != c.Name() {
		return fmt.Errorf("its datastore has %q, %v", b, err)
	}
	hosts, err := l.finder.HostSystemList(t.Context(), "*/*")
	if err != nil || len(hosts) != 3 || hosts[0].Name() != "esx01."+c.DNSSuffix() {
		return fmt.Errorf("its hosts are %v, %v", hosts, err)
	}
	return nil
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		c, err := simcloud.Start(b.Context(), simcloud.Config{Name: "sddc1"})
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
