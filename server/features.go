package server

import (
	"net/http"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// Features are ARM's Microsoft.Features (api-version 2021-07-01), so that `az feature` works. There is one, which opens
// the preview ring to a subscription's private clouds.

type featureProperties struct {
	State domain.FeatureState `json:"state"`
}

func (r *request) feature(state domain.FeatureState) resource[featureProperties] {
	return resource[featureProperties]{
		ID:   string(r.scope) + "/providers/Microsoft.Features/providers/" + provider + "/features/" + domain.ScriptingPreview,
		Name: provider + "/" + domain.ScriptingPreview, Type: "Microsoft.Features/providers/features", Properties: featureProperties{state},
	}
}

func (s *Server) listFeatures(a *answer, r *request) error {
	state, err := s.cfg.Store.Feature(r.Context(), r.cloud.Subscription, domain.ScriptingPreview)
	if err != nil {
		return err
	}
	return a.send(http.StatusOK, list[resource[featureProperties]]{Value: []resource[featureProperties]{r.feature(state)}})
}

func (s *Server) getFeature(a *answer, r *request) error {
	if !strings.EqualFold(r.vars["feature"], domain.ScriptingPreview) {
		return errors.Newf(errors.ResourceNotFound, "%s has no feature %s; it has %s.", provider, r.vars["feature"], domain.ScriptingPreview)
	}
	state, err := s.cfg.Store.Feature(r.Context(), r.cloud.Subscription, domain.ScriptingPreview)
	if err != nil {
		return err
	}
	return a.send(http.StatusOK, r.feature(state))
}

func (s *Server) registerFeature(a *answer, r *request) error   { return s.setFeature(a, r, true) }
func (s *Server) unregisterFeature(a *answer, r *request) error { return s.setFeature(a, r, false) }

func (s *Server) setFeature(a *answer, r *request, registered bool) error {
	if strings.EqualFold(r.vars["feature"], domain.ScriptingPreview) {
		if err := s.cfg.Store.SetFeature(r.Context(), r.cloud.Subscription, domain.ScriptingPreview, registered); err != nil {
			return err
		}
	}
	return s.getFeature(a, r)
}
