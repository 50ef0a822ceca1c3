package review_test

import (
	"testing"
	"testing/fstest"

	"github.com/airlock-run/airlock/packages/internal/powershell"
	"github.com/airlock-run/airlock/packages/internal/review"
)

// Whatever a script holds, a review ends, and each finding is of a known rule and place.
func FuzzCheck(f *testing.F) {
	for _, text := range []string{
		"function Get-A { param([string] $P) iex \"$P\"; & $P; $x = @{ a = $P; b = { $_ } }; $x.a | % { Write-Host $_ } }",
		"$a.b.c = $x = New-Object PSCredential('cloudadmin', $y)\nswitch ($a) { 1 { $b::c() } default { [a]::b } }",
		"filter F { try { throw $_ } catch [X] { $_ } finally { } }; [int]$a, $b = 1, (2); $a++; -split $b; @a",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := powershell.Read(fstest.MapFS{name + ".psm1": {Data: text}}, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range review.Check(review.Subject{Module: m}, review.Known{}) {
			if found.Line < 0 || found.Column < 0 || found.Message == "" {
				t.Errorf("%+v", found)
			}
		}
	})
}
