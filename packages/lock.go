package packages

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"deps.dev/util/semver"

	"github.com/airlock-run/airlock/internal/domain"
)

// versionRange is a range of versions as a nuspec writes it ("Version ranges", learn.microsoft.com/nuget/concepts/package-versioning).
type versionRange struct {
	text       string // "" for any
	constraint *semver.Constraint
}

// parseRange reads the range of a dependency. Floating ones (1.*) are refused, as NuGet refuses them in a nuspec.
func parseRange(s string) (versionRange, error) {
	if s == "" {
		return versionRange{}, nil
	}
	c, err := semver.NuGet.ParseConstraint(s)
	if err == nil && strings.Contains(s, "*") {
		err = fmt.Errorf("it floats, which is for projects")
	}
	if err != nil {
		return versionRange{}, fmt.Errorf("the range %.100q is none of NuGet's, such as 1.0, [1.0] or [1.0,2.0): %w", s, err)
	}
	return versionRange{s, c}, nil
}

// contains says whether the version lies between the bounds.
func (r versionRange) contains(v version) bool {
	return r.constraint == nil || r.constraint.MatchVersionPrerelease(v.semver)
}

// exact says whether the range means one version.
func (r versionRange) exact() bool {
	return strings.HasPrefix(r.text, "[") && !strings.Contains(r.text, ",")
}

// labelled says whether a bound of the range has a label: only then versions with labels are meant, as with NuGet.
func (r versionRange) labelled() bool { return strings.Contains(r.text, "-") }

// need is a dependency in the place where it was found.
type need struct {
	by    *node // who needs it
	id    string
	wants versionRange
}

func (n need) String() string {
	text := fmt.Sprintf("%s needs %s %s", n.by, n.id, n.wants.text)
	return strings.TrimSuffix(text, " ")
}

// node is a version in a chain of dependencies; the first is what is being locked.
type node struct {
	held
	by *node
}

// String is the way to the node: A@1.0.0 → B@2.0.0. At the beginning of what is fetched from a feed is no version.
func (n *node) String() string {
	if n.Name == "" {
		return "the import"
	}
	var way []string
	for at := n; at != nil && at.Name != ""; at = at.by {
		way = append(way, at.Ref())
	}
	slices.Reverse(way)
	return strings.Join(way, " → ")
}

// maxSteps bounds the search for versions that fit together, and maxLock what it finds.
const (
	maxSteps = 10_000
	maxLock  = 500
)

// shelf is where versions are looked for: the repository, or a feed.
type shelf interface {
	// versions are those of a package, the highest first.
	versions(ctx context.Context, name string) ([]held, error)
	// dependencies are what a version depends on.
	dependencies(ctx context.Context, h held) ([]domain.Dependency, error)
}

func (r *Repository) dependencies(_ context.Context, h held) ([]domain.Dependency, error) {
	return h.Spec.Dependencies, nil
}

// solver looks for one version of each package that something depends on, so that all that is asked of each is met. Of
// the versions that fit it takes the highest, as PSResourceGet does when it installs, and goes back to a lower one where
// that meets with a contradiction.
type solver struct {
	ctx    context.Context
	shelf  shelf
	place  string // what the shelf is
	none   string // what else may be said where it has no version of something
	root   *node
	known  map[string][]held // candidates by id in lower case, the highest first
	chosen map[string]*node  // by id in lower case
	first  error             // the first contradiction, which has the highest versions in it
	steps  int
}

// lock finds the versions that p runs with, by name. The error says what is missing or contradicts itself, with the
// chain that leads there, and is a contradiction then.
func (r *Repository) lock(ctx context.Context, p domain.Package) ([]held, error) {
	v, err := parseVersion(p.Version)
	if err != nil {
		return nil, err
	}
	s := newSolver(ctx, r, &node{held: held{p, v}})
	s.place, s.none = "the repository", ": import or push one"
	needs, err := s.needs(s.root)
	if err == nil {
		err = s.find(needs)
	}
	if err != nil {
		return nil, err
	}
	var needed []held
	for _, n := range s.chosen {
		needed = append(needed, n.held)
	}
	slices.SortFunc(needed, func(a, b held) int { return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return needed, nil
}

// pins are versions as a lock has them.
func pins(needed []held) (lock []domain.PackageRef) {
	for _, h := range needed {
		lock = append(lock, h.Pin())
	}
	return lock
}

// contradiction is the error of dependencies that cannot be met.
type contradiction struct{ error }

func newSolver(ctx context.Context, from shelf, root *node) *solver {
	return &solver{ctx: ctx, shelf: from, root: root, known: map[string][]held{}, chosen: map[string]*node{}}
}

// find chooses versions for needs. The error is a contradiction where they cannot be met.
func (s *solver) find(needs []need) error {
	found, err := s.solve(needs)
	if err == nil && !found {
		return contradiction{s.first}
	}
	return err
}

func (s *solver) needs(n *node) ([]need, error) {
	all, err := s.shelf.dependencies(s.ctx, n.held)
	if err != nil {
		return nil, err
	}
	var needs []need
	for _, d := range all {
		wants, err := parseRange(d.Range)
		if err != nil {
			return nil, fmt.Errorf("%s needs %s: %w", n, d.ID, err)
		}
		needs = append(needs, need{n, d.ID, wants})
	}
	return needs, nil
}

// solve chooses versions for needs, and says whether that worked out. What it chose is taken back where not.
func (s *solver) solve(needs []need) (bool, error) {
	if len(needs) == 0 {
		return true, nil
	}
	if err := s.ctx.Err(); err != nil {
		return false, err
	}
	// Each need takes a step at least, so that more needs than steps are left cannot be met; and each level keeps its own.
	if s.steps++; s.steps+len(needs)-1 > maxSteps || len(s.chosen) > maxLock {
		return false, contradiction{cmp.Or(s.first, fmt.Errorf("the dependencies of %s are too many to be resolved", s.root))}
	}
	next, rest := needs[0], needs[1:]
	key := strings.ToLower(next.id)
	for at := next.by; at != nil; at = at.by {
		if strings.EqualFold(at.Name, next.id) {
			return s.fails("%s, which is a cycle", next)
		}
	}
	if have, ok := s.chosen[key]; ok {
		if !next.wants.contains(have.version) || !s.usable(have.held, next.wants) {
			return s.fails("%s, but %s needs another version of it and has got %s", next, have.by, have.Version)
		}
		return s.solve(rest)
	}
	candidates, err := s.candidates(next.id)
	if err != nil {
		return false, err
	}
	var passed []string
	tried := false
	for _, candidate := range candidates {
		if !next.wants.contains(candidate.version) || !s.usable(candidate, next.wants) {
			passed = append(passed, candidate.Version+remark(candidate))
			continue
		}
		tried = true
		chosen := &node{held: candidate, by: next.by}
		more, err := s.needs(chosen)
		if err != nil {
			return false, err
		}
		s.chosen[key] = chosen
		if found, err := s.solve(append(slices.Clone(rest), more...)); found || err != nil {
			return found, err
		}
		delete(s.chosen, key)
	}
	switch {
	case tried:
		return false, nil
	case len(passed) == 0:
		return s.fails("%s, and %s has no version of it%s", next, s.place, s.none)
	}
	return s.fails("%s, and of it %s has %s only", next, s.place, some(passed))
}

// remark says why a version is no candidate where that is not by its number.
func remark(h held) string {
	switch state := h.Review.State; {
	case state == domain.Rejected, state == domain.Deprecated, state == domain.Submitted && !h.Library:
		return " (" + string(state) + ")"
	}
	return ""
}

// fails remembers the first contradiction. To write a chain down takes long where it is, so of the others none is.
func (s *solver) fails(format string, args ...any) (bool, error) {
	if s.first == nil {
		s.first = fmt.Errorf(format, args...)
	}
	return false, nil
}

// usable says whether the root may depend on a version by a range. Versions with a label need a range that has one too,
// and a root of their ring or of one that sees more; deprecated ones need to be asked for by their exact version.
func (s *solver) usable(h held, wants versionRange) bool {
	if h.version.ring != general && (!wants.labelled() || h.version.ring.rank() > s.root.version.ring.rank()) {
		return false
	}
	switch h.Review.State {
	case domain.Approved:
		return true
	case domain.Deprecated:
		return wants.exact()
	case domain.Submitted:
		return h.Library || h.version.ring == dev
	}
	return false
}

// candidates are the versions of a package, the highest first.
func (s *solver) candidates(name string) (all []held, err error) {
	key := strings.ToLower(name)
	if known, ok := s.known[key]; ok {
		return known, nil
	}
	if all, err = s.shelf.versions(s.ctx, name); err == nil {
		s.known[key] = all
	}
	return all, err
}
