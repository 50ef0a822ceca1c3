package vcproxy

import "github.com/airlock-run/airlock/sessions/internal/policy"

// service is how requests to an endpoint of vCenter are read, and what a refusal looks like there.
type service int

const (
	none    service = iota // a path that is closed
	public                 // answered before any login
	soap                   // vim25 and the services beside it
	sso                    // SSO administration, which has sessions of its own
	rest                   // vAPI, answers wrapped
	api                    // vAPI since 7.0, answers bare
	content                // files of datastores, leases and libraries
	mob                    // forms of the authorization service
)

// serviceOf is how the broker reads requests to a service.
func serviceOf(s policy.Service) service {
	switch {
	case s == policy.SSO:
		return sso
	case s.SOAP():
		return soap
	}
	return map[policy.Service]service{policy.Public: public, policy.REST: rest, policy.API: api, policy.Content: content, policy.MOB: mob}[s]
}

// Rules by which calls are refused that are no rule of the policy's.
const (
	ruleSession = "no-session" // without the execution's token, or with another one
	ruleForm    = policy.RuleForm
	ruleLease   = "lease-only"     // to a host, and not of a lease of the execution's
	ruleLogin   = "no-other-login" // the policy's too, for other ways to log in
)
