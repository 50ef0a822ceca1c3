package syntax_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// outline writes a tree as the kinds' short names in parentheses.
func outline(f *syntax.File, n *syntax.Node) string {
	names := map[syntax.Kind]string{
		syntax.ScriptBlock: "block", syntax.Statements: "do", syntax.Pipeline: "pipe", syntax.Chain: "chain", syntax.Command: "cmd" + n.Text,
		syntax.Argument: "-" + n.Text, syntax.Splat: "@" + n.Text, syntax.Redirection: "redirect", syntax.Verbatim: "verbatim", syntax.Assign: n.Text,
		syntax.If: "if", syntax.Loop: n.Text, syntax.Switch: "switch", syntax.Jump: n.Text, syntax.FuncDef: "function", syntax.Number: n.Text,
		syntax.Expand: "expand", syntax.Var: "$" + n.Text, syntax.Paren: "paren", syntax.SubExpr: "sub", syntax.ArrayOf: "array", syntax.List: "list",
		syntax.Hash: "hash", syntax.Unary: n.Text, syntax.Binary: n.Text, syntax.Ternary: "?:", syntax.Cast: "cast", syntax.Type: "[" + n.Text + "]",
		syntax.Attribute: "[" + n.Text + "()]", syntax.Member: n.Text, syntax.Invoke: "call", syntax.Index: "index", syntax.Error: "error",
	}
	name := names[n.Kind]
	if n.Kind == syntax.String {
		name = "'" + n.Text + "'"
	}
	if len(n.Kids) == 0 {
		return name
	}
	parts := []string{name}
	for _, k := range n.Kids {
		parts = append(parts, outline(f, k))
	}
	return "(" + strings.Join(parts, " ") + ")"
}

func TestParse(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"1 + 2 * 3":                       "(+ 1 (* 2 3))",
		"1, 2, 3 + 4":                     "(+ (list 1 2 3) 4)",
		"-not $a -and $b":                 "(and (not $a) $b)",
		"$a = $b ? 'x' : 'y'":             "(= $a (?: $b 'x' 'y'))",
		"$a?.Length":                      "(. $a? 'Length')",
		"${a}?.Length":                    "(. $a 'Length')",
		"[IO.File]::ReadAllText('x')":     "(call (:: [IO.File] 'ReadAllText') 'x')",
		"[int][string]$x":                 "(cast [int] (cast [string] $x))",
		"$a.b.c($d)[0]":                   "(index (call (. (. $a 'b') 'c') $d) 0)",
		"Get-VM -Name:x -Force y | % Id":  "(pipe (cmd 'Get-VM' (-Name 'x') -Force 'y') (cmd '%' 'Id'))",
		"Get-VM –Name ‘x’":                "(cmd 'Get-VM' -Name 'x')",
		"& $c @s a,b 2>&1 >out":           "(cmd& $c @s (list 'a' 'b') redirect (redirect 'out'))",
		". $PSScriptRoot/a.ps1":           "(cmd. (expand $PSScriptRoot '/a.ps1'))",
		"a`b\"c$d\"":                      "(cmd (expand 'a\b' 'c' $d))",
		"tool --% $x | y":                 "(pipe (cmd 'tool' verbatim) (cmd 'y'))",
		`"a $b $(c "d)") e"`:              "(expand 'a ' $b ' ' (sub (cmd 'c' 'd)')) ' e')",
		"@'\na 'b' $c\n'@":                "'a 'b' $c'",
		"@\"\na\n\"@.Trim()":              "(call (. 'a' 'Trim'))",
		"a && b || c":                     "(chain (cmd 'a') (cmd 'b') (cmd 'c'))",
		"if ($a) { b } else { c }":        "(if $a (do (cmd 'b')) (do (cmd 'c')))",
		"foreach ($i in 1..3) { $i }":     "(foreach $i (.. 1 3) (do $i))",
		"@{ a = 1; 'b' = x }":             "(hash 'a' 1 'b' (cmd 'x'))",
		"$x |\n  y `\n  -z # c\n":         "(pipe $x (cmd 'y' -z))",
		"return , $a":                     "(return (, $a))",
		"7zip x":                          "(cmd '7zip' 'x')",
		"$a.Where({ $_ }).ForEach{ 1 }":   "(call (. (call (. $a 'Where') (block $_)) 'ForEach') (block 1))",
		"function f ($a) { }":             "(function block)",
		"if-x; param ($x); Catch { a }":   "(cmd 'if-x')\n(cmd 'param' (paren $x))\n(cmd 'Catch' (block (cmd 'a')))",
		"$a::b; \"$a::b\"; $s:x; ${a b}":  "(:: $a 'b')\n(expand $a '::b')\n$s:x\n$a b",
		"[AVSAttribute(30)] $x = 1":       "(= (cast ([AVSAttribute()] 30) $x) 1)",
		"0x1F; 1kb; 1.5e3; .5; 1us; 5d; ": "0x1F\n1kb\n1.5e3\n.5\n1us\n5d",
	} {
		f := syntax.Parse([]byte(source))
		var got []string
		for _, n := range f.Root.Block.Body {
			got = append(got, outline(f, n))
		}
		if len(f.Errors) > 0 || strings.Join(got, "\n") != want {
			t.Errorf("%s\n got %s\nwant %s %v", source, strings.Join(got, "\n"), want, f.Errors)
		}
	}
}

func TestReportsErrors(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"function f { \"a }":    "1:12 1:14",
		"if ($a) {":             "1:9",
		"$x = ":                 "1:5",
		"'a' 'b'":               "1:5",
		"é 𝒳; }":                "1:7", // in UTF-16 units
		"a\r\n\r\n)":            "3:1",
		"<# a":                  "1:1",
		"@{ a = 1; A = 2 }":     "1:11",
		"[Parameter()] 'x'":     "1:1",
		"f { param($a, $A) }":   "1:15",
		"[int] function f { }":  "1:7",
		"using namespace A\n)":  "2:1",
		"1\nusing namespace A":  "2:1",
		"f { [A($x)] param() }": "1:8",
	} {
		f := syntax.Parse([]byte(source))
		var got []string
		for _, e := range f.Errors {
			line, column := f.Place(e.Pos)
			got = append(got, fmt.Sprintf("%d:%d", line, column))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %v, want %s (%v)", source, got, want, f.Errors)
		}
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"\xef\xbb\xbfé": "é", "\xff\xfe\xe9\x00a\x00": "éa", "\xfe\xff\x00\xe9": "é", "a\xe9": "a\ufffd", "\xff\xfea": "",
	} {
		if got := syntax.Decode([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestTooLargeIsAnError(t *testing.T) {
	t.Parallel()
	if f := syntax.Parse(make([]byte, syntax.MaxSize+1)); len(f.Errors) != 1 || f.Text != "" {
		t.Errorf("%v", f.Errors)
	}
}
