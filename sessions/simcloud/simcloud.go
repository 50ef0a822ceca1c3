// Package simcloud is a simulated vSphere private cloud: what `airlock demo`, `airlock serve --dev` and the tests run
// against. It is a vCenter with a datacenter, a cluster of three hosts and some twenty VMs, its SSO and its REST API,
// and an SSH server with SFTP for each host and for the vCenter itself. Everything listens on loopback ports that the
// system chooses, lives in one temporary directory, has passwords that are random at each start, and ends with Close.
//
// The vCenter is govmomi's simulator (vcsim), with real clients in mind: any of govmomi's can talk to it. vcsim trusts
// its clients, and this package must not, because a client may be a vendor's package under test. So vcsim is served
// behind a door (door.go) that lets through the paths named there and no other, and behind one hook before each of its
// methods (admit.go). What is guarded, and why:
//
//   - The key RUN.* in a VM's ExtraConfig or among a host's options makes vcsim run `sh -c "docker …"` on this machine.
//     The hook walks the arguments of every method, at any depth, and refuses such a key with InvalidArgument. The REST
//     API reaches VMs through the same methods; its library deployment is looked at once more before it begins.
//     SET.* keys, by which a client writes any property of a VM, are let through for the guest's properties only, and
//     vcsim.* options, which are vcsim's own, not at all.
//   - Datastores are directories of this machine. Paths with ".." are refused, and so are CreateLocalDatastore and
//     CreateNasDatastore, which make any directory a datastore.
//   - Guest operations run docker in vcsim. They are refused, and /guestFile is not served.
//   - A content library can pull from a URL, which would make this process fetch it. Pull and probe are refused.
//   - vcsim's session cookie is UserSession.Key, which it shows in ids, URLs and events. Clients get an opaque id
//     instead, which stands for the key at the door only; REST sessions are handled alike (sessionids.go).
//   - vcsim's STS takes any password, and LoginByToken and SSO administration any token. Here the STS checks the
//     password and each token has an id that only its holder knows (sts.go, sso.go). Files of a datastore are served to
//     sessions only.
//   - A panic in a task of vcsim would end this process. It becomes the task's error.
//
// vcsim does not check privileges: whoever is logged in may do everything.
package simcloud

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sessions/simcloud/internal/sshd"
)

// Config says which private cloud to simulate.
type Config struct {
	// Name is a DNS label (RFC 1123) in lower case: the private cloud's names are below <name>.airlock.test.
	Name string
}

// hosts is the number of ESXi hosts in the cluster.
const hosts = 3

// Cloud is a running private cloud. Its methods can be called by several goroutines.
type Cloud struct {
	name   string
	dir    string
	census *census
	vc     *vcenter
	ssh    []SSHEndpoint

	servers []*sshd.Server
	roots   []*os.Root
	end     func() error
}

// VCenter is what a session broker needs to know of the vCenter.
type VCenter struct {
	FQDN     string      // the name in its certificate
	Addr     string      // where it listens, host:port
	URL      string      // of its SOAP API, by the FQDN: dial with [Cloud.Dial], or Addr
	CA       []byte      // PEM of the authority that signed its certificate
	User     string      // of the SSO, in the group CloudAdmins
	Password secret.Text // random at each start
}

// SSHEndpoint is an SSH server of the private cloud.
type SSHEndpoint struct {
	Name     string // FQDN of the host; "VC" for the vCenter itself
	Addr     string // where it listens, host:port
	HostKey  ssh.PublicKey
	User     string
	Password secret.Text // random at each start, one for each host
}

var nameForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$`)

// Start makes a private cloud. ctx bounds the start only. It takes some hundred milliseconds.
func Start(ctx context.Context, cfg Config) (*Cloud, error) {
	if !nameForm.MatchString(cfg.Name) {
		return nil, errors.Newf(errors.InvalidResourceName,
			"A simulated private cloud cannot be named %q: use at most 42 lower-case letters, digits and hyphens.", cfg.Name)
	}
	dir, err := os.MkdirTemp("", "airlock-simcloud-")
	if err != nil {
		return nil, fmt.Errorf("cannot make the directory of private cloud %s: %w", cfg.Name, err)
	}
	c := &Cloud{name: cfg.Name, dir: dir, census: newCensus()}
	c.end = sync.OnceValue(c.stop)
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start the simulated private cloud %s: %w", cfg.Name, err), c.Close())
	}
	return c, nil
}

func (c *Cloud) start(ctx context.Context) error {
	var names []string
	for i := range hosts {
		names = append(names, fmt.Sprintf("esx%02d.%s", i+1, c.DNSSuffix()))
	}
	var err error
	c.vc, err = startVCenter(ctx, "vc."+c.DNSSuffix(), filepath.Join(c.dir, "vcenter"), names, c.census)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := c.listenSSH(ctx, name, name, sshd.ESXi); err != nil {
			return err
		}
	}
	return c.listenSSH(ctx, "VC", c.vc.fqdn, sshd.VCenter)
}

// listenSSH starts the SSH server of one host, over a new tree.
func (c *Cloud) listenSSH(ctx context.Context, name, fqdn string, system sshd.System) error {
	root, err := newTree(filepath.Join(c.dir, fqdn), fqdn, system)
	if err != nil {
		return err
	}
	c.roots = append(c.roots, root)
	password := newPassword()
	s, err := sshd.Listen(ctx, sshd.Host{
		Name: fqdn, System: system, Root: root, User: "root", Password: password,
		Opened: func() { c.census.add(0, 1) },
		Closed: func() { c.census.add(0, -1) },
	})
	if err != nil {
		return err
	}
	c.servers = append(c.servers, s)
	c.ssh = append(c.ssh, SSHEndpoint{Name: name, Addr: s.Addr(), HostKey: s.HostKey(), User: "root", Password: password})
	return nil
}

// Close ends all sessions and connections, long polls among them, waits for what runs, and removes all files. Further
// calls return what the first one did.
func (c *Cloud) Close() error { return c.end() }

func (c *Cloud) stop() error {
	var errs []error
	if c.vc != nil {
		errs = append(errs, c.vc.close())
	}
	for _, s := range c.servers {
		errs = append(errs, s.Close())
	}
	for _, r := range c.roots {
		errs = append(errs, r.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}

// EndSessions ends all sessions of vCenter, as its restart does. Whoever has one must log in again.
func (c *Cloud) EndSessions() {
	c.vc.sessions.clear()
	c.vc.browser.forget(func(string) bool { return true })
}

// Name is the name from the Config.
func (c *Cloud) Name() string { return c.name }

// DNSSuffix is the domain of the private cloud's names, as SddcDnsSuffix tells it to scripts.
func (c *Cloud) DNSSuffix() string { return c.name + ".airlock.test" }

// VCenter says how to reach the vCenter.
func (c *Cloud) VCenter() VCenter {
	return VCenter{
		FQDN: c.vc.fqdn, Addr: c.vc.addr, URL: "https://" + c.vc.fqdn + "/sdk", CA: slices.Clone(c.vc.ca),
		User: scripting + "@" + domain, Password: c.vc.password,
	}
}

// SSH says how to reach the SSH servers: the hosts in the order of their names, then the vCenter's.
func (c *Cloud) SSH() []SSHEndpoint { return slices.Clone(c.ssh) }

// Dial connects to a server of the private cloud by its name and usual port, 443 or 22, as if the names were in DNS.
// What it does not know is an error: nothing outside the private cloud is reached.
func (c *Cloud) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	if strings.EqualFold(address, c.vc.fqdn+":443") {
		return d.DialContext(ctx, network, c.vc.addr)
	}
	for _, e := range c.ssh {
		name := e.Name
		if name == "VC" {
			name = c.vc.fqdn
		}
		if strings.EqualFold(address, name+":22") {
			return d.DialContext(ctx, network, e.Addr)
		}
	}
	return nil, fmt.Errorf("there is no %s in the simulated private cloud %s", address, c.name)
}

// Open says what clients hold open now.
func (c *Cloud) Open() Open {
	open, _ := c.census.look()
	return open
}

// WaitIdle waits until clients hold nothing open.
func (c *Cloud) WaitIdle(ctx context.Context) error { return c.census.wait(ctx) }

// newPassword makes a password of 128 random bits.
func newPassword() secret.Text { return secret.New(rand.Text()) }
