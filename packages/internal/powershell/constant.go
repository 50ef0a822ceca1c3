package powershell

import (
	"math"
	"strings"

	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// constant is the value of an attribute's argument: string, int64, float64, bool or nil. It is not known for what only
// PowerShell or .NET can compute.
func constant(n *syntax.Node) (v any, known bool) {
	if n == nil {
		return true, true
	}
	switch n.Kind {
	case syntax.Paren, syntax.SubExpr:
		if len(n.Kids) == 1 {
			return constant(n.Kids[0])
		}
	case syntax.Ternary:
		if c, ok := truth(n.Kids[0]); ok && len(n.Kids) == 3 {
			if c {
				return constant(n.Kids[1])
			}
			return constant(n.Kids[2])
		}
	case syntax.Unary:
		return foldUnary(n)
	case syntax.Binary:
		return foldBinary(n)
	case syntax.Cast:
		return convert(n)
	case syntax.Member:
		if n.Text == "::" && n.Kids[0].Is("int", "int32", "System.Int32") && n.Kids[1].Is("MaxValue") {
			return int64(math.MaxInt32), true
		}
	case syntax.String, syntax.Number, syntax.Var:
		v, bad := literal(n)
		return v, bad == nil
	}
	return nil, false
}

func foldUnary(n *syntax.Node) (any, bool) {
	if n.Text == "!" || n.Text == "not" {
		b, ok := truth(n.Kids[0])
		return !b, ok
	}
	v, ok := constant(n.Kids[0])
	switch v := v.(type) {
	case int64:
		if n.Text == "-" {
			return -v, ok
		}
		return v, ok && n.Text == "+"
	case float64:
		if n.Text == "-" {
			return -v, ok
		}
	}
	return nil, false
}

func foldBinary(n *syntax.Node) (any, bool) {
	a, okA := constant(n.Kids[0])
	b, okB := constant(n.Kids[1])
	if !okA || !okB {
		return nil, false
	}
	if x, ok := a.(string); ok {
		y, isText := b.(string)
		times, isCount := b.(int64)
		switch {
		case n.Text == "+" && isText:
			return x + y, true
		case n.Text == "*" && isCount && times >= 0 && times*int64(len(x)) < 1<<12 && times < 1<<12:
			return strings.Repeat(x, int(times)), true
		}
		return nil, false
	}
	x, okX := a.(int64)
	y, okY := b.(int64)
	if !okX || !okY || max(x, -x, y, -y) > 1<<30 {
		return nil, false
	}
	switch n.Text {
	case "+":
		return x + y, true
	case "-":
		return x - y, true
	case "*":
		return x * y, true
	case "/":
		if y != 0 && x%y == 0 {
			return x / y, true
		}
	case "%":
		if y != 0 {
			return x % y, true
		}
	case "band":
		return x & y, true
	case "bor":
		return x | y, true
	case "bxor":
		return x ^ y, true
	}
	return nil, false
}

func convert(n *syntax.Node) (any, bool) {
	t, v := n.Kids[0], n.Kids[1]
	switch {
	case t.Is("int", "int32", "System.Int32", "long", "int64", "System.Int64"):
		i, ok := whole(v)
		return i, ok
	case t.Is("bool", "boolean", "System.Boolean"):
		b, ok := truth(v)
		return b, ok
	case t.Is("string", "System.String"):
		s, ok := constant(v)
		text, isText := s.(string)
		return text, ok && isText
	}
	return nil, false
}

// truth is a constant's value as PowerShell converts it to a bool.
func truth(n *syntax.Node) (v, known bool) {
	c, known := constant(n)
	switch c := c.(type) {
	case bool:
		return c, known
	case string:
		return c != "", known
	case int64:
		return c != 0, known
	case float64:
		return c != 0, known
	}
	return false, known
}

// whole is a constant's value as PowerShell converts it to an int: halves go to the even neighbour.
func whole(n *syntax.Node) (int64, bool) {
	c, known := constant(n)
	switch c := c.(type) {
	case nil:
		return 0, known
	case bool:
		if c {
			return 1, known
		}
		return 0, known
	case int64:
		return c, known && c >= math.MinInt32 && c <= math.MaxInt32
	case float64:
		return int64(math.RoundToEven(c)), known && math.Abs(c) < 1<<31
	case string:
		f := syntax.Parse([]byte(strings.TrimSpace(c)))
		if len(f.Errors) == 0 && len(f.Root.Kids) == 1 && f.Root.Kids[0].Kind == syntax.Number {
			return whole(f.Root.Kids[0])
		}
	}
	return 0, false
}
