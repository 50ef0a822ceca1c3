package packages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

func isDev(p domain.Package) bool {
	v, err := parseVersion(p.Version)
	return err == nil && v.ring == dev
}

// Approve lets executions use the version that ref (Name@1.2.3) means, with the versions that it is found to depend on now.
// by is somebody other than who pushed it, by whatever login. Each rule whose errors were found is acknowledged by its id, and
// the libraries that nobody has reviewed, which are approved with it, all together by an id of their content: what is
// imported after the reviewer has looked is not approved unseen.
//
// The error is InvalidRequest where acknowledged is not what was found, Conflict where what it depends on is missing or
// contradicts itself, and says the chain, or where somebody has decided already, and AuthorizationFailed for who pushed it.
func (r *Repository) Approve(ctx context.Context, ref string, by domain.Principal, acknowledged []string) (domain.Package, error) {
	p, err := r.reviewed(ctx, ref)
	if err != nil {
		return domain.Package{}, err
	}
	return r.approve(ctx, p, by, acknowledged)
}

func (r *Repository) approve(ctx context.Context, p domain.Package, by domain.Principal, acknowledged []string) (domain.Package, error) {
	var lock []domain.PackageRef
	found, what, libraries := p.Errors(), "errors", ""
	if p.Review.State == domain.Submitted { // else the index says who was faster
		needed, err := r.lock(ctx, p)
		var c contradiction
		if errors.As(err, &c) {
			return domain.Package{}, errors.Because(err, errors.Conflict, "%s cannot be approved with what it depends on: %v.", p.Ref(), err)
		}
		if err != nil {
			return domain.Package{}, err
		}
		lock = pins(needed)
		if id, names := unreviewed(needed); id != "" {
			found, what = append(found, id), "errors or libraries"
			libraries = fmt.Sprintf(" %s is for the libraries that nobody has reviewed yet and that are approved with it, unless each is approved by itself: %s.", id, names)
		}
	}
	acknowledged = slices.Compact(slices.Sorted(slices.Values(acknowledged)))
	for _, rule := range acknowledged {
		if !slices.Contains(found, rule) {
			return domain.Package{}, errors.Newf(errors.InvalidRequest, "No error of the rule %.60q was found in %s: acknowledge %s.%s", rule, p.Ref(), rules(found), libraries)
		}
	}
	if len(acknowledged) < len(found) {
		missing := slices.DeleteFunc(slices.Clone(found), func(rule string) bool { return slices.Contains(acknowledged, rule) })
		return domain.Package{}, errors.Newf(errors.InvalidRequest,
			"%s has %s that must be acknowledged to approve it: look at what was found, then acknowledge %s, or reject it.%s", p.Ref(), what, rules(missing), libraries)
	}
	return r.decide(ctx, p, domain.Review{State: domain.Approved, By: by, Acknowledged: acknowledged}, lock)
}

// unreviewed are the libraries among what a version needs that nobody has decided about, and an id of exactly these; "" where
// there are none.
func unreviewed(needed []held) (id, names string) {
	var all []string
	content := sha256.New()
	for _, h := range needed {
		if h.Library && h.Review.State == domain.Submitted {
			all = append(all, h.Ref())
			content.Write([]byte(h.Digest))
		}
	}
	if len(all) == 0 {
		return "", ""
	}
	return "libraries-" + hex.EncodeToString(content.Sum(nil))[:16], strings.Join(all, ", ")
}

func rules(ids []string) string {
	if len(ids) == 0 {
		return "nothing"
	}
	return strings.Join(ids, ", ")
}

// Reject keeps executions from using the version that ref (Name@1.2.3) means, or withdraws one that was approved: it runs
// nowhere any more, nor does what depends on it. by is somebody other than who pushed it; reason tells him why.
func (r *Repository) Reject(ctx context.Context, ref string, by domain.Principal, reason string) (domain.Package, error) {
	return r.dismiss(ctx, ref, domain.Review{State: domain.Rejected, By: by, Reason: reason})
}

// Deprecate lets executions use the version that ref (Name@1.2.3) means only where they ask for exactly it, and tells them
// the reason where they do not.
func (r *Repository) Deprecate(ctx context.Context, ref string, by domain.Principal, reason string) (domain.Package, error) {
	return r.dismiss(ctx, ref, domain.Review{State: domain.Deprecated, By: by, Reason: reason})
}

// maxReason bounds a reason, in bytes.
const maxReason = 2000

func (r *Repository) dismiss(ctx context.Context, ref string, review domain.Review) (domain.Package, error) {
	review.Reason = strings.Join(strings.Fields(review.Reason), " ")
	if review.Reason == "" || len(review.Reason) > maxReason || !utf8.ValidString(review.Reason) {
		return domain.Package{}, errors.Newf(errors.InvalidRequest, "Say why in a sentence of at most %d bytes.", maxReason)
	}
	p, err := r.reviewed(ctx, ref)
	if err != nil {
		return domain.Package{}, err
	}
	return r.decide(ctx, p, review, nil)
}

func (r *Repository) decide(ctx context.Context, p domain.Package, review domain.Review, lock []domain.PackageRef) (domain.Package, error) {
	review.Time = time.Now().UTC()
	return r.index.DecidePackage(ctx, domain.Decision{Digest: p.Digest, Review: review, Lock: lock})
}

// reviewed is a version whose ring has reviews.
func (r *Repository) reviewed(ctx context.Context, ref string) (domain.Package, error) {
	p, err := r.Version(ctx, ref)
	if err == nil && isDev(p) {
		err = errors.Newf(errors.InvalidRequest, "%s is of the dev ring, which is never reviewed: it runs where a private cloud has its dev flag, and nowhere else.", p.Ref())
	}
	return p, err
}
