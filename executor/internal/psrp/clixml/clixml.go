// Package clixml reads and writes CLIXML, the form in which PowerShell's remoting protocol carries objects ([MS-PSRP]
// 2.2.5): primitives as elements of their own, everything else as Obj with its type names, its text, what it wraps or
// holds, and its properties.
//
// In messages of the protocol it has no root element and no namespace. What a real pwsh sends is not always XML 1.0:
// U+FFFE and U+FFFF come as character references, which strict parsers refuse. So the reader is one of its own, for
// the narrow form that is sent: no comment, DTD, CDATA or processing instruction, attributes N and RefId only.
//
// # Who walks a value
//
// A document refers to objects that it has begun, at the cost of some bytes each time. So a value may hold itself, hold
// another in many places, and be deeper through references than MaxDepth: forty lists, each of them twice in the next, are
// a tree of a million million. Whoever follows Items, Pairs and Props bounds how deep they go and how much they make of
// it, or remembers the objects where they have been, as Encode does. Base is a primitive, so what follows only that, as
// Str and Number do, ends.
package clixml

// Value is one value. A value may hold itself, where PowerShell's did: see Ref in [MS-PSRP] 2.2.5.2.
type Value struct {
	// Tag is the name of the element: S, I32, B, Nil and so on of a primitive, Obj of an object.
	Tag string
	// Text of a primitive, in the invariant form that it has on the wire, without escapes.
	Text string

	// Of an object:
	Types  []string // names of its .NET types, its own first
	String *string  // its ToString(), nil where PowerShell sent none
	Base   *Value   // the primitive that it wraps: of an enum its number
	Held   Held     // the container that it is
	Items  []*Value // of a list, a stack, a queue, an enumeration
	Pairs  []Pair   // of a dictionary, in its order
	Props  []Property
}

// Pair is an entry of a dictionary.
type Pair struct{ Key, Value *Value }

// Property is a named value of an object.
type Property struct {
	Name  string
	Value *Value
	// Own says that it is a property of the .NET object (Props), not one that was added to it (MS).
	Own bool
}

// Held is the kind of a container, by the name of its element.
type Held string

// The kinds of containers.
const (
	None        Held = ""
	List        Held = "LST"
	Enumeration Held = "IE"
	Stack       Held = "STK"
	Queue       Held = "QUE"
	Dictionary  Held = "DCT"
)

// object is the tag of what is no primitive.
const object = "Obj"

// primitives are the tags of [MS-PSRP] 2.2.5.1 but for Nil.
var primitives = map[string]bool{
	"S": true, "C": true, "B": true, "DT": true, "TS": true, "By": true, "SB": true, "U16": true, "I16": true, "U32": true, "I32": true,
	"U64": true, "I64": true, "Sg": true, "Db": true, "D": true, "BA": true, "G": true, "URI": true, "Nil": true, "Version": true,
	"XD": true, "SBK": true, "SS": true,
}

// Get finds a property by its name, nil where there is none.
func (v *Value) Get(name string) *Value {
	if v == nil {
		return nil
	}
	for _, p := range v.Props {
		if p.Name == name {
			return p.Value
		}
	}
	return nil
}

// IsNull says whether it is $null, or not there.
func (v *Value) IsNull() bool { return v == nil || v.Tag == "Nil" }

// Is says whether the value is an object of the .NET type, or of one derived from it.
func (v *Value) Is(typeName string) bool {
	if v != nil {
		for _, t := range v.Types {
			if t == typeName {
				return true
			}
		}
	}
	return false
}

// Str is the text of a value: of a primitive its own, of an object that of ToString() or of what it wraps; "" for none.
func (v *Value) Str() string {
	switch {
	case v == nil:
		return ""
	case v.Tag != object:
		return v.Text
	case v.String != nil:
		return *v.String
	}
	return v.Base.Str()
}

// Text is a string.
func Text(s string) *Value { return &Value{Tag: "S", Text: s} }

// Primitive is a primitive of another kind, by its tag and its invariant text.
func Primitive(tag, text string) *Value { return &Value{Tag: tag, Text: text} }

// Bool is a boolean.
func Bool(b bool) *Value {
	if b {
		return Primitive("B", "true")
	}
	return Primitive("B", "false")
}

// Null is $null.
func Null() *Value { return &Value{Tag: "Nil"} }

// Object is an object with properties that were added to it, as PSCustomObject has them.
func Object(props ...Property) *Value { return &Value{Tag: object, Props: props} }

// ListOf is a list, which arrives as an ArrayList.
func ListOf(items ...*Value) *Value { return &Value{Tag: object, Held: List, Items: items} }

// Table is a dictionary. One without type names arrives as a plain Hashtable, whose keys ignore case.
func Table(pairs ...Pair) *Value { return &Value{Tag: object, Held: Dictionary, Pairs: pairs} }

// Number is the invariant text of the primitive that a value is or wraps, such as that of an enum; "" for none.
func (v *Value) Number() string {
	switch {
	case v == nil:
		return ""
	case v.Tag != object:
		return v.Text
	}
	return v.Base.Number()
}

// Entry finds an entry of a dictionary by a key that is a string, nil where there is none.
func (v *Value) Entry(key string) *Value {
	if v != nil {
		for _, p := range v.Pairs {
			if p.Key.Tag == "S" && p.Key.Text == key {
				return p.Value
			}
		}
	}
	return nil
}

// Item is an item of a list, nil where there is none.
func (v *Value) Item(i int) *Value {
	if v == nil || i >= len(v.Items) {
		return nil
	}
	return v.Items[i]
}
