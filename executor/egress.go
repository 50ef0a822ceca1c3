package executor

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/executor/internal/egress"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
)

// openEgress opens the way out that the private cloud's egress policy allows: a proxy inside the room, and the
// variables by which clients find it. Without a sandbox a script has the machine's network, and no policy holds.
func (j *job) openEgress(p *runtime.Prepared) error {
	if j.cfg.Isolation == IsolationNone {
		return nil
	}
	l, err := j.room.Listen(egress.Host, egress.Port)
	if err != nil {
		return fmt.Errorf("listen for the egress proxy: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		egress.Serve(j.killed, l, egress.Config{
			Cloud: j.Cloud.ID.Name, Policy: j.Cloud.Egress, Own: j.cfg.Own, Audit: j.auditScript, Log: j.log,
		})
	}()
	j.egressDone, p.Env = done, proxyEnv(j.grant)
	return nil
}

// proxyEnv are the variables that lead clients to the proxy, but not for what the grant reaches: curl knows them in
// lower case, others in capitals only.
func proxyEnv(g domain.Grant) (env []string) {
	direct := []string{"localhost", "127.0.0.1", "::1", "vc", strings.ToLower(g.VCenter.Host)}
	hosts := slices.Clone(g.Hosts)
	for _, h := range g.SSH {
		hosts = append(hosts, h.Endpoint)
	}
	for _, h := range hosts {
		if host := strings.ToLower(h.Host); !slices.Contains(direct, host) {
			direct = append(direct, host)
		}
	}
	proxy := fmt.Sprintf("http://%s:%d", egress.Host, egress.Port)
	for name, value := range map[string]string{"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": strings.Join(direct, ",")} {
		env = append(env, name+"="+value, strings.ToLower(name)+"="+value)
	}
	slices.Sort(env)
	return env
}

// rootFiles are where Linux distributions keep the certificate authorities of the public web, as crypto/x509 looks
// for them.
var rootFiles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
}

// authorities are the certificate authorities that the script trusts: that of its own endpoints, and where it reaches
// anything else, the machine's.
func (j *job) authorities() []byte {
	if j.cfg.Isolation != IsolationNone && j.Cloud.Egress.None() {
		return j.grant.CA
	}
	all, found := withRoots(j.grant.CA)
	if !found {
		j.log.WarnContext(j.base, "this machine has no certificate authorities of the public web: scripts trust none", "looked for", rootFiles)
	}
	return all
}

// withRoots adds the machine's authorities, where it has some.
func withRoots(own []byte) (all []byte, found bool) {
	for _, path := range rootFiles {
		if roots, err := os.ReadFile(path); err == nil {
			return slices.Concat(own, []byte("\n"), roots), true
		}
	}
	return own, false
}

// denied takes the report of a process that the script was not allowed to start.
func (j *job) denied(d sandbox.Denial) {
	what := "a process"
	if d.Path != "" {
		what = fmt.Sprintf("the program %q", d.Path)
	}
	j.output.Write(domain.Error, fmt.Appendf(nil, "Airlock: the script tried to start %s, and the sandbox allows no process beside the script's own (%s: EPERM).", what, d.Call))
	j.auditScript("sandbox/refused", d.Path, d.Call, "")
}

// auditScript writes down what the script has done, in the name under which its sessions know it.
func (j *job) auditScript(action, target, result, detail string) {
	j.trail.Write(context.WithoutCancel(j.base), audit.Event{
		Time: j.cfg.Now(), Execution: j.Execution.ID, Cloud: j.Execution.Cloud.String(), Actor: j.grant.User,
		Action: action, Target: target, Result: result, Detail: detail,
	})
}
