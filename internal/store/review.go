package store

import (
	"context"
	"slices"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// DecidePackage enters a decision about a version, and returns the version as it is then. One that its state does not
// allow any more, because somebody else was faster, is a Conflict; so is an approval with a lock of which something has
// been rejected meanwhile. Who approves or rejects must be somebody other than who pushed it, or pushed the version that it
// promotes, or pushed a library that the approval includes: else it is AuthorizationFailed. Nobody, who is the server itself
// at its start, is always somebody else.
func (s *Store) DecidePackage(ctx context.Context, d domain.Decision) (decided domain.Package, err error) {
	err = s.write(ctx, func(t *tx) error {
		p, err := packageByDigest(t.view, d.Digest)
		if err != nil {
			return err
		}
		if !p.Review.State.Allows(d.Review.State) {
			return errors.Newf(errors.Conflict, "%s is %s already%s, and cannot become %s any more.", p.Ref(), p.Review.State, decider(p.Review.By), d.Review.State)
		}
		if d.Review.State != domain.Deprecated {
			if err := checkReviewer(t.view, p, d.Review.By); err != nil {
				return err
			}
		}
		if d.Review.State == domain.Approved {
			if err := approveLock(t, p, d); err != nil {
				return err
			}
		}
		if err := enterReview(t, p, d); err != nil {
			return err
		}
		decided, err = packageByDigest(t.view, d.Digest)
		return err
	})
	return decided, err
}

func decider(p domain.Principal) string {
	if p.ID == "" {
		return ""
	}
	return ", by " + p.ID
}

// approveLock looks at what a version is to depend on, and approves the libraries among it that nobody has decided about.
func approveLock(t *tx, p domain.Package, d domain.Decision) error {
	for _, pin := range d.Lock {
		needed, err := packageByDigest(t.view, pin.Digest)
		if err != nil {
			return err
		}
		switch state := needed.Review.State; {
		case state == domain.Rejected:
			return errors.Newf(errors.Conflict, "%s needs %s, which was rejected just now: look at it again.", p.Ref(), needed.Ref())
		case state == domain.Submitted && needed.Library:
			if err := checkReviewer(t.view, needed, d.Review.By); err != nil {
				return err
			}
			if err := enterReview(t, needed, domain.Decision{Review: domain.Review{State: domain.Approved, By: d.Review.By, Time: d.Review.Time}}); err != nil {
				return err
			}
		case state == domain.Submitted:
			return errors.Newf(errors.Conflict, "%s needs %s, which waits for a review of its own: begin with that one.", p.Ref(), needed.Ref())
		}
	}
	return nil
}

// enterReview writes a decision about p. The lock is that of the approval for good.
func enterReview(t *tx, p domain.Package, d domain.Decision) error {
	lock := p.Lock
	if d.Review.State == domain.Approved {
		lock = d.Lock
	} else {
		d.Review.Acknowledged = p.Review.Acknowledged
	}
	n, err := t.exec(`UPDATE packages SET state = $1, decided_by = $2, decided = $3, reason = $4, acknowledged = $5, lock = $6 WHERE digest = $7 AND state = $8`,
		d.Review.State, asJSON{d.Review.By}, asMicros{&d.Review.Time}, d.Review.Reason, asJSON{d.Review.Acknowledged}, asJSON{lock}, p.Digest, p.Review.State)
	if err == nil && n != 1 {
		err = errors.Newf(errors.Conflict, "Somebody else decides about %s at the same time; look at it again.", p.Ref())
	}
	return err
}

// checkReviewer says whether somebody may review a version: he is not who pushed it, or one of those that it promotes.
func checkReviewer(v view, p domain.Package, by domain.Principal) error {
	if by.ID == "" {
		return nil
	}
	reviewer, err := persons(v, by)
	if err != nil {
		return err
	}
	for at := p; ; {
		pusher, err := persons(v, at.PushedBy)
		if err != nil {
			return err
		}
		for _, one := range pusher {
			if slices.Contains(reviewer, one) {
				return samePerson(p, at, by, one)
			}
		}
		if at.Promotes == "" {
			return nil
		}
		if at, err = packageByVersion(v, at.Name, at.Promotes); err != nil {
			return err
		}
	}
}

func samePerson(p, at domain.Package, by domain.Principal, one string) error {
	what := "it"
	if at.Digest != p.Digest {
		what = at.Ref() + ", whose files it has,"
	}
	switch {
	case one == by.ID && one == at.PushedBy.ID:
		return errors.Newf(errors.AuthorizationFailed, "%s is to be reviewed by somebody else: %s pushed %s.", p.Ref(), one, what)
	default:
		return errors.Newf(errors.AuthorizationFailed, "%s is to be reviewed by somebody else: %s pushed %s, and %s could be either, having been shown a token or secret of %s.",
			p.Ref(), at.PushedBy.ID, what, one, heldOf(at.PushedBy.ID, by.ID, one))
	}
}

// heldOf says whose credentials one was shown: of both, or of the one that he is not himself.
func heldOf(pusher, reviewer, one string) string {
	switch one {
	case pusher:
		return reviewer
	case reviewer:
		return pusher
	}
	return "both"
}

// persons are the principals that can act as p: itself, and who was shown a token or secret of it, or of one of those.
func persons(v view, p domain.Principal) ([]string, error) {
	if p.ID == "" {
		return nil, nil
	}
	return list(v, scanText, `WITH RECURSIVE persons (id) AS (
			SELECT CAST($1 AS TEXT)
			UNION SELECT h.holder FROM holders h JOIN persons p ON p.id = h.principal)
		SELECT id FROM persons`, p.ID)
}

// hold remembers that somebody was shown a credential of a principal.
func hold(t *tx, p, holder domain.Principal) error {
	if holder.ID == "" || holder == p {
		return nil
	}
	_, err := t.exec(`INSERT INTO holders (principal, holder) VALUES ($1, $2) ON CONFLICT DO NOTHING`, p.ID, holder.ID)
	return err
}
