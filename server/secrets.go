package server

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// persistentSecretProperties are what is told of a package's persistent secret: its value is not.
type persistentSecretProperties struct {
	Package        string     `json:"package"`
	PackageVersion string     `json:"packageVersion,omitempty"` // that wrote it
	Changed        *time.Time `json:"changed,omitempty"`
}

func (s *Server) listPersistentSecrets(a *answer, r *request) error {
	cloud, pkg, err := s.secretsOf(r)
	if err != nil {
		return err
	}
	all, err := s.cfg.Secrets.List(r.Context(), cloud, pkg)
	if err != nil {
		return err
	}
	value := []resource[persistentSecretProperties]{}
	for _, is := range all {
		p := persistentSecretProperties{Package: pkg, PackageVersion: is.Version}
		if !is.Changed.IsZero() {
			p.Changed = &is.Changed
		}
		value = append(value, resource[persistentSecretProperties]{
			ID: cloud.String() + "/persistentSecrets/" + pkg + "/" + is.Name, Name: is.Name, Type: actCloud + "/persistentSecrets", Properties: p,
		})
	}
	return a.send(http.StatusOK, list[resource[persistentSecretProperties]]{value})
}

// deletePersistentSecret deletes one: 200, or 204 where there is none. An execution that runs has read it already, and
// may write it again.
func (s *Server) deletePersistentSecret(a *answer, r *request) error {
	cloud, pkg, err := s.secretsOf(r)
	if err != nil {
		return err
	}
	all, err := s.cfg.Secrets.List(r.Context(), cloud, pkg)
	if err != nil {
		return err
	}
	name := r.vars["secret"]
	if !slices.ContainsFunc(all, func(is domain.PersistentSecret) bool { return strings.EqualFold(is.Name, name) }) {
		a.WriteHeader(http.StatusNoContent)
		return nil
	}
	if err := s.cfg.Secrets.Write(r.Context(), cloud, pkg, "", map[string]*secret.Text{name: nil}); err != nil {
		return err
	}
	a.WriteHeader(http.StatusOK)
	return nil
}

// secretsOf is whose secrets a request is about: those of the private cloud's own credentials have their own routes.
func (s *Server) secretsOf(r *request) (cloud domain.CloudID, pkg string, err error) {
	pkg = r.vars["package"]
	if strings.EqualFold(pkg, domain.OwnSecrets) {
		return cloud, pkg, errors.Newf(errors.ResourceNotFound, "No package is called %s; the credentials of a private cloud itself are changed by PUT and DELETE of …/secrets/{name}.", pkg)
	}
	c, err := s.parent(r)
	return c.ID, pkg, err
}
