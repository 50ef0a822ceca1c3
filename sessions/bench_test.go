package sessions_test

import (
	"net/url"
	"testing"

	"github.com/pkg/sftp"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/domain"
)

// The benchmarks compare the way through the broker with the direct one, in one run. The broker costs most where a
// call is small: one more connection, encryption and scan.

func BenchmarkRetrieveProperties(b *testing.B) {
	f := newFixture(b)
	g, _ := f.open(b, "one")
	for name, c := range map[string]*vim25.Client{"direct": f.direct(b), "broker": (&script{Grant: g}).vim(b)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var folder mo.Folder
				if err := property.DefaultCollector(c).RetrieveOne(b.Context(), c.ServiceContent.RootFolder, []string{"name"}, &folder); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSSH(b *testing.B) {
	f := newFixture(b)
	g, _ := f.open(b, "one")
	for name, c := range map[string]*ssh.Client{"direct": f.directSSH(b), "broker": (&script{Grant: g}).ssh(b, "esx01")} {
		b.Run("exec/"+name, func(b *testing.B) {
			for b.Loop() {
				if out, _, _ := run(b, c, "echo hello", nil); out != "hello\n" {
					b.Fatalf("echo = %q", out)
				}
			}
		})
		b.Run("sftp/"+name, func(b *testing.B) {
			client, err := sftp.NewClient(c)
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close()
			data := make([]byte, 8<<20)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				w, err := client.Create("/tmp/bench")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := w.Write(data); err != nil {
					b.Fatal(err)
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// direct is a client of the private cloud itself, logged in with the administrator's password.
func (f *fixture) direct(b *testing.B) *vim25.Client {
	b.Helper()
	// The same client as a script's, on the real vCenter: dialled by address, with its own authority.
	vc := f.cloud.VCenter()
	s := &script{Grant: domain.Grant{CA: vc.CA, VCenter: domain.Endpoint{Host: vc.FQDN, Addr: vc.Addr}}}
	c := s.vim(b)
	m := session.NewManager(c)
	if err := m.Login(b.Context(), url.UserPassword(vc.User, vc.Password.Reveal())); err != nil {
		b.Fatal(err)
	}
	return c
}

func (f *fixture) directSSH(b *testing.B) *ssh.Client {
	b.Helper()
	e := f.cloud.SSH()[0]
	c, err := ssh.Dial("tcp", e.Addr, &ssh.ClientConfig{
		User: e.User, Auth: []ssh.AuthMethod{ssh.Password(e.Password.Reveal())}, HostKeyCallback: ssh.FixedHostKey(e.HostKey),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}
