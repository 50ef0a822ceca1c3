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

// versions returns the versions that the private cloud may use, of the package or with "" of all, by name and from
// the highest version down; and the others.
func (r *Repository) versions(ctx context.Context, cloud domain.PrivateCloud, name string) (shown, hidden []held, err error) {
	all, err := r.index.Packages(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range all {
		v, err := parseVersion(p.Version)
		if err != nil {
			return nil, nil, err // Push lets none through that does not parse
		}
		if visible(cloud, v.ring) {
			shown = append(shown, held{p, v})
		} else {
			hidden = append(hidden, held{p, v})
		}
	}
	slices.SortFunc(shown, func(a, b held) int {
		return cmp.Or(cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), b.version.compare(a.version))
	})
	return shown, hidden, nil
}

// List returns the packages that executions of the private cloud may use, by name and from the highest version down:
// the highest version of each package in each ring, or all.
func (r *Repository) List(ctx context.Context, cloud domain.PrivateCloud, all bool) ([]domain.Package, error) {
	shown, _, err := r.versions(ctx, cloud, "")
	if err != nil {
		return nil, err
	}
	type place struct {
		name string
		ring ring
	}
	seen := map[place]bool{}
	var list []domain.Package
	for _, h := range shown {
		at := place{strings.ToLower(h.Name), h.version.ring}
		if all || !seen[at] {
			list = append(list, h.Package)
		}
		seen[at] = true
	}
	return list, nil
}

// Resolve finds the version that a reference means to executions of the private cloud. Names are compared without
// case, and versions as NuGet does: 1.2 is 1.2.0.
//
//	Name@1.2.3   this version
//	Name@1.2.*   the highest version 1.2.x of the general ring; Name@1.* likewise
//	Name@*       the highest version of the general ring; Name alone likewise
//
// The error is InvalidResourceName for what is no reference, ResourceNotFound for what does not exist, and says what
// does, and PackageNotAllowed for a version that this private cloud may not use.
func (r *Repository) Resolve(ctx context.Context, cloud domain.PrivateCloud, ref string) (domain.Package, error) {
	want, err := parseReference(ref)
	if err != nil {
		return domain.Package{}, err
	}
	shown, hidden, err := r.versions(ctx, cloud, want.name)
	if err != nil {
		return domain.Package{}, err
	}
	for _, h := range shown { // the highest first
		if want.matches(h.version) {
			return h.Package, nil
		}
	}
	for _, h := range hidden {
		if want.matches(h.version) {
			return domain.Package{}, errors.Newf(errors.PackageNotAllowed,
				"%s is a version of the %s ring, which this private cloud does not use: choose a version without a label, or use the ring once %s.",
				h.Ref(), h.version.ring, h.version.ring.opens())
		}
	}
	return domain.Package{}, r.notFound(ctx, cloud, ref, shown)
}

// notFound says that there is no such package, and what there is.
func (r *Repository) notFound(ctx context.Context, cloud domain.PrivateCloud, ref string, versions []held) error {
	var there []string
	if len(versions) > 0 {
		for _, h := range versions {
			there = append(there, h.Version)
		}
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
