package syntax

import "strings"

// Kind says what a node is.
type Kind uint8

// The kinds of nodes. Kids lists what a node consists of, in the order of the source.
const (
	Error       Kind = iota // what could not be read
	ScriptBlock             // { … }, a file, a function's body: see Node.Block
	Statements              // the block of an if, loop, try …; the inside of $( ) and @( )
	Pipeline                // Kids: commands and expressions joined by |
	Chain                   // Kids: pipelines joined by && or ||; Text: "&" where a job does it, which may be one pipeline
	Command                 // Text: its operator, "&", "." or ""; Kids: what names it, then Argument, Splat, Redirection and values
	Argument                // -Name or -Name:value; Text: Name without the dash; Kids: the value that is joined by a colon
	Splat                   // @name; Text: name
	Redirection             // Text: the operator; Kids: the file
	Verbatim                // what follows --%
	Assign                  // Text: the operator; Kids: target, value
	If                      // Kids: condition, Statements, condition, Statements, …, and the Statements of else
	Loop                    // Text: for, foreach, while or do; Kids: what it has between ( and ), then its Statements; foreach: Var, values, Statements
	Switch                  // Kids: value, then pairs of a condition (Text "default" for default) and Statements
	Try                     // Kids: Statements, then Catch, then Statements of finally
	Catch                   // also of trap; Kids: Type …, Statements
	Jump                    // Text: return, throw, exit, break or continue; Kids: the value
	Data                    // a data section; Kids: Statements
	FuncDef                 // see Node.Func
	TypeDef                 // class or enum; Text: its name; Kids: attributes, property values, FuncDef of methods
	Using                   // Text: namespace, module or assembly; Kids: the value

	Number    // Value: int64 or float64; nil for what is neither
	String    // a string that is constant; Value: string
	Expand    // a string with variables in it; Kids: String, Var and SubExpr, which joined are its value
	Var       // Text: its name without $ and braces, "env:HOME"
	Paren     // ( … )
	SubExpr   // $( … ); Kids: its statements
	ArrayOf   // @( … ); Kids: its statements
	List      // a, b, c
	Hash      // @{ … }; Kids: key, value, key, value …
	Unary     // Text: the operator, in lower case
	Binary    // Text: the operator, in lower case
	Ternary   // Kids: condition, then, else
	Cast      // Kids: Type or Attribute, value
	Type      // [name]; Text: name as written
	Attribute // [name(…)]; Text: name as written; see Node.Attr
	Member    // Text: . or ::; Kids: target, name
	Invoke    // a call of a member: Kids: Member, arguments
	Index     // Kids: target, index
)

// Node is a piece of a script.
type Node struct {
	Kind     Kind
	Pos, End int // in File.Text, in bytes
	Text     string
	Value    any
	Kids     []*Node
	Block    *Block         // of a ScriptBlock
	Func     *Func          // of a FuncDef
	Attr     *AttributeArgs // of an Attribute
}

// Block is what a script block consists of beside its statements.
type Block struct {
	Attributes []*Node // of the param block: Attribute and Type
	HasParam   bool
	ParamPos   int // of the word param
	Params     []*Param
	Named      []NamedBlock // begin, process …; none where the statements are the block's own
	Body       []*Node      // the statements that are not in a named block
}

// NamedBlock is begin, process, end, clean or dynamicparam.
type NamedBlock struct {
	Name     string // in lower case
	Pos, End int
	Body     *Node
}

// Param is a parameter's declaration.
type Param struct {
	Pos, End   int
	Name       string
	NamePos    int
	Attributes []*Node // Attribute and Type, as written
	Default    *Node   // nil for none
}

// Func is the definition of a function.
type Func struct {
	Keyword   string // function, filter, workflow, or method
	Name      string
	Static    bool     // of a method
	Returns   *Node    // the Type that a method gives, nil for none
	Inline    []*Param // in parentheses after the name
	HasInline bool
	Body      *Node // a ScriptBlock
}

// Params are the function's parameters, in whichever way it declares them.
func (f *Func) Params() []*Param {
	if f.HasInline {
		return f.Inline
	}
	return f.Body.Block.Params
}

// AttributeArgs are the arguments of an attribute.
type AttributeArgs struct {
	Positional []*Node
	Named      []NamedArg
}

// NamedArg is a named argument. Its value is nil where only the name is written, which means true.
type NamedArg struct {
	Name  string
	Pos   int
	Value *Node
}

// Constant is the text of a constant string or of a bare word.
func (n *Node) Constant() (string, bool) {
	if n == nil || n.Kind != String {
		return "", false
	}
	return n.Value.(string), true
}

// Walk visits n and everything in it, parents first. Where visit returns false, what is in that node is left out.
func (n *Node) Walk(visit func(*Node) bool) {
	if n == nil || !visit(n) {
		return
	}
	for _, k := range n.Kids {
		k.Walk(visit)
	}
}

// Is says whether the attribute or type has one of the names, whose case does not matter.
func (n *Node) Is(names ...string) bool {
	for _, name := range names {
		if strings.EqualFold(n.Text, name) {
			return true
		}
	}
	return false
}
