// Package nearest finds what somebody meant who mistyped a name.
package nearest

import "strings"

// Of returns the one of the known names that is nearest to a name, "" where none is near: up to one wrong letter in
// three, two at most. A letter that is wrong, missing, too many, or swapped with the next one counts as one; case does
// not count (optimal string alignment).
func Of(name string, known []string) string {
	best, most := "", min(2, max(1, len(name)/3))
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d <= most {
			best, most = k, d-1
		}
	}
	return best
}

// maxName bounds the names that are compared.
const maxName = 64

func distance(a, b string) int {
	if len(a) > maxName || len(b) > maxName {
		return maxName
	}
	// of[i][j] is the distance of the first i letters of a to the first j of b.
	var of [maxName + 1][maxName + 1]int
	for i := range len(a) + 1 {
		for j := range len(b) + 1 {
			if i == 0 || j == 0 {
				of[i][j] = i + j
				continue
			}
			other := 1
			if a[i-1] == b[j-1] {
				other = 0
			}
			of[i][j] = min(of[i-1][j]+1, of[i][j-1]+1, of[i-1][j-1]+other)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				of[i][j] = min(of[i][j], of[i-2][j-2]+1)
			}
		}
	}
	return of[len(a)][len(b)]
}
