package packages

import (
	"cmp"
	"context"
	"os"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages/internal/nupkg"
	"github.com/airlock-run/airlock/packages/internal/promotion"
)

// Promote pushes, in whose name by is, the same files as those of the version that ref (Name@1.2.3-preview) means under
// its numbers without the label. It spares nothing of the review, but the reviewer sees what it promotes. The same again is
// a success.
func (r *Repository) Promote(ctx context.Context, ref string, by domain.Principal) (domain.Package, error) {
	p, err := r.Version(ctx, ref)
	if err != nil {
		return domain.Package{}, err
	}
	v, err := parseVersion(p.Version)
	if err != nil {
		return domain.Package{}, err
	}
	switch {
	case v.ring == general:
		return domain.Package{}, errors.Newf(errors.InvalidRequest, "%s has no label that could be taken away: it is of the general ring.", p.Ref())
	case p.Library:
		return domain.Package{}, errors.Newf(errors.InvalidRequest, "%s is a library: import the version that you want.", p.Ref())
	case p.Review.State == domain.Rejected:
		return domain.Package{}, errors.Newf(errors.Conflict, "%s was rejected: %s", p.Ref(), p.Review.Reason)
	}
	f, err := r.open(p.Digest)
	if err != nil {
		return domain.Package{}, err
	}
	defer f.Close()
	archive, err := openSound(ctx, f, p)
	if err != nil {
		return domain.Package{}, err
	}
	to, err := os.CreateTemp(r.content, temporary+"*")
	if err != nil {
		return domain.Package{}, unavailable(err)
	}
	defer os.Remove(to.Name())
	defer to.Close()
	if err := promotion.Write(to, archive, v.released()); err != nil {
		return domain.Package{}, errors.Because(err, errors.Conflict, "%s cannot be promoted: %v.", p.Ref(), err)
	}
	if _, err := to.Seek(0, 0); err != nil {
		return domain.Package{}, unavailable(err)
	}
	return r.Push(ctx, to, by)
}

// promotes finds the version whose files p has: one with the same numbers and a label that fewer see. A version without a
// label where there are versions of the preview ring must have the files of one of those.
func (r *Repository) promotes(ctx context.Context, p domain.Package, archive *nupkg.Archive, siblings []held) (string, error) {
	v, err := parseVersion(p.Version)
	if err != nil || p.Library {
		return "", err
	}
	var match string
	var bound error // that p has to be the same as a preview, and is not the same as the highest of those
	for _, other := range siblings {
		if other.version.ring == general {
			return "", errors.Newf(errors.Conflict, "%s is there already, and nothing comes before it any more: push the new content with higher numbers.", other.Ref())
		}
		if other.version.ring.rank() <= v.ring.rank() || other.Library {
			continue
		}
		why, err := r.differs(ctx, other.Package, archive)
		if err != nil {
			return "", err
		}
		binds := v.ring == general && other.version.ring == preview && other.Review.State != domain.Rejected
		switch {
		case why == nil && binds:
			return other.Version, nil
		case why == nil:
			match = cmp.Or(match, other.Version)
		case binds && bound == nil:
			bound = errors.Because(why, errors.Conflict,
				"%s would be what %s was tried for, and must have its files: %v. Promote that one, or push other content with higher numbers or another label.",
				p.Ref(), other.Ref(), why)
		}
	}
	return match, bound
}

// differs says how an archive differs from a version that is there, in more than its version.
func (r *Repository) differs(ctx context.Context, p domain.Package, archive *nupkg.Archive) (why, err error) {
	f, err := r.open(p.Digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	other, err := openSound(ctx, f, p)
	if err != nil {
		return nil, err
	}
	return promotion.Differs(other, archive), nil
}
