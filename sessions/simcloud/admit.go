package simcloud

import (
	"context"
	"time"

	"github.com/vmware/govmomi/simulator"
	sso "github.com/vmware/govmomi/ssoadmin/types"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	vim "github.com/vmware/govmomi/vim25/types"
)

// admit is vcsim's hook before each method, of any of its SOAP services and whoever calls: a client, or vcsim's REST
// API on behalf of one. A fault ends the call.
func (v *vcenter) admit(ctx *simulator.Context, m *simulator.Method) (mo.Reference, vim.BaseMethodFault) {
	if s := refusal(m); s != "" {
		return nil, v.refuse(ctx, s)
	}
	if _, login := m.Body.(*sso.Login); login {
		return nil, v.loginSSO(ctx)
	}
	if ctx.Session == nil {
		return nil, v.admitStranger(ctx, m)
	}
	switch body := m.Body.(type) {
	case *vim.Logout:
		if ctx.Map.Path == vim25.Path {
			v.sessions.remove(ctx.Session.Key)
		}
	case *sso.Logout:
		v.logoutSSO(ctx)
	case *vim.TerminateSession:
		for _, key := range body.SessionId {
			if key != ctx.Session.Key { // vcsim refuses that one
				v.sessions.remove(key)
			}
		}
	case *vim.WaitForUpdates, *vim.WaitForUpdatesEx:
		v.watch(ctx, m.This)
	}
	return nil, nil
}

// admitStranger judges the logins that vcsim takes at their word.
func (v *vcenter) admitStranger(ctx *simulator.Context, m *simulator.Method) vim.BaseMethodFault {
	switch m.Name {
	case "CloneSession":
		// A ticket is a session in waiting to vcsim, so that it would take a session's key for one.
		if body, ok := m.Body.(*vim.CloneSession); !ok || v.sessions.live(body.CloneTicket) {
			return new(vim.InvalidLogin)
		}
	case "LoginByToken":
		if !v.tokens.valid(assertion(ctx.Header)) {
			return new(vim.InvalidLogin)
		}
	}
	return nil
}

// assertion reads the id and the user of the token in a SOAP header.
func assertion(h soap.Header) (id, user string) {
	var security struct {
		Assertion struct {
			ID   string `xml:"ID,attr"`
			User string `xml:"Subject>NameID"`
		}
	}
	if e, ok := h.Security.(*simulator.Element); ok {
		_ = e.Decode(&security)
	}
	return security.Assertion.ID, security.Assertion.User
}

// refuse notes the sentence for the answer (vcsim gives a hook's fault no text) and makes the fault.
func (v *vcenter) refuse(ctx *simulator.Context, sentence string) vim.BaseMethodFault {
	if c := v.call(ctx); c != nil {
		c.refusal = sentence
	}
	return fault(sentence)
}

// watch ends a wait for updates when the client has gone or the private cloud ends: vcsim itself would wait on.
func (v *vcenter) watch(ctx *simulator.Context, collector vim.ManagedObjectReference) {
	c := v.call(ctx)
	pc, ok := ctx.Session.Get(collector).(interface {
		CancelWaitForUpdates(*vim.CancelWaitForUpdates) soap.HasFault
	})
	if c == nil || !ok {
		return
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(c.request, func() {
		defer close(ended)
		// The wait may not have begun yet, and a cancel before that is lost: repeat it until the call has returned.
		for {
			pc.CancelWaitForUpdates(&vim.CancelWaitForUpdates{This: collector})
			select {
			case <-c.done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	c.after = func() {
		if !stop() {
			<-ended
		}
	}
}
