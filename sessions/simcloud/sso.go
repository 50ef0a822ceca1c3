package simcloud

import (
	"bytes"
	"crypto/rand"
	"io"
	"net/http"
	"strings"

	lookupsim "github.com/vmware/govmomi/lookup/simulator"
	lookuptypes "github.com/vmware/govmomi/lookup/types"
	"github.com/vmware/govmomi/simulator"
	ssosim "github.com/vmware/govmomi/ssoadmin/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
	vim "github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"

	"github.com/airlock-run/airlock/sessions/internal/envelope"
)

// ssoKey begins vcsim's ids of sessions of SSO administration, which are sessions of their own as with a real vCenter.
const ssoKey = "sso-"

// sso serves SSO administration. What a client asks before its login, vcsim tells to sessions only.
func (v *vcenter) sso(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, call, err := readCall(w, r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var instance soap.HasFault
		switch call.Method {
		case "SsoAdminServiceInstance":
			instance = new(ssosim.ServiceInstance).SsoAdminServiceInstance(nil, nil)
		case "SsoGroupcheckServiceInstance":
			instance = new(ssosim.GroupcheckServiceInstance).SsoGroupcheckServiceInstance(nil, nil)
		default:
			r.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		_ = xml.NewEncoder(w).Encode(soap.Envelope{Body: instance})
	})
}

// loginSSO judges a login to SSO administration, which vcsim takes at its word, and makes its session.
func (v *vcenter) loginSSO(ctx *simulator.Context) vim.BaseMethodFault {
	id, user := assertion(ctx.Header)
	if !v.tokens.valid(id, user) {
		return new(vim.InvalidLogin)
	}
	if ctx.Session == nil {
		main := ctx.For(vim25.Path) // which has the sessions
		main.SetSession(simulator.Session{
			UserSession: vim.UserSession{Key: ssoKey + rand.Text(), UserName: user},
			Registry:    simulator.NewRegistry(), Map: main.Map,
		}, true)
	}
	return nil
}

// logoutSSO ends a session of SSO administration.
func (v *vcenter) logoutSSO(ctx *simulator.Context) {
	if strings.HasPrefix(ctx.Session.Key, ssoKey) {
		v.sessions.remove(ctx.Session.Key)
	}
}

// inHeader serves what takes the session in the SOAP header vcSessionCookie, and from no cookie: storage policies and
// the lifecycle of disks.
func (v *vcenter) inHeader(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, call, err := readCall(w, r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Header.Del("Cookie")
		for _, s := range call.Sessions {
			r.AddCookie(&http.Cookie{Name: soap.SessionCookieName, Value: string(body[s.From:s.To])})
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

func readCall(w http.ResponseWriter, r *http.Request) ([]byte, envelope.Call, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
	if err != nil {
		return nil, envelope.Call{}, err
	}
	call, err := envelope.Scan(body)
	return body, call, err
}

// registerSSO adds SSO administration to the lookup service by the name that a real vCenter keeps from its first version,
// and VMware.vSphere.SsoAdmin asks for: vcsim has the other one only.
func registerSSO(ctx *simulator.Context, services *simulator.Registry) {
	registration := services.Get(vim.ManagedObjectReference{Type: "LookupServiceRegistration", Value: "ServiceRegistration"}).(*lookupsim.ServiceRegistration)
	registration.List(ctx, &lookuptypes.List{FilterCriteria: &lookuptypes.LookupServiceRegistrationFilter{}}) // vcsim makes its own now
	for _, info := range registration.Info {
		if i := info.ServiceEndpoints; len(i) == 1 && i[0].EndpointType.Type == "com.vmware.cis.cs.identity.admin" {
			info.ServiceType.Type = "sso:admin"
			info.ServiceId += ":sso:admin"
			registration.Info = append(registration.Info, info)
		}
	}
}
