// Package powershell reads a PowerShell module without running any of it: which functions it exports, with their
// parameters, attributes and help, and what its scripts call. What cannot be told from the text alone is a finding: a
// declaration that stands without one is what PowerShell itself would say.
package powershell

import (
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// Module is a module as it was read.
type Module struct {
	Name      string
	Manifest  *Manifest // nil if there is none that could be read
	Files     []*File   // all .psd1, .psm1 and .ps1 files, by path
	Functions []*Function
	UsesSSH   bool // it mentions SSH_Sessions
	UsesSFTP  bool // it mentions SFTP_Sessions
	Findings  []domain.ReviewFinding

	sourced    map[*syntax.Node]bool
	byPath     map[string]*File // by path in lower case
	classNames map[string]bool  // in lower case, of all files
	parameters map[string]bool  // see parameterClasses
}

// File is a script of the module.
type File struct {
	Path string // in the module, with '/'
	*syntax.File
}

// Function is an exported function.
type Function struct {
	Name          string // with the prefix that the manifest gives
	File          *File
	Line          int
	Def           *syntax.Node // a FuncDef
	CmdletBinding bool
	AVS           *AVS // nil without the attribute
	Parameters    []Parameter
	Help          Help
}

// AVS is what an AVSAttribute says.
type AVS struct {
	Line           int
	Minutes        int
	UpdatesSDDC    bool
	AutomationOnly bool
}

// Parameter is a parameter of an exported function.
type Parameter struct {
	Name         string
	Line, Column int
	Type         string // as written, "" for none
	Mandatory    bool   // in every parameter set
	Default      string // the source text, "" for none
	HelpMessage  string
	Help         string // from the function's help
	Sets         []Set  // of its Parameter attributes, none for none
}

// Set is what a Parameter attribute says.
type Set struct {
	Name      string // AllSets for none
	Mandatory bool
}

// AllSets is the parameter set of what belongs to all.
const AllSets = "__AllParameterSets"

// Help is a function's comment-based help, without the line ends around it.
type Help struct {
	Synopsis, Description string
	Parameters            map[string]string // by name in upper case
}

// Place is where something stands in a module, lines and columns from 1.
type Place struct {
	File         string
	Line, Column int
}

// Sources says whether a command dot-sources scripts while the module is imported, which was followed: what it reads is known,
// or a finding.
func (m *Module) Sources(command *syntax.Node) bool { return m.sourced[command] }

// At is where a node stands.
func (f *File) At(n *syntax.Node) Place {
	line, column := f.Place(n.Pos)
	return Place{f.Path, line, column}
}

// Walk visits all nodes of the file, parents first, each with the innermost function that it is in (nil for none, and a
// function is in itself). Where visit returns false, what is in the node is left out.
func (f *File) Walk(visit func(n, function *syntax.Node) bool) {
	walk(f.Root, nil, visit)
}

func walk(n, function *syntax.Node, visit func(n, function *syntax.Node) bool) {
	if n.Kind == syntax.FuncDef {
		function = n
	}
	if !visit(n, function) {
		return
	}
	for _, k := range n.Kids {
		walk(k, function, visit)
	}
}

// Commands visits all commands of the file.
func (f *File) Commands(visit func(Call)) {
	f.Walk(func(n, function *syntax.Node) bool {
		if n.Kind == syntax.Command && len(n.Kids) > 0 {
			visit(call(f, n, function))
		}
		return true
	})
}

// Call is a command with its arguments.
type Call struct {
	Place
	Node     *syntax.Node // the Command
	Function *syntax.Node // that it is in, nil for none
	Operator string       // & or . before the name, or ""
	Name     string       // "" where it is computed; without a module before it
	Args     []Arg
}

// Arg is an argument of a command.
type Arg struct {
	Name  string       // of the parameter, without the dash; "" for what stands without one
	Value *syntax.Node // nil for a switch; a Splat, Redirection or Verbatim too
}

func call(f *File, n, function *syntax.Node) Call {
	c := Call{Place: f.At(n), Node: n, Function: function, Operator: n.Text}
	c.Name, _ = n.Kids[0].Constant()
	if i := strings.LastIndexByte(c.Name, '\\'); i > 0 && c.Name[0] != '.' && !strings.ContainsAny(c.Name[:i], `/:\`) && !strings.Contains(c.Name[i:], ".") {
		c.Name = c.Name[i+1:] // Module\Command
	}
	kids := n.Kids[1:]
	for i := 0; i < len(kids); i++ {
		k := kids[i]
		switch {
		case k.Kind != syntax.Argument:
			c.Args = append(c.Args, Arg{Value: k})
		case len(k.Kids) > 0:
			c.Args = append(c.Args, Arg{Name: k.Text, Value: k.Kids[0]})
		case i+1 < len(kids) && kids[i+1].Kind != syntax.Argument && kids[i+1].Kind != syntax.Redirection:
			// Whether the value belongs to the parameter, or the parameter is a switch, only the command knows.
			i++
			c.Args = append(c.Args, Arg{Name: k.Text, Value: kids[i]})
		default:
			c.Args = append(c.Args, Arg{Name: k.Text})
		}
	}
	return c
}

// Arg is the value that the call gives to the parameter name, which may be shortened as PowerShell allows it; or the
// positional one with that index. It is nil if there is none. Use an index of -1 for what has no position.
func (c Call) Arg(name string, position int) *syntax.Node {
	for _, a := range c.Args {
		if a.Name != "" && len(a.Name) <= len(name) && strings.EqualFold(a.Name, name[:len(a.Name)]) {
			return a.Value
		}
	}
	for _, a := range c.Args {
		if a.Name == "" && a.Value != nil && a.Value.Kind != syntax.Splat && a.Value.Kind != syntax.Redirection {
			if position == 0 {
				return a.Value
			}
			position--
		}
	}
	return nil
}
