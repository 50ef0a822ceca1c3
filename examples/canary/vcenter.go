package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/pbm"
	pbmtypes "github.com/vmware/govmomi/pbm/types"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/ssoadmin"
	"github.com/vmware/govmomi/sts"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vslm"

	"github.com/airlock-run/airlock/sdk"
	"github.com/airlock-run/airlock/sdk/vcenter"
)

// listen makes a client keep what it receives, as it comes out of TLS.
func listen(ctx context.Context, x *sdk.Execution) (*vim25.Client, error) {
	c, err := vcenter.Client(ctx, x)
	if err != nil {
		return nil, err
	}
	t := c.DefaultTransport()
	t.CloseIdleConnections()
	dial := t.DialTLSContext
	t.DisableCompression = true
	t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return listened{conn}, nil
	}
	return c.Client, nil
}

// useVCenter uses the vCenter by each of its APIs, and logs in by each way.
func useVCenter(ctx context.Context, x *sdk.Execution) error {
	c, err := listen(ctx, x)
	if err != nil {
		return err
	}
	r := rest.NewClient(c)
	r.SessionID(x.Grant().Token.Reveal())
	for _, use := range []struct {
		what string
		err  func() error
	}{
		{"annotation", func() error { return annotate(ctx, c, x.Grant().Token.Reveal()) }},
		{"views", func() error { return look(ctx, x, c) }},
		{"services", func() error { return services(ctx, c) }},
		{"REST", func() error { return works(ctx, r) }},
		{"transfers", func() error { return transfer(ctx, c, r) }},
		{"logins", func() error { return logIn(ctx, x) }},
		{"requests", func() error { return ask(ctx, c, x.Grant().Token.Reveal()) }},
	} {
		if err := use.err(); err != nil {
			return fmt.Errorf("%s: %w", use.what, err)
		}
	}
	return nil
}

// annotate writes the token into the annotation of a VM and reads it back.
func annotate(ctx context.Context, c *vim25.Client, token string) error {
	vms, err := find.NewFinder(c).VirtualMachineList(ctx, "/*/vm/*")
	if err != nil {
		return err
	}
	task, err := vms[0].Reconfigure(ctx, types.VirtualMachineConfigSpec{Annotation: token})
	if err == nil {
		err = task.Wait(ctx)
	}
	if err != nil {
		return err
	}
	var vm mo.VirtualMachine
	if err := vms[0].Properties(ctx, vms[0].Reference(), []string{"config.annotation"}, &vm); err != nil {
		return err
	}
	if vm.Config.Annotation != token {
		return errors.New("what was written does not come back")
	}
	return nil
}

// look finds VMs through a view, says what the vCenter calls it, and tries the session's part of that name as a session.
func look(ctx context.Context, x *sdk.Execution, c *vim25.Client) error {
	v, err := view.NewManager(c).CreateContainerView(ctx, c.ServiceContent.RootFolder, []string{"VirtualMachine"}, true)
	if err != nil {
		return err
	}
	x.Output("view " + v.Reference().Value)
	var vms []mo.VirtualMachine
	if err := errors.Join(v.Retrieve(ctx, []string{"VirtualMachine"}, nil, &vms), v.Destroy(ctx)); err != nil {
		return err
	}
	own, err := session.NewManager(c).UserSession(ctx)
	if err != nil || own == nil {
		return fmt.Errorf("the own session: %v, %w", own, err)
	}
	stranger, err := visit(ctx, x)
	if err != nil {
		return err
	}
	stranger.Jar.SetCookies(stranger.URL(), []*http.Cookie{{Name: soap.SessionCookieName, Value: own.Key, Path: "/", Secure: true}})
	if _, err := object.NewRootFolder(stranger).Children(ctx); err == nil {
		return errors.New("the session's key opens it")
	}
	return nil
}

// services calls what stands beside the vSphere API.
func services(ctx context.Context, c *vim25.Client) error {
	policies, err := pbm.NewClient(ctx, c)
	if err != nil {
		return err
	}
	if _, err := policies.QueryProfile(ctx, pbmtypes.PbmProfileResourceType{ResourceType: "STORAGE"}, ""); err != nil {
		return err
	}
	disks, err := vslm.NewClient(ctx, c)
	if err != nil {
		return err
	}
	if _, err := vslm.NewGlobalObjectManager(disks).ListObjectsForSpec(ctx, nil, 10); err != nil {
		return err
	}
	admin, err := ssoadmin.NewClient(ctx, c)
	if err != nil {
		return err
	}
	_, err = admin.FindGroup(ctx, "CloudAdmins")
	return err
}

func works(ctx context.Context, c *rest.Client) error {
	_, err := tags.NewManager(c).ListTags(ctx)
	_, other := c.Session(ctx)
	return errors.Join(err, other)
}

// visit is a client that has not logged in.
func visit(ctx context.Context, x *sdk.Execution) (*vim25.Client, error) {
	c, err := listen(ctx, x)
	if err == nil {
		c.Jar.SetCookies(c.URL(), []*http.Cookie{{Name: soap.SessionCookieName, Path: "/", MaxAge: -1}})
	}
	return c, err
}

// logIn logs in by password and by assertion, to SOAP, REST and the administration of SSO.
func logIn(ctx context.Context, x *sdk.Execution) error {
	user := url.UserPassword(x.Grant().User, x.Grant().Token.Reveal())
	c, err := visit(ctx, x)
	if err != nil {
		return err
	}
	if err := session.NewManager(c).Login(ctx, user); err != nil {
		return err
	}
	if r := rest.NewClient(c); r.Login(ctx, user) != nil || works(ctx, r) != nil {
		return errors.New("REST by password does not work")
	}
	if c, err = visit(ctx, x); err != nil {
		return err
	}
	tokens, err := sts.NewClient(ctx, c)
	if err != nil {
		return err
	}
	signer, err := tokens.Issue(ctx, sts.TokenRequest{Userinfo: user, Renewable: true})
	if err != nil {
		return err
	}
	if err := session.NewManager(c).LoginByToken(c.WithHeader(ctx, soap.Header{Security: signer})); err != nil {
		return err
	}
	if r := rest.NewClient(c); r.LoginByToken(r.WithSigner(ctx, signer)) != nil || works(ctx, r) != nil {
		return errors.New("REST by assertion does not work")
	}
	admin, err := ssoadmin.NewClient(ctx, c)
	if err != nil {
		return err
	}
	if err := admin.Login(admin.WithHeader(ctx, soap.Header{Security: signer})); err != nil {
		return err
	}
	_, err = admin.FindPersonUser(ctx, "scripting")
	return err
}

// ask makes requests that no client makes; answers of any kind are kept.
func ask(ctx context.Context, c *vim25.Client, token string) error {
	for _, path := range []string{"/sdk", "/rest/com/vmware/cis/session", "/api/session", "/folder/x", "/mob", "/ui", "/sts/STSService/vsphere.local"} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "TRACE"} {
			req, err := http.NewRequestWithContext(ctx, method, "https://"+c.URL().Host+path, nil)
			if err != nil {
				return err
			}
			req.SetBasicAuth("somebody", "else")
			req.Header.Set("vmware-api-session-id", token)
			req.Header.Set("Connection", "Cookie, vmware-api-session-id")
			res, err := c.Client.Client.Do(req)
			if err != nil {
				kept.say(err)
				continue
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil {
				kept.say(err)
			}
			_ = res.Body.Close()
		}
	}
	return nil
}
