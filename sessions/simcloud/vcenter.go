package simcloud

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	lookupsim "github.com/vmware/govmomi/lookup/simulator"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/vpx"
	"github.com/vmware/govmomi/ssoadmin"
	ssosim "github.com/vmware/govmomi/ssoadmin/simulator"
	"github.com/vmware/govmomi/sts"
	stssim "github.com/vmware/govmomi/sts/simulator"
	vapisim "github.com/vmware/govmomi/vapi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	vim "github.com/vmware/govmomi/vim25/types"
	vslmsim "github.com/vmware/govmomi/vslm/simulator"

	"github.com/airlock-run/airlock/internal/ca"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// vcenter is vcsim with what surrounds it.
type vcenter struct {
	fqdn, addr string
	ca         []byte
	password   secret.Text // of scripting

	service  *simulator.Service
	people   *people
	browser  *browser
	tokens   *tokens
	sessions *sessionIDs
	tasks    *tasks
	requests requests
	calls    calls

	server  *http.Server
	serving sync.WaitGroup
	end     context.CancelFunc // ends the context of each request
}

// certificateLife is longer than anybody keeps a simulated private cloud up.
const certificateLife = 365 * 24 * time.Hour

// startVCenter starts a vCenter that keeps its datastore below dir.
func startVCenter(ctx context.Context, fqdn, dir string, hostNames []string, c *census) (*vcenter, error) {
	datastore := filepath.Join(dir, datastoreName)
	if err := os.MkdirAll(datastore, 0o700); err != nil {
		return nil, err
	}
	authority, cert, err := ca.Issue(ca.Request{Name: "Simulated private cloud CA of " + fqdn, Hosts: []string{fqdn}, Lifetime: certificateLife})
	if err != nil {
		return nil, err
	}
	v := &vcenter{
		fqdn: fqdn, ca: authority, password: newPassword(), tasks: &tasks{}, sessions: newSessionIDs(c),
		tokens: &tokens{byID: map[string]token{}}, calls: calls{byID: map[string]*call{}},
	}
	v.service = newService()
	v.service.Context.Map.AddHandler(v.tasks)
	if err := buildInventory(ctx, v.service, datastore, hostNames); err != nil {
		return nil, fmt.Errorf("cannot make the inventory: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot listen for the vCenter: %w", err)
	}
	v.addr = l.Addr().String()
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if err := v.mount(config); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	v.serve(l, config)
	return v, nil
}

// newService makes vcsim's service. It gets its LicenseManager from here: the one that vcsim makes writes to a variable
// of the package, which each vcsim in the process reads.
func newService() *simulator.Service {
	ctx := simulator.NewContext()
	ctx.Map.Put(&simulator.LicenseManager{LicenseManager: mo.LicenseManager{
		Self: *vpx.ServiceContent.LicenseManager,
		Licenses: []vim.LicenseManagerLicenseInfo{{
			LicenseKey: "00000-00000-00000-00000-00000", EditionKey: "eval", Name: "Evaluation Mode",
		}},
	}})
	return simulator.New(simulator.NewServiceInstance(ctx, vpx.ServiceContent, vpx.RootFolder))
}

// mount adds to vcsim what its own server would: the settings, the SSO and the REST API.
func (v *vcenter) mount(config *tls.Config) error {
	vc := v.service.Context.Map
	admin := newPassword()
	u := &url.URL{Scheme: "https", Host: v.addr, Path: vim25.Path, User: url.UserPassword(administrator, admin.Reveal())}
	v.service.Listen = u
	vc.OptionManager().Setting = v.settings()
	manager := vc.SessionManager()
	manager.ServiceHostName = v.fqdn
	manager.TLS = func() *tls.Config { return config }

	directory := ssosim.New(vc, u)
	services, policies, disks := lookupsim.New(), newPolicies(), vslmsim.New()
	v.service.RegisterSDK(vc, vim25.Path+"/vimService")
	v.service.RegisterSDK(directory, ssoadmin.SystemPath)
	for _, r := range []*simulator.Registry{services, policies, disks} {
		v.service.RegisterSDK(r)
	}
	registerSSO(v.service.Context, services)
	path, handler := stssim.New(u, vc.OptionManager().Setting)
	v.service.Handle(path, handler)
	v.service.Handle(sts.SystemPath, handler)
	patterns, api := vapisim.New(u, vc)
	for _, p := range patterns {
		v.service.Handle(p, api)
	}

	var err error
	if v.people, err = newPeople(directory, admin, v.password); err != nil {
		return err
	}
	v.browser = &browser{people: v.people, census: v.sessions.census, nonces: map[string]string{}}
	manager.ValidLogin = v.people.validLogin
	if err := newRoles(vc, vpx.RootFolder.Self); err != nil {
		return err
	}
	for _, r := range []*simulator.Registry{vc, directory, services, policies, disks} {
		r.Handler, r.Cookie = v.admit, v.sessionOf
	}
	return nil
}

// settings are the options that vcsim reads, with this vCenter's name in the URLs. vcsim's own are variables of the
// package that each vcsim in the process writes to.
func (v *vcenter) settings() []vim.BaseOptionValue {
	base := "https://" + v.fqdn
	var all []vim.BaseOptionValue
	for _, o := range []vim.OptionValue{
		{Key: "vcsim.server.url", Value: base},
		{Key: "config.vpxd.sso.sts.uri", Value: base + sts.Path + "/" + domain},
		{Key: "config.vpxd.sso.admin.uri", Value: base + ssoadmin.Path + "/" + domain},
		{Key: "config.vpxd.sso.groupcheck.uri", Value: base + ssoadmin.Path + "/" + domain},
		{Key: "config.vpxd.sso.default.admin", Value: administrator + "@" + domain},
		{Key: "config.vpxd.sso.default.isGroup", Value: "false"},
		{Key: "config.vpxd.sso.solutionUser.name", Value: "vpxd@" + domain},
		{Key: "VirtualCenter.InstanceName", Value: v.fqdn},
		{Key: "event.maxAge", Value: int32(30)},
		{Key: "event.maxAgeEnabled", Value: true},
	} {
		all = append(all, &o)
	}
	return all
}

func (v *vcenter) serve(l net.Listener, config *tls.Config) {
	var ctx context.Context
	ctx, v.end = context.WithCancel(context.Background())
	v.server = &http.Server{
		Handler: v.door(), TLSConfig: config, ReadHeaderTimeout: 30 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    log.New(io.Discard, "", 0), // of clients that end a handshake
	}
	v.serving.Go(func() { _ = v.server.ServeTLS(l, "", "") })
}

// closeTimeout bounds the wait for requests and tasks. They end by themselves; vcsim can leave a lock behind where it
// panics, and the next call for that object then never ends.
const closeTimeout = 10 * time.Second

func (v *vcenter) close() error {
	v.requests.end()
	v.end()
	err := v.server.Close()
	v.serving.Wait()
	ended := make(chan struct{})
	go func() {
		v.requests.running.Wait()
		v.tasks.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return err
	case <-time.After(closeTimeout):
		return errors.Join(err, fmt.Errorf("%s: requests did not end within %s", v.fqdn, closeTimeout))
	}
}

// tasks sees each task of vcsim before it runs.
type tasks struct{ running sync.WaitGroup }

// Reference gives vcsim a name for what watches its objects.
func (*tasks) Reference() vim.ManagedObjectReference {
	return vim.ManagedObjectReference{Type: "AirlockTasks", Value: "AirlockTasks"}
}

// PutObject is told of each new object. vcsim runs a task in a goroutine of its own, where a panic would end the process.
func (t *tasks) PutObject(_ *simulator.Context, o mo.Reference) {
	task, ok := o.(*simulator.Task)
	if !ok || task.Execute == nil {
		return
	}
	run := task.Execute
	t.running.Add(1)
	task.Execute = func(k *simulator.Task) (result vim.AnyType, fault vim.BaseMethodFault) {
		defer t.running.Done()
		defer func() {
			if p := recover(); p != nil {
				result, fault = nil, &vim.SystemError{Reason: fmt.Sprintf("the simulated vCenter cannot do that: %v", p)}
			}
		}()
		return run(k)
	}
}

// UpdateObject is not needed.
func (*tasks) UpdateObject(*simulator.Context, mo.Reference, []vim.PropertyChange) {}

// RemoveObject is not needed.
func (*tasks) RemoveObject(*simulator.Context, vim.ManagedObjectReference) {}
