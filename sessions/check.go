package sessions

import (
	"context"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/sessions/internal/sshproxy"
	"github.com/airlock-run/airlock/sessions/internal/vcproxy"
)

// Bounds of a check. A client waits a minute for an answer.
const (
	checkTime  = 50 * time.Second // in all
	checkHosts = 16               // hosts at once
)

// Check tests all that Airlock needs of a private cloud: the vCenter (reached, certificate, login, privileges, REST, SSO
// administration, inventory) and the SSH login of each host. It collects all failures, one sentence each, within 50 s,
// and leaves no session behind. A host key that is not known yet is learned, as at any login.
func Check(ctx context.Context, up Upstream) domain.Report {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	results := make([]sshproxy.Result, len(up.SSH))
	var hosts errgroup.Group
	hosts.SetLimit(checkHosts + 1)
	var found vcproxy.Found
	hosts.Go(func() error {
		found = vcproxy.Check(ctx, vcproxy.Config{Host: up.VCenter, Addr: up.Addr, TLS: up.tls(), User: up.User, Password: up.Password})
		return nil
	})
	for i, h := range up.SSH {
		hosts.Go(func() error { results[i] = sshproxy.Host(h).Check(ctx); return nil })
	}
	_ = hosts.Wait() // none returns an error
	for i, r := range results {
		service := sshproxy.ServiceUnknown
		if runs, known := found.SSH[strings.ToLower(up.SSH[i].Name)]; known && runs {
			service = sshproxy.ServiceRuns
		} else if known {
			service = sshproxy.ServiceStopped
		}
		found.Findings = append(found.Findings, r.Finding(service))
	}
	return found.Report
}
