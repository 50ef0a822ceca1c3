package vcproxy

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/airlock-run/airlock/sessions/internal/envelope"
	"github.com/airlock-run/airlock/sessions/internal/policy"
)

// refused is what a script is told of the policy's decision: what it may not do, and by which rule.
func refused(what string, no *policy.Refusal) *refusal {
	status := http.StatusForbidden
	if no.Rule == ruleForm {
		status = http.StatusBadRequest
	}
	return &refusal{no.Rule, status, fmt.Sprintf("Airlock refuses %s: it does not let scripts %s.", what, no.Says)}
}

// maxJudged bounds the time that it takes to judge a call, by which it could outlast the execution.
const maxJudged = 256 << 10

// judgeArguments judges a SOAP call by its arguments, and puts into its place what was judged.
func (p *proxy) judgeArguments(ctx context.Context, s policy.Service, j *judged, need policy.Need) *refusal {
	if len(j.body) > maxJudged {
		return unreadable(fmt.Errorf("it has more than the %d bytes that a call may have which is judged by its arguments", maxJudged))
	}
	args, err := policy.Decode(s, j.Method, j.body)
	if err != nil {
		return unreadable(err)
	}
	facts, no := p.facts(ctx, j, need)
	if no != nil {
		return no
	}
	if no := p.c.Policy.Arguments(s, j.Method, args, facts); no != nil {
		return refused(j.Method, no)
	}
	var sessions []string
	for _, span := range j.Sessions {
		sessions = append(sessions, string(j.body[span.From:span.To]))
	}
	body, err := policy.Encode(s, j.Method, args, sessions)
	if err == nil && len(body) > maxSOAP { // written anew it may be longer
		err = fmt.Errorf("it has more than %d bytes", maxSOAP)
	}
	var call envelope.Call
	if err == nil {
		call, err = envelope.Scan(body)
	}
	if err == nil && call.Method != j.Method {
		err = fmt.Errorf("its method can be read in several ways")
	}
	if err != nil {
		return unreadable(err)
	}
	j.Call, j.body, j.tokens.envelope = call, body, call.Sessions
	return nil
}

// facts are what the rules go by that a call needs. What needs to know the vCenter's roles and permissions goes on alone,
// so that none is judged by what another one is about to change.
func (p *proxy) facts(ctx context.Context, j *judged, need policy.Need) (policy.Facts, *refusal) {
	facts := policy.Facts{User: p.c.User}
	if !need.Facts {
		return facts, nil
	}
	if err := p.alone.Acquire(ctx, 1); err != nil {
		return facts, &refusal{"", http.StatusServiceUnavailable, "The execution has ended."}
	}
	j.alone = true
	var err error
	if facts.Roles, facts.Permissions, err = p.roles(ctx); err != nil {
		p.c.Log.WarnContext(ctx, "roles of the vCenter", slog.String("host", p.c.Host), slog.Any("error", err))
		return facts, &refusal{"", http.StatusServiceUnavailable, fmt.Sprintf(
			"Airlock could not ask the vCenter %s for its roles, by which %s is judged; try again.", p.c.Host, j.Method)}
	}
	return facts, nil
}

func unreadable(err error) *refusal {
	return &refusal{ruleForm, http.StatusBadRequest, fmt.Sprintf("Airlock cannot read this SOAP call: %s.", err)}
}

// roles are those of the vCenter, and who has them where. They are asked for once more where the vCenter has dropped the
// session.
func (p *proxy) roles(ctx context.Context) ([]types.AuthorizationRole, []types.Permission, error) {
	login, err := p.logins.vim.Get(ctx)
	if err != nil {
		return nil, nil, err
	}
	roles, permissions, err := rolesOf(ctx, login)
	if err == nil || !p.logins.renew(ctx, sessions{vim: login}) {
		return roles, permissions, err
	}
	if login, err = p.logins.vim.Get(ctx); err != nil {
		return nil, nil, err
	}
	return rolesOf(ctx, login)
}

func rolesOf(ctx context.Context, login *vimLogin) ([]types.AuthorizationRole, []types.Permission, error) {
	manager := *login.client.ServiceContent.AuthorizationManager
	var m mo.AuthorizationManager
	if err := property.DefaultCollector(login.client).RetrieveOne(ctx, manager, []string{"roleList"}, &m); err != nil {
		return nil, nil, err
	}
	res, err := methods.RetrieveAllPermissions(ctx, login.client, &types.RetrieveAllPermissions{This: manager})
	if err != nil {
		return nil, nil, err
	}
	return m.RoleList, res.Returnval, nil
}
