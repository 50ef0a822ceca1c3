package review

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// checkCalls applies the rules on what the code calls.
func (c *code) checkCalls() {
	labels := map[*syntax.Node]bool{}
	for _, s := range c.scopes {
		s.each(func(n *syntax.Node) {
			switch n.Kind {
			case syntax.Command:
				if !labels[n] {
					c.checkCommand(s, n)
				}
			case syntax.Jump: // the label of a loop reads like a command
				if n.Text == "break" || n.Text == "continue" {
					for _, k := range n.Kids {
						labels[k] = len(k.Kids) == 1
					}
				}
			case syntax.Chain:
				if n.Text == "&" {
					c.child(s, n, "& at the end, which makes a job of it,")
				}
			case syntax.Invoke:
				c.checkInvoke(s, n)
			case syntax.Assign:
				c.checkDrive(s, n)
			case syntax.Cast:
				if t := n.Kids[0]; t.Kind == syntax.Type && (typeName(t.Text) == "wmiclass" || processType(t.Text)) {
					c.child(s, n, "["+t.Text+"]")
				}
			case syntax.Using:
				if n.Text == "assembly" {
					c.foreign(s, n, "An assembly")
				}
			}
		})
	}
}

// computed reports a call of what is not known, unless a parameter is known to be run there, which is worse.
func (c *code) computed(s *scope, n *syntax.Node, what string) {
	if !c.injected[n] {
		c.find(computedCall, s, n, "%s, so that nobody can say before what it does: call commands by their names, or write the script block out.", what)
	}
}

func (c *code) child(s *scope, n *syntax.Node, what string) {
	c.find(childProcess, s, n, "%s starts another program, which no review has read: use cmdlets and .NET, and SSH for what runs on a host.", what)
}

func (c *code) foreign(s *scope, n *syntax.Node, what string) {
	c.find(foreignCode, s, n, "%s brings code that this review cannot read: write it in PowerShell, or tell the reviewer where its source is.", what)
}

func (c *code) checkCommand(s *scope, n *syntax.Node) {
	if len(n.Kids) == 0 {
		return
	}
	name, a := c.command(n), c.arguments(n)
	written, constant := n.Kids[0].Constant()
	if !constant {
		c.checkComputed(s, n)
		return
	}
	c.checkName(s, n, name, written)
	switch name {
	case "invoke-expression":
		c.computed(s, n, "Invoke-Expression runs text")
	case "import-alias":
		c.computed(s, n, "The aliases that are read here are not in a script")
	case "update-typedata", "update-formatdata":
		if a.has("appendpath") || a.has("prependpath") || len(a.positional) > 0 {
			c.foreign(s, n, "A file of types or formats")
		}
	case "set-location", "push-location", "new-psdrive":
		for _, v := range slices.Concat(a.positional, slices.Collect(maps.Values(a.named))) {
			if text, ok := v.Constant(); ok && drive(text+":") {
				c.computed(s, n, "What is done on the drive of functions or aliases is not followed")
			}
		}
	case "new-module", "invoke-command", "foreach-object", "start-threadjob", "measure-command", "where-object", "register-objectevent", "register-engineevent":
		c.checkBlocks(s, n, a)
	case "set-alias", "new-alias":
		_, known := a.get(1, "value").Constant()
		if c.twice[n] {
			c.computed(s, n, "An alias is set to something else than elsewhere")
		}
		if _, named := a.get(0, "name").Constant(); !known || !named || len(a.splats) > 0 {
			c.computed(s, n, "An alias is set to what is computed")
		}
	case "set-item", "new-item", "copy-item", "set-content", "rename-item":
		if text, ok := a.get(0, "path", "literalpath").Constant(); ok && drive(text) {
			c.computed(s, n, "A function or an alias is made by its drive")
		}
	case "new-object":
		c.checkObject(s, n, a)
	case "add-type":
		if text, assembly := a.get(-1, "assemblyname").Constant(); !assembly || strings.ContainsAny(text, `/\`) || isDLL(text) {
			c.foreign(s, n, "Add-Type")
		}
	case "import-module":
		c.checkImport(s, n, a)
	case "install-module", "save-module", "install-psresource", "save-psresource":
		c.foreign(s, n, written)
	}
}

var logins = pairs(`connect-viserver=Connect-VIServer connect-ssoadminserver=Connect-SsoAdminServer connect-cisserver=Connect-CisServer
	connect-vcenterservermob=Connect-VcenterServerMOB`)

// starters are commands that start programs.
var starters = set(`start-process start-job invoke-item invoke-wmimethod invoke-cimmethod new-pssession enter-pssession switch-process`)

// checkName applies the rules on what is called.
func (c *code) checkName(s *scope, n *syntax.Node, name, written string) {
	switch {
	case logins[name] != "":
		c.find(login, s, n, "%s logs in by itself, with a password of its own: use the session that is there.", logins[name])
	case starters[name]:
		c.child(s, n, written)
	case len(c.functions[name]) > 0:
	case c.ownScript(written):
	case windowsOnly[name] != "":
		c.find(childProcess, s, n, "%s is an alias on Windows only, and a program where executions run: write %s.", written, windowsOnly[name])
	case program(name, written):
		c.child(s, n, written)
	}
}

// ownScript says whether a name is the path of one of the package's scripts, which are read too.
func (c *code) ownScript(name string) bool {
	name = strings.ToLower(strings.ReplaceAll(name, `\`, "/"))
	return c.files[path.Clean(strings.TrimPrefix(name, "./"))]
}

// known are commands of PowerShell that are neither aliases nor named Verb-Noun; odd are verbs of its own that it does not
// approve.
var (
	known = set(`pause prompt tabexpansion2 oss cd.. cd\ cd~`)
	odd   = set(`foreach where sort tee`)
)

// program says whether a name that is no function of the package means a program: a path, or a word that is not of the
// form of a cmdlet's name. PowerShell finds commands without regard to case, but programs on Linux with it.
func program(name, written string) bool {
	verb, _, cmdlet := strings.Cut(name, "-")
	switch {
	case known[name]:
		return false
	case strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "~"):
		return true
	case !cmdlet:
		return true
	case strings.Contains(name, "."):
		return true // tool-1.exe
	}
	return written == name && !approved[verb] && !odd[verb]
}

// checkComputed judges & and . before what is no constant. What a file dot-sources when the module is loaded, the analysis has
// judged: unknown-declaration.
func (c *code) checkComputed(s *scope, n *syntax.Node) {
	called := n.Kids[0]
	if n.Text == "." && c.module.Sources(n) || c.isBlock(s, called) || c.ownPath(s, called) {
		return
	}
	c.computed(s, n, "What is called here is computed")
}

// ownPath says whether a string is the path of one of the package's scripts, from the folder of the file that it is in.
func (c *code) ownPath(s *scope, n *syntax.Node) bool {
	for (n.Kind == syntax.Paren || n.Kind == syntax.Pipeline) && len(n.Kids) == 1 {
		n = n.Kids[0]
	}
	if n.Kind == syntax.Command && c.command(n) == "join-path" {
		a := c.arguments(n)
		folder, file := a.get(0, "path"), a.get(1, "childpath")
		rest, ok := file.Constant()
		return ok && folder != nil && folder.Kind == syntax.Var && strings.EqualFold(folder.Text, "PSScriptRoot") && c.inFolder(s, rest)
	}
	if n.Kind != syntax.Expand || len(n.Kids) != 2 || n.Kids[0].Kind != syntax.Var || !strings.EqualFold(n.Kids[0].Text, "PSScriptRoot") {
		return false
	}
	rest, ok := n.Kids[1].Constant()
	return ok && c.inFolder(s, rest)
}

// inFolder says whether a path from the folder of a scope's file is that of a script of the package.
func (c *code) inFolder(s *scope, file string) bool {
	return c.files[strings.ToLower(path.Join(path.Dir(s.file.Path), strings.ReplaceAll(file, `\`, "/")))]
}

// isBlock says whether a value is a script block that is written out, so that what it does was read.
func (c *code) isBlock(s *scope, n *syntax.Node) bool {
	if c.work--; n == nil || c.work < 0 {
		return false
	}
	switch n.Kind {
	case syntax.ScriptBlock:
		return true
	case syntax.Paren, syntax.Pipeline, syntax.ArrayOf, syntax.List, syntax.Cast, syntax.Hash:
		return len(n.Kids) > 0 && c.allBlocks(s, n)
	case syntax.Index:
		return c.isBlock(s, n.Kids[0])
	case syntax.Member:
		_, constant := field(n)
		return n.Text == "." && constant && n.Kids[0].Kind == syntax.Var && c.isBlock(s, n.Kids[0])
	case syntax.Invoke:
		name, _ := field(n.Kids[0])
		return name == "getnewclosure" && c.isBlock(s, n.Kids[0].Kids[0])
	case syntax.Var:
		name, _ := variableName(n)
		return c.isBlockVariable(s, name)
	}
	return false
}

// allBlocks says whether all values in a node are blocks.
func (c *code) allBlocks(s *scope, n *syntax.Node) bool {
	for i, k := range n.Kids {
		key := n.Kind == syntax.Hash && i%2 == 0
		if !key && k.Kind != syntax.Type && !c.isBlock(s, k) {
			return false
		}
	}
	return true
}

// isBlockVariable says whether a variable holds nothing but blocks. A parameter of that type does: PowerShell makes none of
// text when it binds parameters.
func (c *code) isBlockVariable(s *scope, name string) bool {
	if c.asked[name] {
		return false
	}
	c.asked[name] = true
	defer delete(c.asked, name)
	values := slices.Concat(s.assigned[name], c.global.assigned[name])
	block, parameter := s.blocks[name]
	if parameter && !block || c.tainted[name] {
		return false
	}
	for _, v := range values {
		if !c.isBlock(s, v) {
			return false
		}
	}
	return len(values) > 0 || block
}

// checkBlocks judges commands that run a script block.
func (c *code) checkBlocks(s *scope, n *syntax.Node, a arguments) {
	for _, name := range []string{"scriptblock", "process", "begin", "end", "expression", "action", "filterscript", "parallel", "remainingscripts"} {
		if v := a.get(-1, name); v != nil && !c.isBlock(s, v) {
			c.computed(s, n, "The script block that runs here is computed")
			return
		}
	}
	if member, ok := a.get(0, "membername").Constant(); ok && c.command(n) == "foreach-object" && runs[strings.ToLower(member)] {
		c.computed(s, n, "This runs text")
		return
	}
	if a.has("filepath") {
		c.computed(s, n, "The script that runs here is a file")
		return
	}
	for _, v := range a.positional {
		if v.Kind == syntax.Var && !c.isBlock(s, v) && c.command(n) != "where-object" {
			c.computed(s, n, "The script block that runs here is computed")
			return
		}
	}
}

// checkObject judges New-Object.
func (c *code) checkObject(s *scope, n *syntax.Node, a arguments) {
	if a.has("comobject") || len(a.splats) > 0 {
		c.computed(s, n, "The type of this object is computed, or of the system")
		return
	}
	text, ok := a.get(0, "typename").Constant()
	switch {
	case !ok:
		c.computed(s, n, "The type of this object is computed")
	case processType(text):
		c.child(s, n, text)
	}
}

func processType(name string) bool {
	switch strings.TrimPrefix(strings.ToLower(name), "system.") {
	case "diagnostics.process", "process", "diagnostics.processstartinfo", "processstartinfo":
		return true
	}
	return false
}

// checkImport judges Import-Module: a module by its name is a dependency, one by its path has to be a script of the package.
func (c *code) checkImport(s *scope, n *syntax.Node, a arguments) {
	v := a.get(0, "name")
	text, ok := v.Constant()
	switch {
	case ok && !strings.ContainsAny(text, `/\`):
		if isDLL(text) {
			c.foreign(s, n, "An assembly")
		}
	case ok && c.ownScript(text), v != nil && c.ownPath(s, v), v != nil && v.Kind == syntax.List && c.allNames(v):
	default:
		c.foreign(s, n, "A module from a path, or one whose name is computed,")
	}
}

func isDLL(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".dll") }

func (c *code) allNames(list *syntax.Node) bool {
	for _, k := range list.Kids {
		if text, ok := k.Constant(); !ok || strings.ContainsAny(text, `/\`) || isDLL(text) {
			return false
		}
	}
	return true
}

// drive says whether a path is on a drive of functions or aliases.
func drive(path string) bool {
	path = strings.ToLower(path)
	path = strings.TrimPrefix(path, `microsoft.powershell.core\`)
	return strings.HasPrefix(path, "function:") || strings.HasPrefix(path, "alias:")
}

// checkDrive judges $function:Name = …
func (c *code) checkDrive(s *scope, n *syntax.Node) {
	targets := n.Kids[:1]
	if targets[0].Kind == syntax.List {
		targets = targets[0].Kids
	}
	for _, t := range targets {
		if t.Kind == syntax.Var && drive(t.Text) && len(n.Kids) == 2 && !c.isBlock(s, n.Kids[1]) {
			c.computed(s, n, "A function or an alias is set to what is computed")
		}
	}
}

// checkInvoke applies the rules on the calls of methods.
func (c *code) checkInvoke(s *scope, n *syntax.Node) {
	m := n.Kids[0]
	if m.Kind != syntax.Member || len(m.Kids) != 2 {
		return
	}
	name, constant := field(m)
	if !constant {
		c.computed(s, n, "The method that is called here is computed")
		return
	}
	if m.Text == "::" {
		c.checkStatic(s, n, m.Kids[0], name)
		return
	}
	switch name {
	case "foreach": // of a collection, with a member's name
		if member, ok := n.Kids[min(1, len(n.Kids)-1)].Constant(); ok && runs[strings.ToLower(member)] {
			c.computed(s, n, "This runs text")
		}
	case "load":
		if base := m.Kids[0]; base.Kind == syntax.Member && base.Kids[0].Kind == syntax.Type && typeName(base.Kids[0].Text) == "appdomain" {
			c.foreign(s, n, "An assembly")
		}
	case "loadfromassemblypath", "loadfromstream", "loadfromassemblyname", "definedynamicassembly", "executeassembly":
		c.foreign(s, n, "An assembly")
	case "invokescript", "newscriptblock", "addscript", "expandstring", "getscriptblock", "createpipeline", "createnestedpipeline":
		c.computed(s, n, "This runs text")
	case "addcommand":
		if text, ok := n.Kids[min(1, len(n.Kids)-1)].Constant(); ok {
			c.checkName(s, n, c.resolve(text), text)
			if c.resolve(text) == "invoke-expression" {
				c.computed(s, n, "This runs text")
			}
		} else {
			c.computed(s, n, "The command that is called here is computed")
		}
	case "invoke", "invokereturnasis", "invokewithcontext", "dynamicinvoke", "begininvoke", "invokeasync":
		if !c.isBlock(s, m.Kids[0]) {
			c.computed(s, n, "What is called here is computed")
		}
	case "invokemember", "getmethod", "getmethods":
		c.computed(s, n, "The method that is called here is found when it runs")
	}
}

// runs are members that run text or a block.
var runs = set("invoke invokereturnasis invokewithcontext invokescript newscriptblock addscript expandstring")

// checkStatic applies the rules on the calls of static methods.
func (c *code) checkStatic(s *scope, n, of *syntax.Node, name string) {
	if of.Kind != syntax.Type {
		c.computed(s, n, "The type whose method is called here is computed")
		return
	}
	switch t := typeName(of.Text); {
	case processType(of.Text) && (name == "start" || name == "new"):
		c.child(s, n, "["+of.Text+"]::"+name)
	case t == "scriptblock" && name == "create":
		c.computed(s, n, "[scriptblock]::Create makes code of text")
	case t == "assembly" && strings.HasPrefix(name, "load"), t == "assemblyloadcontext", t == "assembly" && name == "unsafeloadfrom":
		c.foreign(s, n, "An assembly")
	case t == "nativelibrary", t == "marshal" && strings.HasPrefix(name, "getdelegate"), name == "definedynamicassembly":
		c.foreign(s, n, "What is called by its address or made while it runs")
	case t == "activator", t == "type" && name == "gettype":
		c.computed(s, n, "The type that is used here is found when it runs")
	}
}
