package powershell_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/airlock-run/airlock/packages/internal/powershell"
	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// TestHostileScriptsAreBounded reads much of each of what costs parsers or followers of scripts most. That it ends is
// what it shows; the benchmark below has the figures.
func TestHostileScriptsAreBounded(t *testing.T) {
	t.Parallel()
	for name, script := range hostile(syntax.MaxSize / 16) {
		m, err := powershell.Read(fstest.MapFS{"M.psm1": {Data: []byte(script)}}, "M")
		if err != nil {
			t.Fatal(name, err)
		}
		if len(m.Findings) == 0 || len(m.Findings) > 1100 {
			t.Errorf("%s: %d findings", name, len(m.Findings))
		}
		depth := 0
		var deepest func(n *syntax.Node, d int)
		deepest = func(n *syntax.Node, d int) {
			depth = max(depth, d)
			for _, k := range n.Kids {
				deepest(k, d+1)
			}
		}
		deepest(m.Files[0].Root, 0)
		if depth > 10_000 {
			t.Errorf("%s: the tree is %d deep", name, depth)
		}
	}
}

// hostile are scripts of about so many bytes.
func hostile(size int) map[string]string {
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	return map[string]string{
		"parentheses": fill("("), "braces": fill("{"), "attributes": fill("[a("), "types": fill("[a["), "strings": fill(`"$(`),
		"quotes": fill(`"$("`), "hashes": fill("@{a="), "members": "$a" + fill(".b")[2:], "sums": "1" + fill("+1")[2:],
		"unary": fill("-"), "casts": fill("[int]"), "assignments": fill("$a="), "here-strings": fill("@\"\n"),
		"comments": fill("<#"), "else": fill("if(1){}else"), "statements on one line": fill("function a-b{};") + "(",
		"helps": fill("#\nfunction a-b{}\n")[:size-30] + "\n(", "doubling": "$a='x','y'\n" + strings.Repeat("$a+=$a;$b=$a,$a;$b.FullName\n", size/35) + "(",
		"calls":   "function a { a; a }\na\n" + fill(". $x;")[:500],
		"exports": fill("function a-b{};")[:size/2] + strings.Repeat("\nExport-ModuleMember *", size/50) + "\n. $x",
	}
}

func BenchmarkHostile(b *testing.B) {
	for name, script := range hostile(syntax.MaxSize) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := powershell.Read(fstest.MapFS{"M.psm1": {Data: []byte(script)}}, "M"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
