package psrp

import (
	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
)

// Pipeline is what one run executes: statements, one after the other, each of commands that are joined by pipes.
type Pipeline struct {
	Statements [][]Command
}

// Command is a command by its name, or the text of a script.
type Command struct {
	Text       string
	Script     bool
	Parameters []Parameter
	// LocalScope gives the command a scope of its own, nil leaves it to PowerShell.
	LocalScope *bool
	// MergeErrors puts what the command writes to Error among its output, for the next command; MergeAll all its streams.
	MergeErrors, MergeAll bool
}

// Parameter is an argument of a command, of one without a name by its position. A switch has the value true.
type Parameter struct {
	Name  string
	Value *clixml.Value
}

// typeObject is the base of all.
const typeObject = "System.Object"

func enum(typeName, text, number string) *clixml.Value {
	return &clixml.Value{Tag: "Obj", Base: clixml.Primitive("I32", number), String: &text,
		Types: []string{typeName, "System.Enum", "System.ValueType", typeObject}}
}

func arrayList(items ...*clixml.Value) *clixml.Value {
	v := clixml.ListOf(items...)
	v.Types = []string{"System.Collections.ArrayList", typeObject}
	return v
}

func prop(name string, v *clixml.Value) clixml.Property { return clixml.Property{Name: name, Value: v} }

// noHost declares that the client has no host ([MS-PSRP] 2.2.3.14).
func noHost() *clixml.Value {
	return clixml.Object(prop("_isHostNull", clixml.Bool(true)), prop("_isHostUINull", clixml.Bool(true)),
		prop("_isHostRawUINull", clixml.Bool(true)), prop("_useRunspaceHost", clixml.Bool(true)))
}

// capability says which versions the client speaks: those that PowerShell 7's own does.
func capability() *clixml.Value {
	return clixml.Object(prop("PSVersion", clixml.Primitive("Version", "2.0")), prop("protocolversion", clixml.Primitive("Version", "2.3")),
		prop("SerializationVersion", clixml.Primitive("Version", "1.1.0.1")))
}

// initPool asks for a pool of one runspace.
func initPool() *clixml.Value {
	arguments := clixml.Table()
	arguments.Types = []string{"System.Management.Automation.PSPrimitiveDictionary", "System.Collections.Hashtable", typeObject}
	return clixml.Object(prop("MinRunspaces", clixml.Primitive("I32", "1")), prop("MaxRunspaces", clixml.Primitive("I32", "1")),
		prop("PSThreadOptions", enum("System.Management.Automation.Runspaces.PSThreadOptions", "Default", "0")),
		prop("ApartmentState", apartment()), prop("HostInfo", noHost()), prop("ApplicationArguments", arguments))
}

func apartment() *clixml.Value { return enum("System.Threading.ApartmentState", "Unknown", "2") }

// message is the content of CreatePipeline ([MS-PSRP] 2.2.2.10): without input, outside of the history.
func (p Pipeline) message() *clixml.Value {
	shell := []clixml.Property{prop("Cmds", commands(p.Statements[0])), prop("IsNested", clixml.Bool(false)), prop("History", clixml.Null()),
		prop("RedirectShellErrorOutputPipe", clixml.Bool(true))}
	if len(p.Statements) > 1 { // all of them once more, the first included
		var all []*clixml.Value
		for _, s := range p.Statements {
			all = append(all, clixml.Object(prop("Cmds", commands(s))))
		}
		shell = append(shell, prop("ExtraCmds", arrayList(all...)))
	}
	v := clixml.Object(prop("NoInput", clixml.Bool(true)), prop("ApartmentState", apartment()),
		prop("RemoteStreamOptions", enum("System.Management.Automation.RemoteStreamOptions", "None", "0")),
		prop("AddToHistory", clixml.Bool(false)), prop("HostInfo", noHost()),
		prop("PowerShell", clixml.Object(shell...)), prop("IsNested", clixml.Bool(false)))
	v.Types = []string{typeObject}
	return v
}

func commands(all []Command) *clixml.Value {
	list := arrayList()
	for _, c := range all {
		list.Items = append(list.Items, c.message())
	}
	return list
}

// message is a command ([MS-PSRP] 2.2.3.11).
func (c Command) message() *clixml.Value {
	arguments := arrayList()
	for _, p := range c.Parameters {
		name := clixml.Null()
		if p.Name != "" {
			name = clixml.Text(p.Name)
		}
		arguments.Items = append(arguments.Items, clixml.Object(prop("N", name), prop("V", p.Value)))
	}
	scope := clixml.Null()
	if c.LocalScope != nil {
		scope = clixml.Bool(*c.LocalScope)
	}
	v := clixml.Object(prop("Cmd", clixml.Text(c.Text)), prop("Args", arguments), prop("IsScript", clixml.Bool(c.Script)), prop("UseLocalScope", scope))
	const results = "System.Management.Automation.Runspaces.PipelineResultTypes"
	none := enum(results, "None", "0")
	from, to := none, none
	if c.MergeErrors || c.MergeAll {
		from, to = enum(results, "Error", "2"), enum(results, "Output", "1")
	}
	v.Props = append(v.Props, prop("MergeMyResult", from), prop("MergeToResult", to), prop("MergePreviousResults", none), prop("MergeError", to))
	rest := none
	if c.MergeAll {
		rest = to
	}
	for _, stream := range []string{"Warning", "Verbose", "Debug", "Information"} {
		v.Props = append(v.Props, prop("Merge"+stream, rest))
	}
	v.String = &c.Text
	return v
}
