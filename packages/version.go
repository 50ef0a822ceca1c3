package packages

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"deps.dev/util/semver"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// ring says for whom a version is: everybody (general), or those who asked for what comes next.
type ring string

// The rings, by the word that begins a version's label.
const (
	general ring = ""
	preview ring = "preview"
	dev     ring = "dev"
)

// rank is how few see the ring: a version may depend on those of its own rank or a lower one.
func (r ring) rank() int {
	switch r {
	case dev:
		return 2
	case preview:
		return 1
	}
	return 0
}

// version is a version in NuGet's order.
type version struct {
	semver  *semver.Version
	numbers [4]int64
	ring    ring
}

var versionForm = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+){0,3})(?:-(dev|preview)[0-9.]*)?$`)

// parseVersion reads the version of a package: one to four numbers, perhaps with a label of a ring.
func parseVersion(s string) (version, error) {
	m := versionForm.FindStringSubmatch(s)
	if m == nil {
		return version{}, fmt.Errorf("the version %.100q is not one to four numbers with dots, such as 1.2.0, perhaps followed by -dev or -preview, itself perhaps followed by digits and dots", s)
	}
	v := version{ring: ring(m[2])}
	for i, number := range strings.Split(m[1], ".") {
		n, err := strconv.ParseInt(number, 10, 32) // NuGet's numbers have 32 bits
		if err != nil {
			return version{}, fmt.Errorf("the version %.100q has a number above %d", s, math.MaxInt32)
		}
		v.numbers[i] = n
	}
	var err error
	if v.semver, err = semver.NuGet.Parse(s); err != nil {
		return version{}, fmt.Errorf("the version %.100q is not one of NuGet's: %w", s, err)
	}
	return v, nil
}

// String is the version as NuGet normalises it: 1.5 is 1.5.0, 1.6.0.0 is 1.6.0, 01.2.3 is 1.2.3.
func (v version) String() string { return v.semver.Canon(false) }

// normalised is the normal form of a version that was found to parse.
func normalised(s string) string {
	v, err := parseVersion(s)
	if err != nil {
		return s
	}
	return v.String()
}

// released is the version without its label, as NuGet normalises it.
func (v version) released() string {
	numbers, _, _ := strings.Cut(v.String(), "-")
	return numbers
}

func (v version) compare(o version) int { return v.semver.Compare(o.semver) }

// visible says whether executions of a private cloud may use versions of the ring.
func visible(cloud domain.PrivateCloud, r ring) bool {
	return r == general || r == preview && cloud.Preview || r == dev && cloud.Dev
}

// opens says what would open the ring to a private cloud.
func (r ring) opens() string {
	if r == preview {
		return "an Owner of its subscription registers the feature Microsoft.AVS/" + domain.ScriptingPreview
	}
	return "the provider sets its dev flag, which is for packages that nobody has reviewed"
}

// reference is what names a package: Name, Name@1.2.3 or Name@1.*.
type reference struct {
	name    string
	exact   *version // nil for a pattern
	numbers []int64  // the numbers before a pattern's *
}

// parseReference reads a reference. Name alone is Name@*.
func parseReference(s string) (reference, error) {
	name, wanted, given := strings.Cut(s, "@")
	ref := reference{name: name}
	if !given {
		wanted = "*"
	}
	malformed := errors.Newf(errors.InvalidResourceName, "%.300q names no package: write Name@1.2.3, or Name@1.* for the highest 1.x.", s)
	if name == "" || !domain.ValidPackageRef(s) {
		return reference{}, malformed
	}
	prefix, pattern := strings.CutSuffix(wanted, "*")
	if !pattern {
		v, err := parseVersion(wanted)
		if err != nil {
			return reference{}, malformed
		}
		ref.exact = &v
		return ref, nil
	}
	if prefix == "" {
		return ref, nil
	}
	v, err := parseVersion(strings.TrimSuffix(prefix, "."))
	count := strings.Count(prefix, ".")
	if err != nil || v.ring != general || !strings.HasSuffix(prefix, ".") || count > 3 {
		return reference{}, malformed
	}
	ref.numbers = v.numbers[:count]
	return ref, nil
}

// matches says whether the reference means the version. A pattern means no version of another ring than general.
func (r reference) matches(v version) bool {
	if r.exact != nil {
		return v.compare(*r.exact) == 0
	}
	for i, n := range r.numbers {
		if v.numbers[i] != n {
			return false
		}
	}
	return v.ring == general
}
