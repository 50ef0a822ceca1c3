package simcloud

import (
	"context"
	"net/url"
	"runtime"
	"testing"
	"time"

	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// vcsim waits for updates on behalf of a client that has gone, for ever. Here the wait ends with its client.
func TestWaitEndsWithItsClient(t *testing.T) {
	t.Parallel()
	c, err := Start(t.Context(), Config{Name: "sddc1"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := soap.NewClient(&url.URL{Scheme: "https", Host: c.VCenter().Addr, Path: "/sdk"}, true)
	vc, err := vim25.NewClient(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	login := url.UserPassword(c.VCenter().User, c.VCenter().Password.Reveal())
	if err := session.NewManager(vc).Login(t.Context(), login); err != nil {
		t.Fatal(err)
	}
	p, err := property.DefaultCollector(vc).Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first, err := methods.WaitForUpdatesEx(t.Context(), vc, &types.WaitForUpdatesEx{This: p.Reference()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for !c.vc.calls.any() {
			runtime.Gosched()
		}
		cancel()
	}()
	_, err = methods.WaitForUpdatesEx(ctx, vc, &types.WaitForUpdatesEx{This: p.Reference(), Version: first.Returnval.Version})
	if err == nil {
		t.Error("the wait ended well")
	}
	ended := make(chan struct{})
	go func() {
		c.vc.requests.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("vcsim waits on")
	}
}

// any says whether a call is on its way.
func (c *calls) any() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byID) > 0
}
