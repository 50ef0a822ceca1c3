package server

import (
	"context"
	"slices"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/server/internal/role"
)

// authorise finds out what the identity holds, and refuses what nothing of it allows. Whether there is anything at the
// scope is not asked, so that a refusal says nothing about it.
func (s *Server) authorise(r *request) (err error) {
	if r.route.public {
		return nil
	}
	if r.held, err = s.heldBy(r.Context(), r.identity); err != nil {
		return err
	}
	if r.route.open {
		return nil
	}
	return r.require(r.route.action, r.scope)
}

// heldBy are the identity's assignments. Whom the configuration names is Provider without the store.
func (s *Server) heldBy(ctx context.Context, identity domain.Identity) (role.Held, error) {
	principals := append([]domain.Principal{identity.Principal}, identity.Groups...)
	for _, p := range principals {
		if slices.Contains(s.cfg.Providers, p) {
			return role.Held{{Scope: domain.Everywhere, Role: role.Provider, Principal: p}}, nil
		}
	}
	all, err := s.cfg.Store.AssignmentsOf(ctx, principals)
	return role.Of(identity, all), err
}

// may says whether the sender may do something at a scope.
func (r *request) may(action string, at domain.Scope) bool { return r.held.Allows(action, at) }

// require refuses what the sender may not do.
func (r *request) require(action string, at domain.Scope) error {
	if r.may(action, at) {
		return nil
	}
	return errors.Newf(errors.AuthorizationFailed,
		"The client %q (%s %s) has no role that allows %s at the scope %s; ask somebody who owns that scope for one, or look whether the scope is what you mean.",
		r.identity.Name, r.identity.Principal.Type, r.identity.Principal.ID, action, at)
}
