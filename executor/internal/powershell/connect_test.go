package powershell

import (
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/executor/internal/psrp/psrptest"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// locks makes a run's lock of modules, and its grant of a vCenter at an address.
func locks(t *testing.T, addr string, modules ...string) func(*runtime.Prepared) {
	return func(p *runtime.Prepared) {
		p.Grant = domain.Grant{User: "execution-1", Token: secret.New("the-token"), VCenter: domain.Endpoint{Host: "vc.test", Addr: addr}}
		for _, name := range modules {
			p.Libraries = append(p.Libraries, runtime.Library{PackageRef: domain.PackageRef{Name: name}, Dir: t.TempDir()})
		}
	}
}

// connected are the connections that were asked for, in their order, each with its arguments.
func (w *world) connected(t *testing.T) (all []string) {
	for _, p := range w.asked {
		c := p.Statements[0][0]
		name, password := c.Text, c.Argument("Password")
		switch {
		case c.Text == vcenterScript && c.Script && c.LocalScope:
			name, password = "Connect-VIServer", c.Argument("Token")
		case !strings.HasPrefix(c.Text, "Connect-") || c.Script:
			continue
		}
		if behind := p.Statements[0][1:]; name == "Connect-VcenterServerMOB" && (len(behind) != 1 || behind[0].Argument("Name").Str() != "MOB_Connection" || behind[0].Argument("Scope").Str() != "Global") {
			t.Errorf("what %s gives goes to %+v", name, behind)
		}
		token, err := w.server.Reveal(password)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		all = append(all, strings.TrimRight(strings.Join([]string{name, c.Argument("Server").Str(), c.Argument("Port").Str(), c.Argument("User").Str(), token}, " "), " "))
	}
	return all
}

// hasMOB answers the question for the cmdlet that connects the MOB.
func hasMOB(p *psrptest.Pipeline) bool {
	if p.Statements[0][0].Text != "Get-Command" {
		return false
	}
	p.Text("Connect-VcenterServerMOB")
	p.Completed()
	return true
}

func TestConnections(t *testing.T) {
	for what, c := range map[string]struct {
		addr    string
		modules []string
		want    []string
		warning string
		old     bool
	}{
		"none": {addr: "0.0.0.0:443", modules: []string{"Posh-SSH"}},
		"PowerCLI": {addr: "0.0.0.0:443", modules: []string{"vmware.vimautomation.core", "VMware.PowerCLI"},
			want: []string{"Connect-VIServer vc.test 443  the-token"}},
		"all": {addr: "[::]:443", modules: []string{"Microsoft.AVS.Management", "VMware.vSphere.SsoAdmin", "VMware.VimAutomation.Core"},
			want: []string{"Connect-VIServer vc.test 443  the-token", "Connect-SsoAdminServer vc.test  execution-1 the-token",
				"Connect-VcenterServerMOB vc.test  execution-1 the-token"}},
		"a management module without the cmdlet": {addr: "0.0.0.0:443", modules: []string{"Microsoft.AVS.Management"}, old: true},
		"without a sandbox": {addr: "127.0.0.1:4711", modules: []string{"Microsoft.AVS.Management", "VMware.vSphere.SsoAdmin", "VMware.VimAutomation.Core"},
			want:    []string{"Connect-VIServer 127.0.0.1 4711  the-token", "Connect-VcenterServerMOB 127.0.0.1:4711  execution-1 the-token"},
			warning: "Airlock has not connected VMware.vSphere.SsoAdmin: without a sandbox it would look for the real vCenter."},
	} {
		t.Run(what, func(t *testing.T) {
			w := &world{cmdlet: (*psrptest.Pipeline).Completed, others: hasMOB}
			if c.old {
				w.others = nil
			}
			end, h := w.do(t, locks(t, c.addr, c.modules...))
			if end.Err != nil {
				t.Fatal(end.Err)
			}
			if got := w.connected(t); !slices.Equal(got, c.want) {
				t.Errorf("connected are %q, want %q", got, c.want)
			}
			if got := strings.Join(h.Texts(domain.Warning), "\n"); (c.warning != "") != strings.Contains(got, "connected") || !strings.Contains(got, c.warning) {
				t.Errorf("warnings: %q", got)
			}
			for _, p := range w.asked {
				if strings.Contains(p.Statements[0][0].Text, "the-token") {
					t.Errorf("a script has the token in its text")
				}
			}
		})
	}
}

// A connection that cannot be made is said by its name, and nothing is run without it. What a module writes beside is no failure.
func TestConnectionFails(t *testing.T) {
	w := &world{cmdlet: (*psrptest.Pipeline).Completed}
	w.others = func(p *psrptest.Pipeline) bool {
		switch p.Statements[0][0].Text {
		case vcenterScript:
			p.Warning("join us")
			p.Error(psrptest.Failure{Message: "not configured"})
			p.Completed()
		case "Connect-SsoAdminServer":
			p.Failed(psrptest.Failure{Message: "Invalid credentials."})
		default:
			return false
		}
		return true
	}
	end, h := w.do(t, locks(t, "0.0.0.0:443", "VMware.VimAutomation.Core", "VMware.vSphere.SsoAdmin", "Microsoft.AVS.Management"))
	const want = "VMware.vSphere.SsoAdmin could not be connected to the vCenter vc.test: Invalid credentials."
	if got := errors.For(end.Err, "").Message; got != want || !errors.Has(end.Err, errors.SessionFailed) {
		t.Errorf("it ends with %q", got)
	}
	if h.Starts() != 0 || len(w.connected(t)) != 2 {
		t.Errorf("started %d times, connected %q", h.Starts(), w.connected(t))
	}
	if got := h.Texts(domain.Error); !slices.Equal(got, []string{"not configured"}) || len(h.Texts(domain.Warning)) > 0 {
		t.Errorf("errors %q, warnings %q", got, h.Texts(domain.Warning))
	}
}
