package packages

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// held is a version that the repository holds.
type held struct {
	domain.Package
	version version
}

// ordered puts versions in order: by name, and from the highest down.
func ordered(all []domain.Package) ([]held, error) {
	versions := make([]held, 0, len(all))
	for _, p := range all {
		v, err := parseVersion(p.Version)
		if err != nil {
			return nil, err // Push lets none through that does not parse
		}
		versions = append(versions, held{p, v})
	}
	slices.SortFunc(versions, func(a, b held) int {
		return cmp.Or(cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), b.version.compare(a.version))
	})
	return versions, nil
}

// versions are those of a package, or with "" of all.
func (r *Repository) versions(ctx context.Context, name string) ([]held, error) {
	all, err := r.index.Packages(ctx, name)
	if err != nil {
		return nil, err
	}
	return ordered(all)
}

// Versions returns all versions of a package, or with "" of all packages and libraries, whatever their ring and state:
// by name, and from the highest version down.
func (r *Repository) Versions(ctx context.Context, name string) ([]domain.Package, error) {
	versions, err := r.versions(ctx, name)
	all := make([]domain.Package, 0, len(versions))
	for _, h := range versions {
		all = append(all, h.Package)
	}
	return all, err
}

// Version returns the version that Name@1.2.3 means, whatever its ring and state. The error is InvalidResourceName for
// what is no such reference, and ResourceNotFound for what does not exist.
func (r *Repository) Version(ctx context.Context, ref string) (domain.Package, error) {
	want, err := parseReference(ref)
	if err != nil {
		return domain.Package{}, err
	}
	if want.exact == nil {
		return domain.Package{}, errors.Newf(errors.InvalidResourceName, "%.300q names no single version: write Name@1.2.3.", ref)
	}
	versions, err := r.versions(ctx, want.name)
	if err != nil {
		return domain.Package{}, err
	}
	var there []string
	for _, h := range versions {
		if want.matches(h.version) {
			return h.Package, nil
		}
		there = append(there, h.Version)
	}
	if len(there) == 0 {
		return domain.Package{}, errors.Newf(errors.ResourceNotFound, "There is no package %s.", want.name)
	}
	return domain.Package{}, errors.Newf(errors.ResourceNotFound, "There is no package %s: the versions of %s are %s.", ref, versions[0].Name, some(there))
}

// unusable says why executions of the private cloud cannot use a version, nil where they can. Deprecated versions are
// for who asks for them by their exact version.
func (h held) unusable(cloud domain.PrivateCloud, exactly bool) error {
	refused := func(format string, args ...any) error {
		return errors.Newf(errors.PackageNotAllowed, "%s "+format, append([]any{h.Ref()}, args...)...)
	}
	why := strings.TrimSuffix(h.Review.Reason, ".")
	switch state := h.Review.State; {
	case h.Library:
		return refused("is a library: it has no cmdlets of its own, and is there for the packages that depend on it.")
	case !visible(cloud, h.version.ring):
		return refused("is a version of the %s ring, which this private cloud does not use: choose a version without a label, or use the ring once %s.",
			h.version.ring, h.version.ring.opens())
	case state == domain.Rejected:
		return refused("was rejected: %s. Choose another version.", why)
	case state == domain.Submitted && h.version.ring != dev:
		return refused("waits for its review, by somebody other than who pushed it. Choose another version, or ask a package reviewer.")
	case state == domain.Deprecated && !exactly:
		return refused("is deprecated: %s. It runs where it is asked for by exactly this version; a pattern means versions that are not deprecated.", why)
	}
	return nil
}

// List returns the packages that executions of the private cloud may use, by name and from the highest version down:
// the highest version of each package in each ring, or all, deprecated ones included.
func (r *Repository) List(ctx context.Context, cloud domain.PrivateCloud, all bool) ([]domain.Package, error) {
	versions, err := r.versions(ctx, "")
	if err != nil {
		return nil, err
	}
	type place struct {
		name string
		ring ring
	}
	seen := map[place]bool{}
	var list []domain.Package
	for _, h := range versions {
		at := place{strings.ToLower(h.Name), h.version.ring}
		if h.unusable(cloud, all) != nil || !all && seen[at] {
			continue
		}
		list = append(list, h.Package)
		seen[at] = true
	}
	return list, nil
}

// Resolve finds the version that a reference means to executions of the private cloud. Names are compared without
// case, and versions as NuGet does: 1.2 is 1.2.0.
//
//	Name@1.2.3   this version, deprecated or not
//	Name@1.2.*   the highest version 1.2.x of the general ring that is approved; Name@1.* likewise
//	Name@*       the highest version of the general ring that is approved; Name alone likewise
//
// The error is InvalidResourceName for what is no reference, ResourceNotFound for what does not exist, and says what
// does, and PackageNotAllowed for a version that this private cloud may not use, or nobody may yet or any more.
func (r *Repository) Resolve(ctx context.Context, cloud domain.PrivateCloud, ref string) (domain.Package, error) {
	want, err := parseReference(ref)
	if err != nil {
		return domain.Package{}, err
	}
	versions, err := r.versions(ctx, want.name)
	if err != nil {
		return domain.Package{}, err
	}
	var refused error // of the highest
	for _, h := range versions {
		if !want.matches(h.version) {
			continue
		}
		why := h.unusable(cloud, want.exact != nil)
		if why == nil {
			return h.Package, r.lockStands(ctx, h.Package)
		}
		refused = cmp.Or(refused, why)
	}
	if refused != nil {
		return domain.Package{}, refused
	}
	return domain.Package{}, r.notFound(ctx, cloud, ref, versions)
}

// lockStands says whether nothing of what a version depends on has been rejected since.
func (r *Repository) lockStands(ctx context.Context, p domain.Package) error {
	for _, pin := range p.Lock {
		needed, err := r.index.PackageByDigest(ctx, pin.Digest)
		if err != nil {
			return err
		}
		if needed.Review.State == domain.Rejected {
			return errors.Newf(errors.PackageNotAllowed, "%s depends on %s, which was rejected: %s. Choose another version.",
				p.Ref(), pin, strings.TrimSuffix(needed.Review.Reason, "."))
		}
	}
	return nil
}

// notFound says that there is no such package, and what there is.
func (r *Repository) notFound(ctx context.Context, cloud domain.PrivateCloud, ref string, versions []held) error {
	var there []string
	for _, h := range versions {
		if h.unusable(cloud, true) == nil {
			there = append(there, h.Version)
		}
	}
	if len(there) > 0 {
		return errors.Newf(errors.ResourceNotFound, "There is no script package %s: the versions of %s are %s.", ref, versions[0].Name, some(there))
	}
	list, err := r.List(ctx, cloud, false)
	if err != nil {
		return err
	}
	for _, p := range list {
		there = append(there, p.Ref())
	}
	if len(there) == 0 {
		return errors.Newf(errors.ResourceNotFound, "There is no script package %s, and no other that this private cloud may use: push one first.", ref)
	}
	return errors.Newf(errors.ResourceNotFound, "There is no script package %s: there are %s.", ref, some(there))
}

// some joins the first of many words.
func some(words []string) string {
	const most = 10
	if len(words) > most {
		words = append(words[:most:most], "others")
	}
	return strings.Join(words, ", ")
}
