package sessions_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions"
)

// The benchmarks do the same work directly and through the broker, in turns, so that both have the same machine. Client,
// broker and private cloud share it: the broker's work shows in full, as it does not where they are on three machines.
//
//	go test -run '^$' -bench . -benchtime 20x ./sessions

// pair reports the median times in ms and the ratios: time-x is how many times as long a call takes through the broker,
// rate-x what share of the rate is left, cpu-x how many times as much of the processor all three take together, which
// others on the machine do not change.
func pair(b *testing.B, direct, broker func()) {
	b.Helper()
	direct()
	broker() // connected and logged in
	var times [2][]float64
	var cpu [2]time.Duration
	for i := 0; b.Loop(); i++ {
		for k := range 2 {
			which := (i + k) % 2
			begin, used := time.Now(), processor(b)
			[]func(){direct, broker}[which]()
			times[which] = append(times[which], float64(time.Since(begin).Nanoseconds())/1e6)
			cpu[which] += processor(b) - used
		}
	}
	for i := range times {
		slices.Sort(times[i])
	}
	d, p := times[0][len(times[0])/2], times[1][len(times[1])/2]
	b.ReportMetric(0, "ns/op") // of both together
	b.ReportMetric(d, "ms-direct")
	b.ReportMetric(p, "ms-broker")
	b.ReportMetric(p/d, "time-x")
	b.ReportMetric(d/p, "rate-x")
	b.ReportMetric(float64(cpu[1])/float64(cpu[0]), "cpu-x")
}

// processor is what this process has used of it.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	check(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkVCenter(b *testing.B) {
	f := newFixture(b)
	g, _ := f.open(b, "one")
	direct, broker := f.direct(b), (&script{Grant: g, keepsNot: true}).vim(b)

	b.Run("RetrieveProperties", func(b *testing.B) {
		retrieve := func(c *vim25.Client) func() {
			return func() {
				var folder mo.Folder
				check(b, property.DefaultCollector(c).RetrieveOne(b.Context(), c.ServiceContent.RootFolder, []string{"name"}, &folder))
			}
		}
		pair(b, retrieve(direct), retrieve(broker))
	})
	data := make([]byte, 64<<20)
	up := func(c *vim25.Client, name string) func() {
		ds := datastore(b, c)
		return func() {
			p := soap.DefaultUpload
			p.ContentLength = int64(len(data))
			check(b, ds.Upload(b.Context(), bytes.NewReader(data), name, &p))
		}
	}
	b.Run("upload 64 MiB", func(b *testing.B) { pair(b, up(direct, "direct"), up(broker, "broker")) })
	down := func(c *vim25.Client) func() {
		ds := datastore(b, c)
		up(c, "file")()
		return func() {
			r, _, err := ds.Download(b.Context(), "file", nil)
			check(b, err)
			n, err := io.Copy(io.Discard, r)
			check(b, err)
			_ = r.Close()
			if n != int64(len(data)) {
				b.Fatalf("%d bytes came", n)
			}
		}
	}
	b.Run("download 64 MiB", func(b *testing.B) { pair(b, down(direct), down(broker)) })
}

func datastore(b *testing.B, c *vim25.Client) *object.Datastore {
	b.Helper()
	finder := find.NewFinder(c)
	dc, err := finder.DefaultDatacenter(b.Context())
	check(b, err)
	ds, err := finder.SetDatacenter(dc).DefaultDatastore(b.Context())
	check(b, err)
	return ds
}

// BenchmarkInventory lists 1000 VMs with what inventories show of them. To make them takes half a minute.
func BenchmarkInventory(b *testing.B) {
	m := simulator.VPX()
	m.Machine, m.Autostart = 500, false // in the cluster and on the single host
	check(b, m.Create())
	defer m.Remove()
	m.Service.TLS = new(tls.Config)
	vc := m.Service.NewServer()
	defer vc.Close()
	password, _ := vc.URL.User.Password()
	f := &fixture{events: &events{}, listen: loopback}
	f.up = sessions.Upstream{VCenter: "vc.airlock.test", Addr: vc.URL.Host, User: vc.URL.User.Username(), Password: known(secret.New(password)),
		Thumbprint: domain.FormatThumbprint(sha256.Sum256(vc.Certificate().Raw))}
	f.broker = sessions.New(f, slog.New(slog.DiscardHandler))
	g, end := f.open(b, "one")
	defer end()
	sc := soap.NewClient(vc.URL, true)
	direct, err := vim25.NewClient(b.Context(), sc)
	check(b, err)
	check(b, session.NewManager(direct).Login(b.Context(), vc.URL.User))
	list := func(c *vim25.Client) func() {
		v, err := view.NewManager(c).CreateContainerView(b.Context(), c.ServiceContent.RootFolder, []string{"VirtualMachine"}, true)
		check(b, err)
		return func() {
			var vms []mo.VirtualMachine
			check(b, v.Retrieve(b.Context(), []string{"VirtualMachine"}, []string{"name", "summary", "config.hardware", "guest"}, &vms))
			if len(vms) != 1000 {
				b.Fatalf("%d VMs", len(vms))
			}
		}
	}
	pair(b, list(direct), list((&script{Grant: g, keepsNot: true}).vim(b)))
}

func BenchmarkSSH(b *testing.B) {
	f := newFixture(b)
	g, _ := f.open(b, "one")
	direct, broker := f.directSSH(b), (&script{Grant: g}).ssh(b, "esx01")
	b.Run("exec", func(b *testing.B) {
		echo := func(c *ssh.Client) func() {
			return func() {
				if out, _, _ := run(b, c, "echo hello", nil); out != "hello\n" {
					b.Fatalf("echo = %q", out)
				}
			}
		}
		pair(b, echo(direct), echo(broker))
	})
	data := make([]byte, 200<<20)
	files := map[*ssh.Client]*sftp.Client{}
	for _, c := range []*ssh.Client{direct, broker} {
		client, err := sftp.NewClient(c)
		check(b, err)
		defer client.Close()
		files[c] = client
	}
	up := func(c *ssh.Client) func() {
		return func() {
			w, err := files[c].Create("/tmp/bench")
			check(b, err)
			_, err = w.ReadFrom(bytes.NewReader(data))
			check(b, err)
			check(b, w.Close())
		}
	}
	b.Run("SFTP up 200 MiB", func(b *testing.B) { pair(b, up(direct), up(broker)) })
	down := func(c *ssh.Client) func() {
		return func() {
			r, err := files[c].Open("/tmp/bench")
			check(b, err)
			n, err := r.WriteTo(io.Discard)
			check(b, err)
			check(b, r.Close())
			if n != int64(len(data)) {
				b.Fatalf("%d bytes came", n)
			}
		}
	}
	b.Run("SFTP down 200 MiB", func(b *testing.B) { up(direct)(); pair(b, down(direct), down(broker)) })
}

// direct is a client of the private cloud itself, logged in with the administrator's password.
func (f *fixture) direct(b *testing.B) *vim25.Client {
	b.Helper()
	// The same client as a script's, on the real vCenter: dialled by address, with its own authority.
	vc := f.cloud.VCenter()
	s := &script{Grant: domain.Grant{CA: vc.CA, VCenter: domain.Endpoint{Host: vc.FQDN, Addr: vc.Addr}}, keepsNot: true}
	c := s.vim(b)
	check(b, session.NewManager(c).Login(b.Context(), url.UserPassword(vc.User, vc.Password.Reveal())))
	return c
}

func (f *fixture) directSSH(b *testing.B) *ssh.Client {
	b.Helper()
	e := f.cloud.SSH()[0]
	c, err := ssh.Dial("tcp", e.Addr, &ssh.ClientConfig{
		User: e.User, Auth: []ssh.AuthMethod{ssh.Password(e.Password.Reveal())}, HostKeyCallback: ssh.FixedHostKey(e.HostKey),
	})
	check(b, err)
	b.Cleanup(func() { _ = c.Close() })
	return c
}
