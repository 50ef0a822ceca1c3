package syntax

// constant reports what an attribute's argument may not be. PowerShell takes constants, arrays of them, types and script
// blocks (IsConstantValueVisitor).
func (p *parser) constant(n *Node) {
	if bad := notConstant(n); bad != nil {
		p.fail(n.Pos, "Attribute argument must be a constant or a script block.")
	}
}

var foldable = map[string]bool{"+": true, "-": true, "*": true, "/": true, "%": true, "band": true, "bor": true, "bxor": true,
	"shl": true, "shr": true, "!": true, "not": true, "bnot": true}

// notConstant is the part of n that makes it no constant, nil if it is one.
func notConstant(n *Node) *Node {
	switch n.Kind {
	case Number, String, Type, ScriptBlock, Error:
		return nil
	case Var:
		if n.Is("true", "false", "null") {
			return nil
		}
		return n
	case Member:
		if n.Text == "::" && n.Kids[0].Kind == Type && n.Kids[1].Kind == String {
			return nil
		}
		return n
	case Unary, Binary:
		if !foldable[n.Text] {
			return n
		}
	case Cast:
		if n.Kids[0].Kind != Type {
			return n
		}
		return notConstant(n.Kids[1])
	case Paren, SubExpr, List, Ternary:
		if n.Kind != List && n.Kind != Ternary && len(n.Kids) != 1 {
			return n
		}
	default:
		return n
	}
	for _, k := range n.Kids {
		if bad := notConstant(k); bad != nil {
			return bad
		}
	}
	return nil
}
