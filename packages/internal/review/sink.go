package review

import (
	"strings"

	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// streams are commands that write to a stream. What Write-Output writes is what the function returns.
var streams = set(`write-host write-verbose write-debug write-warning write-error write-information write-progress out-host out-default`)

// sink reports what a command does with values that should not reach it.
func (c *code) sink(s *scope, n *syntax.Node, name string, g given) {
	switch {
	case streams[name]:
		c.stream(s, n, "", g.all.with(g.piped))
	case name == "invoke-expression":
		c.runs(s, n, "Invoke-Expression", g.all.with(g.piped))
	case name == "invoke-vmscript":
		c.runs(s, n, "Invoke-VMScript", g.of(0, "scripttext").with(g.piped))
	case name == "invoke-sshcommand" || name == "invoke-sshcommandstream":
		position := 1
		if _, named := g.named["sshsession"]; named || len(g.positional) < 2 {
			position = 0
		}
		c.runs(s, n, "a command over SSH", g.of(position, "command"))
	case name == "invoke-sshstreamshellcommand" || name == "invoke-sshstreamexpectaction":
		c.runs(s, n, "a command over SSH", g.of(1, "command"))
	case name == "new-object":
		c.newCredential(s, n, g)
	case name == "get-credential":
		c.useAccount(s, n, g.of(0, "username", "credential"))
	}
	if c.elevates(n, name, g) {
		c.elevation(s, n)
		return
	}
	for parameter, l := range g.named {
		if accountLike(parameter) {
			c.useAccount(s, n, l)
		}
	}
}

func (c *code) newCredential(s *scope, n *syntax.Node, g given) {
	if text, _ := c.arguments(n).get(0, "typename").Constant(); typeName(text) == "pscredential" {
		c.useAccount(s, n, g.all)
	}
}

// accountLike says whether a name is that of something which holds an account.
func accountLike(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "user") || strings.Contains(name, "login") || strings.Contains(name, "account") || strings.Contains(name, "credential")
}

// elevates says whether a command gives CloudAdmins privileges.
func (c *code) elevates(n *syntax.Node, name string, g given) bool {
	switch name {
	case "new-vipermission":
		return g.of(1, "principal")[admins]
	case "set-vipermission":
		return g.of(0, "permission").with(g.piped)[admins]
	case "set-virole":
		return g.of(0, "role").with(g.piped)[admins] && c.arguments(n).has("addprivilege")
	case "add-usertossogroup":
		return g.of(0, "user").with(g.piped)[admins]
	case "add-grouptossogroup":
		return g.of(0, "group").with(g.piped)[admins]
	}
	return false
}

func (c *code) elevation(s *scope, n *syntax.Node) {
	if c.final {
		c.find(privilegeElevation, s, n, "This gives CloudAdmins, and with them each administrator of the customer, more than the provider decided: give a role of the package's own to an account of its own.")
	}
}

// method reports what the call of a method does with values that should not reach it.
func (c *code) method(s *scope, n, target *syntax.Node, name string, l, args labels) {
	switch name {
	case "runcommand", "createcommand", "begincommand":
		c.runs(s, n, "a command over SSH", args)
	case "invokescript", "newscriptblock", "addscript", "expandstring":
		c.runs(s, n, "PowerShell itself", args)
	case "setentitypermissions", "resetentitypermissions", "mergepermissions", "updateauthorizationrole":
		if args[admins] {
			c.elevation(s, n)
		}
	case "writeline", "write", "writeerrorline", "writedebugline", "writeverboseline", "writewarningline", "writeobject", "writeverbose",
		"writewarning", "writeinformation", "writedebug":
		switch v := strings.ToLower(s.file.Source(target)); {
		case l[sshShell]:
			c.runs(s, n, "a command over SSH", args)
		case v == "$host.ui" || v == "$pscmdlet":
			c.stream(s, n, "", args)
		}
	}
}

// output reports what a cmdlet returns.
func (c *code) output(s *scope, n *syntax.Node, l labels) {
	if s.exported {
		c.stream(s, n, "", l)
	}
}

// stream reports a secret that is written, by the function through if that is not "".
func (c *code) stream(s *scope, n *syntax.Node, through string, l labels) {
	c.reaches(s, l, "stream")
	if !l[secret] || !c.final {
		return
	}
	if through != "" {
		through = " by " + through
	}
	c.find(secretInStream, s, n, "A secret in plain text is written%s to where whoever may read the execution sees it: write what was done, not with which secret.", through)
}

// runs reports a parameter that becomes code.
func (c *code) runs(s *scope, n *syntax.Node, by string, l labels) {
	c.reaches(s, l, "code")
	if !s.exported || !c.final {
		return
	}
	for i, p := range s.params[:min(len(s.params), maxLabels+1)] {
		if l[s.parameter(i)] {
			c.injected[n] = true
			c.find(parameterInjection, s, n, "The parameter %s becomes part of what %s runs, so that whoever gives it decides what runs: escape it, or let PowerShell check it ([int], [ValidateSet()]).", p.Name, by)
		}
	}
}

// useAccount reports that cloudadmin is used as an account.
func (c *code) useAccount(s *scope, n *syntax.Node, l labels) {
	c.reaches(s, l, "account")
	if l[account] && c.final {
		c.find(cloudAdminAccount, s, n, "cloudadmin is the customer's account, and what works with it stops when its password changes: make an account for the product.")
	}
}

// reaches notes which parameters of a function end there.
func (c *code) reaches(s *scope, l labels, where string) {
	for _, p := range l.parameters() {
		if key := p + ">" + where; !s.sinks[key] {
			s.sinks[key] = true
			c.changed = true
		}
	}
}
